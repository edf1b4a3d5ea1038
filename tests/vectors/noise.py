"""Noise_NKpsk2_25519_AESGCM_SHA256, written from the Noise Protocol Framework revision 34 (protocol.md section 3).

Only the primitives come from outside: X25519, AES-GCM, SHA-256 and HMAC. The names follow the Noise specification, so that
it can be laid beside this file. Ephemeral keys are arguments, because vectors must come out the same every time.
"""

import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PROTOCOL_NAME = b"Noise_NKpsk2_25519_AESGCM_SHA256"
PROLOGUE = b"xllm-proxy/1"


def public_of(private: bytes) -> bytes:
    """The X25519 public key of a private key."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def dh(private: bytes, public: bytes) -> bytes:
    """Noise DH(): X25519. `cryptography` raises ValueError for an all-zero result."""
    return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """HMAC-HASH of the Noise specification, section 4.3."""
    return hmac.new(key, data, hashlib.sha256).digest()


def noise_hkdf(chaining_key: bytes, material: bytes, outputs: int) -> list:
    """Noise HKDF(), section 4.3: two or three outputs of 32 bytes."""
    temp = hmac_sha256(chaining_key, material)
    result, last = [], b""
    for i in range(1, outputs + 1):
        last = hmac_sha256(temp, last + bytes([i]))
        result.append(last)
    return result


class SymmetricState:
    """SymmetricState and the CipherState in it (Noise section 5.1 and 5.2)."""

    def __init__(self, protocol_name: bytes):
        if len(protocol_name) <= 32:
            self.h = protocol_name.ljust(32, b"\x00")
        else:
            self.h = hashlib.sha256(protocol_name).digest()
        self.ck, self.k, self.n = self.h, None, 0

    def mix_key(self, material: bytes):
        self.ck, self.k = noise_hkdf(self.ck, material, 2)
        self.n = 0

    def mix_hash(self, data: bytes):
        self.h = hashlib.sha256(self.h + data).digest()

    def mix_key_and_hash(self, material: bytes):
        self.ck, temp_h, self.k = noise_hkdf(self.ck, material, 3)
        self.mix_hash(temp_h)
        self.n = 0

    def _nonce(self) -> bytes:
        """AESGCM in Noise section 12.4: 4 zero bytes, then n as 8 bytes big-endian."""
        nonce = bytes(4) + self.n.to_bytes(8, "big")
        self.n += 1
        return nonce

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        sealed = AESGCM(self.k).encrypt(self._nonce(), plaintext, self.h)
        self.mix_hash(sealed)
        return sealed

    def decrypt_and_hash(self, sealed: bytes) -> bytes:
        plaintext = AESGCM(self.k).decrypt(self._nonce(), sealed, self.h)
        self.mix_hash(sealed)
        return plaintext

    def split(self) -> tuple:
        return tuple(noise_hkdf(self.ck, b"", 2))


class NKpsk2:
    """One side of the handshake:  <- s ... -> e, es   <- e, ee, psk   (protocol.md 3.1)

    In a handshake with a PSK every `e` token is followed by MixKey(e), Noise section 9.2.
    """

    def __init__(self, server_public: bytes, ephemeral_private: bytes, server_private: bytes = None,
                 prologue: bytes = PROLOGUE):
        self.ss = SymmetricState(PROTOCOL_NAME)
        self.ss.mix_hash(prologue)
        self.ss.mix_hash(server_public)  # pre-message  <- s
        self.rs, self.s = server_public, server_private
        self.e = ephemeral_private
        self.re = None

    def _mix_e(self, public: bytes):
        self.ss.mix_hash(public)
        self.ss.mix_key(public)

    def write_client_hello(self, payload: bytes, es: bytes = None, e_public: bytes = None) -> bytes:
        """-> e, es. The last two arguments force a bad ephemeral key for negative vectors."""
        e_public = public_of(self.e) if e_public is None else e_public
        self._mix_e(e_public)
        self.ss.mix_key(dh(self.e, self.rs) if es is None else es)
        return e_public + self.ss.encrypt_and_hash(payload)

    def read_client_hello(self, message: bytes) -> bytes:
        self.re = message[:32]
        self._mix_e(self.re)
        self.ss.mix_key(dh(self.s, self.re))
        return self.ss.decrypt_and_hash(message[32:])

    def write_server_hello(self, psk: bytes, payload: bytes) -> bytes:
        """<- e, ee, psk."""
        e_public = public_of(self.e)
        self._mix_e(e_public)
        self.ss.mix_key(dh(self.e, self.re))
        self.ss.mix_key_and_hash(psk)
        return e_public + self.ss.encrypt_and_hash(payload)

    def read_server_hello(self, psk: bytes, message: bytes) -> bytes:
        self.re = message[:32]
        self._mix_e(self.re)
        self.ss.mix_key(dh(self.e, self.re))
        self.ss.mix_key_and_hash(psk)
        return self.ss.decrypt_and_hash(message[32:])

    def finish(self) -> tuple:
        """(h, k1, k2): the handshake hash, the key client to server, the key server to client (4.1)."""
        return (self.ss.h, *self.ss.split())
