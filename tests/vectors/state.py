"""The state of exchanges (protocol.md 5.2 to 5.5, 5.9, 5.12)."""

from decode import CREDIT_MAX, is_uint, refusal, walk
from wire import FRAME_COST, ProtocolError


class Session:
    """What both sides know of the exchanges (5.2 to 5.5, 5.9, 5.12), for frames in one global order: a frame is received
    before the next one is sent. `receive` raises ProtocolError as the receiver would, and returns the frames with, for each,
    "ok", "ignored" (5.2, 5.7, 5.8) or the code of the ERROR that the server answers on that exchange."""

    def __init__(self, max_exchanges: int, upload_credit: int):
        self.max_exchanges, self.upload_credit = max_exchanges, upload_credit
        self.exchanges, self.last, self.served = {}, 0, None

    def receive(self, sender: str, plaintext: bytes) -> list:
        receiver = "server" if sender == "client" else "client"
        result = []
        for frame in walk(plaintext, receiver, lambda x: x in self.exchanges and self.exchanges[x]["timings"]):
            result.append((frame, self.step(receiver, frame)))
        return result

    def open_count(self) -> int:
        return sum(x["open"] for x in self.exchanges.values())

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
            if x is None or not x["open"]:
                raise ProtocolError("sequence", f"{kind} on exchange {number}, which is not open")
            self.at_client(x, f)
            return "ok"
        if x is None:
            raise ProtocolError("sequence", f"{kind} on exchange {number}, which never was")
        if not x["open"]:
            return "ignored"
        self.at_server(x, f)
        return "ok"

    def goaway(self, last: int):
        """5.8: a server's GOAWAY. The client counts what is above `last` as ended."""
        self.served = last
        for number, x in self.exchanges.items():
            x["open"] = x["open"] and number <= last

    def begin(self, f: dict) -> str:
        if f["exchange"] != self.last + 1:
            raise ProtocolError("violation", "exchange numbers go up by one")
        if f["type"] == "REQUEST" and self.served is not None and f["exchange"] > self.served:
            self.last += 1
            self.exchanges[self.last] = {"open": False, "timings": False}
            return "shutting-down"
        over = self.open_count() >= self.max_exchanges
        self.last += 1
        body = f.get("body", "none")
        self.exchanges[self.last] = {
            "open": True, "resume": f["type"] == "RESUME", "timings": f.get("timings", False), "mode": f.get("mode", 0),
            "method": f.get("method"), "seq": 0, "headed": False, "status": None, "length": None, "down": 0,
            "down_credit": f["credit"], "up_credit": self.upload_credit, "up": 0,
            "up_state": "none" if body == "none" else "open", "up_length": body if is_uint(body) else None,
        }
        if over:
            self.exchanges[self.last]["open"] = False
            return "too-many-exchanges"
        return (refusal(f) if f["type"] == "REQUEST" else None) or "ok"

    def give(self, x: dict, which: str, amount: int):
        if x[which] + amount > CREDIT_MAX:
            raise ProtocolError("credit-exceeded", "credit over 2^30")
        x[which] += amount

    def spend(self, x: dict, which: str, body: str):
        x[which] -= len(body) // 2 + FRAME_COST
        if x[which] < 0:
            raise ProtocolError("credit-exceeded", "more than the credit")

    def at_server(self, x: dict, f: dict):
        kind = f["type"]
        if kind in ("BODY", "BODY_END") and x["up_state"] != "open":
            raise ProtocolError("violation", f"{kind} where no body is open")
        if kind == "BODY":
            self.spend(x, "up_credit", f["body"])
            x["up"] += len(f["body"]) // 2
            if x["up_length"] is not None and x["up"] > x["up_length"]:
                raise ProtocolError("violation", "more body than declared")
        elif kind == "BODY_END":
            if f["total"] != x["up"] or x["up_length"] not in (None, x["up"]):
                raise ProtocolError("violation", "count of the request body")
            x["up_state"] = "done"
        elif kind == "CREDIT":
            self.give(x, "down_credit", f["amount"])

    def bodiless(self, x: dict) -> bool:
        return x["method"] == "HEAD" or x["status"] in (204, 304)

    def at_client(self, x: dict, f: dict):
        kind = f["type"]
        if kind in ("RESPONSE", "DATA", "END", "ERROR"):
            if f["seq"] != x["seq"]:
                raise ProtocolError("sequence", f"seq {f['seq']} where {x['seq']} was due")
            x["seq"] += 1
            if kind == "RESPONSE" and x["headed"]:
                raise ProtocolError("sequence", "a second RESPONSE")
            if kind in ("DATA", "END") and not x["headed"]:
                raise ProtocolError("sequence", f"{kind} before RESPONSE")
        if kind == "RESPONSE":
            x["headed"], x["status"], x["length"] = True, f["status"], f["length"]
            if x["mode"] == 1 and f["length"] is None and not self.bodiless(x):
                raise ProtocolError("violation", "buffered RESPONSE without length")
        elif kind == "DATA":
            if self.bodiless(x):
                raise ProtocolError("violation", "DATA for HEAD, 204 or 304")
            self.spend(x, "down_credit", f["body"])
            x["down"] += len(f["body"]) // 2
        elif kind == "END":
            if f["total"] != x["down"]:
                raise ProtocolError("sequence", "END's total is not what came")
            if not self.bodiless(x) and x["length"] is not None and x["length"] != f["total"]:
                raise ProtocolError("sequence", "END's total is not the declared length")
            x["open"] = False
        elif kind in ("GONE", "RESUMED") and not x["resume"]:
            raise ProtocolError("violation", f"{kind} for a REQUEST")
        elif kind == "ERROR" or kind == "GONE":
            x["open"] = False
        elif kind == "CREDIT":
            self.give(x, "up_credit", f["amount"])
