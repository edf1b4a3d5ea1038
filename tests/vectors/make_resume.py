"""resumption.json: requests that outlive their session (protocol.md section 7), byte by byte: three sessions of one client with one
instance of a server. The first is cut; the second is given up by the client, and its server does not know."""

import wire
from make_frames import body, body_end, data, end, error, gone, goaway, request, response, resumed
from make_session import API, JSON, SSE, event, handshake
from seeds import seed
from state import Session, Story

HEAD = {1: 1, 3: 8, 4: 32768, 5: 1 << 20, 6: 300, 9: 60, 10: seed("resumption instance", 8)}
CLOCKS = {"first": 1_795_435_200_000, "second": 1_795_435_203_000, "third": 1_795_435_203_600}
CREDIT = 65536
LOST, CUT = "lost", "cut"


def request_id(n: int) -> str:
    return seed(f"resumption request id {n}", 16).hex()


def resume(exchange: int, n: int, next_seq: int, credit: int, attempt: int) -> dict:
    return {"type": "RESUME", "exchange": exchange, "request_id": request_id(n), "next_seq": next_seq, "credit": credit,
            "attempt": attempt}


def cost(*pieces: bytes) -> int:
    """5.5."""
    return sum(len(piece) + wire.FRAME_COST for piece in pieces)


def receipt(**known) -> dict:
    return {name: known[name] for name in wire.RECEIPT if name in known}


UPLOAD = [b'{"model":"m","stream":true,', b'"messages":[{"role":"user",', b'"content":"Gr\xc3\xbc\xc3\x9fe"}]}']
EVENTS = [event(i) for i in range(5)]
LISTING = b'{"data":[' + b",".join(b'{"id":"model-%02d"}' % i for i in range(20)) + b"]}"
LARGE = [bytes([65 + i]) * 900 for i in range(2)]


def answers() -> list:
    """What comes of each request: what its upstream gets, and its caller."""
    none = {"status": None, "body": "", "outcome": "session-lost", "uploaded": ""}
    return [
        {"name": "cut in the middle, twice", "request_id": request_id(1), "status": 200, "body": b"".join(EVENTS).hex(),
         "outcome": "ok", "uploaded": b"".join(UPLOAD).hex()},
        {"name": "its END was lost", "request_id": request_id(2), "status": 200, "body": LISTING.hex(), "outcome": "ok",
         "uploaded": ""},
        {"name": "the server has let go of what was lost", "request_id": request_id(3)} | none | {"status": 200},
        {"name": "its REQUEST was lost", "request_id": request_id(4)} | none | {"status": 204, "outcome": "ok"},
    ]


def script() -> list:
    """(session, microseconds since the first one was open, sender, what happens, frames of one record, whether it arrives); for a cut
    (session, microseconds, CUT, what happens, who learns of it). A request begins when its REQUEST arrives, and stamps and receipts
    count from there."""
    sent, total, ev = sum(map(len, UPLOAD[:2])), sum(map(len, UPLOAD)), EVENTS
    post = request(1, request_id=request_id(1), url=API + "/v1/messages", timings=True, body=total, credit=CREDIT, headers=[JSON])
    listing = request(2, request_id=request_id(2), method="GET", url=API + "/v1/models", credit=CREDIT)
    large = request(3, request_id=request_id(3), method="GET", url=API + "/v1/files/f1/content", credit=CREDIT)
    late = request(4, request_id=request_id(4), method="DELETE", url=API + "/v1/files/f2", credit=CREDIT)
    left = HEAD[4] - cost(*UPLOAD[:2])
    heads = {"called": 400, "head": 300_000, "first": 310_000}
    listed = {"called": 200, "head": 319_000, "first": 329_000, "last": 329_000, "waited": 0}
    taken = "it goes on in another session"
    return [
        ("first", 0, "client", "exchange 1: POST with stamps; first piece of its body", [post, body(1, UPLOAD[0])]),
        ("first", 1_000, "client", "exchanges 2 and 3: GET", [listing, large]),
        ("first", 2_000, "client", "second piece of the body of 1", [body(1, UPLOAD[1])]),
        ("first", 300_010, "server", "1 begins", [response(1, headers=[SSE])]),
        ("first", 310_025, "server", "first event of 1", [data(1, 1, ev[0], [310_000, 25])]),
        ("first", 320_000, "server", "2 and 3 begin", [response(2, headers=[JSON]), response(3)]),
        ("first", 330_000, "server", "all of 2 but its END", [data(2, 1, LISTING)]),
        ("first", 340_040, "server", "second event of 1, lost: from here on the path carries nothing",
         [data(1, 2, ev[1], [340_000, 40])], LOST),
        ("first", 341_000, "server", "more of 3 than the server keeps of an answer, lost",
         [data(3, 1, LARGE[0]), data(3, 2, LARGE[1])], LOST),
        ("first", 343_000, "server", "END of 2, lost", [end(2, 2, len(LISTING), None, receipt(**listed, sealed=342_000))], LOST),
        ("first", 343_000, "client", "rest of the body of 1, and exchange 4, lost",
         [body(1, UPLOAD[2]), late, body_end(1, total)], LOST),
        ("first", 800_000, CUT, "both learn that the session is over; upstream, the third event of 1 comes at 900000",
         ["client", "server"]),
        ("second", 3_000_000, "client", "back for all four", [
            resume(1, 1, 2, CREDIT - cost(ev[0]), 1), resume(2, 2, 2, CREDIT - cost(LISTING), 1), resume(3, 3, 1, CREDIT, 1),
            resume(4, 4, 0, CREDIT, 1)]),
        ("second", 3_040_100, "server", "1 and 2 go on where they were, 3 cannot, 4 was never here", [
            resumed(1, sent, left), resumed(2, 0, HEAD[4]), gone(3), gone(4), data(1, 2, ev[1], [340_000, 2_700_100]),
            end(2, 2, len(LISTING), None, receipt(**listed, sealed=3_039_100)), data(1, 3, ev[2], [900_000, 2_140_100])]),
        ("second", 3_080_000, "client", "the body of 1 goes on behind what has arrived; 4 is asked anew with its ID, as exchange 5",
         [body(1, UPLOAD[2]), late | {"exchange": 5}, body_end(1, total)]),
        ("second", 3_090_000, "server", "fourth event of 1, lost", [data(1, 4, ev[3], [3_089_950, 50])], LOST),
        ("second", 3_600_000, CUT, "the client gives the session up; the server does not know", ["client"]),
        ("third", 3_650_000, "client", "back for both, for the second time",
         [resume(1, 1, 4, CREDIT - cost(*ev[:3]), 2), resume(2, 4, 0, CREDIT, 2)]),
        ("third", 3_690_000, "server", "both go on here",
         [resumed(1, total, left - cost(UPLOAD[2])), resumed(2, 0, HEAD[4]), data(1, 4, ev[3], [3_089_950, 600_050])]),
        ("second", 3_690_000, "server", "the other session is told, lost",
         [error(1, 5, 54, 0, False, taken), error(5, 0, 54, 0, False, taken)], LOST),
        ("third", 3_730_000, "client", "the end of the body of 1 once more: nothing has said that it arrived", [body_end(1, total)]),
        ("third", 3_740_030, "server", "last event and END of 1", [data(1, 5, ev[4], [3_740_000, 30]), end(
            1, 6, sum(map(len, ev)), [["x-usage", b"17".hex()]], receipt(**heads, last=3_740_000, sealed=3_740_030, waited=2_700_100))]),
        ("third", 3_800_000, "server", "4, now exchange 2, is answered by 204",
         [response(2, status=204), end(2, 1, 0, None, receipt(called=200, head=720_000, sealed=720_000))]),
        ("third", 3_850_000, "client", "GOAWAY: the end of every exchange up to 2 has been seen", [goaway(0, 2)]),
        ("second", 4_000_000, CUT, "the server learns that the session is over", ["server"]),
    ]


def resumption_file() -> dict:
    story, sessions, live = Story(), [], {}
    for name, clock in CLOCKS.items():
        peers, session, directions = handshake(f"resumption {name}", HEAD | {7: clock})
        sessions.append({"name": name} | session)
        live[name] = Session(HEAD[3], HEAD[4], story), directions, {"client": 0, "server": 0}
    steps, had = [], {answer["request_id"]: b"" for answer in answers()}
    ended = set()
    for name, at, sender, what, content, *lost in script():
        state, directions, numbers = live[name]
        if sender == CUT:
            for side in content:
                state.cut(side)
            steps.append({"session": name, "at": at, "what": what, "cut": content})
            continue
        plaintext = wire.pad(b"".join(map(wire.encode_frame, content)))
        n = numbers[sender]
        record = directions[sender].seal(n, plaintext)
        assert directions[sender].open(n, record) == plaintext
        if lost:
            assert state.lose(sender, plaintext) == content, what
        else:
            outcomes = state.receive(sender, plaintext)
            assert [f for f, _ in outcomes] == content, what
            again = "once more" in what
            assert {o for _, o in outcomes} == {"ignored" if again else "ok"}, what
            for f in content:
                note(story, state, f, had, ended)
        steps.append({"session": name, "at": at, "from": sender, "n": n, "lost": bool(lost), "what": what, "record": record.hex(),
                      "plaintext": plaintext.hex(), "frames": content})
        numbers[sender] += 1
    for answer in answers():
        of = story.asked[answer["request_id"]]
        whole = answer["outcome"] == "ok"
        assert (of.status, had[answer["request_id"]].hex(), answer["request_id"] in ended) == (answer["status"], answer["body"], whole)
        assert of.body.hex() == answer["uploaded"] and of.up == len(of.body) and of.gone != whole, answer["name"]
    return {
        "about": "Requests that outlive their session (section 7): three sessions of one client with one instance of a server, whose "
                 "records are in the order of time. What was lost was sealed and never arrived.",
        **peers, "sessions": sessions, "steps": steps, "answers": answers(),
    }


def note(story: Story, state: Session, f: dict, had: dict, ended: set):
    """What has come to the caller of the request."""
    if f["type"] not in ("DATA", "END"):
        return
    request_of = state.exchanges[f["exchange"]].request
    name = next(name for name, asked in story.asked.items() if asked is request_of)
    if f["type"] == "DATA":
        had[name] += bytes.fromhex(f["body"])
    else:
        ended.add(name)
