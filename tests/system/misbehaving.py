# SPDX-License-Identifier: Apache-2.0
"""Servers of server groups: a healthy one, and one that misbehaves in a way of FAULTS."""
import itertools
import json
import re
import socket
import struct
import threading
import time
import urllib.parse

import fakes
import wire

START, END, STEP = 1000, 1300, 20
CHECK = "vector(1)"  # by which sluice checks whether a server works
LISTS = {"/api/v1/labels": ["__name__", "i"], "/api/v1/label/i/values": ["1", "2"],
         "/api/v1/series": [{"__name__": "m", "i": "1"}, {"__name__": "m", "i": "2"}]}
STATUS_CONFIG = b'{"status":"success","data":{"yaml":"global: {}"}}'


def result(kind, series):
    return {"status": "success", "data": {"resultType": kind, "result": series}}


def series_of(times, total, clock=0):
    """Two series whose values tell the times of their scrapes, or their sum. clock: seconds that the samples' times are
    ahead of them."""
    if total:
        return [{"metric": {}, "values": [[t, str(3 * (t - clock))] for t in times]}]
    return [{"metric": {"__name__": "m", "i": str(i)}, "values": [[t, str((t - clock) * i)] for t in times]}
            for i in (1, 2)]


def read_response(clock=0):
    """Of remote_read: the same series from START to END."""
    series = series_of(range(START, END + 1, STEP), False, clock)
    samples = [(s["metric"], [(t * 1000, float(v)) for t, v in s["values"]]) for s in series]
    return wire.snappy_compress(wire.field(1, wire.write_request(samples)))


class Lines(bytes):
    """Of VictoriaMetrics' export."""


def exported(clock=0):
    series = series_of(range(START, END + 1, STEP), False, clock)
    return Lines(b"".join(json.dumps({"metric": s["metric"], "values": [float(v) for _, v in s["values"]],
                                      "timestamps": [t * 1000 for t, _ in s["values"]]}).encode() + b"\n" for s in series))


def body_of(right):
    return right if isinstance(right, bytes) else json.dumps(right).encode()


def reply_with(request, right):
    kind = {"Content_Type": "application/stream+json"} if isinstance(right, Lines) else \
        {"Content_Type": "application/x-protobuf", "Content_Encoding": "snappy"} if isinstance(right, bytes) else {}
    return request.reply(200, body_of(right), **kind)


class Healthy(fakes.Fake):
    """A Prometheus 3.5.3 with samples of m{i="1"} and m{i="2"} every 20 s; it knows `m`, `m[...]`, `sum(m)`, lists,
    remote_read, and VictoriaMetrics' export as JSON. Its responses take `usual` seconds."""
    usual = 0

    def answer(self, request, body):
        path, _, query = request.path.partition("?")
        if path.endswith("/status/buildinfo"):
            return request.reply(200, fakes.PROMETHEUS_BUILDINFO)
        if path.endswith("/status/config"):
            return request.reply(200, STATUS_CONFIG)
        form = {k: v[0] for k, v in urllib.parse.parse_qs(query + "&" + body.decode("latin-1")).items()}
        if form.get("query") != CHECK:
            time.sleep(self.usual)
        return self.evaluate(request, path, form, self.response(path, form))

    def response(self, path, form):
        if path in LISTS:
            return {"status": "success", "data": LISTS[path]}
        if path.endswith("/read"):
            return read_response(self.clock)
        if path.endswith("/export"):
            return exported(self.clock)
        if form.get("query") == CHECK:
            return result("vector", [{"metric": {}, "value": [END, "1"]}])
        total, window = form.get("query", "").startswith("sum"), re.search(r"\[(\d+)ms\]", form.get("query", ""))
        if "step" in form:
            first, last, step = (int(float(form[k])) for k in ("start", "end", "step"))
            return result("matrix", series_of(range(first, last + 1, step), total, self.clock))
        last = int(float(form.get("time", END)))
        if window:
            before = last * 1000 - int(window.group(1))
            times = range((before // (STEP * 1000) + 1) * STEP, last + 1, STEP)
            return result("matrix", series_of(times, total, self.clock))
        return result("vector", [{"metric": s["metric"], "value": s["values"][0]}
                                 for s in series_of([last], total, self.clock)])

    def evaluate(self, request, path, form, right):
        return reply_with(request, right)


class Misbehaving(Healthy):
    """Tells what it is, and answers queries by fault(self, request, the right response): those of the paths in `only`
    (the last part of each), or all; of these every one, or every second one, third one, ..."""

    def __init__(self, fault, only=None, every=1):
        self.fault, self.only, self.ended, self.numbers = fault, only, threading.Event(), itertools.cycle(range(every))
        super().__init__()

    def evaluate(self, request, path, form, right):
        if (self.only and path.rpartition("/")[2] not in self.only) or next(self.numbers) > 0:
            return super().evaluate(request, path, form, right)
        request.close_connection = True
        return self.fault(self, request, right)


# --- the faults: fault(server, request, right response) ---------------------------------------------------------------

def hang_before_headers(server, request, right):
    server.ended.wait(20)


def hang_after_headers(server, request, right):
    request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n")
    server.ended.wait(20)


def reset_in_the_middle(server, request, right):
    body = body_of(right)
    request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:len(body) // 2])
    time.sleep(0.05)
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.connection.close()


def truncated_json(server, request, right):
    body = body_of(right)
    request.reply(200, body[:len(body) * 2 // 3])


def invalid_json(server, request, right):
    request.reply(200, json.dumps(right).replace('"values": [[', '"values": [{[').replace('"value": [', '"value": [{').encode())


def error_with_200(server, request, right):
    request.reply(200, b'{"status":"error","errorType":"internal","error":"the head is corrupt"}')


def unauthorized(server, request, right):
    request.reply(401, b'{"message":"who are you?"}', Content_Type="application/json")


def html(server, request, right):
    request.reply(200, b"<html><body>Sign in</body></html>", Content_Type="text/html")


def endless(server, request, head, more):
    """more: bytes, or a function of a number."""
    request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    for n in itertools.count():
        part = (head if n == 0 else b"") + (more(n) if callable(more) else more)
        request.wfile.write(b"%x\r\n" % len(part) + part + b"\r\n")
        if server.ended.wait(0.001):
            break


def ten_gigabytes(server, request, right):
    """As the length says."""
    request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n" + body_of(right))
    while not server.ended.wait(0.001):
        request.wfile.write(b" " * 65536)


def endless_blanks(server, request, right):
    endless(server, request, b'{"status":"success",', b" " * 65536)


def endless_string(server, request, right):
    endless(server, request, b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":"', b"a" * 65536)


def endless_unknown_key(server, request, right):
    endless(server, request, b'{"status":"success","more":[', b'"x",' * 16384)


def endless_series(server, request, right):
    one = b'{"metric":{"i":"x"},"values":[' + b",".join(b'[%d,"1"]' % t for t in range(START, END + 1, STEP)) + b"]},"
    endless(server, request, b'{"status":"success","data":{"resultType":"matrix","result":[', one * 10)


def endless_new_series(server, request, right):
    """Valid as far as it goes."""
    points = b",".join(b'[%d,"%d"]' % (t, t * t) for t in range(START, END + 1, STEP))

    def more(n):
        return b"".join(b'{"metric":{"i":"%d-%d"},"values":[%s]},' % (n, i, points) for i in range(200))
    endless(server, request, b'{"status":"success","data":{"resultType":"matrix","result":[', more)


def endless_samples(server, request, right):
    one = b",".join(b'[%d,"1"]' % t for t in range(START, START + 4000)) + b","
    endless(server, request, b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[', one)


def wrong_times(server, request, right):
    for s in right["data"]["result"]:
        s["values"] = [[t + 7, v] for t, v in s["values"]]
    request.reply(200, json.dumps(right).encode())


def slow_drip(server, request, right):
    body = body_of(right) + b" " * 500
    request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
    for i in range(len(body)):
        if server.ended.wait(0.1):
            break
        request.wfile.write(body[i:i + 1])


def redirect_loop(server, request, right):
    # Closed, or curl might use a connection that just ended, five times, and give another reason.
    request.reply(302, b"", Location=f"http://{server.address}{request.path}", Connection="close")


def wrong_type(server, request, right):
    request.reply(200, json.dumps(result("scalar", [START, "1"])).encode())


def labels_are_numbers(server, request, right):
    request.reply(200, json.dumps(right).replace('"metric": {', '"metric": {"x": NaN, ').encode())


def values_are_objects(server, request, right):
    for s in right["data"]["result"]:
        s["values"] = [[t, {"v": v}] for t, v in s["values"]]
    request.reply(200, json.dumps(right).encode())


def duplicate_series(server, request, right):
    right["data"]["result"] *= 2
    request.reply(200, json.dumps(right).encode())


def duplicate_times(server, request, right):
    for s in right["data"]["result"]:
        s["values"] = [p for p in s["values"] for _ in range(2)]
    request.reply(200, json.dumps(right).encode())


def broken_utf8(server, request, right):
    request.reply(200, json.dumps(right).encode().replace(b'"metric": {', b'"metric": {"x": "\xff\xfe", '))


LATE, NO_JSON, MEMORY = "timed out after", "invalid JSON at byte", "MiB of memory"
FAULTS = {  # what the error tells, and its status where no replica is beside the server
    hang_before_headers: (LATE, 504), hang_after_headers: (LATE, 504), slow_drip: (LATE, 504),
    endless_blanks: ("too much white space", 502), endless_unknown_key: ("values of unknown keys", 502),
    endless_string: ("string or number too long", 502), endless_samples: ("more points than", 502),
    endless_series: ("duplicate series", 502), endless_new_series: (MEMORY, 422),
    ten_gigabytes: ("response body exceeds 1073741824 bytes", 422),
    reset_in_the_middle: ("reset by peer", 502), truncated_json: (NO_JSON, 502), invalid_json: (NO_JSON, 502),
    error_with_200: ("the server returned an error: the head is corrupt", 502), unauthorized: ("HTTP 401: who are you?", 502),
    html: (NO_JSON, 502), wrong_times: ("timestamps do not match the requested steps", 502),
    redirect_loop: ("more than 10 redirects", 502), wrong_type: ("cannot parse the response", 502),
    labels_are_numbers: (NO_JSON, 502), values_are_objects: ("expected a pair of a time and a quoted number", 502),
    duplicate_series: ("duplicate series", 502), duplicate_times: ("out of order", 502)}
