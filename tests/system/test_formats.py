# SPDX-License-Identifier: Apache-2.0
"""Exposition formats: what is requested, and how responses are read, beside a Prometheus with the same configuration."""
import math
import struct
import time

import fakes
import wire
import write2
from fakes import ScriptedExporter
from lib import *

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
EARLIER = 5000  # ms before the request: no time of a scrape
PAGE = """# TYPE requests counter
# HELP requests Of \\"users\\".
requests_total{code="200"} %(n)d # {trace_id="ab%(n)d"} 0.5 %(s)s
requests_created{code="200"} 1.6e9
# TYPE seconds histogram
seconds_bucket{le="1"} 3 # {trace_id="same"} 0.25
seconds_bucket{le="+Inf"} 4
seconds_sum 7.5
seconds_count 4
# TYPE stamped gauge
stamped 1 %(s)s
# EOF
"""


def page(n, ms):
    return PAGE % {"n": n, "s": ms / 1000}


def scraping(*exporters, more=""):
    targets = ", ".join(f"'{exporter.address}'" for exporter in exporters)
    return f"""global: {{scrape_interval: 1s}}
scrape_configs:
- job_name: formats
  {more}
  static_configs: [{{targets: [{targets}]}}]
"""


@waits
def test_what_is_requested():
    """The same header as Prometheus sends, by default and for each choice."""
    choices = ["", "scrape_protocols: [PrometheusText0.0.4]", "scrape_protocols: [PrometheusText1.0.0, OpenMetricsText1.0.0]",
               "metric_name_escaping_scheme: underscores", "metric_name_escaping_scheme: dots"]
    for common in "scrape_interval: 1s", "scrape_interval: 1s, scrape_protocols: [OpenMetricsText0.0.1, PrometheusText0.0.4]":
        asked = []
        for server in "sluice", "prometheus":
            exporters = [ScriptedExporter() for _ in choices]
            config = f"global: {{{common}}}\nscrape_configs:\n" + "".join(
                f"- {{job_name: j{i}, static_configs: [{{targets: ['{exporter.address}']}}]{choice and ', ' + choice}}}\n"
                for i, (exporter, choice) in enumerate(zip(exporters, choices)))
            running = Sluice(config, "--dialect=prometheus") if server == "sluice" else Prometheus(config)
            wait_until(lambda: all(exporter.asked for exporter in exporters), what="the requests")
            running.stop()
            asked.append([exporter.asked[0]["Accept"] for exporter in exporters])
        assert asked[0] == asked[1]
    plain = ScriptedExporter()
    Sluice(scraping(plain), name="own")
    wait_until(lambda: plain.asked, what="a request")
    assert plain.asked[0]["Accept"] == "text/plain;version=0.0.4;q=1,*/*;q=0.1", "le keeps its spelling without Prometheus' flags"


def test_openmetrics_as_prometheus_reads_it():
    ours, theirs = ScriptedExporter(page=page), ScriptedExporter(page=page)
    ours.content_type = theirs.content_type = OPENMETRICS
    sluice = Sluice(scraping(ours) + "recent: {budget: 16MiB}\n", "--dialect=prometheus")
    prometheus = Prometheus(scraping(theirs), "--enable-feature=exemplar-storage")
    wait_until(lambda: min(ours.n, theirs.n) > 3, what="some scrapes")
    names = '{__name__=~"requests.*|seconds.*|stamped"}'

    def series_of(server):
        return {tuple(pair for pair in labels if pair[0] != "instance"): samples for labels, samples in server.raw(names).items()}
    wait_until(lambda: len(series_of(sluice)) == len(series_of(prometheus)) == 7, what="all series")
    found, expected = series_of(sluice), series_of(prometheus)
    assert found.keys() == expected.keys()
    assert ("le", "1.0") in set().union(*found), "le is spelled as in Prometheus 3"
    by_page = {ms: n for n, ms, _ in ours.served}
    for t, _ in found[(("__name__", "stamped"), ("job", "formats"))]:
        assert t in by_page, "the page's own time, in seconds"

    def exemplars(server):
        return {tuple(sorted(s["seriesLabels"].items())): s["exemplars"] for s in server.data(
            "/api/v1/query_exemplars", [("query", names), ("start", time.time() - 60), ("end", time.time() + 60)])}
    wait_until(lambda: any(len(list_) > 2 for list_ in exemplars(sluice).values()), what="exemplars")
    for server, exporter in (sluice, ours), (prometheus, theirs):
        got = exemplars(server)
        assert {dict(labels)["__name__"] for labels in got} == {"requests_total", "seconds_bucket"}, got
        for labels, found in got.items():
            if dict(labels)["__name__"] == "seconds_bucket":
                assert [e["labels"] for e in found] == [{"trace_id": "same"}], "sent once"
            else:
                times = {n: ms for n, ms, _ in exporter.served}
                numbers = [int(e["labels"]["trace_id"][2:]) for e in found]
                assert numbers == sorted(set(numbers)) and len(numbers) > 2
                assert all(abs(e["timestamp"] * 1000 - times[n]) < 1 for e, n in zip(found, numbers)), found
    metadata = [server.data("/api/v1/metadata") for server in (sluice, prometheus)]
    for name in "requests", "seconds", "stamped":
        assert metadata[0][name] == metadata[1][name], metadata[0][name]


def test_forwarded_exemplars():
    exporter = ScriptedExporter(page=page)
    exporter.content_type = OPENMETRICS
    storage = Prometheus("", "--enable-feature=exemplar-storage", name="storage")
    sluice = Sluice(scraping(exporter) + f"remote_write: [{{url: '{storage.write_url}', send_exemplars: true}}]\n")

    def found():
        return storage.data("/api/v1/query_exemplars", [("query", "requests_total"), ("start", time.time() - 60), ("end", time.time() + 60)])
    wait_until(lambda: found() and len(found()[0]["exemplars"]) > 1, what="exemplars at the storage")
    assert {"__name__": "requests_total", "code": "200"}.items() <= found()[0]["seriesLabels"].items()
    assert sluice.alive()


def test_types_of_responses():
    """Which format a Content-Type means; a type that says nothing is the fallback, else the text format."""
    def stamped(sluice, exporter):
        """Whether the time of `stamped` was read as seconds; None: the scrape fails."""
        wait_until(lambda: exporter.n > 1, what="a second scrape")
        target = sluice.data("/api/v1/targets")["activeTargets"]
        health = [t["health"] for t in target if t["labels"]["instance"] == exporter.address][0]
        if health != "up":
            return None
        samples = [s for labels, s in sluice.raw("stamped", window="3000w").items() if ("instance", exporter.address) in labels]
        return any(t + EARLIER in {ms for _, ms, _ in exporter.served} for t, _ in samples[0])

    def small(n, ms):
        return f"stamped 1 {(ms - EARLIER) / 1000:.3f}\n# EOF\n"

    def cut(n, ms):
        return "stamped 1\n"
    cases = [(OPENMETRICS, small, True), ("Application/OpenMetrics-Text", small, True), (OPENMETRICS, cut, None),
             ("text/plain; version=0.0.4", cut, False), ("text/html", cut, False), (None, cut, False),
             ("text/plain", small, None)]
    exporters = [ScriptedExporter(page=text) for _, text, _ in cases]
    for exporter, (kind, _, _) in zip(exporters, cases):
        exporter.content_type = kind
    sluice = Sluice(scraping(*exporters) + "recent: {budget: 16MiB}\n")
    for exporter, (kind, _, wanted) in zip(exporters, cases):
        assert stamped(sluice, exporter) == wanted, kind
    sluice.stop()
    unknown = ScriptedExporter(page=small)
    unknown.content_type = None
    sluice = Sluice(scraping(unknown, more="fallback_scrape_protocol: OpenMetricsText1.0.0") + "recent: {budget: 16MiB}\n", name="fallback")
    assert stamped(sluice, unknown)


def test_names_that_are_no_protocols():
    for text, message in (
            ("scrape_protocols: [OpenMetrics]", 'scrape_config.scrape_protocols: "OpenMetrics" is not a scrape protocol'),
            ("scrape_protocols: [PrometheusText1.0.0, PrometheusText1.0.0]", '"PrometheusText1.0.0" is listed twice'),
            ("fallback_scrape_protocol: text", '"text" is not a scrape protocol'),
            ("metric_name_escaping_scheme: none", "metric_name_escaping_scheme")):
        sluice = Sluice(scraping(ScriptedExporter(), more=text), start=False)
        sluice.start()
        assert sluice.wait_exit() != 0 and message in sluice.log(), sluice.log()


PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"


def recorded():
    """A page of a Prometheus with all that its protobuf has: native histograms, exemplars, summaries."""
    target = Prometheus(name="target")
    for i in range(20):
        target.get("/api/v1/query", {"query": f"vector({i})"}, headers={"traceparent": f"00-{i + 1:032x}-{i + 1:016x}-01"})
    page = request(target.url + "/metrics", headers={"Accept": PROTOBUF.replace(" ", "")})
    target.stop()
    assert page.headers["Content-Type"].startswith("application/vnd.google.protobuf"), page.headers
    return page.body


def of_page(server, query='{job="formats",__name__!~"up|scrape_.*"}'):
    """{labels: value or histogram}"""
    found = server.query(query)["result"]
    return {tuple(sorted((k, v) for k, v in s["metric"].items() if k != "instance")): s.get("histogram", s.get("value"))[1] for s in found}


@waits
def test_legacy_names_as_prometheus_checks_them():
    """After metric_relabel_configs: the scrape fails if there is another name, of a metric or of a label."""
    pages = {"metric": 'a_b 1\n{"a.b"} 1\n', "label": 'a_b{"x.y"="1"} 1\n', "none": "a_b:c 1\n"}
    exporters = {name: ScriptedExporter(page=lambda n, ms, text=text: text) for name, text in pages.items()}
    jobs = "".join(f"- {{job_name: {name}{suffix}, scrape_interval: 1s, static_configs: [{{targets: ['{e.address}']}}]{keys}}}\n"
                   for name, e in exporters.items() for suffix, keys in (
                       ("", ""), ("_utf8", ", metric_name_validation_scheme: utf8"),
                       ("_dropped", ", metric_relabel_configs: [{source_labels: [__name__], regex: 'a[.]b', action: drop}, "
                        "{regex: 'x.*', action: labeldrop}]")))
    config = "global: {metric_name_validation_scheme: legacy}\nscrape_configs:\n" + jobs

    def health(server):
        def known():
            targets = server.data("/api/v1/targets")["activeTargets"]
            found = {t["scrapePool"]: t["health"] for t in targets}
            return len(found) == 9 and "unknown" not in found.values() and found
        return wait_until(known, 30, "a scrape of each target")
    sluice = Sluice(config, "--dialect=prometheus")
    found = health(sluice)
    with exporters["none"].lock: # before Prometheus asks, too
        asked = {a["Accept"].split("escaping=")[1].split(";")[0].split(",")[0] for a in exporters["none"].asked}
    assert asked == {"underscores", "allow-utf-8"}, asked
    expected = health(Prometheus(config))
    assert found == expected and sorted(job for job, h in expected.items() if h == "down") == ["label", "metric"]
    errors = {t["scrapePool"]: t["lastError"] for t in sluice.data("/api/v1/targets")["activeTargets"] if t["lastError"]}
    assert 'invalid name "a.b"' in errors["metric"] and 'invalid name "x.y" (metric: a_b' in errors["label"], errors
    refused = Sluice("global: {metric_name_validation_scheme: legacy, metric_name_escaping_scheme: allow-utf-8}\n"
                     "scrape_configs: [{job_name: x}]\n", ready=False)
    assert refused.wait_exit() == 1 and "allow-utf-8 contradicts" in refused.log()


@waits
def test_protobuf_as_prometheus_reads_it():
    """The same response of a real Prometheus, with and without native histograms, with both kinds, and with fewer buckets."""
    body, pairs = recorded(), []
    for i, (more, native) in enumerate((("", True), ("always_scrape_classic_histograms: true", True),
                                        ("native_histogram_min_bucket_factor: 1.2\n  native_histogram_bucket_limit: 3", True),
                                        ("scrape_protocols: [PrometheusProto]", False))):
        exporters = [ScriptedExporter(), ScriptedExporter()]
        for exporter in exporters:
            exporter.body, exporter.content_type = body, PROTOBUF
        ours = more + "\n  scrape_native_histograms: true" * native
        feature = "--enable-feature=" + ("native-histograms" if native else "exemplar-storage")
        pairs.append((exporters, native, Sluice(scraping(exporters[0], more=ours.strip()) + "recent: {budget: 16MiB}\n",
                                                "--dialect=prometheus", name=f"sluice{i}"),
                      Prometheus(scraping(exporters[1], more=more), feature, name=f"prometheus{i}")))
    for exporters, native, sluice, prometheus in pairs:
        wait_until(lambda: of_page(sluice) and of_page(prometheus), what="the page")
        found, expected = of_page(sluice), of_page(prometheus)
        if not native:  # before 3.8 Prometheus then stores neither form of what has native buckets
            classic = {labels: found.pop(labels) for labels in set(found) - set(expected)}
            assert {dict(labels)["__name__"].rsplit("_", 1)[1] for labels in classic} == {"bucket", "count", "sum"}
        assert found.keys() == expected.keys(), sorted(set(found) ^ set(expected))[:5]
        histograms = [labels for labels, value in expected.items() if isinstance(value, dict)]
        assert bool(histograms) == native and len(expected) > 300
        assert found == expected, [(labels, found[labels], expected[labels]) for labels in found if found[labels] != expected[labels]][:3]
        wait_until(lambda: min(exporter.n for exporter in exporters) > 2, what="more scrapes")
        metadata = [server.data("/api/v1/metadata") for server in (sluice, prometheus)]
        assert metadata[0] == metadata[1], [name for name in metadata[1] if metadata[0].get(name) != metadata[1][name]][:5]
        assert exporters[0].asked[0]["Accept"] == exporters[1].asked[0]["Accept"]


CLASSIC = """# HELP seconds Latency.
# TYPE seconds histogram
seconds_bucket{path="/a",le="0.1"} %(a)d
seconds_bucket{path="/a",le="0.5"} %(a)d
seconds_bucket{path="/a",le="1"} %(b)d
seconds_bucket{path="/a",le="2.5"} %(b)d
seconds_bucket{path="/a",le="5"} %(b)d
seconds_bucket{path="/a",le="10"} %(b)d
seconds_bucket{path="/a",le="30"} %(c)d
seconds_bucket{path="/a",le="+Inf"} %(c)d
seconds_sum{path="/a"} %(b)d.5
seconds_count{path="/a"} %(c)d
seconds_bucket{path="/b",le="1"} 0
seconds_bucket{path="/b",le="+Inf"} 0
seconds_sum{path="/b"} 0
seconds_count{path="/b"} 0
# TYPE halves histogram
halves_bucket{le="1"} 0.5
halves_bucket{le="2"} 1.5
halves_bucket{le="+Inf"} 2.5
halves_sum 2
halves_count 2.5
# TYPE broken histogram
broken_bucket{le="1"} 3
broken_bucket{le="2"} 2
broken_bucket{le="+Inf"} 4
# TYPE wait summary
wait{quantile="0.5"} 1
wait_sum 2
wait_count 3
# TYPE loose gauge
loose_bucket{le="1"} 1
"""


def classic(n, ms):
    return CLASSIC % {"a": n + 1, "b": 2 * n + 3, "c": 3 * n + 7}


def frozen(page):
    """Responses that do not change, so that both servers have the same values at any time."""
    text = page(4, 0)
    return lambda n, ms: text


def jobs(exporters, *more):
    """A job for each exporter."""
    settings = "".join(f", {setting}" for setting in more if setting)
    return "global: {scrape_interval: 1s}\nscrape_configs:\n" + "".join(
        f"- {{job_name: formats{i}, static_configs: [{{targets: ['{e.address}']}}]{settings}}}\n" for i, e in enumerate(exporters))


OF_JOBS = '{job=~"formats.*",__name__!~"up|scrape_.*"}'
WRITE_2 = "protobuf_message: io.prometheus.write.v2.Request"


@waits
def test_classic_histograms_as_native_ones():
    """The same series as Prometheus makes of text, OpenMetrics and protobuf, in one form or both; forwarded by remote write 2.0, and
    PromQL computes the same over them."""
    convert, body, running = "convert_classic_histograms_to_nhcb: true", recorded(), []
    for i, more in enumerate(("", "always_scrape_classic_histograms: true", "scrape_protocols: [PrometheusProto, OpenMetricsText1.0.0]")):
        text, openmetrics, protobuf = (ScriptedExporter(page=frozen(classic)) for _ in range(3))
        openmetrics.content_type, openmetrics.page = OPENMETRICS, frozen(lambda n, ms: classic(n, ms) + "# EOF\n")
        protobuf.content_type, protobuf.body = PROTOBUF, body
        exporters = [protobuf] if i == 2 else [text, openmetrics]
        storage = Prometheus("", "--enable-feature=native-histograms", name=f"storage{i}")
        write = f"remote_write: [{{url: '{storage.write_url}', {WRITE_2}}}]\nrecent: {{budget: 16MiB}}\n"
        ours = jobs(exporters, convert, more, "scrape_native_histograms: true" if i == 2 else "")
        running.append((Sluice(ours + write, "--dialect=prometheus", name=f"sluice{i}"),
                        Prometheus(jobs(exporters, convert, more), "--enable-feature=native-histograms", name=f"prometheus{i}"), storage))
    for i, servers in enumerate(running):
        wait_until(lambda: all(of_page(s, OF_JOBS) for s in servers) and len({len(of_page(s, OF_JOBS)) for s in servers}) == 1,
                   what="the same number of series")
        found, expected, stored = (of_page(s, OF_JOBS) for s in servers)
        assert len([v for v in expected.values() if isinstance(v, dict)]) >= 3, expected
        assert found.keys() == expected.keys() == stored.keys(), sorted(set(found) ^ set(expected))[:5]
        different = [(labels, found[labels], stored[labels], expected[labels]) for labels in expected
                     if not found[labels] == stored[labels] == expected[labels]]
        assert not different, different[:3]
        buckets = [labels for labels in found if dict(labels)["__name__"].endswith("_bucket")]
        assert (len(buckets) > 10) == (i == 1), buckets
        name = "seconds|halves" if i < 2 else "prometheus_http_request_duration_seconds"
        query = f'histogram_quantile(0.9, {{job=~"formats.*",__name__=~"{name}"}})'
        numbers = [of_page_numbers(server, query) for server in servers[:2]]
        assert numbers[0].keys() == numbers[1].keys()
        different = [(labels, v, numbers[1][labels]) for labels, v in numbers[0].items()
                     if not same_number(float(v), float(numbers[1][labels]))]
        assert not different, different


def same_number(a, b):
    """But for the last digits, in which versions of Prometheus differ."""
    return a == b or (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-9)


def of_page_numbers(server, query):
    found = server.query(query)["result"]
    assert found, query
    return {tuple(sorted((k, v) for k, v in s["metric"].items() if k != "instance")): s["value"][1] for s in found}


class Restarting:
    """Pages of a process that starts at page 2 and again at page 5, as OpenMetrics or protobuf. starts: its times, ms."""

    def __init__(self, kind):
        self.starts = []
        self.exporter = ScriptedExporter(page=self.openmetrics if kind == OPENMETRICS else self.protobuf)
        self.exporter.content_type = kind

    def since(self, n, ms):
        if n in (2, 5):
            self.starts.append(ms - 200)
        return self.starts[-1] if self.starts else None

    def openmetrics(self, n, ms):
        start, text = self.since(n, ms), ""
        if start:
            at = f"{start / 1000:.3f}"
            text = (f"# TYPE c counter\nc_total{{a=\"b\"}} {n}\nc_created{{a=\"b\"}} {at}\n# TYPE g gauge\ng 1\ng_created {at}\n"
                    f"# TYPE s summary\ns{{quantile=\"0.5\"}} 1\ns_sum {n}\ns_count {n}\ns_created {at}\n"
                    f"# TYPE h histogram\nh_bucket{{le=\"1\"}} {n}\nh_bucket{{le=\"+Inf\"}} {n}\nh_sum {n}\nh_count {n}\nh_created {at}\n")
        return text + "# EOF\n"

    def protobuf(self, n, ms):
        start = self.since(n, ms)
        if not start:
            return ""
        field = wire.field
        at = field(1, start // 1000) + field(2, start % 1000 * 1_000_000)

        def family(name, kind, metric):
            message = field(1, name) + field(3, kind) + field(4, metric)
            return wire.varint(len(message)) + message
        buckets = b"".join(field(3, field(1, n) + field(2, bound)) for bound in (1.0, float("inf")))
        return Bytes(family("c_total", 0, field(1, field(1, "a") + field(2, "b")) + field(3, field(1, float(n)) + field(3, at))) +
                     family("g", 1, field(2, field(1, 1.0))) +
                     family("s", 2, field(4, field(1, n) + field(2, float(n)) + field(4, at) + field(3, field(1, 0.5) + field(2, 1.0)))) +
                     family("h", 4, field(7, field(1, n) + field(2, float(n)) + buckets + field(15, at))))


class Bytes(bytes):
    """What ScriptedExporter serves as it is."""

    def encode(self):
        return bytes(self)


def counts_from_zero(server, starts, name, job):
    """Whether the series of this name has a 0 at each start time, and what it has from the first one on."""
    found = [samples for labels, samples in server.raw(name).items() if ("job", job) in labels]
    assert found, name
    values = dict(found[0])
    return [values.get(t) for t in starts], [v for t, v in sorted(values.items()) if t >= starts[0]][:8]


@waits
def test_start_times_as_samples_of_zero():
    """--enable-feature=created-timestamp-zero-ingestion: the same series as Prometheus has, with a 0 when a process starts."""
    flags = "--enable-feature=created-timestamp-zero-ingestion,native-histograms"
    ours, theirs = ([Restarting(OPENMETRICS), Restarting(PROTOBUF), Restarting(OPENMETRICS)] for _ in range(2))
    running = []
    for targets, own in (ours, True), (theirs, False):
        config = jobs([t.exporter for t in targets[:2]])
        last = f"- {{job_name: native, convert_classic_histograms_to_nhcb: true, static_configs: [{{targets: ['{targets[2].exporter.address}']}}]}}\n"
        running.append(Sluice(config + last + "recent: {budget: 16MiB}\n", "--dialect=prometheus", flags) if own
                       else Prometheus(config, flags))  # which refuses the conversion with this feature
    theirs.pop()
    wait_until(lambda: all(t.exporter.n > 8 for t in ours + theirs), 40, what="nine pages")
    for server, targets in zip(running, (ours, theirs)):
        for target, job in zip(targets, ("formats0", "formats1", "native")):
            for name in ("c_total", "s_sum", "s_count", 's{quantile="0.5"}') + (("h_sum", 'h_bucket{le="+Inf"}') if job != "native" else ()):
                zeros, values = counts_from_zero(server, target.starts, name, job)
                first = 1 if "quantile" in name else 2
                assert zeros == [0, 0], (server.name, job, name, zeros, values)
                assert values[:3] == [0, first, 1 if first == 1 else 3], (server.name, job, name, values)
            assert 0 not in dict(next(s for labels, s in server.raw("g").items() if ("job", job) in labels)).values()
        if not isinstance(server, Sluice):
            continue
        target = targets[2]
        for start in target.starts:
            found = server.query('h{job="native"}', start / 1000)["result"]
            assert found[0]["histogram"][1]["count"] == "0", found
        names = {dict(labels)["__name__"] for labels in of_page(server, OF_JOBS)}
        assert "g_created" in names and "c_created" not in names and "h_created" not in names
    assert ours[0].exporter.asked[0]["Accept"] == theirs[0].exporter.asked[0]["Accept"]
    names = [{tuple(pair for pair in labels if pair[0] != "instance") for labels in of_page(s, OF_JOBS)} for s in running]
    assert names[0] == names[1], sorted(names[0] ^ names[1])


@waits
def test_start_times_sent_by_remote_write_2():
    """--enable-feature=st-storage: samples and histograms are sent with them."""
    class Sink(Fake):
        def __init__(self):
            self.series = []
            super().__init__()

        def answer(self, request, body):
            series = write2.parse(wire.snappy_decompress(body))[1]
            self.series += series
            return request.reply(204, X_Prometheus_Remote_Write_Samples_Written=sum(len(s["samples"]) for s in series),
                                 X_Prometheus_Remote_Write_Histograms_Written=sum(len(s["histograms"]) for s in series),
                                 X_Prometheus_Remote_Write_Exemplars_Written=0)
    sink, targets = Sink(), [Restarting(OPENMETRICS), Restarting(PROTOBUF)]
    config = jobs([t.exporter for t in targets], "convert_classic_histograms_to_nhcb: true")
    Sluice(config + f"remote_write: [{{url: 'http://{sink.address}/', {WRITE_2}}}]\n", "--dialect=prometheus", "--enable-feature=st-storage")
    wait_until(lambda: all(t.exporter.n > 7 for t in targets), what="eight pages")
    wait_until(lambda: len({dict(s["labels"])["job"] for s in sink.series if dict(s["labels"])["__name__"] == "h"}) == 2)
    for i, target in enumerate(targets):
        starts = {}
        for s in sink.series:
            labels = dict(s["labels"])
            if labels["job"] == f"formats{i}":
                of_name = starts.setdefault(labels["__name__"], set())
                of_name |= {sample[2] if len(sample) > 2 else 0 for sample in s["samples"]}
                of_name |= {dict(wire.fields(h)).get(17, 0) for h in s["histograms"]}
        for name in "c_total", "s", "s_sum", "h":
            assert starts[name] and starts[name] <= set(target.starts), (name, starts[name], target.starts)
        assert starts["g"] == starts["up"] == {0}


@waits
def test_a_limit_of_the_body_is_not_one_of_its_text():
    """body_size_limit is for the protobuf response, which is shorter than the text that is made of it; as in Prometheus."""
    exporter = ScriptedExporter()
    exporter.body, exporter.content_type = recorded(), PROTOBUF
    config = jobs([exporter], "scrape_protocols: [PrometheusProto]", f"body_size_limit: {len(exporter.body) + 1}B")
    for server in Sluice(config + "recent: {budget: 16MiB}\n", "--dialect=prometheus"), Prometheus(config):
        wait_until(lambda: of_page(server, '{__name__="up",job="formats0"}'))
        found = of_page(server, '{__name__="up",job="formats0"}')
        assert [float(v) for v in found.values()] == [1], found


@waits
def test_types_and_units_as_labels():
    """--enable-feature=type-and-unit-labels: the labels that Prometheus gives."""
    text = ('# TYPE c_seconds_total counter\n# UNIT c_seconds_total total\nc_seconds_total{a="b"} 1\nc_seconds_total{__type__="x",c="d"} 2\n'
            '# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le="+Inf"} 2\nh_sum 3\nh_count 2\n# TYPE u untyped\nu{__type__="own"} 1\n')
    openmetrics = ('# TYPE g gauge\ng 1\n# TYPE c_seconds counter\n# UNIT c_seconds seconds\nc_seconds_total{a="b"} 1\n'
                   'c_seconds_total{__unit__="x",__type__="y"} 2\n# TYPE s_seconds summary\n# UNIT s_seconds seconds\n'
                   's_seconds{quantile="0.5"} 1\n# EOF\n')
    body, running = recorded(), []
    for server in "sluice", "prometheus":
        exporters = [ScriptedExporter(page=lambda n, ms: text), ScriptedExporter(page=lambda n, ms: openmetrics), ScriptedExporter()]
        exporters[1].content_type = OPENMETRICS
        exporters[2].body, exporters[2].content_type = body, PROTOBUF
        flags = "--enable-feature=type-and-unit-labels,native-histograms"
        config = jobs(exporters, "scrape_protocols: [PrometheusProto, OpenMetricsText1.0.0, PrometheusText0.0.4]",
                      "scrape_native_histograms: true" if server == "sluice" else "")
        running.append(Sluice(config + "recent: {budget: 16MiB}\n", "--dialect=prometheus", flags) if server == "sluice"
                       else Prometheus(config, flags))
    wait_until(lambda: all(len({dict(labels)["job"] for labels in of_page(s, OF_JOBS)}) == 3 for s in running), what="all pages")
    found, expected = (of_page(s, OF_JOBS) for s in running)
    assert found.keys() == expected.keys(), sorted(found.keys() ^ expected.keys())[:8]
    assert {dict(labels).get("__type__") for labels in found} >= {"counter", "gauge", "histogram", "summary", "own"}
