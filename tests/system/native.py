# SPDX-License-Identifier: Apache-2.0
"""Bodies of VictoriaMetrics' native format."""
import struct

from wire import varint

ZSTD_DELTA2, DELTA_CONST, CONST, ZSTD_DELTA, DELTA2, DELTA = range(1, 7)
EVER = (-(1 << 63), (1 << 63) - 1)


def zigzag(v):
    return varint((v << 1 ^ v >> 63) & (1 << 64) - 1)


def differences(values):
    return [b - a for a, b in zip(values, values[1:])]


def pack(values, packing):
    d = differences(values)
    if packing in (CONST, DELTA_CONST):
        return zigzag(d[0]) if packing == DELTA_CONST else b""
    if packing in (DELTA2, ZSTD_DELTA2):
        d = d[:1] + differences(d)
    return b"".join(map(zigzag, d))


def block(times, values, packings=(DELTA, DELTA), exponent=0, precision=64, rows=None, low=None, high=None, compress=None):
    """values: integers. compress: zstd, for the packings that have it."""
    packed = []
    for numbers, packing in zip((times, values), packings):
        data = pack(numbers, packing)
        packed.append(compress(data) if compress and packing in (ZSTD_DELTA, ZSTD_DELTA2) else data)
    head = zigzag(times[0] if low is None else low) + zigzag(times[-1] if high is None else high) + zigzag(values[0])
    head += varint(len(times) if rows is None else rows) + zigzag(exponent) + bytes([*packings, precision])
    return head + b"".join(varint(len(p)) + p for p in packed)


def name(metric, **labels):
    def escaped(text):
        return text.encode().replace(b"\0", b"\0000").replace(b"\1", b"\0001").replace(b"\2", b"\0002") + b"\1"
    return escaped(metric) + b"".join(escaped(k) + escaped(v) for k, v in labels.items())


def record(series, data):
    return struct.pack(">I", len(series)) + series + struct.pack(">I", len(data)) + data


def body(*records, window=EVER):
    """records: (name, block)"""
    return struct.pack(">QQ", *((t << 1 ^ t >> 63) & (1 << 64) - 1 for t in window)) + b"".join(record(*r) for r in records)
