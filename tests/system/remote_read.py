# SPDX-License-Identifier: Apache-2.0
"""Prometheus' remote_read in plain Python: requests, and both forms of responses."""
import struct

from lib import *
from wire import field, fields, parse_sample, read_varint, snappy_compress, snappy_decompress, signed

SAMPLES, CHUNKS = 0, 1
TYPES = {"=": 0, "!=": 1, "=~": 2, "!~": 3}


def read_query(matchers, start, end, **hints):
    """matchers: [(name, type, value)]; times in ms; hints: step, func, hint_start, hint_end, range."""
    body = field(1, start) + field(2, end)
    body += b"".join(field(3, field(1, TYPES[kind]) + field(2, name) + field(3, value)) for name, kind, value in matchers)
    if hints:
        numbers = {"step": 1, "func": 2, "hint_start": 3, "hint_end": 4, "range": 7}
        body += field(4, b"".join(field(numbers[k], v) for k, v in hints.items()))
    return body


def read(server, queries, forms=(), **more):
    body = b"".join(field(1, q) for q in queries) + b"".join(field(2, form) for form in forms)
    return request(f"{server.url}/api/v1/read", data=snappy_compress(body), headers={
        "Content-Type": "application/x-protobuf", "Content-Encoding": "snappy", "Accept-Encoding": "snappy",
        "X-Prometheus-Remote-Read-Version": "0.1.0"}, **more)


def labels_of(message):
    pairs = [dict(fields(value)) for number, value in fields(message) if number == 1]
    return {p[1].decode(): p[2].decode() for p in pairs}


def sampled(answer):
    """[[(labels, [(ms, value)], histograms)] of each query]"""
    assert answer.status == 200, answer
    assert answer.headers["Content-Type"] == "application/x-protobuf", dict(answer.headers)
    assert answer.headers["Content-Encoding"] == "snappy", dict(answer.headers)
    return [[(labels_of(s), [parse_sample(v) for number, v in fields(s) if number == 2],
              [v for number, v in fields(s) if number == 4]) for number, s in fields(result) if number == 1]
            for number, result in fields(snappy_decompress(answer.body)) if number == 1]


def crc_of_byte(crc):
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


CRC_TABLE = [crc_of_byte(byte) for byte in range(256)]


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def frames(answer):
    """[(query, labels, [(from, to, encoding, bytes)])]: each with its checksum checked."""
    assert answer.status == 200, answer
    assert answer.headers["Content-Type"] == "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
    assert answer.headers.get("Content-Encoding") is None, dict(answer.headers)
    out, at, body = [], 0, answer.body
    while at < len(body):
        n, at = read_varint(body, at)
        (crc,) = struct.unpack(">I", body[at:at + 4])
        message = body[at + 4:at + 4 + n]
        assert len(message) == n and crc32c(message) == crc, "a frame is cut or has a wrong checksum"
        at += 4 + n
        parts = dict(fields(message))
        series = [v for number, v in fields(message) if number == 1]
        assert len(series) == 1
        chunks = []
        for number, c in fields(series[0]):
            if number == 2:
                c = dict(fields(c))
                chunks.append((signed(c.get(1, 0)), signed(c.get(2, 0)), c[3], c[4]))
        out.append((parts.get(2, 0), labels_of(series[0]), chunks))
    return out


class Bits:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        v = 0
        for _ in range(n):
            v = v << 1 | self.data[self.at >> 3] >> (7 - (self.at & 7)) & 1
            self.at += 1
        return v


def unxor(data):
    """The samples of an XOR chunk."""
    n, bits, out = int.from_bytes(data[:2], "big"), Bits(data[2:]), []

    def uvarint():
        v = shift = 0
        while True:
            byte = bits.take(8)
            v |= (byte & 0x7F) << shift
            if byte < 0x80:
                return v
            shift += 7

    t = delta = value = leading = trailing = 0
    for i in range(n):
        if i == 0:
            z = uvarint()
            t, value = z >> 1 ^ -(z & 1), bits.take(64)
        else:
            if i == 1:
                delta = uvarint()
            else:
                ones = 0
                while ones < 4 and bits.take(1):
                    ones += 1
                size = (0, 14, 17, 20, 64)[ones]
                change = bits.take(size) if size else 0
                if size and change > 1 << size - 1:
                    change -= 1 << size
                delta += change
            t += delta
            if bits.take(1):
                if bits.take(1):
                    leading, significant = bits.take(5), bits.take(6) or 64
                    trailing = 64 - leading - significant
                value ^= bits.take(64 - leading - trailing) << trailing
        out.append((t, struct.unpack("<d", struct.pack("<Q", value))[0]))
    return out
