# SPDX-License-Identifier: Apache-2.0
"""Remote write 2.0 received: the 39 tests of prometheus/compliance's receiver suite, and what the destinations get."""
import functools
import math
import subprocess
import time

import wire
import write2
from lib import *

NOW = int(time.time() * 1000)
MINUTE = 60000
NAN = float("nan")
SPECIAL = {"1.0": 1.0, "StaleNaN": wire.STALE, "NaN": NAN, "Inf": math.inf, "-Inf": -math.inf}


class Case:
    """A request and what its response must be. stored: samples, histograms and exemplars; of an error at most that."""

    def __init__(self, series, stored, status=204, headers=(), damage=None, version=2):
        self.series, self.stored, self.status, self.headers = series, stored, status, dict(headers)
        self.damage, self.version = damage, version

    def send(self, url):
        if self.version == 1:
            body, headers = wire.write_request(self.series), {"Content-Type": "application/x-protobuf",
                                                              "Content-Encoding": "snappy"}
        else:
            body, headers = write2.request(self.series), dict(write2.HEADERS)
        body = wire.snappy_compress(body)
        if self.damage is not None:
            body = bytes([self.damage]) + body[1:]
        return request(url, data=body, headers={**headers, **self.headers})

    def check(self, answer):
        kinds = ("Samples", "Histograms", "Exemplars")
        names = [f"X-Prometheus-Remote-Write-{kind}-Written" for kind in kinds]
        written = [int(answer.headers.get(name, 0)) for name in names]
        assert answer.status == self.status, f"{answer}, wanted {self.status}"
        assert written == list(self.stored), f"{dict(zip(kinds, written))}, wanted {self.stored}: {answer}"
        assert self.version == 1 or answer.status == 415 or "invalid" in answer.text or self.damage is not None or all(
            name in answer.headers for name in names), f"without headers: {answer.headers}"


def one(labels, v=1.0, **more):
    """A series with one sample now; labels may be the name alone."""
    labels = {"__name__": labels} if isinstance(labels, str) else labels
    return {"labels": labels, "samples": [(NOW, v)], **more}


def hist(labels, total, *shape, **more):
    labels = {"__name__": labels} if isinstance(labels, str) else labels
    names = ("positive", "negative", "zero", "custom", "bad_count")
    return {"labels": labels, "histograms": [write2.histogram(total, t=NOW, **dict(zip(names, shape)))], **more}


def example(v=1.0, t=NOW, **labels):
    return labels, v, t


def labeled(name, **labels):
    return {"__name__": name, **labels}


def cases():
    """By the name of the suite's test; the parts of a test in its order."""
    api = labeled("http_requests_total", job="api", method="POST")
    trace = {"exemplars": [example(trace_id="a", user_id="b")]}
    counter, gauge = {"metadata": ("counter", "Total", "requests")}, {"metadata": ("gauge", "Usage", "ratio")}
    latency = {"metadata": ("histogram", "Distribution", "seconds")}
    up = [labeled("up", job="testjob", instance=f"localhost:909{i}") for i in range(4)]
    nameless = [{k: v for k, v in labels.items() if k != "__name__"} for labels in up]
    started = {"created": NOW - 60 * MINUTE}
    return {
        # combined_test.go
        "TestSamplesWithMetadataAndExemplars": [Case([one(api, **counter, **trace)], (1, 0, 1))],
        "TestHistogramsWithMetadataAndExemplars": [Case([hist("d_seconds", 0.456, 1, 1, 1, **latency, **trace)], (0, 1, 1))],
        "TestComplexSamplesRequest": [Case([one("cpu_usage", 0.85, **gauge, **trace), one("memory_usage", 8e9, **gauge)],
                                           (2, 0, 1))],
        "TestComplexHistogramsRequest": [Case([hist("response_time_hist", 0.125, 1, 0, 1, **latency, **trace),
                                               hist("request_size_hist", 1024, 0, 1, 1, **latency)], (0, 2, 1))],
        "TestMultipleMetricFamiliesSamples": [Case([one("a_total", 1000, **counter, **trace), one("b", 23.5, **gauge)],
                                                   (2, 0, 1))],
        "TestMultipleMetricFamiliesHistograms": [Case([hist("h_seconds", 0.003, 1, 0, 1, **latency, **trace)], (0, 1, 1))],
        "TestEdgeCaseCombinations": [
            Case([{"labels": {"__name__": "orphan_metric"}, "metadata": ("counter", "Orphaned", "count")}], (0, 0, 0)),
            Case([{"labels": {"__name__": "orphan_metric"}, **trace}], (0, 0, 1)),
            Case([{"labels": {"__name__": "old_metric"}, "samples": [(NOW - 60 * MINUTE, 1)],
                   "exemplars": [example(1, NOW - 30 * MINUTE, trace_id="old")]}, one("new_metric", 2)], (2, 0, 1))],
        "TestManySamples": [Case([one(labeled(f"counter_{i}", series=f"s{i}"), i, **counter, **trace) for i in range(50)],
                                 (50, 0, 50))],
        "TestManyHistograms": [Case([hist(labeled(f"histogram_{i}", bucket=f"b{i}"), i / 10, 1, i % 2 == 0, 1, **latency,
                                          **trace) for i in range(50)], (0, 50, 50))],
        "TestSpecialCharactersCombined": [Case([one(labeled("m", job="test-job_with.special@chars", environment="test🚀"),
                                                    metadata=("gauge", "äöü, newlines\nand \"quotes\"", "special/units"),
                                                    exemplars=[example(trace_id="äöü-123", span_id="with.dots-and_")])],
                                               (1, 0, 1))],
        "TestCustomBucketsHistogramWithExemplar": [Case([hist(labeled("custom", version="v2"), 0.05, 0, 0, 0, 1, **trace)],
                                                        (0, 1, 1))],
        # exemplar_test.go
        "TestExemplars": [Case([one(labeled("m", n=str(i)), exemplars=[example(0.5, **labels)])], (1, 0, 1))
                          for i, labels in enumerate([
                              {"trace_id": "abc"}, {"trace_id": "xyz", "span_id": "1"}, {"user_id": "u"},
                              {"trace_id": "t", "user": "admin", "endpoint": "/login"}, {},
                              {"trace_id": "trace-with-dashes_and_underscores.123"}, {"trace_id": "unicode_trace_测试"}])],
        "TestExemplarWithCreatedTimestamp": [Case([one("c_total", 250, **trace, **started)], (1, 0, 1))],
        "TestMultipleExemplars": [Case([one(labeled("d", method=m), exemplars=[example(trace_id=m)]) for m in "abc"],
                                       (3, 0, 3))],
        "TestExemplarTimestamps": [Case([{"labels": labeled("latency_hist"), "samples": [(t, 0.1)],
                                          "exemplars": [example(0.1, t, trace_id=str(t))]}
                                         for t in (NOW - 60 * MINUTE, NOW - MINUTE, NOW)], (3, 0, 3))],
        "TestExemplarValidation": [Case([one({"job": "test"}, **trace)], (0, 0, 0), 400),
                                   Case([one({"__name__": ""}, **trace)], (0, 0, 0), 400),
                                   Case([one("valid_metric", **trace)], (1, 0, 1))],
        "TestExemplarSpecialValues": [Case([one(labeled("m", n=str(v)), v, exemplars=[example(v, trace_id="x")])], (1, 0, 1))
                                      for v in (0.0, -123.456, 1e10, 1e-10, NAN, math.inf, -math.inf)],
        # histograms_test.go: positive, negative and zero buckets, custom ones, a wrong count
        "TestHistograms": [Case([hist(labeled("h", n=str(shape)), 5, *shape)], (0, 1, 0))
                           for shape in ((1, 1, 1), (1, 0, 0, 1), (1, 0, 1), (0, 1, 1), (0, 0, 1))] + [
                               Case([hist("minimal_hist", 5, 1, 0, 0, 0, 1)], (0, 0, 0), 400)],
        "TestHistogramWithCreatedTimestamp": [Case([hist("h_seconds", 1.5, 1, 1, 1, **started)], (0, 1, 0))],
        "TestMultipleHistograms": [Case([hist("hist1", 10.5, 1, 0, 1), hist("hist2", 5.2, 0, 1, 0)], (0, 2, 0))],
        "TestEmptyHistogram": [Case([hist("empty_hist", 0, 0, 0, 0)], (0, 1, 0))],
        "TestHistogramWithMetadata": [Case([hist("h_seconds", 2.5, 1, 1, 1, **latency)], (0, 1, 0))],
        "TestHistogramWithExemplar": [Case([hist("h_seconds", 1.23, 1, 0, 1, **trace)], (0, 1, 1))],
        "TestHistogramWithMetadataAndExemplar": [Case([hist("h_bytes", 1e7, 1, 1, 1, **latency, **trace)], (0, 1, 1))],
        "TestMultipleHistogramsWithMetadata": [Case([hist("cpu_h", 0.75, 1, 0, 1, **latency),
                                                     hist("memory_h", 8e9, 1, 1, 0, **latency)], (0, 2, 0))],
        # metadata_test.go
        "TestMetadata": [Case([hist("m", 1, 1, 1, 1, metadata=(kind, *texts)) if kind == "histogram" else
                               one(f"m_{kind}", metadata=(kind, *texts))], (0, 1, 0) if kind == "histogram" else (1, 0, 0))
                         for kind, *texts in [(kind, "Help of it", "seconds") for kind in write2.TYPES] + [
                             ("counter", "", ""), ("gauge", "with\nnewlines and \"quotes\"", "bytes/sec")]],
        "TestCounterMetadataWithCreatedTimestamp": [Case([one(api, 150, **counter, **started)], (1, 0, 0))],
        "TestMetadataWithSamples": [Case([one(api, 42, **counter)], (1, 0, 0))],
        "TestMultipleMetadata": [Case([one(name, 85.5, **gauge) for name in ("cpu", "memory", "disk")], (3, 0, 0))],
        "TestMetadataWithComplexLabels": [Case([hist(labeled("h_seconds", job="api", instance="localhost:8080", method="GET",
                                                             status="200", endpoint="/api/v1/users"), 0.25, 1, 1, 1,
                                                     **latency)], (0, 1, 0))],
        "TestMetadataValidation": [Case([one({"job": "test"}, **counter)], (0, 0, 0), 400),
                                   Case([one({"__name__": ""}, **gauge)], (0, 0, 0), 400),
                                   Case([one("valid_metric_name", **counter)], (1, 0, 0))],
        # metric_test.go
        "TestSingleMetric": [case for v in SPECIAL.values() for case in [
            Case([one("up", v)], (1, 0, 0)), Case([one(up[0], v)], (1, 0, 0)),
            Case([one(labeled("up", job="test\njob\n", instance="x"), v)], (1, 0, 0)),
            Case([one({"__name__": "resource.cpu.usage", "job.name": "j"}, v)], (1, 0, 0)),
            Case([one({"__name__": "resource cpu usage", "job name": "j"}, v)], (1, 0, 0)),
            Case([one(nameless[0], v)], (0, 0, 0), 400), Case([one({}, v)], (0, 0, 0), 400)]],
        "TestCounterWithCreatedTimestamp": [Case([one("c_total", 100, **started)], (1, 0, 0))],
        "TestMultipleMetrics": [case for v in SPECIAL.values() for case in [
            Case([one(labels, v) for labels in up], (4, 0, 0)),
            Case([one(labels, v) for labels in nameless], (0, 0, 0), 400),
            Case([one(labels, v) for labels in [nameless[0]] + up[1:]], (3, 0, 0), 400)]],
        # request_test.go
        "TestBadContentTypes": [Case([one("up")], (0, 0, 0), 415, {"Content-Type": kind}, damage=48)
                                for kind in ("application/json", "image/png", "application/x-protobuf;proto=other")],
        "TestBadContentEncodings": [Case([one("up")], (0, 0, 0), 415, {"Content-Encoding": coding}, damage=48)
                                    for coding in ("gzip", "deflate")],
        "TestCorruptRequestBody": [Case([one("up")], (0, 0, 0), 400, damage=48)],
        # rw1_compat_test.go
        "TestRW1BasicCompatibility": [Case([(up[0], [(NOW, 1)]), (labeled("http_requests_total"), [(NOW, 100)])],
                                           (0, 0, 0), version=1)],
        "TestRW1ErrorHandling": [Case([(labeled("error_test"), [(NOW, 1)])], (0, 0, 0), 400, damage=255, version=1)],
    }


def test_receiver_suite():
    sink = RecordingSink()
    sluice = Sluice(f"remote_write: [{{name: sink, url: '{sink.url}', protocol: snappy}}]\n")
    suite = cases()
    assert len(suite) == 39, len(suite)

    def check(parts):
        for i, case in enumerate(parts):
            answer = case.send(f"{sluice.url}/api/v1/write")
            try:
                case.check(answer)
            except AssertionError as e:
                raise AssertionError(f"part {i + 1}: {e}") from e
    run_checks({name: functools.partial(check, parts) for name, parts in suite.items()})
    stored = sum(sum(case.stored[:2]) for parts in suite.values() for case in parts) + 2  # those of 1.0
    wait_until(lambda: sluice.metric("vmagent_remotewrite_block_size_rows_sum", 'url="sink"') == stored, 20,
               f"{stored} samples in the sink")


def test_accepted_messages():
    one_of = "prometheus.WriteRequest", "io.prometheus.write.v2.Request"
    flag = "--web.remote-write-receiver.accepted-protobuf-messages"
    first, second = [Case([(labeled("up"), [(NOW, 1)])], (0, 0, 0), version=1), Case([one("up")], (1, 0, 0))]
    for name, good, bad in ((one_of[0], first, second), (one_of[1], second, first)):
        sluice = Sluice("recent: {}\n", f"{flag}={name}", name=name)
        good.check(good.send(f"{sluice.url}/api/v1/write"))
        answer = bad.send(f"{sluice.url}/api/v1/write")
        assert answer.status == 415 and answer.text.strip().endswith(f"only accepts {name}"), answer
        sluice.stop()
    p = subprocess.run([sluice.program, f"{flag}=other"], capture_output=True, text=True, timeout=20)
    assert p.returncode == 1 and f'{flag}: "other" is not one of' in p.stderr, p


def test_pushed_2_arrives_as_1():
    """Labels sorted, metadata by family and once, exemplars and histograms as messages of 1.0, no start times."""
    sink = RecordingSink()
    sluice = Sluice(f"remote_write: [{{name: sink, url: '{sink.url}', protocol: snappy}}]\n", "--lanes=1")
    for i in range(2):
        t = NOW + i
        series = [{"labels": {"z": "1", "__name__": "lat_sum", "a": "", "b": "é"}, "samples": [(t, 2.5, NOW - 5), (t + 10, 3)],
                   "metadata": ("histogram", "Latency", "seconds"), "exemplars": [({"trace_id": "x"}, 0.5, t)]},
                  {"labels": {"__name__": "lat"}, "histograms": [write2.histogram(1, t=t, start=NOW - 5)],
                   "metadata": ("histogram", "Latency", "seconds")}]
        answer = Case(series, (2, 1, 1)).send(f"{sluice.url}/api/v1/write")
        assert answer.status == 204, answer
    wait_until(lambda: sluice.metric("vmagent_remotewrite_block_size_rows_sum", 'url="sink"') == 6)
    sums, = sink.find("lat_sum").items()
    assert sums == ((("__name__", "lat_sum"), ("b", "é"), ("z", "1")), [(NOW, 2.5), (NOW + 10, 3), (NOW + 1, 2.5),
                                                                      (NOW + 11, 3)]), sums
    parts = [part for _, body in sink.accepted for part in wire.fields(wire.snappy_decompress(body))]
    metadata = [dict(wire.fields(value)) for number, value in parts if number == 3]
    assert metadata == [{1: 3, 2: b"lat", 4: b"Latency", 5: b"seconds"}], metadata
    inner = [field for number, value in parts if number == 1 for field in wire.fields(value)]
    assert [len(dict(wire.fields(value))) for number, value in inner if number == 2] == [2] * 4, "start times"
    assert [dict(wire.fields(value))[15] for number, value in inner if number == 4] == [NOW, NOW + 1]
    exemplars = [dict(wire.fields(value)) for number, value in inner if number == 3]
    assert [dict(wire.fields(e[1])) for e in exemplars] == [{1: b"trace_id", 2: b"x"}] * 2
    assert sluice.metric("sluice_write2_requests_total") == 2


def test_large_requests_of_2():
    """A body that is stored in slices: the counts are of all of them, and what is invalid is reported."""
    sink = RecordingSink()
    sluice = Sluice(f"remote_write: [{{name: sink, url: '{sink.url}'}}]\n")
    series = [one(labeled("m", i=str(i), text="x" * 50), i, metadata=("gauge", "Numbers", "")) for i in range(4000)]
    series[777]["labels"].pop("__name__")
    series[778]["samples"] = [(NOW + i, i) for i in range(5000)]
    answer = Case(series, ()).send(f"{sluice.url}/api/v1/write")
    assert answer.status == 400 and "series 778 of the request: no metric name" in answer.text, answer
    assert answer.headers["X-Prometheus-Remote-Write-Samples-Written"] == "8998", answer.headers
    assert answer.headers["X-Prometheus-Remote-Write-Exemplars-Written"] == "0", answer.headers
    wait_until(lambda: sluice.metric("vmagent_remotewrite_block_size_rows_sum", 'url="sink"') == 8998)
    cut = wire.snappy_compress(write2.request(series)[:-3])
    answer = request(f"{sluice.url}/api/v1/write", data=cut, headers=write2.HEADERS)
    assert answer.status == 400 and "truncated or malformed field" in answer.text, answer
    assert sluice.metric("vmagent_remotewrite_block_size_rows_sum", 'url="sink"') == 8998, "nothing of it is stored"
    # one text of 2 MiB, and one of 256 KiB in 400 series: 100 MiB of labels, stored a part at a time
    before = sluice.memory_kib()["VmHWM"]
    wide = [one(labeled("wide", i=str(i), text="x" * (256 << 10)), i, metadata=("gauge", "y" * (2 << 20), ""))
            for i in range(400)]
    answer = Case(wide, ()).send(f"{sluice.url}/api/v1/write")
    assert answer.status == 204, answer
    assert not RELEASE or sluice.memory_kib()["VmHWM"] < before + (50 << 10), (before, sluice.memory_kib())


def test_short_body_of_2_that_expands():
    """Of less than 128 KiB, to more than 1 MiB: stored in slices, as a long one is."""
    sink = RecordingSink()
    sluice = Sluice(f"remote_write: [{{name: sink, url: '{sink.url}'}}]\n")
    series = [one(labeled("m", i=str(i), text="x" * 1500), i) for i in range(1500)]
    body = write2.request(series)
    assert len(body) < 128 << 10, len(body)
    answer = Case(series, ()).send(f"{sluice.url}/api/v1/write")
    assert answer.status == 204 and answer.headers["X-Prometheus-Remote-Write-Samples-Written"] == "1500", answer
    wait_until(lambda: sluice.metric("vmagent_remotewrite_block_size_rows_sum", 'url="sink"') == 1500)
    series[1490]["labels"].pop("__name__")
    answer = Case(series, ()).send(f"{sluice.url}/api/v1/write")
    assert answer.status == 400 and "series 1491 of the request: no metric name" in answer.text, answer
    cut = wire.snappy_compress(write2.request(series)[:-3])
    assert request(f"{sluice.url}/api/v1/write", data=cut, headers=write2.HEADERS).status == 400
    assert sluice.metric("vmagent_rows_inserted_total", 'type="promremotewrite"') == 1500 + 1499
