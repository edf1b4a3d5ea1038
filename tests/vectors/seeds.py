"""Fixed bytes for the vectors."""

import hashlib


def seed(label: str, size: int = 32) -> bytes:
    """The first bytes of SHA-256("xllm vectors: " ‖ label)."""
    return hashlib.sha256(b"xllm vectors: " + label.encode()).digest()[:size]
