# SPDX-License-Identifier: Apache-2.0
"""Stream aggregation and deduplication beside a real vmagent with the same flags and files."""
import concurrent.futures
import itertools
import time

from aggregation import OUTPUTS, both, differences
from lib import *

SOME = "avg, count_series, sum_samples, total, last"


numbers = itertools.count()


def rules(*texts, first="1m"):
    """first: how long after the start first samples of counters do not count; the programs do not start at once."""
    common = f"interval: 3s, staleness_interval: 6s, ignore_first_sample_interval: {first}"
    return write_file(f"aggr{next(numbers)}.yml", "".join(f"- {{{common}, {text}}}\n" for text in texts))


def all_same(cases):
    """Cases of same(), {seed: (flags, least, options)}, at the same time."""
    with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
        for done in [pool.submit(same, flags, seed, least, **options) for seed, (flags, least, options) in cases.items()]:
            done.result()


def same(flags, seed, least, **options):
    ours, theirs = both(flags, seed, **options)
    wrong = differences(ours, theirs)
    assert not wrong, f"{flags}: {len(wrong)} of {len(theirs)} series differ:\n" + "\n".join(wrong[:5])
    assert len(theirs) >= least, f"{flags}: {len(theirs)} series"


@waits
def test_all_outputs():
    outputs, cases = ", ".join(f"'{o}'" for o in OUTPUTS), {}
    for seed, first in ((1, "1m"), (2, "0s")):
        path = rules(f"match: [c, g], by: [job], outputs: [{outputs}]",
                     f"match: c, without: [instance, replica], outputs: [{outputs}]",
                     "match: g, outputs: [last, count_samples]", first=first)
        cases[seed] = [f"-streamAggr.config={path}"], 100, {}
    all_same(cases)


@waits
def test_what_happens_to_the_input():
    """keepInput: what matches is sent, too; dropInput: what does not match is not; labels are dropped for aggregation only."""
    path = rules(f"match: 'c', by: [job], outputs: [{SOME}]")
    common = [f"-streamAggr.config={path}", "-streamAggr.dropInputLabels=replica,instance"]
    all_same({10: ([*common, "-streamAggr.keepInput"], 15, {"intervals": 1}),
              11: ([*common, "-streamAggr.dropInput"], 15, {"intervals": 1}),
              12: ([*common, "-streamAggr.keepInput", "-streamAggr.dropInput"], 15, {"intervals": 1})})


@waits
def test_options_of_rules():
    path = rules(f"match: 'c', by: [job], outputs: [{SOME}], dedup_interval: 1s", f"match: 'g', without: [replica], outputs: [{SOME}], name: g",
                 "match: '{job=~\"j[01]\"}', keep_metric_names: true, outputs: [max], input_relabel_configs: [{target_label: place, replacement: here}], "
                 "output_relabel_configs: [{action: labeldrop, regex: instance}]",
                 "match: other, no_align_flush_to_interval: false, ignore_first_intervals: 1, outputs: [count_samples]")
    same([f"-streamAggr.config={path}", "-streamAggr.ignoreOldSamples", "-streamAggr.ignoreFirstIntervals=0"], 20, 40,
         pushes=5, dedup_ms=1000)


@waits
def test_windows():
    """Without counters: of a push with samples of two windows vmagent takes those of one window first, whichever is older."""
    path = rules("match: 'c', by: [job], outputs: [avg, count_samples, count_series, max, sum_samples, unique_samples]",
                 "match: 'g', outputs: [last, min, stddev]")
    same([f"-streamAggr.config={path}", "-streamAggr.enableWindows", "-streamAggr.ignoreFirstIntervals=1"], 30, 40, settle_ms=4500)


@waits
def test_a_destination():
    some = rules(f"match: 'c', by: [job], outputs: [{SOME}]")
    few = rules("match: 'c', by: [job], outputs: [avg, count_samples, last]")
    all_same({40: ([f"-remoteWrite.streamAggr.config={some}", "-remoteWrite.streamAggr.keepInput", "-remoteWrite.label=place=here",
                    "-remoteWrite.streamAggr.dropInputLabels=replica^^instance"], 50, {"intervals": 2}),
              41: ([f"-remoteWrite.streamAggr.config={some}", "-remoteWrite.streamAggr.dropInput",
                    "-remoteWrite.streamAggr.ignoreOldSamples", "-remoteWrite.streamAggr.ignoreFirstIntervals=1"], 15, {}),
              42: ([f"-remoteWrite.streamAggr.config={few}", "-remoteWrite.streamAggr.enableWindows"], 12, {"settle_ms": 4500})})


@waits
def test_deduplication():
    """Without rules, the newest sample of each series is sent at the end of the interval."""
    same(["-streamAggr.dedupInterval=4s", "-streamAggr.dropInputLabels=replica,instance"], 50, 12, interval_ms=1000, intervals=1, settle_ms=5000)
    same(["-remoteWrite.streamAggr.dedupInterval=4s"], 51, 30, interval_ms=1000, intervals=1, settle_ms=5000)
    path = rules(f"match: 'c', by: [job], outputs: [{SOME}], dedup_interval: 1s")
    same([f"-streamAggr.config={path}", "-streamAggr.dedupInterval=5s", "-streamAggr.dropInputLabels=replica"], 52, 20,
         interval_ms=1000, intervals=1, settle_ms=6500)


def counted(sink, output):
    """{time: values} of results with this output."""
    out = {}
    for labels, samples in sink.samples().items():
        if dict(labels)["__name__"].endswith(output):
            for t, v in samples:
                out.setdefault(t, []).append(v)
    return out


@waits
def test_totals_survive_kills_and_restarts():
    """Pushes of 1 that are summed: after a kill a sum continues from the last checkpoint, and no result is missing; after a
    stop nothing is lost."""
    sink, kills, pushes, may_lose = RecordingSink(), 3, [], 0
    config = f"""
remote_write: [{{name: sink, url: '{sink.url}'}}]
pipeline:
  stream_aggregation:
    rules: [{{interval: 2s, by: [job], staleness_interval: 1h, outputs: [sum_samples_total]}}]
"""
    sluice = Sluice(config, "-remoteWrite.flushInterval=200ms")
    for round in range(2 * kills):
        until = time.monotonic() + 2.3 + 0.37 * round
        while time.monotonic() < until:
            assert push(f"{sluice.url}/api/v1/write", [({"__name__": "m", "job": f"j{i}"}, [(now_ms(), 1.0)]) for i in range(5)]).status == 204
            pushes.append(time.monotonic())
            time.sleep(0.03)
        if round % 2:
            sluice.stop()
        else:
            sluice.kill9()
            may_lose += sum(t > time.monotonic() - 1.5 for t in pushes)
        sluice.start()
        sluice.wait_ready()
    end = now_ms() // 2000 * 2000 + 2000
    wait_until(lambda: len(counted(sink, "total").get(end, [])) == 5, 20, "the last results")
    assert len(sink.samples()) == 5
    for labels, samples in sink.samples().items():
        values, times = [v for _, v in sorted(samples)], {t for t, _ in samples}
        assert values == sorted(values), f"a total went back: {labels} {samples}"
        assert len(pushes) - may_lose <= values[-1] <= len(pushes), (labels, values[-1], len(pushes), may_lose)
        assert sorted(times) == list(range(min(times), end + 1, 2000)), f"results are missing: {sorted(times)}"
    assert may_lose < len(pushes) * 0.6


@waits
def test_a_reload_within_an_interval_changes_nothing():
    """Of unrelated keys, and of another rule; the sum of an interval has all samples, and the total continues."""
    sink = RecordingSink()
    config = """
remote_write: [{name: sink, url: '%s'}]
global: {evaluation_interval: %ds}
pipeline: {stream_aggregation: {rules: [{interval: 3s, by: [job], outputs: [count_samples, total], staleness_interval: 1h, ignore_first_sample_interval: 0s}%s]}}
"""
    sluice = Sluice(config % (sink.url, 5, ""), "-remoteWrite.flushInterval=100ms")
    begin, pushed = (now_ms() // 3000 + 1) * 3000, 0
    time.sleep(max(0, begin + 300 - now_ms()) / 1000)
    while now_ms() < begin + 8000:
        pushed += 1
        assert push(f"{sluice.url}/api/v1/write", [({"__name__": "m", "job": "j", "i": str(i)}, [(now_ms(), float(pushed))])
                                                   for i in range(20)]).status == 204
        other = f", {{interval: {pushed}m, match: none, outputs: [last]}}" if pushed % 2 else ""
        assert sluice.reconfigure(config % (sink.url, 5 + pushed % 3, other)).status == 200
        time.sleep(0.1)
    wait_until(lambda: begin + 12000 in counted(sink, "count_samples") or now_ms() > begin + 13000, 20)
    counts, totals = counted(sink, "count_samples"), counted(sink, "total")
    assert all(len(v) == 1 for v in counts.values()), counts
    assert sum(v[0] for v in counts.values()) == 20 * pushed, (counts, pushed)
    assert [v[0] for _, v in sorted(totals.items())][-1] == 20 * pushed, (totals, pushed)


def test_errors_of_files_are_reported():
    """All, with file and line, and a reload keeps the rules from before."""
    path = write_file("aggr.yml", "- {interval: 5s, outputs: [last]}\n")
    sluice = Sluice("recent: {budget: 8MiB}\n", f"-streamAggr.config={path}", "--web.enable-lifecycle")
    write_file("aggr.yml", "- interval: 5s\n  outputs: [avgg]\n- interval: 1x\n  outputs: [avg]\n- {interval: 5s, dedup_interval: 2s, outputs: [avg]}\n")
    answer = sluice.post("/-/reload")
    assert answer.status == 500, answer
    assert 'aggr.yml:2: ' in answer.text or 'aggr.yml:1: ' in answer.text, answer.text
    assert 'unsupported output="avgg"' in answer.text, answer.text
    write_file("aggr.yml", "- {interval: 5s, dedup_interval: 2s, outputs: [avg]}\n")
    assert "must be a multiple of dedup_interval" in sluice.post("/-/reload").text
    write_file("aggr.yml", "- {interval: 5s, outputs: [avg]}\n")
    assert sluice.post("/-/reload").status == 200
