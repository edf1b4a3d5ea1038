#!/usr/bin/env python3
"""Makes the seed corpus of every fuzz target from tests/vectors/*.json: python3 fuzz/seeds.py

Writes fuzz/corpus/TARGET/seed-…, which is not committed. The formats are those of the targets (see src/lib.rs: Script).
"""

import hashlib
import json
import pathlib

FUZZ = pathlib.Path(__file__).resolve().parent
VECTORS = FUZZ.parent / "tests" / "vectors"


def load(name):
    return json.loads((VECTORS / f"{name}.json").read_text())


def unhex(runs):
    """Bytes as the vectors write them: hex, or runs of it."""
    if isinstance(runs, str):
        return bytes.fromhex(runs)
    return b"".join(bytes.fromhex(run) * times for run, times in runs)


def piece(data):
    return len(data).to_bytes(2, "big") + data


def frames():
    """(receiver, plaintext) of everything that the vectors put into a record."""
    of = load("frames")
    peer = {"client": "server", "server": "client"}
    for case in of["valid"]:
        yield peer[case["from"]], unhex(case["bytes"])
    for case in of["invalid"]:
        yield case["receiver"], unhex(case["bytes"])
    for case in of["refused"]:
        yield "server", unhex(case["bytes"])


def histories():
    """Lists of (sender, plaintext)."""
    for case in load("frames")["sequences"]:
        yield [
            (step["from"], unhex(step["bytes"])) for step in case["steps"] for _ in range(min(step.get("repeat", 1), 8))
        ]
    yield [(step["from"], unhex(step["plaintext"]).rstrip(b"\0") or b"\0") for step in load("session")["steps"]]


# Operations of the target `connection`.
RECORD, TRANSMIT = b"\0", b"\2"
SERVE = ASK = b"\6"
RECONNECT = b"\5\xff"
RESPOND, DATA, END = b"\0\1" + b"\0\1\0", b"\1\1" + b"x\0\10", b"\3\1"
GET, POST = b"\0\0" + b"\0\0\0", b"\0\0" + b"\2\0\0"


def frame(kind, exchange, payload):
    """With numbers that need one byte, or two for the size."""
    size = len(payload)
    return bytes([kind, exchange]) + (bytes([size]) if size < 64 else (size | 0x4000).to_bytes(2, "big")) + payload


RESUMED = frame(14, 1, b"\xa2\x00\x00\x01\x1a\x00\x10\x00\x00")


def connection():
    for case in load("handshake")["cases"]:
        yield b"\2" + piece(unhex(case["client_payload"]))
        yield b"\3\0" + piece(unhex(case["server_payload"]))
    for case in load("handshake")["invalid"]:
        yield b"\0" + unhex(case["client_hello"])
        if case["client_payload"]:
            yield b"\2" + piece(unhex(case["client_payload"]))
    for case in load("handshake")["invalid_server"]:
        yield b"\1\0" + unhex(case["server_hello"])
        if case["server_payload"]:
            yield b"\3\1" + piece(unhex(case["server_payload"]))
    for receiver, plaintext in frames():
        if receiver == "server":
            yield b"\4\0" + RECORD + piece(plaintext) + TRANSMIT
        else:
            yield b"\5\0" + ASK + GET + TRANSMIT + RECORD + piece(plaintext) + TRANSMIT
    for steps in histories():
        # The server's program answers the first exchange; the client's asks where the history does.
        server, client = b"\4\1", b"\5\1"
        for sender, plaintext in steps:
            if sender == "client":
                server += RECORD + piece(plaintext)
                client += ASK + POST if plaintext[:1] == b"\1" else b""
            else:
                server += SERVE + RESPOND + SERVE + DATA + TRANSMIT
                client += TRANSMIT + RECORD + piece(plaintext)
        yield server + SERVE + END + TRANSMIT
        yield client
        # Cut, and gone on with; by a server's peer with the ID that the first request had.
        request = next((plaintext for sender, plaintext in steps if plaintext[:1] == b"\1"), None)
        yield client + RECONNECT + b"\1" * 7 + TRANSMIT + RECORD + piece(RESUMED) + TRANSMIT
        yield client + RECONNECT + b"\5" * 7 + TRANSMIT
        if request:
            request_id = request[request.index(b"\x00\x50") + 2:][:16]
            resume = frame(13, 1, b"\xa3\x00\x50" + request_id + b"\x01\x00\x02\x1a\x00\x10\x00\x00")
            yield server + RECONNECT + RECORD + piece(resume) + TRANSMIT + SERVE + END + TRANSMIT
            yield server + RECORD + piece(resume.replace(b"\x0d\x01", b"\x0d\x02", 1)) + TRANSMIT


def splits():
    for shape, receiver in ((0, "server"), (1, "client")):
        for steps in histories():
            records = b"".join(piece(plaintext) for sender, plaintext in steps if sender != receiver)
            for cut in (1, 17, 200):
                yield bytes([shape]) + records + piece(b"") + piece(bytes([cut]) * 64)
        for at, plaintext in frames():
            if at == receiver:
                yield bytes([shape]) + piece(plaintext) * 2 + piece(b"") + piece(b"\1\2\3\5\7\10")


# Operations of the target `operations`, on exchange 1: POST, respond, a piece each way, take, deliver, end.
def operations():
    ask, respond, end = b"\0\0\2\0\0", b"\6\1\0\1\0", b"\4\1\12\1"
    move = b"\15\0\xff\xff\15\1\xff\xff\16\0\16\1"
    for profile in (b"\0", b"\1"):
        for size in (b"\0\1", b"\2\0", b"\100\0", b"\xff\xff"):
            up, down = b"\2\1u" + size, b"\7\1d" + size
            yield profile + ask + move + up + move + respond + down + move + end + move
            yield profile + ask * 5 + move + (up + down) * 4 + b"\15\0\0\7" + respond + down * 3 + move + end + move * 2


def record():
    for sizes in (b"\0\1\2", b"\x40" * 4, bytes(range(0, 240, 16)), b"\xe0\xe0"):
        for change in (b"\0", b"\1\0\1\0\3\0\1\0", b"\1\1\0\0\5\0\0", b"\1\2\1\0\0\0\0", b"\1\3\1\0\0\2\0", b"\1\4\0\0\0\1\0"):
            for cuts in (b"", b"\1" * 64, b"\x11\x20"):
                yield piece(sizes) + change + cuts


def handshake():
    of = load("handshake")
    for case in of["cases"]:
        yield b"\2\0" + piece(unhex(case["client_payload"]))
        yield b"\4\0" + piece(unhex(case["server_payload"]))
        yield b"\0\0" + piece(unhex(case["client_hello"]))
    for case in of["invalid"]:
        if case["client_payload"]:
            yield b"\2\1" + piece(unhex(case["client_payload"]))
    for case in of["invalid_server"]:
        if case["server_payload"]:
            yield b"\4\1" + piece(unhex(case["server_payload"]))
    for at in (0, 31, 32, 200, 255):
        for shape in (b"\1", b"\3"):
            yield shape + b"\0" + bytes([at, 1])


# The frames of the target `head`, by their types.
HEADS = (1, 3, 4, 6, 7, 12, 13, 14)


def head():
    for _, plaintext in frames():
        if plaintext and plaintext[0] in HEADS:
            # Behind type, exchange, size, and seq where there is one: a map of few keys.
            start = next((at for at in range(3, 12) if plaintext[at:at + 1] and 0xa0 <= plaintext[at] <= 0xb7), None)
            if start:
                yield bytes([HEADS.index(plaintext[0])]) + plaintext[start:]


def wire():
    payload = lambda of: unhex(of).ljust(208, b"\0")[:208]
    sealed = lambda text: (len(text) + 16).to_bytes(2, "big") + text + bytes(16)
    case = load("handshake")["cases"][0]
    hello = {"client": b"\1" * 32 + payload(case["client_payload"]) + bytes(16)}
    hello["server"] = b"\1" * 32 + payload(case["server_payload"]) + bytes(16)
    for receiver, plaintext in frames():
        if 0 < len(plaintext) <= 16384:
            sender = "server" if receiver == "client" else "client"
            yield (b"\0" if receiver == "server" else b"\1\0") + hello[sender] + sealed(plaintext)
    for steps in histories():
        for sender, begin in (("client", b"\0"), ("server", b"\1\0")):
            yield begin + hello[sender] + b"".join(sealed(text) for by, text in steps if by == sender)


def simulation():
    for seed in range(64):
        # No two alike, the same each time.
        yield b"".join(hashlib.sha256(f"{seed} {part}".encode()).digest() for part in range(1 + seed % 16))


def differential():
    for receiver, plaintext in frames():
        yield (b"\0" if receiver == "server" else b"\1") + plaintext
        if receiver == "server":
            yield b"\5" + piece(plaintext)
    of = load("handshake")
    for case in of["cases"]:
        yield b"\2" + piece(unhex(case["client_payload"]))
        yield b"\3" + piece(unhex(case["server_payload"]))
    yield from (b"\2" + piece(unhex(case["client_payload"])) for case in of["invalid"] if case["client_payload"])
    yield from (b"\3" + piece(unhex(case["server_payload"])) for case in of["invalid_server"] if case["server_payload"])
    yield from (b"\4" + text for text in credential())
    for steps in histories():
        yield b"\5" + b"".join(piece(plaintext) for sender, plaintext in steps if sender == "client")


def credential():
    of = load("credential")
    for case in of["valid"] + of["invalid"]:
        yield case["text"].encode()
    for case in of["valid"]:
        yield case["key_id"].encode()


def urls():
    hosts = ("api.openai.com", "API.example:443", "127.0.0.1:8080", "[::1]:1", "0x7f.1", "u@h", "a.b.", "xn--bcher-kva.example", "b\u00fccher.example")
    for host in hosts:
        for rest in ("", "/", "/v1/models?limit=1", "/../%2e%2e//a?'{}|", "?q", "/\u00e9#x", "\\\\x"):
            yield f"https://{host}{rest}".encode()
    yield b"ftp://h/"


def configuration():
    example = (FUZZ.parent / "xllm-proxy.example.toml").read_text()
    said = "\n".join(line[2:] if " = " in line and line.startswith("# ") else line for line in example.splitlines())
    for text in (example, said):
        yield text.encode()
        yield from (("[" + section).encode() for section in text.split("\n[")[1:])


def main():
    targets = {
        "url": urls(),
        "frame": (plaintext for _, plaintext in frames()),
        "credential": credential(),
        "connection": connection(),
        "operations": operations(),
        "splits": splits(),
        "record": record(),
        "handshake": handshake(),
        "head": head(),
        "wire": wire(),
        "simulation": simulation(),
        "differential": differential(),
        "configuration": configuration(),
    }
    for name, seeds in targets.items():
        folder = FUZZ / "corpus" / name
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("seed-*"):
            old.unlink()
        for seed in seeds:
            (folder / f"seed-{hashlib.sha256(seed).hexdigest()[:16]}").write_bytes(seed)
        print(f"{name}: {len(list(folder.glob('seed-*')))} seeds")


if __name__ == "__main__":
    main()
