"""Encoders of the relay protocol: credential (2), hello payloads (3), key schedule and records (4), frames (5).

A frame is a Python dict with the very fields that stand in the JSON files; byte strings in it are lower-case hex.
"""

import base64
import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import cbor
from noise import hmac_sha256

HELLO_PAYLOAD = 208
MAX_PLAINTEXT = 16384
PAD_SIZES = (512, 1024, 2048, 4096, 8192, 16384)
EPOCH_BITS = 20
FRAME_COST = 64

CODES = {
    1: "malformed", 2: "violation", 3: "unknown-frame", 4: "sequence", 5: "credit-exceeded", 6: "too-large",
    7: "unauthentic", 8: "idle", 9: "shutting-down", 10: "internal", 32: "cancelled", 33: "request-invalid",
    34: "origin-not-allowed", 35: "scheme-not-allowed", 36: "address-not-allowed", 37: "upload-too-large",
    38: "response-too-large", 39: "head-too-large", 40: "too-many-exchanges", 41: "rate-limited", 42: "overloaded",
    43: "upstream-unresolved", 44: "upstream-unreachable", 45: "upstream-tls", 46: "upstream-timeout",
    47: "upstream-stalled", 48: "upstream-closed", 49: "upstream-protocol", 50: "upload-failed",
    51: "not-allowed", 52: "key-revoked", 53: "duplicate-request", 54: "superseded",
}
"""Section 8.1."""

TYPES = {
    1: "REQUEST", 2: "BODY", 3: "BODY_END", 4: "RESPONSE", 5: "DATA", 6: "END", 7: "ERROR", 8: "CANCEL", 9: "CREDIT",
    10: "PING", 11: "PONG", 12: "GOAWAY", 13: "RESUME", 14: "RESUMED", 15: "GONE",
}
NUMBERS = {name: number for number, name in TYPES.items()}

RECEIPT = ("called", "head", "first", "last", "sealed", "waited")
"""Names that the JSON files give to keys 0 to 5 of the receipt (5.3, END)."""


class ProtocolError(Exception):
    """The peer broke the protocol. `code` is a name of section 8.1."""

    def __init__(self, code: str, why: str):
        super().__init__(f"{code}: {why}")
        self.code, self.why = code, why


# ---------------------------------------------------------------- 1.2 varint

def varint(value: int) -> bytes:
    """The shortest form (1.2)."""
    for code, size in enumerate((1, 2, 4, 8)):
        if value < 1 << (8 * size - 2):
            return (value | code << (8 * size - 2)).to_bytes(size, "big")
    raise OverflowError(value)


def varint_sized(value: int, size: int) -> bytes:
    """The form of `size` bytes, shortest or not (for negative vectors)."""
    return (value | {1: 0, 2: 1, 4: 2, 8: 3}[size] << (8 * size - 2)).to_bytes(size, "big")


# ---------------------------------------------------------------- 2 credential

def credential_checksum(key_id: bytes, psk: bytes, server_public: bytes) -> bytes:
    return hashlib.sha256(b"xllm1_" + key_id + psk + server_public).digest()[:4]


def credential(key_id: bytes, psk: bytes, server_public: bytes, checksum: bytes = None) -> str:
    """2.1. The 84 bytes are a multiple of 3, so that there is neither base64 padding nor a trailing bit."""
    checksum = credential_checksum(key_id, psk, server_public) if checksum is None else checksum
    return "xllm1_" + base64.urlsafe_b64encode(key_id + psk + server_public + checksum).decode().rstrip("=")


# ---------------------------------------------------------------- 3 hello payloads

def hello_payload(head: bytes) -> bytes:
    """3.2: one head, then zero bytes to 208."""
    if len(head) > HELLO_PAYLOAD:
        raise OverflowError("head of a hello is too large")
    return head.ljust(HELLO_PAYLOAD, b"\x00")


# ---------------------------------------------------------------- 4 records

def hkdf_extract(salt: bytes, ikm: bytes) -> bytes:
    """RFC 5869 section 2.2."""
    return hmac_sha256(salt, ikm)


def hkdf_expand(prk: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 section 2.3."""
    out, block, i = b"", b"", 0
    while len(out) < length:
        i += 1
        block = hmac_sha256(prk, block + info + bytes([i]))
        out += block
    return out[:length]


class Epochs:
    """secret[e], key[e] and iv[e] of one direction (4.1). A real side wipes old epochs; a maker of vectors keeps them."""

    def __init__(self, h: bytes, k: bytes):
        self.secrets = [hkdf_extract(h, k)]

    def secret(self, e: int) -> bytes:
        while len(self.secrets) <= e:
            self.secrets.append(hkdf_expand(self.secrets[-1], b"xllm/1 next", 32))
        return self.secrets[e]

    def key(self, e: int) -> bytes:
        return hkdf_expand(self.secret(e), b"xllm/1 key", 32)

    def iv(self, e: int) -> bytes:
        return hkdf_expand(self.secret(e), b"xllm/1 iv", 12)

    def nonce(self, n: int) -> bytes:
        """4.2: iv[e] XOR (four zero bytes, then n as 8 bytes)."""
        counter = bytes(4) + n.to_bytes(8, "big")
        return bytes(a ^ b for a, b in zip(self.iv(n >> EPOCH_BITS), counter))

    def seal(self, n: int, plaintext: bytes, any_size: bool = False) -> bytes:
        """4.3: length, ciphertext and tag; the length is the associated data."""
        if not any_size and not 1 <= len(plaintext) <= MAX_PLAINTEXT:
            raise OverflowError("size of a record")
        length = (len(plaintext) + 16).to_bytes(2, "big")
        return length + AESGCM(self.key(n >> EPOCH_BITS)).encrypt(self.nonce(n), plaintext, length)

    def open(self, n: int, record: bytes) -> bytes:
        """The plaintext of exactly one record; ProtocolError if it cannot be had."""
        length = int.from_bytes(record[:2], "big")
        if not 17 <= length <= MAX_PLAINTEXT + 16:
            raise ProtocolError("unauthentic", "length of a record")
        if len(record) != 2 + length:
            raise AssertionError("a vector must hold exactly one record")
        try:
            return AESGCM(self.key(n >> EPOCH_BITS)).decrypt(self.nonce(n), record[2:], record[:2])
        except InvalidTag:
            raise ProtocolError("unauthentic", "record does not verify") from None


def pad(frames: bytes, size: int = None) -> bytes:
    """Zero bytes to `size`, or to the smallest size of profile `pad` (6.1) that holds the frames."""
    if size is None:
        size = next(s for s in PAD_SIZES if s >= len(frames))
    return frames.ljust(size, b"\x00")


# ---------------------------------------------------------------- 5 frames

def frame_bytes(kind: int, exchange: int, payload: bytes) -> bytes:
    """5.1."""
    return bytes([kind]) + varint(exchange) + varint(len(payload)) + payload


def header_list(headers: list) -> list:
    """1.4: [[name, value hex], …] as one flat array."""
    flat = []
    for name, value in headers:
        flat += [name, bytes.fromhex(value)]
    return flat


def head_of(frame: dict) -> dict:
    """The CBOR map of a frame that has one (5.3). Defaults are left out."""
    f, kind = frame, frame["type"]
    if kind == "REQUEST":
        head = {0: bytes.fromhex(f["request_id"]), 1: f["method"], 2: f["url"], 3: header_list(f["headers"])}
        if f["mode"]:
            head[4] = f["mode"]
        if f["timings"]:
            head[5] = True
        if f["policy"]:
            head[6] = f["policy"]
        if f["body"] != "none":
            head[7] = None if f["body"] == "unknown" else f["body"]
        head[8] = f["credit"]
    elif kind == "BODY_END":
        head = {0: f["total"]}
        if f["trailers"] is not None:
            head[1] = header_list(f["trailers"])
    elif kind == "RESPONSE":
        head = {1: f["status"], 2: header_list(f["headers"])}
        if f["length"] is not None:
            head[3] = f["length"]
    elif kind == "END":
        head = {0: f["total"]}
        if f["trailers"] is not None:
            head[1] = header_list(f["trailers"])
        if f["receipt"] is not None:
            head[2] = {RECEIPT.index(name): value for name, value in f["receipt"].items()}
    elif kind == "ERROR":
        head = {0: f["code"], 1: f["fault"], 2: f["retry"]}
        if f["text"] is not None:
            head[3] = f["text"]
        if f["after"] is not None:
            head[4] = f["after"]
    elif kind == "GOAWAY":
        head = {0: f["code"], 1: f["last"]}
        if f["text"] is not None:
            head[2] = f["text"]
        if f["after"] is not None:
            head[3] = f["after"]
    elif kind == "RESUME":
        head = {0: bytes.fromhex(f["request_id"]), 1: f["next_seq"], 2: f["credit"]} | ({3: f["attempt"]} if f["attempt"] else {})
    elif kind == "RESUMED":
        head = {0: f["received"], 1: f["credit"]}
    else:
        raise KeyError(kind)
    return head


def encode_frame(frame: dict, extra: dict = None) -> bytes:
    """The bytes of a frame. `extra` are further keys of its head: unknown ones, or defaults said aloud."""
    f, kind = frame, frame["type"]
    if kind in ("REQUEST", "BODY_END", "GOAWAY", "RESUME", "RESUMED"):
        payload = cbor.encode(head_of(f) | (extra or {}))
    elif kind in ("RESPONSE", "END", "ERROR"):
        payload = varint(f["seq"]) + cbor.encode(head_of(f) | (extra or {}))
    elif kind == "BODY":
        payload = bytes.fromhex(f["body"])
    elif kind == "DATA":
        stamps = b"".join(varint(s) for s in f["stamps"] or [])
        payload = varint(f["seq"]) + stamps + bytes.fromhex(f["body"])
    elif kind == "CANCEL":
        payload = varint(f["reason"])
    elif kind == "CREDIT":
        payload = varint(f["amount"])
    elif kind in ("PING", "PONG"):
        payload = bytes.fromhex(f["token"]) + varint(f["silence"])
    elif kind == "GONE":
        payload = b""
    else:
        raise KeyError(kind)
    return frame_bytes(NUMBERS[kind], f["exchange"], payload)
