#!/usr/bin/env python3
"""What the decoder of tests/vectors makes of some bytes, for the target `differential`: reads questions and writes as many answers.
Either is a u32 of its size and so many bytes; the first byte of a question says what it is about."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "vectors"))

import decode  # noqa: E402
import state  # noqa: E402
from wire import ProtocolError, encode_frame  # noqa: E402

EXCHANGES, CREDIT = 4, 32768
"""As in src/lib.rs."""


def plaintext(receiver):
    """Each frame as it is written anew, and how it ends."""

    def answer(data):
        lines = []
        try:
            for frame in decode.walk(data, receiver, lambda exchange: False):
                # What the other side knows without any state (4.2).
                if frame["type"] == "RESPONSE" and frame["seq"] != 0:
                    raise ProtocolError("sequence", "a response head that is not the first frame")
                # There are no exchanges above it.
                if frame["type"] == "GOAWAY":
                    frame["last"] = min(frame["last"], decode.MAX_EXCHANGE)
                # Those that nobody knows are all one.
                if frame.get("code"):
                    frame["code"] = min(frame["code"], 0xFFFF)
                # A list, receipt or (GOAWAY) text with nothing in it may be said or left out; the other side leaves it out.
                for key in ("trailers", "receipt", *(["text"] if frame["type"] == "GOAWAY" else [])):
                    if not frame.get(key, True):
                        frame[key] = None
                lines.append(encode_frame(frame).hex())
        except ProtocolError as error:
            lines.append(error.code)
        else:
            lines.append("ok")
        return "\n".join(lines)

    return answer


def client_hello(data):
    said = decode.decode_client_hello(data)
    return f"{said['key_id']} {said['profile']}"


def server_hello(data):
    said = decode.decode_server_hello(data)
    numbers = [said[name] for name in ("profile", "max_exchanges", "upload_credit", "max_buffered", "idle_seconds", "clock_ms", "hold_seconds")]
    node = "-" if said["node"] is None else said["node"].encode().hex()
    return " ".join(map(str, [*numbers, node, said["instance"] or "-"]))


def credential(data):
    try:
        return " ".join(part.hex() for part in decode.decode_credential(data.decode()))
    except decode.BadCredential as error:
        return error.args[0]


def said(data):
    """Frames to a server whose program answers no request and has nothing to resume: how the session ends."""
    session = state.Session(EXCHANGES, CREDIT)
    while data:
        size = int.from_bytes(data[:2], "big")
        record, data = data[2:2 + size], data[2 + size:]
        for frame, _ in session.receive("client", record):
            # Answered at once, by GONE or ERROR.
            if frame["type"] in ("RESUME", "CANCEL") and frame["exchange"] in session.exchanges:
                session.exchanges[frame["exchange"]].open = False
    return "ok"


ABOUT = [plaintext("server"), plaintext("client"), client_hello, server_hello, credential, said]


def main():
    questions, answers = sys.stdin.buffer, sys.stdout.buffer
    while size := questions.read(4):
        question = questions.read(int.from_bytes(size, "big"))
        try:
            answer = ABOUT[question[0]](question[1:])
        except ProtocolError as error:
            answer = error.code
        answer = answer.encode()
        answers.write(len(answer).to_bytes(4, "big") + answer)
        answers.flush()


if __name__ == "__main__":
    main()
