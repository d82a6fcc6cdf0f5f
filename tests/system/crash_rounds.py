# SPDX-License-Identifier: Apache-2.0
"""Rounds of kill -9 at random moments with random faults of the receiver, for test_crash.py and torture/test_crash_rounds.py.

Samples are scraped and pushed all the time. Missing may be scraped samples that were younger than the flush interval at
a kill, and no push that was acknowledged; a block may arrive twice only if it was in flight at a kill or at the begin of
a fault, or its response was just being recorded; a series arrives in order, with newest_first in two streams, each in order."""
import bisect
import random
import threading
import time

from lib import *

SHARDS, PHASES = 4, ("healthy", "outage", "catch-up", "reload")
OUTAGE_S = {"in_order": 1.5, "newest_first": 6}  # the latter is longer than what makes a backlog (DRAIN_AGE_MS)
UNRECORDED_S = 1  # the longest time from the acceptance of a block to its record on disk, on a busy machine
FAULTS = {
    "refuse": lambda sink: sink.stop(),
    "error": lambda sink: vars(sink).update(status=503),
    "throttle": lambda sink: vars(sink).update(status=429, retry_after=1),
    "hang": lambda sink: vars(sink).update(hang=3, drop=True),
    "reset": lambda sink: vars(sink).update(drop=True),
}


def longest_descent(values):
    """Into how many ascending sequences the values can be divided, at least."""
    tails = []
    for v in values:
        at = bisect.bisect_left(tails, -v)
        tails[at:at + 1] = [-v]
    return len(tails)


class Pusher(threading.Thread):
    """Pushes one sample of each of some series again and again; `acknowledged` has the values of those that succeeded."""

    def __init__(self):
        super().__init__(daemon=True)
        self.url, self.ended, self.acknowledged, self.next = None, False, [], 0

    def run(self):
        while not self.ended:
            time.sleep(0.02)
            number, now = self.next, now_ms()
            self.next += 1
            try:
                series = [({"__name__": "pushed", "series": str(i)}, [(now, float(number))]) for i in range(6)]
                if push(f"{self.url}/api/v1/write", series, timeout=5).status == 204:
                    self.acknowledged.append(float(number))
            except OSError:
                pass


class Rounds:
    def __init__(self, drain, seed):
        self.random, self.drain, self.seed = random.Random(seed), drain, seed
        self.exporter, self.sink = ScriptedExporter(series=20), RecordingSink(zstd=True)
        config = scripted_config(self.exporter, self.sink, 500, f"drain: {drain}", f"shards: {SHARDS}")
        self.sluice = Sluice(config, name=f"rounds-{drain}")
        self.kills, self.disturbed_at, self.done, self.pusher = [], [], [], Pusher()
        self.pusher.url = self.sluice.url
        self.pusher.start()

    def fail_sink(self, fault):
        errors = self.sluice.metric("vmagent_remotewrite_errors_total")
        FAULTS[fault](self.sink)
        self.disturbed_at.append(time.monotonic())
        wait_until(lambda: self.sluice.metric("vmagent_remotewrite_errors_total") > errors, 20, f"the fault {fault}")

    def mend_sink(self):
        vars(self.sink).update(status=204, retry_after=None, hang=0, drop=False)
        if self.sink.server is None:
            self.sink.start()

    def accepted(self):
        with self.sink.lock:
            return len(self.sink.accepted)

    def kill(self):
        assert self.sluice.kill9() == -9, "sluice was not killed"
        self.kills.append(now_ms())
        self.disturbed_at.append(time.monotonic())

    def round(self, phase, fault):
        before = self.accepted()
        wait_until(lambda: self.accepted() > before, 20, "samples arrive")
        if phase in ("outage", "catch-up"):
            self.fail_sink(fault)
            time.sleep(OUTAGE_S[self.drain] if phase == "catch-up" else self.random.uniform(0.2, 3))
        if phase == "catch-up":
            before = self.accepted()
            self.mend_sink()
            self.sink.hang = 0.05
            wait_until(lambda: self.accepted() > before, 20, "the catch-up begins")
        if phase == "reload":
            threading.Thread(target=self.reload, daemon=True).start()
        time.sleep(self.random.uniform(0, 1.2 if phase in ("healthy", "catch-up") else 0.3))
        self.kill()
        if self.random.random() < 0.5:
            self.mend_sink()
        self.sluice.start().wait_ready()
        self.mend_sink()
        self.done.append((phase, fault))

    def reload(self):
        try:
            self.sluice.post("/-/reload")
        except OSError:
            pass

    def run(self, n):
        for i in range(n):
            phase = PHASES[i % len(PHASES)] if n >= len(PHASES) else ("catch-up", "outage")[i % 2]
            self.round(phase, self.random.choice(list(FAULTS)))
        self.exporter.status = 503
        self.pusher.ended = True
        self.pusher.join()
        wait_until(lambda: self.sluice.metric("vmagent_remotewrite_pending_data_bytes") == 0, 60, "all is delivered")
        self.sluice.stop()

    def check(self):
        what = f"seed {self.seed}, {self.done}"
        pushed, scraped = self.sink.find("pushed"), self.sink.find("scripted_stamped_counter")
        acknowledged = set(self.pusher.acknowledged)
        assert len(pushed) == 6 and len(scraped) == 20 and len(acknowledged) > 10 * len(self.done), what
        for labels, samples in pushed.items():
            lost = acknowledged - {v for _, v in samples}
            assert not lost, f"{what}: acknowledged, and lost: {sorted(lost)[:10]} of {dict(labels)}"
        late = [ms for samples in self.sink.find("up").values() for ms, up in samples if up == 0]  # scrapes that failed
        served = {(ms, float(n)) for n, ms, _ in self.exporter.served
                  if not any(abs(ms - failed) < SLACK_MS for failed in late)}
        assert len(served) > len(self.exporter.served) / 2, f"{len(late)} scrapes failed: the machine is too busy"
        for labels, samples in scraped.items():
            lost = [page for page in served - set(samples) if flushed_before(self.kills, page[0])]
            assert not lost, f"{what}: scraped before the flush interval, and lost: {lost[:10]} of {dict(labels)}; " \
                f"kills at {self.kills}, failed scrapes at {late}"
        streams = 2 if self.drain == "newest_first" else 1
        for labels, samples in [*pushed.items(), *scraped.items()]:
            first = list(dict.fromkeys(v for _, v in samples))
            assert longest_descent(first) <= streams, f"{what}: out of order: {dict(labels)}: {first}"
        with self.sink.lock:
            bodies = [body for _, body in self.sink.accepted]
            times = [at for at, status, _, _ in self.sink.requests if status and status // 100 == 2]
        again = 0
        seen = {}  # body: when it was accepted
        for body, at in zip(bodies, times):
            if body in seen:
                again += 1
                apart = min(abs(at - seen[body]) for at in self.disturbed_at)
                assert apart < UNRECORDED_S, \
                    f"{what}: a block arrived twice that was accepted {apart} s from the next kill or begin of a fault"
            seen[body] = at
        samples = sum(len(s) - len(set(s)) for s in [*pushed.values(), *scraped.values()])
        assert samples == 0 or again > 0, f"{what}: {samples} samples twice, in blocks that differ"
        assert self.sluice.log().count("msg=ready") == len(self.kills) + 1
        print(f"{self.drain}: {len(self.done)} rounds, {len(acknowledged)} pushes and {len(served)} scrapes, "
              f"{again} blocks twice")
