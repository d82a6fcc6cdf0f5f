# SPDX-License-Identifier: Apache-2.0
"""Faults at random for TORTURE_SECONDS (300), while a target is scraped and samples are pushed: kills, clean restarts,
reloads with another number of shards and another durability, a sink that refuses, hangs, hides or loses answers.

At the end every page that was served is in the sink but for those younger than the flush interval at a kill and one on
its way at a clean stop, every push that got 204 is, and each series came in order, but for what came twice. A seed is printed; TORTURE_SEED repeats a run as
far as time lets it.
"""
import http.client
import os
import random
import threading
import time

from lib import *

SECONDS = int(os.environ.get("TORTURE_SECONDS", 300))


ON_ITS_WAY_MS = 100  # from the exporter to sluice, on a busy machine


class Pusher:
    """Pushes a sample of each of its series, again and again; a push that fails is not retried."""
    SERIES = 10

    def __init__(self, url):
        self.url, self.acknowledged, self.failed, self.ended = url, [], 0, threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        ms = 0
        while not self.ended.wait(0.02):
            ms = max(ms + 1, now_ms())
            try:
                status = push(f"{self.url}/api/v1/write", [({"__name__": "pushed", "n": str(i)}, [(ms, float(i))])
                                                           for i in range(self.SERIES)], timeout=5).status
            except (OSError, http.client.HTTPException):
                status = 0
            if status == 204:
                self.acknowledged.append(ms)
            else:
                self.failed += 1

    def stop(self):
        self.ended.set()
        self.thread.join()


class Faults:
    def __init__(self, exporter, sink, r):
        self.exporter, self.sink, self.random, self.kills, self.stops = exporter, sink, r, [], []
        self.sluice = Sluice(self.config())
        self.all = [self.kill, self.restart, self.reload, self.refuse, self.hang, self.hide, self.lose]

    def config(self):
        return scripted_config(self.exporter, self.sink, queue=f"shards: {self.random.randint(1, 9)}",
                               destination=f"durability: {self.random.choice(['spill', 'always'])}")

    def pause(self):
        time.sleep(self.random.uniform(0.2, 4))

    def kill(self):
        self.sluice.kill9()
        self.kills.append(now_ms())
        self.sluice.start().wait_ready()

    def restart(self):
        begin = now_ms()
        self.sluice.stop()
        self.stops.append((begin - ON_ITS_WAY_MS, now_ms()))
        self.sluice.start().wait_ready()

    def reload(self):
        for _ in range(self.random.randint(1, 5)):
            assert self.sluice.reconfigure(self.config()).status == 200

    def refuse(self):
        self.sink.status = self.random.choice([429, 500, 502, 503])
        self.pause()
        if self.random.random() < 0.5:
            self.reload()
        if self.random.random() < 0.5:
            self.kill()
        self.sink.status = 204

    def hang(self):
        self.sink.hang = self.random.uniform(0.1, 2)
        self.pause()
        self.sink.hang = 0

    def hide(self):
        self.sink.stop()
        self.pause()
        if self.random.random() < 0.5:
            self.kill()
        self.sink.start()

    def lose(self):
        self.sink.lose_answer = True
        time.sleep(self.random.uniform(0.1, 1))
        self.sink.lose_answer = False


def assert_in_order(found):
    for labels, samples in found.items():
        times = list(dict.fromkeys(t for t, _ in samples))
        assert times == sorted(times), f"{labels}: out of order"


@seconds(SECONDS + 180)
def test_faults():
    seed = int(os.environ.get("TORTURE_SEED", time.time()))
    print(f"seed {seed}")
    exporter, sink = ScriptedExporter(series=100), RecordingSink()
    faults = Faults(exporter, sink, random.Random(seed))
    end, done, pusher = time.monotonic() + SECONDS, [], Pusher(faults.sluice.url)
    try:
        while time.monotonic() < end:
            faults.pause()
            fault = faults.random.choice(faults.all)
            done.append(fault.__name__)
            fault()
    finally:
        pusher.stop()
    wait_until(lambda: exporter.n > len(done), 30)
    time.sleep(2)
    exporter.status = 503
    served = {(ms, float(n)) for n, ms, _ in exporter.served}

    def strange():
        """Pages that some series lacks though no kill or stop excuses it."""
        lacking = set().union(*(served - set(s) for s in sink.find("scripted_stamped_counter").values()))
        return sorted(p for p in lacking if flushed_before(faults.kills, p[0])
                      and not any(begin <= p[0] <= end for begin, end in faults.stops))
    try:
        wait_until(lambda: not strange(), 60)
    except AssertionError:
        raise AssertionError(f"missing, and not younger than the flush interval at a kill: {strange()}; {done}")
    found = sink.find("scripted_stamped_counter")
    assert len(found) == 100 and faults.kills, f"{len(found)} series, {len(faults.kills)} kills"
    pushed, acknowledged = sink.find("pushed"), set(pusher.acknowledged)
    assert len(pushed) == pusher.SERIES and acknowledged, f"{len(pushed)} pushed series, {len(acknowledged)} pushes got 204"
    for labels, samples in pushed.items():
        lost = sorted(acknowledged - {t for t, _ in samples})
        assert not lost, f"{labels}: pushed, got 204, and lost: {lost}; kills {faults.kills}; {done}"
    assert_in_order(found)
    assert_in_order(pushed)
    twice = sum(len(s) - len(set(s)) for s in found.values())
    print(f"{len(done)} faults, {len(faults.kills)} kills, {len(served) * 100} samples, {twice} twice; "
          f"{len(acknowledged)} pushes got 204, {pusher.failed} failed")
