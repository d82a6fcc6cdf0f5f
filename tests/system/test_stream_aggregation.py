# SPDX-License-Identifier: Apache-2.0
"""Stream aggregation and deduplication beside a real vmagent with the same flags and files."""
from aggregation import OUTPUTS, both, differences
from lib import *

SOME = "avg, count_series, sum_samples, total, last"


def rules(*texts, first="1m"):
    """first: how long after the start first samples of counters do not count; the programs do not start at once."""
    return write_file("aggr.yml", "".join(f"- {{interval: 3s, staleness_interval: 6s, ignore_first_sample_interval: {first}, {text}}}\n"
                                          for text in texts))


def same(flags, seed, least, **options):
    ours, theirs = both(flags, seed, **options)
    wrong = differences(ours, theirs)
    assert not wrong, f"{flags}: {len(wrong)} of {len(theirs)} series differ:\n" + "\n".join(wrong[:5])
    assert len(theirs) >= least, f"{flags}: {len(theirs)} series"


@waits
def test_all_outputs():
    outputs = ", ".join(f"'{o}'" for o in OUTPUTS)
    for seed, first in ((1, "1m"), (2, "0s")):
        path = rules(f"match: [c, g], by: [job], outputs: [{outputs}]", f"match: c, without: [instance, replica], outputs: [{outputs}]",
                     "match: g, outputs: [last, count_samples]", first=first)
        same([f"-streamAggr.config={path}"], seed, 100)


@waits
def test_what_happens_to_the_input():
    """keepInput: what matches is sent, too; dropInput: what does not match is not; labels are dropped for aggregation only."""
    path = rules(f"match: 'c', by: [job], outputs: [{SOME}]")
    for seed, flags in enumerate((["-streamAggr.keepInput"], ["-streamAggr.dropInput"], ["-streamAggr.keepInput", "-streamAggr.dropInput"])):
        same([f"-streamAggr.config={path}", *flags, "-streamAggr.dropInputLabels=replica,instance"], 10 + seed, 15, intervals=1)


@waits
def test_options_of_rules():
    path = rules(f"match: 'c', by: [job], outputs: [{SOME}], dedup_interval: 1s", f"match: 'g', without: [replica], outputs: [{SOME}], name: g",
                 "match: '{job=~\"j[01]\"}', keep_metric_names: true, outputs: [max], input_relabel_configs: [{target_label: place, replacement: here}], "
                 "output_relabel_configs: [{action: labeldrop, regex: instance}]",
                 "match: other, no_align_flush_to_interval: false, ignore_first_intervals: 1, outputs: [count_samples]")
    same([f"-streamAggr.config={path}", "-streamAggr.ignoreOldSamples", "-streamAggr.ignoreFirstIntervals=0"], 20, 40)


@waits
def test_windows():
    """Without counters: of a push with samples of two windows vmagent takes those of one window first, whichever is older."""
    path = rules("match: 'c', by: [job], outputs: [avg, count_samples, count_series, max, sum_samples, unique_samples]",
                 "match: 'g', outputs: [last, min, stddev]")
    same([f"-streamAggr.config={path}", "-streamAggr.enableWindows", "-streamAggr.ignoreFirstIntervals=1"], 30, 40, settle_ms=4500)


@waits
def test_a_destination():
    path = rules(f"match: 'c', by: [job], outputs: [{SOME}]")
    same([f"-remoteWrite.streamAggr.config={path}", "-remoteWrite.streamAggr.keepInput", "-remoteWrite.label=place=here",
          "-remoteWrite.streamAggr.dropInputLabels=replica^^instance"], 40, 50, intervals=2)
    same([f"-remoteWrite.streamAggr.config={path}", "-remoteWrite.streamAggr.dropInput", "-remoteWrite.streamAggr.ignoreOldSamples",
          "-remoteWrite.streamAggr.ignoreFirstIntervals=1"], 41, 15)
    path = rules("match: 'c', by: [job], outputs: [avg, count_samples, last]")
    same([f"-remoteWrite.streamAggr.config={path}", "-remoteWrite.streamAggr.enableWindows"], 42, 12, settle_ms=4500)


@waits
def test_deduplication():
    """Without rules, the newest sample of each series is sent at the end of the interval."""
    same(["-streamAggr.dedupInterval=4s", "-streamAggr.dropInputLabels=replica"], 50, 30, interval_ms=1000, intervals=1, settle_ms=5000)
    same(["-remoteWrite.streamAggr.dedupInterval=4s"], 51, 30, interval_ms=1000, intervals=1, settle_ms=5000)
    path = rules(f"match: 'c', by: [job], outputs: [{SOME}], dedup_interval: 1s")
    same([f"-streamAggr.config={path}", "-streamAggr.dedupInterval=5s", "-streamAggr.dropInputLabels=replica"], 52, 20,
         interval_ms=1000, intervals=1, settle_ms=6500)
