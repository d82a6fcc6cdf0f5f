# SPDX-License-Identifier: Apache-2.0
"""Bodies of Datadog's agents, as protobuf."""
import otlp
from otlp import double, field
from wire import varint


def series(metric, points, tags=(), resources=(), source=""):
    """points: (time in seconds, value); resources: (type, name)."""
    body = b"".join(field(1, field(1, kind) + field(2, name)) for kind, name in resources) + field(2, metric)
    body += b"".join(field(3, tag) for tag in tags)
    body += b"".join(field(4, double(1, v) + field(2, t & (1 << 64) - 1)) for t, v in points)
    return field(1, body + (field(7, source) if source else b"") + field(5, 3) + field(6, "unit"))


def dogsketch(t, k, n, low=0.0, high=0.0, total=0.0, count=None):
    count = sum(n) if count is None else count
    body = field(1, t) + field(2, count) + double(3, low) + double(4, high) + double(5, 1.0) + double(6, total)
    return body + field(7, b"".join(varint(v << 1 ^ v >> 63) for v in k)) + field(8, b"".join(map(varint, n)))


def sketch(metric, *sketches, host="", tags=()):
    return field(1, field(1, metric) + field(2, host) + b"".join(field(4, tag) for tag in tags) + b"".join(field(7, s) for s in sketches))
