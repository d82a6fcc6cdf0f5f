# SPDX-License-Identifier: Apache-2.0
"""Remote write 2.0 in plain Python, for what sluice receives and what it sends. It shares no code with sluice."""
import struct

import wire

TYPES = {"unspecified": 0, "counter": 1, "gauge": 2, "histogram": 3, "gaugehistogram": 4, "summary": 5, "info": 6,
         "stateset": 7}
CONTENT_TYPE = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
HEADERS = {"Content-Type": CONTENT_TYPE, "Content-Encoding": "snappy", "X-Prometheus-Remote-Write-Version": "2.0.0"}


def packed(numbers):
    return b"".join(wire.varint(n) for n in numbers)


def unpacked(b):
    out, at = [], 0
    while at < len(b):
        n, at = wire.read_varint(b, at)
        out.append(n)
    return out


def signed_packed(numbers):
    return packed([n << 1 ^ n >> 63 for n in numbers])


def histogram(total, positive=True, negative=False, zero=True, custom=False, bad_count=False, t=0, start=0):
    """A native histogram as the compliance suite makes them: 23 observations above zero, 3 below, one at zero."""
    count, out = 0, b""
    span = lambda offset, n: wire.field(1, offset << 1) + wire.field(2, n)
    if positive and not custom:
        count += 23
        out += b"".join(wire.field(11, span(*s)) for s in ((0, 3), (2, 2))) + wire.field(12, signed_packed([1, 2, 1, 3, 1]))
    if negative:
        count += 3
        out += wire.field(8, span(0, 2)) + wire.field(9, signed_packed([1, 1]))
    if zero:
        count += 1
        out += wire.field(6, 1)
    if custom:
        count = 30
        out += wire.field(4, 53 * 2 - 1) + wire.field(11, span(0, 6)) + wire.field(12, signed_packed([2, 1, 2, 3, -1, -2]))
        out += wire.field(16, struct.pack("<6d", 0.1, 0.5, 1, 2.5, 5, 10))
    out += wire.field(1, 99 if bad_count else count) + wire.field(3, float(total)) + wire.field(15, t)
    return out + (wire.field(17, start) if start else b"")


def request(series):
    """The body. A series is a dict: labels (sent in this order), samples [(t, v) or (t, v, start)], histograms [bytes],
    exemplars [(labels, v, t)], metadata (type, help, unit), created."""
    symbols = {"": 0}

    def refs(labels):
        return packed([symbols.setdefault(text, len(symbols)) for pair in labels.items() for text in pair])
    out = bytearray()
    for s in series:
        body = bytearray(wire.field(1, refs(s["labels"])))
        for t, v, *start in s.get("samples", []):
            body += wire.field(2, wire.field(1, float(v)) + wire.field(2, t) + b"".join(wire.field(3, n) for n in start))
        body += b"".join(wire.field(3, h) for h in s.get("histograms", []))
        for labels, v, t in s.get("exemplars", []):
            body += wire.field(4, wire.field(1, refs(labels)) + wire.field(2, float(v)) + wire.field(3, t))
        if "metadata" in s:
            kind, text, unit = s["metadata"]
            refs_of = [symbols.setdefault(x, len(symbols)) for x in (text, unit)]
            body += wire.field(5, wire.field(1, TYPES[kind]) + wire.field(3, refs_of[0]) + wire.field(4, refs_of[1]))
        if "created" in s:
            body += wire.field(6, s["created"])
        out += wire.field(5, bytes(body))
    return b"".join(wire.field(4, text) for text in symbols) + bytes(out)


def parse(b):
    """(symbols, series): of each series what request() takes, with labels as a list of pairs."""
    symbols = [value.decode() for number, value in wire.fields(b) if number == 4]
    names = {n: name for name, n in TYPES.items()}

    def pairs(refs):
        if len(refs) % 2:
            raise ValueError(f"odd number of label references: {refs}")
        texts = [symbols[ref] for ref in refs]
        return list(zip(texts[::2], texts[1::2]))

    def sample(message):
        parts = dict(wire.fields(message))
        v = struct.unpack("<d", parts.get(1, bytes(8)))[0]
        return wire.signed(parts.get(2, 0)), v, wire.signed(parts.get(3, 0))
    series = []
    for number, message in wire.fields(b):
        if number != 5:
            continue
        one = {"labels": [], "samples": [], "histograms": [], "exemplars": [], "metadata": None}
        for part, value in wire.fields(message):
            if part == 1:
                one["labels"] += pairs(unpacked(value))
            elif part == 2:
                one["samples"].append(sample(value))
            elif part == 3:
                one["histograms"].append(value)
            elif part == 4:
                parts = dict(wire.fields(value))
                v = struct.unpack("<d", parts.get(2, bytes(8)))[0]
                one["exemplars"].append((pairs(unpacked(parts.get(1, b""))), v, wire.signed(parts.get(3, 0))))
            elif part == 5:
                parts = dict(wire.fields(value))
                one["metadata"] = names[parts.get(1, 0)], symbols[parts.get(3, 0)], symbols[parts.get(4, 0)]
        series.append(one)
    return symbols, series
