# SPDX-License-Identifier: Apache-2.0
"""/api/v1/read of sluice: beside that of Prometheus, and read by a real Prometheus and by another sluice."""
import math
import random
import socket
import struct
import time

from fakes import Fake
from lib import *
from remote_read import *
from wire import varint


def histogram(t, scale, custom=False):
    """A prometheus.Histogram in the float form; with custom bounds (NHCB) or an exponential schema."""
    counts = [scale, 2.0 * scale, 1.5 * scale]
    packed = lambda values: b"".join(struct.pack("<d", v) for v in values)
    zigzag = lambda n: varint(n << 1 ^ n >> 63)
    body = field(2, sum(counts) + (0 if custom else 0.5)) + field(3, 10.0 * scale)
    body += varint(4 << 3) + zigzag(-53 if custom else 3)
    if not custom:
        body += field(5, 1e-128) + field(7, 0.5)
    body += field(11, varint(1 << 3) + zigzag(0) + field(2, 2)) + field(11, varint(1 << 3) + zigzag(0 if custom else 1) + field(2, 1))
    body += field(13, packed(counts)) + field(15, t)
    return body + (field(16, packed([0.001, 2.5, 1e6])) if custom else b"")


def write_histograms(url, series):
    """[(labels, [message])]"""
    out = b""
    for labels, messages in series:
        body = b"".join(field(1, field(1, name) + field(2, labels[name])) for name in sorted(labels))
        out += field(1, body + b"".join(field(4, m) for m in messages))
    answer = request(url, data=snappy_compress(out), headers={"Content-Type": "application/x-protobuf",
                                                              "Content-Encoding": "snappy"})
    assert answer.status == 204, answer


class Data:
    """Some series of every kind, ended at a whole minute, in each of these servers."""

    def __init__(self, *servers):
        self.end = int(time.time()) // 60 * 60
        self.start = self.end - 3600
        times = [t * 1000 for t in range(self.start, self.end + 1, 15)]
        self.series = [({"__name__": "wave", "job": job, "i": str(i)}, [(t + i, math.sin(t / 97000 + i) * k) for t in times])
                       for i, (job, k) in enumerate((("a", 1e-9), ("b", 1), ("c", 1e22)))]
        self.series += [({"__name__": "steps", "job": "a"}, [(t, float(t // 60000 % 7)) for t in times]),
                        ({"__name__": "odd", "job": "a"}, [(times[90], float("nan")), (times[91], float("inf")),
                                                           (times[91] + 1, -1.5), (times[93] + 7777, 5e-324),
                                                           (times[99], 1.7976931348623157e308)]),
                        ({"__name__": "short", "job": "b"}, [(t, t / 1000) for t in times[:20]]
                         + [(times[20], STALE)] + [(t, t / 1000) for t in times[100:130]] + [(times[130] , STALE)]),
                        ({"__name__": "uneven", "job": "ä<&>\"\\\n"}, [(t + (t * 7919) % 9999, float(t % 10007)) for t in times])]
        histograms = [({"__name__": "latency", "job": "a"}, [histogram(t, (i + 1) * 1.25) for i, t in enumerate(times)]),
                      ({"__name__": "bounds", "job": "a"}, [histogram(t, (i + 1) * 2, True) for i, t in enumerate(times)])]
        for server in servers:
            assert push(f"{server.url}/api/v1/write", self.series).status == 204, server.name
            write_histograms(f"{server.url}/api/v1/write", histograms)
        self.window = (self.start * 1000, self.end * 1000)


def prometheus_with(config="", *flags, **more):
    return Prometheus(config, "--enable-feature=native-histograms", *flags, out_of_order="2h", **more)


ANY = [("__name__", "=~", ".+")]


def same_bits(a, b):
    return [(t, struct.pack("<d", v)) for t, v in a] == [(t, struct.pack("<d", v)) for t, v in b]


def test_responses_beside_prometheus():
    prometheus, sluice = prometheus_with(), Sluice("recent: {retention: 0}\n")
    data = Data(prometheus, sluice)
    middle = (data.window[0] + 600000, data.window[0] + 1200000)
    queries = [read_query(ANY, *data.window), read_query([("job", "=", "a"), ("__name__", "!=", "odd")], *middle),
               read_query([("job", "!~", "a|b")], *data.window), read_query([("job", "=", "none")], *data.window)]
    ours, theirs = (sampled(read(s, queries)) for s in (sluice, prometheus))
    theirs = [sorted(result, key=lambda s: sorted(s[0].items())) for result in theirs]  # Prometheus sorts streams alone
    assert len(ours) == len(theirs) == 4 and len(ours[0]) == 9 and ours[3] == []
    for mine, his in zip(ours, theirs):
        assert [s[0] for s in mine] == [s[0] for s in his], f"{[s[0] for s in mine]} {[s[0] for s in his]}"
        for (labels, a, h), (_, b, g) in zip(mine, his):
            assert same_bits(a, b), f"{labels}: {a[:5]} {b[:5]}"
            assert len(h) == len(g) and all(dict(fields(x))[15] == dict(fields(y))[15] for x, y in zip(h, g)), labels
    streams = [frames(read(s, queries, [CHUNKS, SAMPLES])) for s in (sluice, prometheus)]
    for mine, his in zip(ours[:3], range(3)):
        got = [f for f in streams[0] if f[0] == his]
        assert [f[1] for f in got] == [s[0] for s in mine]
        for (_, labels, chunks), (_, samples, _) in zip(got, mine):
            floats = [c for c in chunks if c[2] == 1]
            assert same_bits(sum((unxor(c[3]) for c in floats), []), samples), labels
            assert all((c[0], c[1]) == (unxor(c[3])[0][0], unxor(c[3])[-1][0]) for c in floats)
    # A series of one chunk has the same bytes; Prometheus begins a new chunk at each full second hour.
    odd = [[f for f in stream if f[1]["__name__"] == "odd"] for stream in streams]
    (begin, end), = {(chunks[0][0], chunks[-1][1]) for _, _, chunks in odd[1]}
    if begin // 7200000 == end // 7200000:
        assert odd[0] == odd[1] and len(odd[0]) == 1, odd


def test_requests():
    prometheus, sluice = prometheus_with(), Sluice("recent: {retention: 0}\n", "--query.max-samples=1000")
    data = Data(prometheus, sluice)
    short = [("__name__", "=", "short")]
    everything = read_query(ANY, *data.window)
    # the first known form counts, packed or not; unknown ones are an error
    assert "application/x-protobuf" == read(sluice, [read_query(short, *data.window)], [SAMPLES, CHUNKS]).headers["Content-Type"]
    assert "streamed" in read(sluice, [read_query(short, *data.window)], [7, CHUNKS, SAMPLES]).headers["Content-Type"]
    packed = field(1, read_query(short, *data.window)) + field(2, varint(1) + varint(0))
    answer = request(f"{sluice.url}/api/v1/read", data=snappy_compress(packed), headers={"Content-Type": "application/x-protobuf"})
    assert "streamed" in answer.headers["Content-Type"] and len(frames(answer)) == 1
    for server in (sluice, prometheus):
        assert read(server, [everything], [7]).status == 400, server.name
        assert request(f"{server.url}/api/v1/read", data=b"abc").status == 400, server.name
        assert request(f"{server.url}/api/v1/read", data=snappy_compress(b"\x0a\xff")).status == 400, server.name
        assert server.get("/api/v1/read").status == 405, server.name
        assert sampled(read(server, [])) == []
    answer = read(sluice, [read_query([("a", "=~", "(")], *data.window)])
    assert answer.status == 400 and answer.headers["Content-Type"].startswith("text/plain"), answer
    # more samples than --query.max-samples: an error of SAMPLES, as in Prometheus, but not of a stream
    answer = read(sluice, [everything])
    assert answer.status == 400 and answer.text == "exceeded sample limit (1000)\n", answer
    assert len(frames(read(sluice, [everything], [CHUNKS]))) == 9
    # hints: labels alone; a narrower window; the end of time
    assert [s[1:] for s in sampled(read(sluice, [read_query(short, *data.window, func="series")]))[0]] == [([], [])]
    narrow = sampled(read(sluice, [read_query(short, *data.window, hint_start=data.window[0], hint_end=data.window[0] + 30000, range=60000)]))
    assert [t for t, _ in narrow[0][0][1]] == [data.window[0] + k * 15000 for k in range(3)], narrow
    far = sampled(read(sluice, [read_query(short, -(1 << 63), (1 << 63) - 1)]))
    assert len(far[0][0][1]) == 52, far
    assert sampled(read(sluice, [read_query(short, data.window[1], data.window[0])])) == [[]]


def test_external_labels():
    prometheus = prometheus_with("global: {external_labels: {region: eu, job: x}}")
    storage = prometheus_with(name="storage")
    sluice = Sluice("global: {external_labels: {region: eu, job: x}}\nrecent: {retention: 0}\nserver_groups:\n"
                    f"- static_configs: [{{targets: ['{storage.address}']}}]\n")
    data = Data(prometheus, storage)
    for matchers in ([("region", "=", "eu"), ("__name__", "=", "wave")], [("region", "=", "us"), ("__name__", "=", "wave")],
                     [("region", "!=", "eu"), ("__name__", "=", "wave")], [("job", "=", "x"), ("__name__", "=", "wave")],
                     [("job", "=", "b"), ("__name__", "=~", "wave|short")],
                     [("job", "=", "a"), ("region", "=", "eu"), ("__name__", "=~", "steps|short")],
                     [("region", "=~", "eu"), ("__name__", "=", "wave")]):
        ours, theirs = (sampled(read(s, [read_query(matchers, *data.window)])) for s in (sluice, prometheus))
        assert [s[0] for s in ours[0]] == sorted((s[0] for s in theirs[0]), key=lambda s: sorted(s.items())), f"{matchers}: {[s[0] for s in ours[0]]} {[s[0] for s in theirs[0]]}"
    # a series that has the label itself is no other than one that gets it
    found = sampled(read(sluice, [read_query([("region", "=", "eu"), ("__name__", "=", "wave")], *data.window),
                                  read_query([("job", "=", "x"), ("__name__", "=", "wave")], *data.window)]))
    assert [len(result) for result in found] == [3, 0]
    with_own = Sluice("global: {external_labels: {i: '1'}}\nrecent: {retention: 0}\nserver_groups:\n"
                      f"- static_configs: [{{targets: ['{storage.address}']}}]\n", name="own")
    found = sampled(read(with_own, [read_query([("i", "=", "1"), ("__name__", "=~", "wave|short")], *data.window)]))
    assert [s[0] for s in found[0]] == [{"__name__": "short", "i": "1", "job": "b"}, {"__name__": "wave", "i": "1", "job": "b"}]


class Forcing(Fake):
    """A proxy that lets a client see one form of responses only. types: those of its responses."""

    def __init__(self, behind, form):
        self.behind, self.form, self.types = behind, form, []
        super().__init__()
        self.url = f"http://{self.address}"

    def answer(self, inbound, body):
        queries = [v for number, v in fields(snappy_decompress(body)) if number == 1]
        answer = read(self.behind, queries, [self.form])
        self.types.append(answer.headers["Content-Type"])
        kept = {name.replace("-", "_"): answer.headers[name] for name in ("Content-Type", "Content-Encoding") if answer.headers.get(name)}
        inbound.reply(answer.status, answer.body, **kept)


EXPRESSIONS = ("wave", "rate(wave[5m])", "sum by (job) (wave)", "steps", "short", "count_over_time(short[10m])", "odd", "uneven",
               "histogram_quantile(0.9, latency)", "rate(latency[5m])", "histogram_count(bounds)", "bounds",
               "max_over_time(wave[30m:1m])", "wave offset 10m", "avg_over_time(uneven[7m])", "timestamp(wave)")


BOUNDS = ("histogram_count(bounds)", "bounds")  # which Prometheus up to 3.9.0 returns without its bounds


def compare(reader, direct, data, skip=()):
    for expr in EXPRESSIONS:
        if expr in skip:
            continue
        for step in (15, 60):
            mine, his = (s.query_range(expr, data.start + 600, data.end, step)["result"] for s in (reader, direct))
            key = lambda s: sorted(s["metric"].items())
            mine, his = sorted(mine, key=key), sorted(his, key=key)
            assert [key(s) for s in mine] == [key(s) for s in his] and his, f"{expr}: {mine[:1]} {his[:1]}"
            for a, b in zip(mine, his):
                assert a == b, f"{reader.name}, {expr}, step {step}:\n{str(a)[:700]}\n{str(b)[:700]}"


def reader_of(url, name):
    return Prometheus(f"remote_read: [{{url: '{url}/api/v1/read', read_recent: true}}]", name=name)


@seconds(180)
def test_a_prometheus_reads_sluice():
    direct, stored = prometheus_with(name="direct"), Sluice("recent: {retention: 0}\n", name="stored")
    data = Data(direct, stored)
    over = Sluice("server_groups:\n"
                  f"- {{kind: prometheus, remote_read: true, static_configs: [{{targets: ['{direct.address}']}}]}}\n", name="over")
    proxies = [Forcing(s, form) for s in (stored, over) for form in (SAMPLES, CHUNKS)]
    for i, proxy in enumerate(proxies):
        # Prometheus 3.5 fails ("nil pointer dereference") at rates of histograms in SAMPLES, its own ones, too
        rates = () if i % 2 else ("rate(latency[5m])",)
        compare(reader_of(proxy.url, f"reader{i}"), direct, data, (BOUNDS if i >= 2 else ()) + rates)
        assert set(proxy.types) == {("application/x-protobuf", "application/x-streamed-protobuf; "
                                     "proto=prometheus.ChunkedReadResponse")[i % 2]}, set(proxy.types)
    reader = reader_of(over.url, "reader")
    compare(reader, direct, data, BOUNDS)
    labels = lambda s: sorted(sorted(m.items()) for m in
                              s.data("/api/v1/series", {"match[]": '{job=~"a|b"}', "start": data.start, "end": data.end}))
    assert labels(reader) == labels(direct)
    # sluice behind sluice
    front = Sluice("server_groups:\n"
                   f"- {{kind: prometheus, remote_read: true, static_configs: [{{targets: ['{over.address}']}}]}}\n", name="front")
    compare(front, direct, data, BOUNDS)
    assert "/api/v1/read" in front.get("/api/v1/explain", {"query": "rate(latency[5m])", "time": data.end}).text


def test_over_servers_without_stale_markers():
    """Servers that are read by JSON: values end at the steps where the server sees an end."""
    direct, victoria = prometheus_with(name="direct"), VictoriaMetrics()
    data = Data(direct)
    assert push(victoria.write_url, data.series).status == 204
    for target, kind in ((direct, "prometheus"), (victoria, "victoriametrics")):
        over = Sluice(f"server_groups:\n- {{kind: {kind}, static_configs: [{{targets: ['{target.address}']}}]}}\n", name=kind)
        if target is victoria:
            victoria.flush()
        reader = reader_of(over.url, f"reader-{kind}")
        for expr in ("wave", "short", "sum(short)", "rate(wave[5m])"):
            for end in (data.end, data.end + 7):
                mine, his = (s.query_range(expr, data.start + 607, end, 60) for s in (reader, direct))
                for series in mine["result"] + his["result"]: # VictoriaMetrics rounds values
                    series["values"] = [[t, f"{float(v):.8g}"] for t, v in series["values"]]
                same_answer(mine, his, f"{kind}, {expr}")


def big(sluice, series=600, samples=240):
    """Series of random values, which compress badly."""
    end = int(time.time()) // 60 * 60
    chance = random.Random(1)
    for at in range(0, series, 100):
        batch = [({"__name__": "big", "i": f"{i:04}"}, [((end - 15 * k) * 1000, chance.random()) for k in range(samples, 0, -1)])
                 for i in range(at, at + 100)]
        assert push(f"{sluice.url}/api/v1/write", batch).status == 204
    return read_query([("__name__", "=", "big")], (end - 15 * samples) * 1000, end * 1000)


def test_large_responses_are_streamed():
    """A response of several MiB is sent in parts while it is made, in the memory of some of them."""
    sluice = Sluice("recent: {retention: 0}\n", "--query.max-memory=8MiB")
    query = big(sluice)
    before = sluice.memory_kib()["VmHWM"]
    answer = read(sluice, [query, query, query], [CHUNKS])
    assert answer.headers["Transfer-Encoding"] == "chunked" and len(answer.body) > 3 << 20, dict(answer.headers)
    assert [len(x) for x in answer.headers.get_all("X-Sluice-Query-Id")] == [16], dict(answer.headers)
    got = frames(answer)
    assert [f[0] for f in got] == [0] * 600 + [1] * 600 + [2] * 600
    assert [f[1]["i"] for f in got[:600]] == [f"{i:04}" for i in range(600)]
    assert all(sum(len(unxor(c[3])) for c in f[2]) == 240 for f in got[::97])
    if RELEASE:
        assert sluice.memory_kib()["VmHWM"] - before < 12 << 10, sluice.memory_kib()
    # in one message it is too large for the memory of a query
    answer = read(sluice, [query, query, query], [SAMPLES])
    assert answer.status == 422 and "memory" in answer.text, answer
    assert [len(x) for x in answer.headers.get_all("X-Sluice-Query-Id")] == [16], dict(answer.headers)


def test_a_stream_that_ends_early_is_no_response():
    """A client that reads too slowly for --query.timeout misses the end, and knows it; the worker is free again."""
    sluice = Sluice("recent: {retention: 0}\n", "--query.timeout=1s", "--query.max-concurrency=1")
    query = big(sluice, 300)
    body = snappy_compress(b"".join(field(1, query) for _ in range(80)) + field(2, CHUNKS))
    with socket.create_connection(("127.0.0.1", sluice.port)) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 15)
        s.sendall(b"POST /api/v1/read HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        time.sleep(2)
        s.settimeout(10)
        got = b""
        while piece := s.recv(1 << 20):
            got += piece
        assert got.startswith(b"HTTP/1.1 200") and not got.endswith(b"0\r\n\r\n"), got[-100:]
    began = time.monotonic()
    assert sluice.query("count(big)")["result"][0]["value"][1] == "300"
    assert time.monotonic() - began < 2


def repeated(unit, n):
    """snappy: the 2 bytes of unit, n times; 3 bytes a 64 of them."""
    whole, rest = divmod(2 * n - 2, 64)
    return varint(2 * n) + b"\x04" + unit + b"\xfe\x02\x00" * whole + bytes([rest - 1 << 2 | 2, 2, 0]) * (rest > 0)


def test_matchers_are_within_the_memory_of_a_query():
    """In 0.8 MB as sent: 8 million matchers, of 80 bytes of memory each; and regular expressions."""
    sluice = Sluice("recent: {retention: 0}\n", "--query.max-memory=64MiB")
    n = 8000000
    empty = repeated(b"\x1a\x00", n)
    head = b"\x0a" + varint(2 * n)  # a ReadRequest of one query
    body = varint(len(head) + 2 * n) + bytes([len(head) - 1 << 2]) + head + empty[len(varint(2 * n)):]
    regex = field(3, b"\x08\x02" + field(2, b"a") + field(3, b"(a{1,100}b|c.*){3}x"))
    for what in (body, snappy_compress(field(1, regex * 20000))):
        answer = sluice.post("/api/v1/read", what, headers={"Content-Type": "application/x-protobuf"})
        assert answer.status == 422 and "64 MiB of memory" in answer.text, answer
    assert sluice.memory_kib()["VmHWM"] < 220 << 10, sluice.memory_kib()
