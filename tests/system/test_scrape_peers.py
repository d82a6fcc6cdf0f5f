# SPDX-License-Identifier: Apache-2.0
"""Scrapes beside vmagent and Prometheus' agent: the same configuration, the same exporters, a recording sink for each."""
import time

from fakes import RecordingSink, ScriptedExporter
from lib import *

LATE = 60_000  # ms: a time that is farther from now is the page's own


def agent(kind, config, sink, *flags):
    """A sluice in the dialect of vmagent, or a vmagent."""
    own = [f"-remoteWrite.url={sink.url}", "-remoteWrite.flushInterval=100ms", *flags]
    return VMAgent(config, *own) if kind == "vmagent" else Sluice(config, *own, "--dialect=vmagent")


def first_samples(sink):
    """{labels without instance: (time or "scrape", value)} of the first sample of each series."""
    now, found = now_ms(), {}
    for labels, samples in sink.samples().items():
        t, v = min(samples, key=lambda s: s[0])  # the senders of vmagent overtake each other
        name = tuple(pair for pair in labels if pair[0] != "instance")
        found[name] = ("scrape" if abs(now - t) < LATE else t, repr(v + 0))  # -0 is 0
    return found


def both(config, targets, *flags, scrapes=2):
    """The first samples at sluice and at vmagent after this number of scrapes of this number of targets."""
    sinks = {kind: RecordingSink(zstd=True, in_order=kind == "sluice") for kind in ("sluice", "vmagent")}
    running = [agent(kind, config, sink, *flags) for kind, sink in sinks.items()]
    for sink in sinks.values():
        wait_until(lambda: sum(len(s) >= scrapes for s in sink.find("scrape_timeout_seconds").values()) == targets, what="scrapes")
    for r in running:
        r.stop()
    return [first_samples(sink) for sink in sinks.values()]


def must_be_equal(ours, theirs, but=()):
    """but: names of series that differ."""
    ours, theirs = ({k: v for k, v in found.items() if dict(k)["__name__"] not in but} for found in (ours, theirs))
    different = [(k, ours.get(k), theirs.get(k)) for k in sorted(ours.keys() | theirs.keys()) if ours.get(k) != theirs.get(k)]
    assert not different, "series, sluice, vmagent:\n" + "\n".join(map(str, different))


def cases_of(path):
    """(name, page) of each case of a file of tests/exposition."""
    with open(f"{ROOT}/tests/exposition/{path}", encoding="utf-8") as f:
        for case in f.read().split("\n== ")[1:]:
            name, text = case.split("\n", 1)
            yield name, text.split("\n--\n")[0]


@waits
def test_lines_as_vmagent_reads_them():
    """Every case whose name tells no difference, with its own timestamps."""
    cases = [(name, text) for name, text in cases_of("vmagent.test") if "(vmagent" not in name]
    assert len(cases) > 14, cases
    exporters = [ScriptedExporter(page=lambda n, ms, text=text: text + "\n") for _, text in cases]
    config = "global: {scrape_interval: 1s}\nscrape_configs:\n" + "".join(
        f"- {{job_name: '{name}', honor_timestamps: true, static_configs: [{{targets: ['{e.address}']}}]}}\n"
        for (name, _), e in zip(cases, exporters))
    ours, theirs = both(config, len(cases))
    must_be_equal(ours, theirs, ["scrape_duration_seconds"])


@waits
def test_external_labels_as_vmagent_adds_them():
    """Labels that have the name of one are renamed unless honor_labels is set; limits count them; what is pushed gets none."""
    page = ("plain 1\nown{ext=\"a\"} 2\nlong{ext=\"a\",exported_ext=\"b\"} 3\nscraped{job=\"j\"} 4\n"
            "twice{n=\"j\",exported_n=\"k\"} 5\nup 6\nscrape_samples_limit 7\n")
    exporter = ScriptedExporter(page=lambda n, ms: page)
    config = """
global: {scrape_interval: 1s, external_labels: {ext: e, job: outer, zone: z}}
scrape_configs:
""" + "".join(f"- {{job_name: {name}, honor_labels: {honor}, sample_limit: 100, {more} static_configs: [{{targets: ['{exporter.address}'], "
              f"labels: {{zone: own, n: {name}}}}}]}}\n"
              for name, honor, more in (("renames", "false", ""), ("honors", "true", ""), ("fits", "false", "label_limit: 11,"),
                                        ("exceeds", "false", "label_limit: 8,")))
    ours, theirs = both(config, 4)
    changing = ("scrape_duration_seconds", "scrape_response_size_bytes", "scrape_samples_post_metric_relabeling",
                "scrape_samples_scraped")  # of the scrape that exceeds the limit: sluice stops at the line, vmagent has read all
    must_be_equal(ours, theirs, changing)
    sink = RecordingSink()
    pushed = agent("sluice", "global: {external_labels: {ext: e}}\n", sink)
    assert push(f"{pushed.url}/api/v1/write", [({"__name__": "m"}, [(now_ms(), 1.0)])]).status == 204
    wait_until(lambda: sink.find("m"))
    assert [dict(labels) for labels in sink.find("m")] == [{"__name__": "m"}]


@waits
def test_series_limit_as_vmagent_counts():
    """The first series of 24 hours are kept, by the limit of the flag, the job or a label; those that follow are dropped, and
    have no stale markers."""
    pages = [range(3), range(3), range(1, 6), range(2), range(9)]
    jobs = {"flag": ("", ""), "job": ("series_limit: 4,", ""), "label": ("series_limit: 1,", "__series_limit__: '6'"), "none": ("series_limit: 0,", "")}
    agents, found = {}, []
    for kind in "sluice", "vmagent":
        exporters = [ScriptedExporter(page=lambda n, ms: "".join(f"m{{i=\"{i}\"}} {n}\n" for i in pages[min(n, 4)])) for _ in jobs]
        config = "global: {scrape_interval: 400ms}\nscrape_configs:\n" + "".join(
            f"- {{job_name: {name}, {more} static_configs: [{{targets: ['{e.address}'], labels: {{{label}}}}}]}}\n"
            for (name, (more, label)), e in zip(jobs.items(), exporters))
        sink = RecordingSink(zstd=True, in_order=kind == "sluice")
        agents[kind] = agent(kind, config, sink, "-promscrape.seriesLimitPerTarget=2"), sink
    for running, sink in agents.values():
        wait_until(lambda: len(sink.find("up")) == 4 and all(len(s) >= 7 for s in sink.find("up").values()), what="seven scrapes")
        if isinstance(running, Sluice):
            assert "series=2, series_limit=2" in running.get("/targets").text
            assert running.metric("sluice_scrape_samples_over_series_limit_total") > 0
        running.stop()
        series = {}
        for labels, samples in sink.samples().items():
            labels = dict(labels)
            if labels["__name__"] in ("m", "scrape_series_current", "scrape_series_limit", "scrape_series_limit_samples_dropped"):
                key = labels["__name__"], labels["job"], labels.get("i")
                last = sorted(t for t, _ in next(iter(sink.find("up", job=labels["job"]).values())))[5]  # the sixth scrape
                series[key] = ["stale" if is_stale(v) else v for t, v in sorted(samples, key=lambda s: s[0]) if t <= last]
        found.append(series)
    assert len({job for _, job, _ in found[0]}) == 4
    different = [(k, found[0].get(k), found[1].get(k)) for k in sorted(found[0].keys() | found[1].keys(), key=str)
                 if found[0].get(k) != found[1].get(k)]
    assert not different, "series, sluice, vmagent:\n" + "\n".join(map(str, different))
