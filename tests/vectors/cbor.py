"""The part of CBOR (RFC 8949) that a head needs (protocol.md 1.3).

`encode` writes the deterministic encoding of section 4.2.1. `decode_head` reads one map with ascending unsigned keys and
refuses what 1.3 lists, among it every encoding but the deterministic one, also inside unknown values.
"""

import struct

MAX_DEPTH = 8


class CborError(ValueError):
    """The bytes are not a head: `malformed`."""


class Raw(bytes):
    """Bytes that go into an encoding as they are (to write heads that are wrong, or values of other types)."""


class Other:
    """A value of a type that no known key has: negative integer, float, tag, undefined, simple. Kept only to be skipped."""

    def __init__(self, what):
        self.what = what

    def __repr__(self):
        return f"Other({self.what!r})"


def head_bytes(major: int, value: int) -> bytes:
    """Initial byte and argument in the shortest form."""
    for limit, info, size in ((24, None, 0), (1 << 8, 24, 1), (1 << 16, 25, 2), (1 << 32, 26, 4), (1 << 64, 27, 8)):
        if value < limit:
            if info is None:
                return bytes([major << 5 | value])
            return bytes([major << 5 | info]) + value.to_bytes(size, "big")
    raise OverflowError(value)


def encode(value) -> bytes:
    """Deterministic encoding. Map keys are sorted by their encoding, which for unsigned integers is by value."""
    if isinstance(value, Raw):
        return bytes(value)
    if value is None:
        return b"\xf6"
    if value is True or value is False:
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return head_bytes(0, value) if value >= 0 else head_bytes(1, -1 - value)
    if isinstance(value, bytes):
        return head_bytes(2, len(value)) + value
    if isinstance(value, str):
        data = value.encode("utf-8")
        return head_bytes(3, len(data)) + data
    if isinstance(value, (list, tuple)):
        return head_bytes(4, len(value)) + b"".join(encode(v) for v in value)
    if isinstance(value, dict):
        pairs = sorted((encode(k), encode(v)) for k, v in value.items())
        return head_bytes(5, len(pairs)) + b"".join(k + v for k, v in pairs)
    raise TypeError(type(value))


class Reader:
    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise CborError("a length that the bytes at hand do not hold")
        self.at += count
        return self.data[self.at - count:self.at]

    def argument(self) -> tuple:
        """(major type, additional information, argument)."""
        first = self.take(1)[0]
        major, info = first >> 5, first & 31
        if info < 24:
            return major, info, info
        if info > 27:
            raise CborError("indefinite length or reserved additional information")
        size = 1 << (info - 24)
        value = int.from_bytes(self.take(size), "big")
        if major != 7 and value < (24, 1 << 8, 1 << 16, 1 << 32)[info - 24]:
            raise CborError("not the shortest form")
        return major, info, value

    def item(self, depth: int):
        """One data item. `depth` is how many containers are open around it; the head map itself counts as 1."""
        major, info, value = self.argument()
        if major == 0:
            return value
        if major == 1:
            return Other(-1 - value)
        if major == 2:
            return self.take(value)
        if major == 3:
            try:
                return self.take(value).decode("utf-8")
            except UnicodeDecodeError:
                raise CborError("text that is not UTF-8") from None
        if major == 7:
            if info in (20, 21):
                return info == 21
            if info == 22:
                return None
            if info == 24 and value < 32:
                raise CborError("simple value that is not well-formed")
            if info in (26, 27) and fits_shorter(value, info):
                raise CborError("a float that is not in its shortest form")
            return Other(("simple or float", info, value))
        depth += 1
        if depth > MAX_DEPTH:
            raise CborError("nesting deeper than 8")
        if major == 6:
            return Other(("tag", value, self.item(depth)))
        left = len(self.data) - self.at
        if value > left or (major == 5 and 2 * value > left):
            raise CborError("a length that the bytes at hand do not hold")
        if major == 4:
            return [self.item(depth) for _ in range(value)]
        # A map inside an unknown value may have keys of any type, but they ascend by their encodings.
        pairs, last = Map(), None
        for _ in range(value):
            start = self.at
            key = self.item(depth)
            raw = self.data[start:self.at]
            if last is not None and raw <= last:
                raise CborError("keys that repeat or do not ascend")
            last = raw
            pairs.append((key, self.item(depth)))
        return pairs


def fits_shorter(bits: int, info: int) -> bool:
    """Whether a float of 4 bytes (info 26) or 8 (27) has the same value in half as many (RFC 8949 section 4.1)."""
    wide, narrow, kept, dropped = (">f", ">e", 23, 13) if info == 26 else (">d", ">f", 52, 29)
    value = struct.unpack(wide, bits.to_bytes(struct.calcsize(wide), "big"))[0]
    if value != value:
        return bits & ((1 << dropped) - 1) == 0
    try:
        return struct.unpack(narrow, struct.pack(narrow, value))[0] == value
    except OverflowError:
        return False


class Map(list):
    """A CBOR map as a list of pairs in the order of the wire."""


def known_map(value) -> dict:
    """A map that this protocol defines: unsigned keys, ascending, no repeats."""
    if not isinstance(value, Map):
        raise CborError("not a map")
    last = -1
    for key, _ in value:
        if type(key) is not int:
            raise CborError("a key that is not an unsigned integer")
        if key <= last:
            raise CborError("keys that repeat or do not ascend")
        last = key
    return dict(value)


def decode_prefix(data: bytes) -> tuple:
    """A head at the start of `data`: (map as a dict, how many bytes it took)."""
    reader = Reader(data)
    value = known_map(reader.item(0))
    return value, reader.at


def decode_head(data: bytes) -> dict:
    """A head that fills `data`."""
    value, used = decode_prefix(data)
    if used != len(data):
        raise CborError("bytes after the map")
    return value
