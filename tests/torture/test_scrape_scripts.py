# SPDX-License-Identifier: Apache-2.0
"""Scripted exporters beside Prometheus and vmagent: what misbehaving pages become at a recording sink.

The exporters change, vanish, hang, send garbage, reorder labels, repeat series, use timestamps and exceed limits. Series, values,
stale markers and, for Prometheus, their order must be equal, but for the differences that the tables at the end name. A machine
that was too busy for regular scrapes lets a comparison begin again.
"""
from fakes import RecordingSink, ScriptedExporter
from lib import *

TRIES = 3
INTERVAL_MS = 1000


class Irregular(Exception):
    """The machine was too slow for the comparison."""


class Turns(ScriptedExporter):
    """Its n-th answer is turn(n, start): a text, or a dict of attributes such as status, delay, cut, gzip and body. start: Unix
    ms, the same for the whole life, from which timestamps are made."""

    def __init__(self, turn):
        self.turn, self.start_ms, self.turns = turn, now_ms() // 1000 * 1000, 0
        super().__init__(page=lambda n, ms: self.text)

    def answer(self, request, body):
        turn = self.turn(self.turns, self.start_ms)
        self.turns += 1
        if isinstance(turn, str):
            turn = {"text": turn}
        for name, usual in dict(text="", status=200, delay=0, cut=False, gzip=False, body=None,
                                 content_type="text/plain; version=0.0.4").items():
            setattr(self, name, turn.get(name, usual))
        return super().answer(request, body)


def series(name, numbers, n, time=""):
    return "".join(f'{name}{{i="{i}"}} {n}{time and " "}{time}\n' for i in numbers)


OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
OWN = 20_000  # ms after `start`: times of the exporters' own, which no scrape has
# What an exporter does at its scrape n, beside keys of its job.
SCRIPTS = {
    "steady": (lambda n, t: series("m", range(3), n), ""),
    "changes": (lambda n, t: series("m", [range(3), range(1, 4), range(1), range(5)][n % 4], n), ""),
    "fails": (lambda n, t: {"status": 503} if n in (1, 2, 4) else series("m", range(3), n), ""),
    "hangs": (lambda n, t: {"delay": 1.5} if n == 2 else series("m", range(3), n), ""),
    "cut": (lambda n, t: {"cut": True, "text": series("m", range(30), n)} if n in (1, 4) else series("m", range(3), n), ""),
    "garbage": (lambda n, t: series("m", range(2), n) + ("}{ x 1\n" if n in (1, 4) else "") + series("k", range(2), n), ""),
    "not_a_number": (lambda n, t: series("m", range(2), n) + f"x {'y' if n == 2 else n}\n", ""),
    "binary": (lambda n, t: {"body": b"\xff\xfe\x00" * 100 + b"\n"} if n == 2 else series("m", range(3), n), ""),
    "empty": (lambda n, t: "" if n in (2, 3) else series("m", range(3), n), ""),
    "openmetrics": (lambda n, t: {"content_type": OPENMETRICS, "text": "" if n in (2, 4) else series("m", range(3), n) + "# EOF\n"}, ""),
    "openmetrics_cut": (lambda n, t: {"content_type": OPENMETRICS, "text": series("m", range(3), n) + "# EOF\n" * (n != 2)}, ""),
    "reorders": (lambda n, t: f'm{{a="1",b="2"}} {n}\nm{{a="2",b="3"}} {n}\n' if n % 2 else f'm{{b="3",a="2"}} {n}\nm{{b="2",a="1"}} {n}\n', ""),
    "spells": (lambda n, t: f'm{{a="1"}} {n}\n' if n % 2 else f'm  {{ a = "1" , }}   {n}\n', ""),
    "gone": (lambda n, t: {"status": 404} if n >= 3 else series("m", range(3), n), ""),
    "timed": (lambda n, t: series("m", range(3 if n < 3 else 1), n, t + OWN + 100 * n), "honor_timestamps: true,"),
    "partly_timed": (lambda n, t: series("m", range(2), n, t + OWN + 100 * n) + series("k", range(2), n), "honor_timestamps: true,"),
    "timed_that_ends": (lambda n, t: series("m", range(2), n, now_ms()) if n < 3 else "x 1\n", "honor_timestamps: true, track_timestamps_staleness: true,"),
    "ignores_time": (lambda n, t: series("m", range(3 if n < 3 else 1), n, t + 100 * n), "honor_timestamps: false,"),
    "many": (lambda n, t: series("m", range(3 if n < 2 or n > 3 else 6), n), "sample_limit: 4,"),
    "labeled": (lambda n, t: ('m{a="1",b="2",c="3",d="4"} ' if n == 2 else 'm{a="1",b="2",c="3"} ') + f"{n}\n", "label_limit: 7,"),
    "long": (lambda n, t: series("m", range(3 if n != 2 else 30), n), "body_size_limit: 100B,"),
    "long_for_vmagent": (lambda n, t: series("m", range(3 if n != 2 else 30), n), "max_scrape_size: 100,"),
    "repeats": (lambda n, t: f'm{{i="1"}} {n}\nk 1\nm{{i="1"}} {n + 1}\n', ""),
    "streamed": (lambda n, t: series("m", [range(3), range(1, 40), range(1), range(5)][n % 4], n), "stream_parse: true,"),
    "zipped": (lambda n, t: {"gzip": True, "text": series("m", range(3 if n != 2 else 2), n)}, ""),
    "named_as_automatic": (lambda n, t: f"scrape_samples_scrapped {n}\n" + series("m", range(2), n), ""),
    "labels_of_the_target": (lambda n, t: f'm{{job="x",instance="y",env="z"}} {n}\n', ""),
    "honors_labels": (lambda n, t: f'm{{job="x",instance="y",env="z"}} {n}\nk{{env=""}} {n}\n', "honor_labels: true,"),
    "drops": (lambda n, t: series("m", range(4), n), "metric_relabel_configs: [{source_labels: [i], regex: '[13]', action: drop}],"),
    "merges": (lambda n, t: series("m", range(2), n), "metric_relabel_configs: [{regex: i, action: labeldrop}],"),
    "renames": (lambda n, t: series("m", range(2), n), "metric_relabel_configs: [{source_labels: [__name__, i], target_label: __name__, separator: _}],"),
}
TURNS = 6  # scrapes that are compared


def run_scripts(start, but=()):
    """{job: {labels: [(scrape or own time, value), ...]}} of the first TURNS scrapes, in order of arrival. start(config, sink)
    begins a program."""
    scripts = {name: script for name, script in SCRIPTS.items() if name not in but}
    exporters = {name: Turns(turn) for name, (turn, _) in scripts.items()}
    config = f"global: {{scrape_interval: {INTERVAL_MS}ms, scrape_timeout: {INTERVAL_MS - 100}ms}}\nscrape_configs:\n" + "".join(
        f"- {{job_name: {name}, {more} static_configs: [{{targets: ['{exporters[name].address}'], labels: {{env: e}}}}]}}\n"
        for name, (_, more) in scripts.items())
    return exporters, start(config)


def turns_of(sink, exporters):
    def ups():
        return {dict(labels)["job"]: sorted(t for t, _ in samples) for labels, samples in sink.find("up").items() if dict(labels)["job"] in exporters}
    wait_until(lambda: len(ups()) == len(exporters) and all(len(t) > TURNS + 1 for t in ups().values()), 60, "scrapes of all jobs")
    times, found = ups(), {}
    for job, at in times.items():
        if any(abs(b - a - INTERVAL_MS) > INTERVAL_MS // 10 for a, b in zip(at[:TURNS + 1], at[1:])):
            raise Irregular(f"{job}: {at}")
    for labels, samples in sink.samples().items():
        labels = dict(labels)
        job = next((name for name, e in exporters.items() if labels.get("instance") == e.address), labels.get("job"))
        job = {"x": "honors_labels"}.get(job, job)
        labels.pop("instance")
        out = []
        for t, v in samples:
            own = t - exporters[job].start_ms - OWN
            scrape = next((i for i, at in enumerate(times[job]) if abs(t - at) <= 40), None)  # vmagent's markers: when they are made
            if scrape is None and own < 100 * TURNS:
                out.append((f"+{own}", "stale" if is_stale(v) else v))
            elif scrape is not None and scrape < TURNS:
                out.append((scrape, "stale" if is_stale(v) else v))
        found.setdefault(job, {})[tuple(sorted(labels.items()))] = out
    return found


def show(different):
    return "job, series, sluice, peer:\n" + "\n".join(map(str, different))


def compare_turns(ours, theirs, but, in_order=True):
    """but: (job, name of a series) that differ; job *: every one."""
    different = []
    for job in ours.keys() | theirs.keys():
        a, b = ours.get(job, {}), theirs.get(job, {})
        for labels in a.keys() | b.keys():
            name = dict(labels)["__name__"]
            if ("*", name) in but or (job, name) in but:
                continue
            x, y = a.get(labels), b.get(labels)
            if not in_order:
                x, y = (s and sorted(s, key=str) for s in (x, y))
            if x != y and (x or y):
                different.append((job, labels, x, y))
    assert not different, show(sorted(different, key=str))


# What differs on purpose. In Prometheus samples before an invalid line or beyond sample_limit hide stale markers of the scrape, and
# samples that were rolled back get some; a series is new again when its text changes; equal duplicates are sent.
UNLIKE_PROMETHEUS = {("*", "scrape_duration_seconds"), ("*", "scrape_timeout_seconds"), ("*", "scrape_response_size_bytes"),
                     ("garbage", "m"), ("not_a_number", "m"), ("many", "m"), ("many", "scrape_series_added"), ("merges", "m"),
                     ("merges", "scrape_series_added"), ("reorders", "scrape_series_added"), ("spells", "scrape_series_added"),
                     ("empty", "scrape_series_added"), ("openmetrics", "scrape_series_added"), ("openmetrics_cut", "m")}
# In vmagent labels in another order are another series, that ends in every scrape; dropped and equal series count as added; a line
# that became invalid is no end; the response of a scrape over its limit has no size.
UNLIKE_VMAGENT = {("*", "scrape_duration_seconds"), ("drops", "scrape_series_added"), ("many", "scrape_response_size_bytes"),
                  ("labeled", "scrape_response_size_bytes"), ("repeats", "m"), ("repeats", "scrape_series_added"), ("merges", "m"),
                  ("merges", "scrape_series_added"), ("not_a_number", "x"), ("not_a_number", "scrape_series_added"), ("reorders", "m"),
                  ("reorders", "scrape_series_added")}


def compare(kind, own, peer, but, **options):
    """own and peer begin a program with (config, sink)."""
    for attempt in range(TRIES):
        sinks = [RecordingSink(zstd=kind == "vmagent", in_order=i == 0 or kind != "vmagent") for i in range(2)]
        running = [run_scripts(lambda config, start=start, sink=sink: start(config, sink), but=options.get("without", ()))
                   for start, sink in zip((own, peer), sinks)]
        try:
            found = [turns_of(sink, exporters) for sink, (exporters, _) in zip(sinks, running)]
            compare_turns(*found, but, options.get("in_order", True))
            return
        except Irregular:
            if attempt == TRIES - 1:
                raise
        finally:
            for _, program in running:
                program.stop()


WRITE = "remote_write: [{{url: '{}', queue_config: {{batch_send_deadline: 100ms}}}}]\n"


@seconds(240)
def test_scripted_exporters_beside_prometheus():
    compare("prometheus", without=["long_for_vmagent", "streamed"], own=lambda config, sink: Sluice(config + WRITE.format(sink.url), "--dialect=prometheus"),
            peer=lambda config, sink: Prometheus(config + WRITE.format(sink.url)), but=UNLIKE_PROMETHEUS)


@seconds(240)
def test_scripted_exporters_beside_vmagent():
    flags = "-remoteWrite.url={}", "-remoteWrite.flushInterval=100ms"
    compare("vmagent", lambda config, sink: Sluice(config, *(f.format(sink.url) for f in flags), "--dialect=vmagent"),
            lambda config, sink: VMAgent(config, *(f.format(sink.url) for f in flags)), UNLIKE_VMAGENT,
            in_order=False, without=["timed_that_ends", "long"])
