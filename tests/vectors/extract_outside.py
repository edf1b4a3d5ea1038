#!/usr/bin/env python3
"""Writes foreign/noise.json: `extract_outside.py FILE`, where FILE is a vector file in the format of the Noise wiki (`cacophony.txt`,
which the Rust crate `snow` carries in tests/vectors). It keeps what can be made of X25519, AES-GCM and SHA-256, and changes nothing."""

import json
import pathlib
import sys

PRIMITIVES = "_25519_AESGCM_SHA256"

if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        kept = [vector for vector in json.load(file)["vectors"] if vector["protocol_name"].endswith(PRIMITIVES)]
    text = '{"vectors": [\n' + ",\n".join(" " + json.dumps(vector) for vector in kept) + "\n]}\n"
    (pathlib.Path(__file__).resolve().parent / "foreign" / "noise.json").write_text(text)
    print(f"{len(kept)} vectors")
