# SPDX-License-Identifier: Apache-2.0
"""Exposition formats: what is requested, and how responses are read, beside a Prometheus with the same configuration."""
import struct
import time

import fakes
import wire
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
