"""session.json: one whole session, byte by byte, under the profile `pad`."""

import cbor
import decode
import wire
from make_frames import body, body_end, cancel, credit, data, end, error, goaway, ping, pong, request, response
from noise import NKpsk2, public_of
from seeds import seed
from state import Session

SERVER_HEAD = {1: 1, 3: 8, 4: 32768, 5: 1 << 20, 6: 300, 7: 1_795_435_200_000}
API = "https://api.example.com"
JSON = ["content-type", b"application/json".hex()]
SSE = ["content-type", b"text/event-stream".hex()]


def event(i: int) -> bytes:
    return f'event: content_block_delta\ndata: {{"index":0,"delta":{{"type":"text_delta","text":"tok{i}"}}}}\n\n'.encode()


def request_id(n: int) -> str:
    return seed(f"session request id {n}", 16).hex()


def script() -> list:
    """(sender, what happens, frames of one record)."""
    first, second = b'{"model":"m","stream":true,', b'"messages":[{"role":"user","content":"Gr\xc3\xbc\xc3\x9fe"}]}'
    listing = b'{"data":[' + b",".join(b'{"id":"model-%02d"}' % i for i in range(40)) + b"]}"
    large = bytes(range(256)) * 80
    ev = [event(i) for i in range(5)]
    total = sum(map(len, ev))
    receipt = dict(zip(wire.RECEIPT, (310, 640_120, 640_300, 905_770, 905_811, 75_411)))
    return [
        ("client", "key confirmation (3.9)", [ping(0, "session ping")]),
        ("server", "PONG", [pong(0, "session ping")]),
        ("client", "exchange 1: POST, streaming, with stamps; first piece of the body",
         [request(1, request_id=request_id(1), url=API + "/v1/messages", timings=True, body=len(first) + len(second),
                  credit=1 << 20,
                  headers=[JSON, ["accept", SSE[1]], ["x-api-key", b"secret".hex()], ["x-latin", b"caf\xe9".hex()]]),
          body(1, first)]),
        ("client", "rest of the body; exchange 2: GET, no body",
         [body(1, second), body_end(1, len(first) + len(second)),
          request(2, request_id=request_id(2), method="GET", url=API + "/v1/models", credit=65536)]),
        ("server", "upload credit given back", [credit(1, len(first) + len(second) + 128)]),
        ("server", "heads of both exchanges, first event of 1",
         [response(1, headers=[SSE, ["x-request-id", b"r1".hex()], ["x-multi", "61"], ["x-multi", "62"]]),
          data(1, 1, ev[0], [640_300, 25]), response(2, headers=[JSON], length=len(listing))]),
        ("server", "body of 2 and event 2 of 1 in one record",
         [data(2, 1, listing[:300]), data(1, 2, ev[1], [702_001, 30]), data(2, 2, listing[300:])]),
        ("client", "download credit for both", [credit(1, len(ev[0]) + len(ev[1]) + 128), credit(2, len(listing) + 128)]),
        ("server", "end of 2, event 3 of 1", [end(2, 3, len(listing)), data(1, 3, ev[2], [766_112, 28])]),
        ("client", "credit for 2 that crosses its END; PING on 1", [credit(2, 1), ping(1, "session ping 2")]),
        ("server", "PONG with the silence of the upstream", [pong(1, "session ping 2", 64)]),
        ("server", "padding alone", []),
        ("server", "last events of 1, END with receipt and trailers",
         [data(1, 4, ev[3], [830_400, 75_411]), data(1, 5, ev[4], [905_770, 41]),
          end(1, 6, total, [["x-usage", b"17".hex()]], receipt)]),
        ("client", "exchange 3: buffered, no body",
         [request(3, request_id=request_id(3), method="GET", url=API + "/v1/files/f1/content", mode=1, policy=1)]),
        ("server", "the whole answer of 3 is longer than a record",
         [response(3, headers=[["content-type", b"application/octet-stream".hex()]], length=len(large)),
          data(3, 1, large[:12000])]),
        ("server", "rest of 3", [data(3, 2, large[12000:]),
                                 end(3, 3, len(large), None, {"called": 95, "head": 20_100, "sealed": 44_000})]),
        ("client", "exchange 4: POST of unknown length with trailers",
         [request(4, request_id=request_id(4), url=API + "/v1/messages", headers=[SSE], body="unknown"),
          body(4, b"part one, "), body(4, b"part two"), body_end(4, 18, [["x-sum", b"ok".hex()]])]),
        ("server", "4 begins", [response(4, headers=[SSE]), data(4, 1, ev[0])]),
        ("client", "4 is cancelled", [cancel(4, 0)]),
        ("server", "a piece that was on its way, then ERROR cancelled",
         [data(4, 2, ev[1]), error(4, 3, 32, 0, False, "cancelled by the client")]),
        ("client", "exchange 5: an origin that is not on the list",
         [request(5, request_id=request_id(5), method="GET", url="https://elsewhere.example/")]),
        ("server", "5 is refused", [error(5, 0, 34, 0, True, "the origin is not allowed")]),
        ("client", "exchange 6: the first part of a body", [
            request(6, request_id=request_id(6), url=API + "/v1/files", body=1000), body(6, b"q" * 400)]),
        ("server", "6 is answered before its body has ended", [response(6, status=413), end(6, 1, 0)]),
        ("client", "a piece that crosses the END of 6", [body(6, b"q" * 100)]),
        ("client", "exchange 7: HEAD", [request(7, request_id=request_id(7), method="HEAD", url=API + "/v1/models")]),
        ("server", "7: the length that a GET would have had, no DATA; PING of the server",
         [response(7, headers=[JSON], length=len(listing)), end(7, 1, 0), ping(0, "session ping 3")]),
        ("client", "PONG; a full record: exchange 8, body that fills it",
         [pong(0, "session ping 3"), request(8, request_id=request_id(8), method="PUT", url=API + "/v1/blobs/b", headers=[], body=16000),
          body(8, b"p" * 16000), body_end(8, 16000)]),
        ("server", "8 is answered by 204", [response(8, status=204), end(8, 1, 0)]),
        ("server", "GOAWAY", [goaway(8, 8, "idle")]),
    ]


def handshake(label: str, server_head: dict) -> tuple:
    """What the file says of the client and its server, the same of their session, and what seals each direction of it."""
    name = label.split()[0]
    private, psk, key_id = seed(f"{name} server"), seed(f"{name} psk"), seed(f"{name} key id", 16)
    public = public_of(private)
    client_e, server_e = seed(f"{label} client ephemeral"), seed(f"{label} server ephemeral")
    client_payload = wire.hello_payload(cbor.encode({0: key_id, 1: 1}))
    server_payload = wire.hello_payload(cbor.encode(server_head))
    client, server = NKpsk2(public, client_e), NKpsk2(public, server_e, private)
    client_hello = client.write_client_hello(client_payload)
    assert server.read_client_hello(client_hello) == client_payload
    server_hello = server.write_server_hello(psk, server_payload)
    assert client.read_server_hello(psk, server_hello) == server_payload
    h, k1, k2 = client.finish()
    assert (h, k1, k2) == server.finish()
    peers = {
        "credential": wire.credential(key_id, psk, public),
        "key_id": key_id.hex(), "psk": psk.hex(), "server_private": private.hex(), "server_public": public.hex(),
    }
    session = {
        "client_ephemeral_private": client_e.hex(), "server_ephemeral_private": server_e.hex(),
        "client_payload": client_payload.hex(), "client_hello": client_hello.hex(),
        "server_payload": server_payload.hex(), "server_hello": server_hello.hex(),
        "server_fields": decode.decode_server_hello(server_payload),
        "handshake_hash": h.hex(), "k1": k1.hex(), "k2": k2.hex(),
    }
    return peers, session, {"client": wire.Epochs(h, k1), "server": wire.Epochs(h, k2)}


def session_file() -> dict:
    peers, session, directions = handshake("session", SERVER_HEAD)
    steps, state = [], Session(SERVER_HEAD[3], SERVER_HEAD[4])
    numbers = {"client": 0, "server": 0}
    for sender, what, frames in script():
        plaintext = wire.pad(b"".join(map(wire.encode_frame, frames)))
        n = numbers[sender]
        record = directions[sender].seal(n, plaintext)
        assert directions[sender].open(n, record) == plaintext
        outcomes = state.receive(sender, plaintext)
        assert [f for f, _ in outcomes] == frames, what
        assert {o for _, o in outcomes} <= {"ok", "ignored"}, what
        steps.append({"from": sender, "n": n, "what": what, "record": record.hex(), "plaintext": plaintext.hex(), "frames": frames})
        numbers[sender] += 1
    assert state.open_count() == 0
    return {
        "about": "A whole session (sections 3 to 5) under profile pad: keys, hellos, then records in the order of time.",
        **peers, **session, "steps": steps,
    }
