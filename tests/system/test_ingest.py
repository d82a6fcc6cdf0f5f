# SPDX-License-Identifier: Apache-2.0
"""Pushed bodies of every format beside the real vmagent: the same statuses, and equal series at the destination."""
import gzip
import json
import math
import random
import socket
import threading
import time
import zlib

import otlp
import wire
from fakes import RecordingSink
from lib import *

T = 1700000000000  # ms
NOW = "now"        # stands for the time of the request

OTLP = "/opentelemetry/v1/metrics"
PROMETHEUS, JSONL, CSV, INFLUX = "/api/v1/import/prometheus", "/api/v1/import", "/api/v1/import/csv", "/influx/write"


class Case:
    """A request. `own`: what sluice answers and stores on purpose where vmagent differs: (status, {labels: samples})."""

    def __init__(self, path, body, own=None, headers=None, method="POST", **params):
        self.path, self.headers, self.method, self.params, self.own = path, headers or {}, method, params, own
        self.body = body if isinstance(body, bytes) else body.encode()


def json_line(metric, values, times, **more):
    return json.dumps({"metric": metric, "values": values, "timestamps": times, **more})


CASES = [
    Case(PROMETHEUS, f'foo 1\nbar{{a="b"}} 2 {T}\n# TYPE x counter\n# HELP x the x\nx 3 1700000000\nbad line {{\nend 5'),
    Case(PROMETHEUS, 'ex{a="b"} 1 # {trace_id="x"} 5\n', timestamp=T - 5),
    Case(PROMETHEUS, f'b{{x=""}} 2\n{{c="d"}} 3\nc 3 {T}\n', extra_label=["x=1", "y=2"]),
    Case(PROMETHEUS, "only bad {{{ \n"),
    Case(PROMETHEUS, "q 1\r\nq2 2\r\n\r\n"),
    Case(PROMETHEUS, f"nan NaN {T}\ninf +Inf\nninf -inf\nhex 0x10\nund 1_000\n"),
    Case(PROMETHEUS, 'foo{l="esc\\"\\n\\\\"} 1\n'),
    Case(PROMETHEUS, '{"u.name",a="b"} 1\nu.x{"k.y"="b"} 1\n'),
    Case(PROMETHEUS, "", headers={"Content-Type": "text/plain"}),
    Case("/prometheus" + PROMETHEUS, f"foo 1 {T}\n"),
    Case(PROMETHEUS, gzip.compress(b"gz 1\n"), headers={"Content-Encoding": "gzip"}),
    Case(PROMETHEUS, zlib.compress(b"deflated 1\n"), headers={"Content-Encoding": "deflate"}),
    Case(PROMETHEUS, wire.snappy_compress(b"snappy 1\n"), headers={"Content-Encoding": "snappy"}),
    Case(PROMETHEUS, b"plain 1\n", headers={"Content-Encoding": "gzip"}),
    Case(PROMETHEUS, b"plain 1\n", headers={"Content-Encoding": "br"}, own=(415, {})),
    Case(PROMETHEUS, "foo 1", extra_label="novalue"),
    Case(PROMETHEUS, "foo 1", timestamp="abc"),
    Case(PROMETHEUS + "/metrics/job/myjob/instance/i1", "foo 1\n"),
    Case(PROMETHEUS + "/metrics/job/myjob", 'foo{job="x",job2="y"} 1\n',
         own=(200, {(("__name__", "foo"), ("job", "myjob"), ("job2", "y")): [(NOW, 1.0)]})),
    Case(PROMETHEUS + "/metrics/job@base64/bXlqb2I=/path@base64/L3Zhci90bXA", "foo 1\n",
         own=(200, {(("__name__", "foo"), ("job", "myjob"), ("path", "/var/tmp")): [(NOW, 1.0)]})),
    Case(PROMETHEUS + "/metrics/job/a", "foo 1\n", method="PUT"),
    Case(PROMETHEUS + "/metrics/job/x/y", "foo 1\n"),
    Case(PROMETHEUS, 'twice{a="1",a="2"} 1\nonce 1\n', own=(204, {(("__name__", "once"),): [(NOW, 1.0)]})),

    Case(JSONL, "\n".join([
        json_line({"__name__": "foo", "a": "b"}, [1, None, "Infinity", "-Infinity", 2.5], [T + 1000 * i for i in range(5)]),
        json_line({"__name__": "x"}, [1], [1, 2]), json_line({}, [1], [1]), "broken", "",
        f'{{"values":[1],"timestamps":[{T}],"metric":{{"__name__":"order"}}}}',
        json_line({"__name__": "e"}, [], []), json_line({"__name__": "fraction"}, [1], [T + 0.5]),
        json_line({"__name__": "two"}, [1], [T]) + json_line({"__name__": "three"}, [1], [T]),
        json_line({"__name__": "more"}, ["NaN"], [T], extra={"deep": [1, {}]}),
        json_line({"__name__": "text"}, [1], [str(T)]), '{"metric":{"__name__":"no_times"},"values":[1]}',
        json_line({"__name__": "escaped", "l": 'a"\\\n\u00e4'}, [1], [T])]), extra_label=["x=y", "z=w"]),
    Case(JSONL, json_line({"a": "b"}, [1], [T]), own=(204, {})),

    Case(CSV, "GOOG,1.23,4.56,NYSE\nMSFT,3.21,1.67,NASDAQ\n", format="2:metric:ask,3:metric:bid,1:label:ticker,4:label:market"),
    Case(CSV, 'time,v\n1700000000,5\n1700000001,x\n"1700000002","6"\n1700000003,\n', format="1:time:unix_s,2:metric:m"),
    Case(CSV, '2023-11-14T22:13:20Z,5,"a ""q"", b"\n2023-11-14T22:13:20.5+01:00,6,c\n',
         format="1:time:rfc3339,2:metric:m,3:label:l"),
    Case(CSV, "2023-11-14 22:13:20,5\n2023-11-14 22:13:20.125,5\n2023-02-30 22:13:20,5\n",
         format="1:time:custom:2006-01-02 15:04:05,2:metric:m"),
    Case(CSV, "14 Nov 2023 10:13PM +0130,5\n14 nov 2023 12:13AM -0100,6\n", format="1:time:custom:02 Jan 2006 03:04PM -0700,2:metric:m"),
    Case(CSV, f"{T},2\n{T}000000,3\nx\n", format="1:time:unix_ns,2:metric:m"),
    Case(CSV, "1,2\n", format="1:bad:x"),
    Case(CSV, "1,2\n", format="0:metric:x"),
    Case(CSV, "1,2\n", format="1:label:x"),
    Case(CSV, "1,2\n", format="1:time:other,2:metric:x"),
    Case(CSV, "1,2\n"),

    Case("/influx/api/v2/write", f"cpu value=1 {T}000\n", precision="us", bucket="b2", org="o"),
    Case("/write", "cpu value=1 28333333\n", precision="m"),
    Case("/api/v2/write", "cpu value=1 472222\n", precision="h", extra_label="a=b"),
    Case(INFLUX, f"cpu value=1 {T}\n", precision="ms", db="mydb"),
    Case(INFLUX, f"m,db=own f=1 {T}\n", db="d1"),
    Case(INFLUX, f"cpu value=1 {T}\nbad\n\nx value=1 {T}\n", headers={"Stream-Mode": "1"}),
    Case(INFLUX, gzip.compress(f"cpu value=1 {T}\n".encode()), headers={"Content-Encoding": "gzip"}),
    Case(INFLUX, f"good value=1 {T}\nbad\n"),
    Case(INFLUX, "cpu,a=1,a=2 v=1", own=(400, {})),
] + [Case(INFLUX, line) for line in [
    f'cpu,host=a,region=eu usage=1.5,idle=2i,on=true,off=f,s="text",sn="15",u=5u {T}000000',
    "mem value=3", f"x,tag= f=1 {T}000000", "# comment\nc f=1 17", f"disk,path=/a\\ b\\,c\\=d used=1,f\\ g=2 {T}000000",
    f'cpu,b=2,a=1 v=1,w="a,b c=d" {T}000000', f",x=1 f=1 {T}000000", f"m f=nan {T}000000", f"m f=1e3 {T}000000",
    "m f=-5i 17", "m f=abc 17", f"m  f=1  {T}000000", "m f=1 -5", "m,a f=1", "m,a=1 =1", "m f", "m f=", "m f=1 12x",
    f"m f=T,g=TRUE,h=True,i=FALSE,j=F {T}000000", f"m\\,x f=1 {T}000000", f"m,a\\ b=c f=1 {T}000000",
    f"m,a=x\\\\y f=1 {T}000000", f"m,a=x\\y f=1 {T}000000", f"m f=1i {T}000000\r", "m f=1 0", "m\tf=1", "m value=5 1700000000",
    f'm f="a\\"b" {T}000000', f"m f=9223372036854775808i {T}000000", f"m f=18446744073709551615u {T}000000",
    f"  m f=1 {T}000000", f"m f=Inf {T}000000", f"m f=0x10 {T}000000", 'm f="multi\nline",g=1'.replace("\n", "\\n")]]


RESOURCE = {"service.name": "svc", "host.name": "h", "n": 5, "b": True, "dbl": 1.5, "list": ["x", 7, {"deep": [None, 2.5, b"z"]}],
            "map": {"k": "v", "m": {"l": 1}}, "bytes": b"\x01\x02", "empty": "", "none": None}
SCOPE = ("scopename", "v1", {"sa": "sv"})
OTLP_CASES = [Case(OTLP, body, headers={"Content-Type": "application/x-protobuf"}, **params) for body, params in [
    (otlp.request(otlp.gauge("gauge.one", otlp.number(1.5, T, at="x", _lead="u", UP="z"), description="help", unit="By"),
                  resource=RESOURCE, scope=SCOPE), {}),
    (otlp.request(otlp.gauge("g", otlp.number(1, T), otlp.number(-2, T + 1)), resource=RESOURCE), {"extra_label": "x=y"}),
    (otlp.request(otlp.total("sum.mono", otlp.number(5, T)), otlp.total("sum.delta", otlp.number(5, T), temporality=1),
                  otlp.total("sum.up.down", otlp.number(5.25, T), monotonic=False)), {}),
    (otlp.request(otlp.histogram("hist", T, [1, 2, 3], [1.0, 2.5], 12.5, a="b"), otlp.histogram("no.sum", T, [3], [])), {}),
    (otlp.request(otlp.histogram("bad", T, [1, 2, 3], [1.0]), otlp.gauge("good", otlp.number(1, T))), {}),
    (otlp.request(otlp.summary("summ", T, 10, 20.5, {0.5: 3.0, 0.99: 9.0}, a="b")), {}),
    (otlp.request(otlp.gauge("no.record", otlp.number(0.0, T, flags=1))), {}),
    (otlp.request(otlp.gauge("no.value", otlp.number(None, T)), otlp.gauge("nan", otlp.number(float("nan"), T))), {}),
    (otlp.request(otlp.gauge("a b/c-d", otlp.number(1, T))), {}),
    (b"", {}), (b"\xff\xff\xff", {}), (otlp.request(otlp.gauge("cut", otlp.number(1, T)))[:-1], {}),
]] + [
    Case("/opentelemetry/api/v1/push", gzip.compress(otlp.request(otlp.gauge("packed", otlp.number(1, T)))), headers={"Content-Encoding": "gzip"}),
    Case(OTLP, b'{"resourceMetrics":[]}', headers={"Content-Type": "application/json"}, own=(200, {})),
    Case(OTLP, otlp.request(otlp.metric("no.buckets", 9, otlp.field(1, otlp.fixed(3, T * 10**6) + otlp.fixed(4, 7)))),
         own=(200, {(("__name__", "no.buckets_count"),): [(T, 7.0)], (("__name__", "no.buckets_bucket"), ("le", "+Inf")): [(T, 7.0)]})),
    Case(OTLP, otlp.request(otlp.gauge("no.time", otlp.number(1, 0))), own=(200, {(("__name__", "no.time"),): [(NOW, 1.0)]})),
    Case(OTLP, otlp.request(otlp.gauge("twice", otlp.number(1, T, n="point")), resource=RESOURCE | {"list": None}),
         own=(200, {(("__name__", "twice"), ("b", "true"), ("bytes", "AQI="), ("dbl", "1.5"), ("host.name", "h"), ("map.k", "v"),
                     ("map.m.l", "1"), ("n", "point"), ("service.name", "svc")): [(T, 1.0)]})),
]


def normal(value):
    return "NaN" if math.isnan(value) else value


def by_case(sink, before):
    """{case: {labels without the case: [(t, v)]}}; times of the requests are NOW."""
    out = {}
    for labels, samples in sink.samples().items():
        labels = dict(labels)
        case = int(labels.pop("case"))
        out.setdefault(case, {})[tuple(sorted(labels.items()))] = sorted(
            ((NOW if before - 60000 < t < before + 600000 else t, normal(v)) for t, v in samples), key=str)
    return out


def without_empty_and_repeated(b):
    """As wire.parse_write_request, but labels may be empty, not sorted, or repeated, as vmagent sends them: what a storage
    makes of them."""
    for labels, samples in lenient_write_request(b):
        yield {k: v for k, v in sorted(dict(labels).items()) if v}, samples


def lenient_write_request(b):
    for number, message in wire.fields(b):
        if number == 1:
            labels, samples = [], []
            for part, value in wire.fields(message):
                if part == 1:
                    pair = dict(wire.fields(value))
                    labels.append((pair.get(1, b"").decode(), pair.get(2, b"").decode()))
                elif part == 2:
                    samples.append(wire.parse_sample(value))
            yield labels, samples


def send(agent, case, number):
    params = dict(case.params)
    labels = params.get("extra_label", [])
    params["extra_label"] = [f"case={number}"] + (labels if isinstance(labels, list) else [labels])
    return request(f"http://127.0.0.1:{agent.port}{case.path}", params, case.body, case.headers, case.method)


def compare(cases, *own_flags):
    """Sends the cases to vmagent and to sluice, started with these flags."""
    theirs_sink, ours_sink = RecordingSink(), RecordingSink()
    flags = "-remoteWrite.url={}", "-remoteWrite.flushInterval=200ms", *own_flags
    theirs = VMAgent("scrape_configs: []", *(f.format(theirs_sink.url) for f in flags), "-remoteWrite.forcePromProto")
    ours = Sluice("scrape_configs: []", *(f.format(ours_sink.url) for f in flags), "--dialect=vmagent")
    before = now_ms()
    statuses = []
    for number, case in enumerate(cases):
        expected = send(theirs, case, number).status if case.own is None else case.own[0]
        got = send(ours, case, number)
        if got.status != expected:
            statuses.append((number, case.path, case.body[:100], case.params, got, expected))
    assert not statuses, statuses
    for agent in (ours, theirs):
        assert send(agent, Case(PROMETHEUS, "last 1"), len(cases)).status == 204
    wait_until(lambda: len(cases) in by_case(ours_sink, before))
    found = by_case(ours_sink, before)
    strict, wire.parse_write_request = wire.parse_write_request, without_empty_and_repeated
    try:
        wait_until(lambda: len(cases) in by_case(theirs_sink, before))
        for _ in range(30):  # vmagent's blocks overtake each other
            wanted = by_case(theirs_sink, before)
            wanted.update((number, case.own[1]) for number, case in enumerate(cases) if case.own)
            wrong = [(number, case.path, case.body[:200], "sluice", found.get(number, {}), "expected", wanted.get(number, {}))
                     for number, case in enumerate(cases) if found.get(number, {}) != wanted.get(number, {})]
            if not wrong:
                return
            time.sleep(0.1)
    finally:
        wire.parse_write_request = strict
    raise AssertionError("\n".join(map(str, wrong)))


def test_formats_as_vmagent_reads_them():
    compare(CASES)


def test_opentelemetry_as_vmagent_reads_it():
    compare(OTLP_CASES)
    compare(OTLP_CASES[:2], "-opentelemetry.promoteScopeMetadata=false", "-opentelemetry.ignoreResourceAttributes=n")
    compare(OTLP_CASES[:2], "-opentelemetry.promoteAllResourceAttributes=false", "-opentelemetry.promoteResourceAttributes=host.name",
            "-opentelemetry.promoteResourceAttributes=map.k")
    compare([Case(OTLP, OTLP_CASES[0].body, own=(413, {}))], "-opentelemetry.maxRequestSize=100")


def otlp_buckets(scale, zero, positive, negative):
    """{(lower, upper): count} as the protocol defines them, with the widths of Prometheus' schema 8 at most."""
    merged = max(scale - 8, 0)
    base = 2.0 ** 2.0 ** -(scale - merged)
    out = {}
    for sign, (offset, counts) in ((1, positive), (-1, negative)):
        for i, n in enumerate(counts, offset):
            low, high = base ** (i >> merged), base ** ((i >> merged) + 1)
            key = (low, high) if sign > 0 else (-high, -low)
            out[key] = out.get(key, 0) + n
    if zero:
        out[(-1e-128, 1e-128)] = zero
    return sorted((low, high, n) for (low, high), n in out.items() if n)


def test_exponential_histograms_become_native_ones():
    prometheus = Prometheus("", "--enable-feature=native-histograms")
    sluice = Sluice(f"remote_write: [{{url: '{prometheus.write_url}', send_native_histograms: true}}]")
    t = now_ms()
    shapes = {"plain": (2, 2, (3, [1, 0, 3]), (0, [4])), "fine": (11, 0, (1000, [1, 2, 3, 4, 5, 0, 0, 9]), (-77, [1, 1])),
              "far": (0, 1, (-20, [5] + [0] * 40 + [2]), (0, [])), "coarse": (-4, 0, (0, [1, 1]), (0, [])), "zero": (3, 5, (0, []), (0, []))}
    body = otlp.request(*(otlp.exponential(name, t, *shape, a="b") for name, shape in shapes.items()))
    assert sluice.post(OTLP, body).status == 200
    wait_until(lambda: len(prometheus.query('{a="b"}', time=t / 1000)["result"]) == len(shapes), 30, "the histograms")
    for name, (scale, zero, positive, negative) in shapes.items():
        h = prometheus.query(name, time=t / 1000)["result"][0]["histogram"][1]
        wanted = otlp_buckets(scale, zero, positive, negative)
        found = sorted((float(low), float(high), float(n)) for _, low, high, n in h.get("buckets", []))
        assert len(found) == len(wanted) and all(math.isclose(x, y, rel_tol=1e-9) for f, w in zip(found, wanted) for x, y in zip(f, w)), \
            (name, found, wanted)
        assert float(h["sum"]) == 1.5 and float(h["count"]) == zero + sum(positive[1]) + sum(negative[1]), (name, h)
    bad = otlp.request(otlp.exponential("bad", t, -5, 0, (0, [1])), otlp.gauge("good", otlp.number(1, t)))
    assert sluice.post(OTLP, bad).status == 200
    wait_until(lambda: prometheus.query("good", time=t / 1000)["result"], 30)
    assert sluice.metric("vm_rows_invalid_total", 'type="opentelemetry"') == 1
    assert sluice.metric("vmagent_rows_inserted_total", 'type="opentelemetry"') == len(shapes) + 1


def test_damaged_messages_of_opentelemetry_are_refused():
    """Truncated at every byte, and with changed bytes."""
    sluice = Sluice("recent: {retention: 1h}\n")
    whole = otlp.request(otlp.gauge("g", otlp.number(1.5, T, a="x")), otlp.histogram("h", T, [1, 2], [1.0], 3.0), otlp.summary("s", T, 1, 2.0, {0.5: 1.0}),
                         otlp.exponential("e", T, 2, 1, (0, [1, 300])), resource=RESOURCE, scope=SCOPE)
    dice = random.Random(3)
    for n in range(len(whole)):
        assert sluice.post(OTLP, whole[:n]).status in (200, 400), n
        damaged = bytearray(whole)
        for _ in range(dice.randint(1, 3)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        assert sluice.post(OTLP, bytes(damaged)).status in (200, 400), n


def test_flags_of_formats_act_as_in_vmagent():
    line = f"cpu,host=a usage=1.5,idle=2 {T}123000000"
    both = [Case(INFLUX, line), Case(INFLUX, "cpu f=1 17", db="d"), Case(INFLUX, "bad\ngood f=1"),
            Case(INFLUX, "m f=1\n" + "x" * 300 + " f=1\nn f=1", own=(413, {(("__name__", "m.f"),): [(NOW, 1.0)]}))]
    compare(both + [
        Case(CSV, f"{T + 999},2\n", format="1:time:unix_ms,2:metric:m"),
        Case(JSONL, json_line({"__name__": "a"}, [1], [T]) + "\n" + json_line({"__name__": "b" * 300}, [1], [T]),
             own=(413, {(("__name__", "a"),): [(T, 1.0)]}))],
        "-influxMeasurementFieldSeparator=.", "-influxDBLabel=database", "-influxTrimTimestamp=1s", "-csvTrimTimestamp=1s",
        "-influx.forceStreamMode", "-influx.maxLineSize=256", "-import.maxLineLen=256")
    compare(both[:2] + [Case(INFLUX, "x" * 300 + " f=1", own=(413, {}))], "-influxSkipSingleField", "-influx.maxRequestSize=256")
    compare(both[:2], "-influxSkipMeasurement")


def test_questions_of_influx_clients_are_answered():
    names = ["-influx.databaseNames=a", "-influx.databaseNames=b"]
    theirs = VMAgent("scrape_configs: []", "-remoteWrite.url=http://127.0.0.1:9/", *names)
    ours = Sluice("scrape_configs: []", *names)
    for method, path in (("GET", "/influx/query"), ("POST", "/influx/query"), ("POST", "/query"), ("GET", "/influx/health")):
        answers = [request(agent.url + path, {"q": "SHOW DATABASES"}, method=method) for agent in (ours, theirs)]
        assert answers[0].json() == answers[1].json(), (method, path, answers)


LINES = 30000


def test_long_bodies_are_stored_in_parts():
    """In order, and completely or not at all where an invalid line fails the body."""
    sink = RecordingSink()
    sluice = Sluice("scrape_configs: []", f"-remoteWrite.url={sink.url}", "-maxInsertRequestSize=64KiB")
    text = "\n".join(f'm{{n="{i % 50}"}} {i} {T + i}' for i in range(LINES))
    answer = sluice.post(PROMETHEUS, gzip.compress(text.encode()), headers={"Content-Encoding": "gzip"})
    assert answer.status == 204, answer
    influx = [f"i,n={i % 50} v={i} {T + i}" for i in range(LINES)]
    for lines, status in ((influx + ["bad"], 400), (influx, 204)):
        answer = sluice.post(INFLUX, gzip.compress("\n".join(lines).encode()), headers={"Content-Encoding": "gzip"})
        assert answer.status == status, answer
    assert "line 30001" in sluice.post(INFLUX, gzip.compress("\n".join(influx + ["bad"]).encode()),
                                       headers={"Content-Encoding": "gzip"}).text
    wait_until(lambda: sum(map(len, sink.find("i_v").values())) >= LINES, 60)
    for name in ("m", "i_v"):
        for labels, samples in sink.find(name).items():
            n = int(dict(labels)["n"])
            assert samples == [(T + i, float(i)) for i in range(n, LINES, 50)], (labels, len(samples), samples[:5])
    assert sluice.metric("vmagent_rows_inserted_total", 'type="influx"') == LINES
    assert sluice.metric("vm_rows_invalid_total", 'type="influx"') == 2
    empty = gzip.compress(b"") * 20000  # parts that come to nothing
    for path, line in ((PROMETHEUS, b"after_empty 1"), (INFLUX, b"after empty=1")):
        assert sluice.post(path, empty + gzip.compress(line) + empty, headers={"Content-Encoding": "gzip"}).status == 204
    wait_until(lambda: sink.find("after_empty"))
    long = sluice.post(PROMETHEUS, b'm{n="' + b"x" * 150000 + b'"} 1\n')
    assert long.status == 413 and "line 1 exceeds 65536 bytes" in long.text, long


def test_damaged_bodies_are_refused():
    """Truncated at every byte, and with each byte changed: never more than what the whole body has."""
    sink = RecordingSink()
    sluice = Sluice("scrape_configs: []", f"-remoteWrite.url={sink.url}")
    whole = gzip.compress(f"ok 1 {T}\n".encode(), mtime=0)
    for n in range(len(whole)):
        answer = sluice.post(PROMETHEUS, whole[:n], headers={"Content-Encoding": "gzip"})
        assert answer.status == 400, (n, answer)
    for codec in ("gzip", "zstd", "snappy", "deflate"):
        for i in range(len(whole)):
            damaged = whole[:i] + bytes([whole[i] ^ 0x55]) + whole[i + 1:]
            assert sluice.post(PROMETHEUS, damaged, headers={"Content-Encoding": codec}).status in (204, 400, 413), (codec, i)
    bomb = gzip.compress(b"x" * (200 << 20))
    before = sluice.memory_kib()["VmRSS"]
    assert sluice.post(PROMETHEUS, bomb, headers={"Content-Encoding": "gzip"}).status == 413
    assert not RELEASE or sluice.memory_kib()["VmHWM"] < before + (100 << 10)


def open_push(sluice, path=PROMETHEUS, headers="Transfer-Encoding: chunked\r\n"):
    s = socket.create_connection(("127.0.0.1", sluice.port))
    s.settimeout(60)
    s.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
    return s


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_lines_are_stored_while_they_arrive():
    sink = RecordingSink()
    sluice = Sluice("scrape_configs: []", f"-remoteWrite.url={sink.url}", "-remoteWrite.flushInterval=100ms")
    pushes = [open_push(sluice) for _ in range(20)]
    for i, s in enumerate(pushes):
        s.sendall(chunk(b"early{n=\"%d\"} 1\nlate{n=\"%d\"} " % (i, i)))
    wait_until(lambda: len(sink.find("early")) == len(pushes), 30, "samples of bodies that have not ended")
    assert not sink.find("late")
    for s in pushes[10:]:
        s.close()
    for s in pushes[:10]:
        s.sendall(chunk(b"2\n") + chunk(b""))
        assert s.recv(100).startswith(b"HTTP/1.1 204"), s
    wait_until(lambda: len(sink.find("late")) == 10, 30)
    assert sluice.post(PROMETHEUS, b"more 1").status == 204
    wait_until(lambda: sluice.metric("sluice_http_connections") <= 11, 30, "closed connections to go")
    bad = open_push(sluice)
    bad.sendall(chunk(b"x" * 40000000))  # of which the most is dropped
    bad.sendall(chunk(b""))
    assert bad.recv(100).startswith(b"HTTP/1.1 413"), bad


def test_bodies_in_pieces_of_any_size():
    """With every codec; some parts come while earlier ones are processed."""
    sink = RecordingSink()
    sluice = Sluice("scrape_configs: []", f"-remoteWrite.url={sink.url}")
    expected = {}
    dice = random.Random(5)
    codecs = {"": bytes, "gzip": gzip.compress, "deflate": zlib.compress, "snappy": wire.snappy_compress}
    for number, (codec, compress) in enumerate(codecs.items()):
        for path, line in ((PROMETHEUS, "p{body=\"%d\"} %d %d"), (INFLUX, "i,body=%d v=%d %d")):
            n = 8000
            body = compress("\n".join(line % (number, i, T + i) for i in range(n)).encode())
            push = open_push(sluice, path, f"Content-Encoding: {codec}\r\nTransfer-Encoding: chunked\r\n")
            at = 0
            while at < len(body):
                piece = body[at:at + dice.choice((1, 17, 3000, 70000, 300000))]
                push.sendall(chunk(piece))
                at += len(piece)
            push.sendall(chunk(b""))
            assert push.recv(100).startswith(b"HTTP/1.1 204"), (codec, path, push)
            expected[(path, number)] = [(T + i, float(i)) for i in range(n)]

    def stored():
        return {(PROMETHEUS if dict(key)["__name__"] == "p" else INFLUX, int(dict(key)["body"])): samples
                for key, samples in sink.samples().items()}
    wait_until(lambda: sum(map(len, stored().values())) >= sum(map(len, expected.values())), 60)
    assert stored() == expected


def test_slow_clients_share_the_memory_for_bodies():
    """Each holds a window of zstd of 8 MiB; those that do not fit get a 503, and memory is returned when the others leave."""
    sluice = Sluice("recent: {retention: 1h}\n", "--memory.allowedBytes=512MiB")
    head = b"\x28\xb5\x2f\xfd\x00" + bytes([13 << 3])  # a window of 8 MiB
    endless, whole = (head + (n << 3 | last).to_bytes(3, "little") + b"plain 1" for n, last in ((100000, 0), (7, 1)))
    post = lambda: sluice.post(PROMETHEUS, whole, headers={"Content-Encoding": "zstd"})
    assert post().status == 204
    pushes = []
    for _ in range(30):
        pushes.append(open_push(sluice, headers="Content-Encoding: zstd\r\nTransfer-Encoding: chunked\r\n"))
        pushes[-1].sendall(chunk(endless))
    wait_until(lambda: post().status == 503, 30, "the memory to be used up")
    for s in pushes:
        s.close()
    wait_until(lambda: post().status == 204, 30, "the memory to be returned")


def test_long_uploads_cost_no_memory():
    """Neither for a client that is faster than the disk, nor for one without an end."""
    sink = RecordingSink()
    sluice = Sluice("scrape_configs: []", f"-remoteWrite.url={sink.url}")
    part = "".join(f'upload{{n="{i}",path="/some/longer/value"}} {i} {T}\n' for i in range(20000)).encode()
    sluice.post(PROMETHEUS, part)
    before = sluice.memory_kib()["VmRSS"]
    push = open_push(sluice)
    for _ in range(30):
        push.sendall(chunk(part))
    push.sendall(chunk(b""))
    assert push.recv(100).startswith(b"HTTP/1.1 204"), push
    assert sluice.metric("vmagent_rows_inserted_total", 'type="prometheus"') == 31 * 20000
    assert not RELEASE or sluice.memory_kib()["VmHWM"] < before + (24 << 10), (before, sluice.memory_kib())


def test_full_queues_refuse_the_rest_of_a_body():
    sink = RecordingSink()
    sink.status = 503
    sluice = Sluice(f"remote_write: [{{url: '{sink.url}', on_full: push_back, durability: memory, max_memory_bytes: 2MiB}}]")
    dice = random.Random(7)
    push = open_push(sluice)
    for _ in range(10):
        push.sendall(chunk("".join(f'full{{n="{dice.random()}"}} {dice.random()} {T}\n' for _ in range(20000)).encode()))
    push.sendall(chunk(b""))
    answer = push.recv(1000)
    assert answer.startswith(b"HTTP/1.1 503") and b"send all of it again" in answer and b"Retry-After" in answer, answer
    assert sluice.post(PROMETHEUS, b"more 1").status == 429
    sink.status = 204


def test_bodies_that_are_refused_early_have_a_deadline():
    sluice = Sluice("recent: {retention: 1h}\n", "--web.read-timeout=1s", "-maxInsertRequestSize=64KiB")
    dice = random.Random(9)
    slow = ["m 1\n" * 5000 + "# " + dice.randbytes(500).hex() + "\n" for _ in range(500)]  # arrives faster than it is parsed
    slow.insert(300, "x" * 70000)
    push = open_push(sluice, headers="Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n")
    push.sendall(chunk(gzip.compress("".join(slow).encode())))
    try:
        assert push.recv(100) == b""  # closed
    except ConnectionResetError:
        pass


def test_short_bodies_that_expand():
    """Tags that repeat with each field, attributes with each bucket and each value of a map."""
    sluice = Sluice("recent: {retention: 1h}\n")
    fields = ",".join(f"f{i}=1" for i in range(2000))
    answer = sluice.post(INFLUX, f"m,tag={'x' * 60000} {fields} {T}000000".encode())
    assert answer.status == 400 and "line 1: the labels of its series are longer than" in answer.text, answer
    assert sluice.post(INFLUX, f"m,tag={'x' * 600} {fields} {T}000000".encode()).status == 204
    good = otlp.gauge("good", otlp.number(1, T))
    buckets = otlp.histogram("h", T, [1] * 501, [float(i) for i in range(500)])
    assert sluice.post(OTLP, otlp.request(buckets, good, resource={"long": "x" * 60000})).status == 200
    assert sluice.metric("vm_rows_invalid_total", 'type="opentelemetry"') == 1
    for values in ({str(i): i for i in range(40)}, {str(i): None for i in range(40)}, {"list": [1.5] * 300000}):
        answer = sluice.post(OTLP, otlp.request(good, resource={"x" * 60000: values}))
        assert answer.status == 400 and "attributes are longer than" in answer.text, answer
    wide = otlp.histogram("wide", T, [1] * 100001, [float(i) for i in range(100000)])
    assert sluice.post(OTLP, otlp.request(wide, good)).status == 200
    many = {f"a{i}": "x" for i in range(3000)}
    point = otlp.number(1, T, **{f"b{i}": "x" for i in range(3000)})
    assert sluice.post(OTLP, otlp.request(otlp.gauge("many", point), resource=many)).status == 200
    assert sluice.metric("vm_rows_invalid_total", 'type="opentelemetry"') == 1 + 3 + 1 + 1


def test_long_lines_of_slow_clients_are_not_kept():
    sink = RecordingSink()
    sluice = Sluice("scrape_configs: []", f"-remoteWrite.url={sink.url}", "-remoteWrite.flushInterval=100ms")
    before = sluice.memory_kib()["VmRSS"]
    pushes = [open_push(sluice, JSONL) for _ in range(40)]
    for i, s in enumerate(pushes):
        s.sendall(chunk(b'{"values":[' + b"1," * 500000 + b'1]}\n' + json_line({"__name__": "after", "i": str(i)}, [1], [T]).encode() + b"\n"))
    wait_until(lambda: len(sink.find("after")) == len(pushes), 60)
    assert not RELEASE or sluice.memory_kib()["VmRSS"] < before + (120 << 10), (before, sluice.memory_kib())
    for s in pushes:
        s.sendall(chunk(b""))
        assert s.recv(100).startswith(b"HTTP/1.1 204"), s


def test_pushes_wait_their_turn_for_a_while():
    sluice = Sluice("scrape_configs: []\nrecent: {retention: 1h}\n", "--lanes=1", "-maxConcurrentInserts=1", "-insert.maxQueueDuration=1ms")
    part = "".join(f'wait{{n="{i}",path="/some/longer/value"}} {i} {T}\n' for i in range(40000)).encode()
    answers = []
    senders = [threading.Thread(target=lambda: answers.append(sluice.post(PROMETHEUS, part))) for _ in range(12)]
    for s in senders:
        s.start()
    for s in senders:
        s.join()
    refused = [a for a in answers if a.status == 503]
    assert refused and all(a.status in (204, 503) for a in answers), answers
    assert all(a.headers["Retry-After"] and "maxConcurrentInserts" in a.text for a in refused), refused[0].text


def test_repeated_series_in_any_order_get_their_own_samples():
    """Clients repeat their series, or send others where those were expected."""
    sink = RecordingSink(zstd=True)
    sluice = Sluice("scrape_configs: []", f"-remoteWrite.url={sink.url}", "-remoteWrite.flushInterval=50ms", "--dialect=vmagent", "--lanes=1")
    dice, wanted = random.Random(5), {}

    def want(name, t, v, **labels):
        wanted.setdefault(tuple(sorted({"__name__": name, **labels}.items())), []).append((t, float(v)))

    for turn in range(30):
        extra = [{}, {"x": "1"}, {}, {}][turn] if turn < 4 else dice.choice([{}, {}, {"x": "1"}, {"x": "2"}])
        names = list(range(40))
        if turn >= 4 and turn % 3:
            for _ in range(dice.randrange(4)):
                names.remove(dice.choice(names))
            if dice.random() < 0.5:
                dice.shuffle(names)
        text, influx = [], []
        for n in names:
            t, v = T + turn * 1000 + n, dice.choice([n, n + 0.5, -n, 10 * turn + n])
            series = f'p{{n="{n}",a="}} 1"}}' if turn < 4 else dice.choice([f'p{{n="{n}",a="}} 1"}}', f'p{{n="{n}",a="}} 1"}}', f'p{{n="{n}",a="}} 1"}} ', f"q{n}", f"q{n}x"])
            text.append(dice.choice(["# comment", "", "bad line {", "q1{a=", "q1 x"]) if turn >= 4 and dice.random() < 0.2 else f"{series} {v} {t}")
            if text[-1].startswith("p"):
                want("p", t, v, n=str(n), a="} 1", **extra)
            elif text[-1].startswith(f"q{n}") and text[-1].endswith(str(t)):
                want(series, t, v, **extra)
            fields = {k: dice.choice([v, n, "5i"]) for k in ("f", "ff", "g") if dice.random() < 0.8}
            if fields:
                kind = dice.choice(["ok", "ok", "ok", "text", "bad"])
                values = ",".join(f"{k}={x}" for k, x in fields.items())
                influx.append(f"m,n={n} " + values + {"ok": "", "text": ',s="a, b=1"', "bad": ",h="}[kind] + f" {t}")
                for k, x in {**fields, **({"s": 0} if kind == "text" else {})}.items() if kind != "bad" else ():
                    want(f"m_{k}", t, str(x).rstrip("i"), n=str(n), **extra)
        params = {"extra_label": [f"{k}={x}" for k, x in extra.items()]}
        assert request(sluice.url + PROMETHEUS, params, "\n".join(text).encode()).status == 204
        assert request(sluice.url + INFLUX, params, "\n".join(influx).encode(), {"Stream-Mode": "1"}).status == 204
    wait_until(lambda: sum(map(len, sink.samples().values())) >= sum(map(len, wanted.values())))
    assert sink.samples() == wanted


def test_repeated_lines_of_csv_get_their_own_samples():
    """Label columns come first, so that lines are expected: with values, times and texts of all kinds."""
    sink = RecordingSink(zstd=True)
    sluice = Sluice("scrape_configs: []", f"-remoteWrite.url={sink.url}", "-remoteWrite.flushInterval=50ms", "--dialect=vmagent", "--lanes=1")
    dice, wanted = random.Random(7), {}
    formats = ("1:label:h,2:label:r,3:metric:a,4:metric:b,5:time:unix_ms,6:metric:c", "1:label:h,3:metric:a,4:time:unix_ms,5:metric:b",
               "2:label:h,3:time:unix_ms,4:metric:a,5:metric:b,6:label:r")
    for turn in range(40):
        which = dice.randrange(len(formats)) if turn > 6 else turn % 3
        hosts = list(range(15)) if turn < 9 else dice.sample(range(15), 12)
        lines = []
        for n in hosts:
            t = T + turn * 1000 + n
            a, b, c = (dice.choice([str(n), f"{n}.5", f"-{turn}", "1e3"] + (["", "x", "0x10p1", "NaN ", '"7"'] if turn > 5 and dice.random() < 0.1 else [])) for _ in "abc")
            host = dice.choice([f"h{n}", f'"h{n}"'])
            columns = ([host, "r,1".replace(",", "") if n % 2 else '"r,1"', a, b, str(t), c] if which == 0 else [host, dice.choice(["i", "j"]), a, str(t), b] if which == 1 else
                       ["x", host, str(t), a, b, "r"])
            if turn > 5 and dice.random() < 0.05:
                columns = columns[:dice.randrange(1, len(columns))]
            lines.append(",".join(columns))
            kinds = [k.split(":")[1:] for k in sorted(formats[which].split(","))]
            places = [int(k.split(":")[0]) - 1 for k in sorted(formats[which].split(","))]
            if len(columns) <= max(places):
                continue
            at = {name: columns[i].strip('"') for (kind, name), i in zip(kinds, places)}
            labels = {k: at[k] for k in ("h", "r") if k in at}
            for name in (name for (kind, name) in kinds if kind == "metric"):
                if at[name] == "":
                    continue
                if at[name] in ("x", "NaN "):
                    break
                wanted.setdefault(tuple(sorted({"__name__": name, **labels}.items())), []).append((t, 32.0 if at[name] == "0x10p1" else float(at[name])))
        assert request(sluice.url + "/api/v1/import/csv", {"format": formats[which]}, "\n".join(lines).encode()).status == 204
    wait_until(lambda: sum(map(len, sink.samples().values())) >= sum(map(len, wanted.values())))
    assert sink.samples() == wanted


def test_fields_are_expected_behind_their_own_line_only():
    """A field that is new in a line that was seen before is remembered apart from the others of this line."""
    sink = RecordingSink()
    sluice = Sluice("scrape_configs: []", f"-remoteWrite.url={sink.url}", "-remoteWrite.flushInterval=50ms", "--lanes=1")
    lines = ["m,t=1 f=1,x=1", "m,t=2 f=1,y=1", "m,t=1 f=1,z=1", "m,t=1 f=1,x=1", "m,t=2 f=1,y=1,z=5", "m,t=1 f=1,x=2", "m,t=1 f=1,x=3,z=7",
             "m,t=2 f=1,y=2,z=8", "m,t=1 f=2,z=9", "m,t=2 f=1,y=1,z=5"]
    wanted = {}
    for i, line in enumerate(lines):
        for field in line.split(" ")[1].split(","):
            name, value = field.split("=")
            wanted.setdefault((f"m_{name}", line[4]), []).append((T + i, float(value)))
    for i, line in enumerate(lines):
        assert request(sluice.url + INFLUX, {"precision": "ms"}, f"{line} {T + i}".encode()).status == 204
    found = lambda: {(dict(k)["__name__"], dict(k)["t"]): v for k, v in sink.samples().items()}
    wait_until(lambda: sum(map(len, found().values())) >= sum(map(len, wanted.values())), 20, "all samples")
    assert found() == wanted, found()
    answer = request(sluice.url + INFLUX, {"precision": "ms"}, f",z=5 {T}".encode())
    assert answer.status == 400 or not [k for k in found() if k not in wanted], answer


def test_long_lines_of_json_take_many_short_turns():
    """A line of 10 MiB, with lists, labels and members to skip of any length."""
    sink = RecordingSink(zstd=True)
    sluice = Sluice("scrape_configs: []", f"-remoteWrite.url={sink.url}", "-remoteWrite.flushInterval=50ms", "--lanes=1", "-import.maxLineLen=16MiB")
    n = 400000
    values = [i % 1000 + 0.5 for i in range(n)]
    times = [T + i for i in range(n)]
    long = json_line({"__name__": "long", "a": "b"}, values, times, more=[{"x": [1, "y" * 100]}] * 20000)
    ends = [json_line({"__name__": "short"}, [1], [T]), json_line({"__name__": "uneven"}, values, times[:-1])]
    bad = long.replace("999.5", "999.5x", 1).replace("long", "bad", 1)
    assert sluice.post(JSONL, "\n".join([long, *ends, bad, long.replace("long", "cut")[:-5]]).encode()).status == 204
    wait_until(lambda: sum(map(len, sink.find("long").values())) == n and sink.find("short"), 60)
    assert sink.samples() == {(("__name__", "long"), ("a", "b")): list(zip(times, values)), (("__name__", "short"),): [(T, 1.0)]}
    assert sluice.metric("vm_rows_invalid_total", 'type="vmimport"') == 3
    release_build()
    assert all(turns == 0 for bound, turns in lane_turns(sluice) if bound > 0.02), lane_turns(sluice)
