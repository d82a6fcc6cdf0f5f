# SPDX-License-Identifier: Apache-2.0
"""Bodies of OpenTelemetry's protocol as JSON, made of those in protobuf."""
import base64
import json
import struct

from wire import fields

TEXT, BYTES, BOOL, INT, SINT, FIXED, SIGNED, DOUBLE, ENUM = range(9)
TEMPORALITIES = ["AGGREGATION_TEMPORALITY_UNSPECIFIED", "AGGREGATION_TEMPORALITY_DELTA", "AGGREGATION_TEMPORALITY_CUMULATIVE"]
# {number: (name, type or message, repeated)}
ANY, KEY_VALUE = {}, {}
ANY.update({1: ("stringValue", TEXT, 0), 2: ("boolValue", BOOL, 0), 3: ("intValue", INT, 0), 4: ("doubleValue", DOUBLE, 0),
            5: ("arrayValue", {1: ("values", ANY, 1)}, 0), 6: ("kvlistValue", {1: ("values", KEY_VALUE, 1)}, 0), 7: ("bytesValue", BYTES, 0)})
KEY_VALUE.update({1: ("key", TEXT, 0), 2: ("value", ANY, 0)})
TIMES = {2: ("startTimeUnixNano", FIXED, 0), 3: ("timeUnixNano", FIXED, 0)}
NUMBER = {**TIMES, 7: ("attributes", KEY_VALUE, 1), 4: ("asDouble", DOUBLE, 0), 6: ("asInt", SIGNED, 0), 8: ("flags", INT, 0)}
HISTOGRAM = {**TIMES, 9: ("attributes", KEY_VALUE, 1), 4: ("count", FIXED, 0), 5: ("sum", DOUBLE, 0), 6: ("bucketCounts", FIXED, 1),
             7: ("explicitBounds", DOUBLE, 1), 10: ("flags", INT, 0), 11: ("min", DOUBLE, 0), 12: ("max", DOUBLE, 0)}
BUCKETS = {1: ("offset", SINT, 0), 2: ("bucketCounts", INT, 1)}
EXPONENTIAL = {**TIMES, 1: ("attributes", KEY_VALUE, 1), 4: ("count", FIXED, 0), 5: ("sum", DOUBLE, 0), 6: ("scale", SINT, 0),
               7: ("zeroCount", FIXED, 0), 8: ("positive", BUCKETS, 0), 9: ("negative", BUCKETS, 0), 10: ("flags", INT, 0), 14: ("zeroThreshold", DOUBLE, 0)}
SUMMARY = {**TIMES, 7: ("attributes", KEY_VALUE, 1), 4: ("count", FIXED, 0), 5: ("sum", DOUBLE, 0),
           6: ("quantileValues", {1: ("quantile", DOUBLE, 0), 2: ("value", DOUBLE, 0)}, 1), 8: ("flags", INT, 0)}
TEMPORALITY = {2: ("aggregationTemporality", ENUM, 0)}
METRIC = {1: ("name", TEXT, 0), 2: ("description", TEXT, 0), 3: ("unit", TEXT, 0), 5: ("gauge", {1: ("dataPoints", NUMBER, 1)}, 0),
          7: ("sum", {1: ("dataPoints", NUMBER, 1), 3: ("isMonotonic", BOOL, 0), **TEMPORALITY}, 0),
          9: ("histogram", {1: ("dataPoints", HISTOGRAM, 1), **TEMPORALITY}, 0),
          10: ("exponentialHistogram", {1: ("dataPoints", EXPONENTIAL, 1), **TEMPORALITY}, 0), 11: ("summary", {1: ("dataPoints", SUMMARY, 1)}, 0)}
SCOPE = {1: ("name", TEXT, 0), 2: ("version", TEXT, 0), 3: ("attributes", KEY_VALUE, 1)}
REQUEST = {1: ("resourceMetrics", {1: ("resource", {1: ("attributes", KEY_VALUE, 1)}, 0), 2: ("scopeMetrics", {
    1: ("scope", SCOPE, 0), 2: ("metrics", METRIC, 1), 3: ("schemaUrl", TEXT, 0)}, 1)}, 1)}


def snake(name):
    return "".join("_" + c.lower() if c.isupper() else c for c in name)


def double(bits):
    v = struct.unpack("<d", struct.pack("<Q", bits))[0]
    return "NaN" if v != v else "Infinity" if v == float("inf") else "-Infinity" if v == -float("inf") else v


def varints(data):
    at, shift, v = 0, 0, 0
    for b in data:
        v, shift = v | (b & 127) << shift, shift + 7
        if b < 128:
            yield v
            v, shift = 0, 0


def signed(v):
    return v - (1 << 64) if v >> 63 else v


class Writer:
    """dice: chooses between equal forms; None: the usual ones."""

    def __init__(self, dice=None):
        self.dice = dice

    def either(self, usual, other):
        return other if self.dice and self.dice.random() < .5 else usual

    def integer(self, v):
        return self.either(str(v), v)

    def number(self, kind, v):
        if kind == BOOL:
            return bool(v)
        if kind == SINT:
            return v >> 1 ^ -(v & 1)
        if kind == DOUBLE:
            return double(v)
        if kind == ENUM:
            return self.either(v, TEMPORALITIES[v])
        return self.integer(signed(v) if kind in (INT, SIGNED) else v)

    def values(self, kind, value):
        packed = struct.unpack(f"<{len(value) // 8}Q", value) if kind in (FIXED, DOUBLE) else varints(value)
        return [self.number(kind, v) for v in packed]

    def value(self, kind, value):
        if isinstance(kind, dict):
            return self.message(kind, value)
        if kind == TEXT:
            return value.decode()
        if kind == BYTES:
            return base64.b64encode(value).decode()
        return self.number(kind, struct.unpack("<Q", value)[0] if isinstance(value, bytes) else value)

    def message(self, table, data):
        out = {}
        for number, value in fields(data):
            name, kind, repeated = table.get(number, (None, None, None))
            if not name:
                continue
            if not repeated:
                out[name] = self.value(kind, value)
            elif isinstance(kind, dict):
                out.setdefault(name, []).append(self.value(kind, value))
            else:
                out[name] = self.values(kind, value)
        items = [(self.either(name, snake(name)), value) for name, value in out.items()]
        if self.dice and self.dice.random() < .3:
            items.append(("unknownMember", {"deep": [1, None, {"a": "b"}]}))
            self.dice.shuffle(items)
        return dict(items)


def as_json(body, dice=None):
    return json.dumps(Writer(dice).message(REQUEST, body)).encode()
