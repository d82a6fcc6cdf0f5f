# SPDX-License-Identifier: Apache-2.0
"""Remote write 1.0 in plain Python: snappy's block format, the protobuf messages, zstd through the system's library.

It shares no code with sluice, so that it can judge what sluice sends. Series are (labels, samples): labels a dict,
samples a list of (Unix milliseconds, float).
"""
import ctypes
import struct

STALE_BITS = 0x7FF0000000000002
STALE = struct.unpack("<d", struct.pack("<Q", STALE_BITS))[0]


def is_stale(v):
    return struct.pack("<d", v) == struct.pack("<Q", STALE_BITS)


def varint(n):
    out = bytearray()
    n &= (1 << 64) - 1
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def read_varint(b, at):
    n = shift = 0
    while True:
        byte = b[at]
        at += 1
        n |= (byte & 0x7F) << shift
        if byte < 0x80:
            return n, at
        shift += 7
        if shift > 63:
            raise ValueError(f"varint longer than 10 bytes at {at}")


def snappy_compress(data):
    """Literals only: valid, and as long as the data."""
    out = bytearray(varint(len(data)))
    for i in range(0, len(data), 60):
        piece = data[i:i + 60]
        out.append(len(piece) - 1 << 2)
        out += piece
    return bytes(out)


def snappy_decompress(b):
    size, at = read_varint(b, 0)
    out = bytearray()
    while at < len(b):
        tag = b[at]
        at += 1
        if tag & 3 == 0:
            n = tag >> 2
            if n >= 60:
                extra = n - 59
                n = int.from_bytes(b[at:at + extra], "little")
                at += extra
            n += 1
            if at + n > len(b):
                raise ValueError("snappy: literal past the end")
            out += b[at:at + n]
            at += n
            continue
        width = (0, 1, 2, 4)[tag & 3]
        if tag & 3 == 1:
            n, offset = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | b[at]
        else:
            n, offset = (tag >> 2) + 1, int.from_bytes(b[at:at + width], "little")
        at += width
        if not 0 < offset <= len(out):
            raise ValueError(f"snappy: copy from {offset} bytes back with {len(out)} written")
        if offset >= n:
            start = len(out) - offset
            out += out[start:start + n]
        else:
            piece = out[-offset:]
            out += (piece * (n // offset + 1))[:n]
    if len(out) != size:
        raise ValueError(f"snappy: {len(out)} bytes, {size} declared")
    return bytes(out)


def zstd_decompress(b):
    z = ctypes.CDLL("libzstd.so.1")
    z.ZSTD_getFrameContentSize.restype = ctypes.c_ulonglong
    z.ZSTD_decompress.restype = ctypes.c_size_t
    z.ZSTD_decompress.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    size = z.ZSTD_getFrameContentSize(b, ctypes.c_size_t(len(b)))
    if size > 1 << 30:
        size = 64 << 20  # not declared
    out = ctypes.create_string_buffer(max(size, 1))
    n = z.ZSTD_decompress(out, len(out), b, len(b))
    if n > len(out):
        raise ValueError("zstd: damaged body")
    return out.raw[:n]


def fields(b):
    """(number, value) of each field of a message: int for varints, bytes for the rest."""
    at = 0
    while at < len(b):
        key, at = read_varint(b, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = read_varint(b, at)
        else:
            if kind == 2:
                n, at = read_varint(b, at)
            else:
                n = {1: 8, 5: 4}[kind]
            value = b[at:at + n]
            if len(value) != n:
                raise ValueError(f"protobuf: field {number} past the end")
            at += n
        yield number, value


def field(number, value):
    """One field: bytes or str length-delimited, float as double, int as varint."""
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def write_request(series):
    out = bytearray()
    for labels, samples in series:
        body = b"".join(field(1, field(1, name) + field(2, labels[name])) for name in sorted(labels))
        body += b"".join(field(2, field(1, float(v)) + field(2, int(t))) for t, v in samples)
        out += field(1, body)
    return bytes(out)


def signed(n):
    return n - (1 << 64) if n >> 63 else n


def parse_sample(b):
    t, v = 0, 0.0
    for number, value in fields(b):
        if number == 1:
            v = struct.unpack("<d", value)[0]
        elif number == 2:
            t = signed(value)
    return t, v


def parse_write_request(b, in_order=True):
    """[(labels, samples)]; labels stay as sent, an order or a repetition that is wrong raises. With in_order=False any
    order is right, and of a label that is repeated, as vmagent sends it, the last one counts."""
    out = []
    for number, message in fields(b):
        if number != 1:
            continue
        labels, samples = {}, []
        for part, value in fields(message):
            if part == 1:
                pair = dict(fields(value))
                name = pair.get(1, b"").decode()
                if in_order and labels and name <= next(reversed(labels)):
                    raise ValueError(f"label {name!r} after {next(reversed(labels))!r}")
                labels[name] = pair.get(2, b"").decode()
            elif part == 2:
                samples.append(parse_sample(value))
        out.append((labels, samples))
    return out
