# SPDX-License-Identifier: Apache-2.0
"""Bodies of OpenTelemetry's protocol, as protobuf."""
import struct

from wire import varint


def field(number, value):
    """A message, a text or an integer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def fixed(number, value):
    return varint(number << 3 | 1) + struct.pack("<Q", value & (1 << 64) - 1)


def double(number, value):
    return varint(number << 3 | 1) + struct.pack("<d", value)


def zigzag(number, value):
    return varint(number << 3) + varint(value << 1 ^ value >> 63)


def any_value(value):
    if isinstance(value, bool):
        return field(2, int(value))
    if isinstance(value, str):
        return field(1, value)
    if isinstance(value, int):
        return field(3, value)
    if isinstance(value, float):
        return double(4, value)
    if isinstance(value, list):
        return field(5, b"".join(field(1, any_value(v)) for v in value))
    if isinstance(value, dict):
        return field(6, b"".join(field(1, key_value(k, v)) for k, v in value.items()))
    return b"" if value is None else field(7, value)


def key_value(key, value):
    return field(1, key) + field(2, any_value(value))


def attributes(number, values):
    return b"".join(field(number, key_value(k, v)) for k, v in values.items())


def number(value, t, flags=0, **labels):
    """A data point of a gauge or a sum; t: ms."""
    value = b"" if value is None else double(4, value) if isinstance(value, float) else fixed(6, value)
    return attributes(7, labels) + (fixed(3, t * 10**6) if t else b"") + value + (field(8, flags) if flags else b"")


def gauge(name, *points, **more):
    return metric(name, 5, b"".join(field(1, p) for p in points), **more)


def total(name, *points, monotonic=True, temporality=2):
    return metric(name, 7, b"".join(field(1, p) for p in points) + field(2, temporality) + field(3, int(monotonic)))


def histogram(name, t, counts, bounds, value_sum=None, temporality=2, **labels):
    point = fixed(3, t * 10**6) + fixed(4, sum(counts)) + (b"" if value_sum is None else double(5, value_sum))
    point += field(6, struct.pack(f"<{len(counts)}Q", *counts)) + field(7, struct.pack(f"<{len(bounds)}d", *bounds))
    return metric(name, 9, field(1, point + attributes(9, labels)) + field(2, temporality))


def exponential(name, t, scale, zero, positive, negative=(0, []), value_sum=1.5, **labels):
    """positive and negative: (offset, counts)."""
    point = attributes(1, labels) + fixed(3, t * 10**6) + fixed(4, zero + sum(positive[1]) + sum(negative[1])) + double(5, value_sum)
    point += zigzag(6, scale) + fixed(7, zero)
    for part, (offset, counts) in ((8, positive), (9, negative)):
        if counts:
            point += field(part, zigzag(1, offset) + field(2, b"".join(map(varint, counts))))
    return metric(name, 10, field(1, point) + field(2, 2))


def summary(name, t, count, value_sum, quantiles, **labels):
    point = fixed(3, t * 10**6) + fixed(4, count) + double(5, value_sum) + attributes(7, labels)
    point += b"".join(field(6, double(1, q) + double(2, v)) for q, v in quantiles.items())
    return metric(name, 11, field(1, point))


def metric(name, kind, data, description="", unit=""):
    return field(1, name) + field(2, description) + field(3, unit) + field(kind, data)


def request(*metrics, resource=None, scope=None):
    """scope: (name, version, attributes)."""
    parts = field(1, field(1, scope[0]) + field(2, scope[1]) + attributes(3, scope[2])) if scope else b""
    parts += b"".join(field(2, m) for m in metrics)
    return field(1, field(1, attributes(1, resource or {})) + field(2, parts))
