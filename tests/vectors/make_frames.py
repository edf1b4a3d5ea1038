"""frames.json: single frames, plaintexts, and short sequences of them (protocol.md section 5)."""

import cbor
import decode
import wire
from cbor import Raw, encode
from seeds import seed
from state import Session
from wire import encode_frame, frame_bytes, varint

ID = seed("frames request id", 16).hex()
UNKNOWN = {20: 1, 21: "skip me", 300: [b"\x00", {1: [None, True]}], 70000: -1,
           70001: Raw(bytes.fromhex("f93c00")), 70002: Raw(bytes.fromhex("c074") + b"2026-11-23T00:00:00Z"),
           70003: Raw(b"\xf7"), 70004: Raw(b"\xe5"), 70005: Raw(b"\xf8\xff"), 70006: Raw(bytes.fromhex("fb3ff199999999999a")),
           70007: {"a": 1, "bb": [], "c": {-1: b""}}, 1 << 40: Raw(b"\x3b" + b"\xff" * 8), 1 << 41: (1 << 64) - 1}
HEADERS = [["content-type", b"application/json".hex()], ["x-empty", ""], ["x-latin", b"caf\xe9 \xff\x80".hex()],
           ["accept", b"text/event-stream".hex()], ["accept", b"application/json".hex()], ["x-tab", b"a\tb".hex()]]
URL = "https://api.example.com/v1/messages?beta=true"


def request(exchange=1, **changes):
    return {"type": "REQUEST", "exchange": exchange, "request_id": ID, "method": "POST", "url": URL, "headers": [],
            "mode": 0, "timings": False, "policy": 0, "body": "none", "credit": 1 << 20} | changes


def response(exchange=1, **changes):
    return {"type": "RESPONSE", "exchange": exchange, "seq": 0, "status": 200, "headers": [], "length": None} | changes


def data(exchange=1, seq=1, body=b"hello", stamps=None):
    return {"type": "DATA", "exchange": exchange, "seq": seq, "stamps": stamps, "body": body.hex()}


def end(exchange=1, seq=2, total=5, trailers=None, receipt=None):
    return {"type": "END", "exchange": exchange, "seq": seq, "total": total, "trailers": trailers, "receipt": receipt}


def error(exchange=1, seq=0, code=45, fault=2, retry=True, text=None, after=None):
    return {"type": "ERROR", "exchange": exchange, "seq": seq, "code": code, "fault": fault, "retry": retry, "text": text,
            "after": after}


def body(exchange=1, content=b"{}"):
    return {"type": "BODY", "exchange": exchange, "body": content.hex()}


def body_end(exchange=1, total=2, trailers=None):
    return {"type": "BODY_END", "exchange": exchange, "total": total, "trailers": trailers}


def cancel(exchange=1, reason=0):
    return {"type": "CANCEL", "exchange": exchange, "reason": reason}


def credit(exchange=1, amount=65536):
    return {"type": "CREDIT", "exchange": exchange, "amount": amount}


def ping(exchange=0, label="ping", silence=0, kind="PING"):
    return {"type": kind, "exchange": exchange, "token": seed(label, 8).hex(), "silence": silence}


def pong(exchange=0, label="ping", silence=0):
    return ping(exchange, label, silence, "PONG")


def goaway(code=9, last=7, text=None, after=None):
    return {"type": "GOAWAY", "exchange": 0, "code": code, "last": last, "text": text, "after": after}


def resume(exchange=1, next_seq=0, credit=1 << 20, attempt=1):
    return {"type": "RESUME", "exchange": exchange, "request_id": ID, "next_seq": next_seq, "credit": credit, "attempt": attempt}


def resumed(exchange=1, received=0, credit=16448):
    return {"type": "RESUMED", "exchange": exchange, "received": received, "credit": credit}


def gone(exchange=1):
    return {"type": "GONE", "exchange": exchange}


def valid_cases() -> list:
    """(name, sender, frame, extra head keys)."""
    receipt = dict(zip(wire.RECEIPT, (350, 812345, 812400, 4012345, 4012400, 77)))
    big = (1 << 62) - 1
    cases = [
        ("REQUEST, GET, all optional keys absent", "client", request(method="GET"), None),
        ("REQUEST, every key", "client", request(headers=HEADERS, mode=1, timings=True, policy=2, body=2), None),
        ("REQUEST, body of unknown length", "client", request(2, body="unknown"), None),
        ("REQUEST, body of length 0", "client", request(3, body=0), None),
        ("REQUEST, header name repeated and values outside ASCII", "client", request(4, headers=HEADERS), None),
        ("REQUEST, unknown keys in the head", "client", request(5, policy=1), UNKNOWN),
        ("REQUEST, defaults said aloud", "client", request(6), {4: 0, 5: False, 6: 0}),
        ("REQUEST, http and a port", "client", request(7, url="http://127.0.0.1:8080/", method="OPTIONS"), None),
        ("REQUEST, smallest credit", "client", request(63, credit=16448, method="HEAD"), None),
        ("REQUEST, largest credit and exchange number", "client", request((1 << 30) - 1, credit=1 << 30), None),
        ("REQUEST, 256 header fields", "client", request(headers=[["x", "31"]] * 256), None),
        ("REQUEST, URL of 8192 bytes", "client", request(url="https://a.example/" + "p" * (8192 - 18)), None),
        ("REQUEST, body of 2^62 - 1 bytes", "client", request(method="PUT", body=big), None),
    ]
    cases += [(f"REQUEST, method {m}", "client", request(64 + i, method=m), None) for i, m in enumerate(decode.METHODS)]
    head = len(encode(wire.head_of(request())))
    filler = [["x-big", b"v".hex() * (16000 - head - 6 - 3)]]
    assert len(encode(wire.head_of(request(headers=filler)))) == 16000
    cases += [
        ("REQUEST, head of exactly 16000 bytes", "client", request(headers=filler), None),
        ("BODY, one byte", "client", body(content=b"\x00"), None),
        ("BODY, 63 bytes (size in one byte)", "client", body(64, b"b" * 63), None),
        ("BODY, 64 bytes (size in two bytes)", "client", body(16383, b"b" * 64), None),
        ("BODY that fills a record", "client", body(1, b"b" * (16384 - 4)), None),
        ("BODY_END, no trailers", "client", body_end(), None),
        ("BODY_END, trailers", "client", body_end(1, 16384, [["x-checksum", b"abc".hex()]]), None),
        ("BODY_END, empty trailers, unknown keys", "client", body_end(1, 0, []), UNKNOWN),
        ("RESPONSE, no length, no headers", "server", response(), None),
        ("RESPONSE, headers and length", "server", response(16384, headers=HEADERS, length=17), None),
        ("RESPONSE, length 0", "server", response(status=204, length=0), None),
        ("RESPONSE, status 999, unknown keys", "server", response(status=999), {0: "key 0 is not used here"} | UNKNOWN),
        ("RESPONSE, status 200, 2^62 - 1 bytes declared", "server", response(length=big), None),
        ("RESPONSE, set-cookie twice", "server",
         response(status=404, headers=[["set-cookie", b"a=1".hex()], ["set-cookie", b"b=2".hex()]]), None),
        ("DATA without stamps", "server", data(), None),
        ("DATA without stamps, bytes that look like stamps", "server", data(body=b"\x05\x06\x07"), None),
        ("DATA with stamps", "server", data(seq=1, stamps=[812400, 31]), None),
        ("DATA with stamps 0 0", "server", data(seq=63, stamps=[0, 0], body=b"\x00"), None),
        ("DATA with the largest numbers", "server", data((1 << 30) - 1, big, b"x", [big, big]), None),
        ("DATA, seq 64", "server", data(seq=64, body=b"event: ping\n\n"), None),
        ("DATA that fills a record", "server", data(1, 16384, b"d" * (16384 - 8)), None),
        ("END, nothing optional", "server", end(), None),
        ("END, full receipt and trailers", "server",
         end(1, 300, 70000, [["grpc-status", b"0".hex()], ["x-latin", "e9"]], receipt), None),
        ("END, empty receipt", "server", end(receipt={}), None),
        ("END, receipt of a buffered exchange", "server", end(receipt={"called": 5, "head": 900, "sealed": 2000}), None),
        ("END, total 0, empty trailers, unknown keys", "server", end(1, 1, 0, []), UNKNOWN),
        ("END, unknown key in the receipt", "server", end(receipt={"called": 5}), {2: {0: 5, 6: 1, 99: "x"}}),
        ("ERROR of an exchange, before the head", "server", error(), None),
        ("ERROR of an exchange, all keys", "server",
         error(3, 17, 41, 0, True, "Too many requests, na\u00efve client", 1500), None),
        ("ERROR of an exchange, a code that nobody knows", "server", error(3, 1, 4711, 2, False), None),
        ("ERROR, text of 512 bytes", "server", error(text="\u00e9" * 256), None),
        ("ERROR, unknown keys", "server", error(code=32, fault=0, retry=False), UNKNOWN),
        ("ERROR of the session, from the server", "server", error(0, 0, 4, 0, False, "seq 3 where 2 was due"), None),
        ("ERROR of the session, from the client", "client", error(0, 0, 7, 3, False), None),
    ]
    cases += [(f"CANCEL, reason {r}", "client", cancel(1 + 63 * r, r), None) for r in range(3)]
    cases += [(f"CREDIT from the {side}, {n}", side, credit(1, n), None)
              for side in ("client", "server") for n in (1, 63, 64, 16384, 1 << 30)]
    for side in ("client", "server"):
        cases += [
            (f"PING from the {side}, session", side, ping(0), None),
            (f"PING from the {side}, exchange", side, ping(5, "a", 0 if side == "client" else 1234), None),
            (f"PONG from the {side}, session", side, pong(0), None),
            (f"PONG from the {side}, exchange", side, pong(5, "a", 0 if side == "client" else 20000), None),
            (f"GOAWAY from the {side}", side, goaway(0 if side == "client" else 9, 0 if side == "client" else 7), None),
        ]
    cases += [
        ("PING, token of zeros", "client", ping() | {"token": "00" * 8}, None),
        ("PING from the client, silence 5 (means nothing)", "client", ping(0, silence=5), None),
        ("PING, largest silence", "server", ping(1, silence=big), None),
        ("GOAWAY, overloaded, with a time to wait", "server", goaway(42, 1, "full", 5000), None),
        ("GOAWAY, text of 512 bytes", "server", goaway(9, 0, "t" * 512), None),
        ("GOAWAY, unknown value nested to the limit, head included", "server", goaway(0, 0),
         {9: Raw(b"\x81" * 7 + b"\x00")}),
        ("GOAWAY, unknown value nested to the limit by tags and maps", "server", goaway(0, 0),
         {9: Raw(bytes.fromhex("c1a100c1a100c1a10000"))}),
        ("GOAWAY, text and unknown keys", "server", goaway(8, (1 << 30) - 1, "idle for 300 s"), UNKNOWN),
        ("RESUME", "client", resume(), None),
        ("RESUME, no attempt said", "client", resume(attempt=0), None),
        ("RESUME, unknown keys", "client", resume(9, 70000, 16448), UNKNOWN),
        ("RESUME, unknown NaNs of which no shorter form has the payload", "client", resume(9, 70000, 16448),
         {9: Raw(b"\xfa\x7f\xc0\x00\x01"), 10: Raw(b"\xfb\xff\xf0" + bytes(5) + b"\x01"), 11: Raw(b"\xf9\x7e\x01")}),
        ("RESUMED", "server", {"type": "RESUMED", "exchange": 9, "received": 2, "credit": 1 << 20}, None),
        ("RESUMED, no credit left, unknown keys", "server",
         {"type": "RESUMED", "exchange": 9, "received": 1 << 40, "credit": 0}, UNKNOWN),
        ("GONE", "server", gone(9), None),
    ]
    result = []
    for name, sender, frame, extra in cases:
        raw = encode_frame(frame, extra)
        receiver = "server" if sender == "client" else "client"
        stamped = frame.get("stamps") is not None
        decoded = decode.decode_plaintext(raw, receiver, lambda exchange: stamped)
        assert decoded == [frame], (name, decoded)
        same = decode.reencodes(frame, raw)
        assert same == (extra is None), name
        case = {"name": name, "from": sender, "bytes": raw.hex(), "frame": frame, "reencodes": same}
        if frame["type"] == "DATA":
            case["timings"] = stamped
        result.append(case)
    return result


def head_frame(kind: str, head, exchange=1, seq=None) -> bytes:
    """A frame with a head that is given as a map or as bytes."""
    raw = head if isinstance(head, bytes) else encode(head)
    return frame_bytes(wire.NUMBERS[kind], exchange, (b"" if seq is None else varint(seq)) + raw)


def invalid_cases() -> list:
    """(name, receiver, plaintext, code): what the bytes and the receiving side alone give away."""
    req, resp = wire.head_of(request()), wire.head_of(response())
    fin, err = wire.head_of(end()), wire.head_of(error())
    rsm = wire.head_of(resume())
    h = bytes.fromhex

    def unknown(value):
        return head_frame("GOAWAY", {0: 0, 1: 0, 9: Raw(value)}, 0)

    def drop(head, key):
        return {k: v for k, v in head.items() if k != key}

    s, c = "server", "client"
    cases = [
        # 5.1 and 4.4
        ("type 0x10", s, h("100100"), "unknown-frame"),
        ("type 0xff", c, h("ff0100"), "unknown-frame"),
        ("unknown type after a good frame", c, encode_frame(ping()) + h("200000"), "unknown-frame"),
        ("type alone", s, h("0a"), "malformed"),
        ("exchange cut", s, h("0240"), "malformed"),
        ("size missing", s, h("0201"), "malformed"),
        ("size past the record", s, h("020103") + b"ab", "malformed"),
        ("size past the record, 2^62 - 1", s, h("0201ffffffffffffffff") + b"ab", "malformed"),
        ("exchange not in its shortest form", s, h("0240010161"), "malformed"),
        ("size not in its shortest form", s, h("0201400161"), "malformed"),
        ("padding not zero", s, encode_frame(ping()) + h("0000000001"), "malformed"),
        ("padding, then a frame", s, h("00") + encode_frame(ping()), "malformed"),
        ("padding alone, not zero", c, h("0001"), "malformed"),
        # the order of the checks (5.1)
        ("unknown type, size past the record", s, h("20013f"), "unknown-frame"),
        ("unknown type alone", s, h("20"), "unknown-frame"),
        ("unknown type, exchange not in its shortest form", s, h("20400100"), "unknown-frame"),
        ("BODY on exchange 0, size past the record", s, h("02003f"), "malformed"),
        ("BODY at the client, size past the record", c, h("02013f"), "malformed"),
        ("BODY at the client, exchange not in its shortest form", c, h("0240010161"), "malformed"),
        ("BODY on exchange 0, empty", s, h("020000"), "violation"),
        ("REQUEST at the client, payload that is no head", c, h("010101ff"), "violation"),
        ("REQUEST with exchange 2^30, payload that is no head", s, frame_bytes(1, 1 << 30, b"\xff"), "violation"),
        ("REQUEST with exchange 2^62 - 1", s, frame_bytes(1, (1 << 62) - 1, b""), "violation"),
        # wrong side
        ("BODY at the client", c, encode_frame(body()), "violation"),
        ("BODY_END at the client", c, encode_frame(body_end()), "violation"),
        ("REQUEST at the client", c, encode_frame(request()), "violation"),
        ("CANCEL at the client", c, encode_frame(cancel()), "violation"),
        ("RESUME at the client", c, encode_frame(resume()), "violation"),
        ("RESPONSE at the server", s, encode_frame(response()), "violation"),
        ("DATA at the server", s, encode_frame(data()), "violation"),
        ("END at the server", s, encode_frame(end()), "violation"),
        ("RESUMED at the server", s, head_frame("RESUMED", {0: 0, 1: 0}), "violation"),
        ("GONE at the server", s, encode_frame(gone()), "violation"),
        ("ERROR of an exchange at the server", s, encode_frame(error(1)), "violation"),
        # exchange 0 or not
        ("GOAWAY on an exchange", c, head_frame("GOAWAY", {0: 0, 1: 0}, 1), "violation"),
    ]
    for frame, side in ((request(0), s), (body(0), s), (body_end(0), s), (cancel(0), s), (credit(0), s), (credit(0), c),
                        (resume(0), s), (response(0), c), (data(0), c), (end(0), c), (gone(0), c)):
        cases.append((f"{frame['type']} on exchange 0 at the {side}", side, encode_frame(frame), "violation"))
    cases += [
        ("RESUMED on exchange 0", c, head_frame("RESUMED", {0: 0, 1: 0}, 0), "violation"),
        ("REQUEST with exchange 2^30", s, encode_frame(request(1 << 30)), "violation"),
        # heads (1.3)
        ("head: empty payload", s, head_frame("REQUEST", b""), "malformed"),
        ("head: an array", s, head_frame("REQUEST", encode([1, 2])), "malformed"),
        ("head: bytes after the map", s, head_frame("REQUEST", encode(req) + b"\x00"), "malformed"),
        ("head: two maps", c, head_frame("RESPONSE", encode(resp) * 2, seq=0), "malformed"),
        ("head: cut", s, head_frame("REQUEST", encode(req)[:-1]), "malformed"),
        ("head: key repeats", c, head_frame("GOAWAY", h("a3000001000100"), 0), "malformed"),
        ("head: keys descend", c, head_frame("GOAWAY", h("a201000000"), 0), "malformed"),
        ("head: a key is text", c, head_frame("GOAWAY", h("a300000100613200"), 0), "malformed"),
        ("head: a key is negative", c, head_frame("GOAWAY", h("a3000001002000"), 0), "malformed"),
        ("head: an unknown key before the known ones out of order", c, head_frame("GOAWAY", h("a3181e0000000100"), 0), "malformed"),
        ("head: map count without content", c, head_frame("GOAWAY", h("bbffffffffffffffff00000100"), 0), "malformed"),
        ("head: byte string longer than the frame", s, head_frame("RESUME", h("a3005bffffffffffffffff00"), 1), "malformed"),
        ("head: array count without content", s,
         head_frame("REQUEST", encode(req | {3: Raw(h("9b7fffffffffffffff"))})), "malformed"),
        ("head: unknown value nested 16000 deep", s, head_frame("GOAWAY", b"\xa3\x00\x00\x01\x00\x02" + b"\x81" * 15990, 0), "malformed"),
        ("head: unknown value nested 12 deep", s,
         head_frame("GOAWAY", {0: 0, 1: 0, 9: Raw(b"\x81" * 12 + b"\x00")}, 0), "malformed"),
        ("head: unknown value not well-formed", s, head_frame("GOAWAY", {0: 0, 1: 0, 9: Raw(b"\xfd")}, 0), "malformed"),
        ("head: unknown value is a lone break", s, head_frame("GOAWAY", {0: 0, 1: 0, 9: Raw(b"\xff")}, 0), "malformed"),
        ("head: integer not shortest", c, head_frame("GOAWAY", h("a20018000100"), 0), "malformed"),
        ("head: key not shortest", c, head_frame("GOAWAY", h("a20000180100"), 0), "malformed"),
        ("head: count of the map not shortest", c, head_frame("GOAWAY", h("b80200000100"), 0), "malformed"),
        ("head: length of a text not shortest", c, head_frame("GOAWAY", h("a300000100027801") + b"x", 0), "malformed"),
        ("head: map of indefinite length", c, head_frame("GOAWAY", h("bf00000100ff"), 0), "malformed"),
        ("head: known text of indefinite length", c, head_frame("GOAWAY", h("a3000001" + "00027f6178ff"), 0), "malformed"),
        ("head: known text is not UTF-8", c, head_frame("GOAWAY", {0: 0, 1: 0, 2: Raw(h("61ff"))}, 0), "malformed"),
        ("head: known text holds a surrogate", c, head_frame("GOAWAY", {0: 0, 1: 0, 2: Raw(h("63eda080"))}, 0), "malformed"),
        ("head: unknown integer not shortest", c, unknown(h("1801")), "malformed"),
        ("head: unknown negative integer not shortest", c, unknown(h("390000")), "malformed"),
        ("head: unknown float not shortest, 8 bytes", c, unknown(h("fb3ff8000000000000")), "malformed"),
        ("head: unknown float not shortest, 4 bytes", c, unknown(h("fa3fc00000")), "malformed"),
        ("head: unknown NaN not shortest, 8 bytes", c, unknown(h("fb7ff8000000000000")), "malformed"),
        ("head: unknown NaN not shortest, 4 bytes", c, unknown(h("faffc00000")), "malformed"),
        ("head: unknown signalling NaN not shortest, 8 bytes", c, unknown(h("fbfff7000000000000")), "malformed"),
        ("head: unknown signalling NaN not shortest, 4 bytes", c, unknown(h("fa7fa00000")), "malformed"),
        ("head: unknown text is not UTF-8", c, unknown(h("61ff")), "malformed"),
        ("head: unknown array of indefinite length", c, unknown(h("9f01ff")), "malformed"),
        ("head: unknown byte string of indefinite length", c, unknown(h("5f4101ff")), "malformed"),
        ("head: unknown tag not shortest", c, unknown(h("d80101")), "malformed"),
        ("head: unknown map whose keys descend", c, unknown(h("a202000100")), "malformed"),
        ("head: unknown simple value below 32 in two bytes", c, unknown(h("f810")), "malformed"),
        ("head: unknown value cut", c, unknown(h("19ff")), "malformed"),
        ("head: nesting of 9, head included", c, unknown(b"\x81" * 8 + b"\x00"), "malformed"),
        ("head: nesting of 9 by tags, head included", c, unknown(b"\xc1" * 8 + b"\x00"), "malformed"),
        ("head: nesting of 9 by maps, head included", c, unknown(b"\xa1\x00" * 8 + b"\x00"), "malformed"),
        ("head: known number of 2^62", c, head_frame("END", {0: 1 << 62}, seq=1), "malformed"),
        ("head: known number of 2^64 - 1", c, head_frame("ERROR", err | {4: (1 << 64) - 1}, seq=0), "malformed"),
        ("head: known number as a big number", c, head_frame("END", {0: Raw(h("c24105"))}, seq=1), "malformed"),
        ("head: known number as a float", c, head_frame("END", {0: Raw(h("f94500"))}, seq=1), "malformed"),
        ("head over 16000 bytes", s, head_frame("REQUEST", req | {30: bytes(16000)}), "too-large"),
        ("head of 16001 bytes", c, head_frame("GOAWAY", {0: 0, 1: 0, 9: bytes(16001 - 5 - 4)}, 0), "too-large"),
        # REQUEST
        ("REQUEST: URL of 8193 bytes", s, head_frame("REQUEST", req | {2: "https://a.example/" + "p" * (8193 - 18)}), "too-large"),
    ]
    assert len(encode({0: 0, 1: 0, 9: bytes(16001 - 5 - 4)})) == 16001
    cases += [(f"REQUEST: key {k} missing", s, head_frame("REQUEST", drop(req, k)), "malformed") for k in (0, 1, 2, 3, 8)]
    for name, key, value in (
        ("request ID of 15 bytes", 0, bytes(15)), ("request ID of 17 bytes", 0, bytes(17)), ("request ID as text", 0, "a" * 16),
        ("method as bytes", 1, b"POST"), ("URL as bytes", 2, b"https://a.example/"), ("headers as a map", 3, {}),
        ("headers of odd length", 3, ["a"]), ("header name as bytes", 3, [b"a", b"1"]), ("header value as text", 3, ["a", "1"]),
        ("headers nested", 3, [["a", b"1"]]), ("mode 2", 4, 2), ("mode as bool", 4, True), ("mode null", 4, None),
        ("stamps as uint", 5, 1), ("stamps null", 5, None), ("policy 3", 6, 3), ("body length negative", 7, -1),
        ("body length undefined", 7, Raw(b"\xf7")), ("body length of 2^62", 7, 1 << 62), ("headers null", 3, None),
        ("body length false", 7, False), ("body length as text", 7, "2"), ("credit 16447", 8, 16447),
        ("credit 0", 8, 0), ("credit 2^30 + 1", 8, (1 << 30) + 1), ("credit null", 8, None),
    ):
        cases.append((f"REQUEST: {name}", s, head_frame("REQUEST", req | {key: value}), "malformed"))
    cases += [
        # BODY_END, RESPONSE, END
        ("BODY_END: empty payload", s, head_frame("BODY_END", b""), "malformed"),
        ("BODY_END: total missing", s, head_frame("BODY_END", {1: []}), "malformed"),
        ("BODY_END: total negative", s, head_frame("BODY_END", {0: -1}), "malformed"),
        ("BODY_END: trailers null", s, head_frame("BODY_END", {0: 0, 1: None}), "malformed"),
        ("RESPONSE: no payload", c, frame_bytes(4, 1, b""), "malformed"),
        ("RESPONSE: seq alone", c, frame_bytes(4, 1, b"\x00"), "malformed"),
        ("RESPONSE: seq not shortest", c, frame_bytes(4, 1, b"\x40\x00" + encode(resp)), "malformed"),
        ("RESPONSE: no seq", c, head_frame("RESPONSE", resp), "malformed"),
        ("RESPONSE: status missing", c, head_frame("RESPONSE", drop(resp, 1), seq=0), "malformed"),
        ("RESPONSE: headers missing", c, head_frame("RESPONSE", drop(resp, 2), seq=0), "malformed"),
        ("RESPONSE: status 100", c, head_frame("RESPONSE", resp | {1: 100}, seq=0), "malformed"),
        ("RESPONSE: status 199", c, head_frame("RESPONSE", resp | {1: 199}, seq=0), "malformed"),
        ("RESPONSE: 257 header fields", c, head_frame("RESPONSE", resp | {2: ["a", b""] * 257}, seq=0), "too-large"),
        ("END: 257 trailers", c, head_frame("END", fin | {1: ["a", b""] * 257}, seq=2), "too-large"),
        ("REQUEST: 257 header fields", s, head_frame("REQUEST", req | {3: ["a", b""] * 257}), "too-large"),
        ("REQUEST: 256 and a half header fields", s, head_frame("REQUEST", req | {3: ["a", b""] * 256 + ["a"]}), "malformed"),
        ("REQUEST: URL with ftp and credit 0", s, head_frame("REQUEST", req | {2: "ftp://a/", 8: 0}), "malformed"),
        ("BODY without bytes", s, frame_bytes(2, 1, b""), "malformed"),
        ("DATA without bytes", c, frame_bytes(5, 1, b"\x01"), "malformed"),
        ("END: receipt with descending keys", c, head_frame("END", {0: 0, 2: Raw(h("a201000000"))}, seq=1), "malformed"),
        ("END: receipt with a repeated key", c, head_frame("END", {0: 0, 2: Raw(h("a200000000"))}, seq=1), "malformed"),
        ("END: receipt with a text key", c, head_frame("END", {0: 0, 2: {"a": 0}}, seq=1), "malformed"),
        ("RESPONSE: status 1000", c, head_frame("RESPONSE", resp | {1: 1000}, seq=0), "malformed"),
        ("RESPONSE: status as text", c, head_frame("RESPONSE", resp | {1: "200"}, seq=0), "malformed"),
        ("RESPONSE: length null", c, head_frame("RESPONSE", resp | {3: None}, seq=0), "malformed"),
        ("DATA: no payload", c, frame_bytes(5, 1, b""), "malformed"),
        ("DATA: seq cut", c, frame_bytes(5, 1, b"\x80\x00"), "malformed"),
        ("END: total missing", c, head_frame("END", {2: {}}, seq=2), "malformed"),
        ("END: no seq", c, head_frame("END", fin), "malformed"),
        ("END: receipt as an array", c, head_frame("END", fin | {2: [1, 2]}, seq=2), "malformed"),
        ("END: receipt with a text value", c, head_frame("END", fin | {2: {0: "1"}}, seq=2), "malformed"),
        ("END: receipt with a negative value", c, head_frame("END", fin | {2: {5: -1}}, seq=2), "malformed"),
        ("END: trailers of odd length", c, head_frame("END", fin | {1: ["a", b"", "b"]}, seq=2), "malformed"),
    ]
    # ERROR, CANCEL, CREDIT, PING, PONG, GOAWAY, RESUME, GONE
    cases += [(f"ERROR: key {k} missing", c, head_frame("ERROR", drop(err, k), seq=0), "malformed") for k in (0, 1, 2)]
    cases += [
        ("ERROR: fault 4", c, head_frame("ERROR", err | {1: 4}, seq=0), "malformed"),
        ("ERROR: retry as uint", c, head_frame("ERROR", err | {2: 1}, seq=0), "malformed"),
        ("ERROR: text as bytes", c, head_frame("ERROR", err | {3: b"no"}, seq=0), "malformed"),
        ("ERROR: text of 513 bytes", c, head_frame("ERROR", err | {3: "e" * 513}, seq=0), "malformed"),
        ("ERROR: text of 257 characters, 513 bytes", c, head_frame("ERROR", err | {3: "e" + "\u00e9" * 256}, seq=0), "malformed"),
        ("CANCEL: empty", s, frame_bytes(8, 1, b""), "malformed"),
        ("CANCEL: byte after the reason", s, frame_bytes(8, 1, b"\x00\x00"), "malformed"),
        ("CANCEL: reason not shortest", s, frame_bytes(8, 1, b"\x40\x01"), "malformed"),
        ("CANCEL: reason 3", s, frame_bytes(8, 1, b"\x03"), "malformed"),
        ("CREDIT of 0", s, frame_bytes(9, 1, b"\x00"), "malformed"),
        ("CREDIT of 2^30 + 1", s, frame_bytes(9, 1, varint((1 << 30) + 1)), "malformed"),
        ("GOAWAY: text of 513 bytes", c, head_frame("GOAWAY", {0: 0, 1: 0, 2: "t" * 513}, 0), "malformed"),
        ("CREDIT: empty", s, frame_bytes(9, 1, b""), "malformed"),
        ("CREDIT: byte after the value", c, frame_bytes(9, 1, b"\x05\x05"), "malformed"),
        ("PING: 8 bytes, no silence", s, frame_bytes(10, 0, bytes(8)), "malformed"),
        ("PING: 7 bytes", s, frame_bytes(10, 0, bytes(7)), "malformed"),
        ("PING: byte after the silence", c, frame_bytes(10, 0, bytes(10)), "malformed"),
        ("PONG: silence cut", c, frame_bytes(11, 0, bytes(8) + b"\x40"), "malformed"),
        ("PONG: empty", s, frame_bytes(11, 0, b""), "malformed"),
        ("GOAWAY: code missing", c, head_frame("GOAWAY", {1: 0}, 0), "malformed"),
        ("GOAWAY: last missing", s, head_frame("GOAWAY", {0: 0}, 0), "malformed"),
        ("GOAWAY: text as bytes", c, head_frame("GOAWAY", {0: 0, 1: 0, 2: b"x"}, 0), "malformed"),
        ("GONE with a payload", c, frame_bytes(15, 1, b"\x00"), "malformed"),
        ("RESUMED: key 1 missing", c, head_frame("RESUMED", {0: 0}), "malformed"),
        ("RESUMED: key 0 missing", c, head_frame("RESUMED", {1: 0}), "malformed"),
    ]
    cases += [(f"RESUME: key {k} missing", s, head_frame("RESUME", drop(rsm, k)), "malformed") for k in (0, 1, 2)]
    cases += [("RESUME: request ID of 8 bytes", s, head_frame("RESUME", rsm | {0: bytes(8)}), "malformed")]
    stamped = [
        ("DATA with stamps: only one", c, frame_bytes(5, 1, b"\x01\x05"), "malformed"),
        ("DATA with stamps: no body", c, frame_bytes(5, 1, b"\x01\x05\x06"), "malformed"),
        ("DATA with stamps: not shortest", c, frame_bytes(5, 1, b"\x01\x40\x05\x06x"), "malformed"),
    ]
    return [checked(*case, timings=False) for case in cases] + [checked(*case, timings=True) for case in stamped]


def checked(name, receiver, plaintext, code, timings) -> dict:
    try:
        decode.decode_plaintext(plaintext, receiver, lambda exchange: timings)
    except wire.ProtocolError as error:
        assert error.code == code, (name, error)
    else:
        raise AssertionError(f"accepted: {name}")
    return {"name": name, "receiver": receiver, "timings": timings, "bytes": plaintext.hex(), "code": code}


def refused_cases() -> list:
    """Requests that are well-formed and yet answered with an ERROR of their exchange alone (1.4, 8.3)."""
    result = []
    for name, changes, code in (
        ("method TRACE", {"method": "TRACE"}, "request-invalid"),
        ("method CONNECT", {"method": "CONNECT"}, "request-invalid"),
        ("method in lower case", {"method": "get"}, "request-invalid"),
        ("method empty", {"method": ""}, "request-invalid"),
        ("URL relative", {"url": "/v1/messages"}, "request-invalid"),
        ("URL empty", {"url": ""}, "request-invalid"),
        ("URL without host", {"url": "https:///v1"}, "request-invalid"),
        ("URL with a fragment", {"url": "https://api.example.com/#top"}, "request-invalid"),
        ("URL with userinfo", {"url": "https://user:pw@api.example.com/"}, "request-invalid"),
        ("URL with ftp", {"url": "ftp://api.example.com/"}, "scheme-not-allowed"),
        ("URL with file", {"url": "file:///etc/passwd"}, "scheme-not-allowed"),
        ("header value with CR LF", {"headers": [["x-a", b"1\r\nx-b: 2".hex()]]}, "request-invalid"),
        ("header value with LF", {"headers": [["x-a", b"1\n2".hex()]]}, "request-invalid"),
        ("header value with NUL", {"headers": [["x-a", "00"]]}, "request-invalid"),
        ("header name with a space", {"headers": [["x a", "31"]]}, "request-invalid"),
        ("header name with a colon", {"headers": [["x-a:", "31"]]}, "request-invalid"),
        ("header name with CR LF", {"headers": [["x-a\r\nx-b", "31"]]}, "request-invalid"),
        ("header name empty", {"headers": [["", "31"]]}, "request-invalid"),
        ("header name in upper case", {"headers": [["X-A", "31"]]}, "request-invalid"),
        ("header name outside ASCII", {"headers": [["x-\u00e9", "31"]]}, "request-invalid"),
    ):
        frame = request(**changes)
        raw = encode_frame(frame)
        outcome = Session(1, 16448).receive("client", raw)
        assert outcome == [(frame, code)], (name, outcome)
        result.append({"name": name, "bytes": raw.hex(), "frame": frame, "code": code})
    return result


def sequence_cases() -> list:
    """(name, list of (sender, frame), outcome of the last frame)."""
    post, both = request(body=2), [("client", request()), ("server", response())]
    big = b"u" * 16380
    back, further = [("client", resume())], [("client", resume(next_seq=1))]
    cases = [
        # 5.4
        ("DATA skips a seq", both + [("server", data(seq=2))], "sequence"),
        ("DATA repeats a seq", both + [("server", data(seq=1)), ("server", data(seq=1))], "sequence"),
        ("DATA before RESPONSE", [("client", request()), ("server", data(seq=0))], "sequence"),
        ("END before RESPONSE", [("client", request()), ("server", end(seq=0, total=0))], "sequence"),
        ("RESPONSE with seq 1", [("client", request()), ("server", response(seq=1))], "sequence"),
        ("RESPONSE twice", both + [("server", response(seq=0))], "sequence"),
        ("ERROR skips a seq", both + [("server", error(seq=5))], "sequence"),
        ("ERROR before RESPONSE with seq 1", [("client", request()), ("server", error(seq=1))], "sequence"),
        ("END skips a seq", both + [("server", data()), ("server", end(seq=3))], "sequence"),
        ("END counts a byte too few", both + [("server", data()), ("server", end(total=4))], "sequence"),
        ("END counts a byte too many", both + [("server", data()), ("server", end(total=6))], "sequence"),
        ("END against the declared length",
         [("client", request()), ("server", response(length=6)), ("server", data()), ("server", end())], "sequence"),
        # life of an exchange
        ("RESPONSE on an exchange that never was", [("client", request()), ("server", response(2))], "sequence"),
        ("DATA after END", both + [("server", end(seq=1, total=0)), ("server", data(seq=2))], "sequence"),
        ("END twice", both + [("server", end(seq=1, total=0)), ("server", end(seq=2, total=0))], "sequence"),
        ("DATA after ERROR", both + [("server", error(seq=1)), ("server", data(seq=2))], "sequence"),
        ("CREDIT from the server after END", both + [("server", end(seq=1, total=0)), ("server", credit())], "sequence"),
        ("PING from the server after END", both + [("server", end(seq=1, total=0)), ("server", ping(1))], "sequence"),
        ("RESPONSE after GONE", [("client", resume()), ("server", gone()), ("server", response())], "sequence"),
        ("CANCEL for a number that never was", [("client", request()), ("client", cancel(2))], "sequence"),
        ("CREDIT for a number that never was", [("client", credit(1))], "sequence"),
        ("BODY for a number that never was", [("client", body(1))], "sequence"),
        ("BODY_END for a number that never was", [("client", request()), ("client", body_end(7))], "sequence"),
        ("PING for a number that never was", [("client", ping(1))], "sequence"),
        ("PONG for a number that never was", [("client", pong(1))], "sequence"),
        ("PONG from the server for a number that never was", [("server", pong(1))], "sequence"),
        ("CREDIT from the server for a number that never was", [("server", credit(1))], "sequence"),
        ("PONG that nobody asked for, on an open exchange", [("client", request()), ("server", pong(1, silence=5))], "ok"),
        ("PING after END", both + [("server", end(seq=1, total=0)), ("client", ping(1))], "ignored"),
        ("PONG after END", both + [("server", end(seq=1, total=0)), ("client", pong(1))], "ignored"),
        ("PONG from the server after END", both + [("server", end(seq=1, total=0)), ("server", pong(1))], "sequence"),
        ("GONE for a REQUEST", [("client", request()), ("server", gone())], "violation"),
        ("RESUMED for a REQUEST", [("client", request()), ("server", resumed())], "violation"),
        ("session ERROR with a seq", [("client", request()), ("server", error(0, 1, 2, 1, False))], "sequence"),
        ("session ERROR from the client with a seq", [("client", error(0, 1, 2, 1, False))], "sequence"),
        # GOAWAY (5.8)
        ("exchanges up to GOAWAY's key 1 go on", [("client", request()), ("server", goaway(9, 1)), ("server", response())], "ok"),
        ("RESPONSE above GOAWAY's key 1",
         [("client", request()), ("client", request(2)), ("server", goaway(9, 1)), ("server", response(2))], "ignored"),
        ("ERROR above GOAWAY's key 1",
         [("client", request()), ("client", request(2)), ("server", goaway(9, 1)), ("server", error(2))], "ignored"),
        ("RESPONSE for a number that never was, after GOAWAY",
         [("client", request()), ("server", goaway(9, 1)), ("server", response(2))], "sequence"),
        ("REQUEST beyond the server's GOAWAY", [("client", request()), ("server", goaway(9, 1)), ("client", request(2))],
         "shutting-down"),
        ("BODY of an exchange that GOAWAY refused",
         [("client", request()), ("server", goaway(9, 1)), ("client", request(2, body=2)), ("client", body(2))], "ignored"),
        ("BODY after END", [("client", post), ("server", response()), ("server", end(seq=1, total=0)), ("client", body())], "ignored"),
        ("BODY_END after END", [("client", post), ("server", response()), ("server", end(seq=1, total=0)), ("client", body_end())], "ignored"),
        ("CANCEL after END", both + [("server", end(seq=1, total=0)), ("client", cancel())], "ignored"),
        ("CREDIT after ERROR", both + [("server", error(seq=1)), ("client", credit())], "ignored"),
        ("frames of a cancelled exchange go on", both + [("client", cancel()), ("server", data())], "ok"),
        ("a cancelled exchange ends with END", both + [("client", cancel()), ("server", data()), ("server", end())], "ok"),
        ("a cancelled exchange still checks seq", both + [("client", cancel()), ("server", data(seq=3))], "sequence"),
        # exchange numbers
        ("first REQUEST is 2", [("client", request(2))], "violation"),
        ("REQUEST skips a number", [("client", request(1)), ("client", request(3))], "violation"),
        ("REQUEST repeats a number", [("client", request(1)), ("client", request(1))], "violation"),
        ("REQUEST repeats a number that is closed",
         both + [("server", end(seq=1, total=0)), ("client", request(1))], "violation"),
        ("RESUME skips a number", [("client", request(1)), ("client", resume(3))], "violation"),
        ("a third exchange where two are allowed",
         [("client", request(1)), ("client", request(2)), ("client", request(3))], "too-many-exchanges"),
        ("BODY of a third exchange where two are allowed",
         [("client", request(1)), ("client", request(2)), ("client", request(3, body=2)), ("client", body(3))], "ignored"),
        ("the number after an exchange too many is used up",
         [("client", request(1)), ("client", request(2)), ("client", request(3)), ("client", request(3))], "violation"),
        ("a third exchange after one has ended",
         [("client", request(1)), ("client", request(2)), ("server", error(1)), ("client", request(3))], "ok"),
        # upload
        ("BODY where REQUEST has no key 7", [("client", request()), ("client", body())], "violation"),
        ("BODY_END where REQUEST has no key 7", [("client", request()), ("client", body_end(total=0))], "violation"),
        ("BODY_END counts wrong", [("client", request(body="unknown")), ("client", body()), ("client", body_end(total=3))], "violation"),
        ("BODY_END short of key 7", [("client", request(body=3)), ("client", body()), ("client", body_end())], "violation"),
        ("BODY beyond key 7", [("client", post), ("client", body(content=b"{}x"))], "violation"),
        ("BODY where key 7 is 0", [("client", request(body=0)), ("client", body())], "violation"),
        ("BODY_END, second one", [("client", post), ("client", body()), ("client", body_end()), ("client", body_end())], "violation"),
        ("BODY after BODY_END", [("client", post), ("client", body()), ("client", body_end()), ("client", body())], "violation"),
        ("upload of known length", [("client", post), ("client", body()), ("client", body_end())], "ok"),
        ("upload of length 0", [("client", request(body=0)), ("client", body_end(total=0))], "ok"),
        ("RESPONSE while the upload goes on", [("client", post), ("server", response()), ("client", body())], "ok"),
        # credit
        ("upload of exactly the credit", [("client", request(body="unknown")), ("client", body(content=big)),
                                          ("client", body(content=b"x" * (32768 - 16444 - 64)))], "ok"),
        ("upload of a byte over the credit", [("client", request(body="unknown")), ("client", body(content=big)),
                                              ("client", body(content=b"x" * (32768 - 16444 - 64 + 1)))], "credit-exceeded"),
        ("upload over the credit, given back", [("client", request(body="unknown")), ("client", body(content=big)),
                                                ("server", credit(amount=16444)),
                                                ("client", body(content=b"x" * (32768 - 16444 - 64 + 1)))], "ok"),
        ("download of a byte over the credit",
         [("client", request(credit=16448)), ("server", response()), ("server", data(body=b"d" * 16320)),
          ("server", data(seq=2, body=b"d"))], "credit-exceeded"),
        ("download of exactly the credit",
         [("client", request(credit=16449)), ("server", response()), ("server", data(body=b"d" * 16320)),
          ("server", data(seq=2, body=b"d"))], "ok"),
        ("one-byte frames use up the credit",
         [("client", request(body="unknown")), ("client", body(content=b"x"), 504), ("client", body(content=b"x"))],
         "credit-exceeded"),
        ("one-byte frames within the credit", [("client", request(body="unknown")), ("client", body(content=b"x"), 504),
                                               ("client", body_end(total=504))], "ok"),
        ("download credit over 2^30", [("client", request(credit=1 << 30)), ("client", credit(amount=1))], "credit-exceeded"),
        ("upload credit over 2^30", [("client", post), ("server", credit(amount=(1 << 30) - 32767))], "credit-exceeded"),
        ("upload credit of 2^30", [("client", post), ("server", credit(amount=(1 << 30) - 32768))], "ok"),
        # modes
        ("HEAD: declared length is not checked",
         [("client", request(method="HEAD")), ("server", response(length=17)), ("server", end(seq=1, total=0))], "ok"),
        ("304: declared length is not checked",
         [("client", request(method="GET")), ("server", response(status=304, length=17)), ("server", end(seq=1, total=0))], "ok"),
        ("HEAD: DATA", [("client", request(method="HEAD")), ("server", response(length=17)), ("server", data())], "violation"),
        ("204: DATA", [("client", request()), ("server", response(status=204)), ("server", data())], "violation"),
        ("304: DATA", [("client", request()), ("server", response(status=304)), ("server", data())], "violation"),
        ("buffered, without the length", [("client", request(mode=1)), ("server", response())], "violation"),
        ("buffered, 204 without the length", [("client", request(mode=1)), ("server", response(status=204))], "ok"),
        ("buffered, HEAD without the length", [("client", request(mode=1, method="HEAD")), ("server", response())], "ok"),
        ("buffered, less than the length", [("client", request(mode=1)), ("server", response(length=6)), ("server", data()),
                                            ("server", end())], "sequence"),
        # 7.3
        ("GONE answers RESUME", back + [("server", gone())], "ok"),
        ("RESUMED answers RESUME", back + [("server", resumed())], "ok"),
        ("ERROR shutting-down answers RESUME", back + [("server", error(code=9, fault=1))], "ok"),
        ("ERROR too-many-exchanges answers RESUME", back + [("server", error(code=40, fault=0))], "ok"),
        ("GONE twice", back + [("server", gone()), ("server", gone())], "sequence"),
        ("RESUMED after GONE", back + [("server", gone()), ("server", resumed())], "sequence"),
        ("RESUMED twice", back + [("server", resumed()), ("server", resumed())], "violation"),
        ("GONE after RESUMED", back + [("server", resumed()), ("server", gone())], "violation"),
        ("RESPONSE before the answer to RESUME", back + [("server", response())], "sequence"),
        ("DATA before the answer to RESUME", further + [("server", data(seq=1))], "sequence"),
        ("END before the answer to RESUME", further + [("server", end(seq=1, total=0))], "sequence"),
        ("CREDIT before the answer to RESUME", back + [("server", credit())], "sequence"),
        ("PING before the answer to RESUME", back + [("server", ping(1))], "sequence"),
        ("PONG before the answer to RESUME", back + [("server", pong(1))], "sequence"),
        ("RESPONSE after RESUMED", back + [("server", resumed()), ("server", response())], "ok"),
        ("RESPONSE after RESUMED for what follows it", further + [("server", resumed()), ("server", response())], "sequence"),
        ("DATA after RESUMED, from the wanted seq on", further + [("server", resumed()), ("server", data(seq=1))], "ok"),
        ("DATA after RESUMED skips a seq", further + [("server", resumed()), ("server", data(seq=2))], "sequence"),
        ("DATA after RESUMED, the credit of RESUME spent",
         [("client", resume(next_seq=1, credit=16448)), ("server", resumed()), ("server", data(seq=1, body=bytes(16000))),
          ("server", data(seq=2, body=bytes(400)))], "credit-exceeded"),
    ]
    return [sequence(*case) for case in cases]


def sequence(name, steps, outcome) -> dict:
    """Runs the steps (sender, frame, how many times); all but the last must be fine, or answered on their exchange alone."""
    session = Session(2, 32768)
    last, result = None, []
    for i, (sender, frame, *times) in enumerate(steps):
        for _ in range(times[0] if times else 1):
            try:
                results = session.receive(sender, encode_frame(frame))
                last = results[-1][1]
            except wire.ProtocolError as problem:
                last = problem.code
            assert last in ("ok", "too-many-exchanges", "shutting-down") or i == len(steps) - 1, (name, i, last)
        step = {"from": sender, "bytes": encode_frame(frame).hex(), "frame": frame}
        result.append(step | ({"repeat": times[0]} if times else {}))
    assert last == outcome, (name, last)
    return {"name": name, "steps": result, "outcome": outcome}


def frames_file() -> dict:
    return {
        "about": "Frames (section 5). valid: one frame each. invalid: a record's plaintext and the code of section 8 that it "
                 "must end the session with at that receiver; decode them alone, with the exchange taken as open. refused: REQUESTs that only their "
                 "exchange is refused for. sequences: frames in order, each received before the next is sent, in a session "
                 "with 2 exchanges at once and 32768 bytes of upload credit; outcome is that of the last frame.",
        "session": {"max_exchanges": 2, "upload_credit": 32768},
        "valid": valid_cases(), "invalid": invalid_cases(), "refused": refused_cases(), "sequences": sequence_cases(),
    }
