"""The state of exchanges (protocol.md 5.2 to 5.5, 5.9, 5.12), and of requests beyond their sessions (7)."""

from decode import CREDIT_MAX, is_uint, refusal, walk
from wire import FRAME_COST, ProtocolError

ELSEWHERE = (9, 40)
"""The codes that refuse a RESUME in this session alone (7.3): shutting-down, too-many-exchanges."""
SUPERSEDED = 54


def must(holds: bool, why: str):
    """What a peer cannot see, and a vector must not do all the same."""
    if not holds:
        raise AssertionError(why)


class Request:
    """A request and its answer, at both ends, whatever sessions they are in: the request ID names it (7.8). Where a session begins
    with a RESUME that nobody has seen the REQUEST of, what is not known of it is None."""

    def __init__(self, f: dict):
        first = f["type"] == "REQUEST"
        body = f.get("body", "none")
        self.timings, self.mode, self.method = f.get("timings", False), f.get("mode", 0), f.get("method")
        # What the client has had of the answer.
        self.seq = 0 if first else f["next_seq"]
        self.headed, self.status, self.length, self.down = self.seq > 0, None, None, 0 if first else None
        # What the client has sealed of the request, and said of it: which session it is in, how often it came back, that it is gone.
        self.body, self.at, self.attempts, self.gone = b"", None, 0, False
        # What the server has had of the request.
        self.up, self.up_state, self.up_length = 0, "none" if body == "none" else "open", body if is_uint(body) else None
        # What the server has sealed of the answer, by seq; the session that has it; the highest attempt.
        self.answer, self.holder, self.attempt = [], None, 0

    def bodiless(self) -> bool:
        return self.method == "HEAD" or self.status in (204, 304)


class Exchange:
    """A request in one session. `asked` is the RESUME whose answer the client awaits; `answered`, whether the server has it here."""

    def __init__(self, request: Request, f: dict, up_credit: int):
        self.request, self.open = request, True
        self.asked = f if f["type"] == "RESUME" else None
        self.answered = self.asked is None
        self.down_credit, self.up_credit = f["credit"], up_credit
        # Where the server and the client go on: a seq, and a byte of the request body.
        self.next, self.place = f.get("next_seq", 0), 0
        # Another session has it now (7.3); BODY_END may come again.
        self.taken, self.end_again = False, False


class Story:
    """What a client and one instance of a server know of requests beyond their sessions: those that the client has asked, and those
    that the server knows (7.2), by request ID."""

    def __init__(self):
        self.asked, self.known = {}, {}


def again(first: dict, second: dict) -> bool:
    """Whether the second frame is the first, sealed anew in another session: the same but for its exchange and for what time does."""
    def fixed(f: dict) -> dict:
        late = {"exchange": None}
        if f.get("stamps"):
            late["stamps"] = f["stamps"][0]
        if f.get("receipt"):
            late["receipt"] = {k: v for k, v in f["receipt"].items() if k not in ("sealed", "waited")}
        return f | late
    return fixed(first) == fixed(second)


class Session:
    """What both sides know of the exchanges (5.2 to 5.5, 5.9, 5.12), for frames in one global order: a frame is received
    before the next one is sent. `receive` raises ProtocolError as the receiver would, and returns the frames with, for each,
    "ok", "ignored" (5.2, 5.7, 5.8, 7.3) or the code of the ERROR that the server answers on that exchange.

    With a `story`, what was sent and never arrived is told by `lose`, and the end of the session at either side by `cut`; then the
    other sessions of the same story are held to section 7."""

    def __init__(self, max_exchanges: int, upload_credit: int, story: Story = None):
        self.max_exchanges, self.upload_credit, self.story = max_exchanges, upload_credit, story
        self.exchanges, self.last, self.served = {}, 0, None
        self.lost, self.over = set(), set()

    def receive(self, sender: str, plaintext: bytes) -> list:
        receiver = "server" if sender == "client" else "client"
        must(sender not in self.lost | self.over and receiver not in self.over, "nothing arrives behind what was lost")
        result = []
        for frame in walk(plaintext, receiver, self.timings):
            if self.story:
                self.sealed(sender, frame)
            result.append((frame, self.step(receiver, frame)))
        return result

    def lose(self, sender: str, plaintext: bytes) -> list:
        """What was sealed and never arrived, and nothing behind it does: the frames."""
        must(sender not in self.over, "it has ended")
        self.lost.add(sender)
        result = []
        for frame in walk(plaintext, "server" if sender == "client" else "client", self.timings):
            if frame["type"] in ("REQUEST", "RESUME"):
                self.open_at_client(frame)
            self.sealed(sender, frame)
            result.append(frame)
        return result

    def cut(self, side: str):
        """This side learns that the session is over. What was open at the client may be resumed from now on."""
        self.over.add(side)
        for x in self.exchanges.values():
            if side == "client" and x.open:
                x.request.at = None

    def timings(self, number: int) -> bool:
        return number in self.exchanges and self.exchanges[number].request.timings

    def open_count(self) -> int:
        return sum(x.open and x.answered for x in self.exchanges.values())

    def step(self, receiver: str, f: dict) -> str:
        kind, number = f["type"], f["exchange"]
        if kind in ("REQUEST", "RESUME"):
            return self.begin(f)
        if number == 0:
            if kind == "ERROR" and f["seq"] != 0:
                raise ProtocolError("sequence", "session ERROR with a seq that is not 0")
            if kind == "GOAWAY" and receiver == "client":
                self.goaway(f["last"])
            return "ok"
        x = self.exchanges.get(number)
        if receiver == "client":
            if x is not None and self.served is not None and number > self.served:
                return "ignored"
            if x is None or not x.open:
                raise ProtocolError("sequence", f"{kind} on exchange {number}, which is not open")
            self.at_client(x, f)
            return "ok"
        if x is None:
            raise ProtocolError("sequence", f"{kind} on exchange {number}, which never was")
        if not x.open or x.taken:
            return "ignored"
        must(x.answered, "until the answer to a RESUME comes, the client sends nothing else on it")
        return self.at_server(x, f) or "ok"

    def goaway(self, last: int):
        """5.8: a server's GOAWAY. The client counts what is above `last` as ended."""
        self.served = last
        for number, x in self.exchanges.items():
            x.open = x.open and number <= last

    # ------------------------------------------------------------ opening

    def open_at_client(self, f: dict):
        if f["exchange"] != self.last + 1:
            raise ProtocolError("violation", "exchange numbers go up by one")
        self.last += 1
        request = None
        if self.story:
            request = self.story.asked.get(f["request_id"])
            must(request is None or request.at is None, "it is open in another session")
            if f["type"] == "RESUME":
                must(request is not None, "what is resumed was asked")
                must(f["next_seq"] == request.seq, "a client wants what it has not had")
                must(f["attempt"] == request.attempts + 1, "attempts count up")
                request.attempts += 1
            elif request is not None:
                must(request.gone and request.seq == 0, "it is asked anew where it is gone and nothing of an answer has come")
        request = request or Request(f)
        self.exchanges[self.last] = Exchange(request, f, self.upload_credit)
        if self.story:
            self.story.asked[f["request_id"]] = request
            request.at, request.gone = self, False

    def begin(self, f: dict) -> str:
        over = self.open_count() >= self.max_exchanges
        self.open_at_client(f)
        x = self.exchanges[self.last]
        if self.served is not None and f["exchange"] > self.served:
            x.open = False
            return "shutting-down"
        if over:
            x.open = False
            return "too-many-exchanges"
        if f["type"] == "RESUME":
            return "ok"
        if self.story and f["request_id"] in self.story.known:
            return "duplicate-request"
        if self.story:
            self.story.known[f["request_id"]] = x.request
            x.request.holder = self
        return refusal(f) or "ok"

    # ------------------------------------------------------------ sealing

    def sealed(self, sender: str, f: dict):
        """What its sender knows of a frame, whether or not it arrives."""
        kind, x = f["type"], self.exchanges.get(f["exchange"])
        if x is None or kind in ("REQUEST", "RESUME"):
            return
        if sender == "client":
            must(x.asked is None, "until the answer to a RESUME comes, the client sends nothing else on it")
            if kind == "BODY":
                self.seal_body(x, bytes.fromhex(f["body"]))
        elif kind == "RESUMED":
            self.seal_resumed(x, f)
        elif kind in ("RESPONSE", "DATA", "END", "ERROR") and x.answered:
            self.seal_answer(x, f)

    def seal_body(self, x: Exchange, piece: bytes):
        """The client goes on behind what the server has had (7.3), with the bytes that it has sent before."""
        body, end = x.request.body, x.place + len(piece)
        must(body[x.place:end] == piece[:len(body) - x.place], "another body than before")
        x.request.body = body[:x.place] + piece + body[end:]
        x.place = end

    def seal_answer(self, x: Exchange, f: dict):
        """Every frame from the wanted seq on, those that were sealed before as they were (7)."""
        answer = x.request.answer
        must(f["seq"] == x.next, "the next frame of the answer")
        if f["type"] == "ERROR" and f["code"] == SUPERSEDED:
            must(x.taken, "no other session has it")
            return
        must(not x.taken, "another session has it")
        x.next += 1
        if f["seq"] < len(answer):
            must(again(answer[f["seq"]], f), "another answer than before")
        else:
            answer.append(f)

    def seal_resumed(self, x: Exchange, f: dict):
        request, asked = x.request, x.asked
        must(self.story.known.get(asked["request_id"]) is request, "the server does not know it: GONE")
        must(asked["attempt"] >= request.attempt, "a later attempt has it: GONE")
        must(asked["next_seq"] <= len(request.answer), "the answer is not that far")
        must(f["received"] == request.up, "what the server has had of the body")
        before = next(other for other in request.holder.exchanges.values() if other.request is request and other.answered)
        must(f["credit"] >= before.up_credit, "the upload credit that is left")
        before.taken = True
        x.answered, x.taken = True, False
        x.up_credit, x.end_again = f["credit"], request.up_state == "done"
        request.holder, request.attempt = self, asked["attempt"]

    # ------------------------------------------------------------ receiving

    def give(self, x: Exchange, which: str, amount: int):
        if getattr(x, which) + amount > CREDIT_MAX:
            raise ProtocolError("credit-exceeded", "credit over 2^30")
        setattr(x, which, getattr(x, which) + amount)

    def spend(self, x: Exchange, which: str, body: str):
        left = getattr(x, which) - len(body) // 2 - FRAME_COST
        if left < 0:
            raise ProtocolError("credit-exceeded", "more than the credit")
        setattr(x, which, left)

    def at_server(self, x: Exchange, f: dict):
        kind, r = f["type"], x.request
        if kind == "BODY_END" and r.up_state == "done" and x.end_again:
            x.end_again = False
            if f["total"] != r.up:
                raise ProtocolError("violation", "count of the request body")
            return "ignored"
        if kind in ("BODY", "BODY_END") and r.up_state != "open":
            raise ProtocolError("violation", f"{kind} where no body is open")
        if kind == "BODY":
            self.spend(x, "up_credit", f["body"])
            r.up += len(f["body"]) // 2
            if r.up_length is not None and r.up > r.up_length:
                raise ProtocolError("violation", "more body than declared")
        elif kind == "BODY_END":
            if f["total"] != r.up or r.up_length not in (None, r.up):
                raise ProtocolError("violation", "count of the request body")
            r.up_state = "done"
        elif kind == "CREDIT":
            self.give(x, "down_credit", f["amount"])
        return None

    def leave(self, x: Exchange):
        """The client has no more to do with it in this session."""
        x.open, x.request.at = False, None

    def answer_to_resume(self, x: Exchange, f: dict):
        """7.3: one of three, and nothing before it."""
        kind = f["type"]
        if kind == "RESUMED":
            if self.story and f["received"] > len(x.request.body):
                raise ProtocolError("violation", "more of a body than there is")
            x.asked, x.answered, x.place = None, True, f["received"]
        elif kind == "GONE":
            x.request.gone = True
            self.leave(x)
        elif kind == "ERROR" and f["seq"] == 0 and f["code"] in ELSEWHERE:
            self.leave(x)
        else:
            raise ProtocolError("sequence", f"{kind} before the answer to a RESUME")

    def at_client(self, x: Exchange, f: dict):
        kind, r = f["type"], x.request
        if x.asked is not None:
            return self.answer_to_resume(x, f)
        if kind in ("GONE", "RESUMED"):
            raise ProtocolError("violation", f"{kind} where no RESUME waits for it")
        if kind in ("RESPONSE", "DATA", "END", "ERROR"):
            if f["seq"] != r.seq:
                raise ProtocolError("sequence", f"seq {f['seq']} where {r.seq} was due")
            if kind == "ERROR" and f["code"] == SUPERSEDED:
                return self.leave(x)
            r.seq += 1
            if kind == "RESPONSE" and r.headed:
                raise ProtocolError("sequence", "a second RESPONSE")
            if kind in ("DATA", "END") and not r.headed:
                raise ProtocolError("sequence", f"{kind} before RESPONSE")
        if kind == "RESPONSE":
            r.headed, r.status, r.length = True, f["status"], f["length"]
            if r.mode == 1 and f["length"] is None and not r.bodiless():
                raise ProtocolError("violation", "buffered RESPONSE without length")
        elif kind == "DATA":
            if r.bodiless():
                raise ProtocolError("violation", "DATA for HEAD, 204 or 304")
            self.spend(x, "down_credit", f["body"])
            r.down = None if r.down is None else r.down + len(f["body"]) // 2
        elif kind == "END":
            if r.down is not None and f["total"] != r.down:
                raise ProtocolError("sequence", "END's total is not what came")
            if not r.bodiless() and r.length is not None and r.length != f["total"]:
                raise ProtocolError("sequence", "END's total is not the declared length")
            self.leave(x)
        elif kind == "ERROR":
            self.leave(x)
        elif kind == "CREDIT":
            self.give(x, "up_credit", f["amount"])
        return None
