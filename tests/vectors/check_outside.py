#!/usr/bin/env python3
"""Checks noise.py against Noise vectors from outside: `check_outside.py FILE`, where FILE is a vector file in the format of
the Noise wiki (`foreign/noise.json`)."""

import json
import sys

sys.dont_write_bytecode = True

from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: E402

from noise import PROTOCOL_NAME, NKpsk2  # noqa: E402


def check(v: dict):
    init, resp, static, psk, remote = (bytes.fromhex(x) for x in (
        v["init_ephemeral"], v["resp_ephemeral"], v["resp_static"], v["init_psks"][0], v["init_remote_static"]))
    prologue = bytes.fromhex(v["init_prologue"])
    client = NKpsk2(remote, init, prologue=prologue)
    server = NKpsk2(remote, resp, static, prologue=prologue)
    messages = [(bytes.fromhex(m["payload"]), bytes.fromhex(m["ciphertext"])) for m in v["messages"]]
    assert client.write_client_hello(messages[0][0]) == messages[0][1]
    assert server.read_client_hello(messages[0][1]) == messages[0][0]
    assert server.write_server_hello(psk, messages[1][0]) == messages[1][1]
    assert client.read_server_hello(psk, messages[1][1]) == messages[1][0]
    h, *keys = client.finish()
    assert server.finish() == (h, *keys) and h.hex() == v.get("handshake_hash", h.hex())
    for i, (payload, sealed) in enumerate(messages[2:]):
        assert AESGCM(keys[i % 2]).encrypt(bytes(4) + (i // 2).to_bytes(8, "big"), payload, b"") == sealed


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        found = [v for v in json.load(file)["vectors"] if v.get("protocol_name") == PROTOCOL_NAME.decode()]
    for vector in found:
        check(vector)
    print(f"{len(found)} vectors of {PROTOCOL_NAME.decode()} agree")
    sys.exit(not found)
