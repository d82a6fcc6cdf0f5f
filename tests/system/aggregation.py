# SPDX-License-Identifier: Apache-2.0
"""The same random streams through sluice and a real vmagent that aggregate them by the same rules."""
import math
import random
import time

from lib import *

OUTPUTS = ["avg", "count_samples", "count_series", "histogram_bucket", "increase", "increase_prometheus", "last", "max", "min",
           "quantiles(0, 0.5, 0.99, 1)", "rate_avg", "rate_sum", "stddev", "stdvar", "sum_samples", "total", "total_prometheus",
           "unique_samples"]  # and sum_samples_total, which vmagent has from 1.146 on


class Stream:
    """Pushes of gauges and of counters that are reset, with samples out of order, equal times and NaN."""

    def __init__(self, seed, n_series=40):
        self.random = random.Random(seed)
        self.series = [{"__name__": ("c", "g", "other")[i % 3], "job": f"j{i % 4}", "instance": f"i{i}", "replica": f"r{i % 2}"}
                       for i in range(n_series)]
        self.counters = [self.random.randrange(1000) for _ in self.series]

    def value(self, i):
        if self.series[i]["__name__"] == "g":
            return self.random.choice([float("nan"), 0.0, self.random.uniform(-5, 5), self.random.uniform(0, 1e6), 3.0])
        self.counters[i] = 0 if self.random.random() < 0.05 else self.counters[i] + self.random.randrange(100)
        return float(self.counters[i])

    def batch(self, now, most_back=900):
        """Some of the series, some samples each: newer ones come later, mostly."""
        out = []
        for i, labels in enumerate(self.series):
            if self.random.random() < 0.2:
                continue
            times = sorted(now - self.random.randrange(most_back) for _ in range(self.random.randrange(1, 4)))
            if self.random.random() < 0.1:
                self.random.shuffle(times)
            out.append((labels, [(t, self.value(i)) for t in times]))
        return out


class Late(Exception):
    """A push came too close to the end of an interval, or of one of deduplication: it may count for another one in one of
    the programs."""


def push_in_step(programs, stream, interval_ms, intervals, pushes=3, dedup_ms=None):
    """The same pushes to all, at the same parts of each interval."""
    for _ in range(intervals):
        begin = (now_ms() // interval_ms + 1) * interval_ms
        for part in range(pushes):
            time.sleep(max(0, begin + interval_ms * (part + 0.5) / (pushes + 1) - now_ms()) / 1000)
            began = now_ms()
            batch = stream.batch(began)
            for program in programs:
                assert push(f"{program.url}/api/v1/write", batch).status in (200, 204)
            if (now_ms() - begin) / interval_ms > (part + 1.3) / (pushes + 1):
                raise Late
            if dedup_ms and now_ms() // dedup_ms != began // dedup_ms:
                raise Late
    time.sleep(max(0, begin + interval_ms - now_ms()) / 1000)


def same_value(a, b):
    return a == b or (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)


def differences(ours, theirs):
    """What two sinks have received, as lines; samples of a series in order of time."""
    lines = []
    for labels in sorted(set(ours) | set(theirs)):
        a, b = (sorted(x.get(labels, []), key=lambda s: (s[0], not math.isnan(s[1]), s[1])) for x in (ours, theirs))
        if len(a) != len(b) or not all(s[0] == t[0] and same_value(s[1], t[1]) for s, t in zip(a, b)):
            lines.append(f"{dict(labels)}\n    sluice  {a}\n    vmagent {b}")
    return lines


def both(flags, seed, interval_ms=3000, intervals=3, settle_ms=1500, tries=4, config=None, **pace):
    """{labels: samples} that sluice and vmagent have sent. pace: as of push_in_step."""
    for attempt in range(tries):
        sinks = [RecordingSink(in_order=False), RecordingSink(in_order=False)]
        common = [*flags, "-remoteWrite.flushInterval=100ms"]
        theirs = VMAgent("scrape_configs: []\n", f"-remoteWrite.url={sinks[1].url}", *common, "-remoteWrite.forcePromProto",
                         name=f"vmagent{seed}-{attempt}")
        ours = Sluice(config, f"-remoteWrite.url={sinks[0].url}", *common, name=f"sluice{seed}-{attempt}")
        try:
            push_in_step([ours, theirs], Stream(seed), interval_ms, intervals, **pace)
        except Late:
            if attempt == tries - 1:
                raise Skip("the machine is too busy for pushes in step")
            ours.stop()
            theirs.stop()
            continue
        time.sleep(settle_ms / 1000)
        ours.stop()
        theirs.stop()
        return [sink.samples() for sink in sinks]
