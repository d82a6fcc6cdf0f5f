# SPDX-License-Identifier: Apache-2.0
"""Pages of published exporters (tests/exporters: their families as they write them, with invented values) and of those that run
here, beside Prometheus with the same configuration: the same series with the same values at a recording sink; and the limits
of labels, which fail a scrape of both."""
import glob
import os

from fakes import RecordingSink, ScriptedExporter
from lib import *
from test_formats import OPENMETRICS


def exporter_of(path, ms):
    """Times in the page are this one: Prometheus sends nothing from before its start."""
    with open(path, encoding="utf-8") as f:
        text = f.read().replace("%(ms)s", str(ms))
    exporter = ScriptedExporter(page=lambda n, _: text)
    if path.endswith(".om"):
        exporter.content_type = OPENMETRICS
    return exporter


def at_sinks(config, targets, *flags):
    """For sluice and Prometheus {labels: values} of what they have sent."""
    found, sinks = [], (RecordingSink(), RecordingSink())
    write = [f"remote_write: [{{url: '{sink.url}', send_exemplars: false}}]\n" for sink in sinks]
    Sluice(config + write[0], "--dialect=prometheus", *flags)
    Prometheus(config + write[1], *flags)
    for sink in sinks:
        wait_until(lambda: sum(len(s) > 1 for s in sink.find("scrape_duration_seconds").values()) == targets, 40, what="scrapes")
        found.append({labels: {repr(v + 0) for _, v in samples} for labels, samples in sink.samples().items()})
    return found


def must_be_equal(found):
    own = "scrape_response_size_bytes", "scrape_timeout_seconds"  # which sluice always writes
    ours, theirs = ({labels: values for labels, values in one.items() if dict(labels)["__name__"] not in own} for one in found)
    assert ours.keys() == theirs.keys(), sorted(ours.keys() ^ theirs.keys())[:8]
    changing = ("scrape_duration_seconds", "scrape_series_added")
    different = [(k, ours[k], theirs[k]) for k in sorted(ours) if ours[k] != theirs[k] and dict(k)["__name__"] not in changing]
    assert not different, different[:5]


@waits
def test_pages_of_exporters():
    ms, paths = now_ms() + 10_000, sorted(glob.glob(f"{ROOT}/tests/exporters/*"))
    assert len(paths) > 10, paths
    exporters = [(os.path.basename(path).split(".")[0], exporter_of(path, ms)) for path in paths]
    peers = [("victoria_metrics", VictoriaMetrics()), ("own_prometheus", Prometheus(name="other"))]
    for name, peer in peers:  # their pages do not change
        body = request(peer.url + "/metrics").body
        exporter = ScriptedExporter()
        exporter.body = body
        exporters.append((name, exporter))
        peer.stop()
    config = "global: {scrape_interval: 1s}\nscrape_configs:\n" + "".join(
        f"- {{job_name: {name}, static_configs: [{{targets: ['{e.address}']}}]}}\n" for name, e in exporters)
    found = at_sinks(config, len(exporters))
    must_be_equal(found)
    assert all(values == {"1.0"} for labels, values in found[0].items() if dict(labels)["__name__"] == "up"), "a page is refused"
    assert len({dict(labels)["job"] for labels in found[0]}) == len(exporters)


@waits
def test_limits_of_labels_count_as_in_prometheus():
    """Which labels count for a limit, and how: a limit that is just met, and one less."""
    page = 'metric_name_16ch{label="äöü",x="",label_of_20_letters="1"} 1\n'
    exporter = ScriptedExporter(page=lambda n, ms: page)
    # __name__, instance, job, label, label_of_20_letters; the names have at most 19 bytes, the values 16 or those of instance
    longest = max(len(exporter.address), len("metric_name_16ch"))
    limits = [("label_limit", 5), ("label_name_length_limit", len("label_of_20_letters")), ("label_value_length_limit", longest)]
    config = "global: {scrape_interval: 1s, external_labels: {external_label_of_many_letters: and_with_a_value_of_many_letters}}\nscrape_configs:\n"
    for name, limit in limits:
        for value in limit, limit - 1:
            config += f"- {{job_name: {name[6]}{value}, {name}: {value}, static_configs: [{{targets: ['{exporter.address}']}}]}}\n"
    config = config.replace("job_name: l", "job_name: c").replace("job_name: n", "job_name: m")
    found = at_sinks(config, 2 * len(limits))
    must_be_equal(found)
    up = {dict(labels)["job"]: values for labels, values in found[0].items() if dict(labels)["__name__"] == "up"}
    assert sorted(values.pop() for values in up.values()) == ["0.0"] * 3 + ["1.0"] * 3, up
