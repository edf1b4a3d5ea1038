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
SERVE = ASK = b"\5"
RESPOND, DATA, END = b"\0\1" + b"\0\1\0", b"\1\1" + b"x\0\10", b"\3\1"
GET, POST = b"\0\0" + b"\0\0\0", b"\0\0" + b"\2\0\0"


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


def main():
    targets = {
        "url": urls(),
        "frame": (plaintext for _, plaintext in frames()),
        "credential": credential(),
        "connection": connection(),
        "operations": operations(),
        "splits": splits(),
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
