# SPDX-License-Identifier: Apache-2.0
"""Remote write 2.0 sent: the 26 tests of prometheus/compliance's sender suite, and round trips with real Prometheus."""
import functools
import math
import re
import subprocess
import time

import wire
import write2
from fakes import Fake
from lib import *

TRACE = '{trace_id="abc",span_id="def",user_id="u1"}'
LONG, MANY = "x" * 10000, 10500
PAGES = {  # what each target exposes, by its job
    "values": "integer_total 42\nfloat 123.45\nzero 0\nnegative -15.5\ninf +Inf\nninf -Inf\nnan NaN\n"
              "large 1.7976931348623157e+308\nsmall 2.2250738585072014e-308\nscientific 1.23e-4\n"
              "precise 0.123456789012345\nhttp:request:duration:seconds 0.5\n",
    "labels": 'm{aaa="1",bbb="2",zzz="3"} 42\nm{emoji="🚀",chinese="测试",vietnamese="tôi"} 1\n'
              f'm{{path="/api/v1/users",query="foo=bar&baz=qux",empty=""}} 2\nm{{long="{LONG}"}} 3\n'
              'm{' + ",".join(f'l{i}="v{i}"' for i in range(30)) + '} 4\n' + "very_long_name_" * 50 + ' 5\n',
    "metadata": "# HELP requests_total Total HTTP \"requests\" and \\\\ so\\non\n# TYPE requests_total counter\n"
                'requests_total{method="GET"} 100\nrequests_total{method="POST"} 50\n'
                "# HELP used_bytes Memory\n# TYPE used_bytes gauge\n# UNIT used_bytes bytes\nused_bytes 1048576\n"
                "# TYPE d_seconds histogram\n# HELP d_seconds Duration\n"
                'd_seconds_bucket{le="0.1"} 7\nd_seconds_bucket{le="+Inf"} 10\nd_seconds_sum 25.5\nd_seconds_count 10\n'
                '# TYPE s summary\n# HELP s RPC\ns{quantile="0.5"} 0.05\ns_sum 100\ns_count 1000\n'
                "# TYPE no_help counter\nno_help 1\nuntyped 2\n",
    "openmetrics": "# TYPE req counter\n# HELP req Requests.\nreq_total 1000 # " + TRACE + " 999 1234567890.123\n"
                   '# TYPE lat histogram\nlat_bucket{le="0.1"} 5 # {trace_id="h"} 0.05 1234567890.0\n'
                   'lat_bucket{le="+Inf"} 10\nlat_sum 5\nlat_count 10\n# EOF\n',
    "many": "".join(f'metric{{label="{i}"}} 1\n' for i in range(MANY)),
    "empty": "# No metrics\n",
    "small": "small_one 1\nsmall_two 2\n",
}
BROKEN = {  # the responses of destinations that get the small target only; a list: the first ones
    "400": (400, "Bad request"), "401": (401, "Unauthorized"), "404": (404, "Not found"), "429": (429, "Too many"),
    "500": (500, "Internal server error"), "502": (502, "Bad gateway"), "503": (503, "Unavailable"),
    "504": (504, "Gateway timeout"), "413": (413, "Payload too large"), "999": (999, "?"),
    "verbatim": (400, "Error: the label '__invalid__' is bad"), "large_error": (400, "x" * (1 << 20)),
    "200": (200, "OK"), "body": (200, "This body should be ignored"), "partial": (400, "Rejected 1 sample"),
    "415": (415, "Unsupported media type"),
}


class Receiver(Fake):
    """Keeps requests by path: /main stores all, /NAME answers as BROKEN says. Of 1.0 (after a 415) it stores what comes."""

    def __init__(self):
        self.requests, self.damaged = {}, []
        super().__init__()

    def answer(self, request, body):
        name = request.path.strip("/").split("/")[0]
        headers, plain = {k.lower(): v for k, v in request.headers.items()}, b""
        version_2 = "v2" in headers.get("content-type", "")
        try:
            plain = wire.snappy_decompress(body)
            symbols, series = write2.parse(plain) if version_2 else ([], wire.parse_write_request(plain))
        except Exception as e:  # whatever it is, the test shows it
            self.damaged.append(f"{name}: {e!r} {plain[:200]!r}")
            return request.reply(400, b"damaged")
        with self.lock:
            self.requests.setdefault(name, []).append((time.monotonic(), request.command, headers, symbols, series, body))
        status, text = BROKEN.get(name, (204, ""))
        n = sum(len(s["samples"]) for s in series) if version_2 else 0
        h = sum(len(s["histograms"]) for s in series) if version_2 else 0
        if name == "415" and not version_2:
            status = 204
        extra = {}
        if version_2 and (status // 100 == 2 or name == "partial"):
            extra = {"X_Prometheus_Remote_Write_Samples_Written": n - (name == "partial"),
                     "X_Prometheus_Remote_Write_Histograms_Written": h, "X_Prometheus_Remote_Write_Exemplars_Written": 0}
        if status == 429:
            extra["Retry_After"] = 1
        return request.reply(status, b"" if status == 204 else text.encode(), **extra)

    def of(self, name):
        with self.lock:
            return list(self.requests.get(name, []))

    def series(self, job):
        """Of /main: [(symbols, series, labels as a dict)] of a target, all requests."""
        return [(symbols, s, dict(s["labels"])) for *_, symbols, series, _ in self.of("main") for s in series
                if ("job", job) in s["labels"]]

    def find(self, job, name):
        found = [(s, labels) for _, s, labels in self.series(job) if labels["__name__"] == name]
        assert found, f"{name} of {job} did not arrive"
        return found


class Setup:
    """The one sluice and the one receiver of the suite."""

    def __init__(self):
        self.receiver = Receiver()
        self.targets = {job: ScriptedExporter(page=lambda n, ms, text=text: text) for job, text in PAGES.items()}
        self.targets["many"].page = lambda n, ms: PAGES["many"] if n == 0 else "metric 1\n"
        self.targets["openmetrics"].content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8"
        jobs = "".join(f"- {{job_name: {job}, scrape_protocols: [OpenMetricsText1.0.0, PrometheusText0.0.4], "
                       f"static_configs: [{{targets: ['{t.address}']}}]}}\n" for job, t in self.targets.items())
        keep = "write_relabel_configs: [{source_labels: [job], regex: small, action: keep}]"
        two = "protobuf_message: io.prometheus.write.v2.Request"
        url = f"http://{self.receiver.address}"
        broken = "".join(f"- {{name: '{name}', url: '{url}/{name}', {two}, {keep}, queue_config: {{shards: 1, "
                         f"max_backoff: {'1m' if name in ('401', '404') else '5s'}}}}}\n" for name in BROKEN)
        self.sluice = Sluice(f"global: {{scrape_interval: 1s, scrape_timeout: 900ms}}\nscrape_configs:\n{jobs}remote_write:\n"
                             f"- {{name: main, url: '{url}/main', {two}, send_exemplars: true, "
                             f"metadata_config: {{send: true}}}}\n"
                             f"- {{name: one, url: '{url}/one', {keep}, protocol: snappy}}\n"
                             f"- {{name: refused, url: 'http://127.0.0.1:{free_port()}/', {two}, {keep}}}\n"
                             f"- {{name: nowhere, url: 'http://nonexistent.invalid:9999/', {two}, {keep}}}\n{broken}",
                             "-promscrape.noStaleMarkers")
        r = self.receiver
        wait_until(lambda: all(any(("job", job) in s["labels"] for *_, series, _ in r.of("main") for s in series)
                               for job in PAGES), 30, "all targets in the receiver")
        wait_until(lambda: len(r.series("many")) >= MANY, 30, "the many series")
        wait_until(lambda: all(r.of(name) for name in [*BROKEN, "one"]), 30, "a request to each destination")
        wait_until(lambda: len(r.of("503")) >= 4 and len(r.of("500")) >= 4 and len(r.of("415")) >= 4, 30, "retries")
        self.log = self.sluice.log()
        assert not r.damaged, r.damaged[:5]


def metadata_of(s, job, name):
    return {one["metadata"] for one, _ in s.receiver.find(job, name)}


def value_of(s, job, name):
    return s.receiver.find(job, name)[0][0]["samples"][0][1]


def all_main(s):
    return s.receiver.of("main")


def backoff(s):
    """exponential_backoff_on_retries, backoff_required, backoff_max_delay, backoff_with_jitter"""
    at = [t for t, *_ in s.receiver.of("503")]
    assert at[3] - at[0] >= 0.9 * (0.03 + 0.06 + 0.12), at  # timers are never early; a busy machine makes them late


def batching(s):
    """multiple_series_per_request, batch_size_reasonable, handles_varying_cardinality, efficient_symbol_reuse, metadata_"""
    sizes = [len(series) for *_, series, _ in all_main(s)]
    assert max(sizes) <= 10000 and max(sizes) > 100, sizes
    for *_, symbols, _, _ in all_main(s):
        assert len(symbols) == len(set(symbols)), "symbols twice"


def concurrent(s):
    assert len(all_main(s)) >= 2


def combined(s):
    """samples_with_metadata, samples_with_exemplars and further pairs"""
    assert metadata_of(s, "metadata", "requests_total") == {("counter", 'Total HTTP "requests" and \\ so\non', "")}
    one, _ = s.receiver.find("openmetrics", "req_total")[0]
    assert one["samples"] and one["exemplars"] and one["metadata"][0] == "counter", one


def edge_cases(s):
    """empty_scrape, huge_label_values, unicode_in_labels, many_timeseries, very_long_metric_name, special floats, colons"""
    assert value_of(s, "empty", "up") == 1
    assert any(labels.get("long") == LONG for _, labels in s.receiver.find("labels", "m"))
    assert s.receiver.find("labels", "very_long_name_" * 50)
    assert value_of(s, "values", "http:request:duration:seconds") == 0.5


def load(s):
    assert len({labels["label"] for _, _, labels in s.receiver.series("many") if "label" in labels}) == MANY


def errors(s):
    """connection_refused, partial and malformed responses, 999, continues after errors, large error bodies"""
    assert s.sluice.alive() and len(s.receiver.of("500")) >= 4
    assert len(s.receiver.of("large_error")) >= 1 and len(s.receiver.of("999")) >= 1
    assert "name=refused" in s.log, "connection refused is not in the log"


def network(s):
    """dns_resolution_failure; invalid_url_scheme is an error of the configuration"""
    assert "name=nowhere" in s.log
    p = subprocess.run([s.sluice.program, "--check-config", "--config.file=" + write_file(
        "scheme.yml", "remote_write: [{url: 'invalid://localhost:9999'}]\n")], capture_output=True, text=True, timeout=20)
    assert p.returncode == 1, p


def exemplars(s):
    """trace_id, span_id and other labels; value and time; references; on histogram buckets"""
    for name, labels, v, t in (("req_total", [("span_id", "def"), ("trace_id", "abc"), ("user_id", "u1")], 999, 1234567890123),
                               ("lat_bucket", [("trace_id", "h")], 0.05, 1234567890000)):
        found = [e for one, _ in s.receiver.find("openmetrics", name) for e in one["exemplars"]]
        assert found and (sorted(found[0][0]), *found[0][1:]) == (labels, v, t), found


def versions(s, name):
    return [headers.get("x-prometheus-remote-write-version", "") for _, _, headers, *_ in s.receiver.of(name)]


def fallback(s):
    """fallback_on_415, retry_with_different_version, header changes, success after it, persistent choice"""
    found = versions(s, "415")
    assert found[0] == "2.0.0" and set(found[1:]) == {"0.1.0"}, found
    types = [headers["content-type"] for _, _, headers, *_ in s.receiver.of("415")]
    assert types[0] == write2.CONTENT_TYPE and set(types[1:]) == {"application/x-protobuf"}, types
    assert s.sluice.metric("sluice_remotewrite_version", 'url="415"') == 1


def no_fallback(s):
    assert set(versions(s, "main")) == set(versions(s, "200")) == {"2.0.0"}
    assert s.sluice.metric("sluice_remotewrite_version", 'url="main"') == 2


def histograms(s):
    """classic ones as series, never beside samples of the same series; native ones: test_both_ways_with_prometheus"""
    assert value_of(s, "metadata", "d_seconds_count") == 10 and value_of(s, "metadata", "d_seconds_sum") == 25.5
    assert {labels["le"] for _, labels in s.receiver.find("metadata", "d_seconds_bucket")} <= {"0.1", "+Inf"}
    for *_, series, _ in all_main(s):
        assert not any(one["samples"] and one["histograms"] for one in series)


def labels(s):
    """sorted, a name, valid names, no duplicates, no empty names, no empty values, unicode, special, long and many"""
    for *_, series, _ in all_main(s):
        for one in series:
            names = [name for name, _ in one["labels"]]
            assert names == sorted(set(names)) and "__name__" in names and "" not in names, one
            assert all(re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", name) for name in names), one
            assert all(value for _, value in one["labels"]), one
    found = [labels for _, labels in s.receiver.find("labels", "m")]
    assert any(x.get("emoji") == "🚀" and x.get("chinese") == "测试" for x in found)
    assert any(x.get("query") == "foo=bar&baz=qux" and "empty" not in x for x in found)
    assert any(x.get("l29") == "v29" for x in found)


def metadata(s):
    """types, help, unit, special characters, references, the same for all series of a family, none where none is known"""
    for name, want in (("used_bytes", ("gauge", "Memory", "bytes")), ("d_seconds_bucket", ("histogram", "Duration", "")),
                       ("d_seconds_count", ("histogram", "Duration", "")), ("s", ("summary", "RPC", "")),
                       ("s_sum", ("summary", "RPC", "")), ("no_help", ("counter", "", "")), ("untyped", None)):
        assert metadata_of(s, "metadata", name) == {want}, (name, metadata_of(s, "metadata", name))


def protocol(s):
    """content type and its parameter, snappy in its block format, version header and value, user agent, parseable"""
    for _, _, headers, symbols, _, body in all_main(s):
        assert headers["content-type"] == write2.CONTENT_TYPE and headers["content-encoding"] == "snappy", headers
        assert headers["x-prometheus-remote-write-version"] == "2.0.0" and headers["user-agent"].startswith("sluice/")
        assert body[:10] != b"\xff\x06\x00\x00sNaPpY" and symbols


def method(s):
    assert {command for _, command, *_ in all_main(s)} == {"POST"}


def responses(s):
    """bodies of a success, Written headers, partial writes, no headers, errors verbatim, large bodies, 204, 200"""
    for name in ("200", "body", "main"):
        assert s.sluice.metric("vmagent_remotewrite_samples_dropped_total", f'url="{name}"') == 0, name
        assert s.sluice.metric("sluice_remotewrite_samples_unconfirmed_total", f'url="{name}"') == 0, name
    partial = s.receiver.of("partial")
    wait_until(lambda: s.sluice.metric("sluice_remotewrite_samples_dropped_total", 'url="partial",reason="rejected"')
               >= len(partial), 20, "one sample dropped for each request")
    bodies = [body for *_, body in s.receiver.of("partial")]
    assert len(bodies) == len(set(bodies)), "a partial write was sent again"
    wait_until(lambda: "Error: the label '__invalid__' is bad" in s.sluice.log(), 20, "the error as it is")


def negotiation(s):
    assert all(headers["content-type"].startswith("application/x-protobuf") for _, _, headers, *_ in all_main(s))


def retries(s):
    """no_retry_on_400: a block is sent once, and as 1.0, in case 2.0 is not known. 401, 404: kept and tried again, but
    max_backoff later: nothing is lost by a wrong password. 413: never the same request. 429, 5xx: retried."""
    for name in ("400", "large_error"):
        blocks = [sorted(map(str, find_samples(r))) for r in s.receiver.of(name)]
        assert all(blocks.count(b) <= 2 for b in blocks), f"{name}: {blocks}"
    for name in ("401", "404"):
        assert len(s.receiver.of(name)) == 1, f"{name}: {len(s.receiver.of(name))} requests"
    bodies = [body for *_, body in s.receiver.of("413")]
    assert len(bodies) == len(set(bodies)), "the same request after a 413"
    for name in ("500", "502", "503", "504"):
        found = [body for *_, body in s.receiver.of(name)]
        assert len(found) > len(set(found)), f"{name}: not retried"
        assert s.sluice.metric("vmagent_remotewrite_samples_dropped_total", f'url="{name}"') == 0, name


def find_samples(request):
    *_, series, _ = request
    return [(sorted(one["labels"]), one["samples"][0][:2]) if isinstance(one, dict) else (sorted(one[0].items()), one[1][0])
            for one in series]


def compatible(s):
    """version 0.1.0 and its content type where 1.0 is configured"""
    for _, _, headers, _, series, _ in s.receiver.of("one"):
        assert headers["content-type"] == "application/x-protobuf" and headers["content-encoding"] == "snappy"
        assert headers["x-prometheus-remote-write-version"] == "0.1.0"
    assert any(name["__name__"] == "small_one" for *_, series, _ in s.receiver.of("one") for name, _ in series)


def configured(s):
    assert set(versions(s, "one")) == {"0.1.0"} and set(versions(s, "main")) == {"2.0.0"}


def samples(s):
    """floats, integers, zero, negative, infinities, NaN, large, small, scientific; ms; job and instance"""
    want = {"integer_total": 42, "float": 123.45, "zero": 0, "negative": -15.5, "inf": math.inf, "ninf": -math.inf,
            "large": 1.7976931348623157e+308, "small": 2.2250738585072014e-308, "scientific": 1.23e-4,
            "precise": 0.123456789012345}
    assert {name: value_of(s, "values", name) for name in want} == want
    assert math.isnan(value_of(s, "values", "nan")) and not wire.is_stale(value_of(s, "values", "nan"))
    for one, found in s.receiver.find("values", "float"):
        assert abs(one["samples"][0][0] - time.time() * 1000) < 5 * 60000 and found["instance"], one


def ordering(s):
    for *_, series, _ in all_main(s):
        assert all(one["samples"] == sorted(one["samples"], key=lambda x: x[0]) for one in series)
    last = {}
    for *_, series, _ in all_main(s):
        for one in series:
            for t, _, _ in one["samples"]:
                key = tuple(one["labels"])
                assert last.get(key, 0) < t, f"{key}: {t} after {last[key]}"
                last[key] = t


def symbol_table(s):
    """the empty text first, no duplicates, references in range and in pairs (parse() refuses others)"""
    assert all(symbols[0] == "" and len(symbols) == len(set(symbols)) for *_, symbols, _, _ in all_main(s))


def symbol_efficiency(s):
    for *_, symbols, series, body in all_main(s):
        used = {text for one in series for pair in one["labels"] for text in pair}
        assert set(symbols) >= used and len(symbols) <= len(used) + 2 * len(series) + 10


def timestamps(s):
    """ms, order, start timestamps only where one is known, none before"""
    for *_, series, _ in all_main(s):
        for t, _, start in (sample for one in series for sample in one["samples"]):
            assert 1e12 < t < 1e16 and (start == 0 or 1e12 < start <= t), (t, start)


SUITE = {
    "TestBackoffBehavior": backoff, "TestBatchingBehavior": batching, "TestConcurrentRequests": concurrent,
    "TestCombinedFeatures": combined, "TestEdgeCases": edge_cases, "TestRobustnessUnderLoad": load,
    "TestErrorHandling": errors, "TestNetworkErrors": network, "TestExemplarEncoding": exemplars,
    "TestFallbackBehavior": fallback, "TestNoFallbackOn2xx": no_fallback, "TestHistogramEncoding": histograms,
    "TestLabelValidation": labels, "TestMetadataEncoding": metadata, "TestProtocolCompliance": protocol,
    "TestHTTPMethod": method, "TestResponseProcessing": responses, "TestContentTypeNegotiation": negotiation,
    "TestRetryBehavior": retries, "TestRemoteWrite1Compatibility": compatible, "TestRemoteWrite1Configuration": configured,
    "TestSampleEncoding": samples, "TestSampleOrdering": ordering, "TestSymbolTable": symbol_table,
    "TestSymbolTableEfficiency": symbol_efficiency, "TestTimestampEncoding": timestamps,
}


def test_sender_suite():
    assert len(SUITE) == 26
    setup = Setup()
    try:
        run_checks({name: functools.partial(check, setup) for name, check in SUITE.items()})
    finally:
        setup.sluice.kill9()  # a stop would try for 5 s to send what is refused


# ---- real receivers and senders ----

WRITE_2 = "protobuf_message: io.prometheus.write.v2.Request"


def start_series(sluice, name, now, n=5):
    """Pushes n samples of a counter with start times, exemplars and metadata, and as many native histograms, to sluice."""
    for i in range(n):
        t = now - (n - i) * 1000
        series = [{"labels": {"__name__": f"{name}_total", "job": "push"}, "samples": [(t, i, now - 60000)],
                   "exemplars": [({"trace_id": f"t{i}"}, i, t)], "metadata": ("counter", "Things so far", "things")},
                  {"labels": {"__name__": f"{name}_h", "job": "push"}, "metadata": ("histogram", "Sizes", "bytes"),
                   "histograms": [write2.histogram(i, t=t, start=now - 60000)]}]
        answer = request(f"{sluice.url}/api/v1/write", data=wire.snappy_compress(write2.request(series)),
                         headers=write2.HEADERS)
        assert answer.status == 204, answer


def raw(prometheus, query, now):
    return request(f"{prometheus.url}/api/v1/query", {"query": query, "time": now / 1000}).json()["data"]["result"]


def test_to_prometheus():
    """Everything arrives in a real Prometheus by 2.0, and nothing by 1.0: samples, native histograms, exemplars."""
    prometheus = Prometheus("", "--enable-feature=exemplar-storage,native-histograms")
    sluice = Sluice(f"remote_write: [{{name: p, url: '{prometheus.url}/api/v1/write', {WRITE_2}}}]\n")
    now = int(time.time() * 1000)
    start_series(sluice, "pushed", now)
    wait_until(lambda: sluice.metric("vmagent_remotewrite_block_size_rows_sum", 'url="p"') == 10, 20, "10 samples")
    assert sluice.metric("sluice_remotewrite_version", 'url="p"') == 2
    for name in ("vmagent_remotewrite_samples_dropped_total", "sluice_remotewrite_samples_unconfirmed_total"):
        assert sluice.metric(name, 'url="p"') == 0, name
    found = raw(prometheus, "pushed_total[1m]", now)
    assert [float(v) for _, v in found[0]["values"]] == [0, 1, 2, 3, 4], found
    found = raw(prometheus, "histogram_count(pushed_h)", now)
    assert float(found[0]["value"][1]) == 24, found
    found = request(f"{prometheus.url}/api/v1/query_exemplars", {"query": "pushed_total", "start": now / 1000 - 60,
                                                                 "end": now / 1000 + 60}).json()["data"]
    assert [e["labels"]["trace_id"] for e in found[0]["exemplars"]] == [f"t{i}" for i in range(5)], found


def test_partial_writes_of_prometheus():
    """Prometheus stores what is in order and rejects the rest, which is dropped and counted: no request is repeated."""
    prometheus = Prometheus("")
    sluice = Sluice(f"remote_write: [{{name: p, url: '{prometheus.url}/api/v1/write', {WRITE_2}, "
                    f"queue_config: {{shards: 1}}}}]\n", "--lanes=1")
    now = int(time.time() * 1000)
    newer = [({"__name__": "m", "i": str(i)}, [(now, i)]) for i in range(3)]
    older = [({"__name__": "m", "i": str(i)}, [(now - 30000, i)]) for i in range(3)]
    fresh = [({"__name__": "m", "i": str(i)}, [(now, i)]) for i in range(3, 10)]
    assert push(f"{sluice.url}/api/v1/write", newer).status == 204
    wait_until(lambda: sluice.metric("vmagent_remotewrite_block_size_rows_sum", 'url="p"') == 3)
    assert push(f"{sluice.url}/api/v1/write", older + fresh).status == 204
    wait_until(lambda: sluice.metric("vmagent_remotewrite_block_size_rows_sum", 'url="p"') == 10, 20, "10 of 13 samples")
    assert sluice.metric("sluice_remotewrite_samples_dropped_total", 'url="p",reason="rejected"') == 3
    assert sluice.metric("sluice_remotewrite_blocks_partly_stored_total", 'url="p"') == 1
    assert sluice.metric("vmagent_remotewrite_requests_total", 'url="p",status_code="400"') == 1
    assert float(raw(prometheus, "count(m)", now)[0]["value"][1]) == 10


def test_receivers_without_2():
    """Old Prometheus reads an empty request and says 204, VictoriaMetrics too, vmagent: all get the samples by 1.0."""
    servers = [Prometheus("", name="old", old=True), VictoriaMetrics(), VMAgent("", "-remoteWrite.url=http://127.0.0.1:9/")]
    config = "".join(f"- {{name: s{i}, url: '{s.url}/api/v1/write', {WRITE_2}}}\n" for i, s in enumerate(servers))
    sluice = Sluice("remote_write:\n" + config)
    now = int(time.time() * 1000)
    assert push(f"{sluice.url}/api/v1/write", [({"__name__": "m"}, [(now - 1000 * i, i)]) for i in range(5, 0, -1)]).status == 204
    for i, server in enumerate(servers):
        wait_until(lambda: sluice.metric("vmagent_remotewrite_block_size_rows_sum", f'url="s{i}"') == 5, 20, f"5 in server {i}")
        if i < 2:
            found, = server.raw("m", time=now / 1000).values()
            assert [v for _, v in found] == [5, 4, 3, 2, 1], found
        else:
            assert "vmagent_rows_inserted_total{type=\"promremotewrite\"} 5" in server.get("/metrics").text
        assert sluice.metric("sluice_remotewrite_version", f'url="s{i}"') == 1
        assert "destination does not accept remote write 2.0; sending 1.0" in sluice.log()


def test_from_prometheus():
    """Prometheus scrapes and sends by 2.0 to sluice, which sends by 2.0 to another Prometheus: the same samples."""
    target = ScriptedExporter(page=lambda n, ms: "# HELP c_total Pages\n# TYPE c_total counter\n" + "".join(
        f'c_total{{i="{i}"}} {n}\n' for i in range(50)))
    storage = Prometheus("", name="storage")
    sluice = Sluice(f"remote_write: [{{name: p, url: '{storage.url}/api/v1/write', {WRITE_2}}}]\n")
    sender = Prometheus(f"global: {{scrape_interval: 300ms, scrape_timeout: 300ms}}\nscrape_configs:\n- job_name: j\n"
                        f"  static_configs: [{{targets: ['{target.address}']}}]\nremote_write:\n"
                        f"- {{url: '{sluice.url}/api/v1/write', {WRITE_2}, queue_config: {{batch_send_deadline: 200ms}}}}\n",
                        "--enable-feature=metadata-wal-records", name="sender")
    wait_until(lambda: sluice.metric("sluice_write2_requests_total") >= 3, 30, "requests of 2.0")
    wait_until(lambda: sluice.metric("vmagent_remotewrite_block_size_rows_sum", 'url="p"') >= 150, 30)
    wait_until(lambda: raw(storage, "count(c_total)", now_ms()) and
               float(raw(storage, "count(c_total)", now_ms())[0]["value"][1]) == 50, 20, "50 series in the storage")
    assert sluice.metric("sluice_remotewrite_version", 'url="p"') == 2
    assert sluice.metric("vmagent_remotewrite_samples_dropped_total", 'url="p"') == 0
    assert sluice.metric("vm_rows_invalid_total", 'type="promremotewrite"') == 0
    failed = re.findall(r'prometheus_remote_storage_samples_failed_total\{.*\} (\d+)', request(f"{sender.url}/metrics").text)
    assert set(failed) == {"0"}, failed
    sender.stop()  # before sluice, for which it would wait
