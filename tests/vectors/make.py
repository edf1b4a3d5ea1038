#!/usr/bin/env python3
"""Makes the JSON vectors beside this file from protocol.md alone.

    python3 tests/vectors/make.py           rewrites them
    python3 tests/vectors/make.py --check   fails if a file is not what this program would write

Nothing is random: every key and every token is the SHA-256 of a label. Each case is decoded again before it is written.
"""

import hashlib
import json
import pathlib
import sys

from cryptography.exceptions import InvalidTag

sys.dont_write_bytecode = True

import cbor  # noqa: E402
import decode  # noqa: E402
import wire  # noqa: E402
from make_frames import frames_file  # noqa: E402
from make_resume import resumption_file  # noqa: E402
from make_session import session_file  # noqa: E402
from noise import NKpsk2, public_of  # noqa: E402
from seeds import seed  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent


# ---------------------------------------------------------------- credential.json

def credential_file() -> dict:
    valid, invalid = [], []
    for name in ("first", "second", "third"):
        key_id, psk = seed(f"credential {name} key id", 16), seed(f"credential {name} psk")
        public = public_of(seed(f"credential {name} server"))
        text = wire.credential(key_id, psk, public)
        valid.append({"name": name, "key_id": key_id.hex(), "psk": psk.hex(), "server_public": public.hex(), "text": text})
    for name, octet in (("all bytes zero", 0), ("all bytes 0xff", 255)):
        key_id, psk, public = bytes([octet]) * 16, bytes([octet]) * 32, bytes([octet]) * 32
        valid.append({"name": name, "key_id": key_id.hex(), "psk": psk.hex(), "server_public": public.hex(),
                      "text": wire.credential(key_id, psk, public)})
    spaced = dict(valid[0], name="white space around", text=f" \t\f{valid[0]['text']}\r\n")
    valid.append(spaced)

    good = valid[0]["text"]
    flip = "A" if good[50] != "A" else "B"
    key_id, psk, public = (bytes.fromhex(valid[0][k]) for k in ("key_id", "psk", "server_public"))
    bare = hashlib.sha256(key_id + psk + public).digest()[:4]
    last4 = hashlib.sha256(b"xllm1_" + key_id + psk + public).digest()[-4:]
    for name, text, reason in (
        ("empty", "", "prefix"),
        ("version 2", "xllm2_" + good[6:], "prefix"),
        ("upper case prefix", "XLLM1_" + good[6:], "prefix"),
        ("no prefix", good[6:], "prefix"),
        ("prefix with a hyphen", "xllm1-" + good[6:], "prefix"),
        ("prefix alone", "xllm1_", "length"),
        ("a character short", good[:-1], "length"),
        ("a character long", good + "A", "length"),
        ("base64 padding added", good + "==", "length"),
        ("twice", good + good, "length"),
        ("plus sign", good[:60] + "+" + good[61:], "alphabet"),
        ("slash", good[:60] + "/" + good[61:], "alphabet"),
        ("equals sign at the end", good[:-1] + "=", "alphabet"),
        ("space inside", good[:60] + " " + good[61:], "alphabet"),
        ("letter outside ASCII, 118 characters", good[:60] + "\u00e9" + good[61:], "alphabet"),
        ("one character changed", good[:50] + flip + good[51:], "checksum"),
        ("case of one letter changed", swap_one_case(good), "checksum"),
        ("checksum without the prefix", wire.credential(key_id, psk, public, bare), "checksum"),
        ("checksum from the end of the hash", wire.credential(key_id, psk, public, last4), "checksum"),
        ("checksum of zeros", wire.credential(key_id, psk, public, bytes(4)), "checksum"),
    ):
        invalid.append({"name": name, "text": text, "reason": reason})

    for case in valid:
        assert [b.hex() for b in decode.decode_credential(case["text"])] == [case[k] for k in ("key_id", "psk", "server_public")]
        assert len(case["text"].strip()) == 118
    for case in invalid:
        # A letter outside ASCII makes a byte length of 119; a reader that counts bytes may say "length".
        try:
            decode.decode_credential(case["text"])
        except decode.BadCredential as error:
            assert error.args[0] == case["reason"], case
        else:
            raise AssertionError(case)
    return {
        "about": "Credentials (protocol.md section 2). invalid.reason is the first check that fails, in the order prefix, "
                 "length (in characters, after stripping), alphabet, checksum. There are no trailing bits at 112 characters.",
        "valid": valid, "invalid": invalid,
    }


def swap_one_case(text: str) -> str:
    at = next(i for i in range(20, len(text)) if text[i].isalpha())
    return text[:at] + text[at].swapcase() + text[at + 1:]


# ---------------------------------------------------------------- handshake.json

SERVER_HEAD = {1: 1, 3: 64, 4: 1 << 20, 5: 1 << 25, 6: 300, 7: 1_793_000_000_000}
EXTRA = {30: [1, "two", b"\x03", {4: None}], 1000: cbor.Raw(bytes.fromhex("f93e00")), 1001: cbor.Raw(b"\xf7"), 70000: -7,
         1 << 40: cbor.Raw(bytes.fromhex("c11a6000abcd"))}


def handshake_keys(label: str) -> dict:
    keys = {}
    for side in ("server", "client_ephemeral", "server_ephemeral"):
        keys[side + "_private"] = seed(f"handshake {label} {side}")
        keys[side + "_public"] = public_of(keys[side + "_private"])
    keys["psk"] = seed(f"handshake {label} psk")
    return keys


def run_handshake(keys: dict, client_payload: bytes, server_payload: bytes) -> dict:
    """Both sides; whatever one seals, the other opens, and both end with the same h, k1 and k2."""
    client = NKpsk2(keys["server_public"], keys["client_ephemeral_private"])
    server = NKpsk2(keys["server_public"], keys["server_ephemeral_private"], keys["server_private"])
    client_hello = client.write_client_hello(client_payload)
    assert server.read_client_hello(client_hello) == client_payload
    server_hello = server.write_server_hello(keys["psk"], server_payload)
    assert client.read_server_hello(keys["psk"], server_hello) == server_payload
    assert client.finish() == server.finish() and len(client_hello) == len(server_hello) == 256
    h, k1, k2 = client.finish()
    return {"client_hello": client_hello, "server_hello": server_hello, "h": h, "k1": k1, "k2": k2}


def handshake_file() -> dict:
    cases = []
    key_id = seed("handshake key id", 16)
    full = SERVER_HEAD | {1: 2, 2: {0: 50, 1: 1024}, 8: "node-\u00e9-7", 9: 60, 10: b"instance"}
    largest = {1: 3, 3: 65536, 4: 1 << 30, 5: (1 << 62) - 1, 6: (1 << 32) - 1, 7: (1 << 53) - 1, 8: "n" * 64, 9: 86400, 10: b"\xff" * 8}
    smallest = {1: 0, 3: 1, 4: 16448, 5: 0, 6: 1, 7: 0}
    for name, client_head, server_head in (
        ("profile pad, as in section 11", {0: key_id, 1: 1}, SERVER_HEAD),
        ("profile absent means pad", {0: key_id}, SERVER_HEAD | {8: "eu-1"}),
        ("unknown keys in the client's head", {0: key_id, 1: 1} | EXTRA, SERVER_HEAD),
        ("unknown keys in the server's head", {0: key_id, 1: 1}, SERVER_HEAD | EXTRA),
        ("unknown value nested to the limit, head included", {0: key_id, 9: cbor.Raw(b"\x81" * 7 + b"\x00")}, SERVER_HEAD),
        ("all keys of the server", {0: key_id, 1: 1}, SERVER_HEAD | {8: "node-\u00e9-7", 9: 60, 10: bytes(8)}),
        ("profile off, smallest values", {0: key_id, 1: 0}, smallest),
        ("profile off asked for, stricter in force", {0: key_id, 1: 0}, SERVER_HEAD),
        ("paced with parameters, all keys of the server", {0: key_id, 1: 2, 2: {0: 50, 1: 1024}}, full),
        ("largest values", {0: b"\xff" * 16, 1: 3, 2: {}}, largest),
        ("largest values, no parameters", {0: b"\xff" * 16, 1: 3}, largest),
        ("heads of exactly 208 bytes", {0: key_id, 99: bytes(185)}, SERVER_HEAD | {99: bytes(163)}),
    ):
        keys = handshake_keys(name)
        client_cbor, server_cbor = cbor.encode(client_head), cbor.encode(server_head)
        if "exactly 208" in name:
            assert len(client_cbor) == 208, len(client_cbor)
            server_cbor = cbor.encode(SERVER_HEAD | {99: bytes(163 + 208 - len(server_cbor))})
            assert len(server_cbor) == 208, len(server_cbor)
        client_payload, server_payload = wire.hello_payload(client_cbor), wire.hello_payload(server_cbor)
        run = run_handshake(keys, client_payload, server_payload)
        cases.append({
            "name": name, "prologue": b"xllm-proxy/1", **keys,
            "client_plain": set(client_head) == {0, 1}, "server_plain": set(server_head) <= {1, 3, 4, 5, 6, 7, 8, 9, 10},
            "client_head": client_cbor, "client_payload": client_payload,
            "client_fields": decode.decode_client_hello(client_payload), "client_hello": run["client_hello"],
            "server_head": server_cbor, "server_payload": server_payload,
            "server_fields": decode.decode_server_hello(server_payload), "server_hello": run["server_hello"],
            "handshake_hash": run["h"], "k1": run["k1"], "k2": run["k2"],
        })
    return {
        "about": "Handshakes (section 3): all keys, both payloads, both hellos and what comes out. "
                 "`invalid` are client hellos that a server must meet with silence (3.7); `invalid_server` are server "
                 "hellos that a client must refuse.",
        "cases": hexed(cases), "invalid": hexed(invalid_client_hellos(key_id)),
        "invalid_server": hexed(invalid_server_hellos(key_id)),
    }


def sealed_client_hello(name: str, payload: bytes, reason: str) -> dict:
    """A well-sealed client hello; it must open, and its payload must be refused."""
    keys = handshake_keys(name)
    hello = NKpsk2(keys["server_public"], keys["client_ephemeral_private"]).write_client_hello(payload)
    server = NKpsk2(keys["server_public"], keys["server_ephemeral_private"], keys["server_private"])
    assert len(hello) == 256 and server.read_client_hello(hello) == payload
    return {"name": name, "reason": reason, "opens": True, "server_private": keys["server_private"],
            "client_payload": payload, "client_hello": hello}


def must_refuse(call, *arguments) -> str:
    try:
        call(*arguments)
    except wire.ProtocolError as error:
        return error.code
    raise AssertionError(f"accepted: {arguments}")


def invalid_client_hellos(key_id: bytes) -> list:
    good = cbor.encode({0: key_id, 1: 1})
    e, raw = cbor.encode, bytes.fromhex
    result = []
    for name, head, reason in (
        ("padding not zero, last byte", good + bytes(208 - len(good) - 1) + b"\x01", "padding"),
        ("padding not zero, first byte", good + b"\x01", "padding"),
        ("a second map after the head", good + b"\xa1\x00\x00", "padding"),
        ("empty payload, all zero", b"", "not a map"),
        ("empty map", e({}), "key ID missing"),
        ("key ID missing", e({1: 1}), "key ID missing"),
        ("key ID of 15 bytes", e({0: key_id[:15], 1: 1}), "key ID"),
        ("key ID of 17 bytes", e({0: key_id + b"\x00", 1: 1}), "key ID"),
        ("key ID as text", e({0: "0123456789abcdef", 1: 1}), "key ID"),
        ("an array", e([key_id, 1]), "not a map"),
        ("a byte string", e(key_id), "not a map"),
        ("profile 9", e({0: key_id, 1: 9}), "profile"),
        ("profile null", e({0: key_id, 1: None}), "profile"),
        ("profile negative", e({0: key_id, 1: -1}), "profile"),
        ("profile as text", e({0: key_id, 1: "pad"}), "profile"),
        ("parameters not a map", e({0: key_id, 1: 2, 2: []}), "parameters"),
        ("key repeats", b"\xa3\x00\x50" + key_id + raw("01010101"), "keys"),
        ("keys descend", b"\xa2\x01\x01\x00\x50" + key_id, "keys"),
        ("key is text", b"\xa2\x00\x50" + key_id + raw("613101"), "keys"),
        ("key is negative", b"\xa2\x00\x50" + key_id + raw("2001"), "keys"),
        ("count of the map larger than its content", b"\xbb" + b"\xff" * 8 + b"\x00\x50" + key_id, "length"),
        ("length that reaches past the payload", b"\xa2\x00\x50" + key_id + raw("18635a7fffffff"), "length"),
        ("unknown value nested 12 deep", e({0: key_id, 1: 1, 9: cbor.Raw(b"\x81" * 12 + b"\x00")}), "nesting"),
        ("unknown value is not well-formed", e({0: key_id, 1: 1, 9: cbor.Raw(b"\x1c")}), "not well-formed"),
        ("nesting of 9, head included", e({0: key_id, 9: cbor.Raw(b"\x81" * 8 + b"\x00")}), "nesting"),
        ("profile 4", e({0: key_id, 1: 4}), "profile"),
        ("parameters with a text key", e({0: key_id, 1: 2, 2: {"a": 1}}), "parameters"),
        ("profile 1 as 18 01", b"\xa2\x00\x50" + key_id + raw("011801"), "not deterministic"),
        ("map of indefinite length", b"\xbf\x00\x50" + key_id + b"\xff", "not deterministic"),
        ("unknown value of indefinite length", b"\xa2\x00\x50" + key_id + raw("099f01ff"), "not deterministic"),
        ("unknown float not shortest", b"\xa2\x00\x50" + key_id + raw("09fb3ff8000000000000"), "not deterministic"),
        ("unknown map whose keys descend", b"\xa2\x00\x50" + key_id + raw("09a201000000"), "not deterministic"),
        ("unknown text that is not UTF-8", b"\xa2\x00\x50" + key_id + raw("0961ff"), "not UTF-8"),
    ):
        payload = wire.hello_payload(head)
        assert must_refuse(decode.decode_client_hello, payload) == "malformed", name
        result.append(sealed_client_hello(name, payload, reason))

    keys = handshake_keys("client hello that does not open")
    payload = wire.hello_payload(good)
    hello = NKpsk2(keys["server_public"], keys["client_ephemeral_private"]).write_client_hello(payload)
    elsewhere = NKpsk2(public_of(seed("another server")), keys["client_ephemeral_private"]).write_client_hello(payload)
    prologue = NKpsk2(keys["server_public"], keys["client_ephemeral_private"], prologue=b"xllm-proxy/2")
    for name, data in (
        ("last bit of the tag flipped", hello[:-1] + bytes([hello[-1] ^ 1])),
        ("a bit of the ciphertext flipped", hello[:100] + bytes([hello[100] ^ 128]) + hello[101:]),
        ("a bit of the ephemeral key flipped", bytes([hello[0] ^ 1]) + hello[1:]),
        ("for another server", elsewhere),
        ("prologue xllm-proxy/2", prologue.write_client_hello(payload)),
        ("256 zero bytes", bytes(256)),
        ("text of an HTTP request", (b"GET / HTTP/1.1\r\nHost: proxy\r\n\r\n" * 20)[:256]),
    ):
        server = NKpsk2(keys["server_public"], keys["server_ephemeral_private"], keys["server_private"])
        try:
            server.read_client_hello(data)
        except (InvalidTag, ValueError):
            pass
        else:
            raise AssertionError(name)
        result.append({"name": name, "reason": "does not open", "opens": False, "server_private": keys["server_private"],
                       "client_payload": None, "client_hello": data})

    # A point of small order: without the check of 3.1 it would open, for anyone who can write it.
    keys = handshake_keys("all-zero ephemeral")
    for name, point in (("ephemeral key all zero", bytes(32)), ("ephemeral key 1", b"\x01" + bytes(31))):
        zero = NKpsk2(keys["server_public"], keys["client_ephemeral_private"])
        hello = zero.write_client_hello(payload, es=bytes(32), e_public=point)
        result.append({"name": name + ", shared secret all zero", "reason": "does not open", "opens": False,
                       "server_private": keys["server_private"], "client_payload": None, "client_hello": hello})
    return result


def invalid_server_hellos(key_id: bytes) -> list:
    result = []
    client_payload = wire.hello_payload(cbor.encode({0: key_id, 1: 1}))

    def without(key):
        return {k: v for k, v in SERVER_HEAD.items() if k != key}

    def add(name, head, code, padding=b"", damage=None, psk=None):
        keys = handshake_keys(name)
        payload = wire.hello_payload(cbor.encode(head))
        payload = payload[:len(payload) - len(padding)] + padding
        run = run_handshake(keys | ({"psk": psk} if psk else {}), client_payload, payload)
        hello = run["server_hello"]
        if damage is not None:
            hello = hello[:damage] + bytes([hello[damage] ^ 1]) + hello[damage + 1:]
        client = NKpsk2(keys["server_public"], keys["client_ephemeral_private"])
        assert client.write_client_hello(client_payload) == run["client_hello"]
        try:
            opened = client.read_server_hello(keys["psk"], hello)
        except (InvalidTag, ValueError):
            assert code == "key-refused"
        else:
            if code == "profile-refused":
                assert decode.decode_server_hello(opened)["profile"] < 1
            else:
                assert must_refuse(decode.decode_server_hello, opened) == code, name
        result.append({"name": name, "code": code, "asked_profile": 1, "server_public": keys["server_public"],
                       "psk": keys["psk"], "client_ephemeral_private": keys["client_ephemeral_private"],
                       "client_payload": client_payload, "client_hello": run["client_hello"],
                       "server_payload": payload if code != "key-refused" else None, "server_hello": hello})

    add("weaker profile than asked for", SERVER_HEAD | {1: 0}, "profile-refused")
    for key in (1, 3, 4, 5, 6, 7):
        add(f"key {key} missing", without(key), "malformed")
    add("profile 4", SERVER_HEAD | {1: 4}, "malformed")
    add("no exchanges", SERVER_HEAD | {3: 0}, "malformed")
    add("65537 exchanges", SERVER_HEAD | {3: 65537}, "malformed")
    add("upload credit 16447", SERVER_HEAD | {4: 16447}, "malformed")
    add("upload credit 2^30 + 1", SERVER_HEAD | {4: (1 << 30) + 1}, "malformed")
    add("node name of 65 bytes", SERVER_HEAD | {8: "n" * 65}, "malformed")
    add("node name of 64 characters, 65 bytes", SERVER_HEAD | {8: "n" * 63 + "\u00e9"}, "malformed")
    add("instance of 7 bytes", SERVER_HEAD | {10: bytes(7)}, "malformed")
    add("instance as text", SERVER_HEAD | {10: "instance"}, "malformed")
    add("clock as text", SERVER_HEAD | {7: "now"}, "malformed")
    add("clock of 2^62", SERVER_HEAD | {7: 1 << 62}, "malformed")
    add("parameters not a map", SERVER_HEAD | {2: 0}, "malformed")
    add("padding not zero", SERVER_HEAD, "malformed", padding=b"\x01")
    add("tag damaged", SERVER_HEAD, "key-refused", damage=255)
    add("ephemeral key damaged", SERVER_HEAD, "key-refused", damage=3)
    add("sealed under another PSK (key ID unknown, 3.6)", SERVER_HEAD, "key-refused", psk=seed("fresh random bytes"))
    return result


# ---------------------------------------------------------------- schedule.json, records.json, varint.json

def schedule_file() -> dict:
    cases = []
    for label in ("client to server", "server to client", "all zero"):
        h, k = seed("schedule h"), seed(f"schedule k {label}")
        if label == "all zero":
            h = k = bytes(32)
        epochs = wire.Epochs(h, k)
        cases.append({
            "name": label, "h": h, "k": k,
            "epochs": [{"epoch": e, "secret": epochs.secret(e), "key": epochs.key(e), "iv": epochs.iv(e)} for e in range(4)],
            "nonces": [{"n": n, "epoch": n >> 20, "nonce": epochs.nonce(n)}
                       for n in (0, 1, 255, (1 << 20) - 1, 1 << 20, 3 * (1 << 20) + 5)],
        })
    return {"about": "The key schedule of one direction (4.1) and the nonces of records (4.2).", "cases": hexed(cases)}


def records_file() -> dict:
    h, k = seed("records h"), seed("records k")
    epochs = wire.Epochs(h, k)
    ping = wire.encode_frame({"type": "PING", "exchange": 0, "token": seed("records token", 8).hex(), "silence": 0})

    def data(size):
        """DATA frames that fill `size` bytes exactly."""
        body = size - (1 + 1 + len(wire.varint(size - 4)) + 1)
        f = {"type": "DATA", "exchange": 1, "seq": 1, "stamps": None, "body": stream("records body", body).hex()}
        result = wire.encode_frame(f)
        assert len(result) == size, (len(result), size)
        return result

    valid = []
    for name, n, frames, size in (
        ("one byte of padding alone", 0, b"", 1),
        ("a PING, no padding", 0, ping, len(ping)),
        ("a PING padded to 512", 0, ping, 512),
        ("512 without padding", 1, data(512), 512),
        ("padding alone, 512", 1, b"", 512),
        ("16384 without padding", 1, data(16384), 16384),
        ("8193 bytes of frames padded to 16384", 1, data(8193), 16384),
        ("padding alone, 16384", 2, b"", 16384),
        ("two frames and padding to 1024", 255, ping + data(600), 1024),
        ("the counter has a second byte", 256, ping, 512),
        ("two bytes of the counter are full", (1 << 16) - 1, ping, 512),
        ("the counter has a third byte", 1 << 16, ping, 512),
        ("last of epoch 0", (1 << 20) - 1, ping, 512),
        ("first of epoch 1", 1 << 20, ping, 512),
        ("one byte, first of epoch 1", 1 << 20, b"", 1),
        ("epoch 3", 3 * (1 << 20) + 5, ping + data(40), 512),
    ):
        plaintext = wire.pad(frames, size)
        record = epochs.seal(n, plaintext)
        assert epochs.open(n, record) == plaintext
        decoded = decode.decode_plaintext(plaintext, "client")
        assert b"".join(map(wire.encode_frame, decoded)) == frames
        valid.append({"name": name, "n": n, "frames": frames, "padding": size - len(frames), "plaintext": plaintext,
                      "record": record})

    good = epochs.seal(7, wire.pad(ping, 512))
    invalid = []

    def add(name, n, record, code, whole=True):
        if whole:
            try:
                decode.decode_plaintext(epochs.open(n, record), "client")
            except wire.ProtocolError as error:
                assert error.code == code, name
            else:
                raise AssertionError(name)
        invalid.append({"name": name, "n": n, "record": record, "code": code})

    add("last bit of the tag", 7, good[:-1] + bytes([good[-1] ^ 1]), "unauthentic")
    add("first bit of the ciphertext", 7, good[:2] + bytes([good[2] ^ 128]) + good[3:], "unauthentic")
    add("one record early", 6, good, "unauthentic")
    add("one record late (replay)", 8, good, "unauthentic")
    add("same place in the next epoch", 7 + (1 << 20), good, "unauthentic")
    other = wire.Epochs(h, seed("records k of the other direction"))
    add("sealed by the other direction (reflection)", 7, other.seal(7, wire.pad(ping, 512)), "unauthentic")
    other = wire.Epochs(seed("records h of another session"), k)
    add("sealed in another session, under the same k", 7, other.seal(7, wire.pad(ping, 512)), "unauthentic")
    stuck, hasty = wire.Epochs(h, k), wire.Epochs(h, k)
    stuck.secrets, hasty.secrets = [epochs.secret(0)] * 2, [epochs.secret(1)]
    add("first of epoch 1, under the key of epoch 0", 1 << 20, stuck.seal(1 << 20, wire.pad(ping, 512)), "unauthentic")
    add("last of epoch 0, under the key of epoch 1", (1 << 20) - 1, hasty.seal((1 << 20) - 1, wire.pad(ping, 512)), "unauthentic")
    longer = (len(good) - 2 + 1).to_bytes(2, "big") + good[2:] + b"\x00"
    add("length altered, one byte more", 7, longer, "unauthentic")
    add("length altered, one byte less", 7, (len(good) - 2 - 1).to_bytes(2, "big") + good[2:-1], "unauthentic")
    add("zeros of length 17", 7, b"\x00\x11" + bytes(17), "unauthentic")
    add("length 0", 7, b"\x00\x00", "unauthentic")
    add("length 16: an empty plaintext, well sealed", 7, epochs.seal(7, b"", any_size=True), "unauthentic")
    add("length 16, the two bytes alone", 7, b"\x00\x10", "unauthentic")
    add("length 16401: a plaintext of 16385, well sealed", 7, epochs.seal(7, bytes(16385), any_size=True), "unauthentic")
    add("length 16401, the two bytes alone", 7, (16401).to_bytes(2, "big"), "unauthentic")
    add("length 65535, the two bytes alone", 7, b"\xff\xff", "unauthentic")
    add("text of an HTTP answer (length 18516)", 7, b"HTTP/1.1 400 Bad Request\r\n\r\n", "unauthentic")
    add("verifies, padding not zero at the end", 7, epochs.seal(7, wire.pad(ping, 511) + b"\x01"), "malformed")
    add("verifies, a frame after padding", 7, epochs.seal(7, wire.pad(b"\x00" + ping, 512)), "malformed")
    return {
        "about": "Sealed records of one direction with h and k (4.1 to 4.4); n is the number of the record. invalid.code is "
                 "the name in section 8 of what must result, for a receiver that is a client.",
        "h": h.hex(), "k": k.hex(), "valid": hexed(valid), "invalid": hexed(invalid),
    }


def varint_file() -> dict:
    values = sorted({0, 1, 37, 62, 63, 64, 65, 15293, 16382, 16383, 16384, 494878333, (1 << 30) - 1, 1 << 30,
                     (1 << 30) + 1, 1 << 32, (1 << 53) - 1, 1 << 53, 151288809941952652, (1 << 62) - 1})
    valid = [{"name": f"{v}", "value": v, "bytes": wire.varint(v)} for v in values]
    for case in valid:
        assert decode.decode_varint(case["bytes"]) == case["value"]
    invalid = []
    for value in (0, 37, 63, 64, 16383, 16384, (1 << 30) - 1):
        for size in (2, 4, 8):
            if value < 1 << (8 * size - 2) and size > len(wire.varint(value)):
                invalid.append({"name": f"{value} in {size} bytes", "bytes": wire.varint_sized(value, size),
                                "reason": "not-shortest"})
    invalid.append({"name": "no byte", "bytes": b"", "reason": "truncated"})
    for value in (64, 16384, 1 << 30, (1 << 62) - 1):
        data = wire.varint(value)
        for cut in range(1, len(data)):
            invalid.append({"name": f"{value} cut to {cut}", "bytes": data[:cut], "reason": "truncated"})
    for case in invalid:
        assert must_refuse(decode.decode_varint, case["bytes"]) == "malformed"
    return {
        "about": "Variable-length integers (1.2): each is all there is at hand. Values go up to 2^62 - 1, beyond what a "
                 "double holds: read them as 64-bit integers. Every invalid one is malformed.",
        "valid": hexed(valid), "invalid": hexed(invalid),
    }


# ---------------------------------------------------------------- known answers from outside

def known_answers():
    """Values from the RFCs, and the library's own HKDF beside the one written by hand."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    # RFC 5869, appendix A.1
    prk = wire.hkdf_extract(bytes(range(13)), b"\x0b" * 22)
    assert prk.hex() == "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
    assert wire.hkdf_expand(prk, bytes(range(0xf0, 0xfa)), 42).hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")
    for info, size in ((b"xllm/1 key", 32), (b"xllm/1 iv", 12), (b"xllm/1 next", 32)):
        assert HKDFExpand(SHA256(), size, info).derive(prk) == wire.hkdf_expand(prk, info, size)
    # RFC 9000, appendix A.1
    for value, data in ((151288809941952652, "c2197c5eff14e88c"), (494878333, "9d7f3e7d"), (15293, "7bbd"), (37, "25")):
        assert wire.varint(value).hex() == data
    # RFC 8949, appendix A
    for value, data in ((1000000000000, "1b000000e8d4a51000"), ({1: 2, 3: 4}, "a201020304"), ("\u00fc", "62c3bc"),
                        ([1, [2, 3], [4, 5]], "8301820203820405"), (None, "f6"), (True, "f5"), (-1000, "3903e7"),
                        (b"\x01\x02\x03\x04", "4401020304"), (list(range(1, 26)),
                        "98190102030405060708090a0b0c0d0e0f101112131415161718181819")):
        assert cbor.encode(value).hex() == data


# ---------------------------------------------------------------- writing

def stream(label: str, size: int) -> bytes:
    """Bytes that look like a body, never the same label twice."""
    out = b""
    while len(out) < size:
        out += seed(f"{label} {len(out)}")
    return out[:size]


def hexed(value):
    """Byte strings to lower-case hex, all the way down."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {k: hexed(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [hexed(v) for v in value]
    return value


def runs(data: bytes) -> list:
    """[[hex, how many times], ...]: long repeats of one byte, or of 256, are said once."""
    result, start, at = [], 0, 0
    while at < len(data):
        for unit in (1, 256):
            times = 1
            while data[at + times * unit:at + (times + 1) * unit] == data[at:at + unit] and at + (times + 1) * unit <= len(data):
                times += 1
            if times * unit >= 64 and times > 2:
                if start < at:
                    result.append([data[start:at].hex(), 1])
                result.append([data[at:at + unit].hex(), times])
                at += times * unit
                start = at
                break
        else:
            at += 1
    if start < len(data):
        result.append([data[start:].hex(), 1])
    return result


def shortened(value):
    """Long hex with runs in it becomes a list of runs, all the way down."""
    if isinstance(value, dict):
        return {k: shortened(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [shortened(v) for v in value]
    if isinstance(value, str) and len(value) > 512 and set(value) <= set("0123456789abcdef") and len(value) % 2 == 0:
        short = runs(bytes.fromhex(value))
        return short if sum(len(part) + 12 for part, _ in short) < len(value) // 2 else value
    return value


def lines(content: dict) -> str:
    """JSON with a line for each case."""
    parts = []
    for key, value in content.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            parts.append(f'"{key}": [\n' + ",\n".join(" " + json.dumps(case) for case in value) + "\n]")
        else:
            parts.append(f'"{key}": ' + json.dumps(value))
    return "{\n" + ",\n".join(parts) + "\n}\n"


FILES = {
    "credential.json": credential_file, "handshake.json": handshake_file, "schedule.json": schedule_file,
    "records.json": records_file, "varint.json": varint_file, "frames.json": frames_file, "session.json": session_file,
    "resumption.json": resumption_file,
}


def main(arguments: list) -> int:
    if arguments not in ([], ["--check"]):
        print(__doc__)
        return 2
    known_answers()
    wrong = []
    for name, make in FILES.items():
        content = make()
        if name in ("frames.json", "records.json", "session.json", "resumption.json"):
            content = shortened(content)
        text = lines(content)
        path = HERE / name
        counts = ", ".join(f"{k} {len(v)}" for k, v in content.items() if isinstance(v, list))
        if not arguments:
            path.write_text(text)
            print(f"{name}: {counts}")
        elif not path.exists() or path.read_text() != text:
            wrong.append(name)
    if wrong:
        print("not what make.py writes: " + ", ".join(wrong))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
