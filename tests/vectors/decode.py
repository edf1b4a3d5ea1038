"""Decoders with the checks of protocol.md: credential (2), hello payloads (3), plaintexts and frames (4.4, 5). Shares nothing
with the encoders but names and the CBOR module.
"""

import base64
import re
import string
from urllib.parse import urlsplit

import cbor
from wire import RECEIPT, TYPES, ProtocolError, credential_checksum, encode_frame

CREDIT_MIN, CREDIT_MAX = 16448, 1 << 30
MAX_EXCHANGE = (1 << 30) - 1
MAX_HEAD, MAX_URL, MAX_FIELDS, MAX_TEXT = 16000, 8192, 256, 512
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
FROM_CLIENT = {"REQUEST", "BODY", "BODY_END", "CANCEL", "RESUME"}
FROM_SERVER = {"RESPONSE", "DATA", "END", "RESUMED", "GONE"}


def malformed(why: str):
    return ProtocolError("malformed", why)


# ---------------------------------------------------------------- 2 credential

class BadCredential(ValueError):
    """`args[0]` is one of: prefix, length, alphabet, checksum."""


def decode_credential(text: str) -> tuple:
    """(key_id, psk, server_public). The checks go in the order in which 2.1 lists them."""
    text = text.strip(" \t\n\f\r")
    if not text.startswith("xllm1_"):
        raise BadCredential("prefix")
    if len(text) != 118:
        raise BadCredential("length")
    if not set(text[6:]) <= set(string.ascii_letters + string.digits + "-_"):
        raise BadCredential("alphabet")
    data = base64.urlsafe_b64decode(text[6:])
    key_id, psk, public, checksum = data[:16], data[16:48], data[48:80], data[80:]
    if credential_checksum(key_id, psk, public) != checksum:
        raise BadCredential("checksum")
    return key_id, psk, public


# ---------------------------------------------------------------- heads: typed access

def is_uint(value) -> bool:
    return type(value) is int


def get(head: dict, key: int, check, what: str, required=True, default=None):
    """The value of a known key, or `default` where it is optional and absent. `check` says whether it is of the right type
    and in range."""
    if key not in head:
        if required:
            raise malformed(f"{what} is missing")
        return default
    if not check(head[key]):
        raise malformed(f"{what}: wrong type or out of range")
    return head[key]


def uint(low=0, high=(1 << 62) - 1):
    return lambda v: is_uint(v) and low <= v <= high


def text(limit):
    return lambda v: type(v) is str and len(v.encode()) <= limit


def byte_string(size):
    return lambda v: type(v) is bytes and len(v) == size


def known_submap(head: dict, key: int, what: str):
    if key not in head:
        return None
    return cbor.known_map(head[key])


def headers_of(head: dict, key: int, what: str, required: bool):
    """1.4, as far as it can be told to be malformed. Names and values are judged by `header_problem`."""
    if key not in head and not required:
        return None
    flat = get(head, key, lambda v: type(v) is list and len(v) % 2 == 0, what)
    if len(flat) > 2 * MAX_FIELDS:
        raise ProtocolError("too-large", f"{what}: more than {MAX_FIELDS} fields")
    if any(type(n) is not str for n in flat[0::2]) or any(type(v) is not bytes for v in flat[1::2]):
        raise malformed(f"{what}: names are text, values are bytes")
    return [[n, v.hex()] for n, v in zip(flat[0::2], flat[1::2])]


def header_problem(headers) -> bool:
    """True where a name or value is not what RFC 9110 section 5 allows, or a name is not in lower case."""
    for name, value in headers or []:
        if not re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9a-z]+", name):
            return True
        if re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", bytes.fromhex(value)):
            return True
    return False


# ---------------------------------------------------------------- 3 hello payloads

def decode_hello_head(payload: bytes) -> dict:
    """3.2: 208 bytes: one head, then zeros."""
    try:
        head, used = cbor.decode_prefix(payload)
    except cbor.CborError as error:
        raise malformed(str(error)) from None
    if any(payload[used:]):
        raise malformed("padding that is not zero")
    return head


def decode_client_hello(payload: bytes) -> dict:
    """3.3."""
    try:
        head = decode_hello_head(payload)
        key_id = get(head, 0, byte_string(16), "key ID")
        profile = get(head, 1, uint(0, 3), "profile", False, 1)
        params = known_submap(head, 2, "parameters")
    except cbor.CborError as error:
        raise malformed(str(error)) from None
    return {"key_id": key_id.hex(), "profile": profile, "parameters": params is not None}


def decode_server_hello(payload: bytes) -> dict:
    """3.4."""
    try:
        head = decode_hello_head(payload)
        return {
            "profile": get(head, 1, uint(0, 3), "profile"),
            "parameters": known_submap(head, 2, "parameters") is not None,
            "max_exchanges": get(head, 3, uint(1, 65536), "exchanges"),
            "upload_credit": get(head, 4, uint(CREDIT_MIN, CREDIT_MAX), "upload credit"),
            "max_buffered": get(head, 5, uint(), "largest buffered body"),
            "idle_seconds": get(head, 6, uint(), "idle seconds"),
            "clock_ms": get(head, 7, uint(), "clock"),
            "node": get(head, 8, text(64), "node", False),
            "hold_seconds": get(head, 9, uint(), "hold seconds", False, 0),
            "instance": instance.hex() if (instance := get(head, 10, byte_string(8), "instance", False)) is not None else None,
        }
    except cbor.CborError as error:
        raise malformed(str(error)) from None


# ---------------------------------------------------------------- 5 frames

class Bytes:
    """A cursor over a plaintext or a payload."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, count: int, what: str) -> bytes:
        if count > self.left():
            raise malformed(f"{what} reaches past the end")
        self.at += count
        return self.data[self.at - count:self.at]

    def rest(self) -> bytes:
        return self.take(self.left(), "rest")

    def varint(self, what: str) -> int:
        """1.2: a longer form than needed is malformed."""
        first = self.take(1, what)[0]
        size = 1 << (first >> 6)
        value = int.from_bytes(bytes([first & 63]) + self.take(size - 1, what), "big")
        if size > 1 and value < 1 << (8 * (size // 2) - 2):
            raise malformed(f"{what} is not in its shortest form")
        return value

    def done(self):
        if self.left():
            raise malformed("bytes after the payload")


def decode_varint(data: bytes) -> int:
    cursor = Bytes(data)
    value = cursor.varint("varint")
    cursor.done()
    return value


def head_in(data: bytes) -> dict:
    if len(data) > MAX_HEAD:
        raise ProtocolError("too-large", "head over 16000 bytes")
    return cbor.decode_head(data)


def decode_payload(kind: str, payload: bytes, timings: bool) -> dict:
    """The fields of a payload by the type of its frame (5.3 to 5.8, 7.1)."""
    cursor = Bytes(payload)
    fields = {}
    if kind in ("RESPONSE", "DATA", "END", "ERROR"):
        fields["seq"] = cursor.varint("seq")
    if kind == "BODY":
        fields["body"] = cursor.rest().hex()
        if not fields["body"]:
            raise malformed("BODY without bytes")
    elif kind == "DATA":
        fields["stamps"] = [cursor.varint("stamp"), cursor.varint("stamp")] if timings else None
        fields["body"] = cursor.rest().hex()
        if not fields["body"]:
            raise malformed("DATA without bytes")
    elif kind == "CANCEL":
        fields["reason"] = cursor.varint("reason")
        if fields["reason"] > 2:
            raise malformed("reason of CANCEL out of range")
    elif kind == "CREDIT":
        fields["amount"] = cursor.varint("credit")
        if not 1 <= fields["amount"] <= CREDIT_MAX:
            raise malformed("credit out of range")
    elif kind in ("PING", "PONG"):
        fields["token"] = cursor.take(8, "token").hex()
        fields["silence"] = cursor.varint("silence")
    elif kind == "GONE":
        pass
    else:
        fields |= decode_frame_head(kind, head_in(cursor.rest()))
    cursor.done()
    return fields


def decode_frame_head(kind: str, head: dict) -> dict:
    if kind == "REQUEST":
        return {
            "request_id": get(head, 0, byte_string(16), "request ID").hex(),
            "method": get(head, 1, text(1 << 20), "method"),
            "url": request_url(head),
            "headers": headers_of(head, 3, "headers", True),
            "mode": get(head, 4, uint(0, 1), "mode", False, 0),
            "timings": get(head, 5, lambda v: type(v) is bool, "stamps", False, False),
            "policy": get(head, 6, uint(0, 2), "policy", False, 0),
            "body": request_body(head),
            "credit": get(head, 8, uint(CREDIT_MIN, CREDIT_MAX), "download credit"),
        }
    if kind == "BODY_END":
        return {"total": get(head, 0, uint(), "total"), "trailers": headers_of(head, 1, "trailers", False)}
    if kind == "RESPONSE":
        return {
            "status": get(head, 1, uint(200, 999), "status"),
            "headers": headers_of(head, 2, "headers", True),
            "length": get(head, 3, uint(), "length", False),
        }
    if kind == "END":
        receipt = known_submap(head, 2, "receipt")
        if receipt is not None:
            receipt = {name: get(receipt, i, uint(), name) for i, name in enumerate(RECEIPT) if i in receipt}
        return {
            "total": get(head, 0, uint(), "total"),
            "trailers": headers_of(head, 1, "trailers", False),
            "receipt": receipt,
        }
    if kind == "ERROR":
        return {
            "code": get(head, 0, uint(), "code"),
            "fault": get(head, 1, uint(0, 3), "fault"),
            "retry": get(head, 2, lambda v: type(v) is bool, "retry"),
            "text": get(head, 3, text(MAX_TEXT), "text", False),
            "after": get(head, 4, uint(), "after", False),
        }
    if kind == "GOAWAY":
        return {
            "code": get(head, 0, uint(), "code"),
            "last": get(head, 1, uint(), "last exchange"),
            "text": get(head, 2, text(MAX_TEXT), "text", False),
            "after": get(head, 3, uint(), "after", False),
        }
    if kind == "RESUME":
        return {
            "request_id": get(head, 0, byte_string(16), "request ID").hex(),
            "next_seq": get(head, 1, uint(), "next seq"),
            "credit": get(head, 2, uint(CREDIT_MIN, CREDIT_MAX), "download credit"),
            "attempt": get(head, 3, uint(), "attempt", False, 0),
        }
    if kind == "RESUMED":
        return {"received": get(head, 0, uint(), "received"),
                "credit": get(head, 1, uint(0, CREDIT_MAX), "upload credit")}
    raise KeyError(kind)


def request_url(head: dict) -> str:
    url = get(head, 2, text(1 << 20), "url")
    if len(url.encode()) > MAX_URL:
        raise ProtocolError("too-large", "URL over 8192 bytes")
    return url


def request_body(head: dict):
    if 7 not in head:
        return "none"
    value = get(head, 7, lambda v: v is None or uint()(v), "request body")
    return "unknown" if value is None else value


def refusal(request: dict):
    """Why a well-formed REQUEST is answered by an ERROR of its exchange (1.4, 8.3), or None."""
    try:
        parts = urlsplit(request["url"])
    except ValueError:
        return "request-invalid"
    if request["method"] not in METHODS or header_problem(request["headers"]):
        return "request-invalid"
    if parts.scheme and parts.scheme not in ("http", "https"):
        return "scheme-not-allowed"
    if not parts.scheme or not parts.hostname or "#" in request["url"] or "@" in parts.netloc:
        return "request-invalid"
    return None


def check_place(kind: str, exchange: int, receiver: str):
    """5.1: the side and the exchange number that the table gives."""
    if receiver == "client" and kind in FROM_CLIENT or receiver == "server" and kind in FROM_SERVER:
        raise ProtocolError("violation", f"{kind} from the wrong side")
    if exchange > MAX_EXCHANGE:
        raise ProtocolError("violation", "exchange number over 2^30 - 1")
    if kind == "GOAWAY" and exchange != 0 or kind == "ERROR" and receiver == "server" and exchange != 0:
        raise ProtocolError("violation", f"{kind} on an exchange")
    if exchange == 0 and kind not in ("GOAWAY", "ERROR", "PING", "PONG"):
        raise ProtocolError("violation", f"{kind} on exchange 0")


def decode_frame(cursor: Bytes, receiver: str, timings_of) -> dict:
    """One frame at the cursor. `timings_of(exchange)` says whether its DATA has stamps (5.6)."""
    number = cursor.take(1, "type")[0]
    if number not in TYPES:
        raise ProtocolError("unknown-frame", f"type {number}")
    kind = TYPES[number]
    exchange = cursor.varint("exchange")
    payload = cursor.take(cursor.varint("size"), "payload")
    check_place(kind, exchange, receiver)
    try:
        fields = decode_payload(kind, payload, kind == "DATA" and timings_of(exchange))
    except cbor.CborError as error:
        raise malformed(str(error)) from None
    return {"type": kind, "exchange": exchange, **fields}


def decode_plaintext(plaintext: bytes, receiver: str, timings_of=lambda exchange: False) -> list:
    """4.4: whole frames, then zeros."""
    return list(walk(plaintext, receiver, timings_of))


def walk(plaintext: bytes, receiver: str, timings_of):
    if not 1 <= len(plaintext) <= 16384:
        raise malformed("size of a plaintext")
    cursor = Bytes(plaintext)
    while cursor.left():
        if plaintext[cursor.at] == 0:
            if any(cursor.rest()):
                raise malformed("padding that is not zero")
            return
        yield decode_frame(cursor, receiver, timings_of)


def reencodes(frame: dict, data: bytes) -> bool:
    """Whether encoding the decoded fields gives the same bytes (not so with unknown keys or defaults said aloud)."""
    return encode_frame(frame) == data
