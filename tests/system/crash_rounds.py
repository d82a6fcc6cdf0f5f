# SPDX-License-Identifier: Apache-2.0
"""Rounds of kill -9 at random moments with random faults of the receiver, for test_crash.py and torture/test_crash_rounds.py.

Samples are scraped and pushed all the time, in four phases: healthy, outage, catch-up, reload. Afterwards
1. only scraped samples are missing that were younger than the flush interval at a kill, and no acknowledged push;
2. only blocks arrived twice whose response the sender has not seen: it was lost, or no request came on its connection any
   more before the kill; and of the latter, one per shard and stream for each kill;
3. a series arrived in order, with newest_first in two streams, each in order.
A round fails if its kill or its fault did not happen. The same rounds run with vmagent, for comparison."""
import array
import bisect
import random
import threading
import time

from lib import *

SHARDS, PHASES = 4, ("healthy", "outage", "catch-up", "reload")
OUTAGE_S = {"in_order": 1.5, "newest_first": 6}  # the latter is longer than what makes a backlog (DRAIN_AGE_MS)
MENDED = {"status": 204, "retry_after": None, "hang": 0, "drop": False, "reset": False, "lose_answer": False}
# What a fault sets; None: the sink leaves the network. All but `slow` make requests fail.
FAULTS = {
    "refuse": None,
    "error": {"status": (500, 502, 503, 504)},
    "throttle": {"status": (429,), "retry_after": (1,)},
    "hang": {"hang": (3,), "drop": (True,)},
    "drop": {"drop": (True,)},
    "reset": {"reset": (True,)},
    "lost ack": {"lose_answer": (True,)},
    "slow": {"hang": (0.4,)},
}
PUSHED = 6  # series


class Targets(Fake):
    """`n` targets of `series` counters each, behind one address. The value of all series is the number of the page; their
    timestamps are those of the answer. served: by target, {number of the page: Unix ms}."""

    def __init__(self, n, series):
        self.series, self.status = series, 200
        self.served, self.paths = [{} for _ in range(n)], {f"/metrics/{i}": i for i in range(n)}
        self.lines = [f'stamped{{id="{i}"}}' for i in range(series)] + [""]
        super().__init__()

    def answer(self, request, _):
        if self.status != 200:
            return request.reply(self.status)
        served = self.served[self.paths[request.path]]
        with self.lock:
            n, ms = len(served), now_ms()
            served[n] = ms
        return request.reply(200, f" {n} {ms}\n".join(self.lines).encode(), Content_Type="text/plain; version=0.0.4")

    def scrape_configs(self, interval_ms):
        groups = "".join(f"  - {{targets: ['{self.address}'], labels: {{__metrics_path__: /metrics/{i}, target: '{i}'}}}}\n"
                         for i in range(len(self.served)))
        return (f"global: {{scrape_interval: {interval_ms}ms}}\nscrape_configs:\n- job_name: scripted\n"
                f"  scrape_timeout: {interval_ms}ms\n  honor_timestamps: true\n  static_configs:\n{groups}")


class Pusher(threading.Thread):
    """Pushes one sample of each of some series again and again; `acknowledged` has the numbers of those that succeeded."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.ended, self.acknowledged, self.sent = url, False, [], {}

    def run(self):
        while not self.ended:
            time.sleep(0.02)
            number, now = len(self.sent), now_ms()
            self.sent[number] = now
            try:
                series = [({"__name__": "pushed", "id": str(i)}, [(now, float(number))]) for i in range(PUSHED)]
                if push(f"{self.url}/api/v1/write", series, timeout=5).status == 204:
                    self.acknowledged.append(number)
            except OSError:
                pass


def start_sluice(targets, sink, drain, interval_ms):
    config = (targets.scrape_configs(interval_ms) +
              f"remote_write: [{{name: sink, url: '{sink.url}', drain: {drain}, "
              f"queue_config: {{shards: {SHARDS}, min_backoff: 100ms, max_backoff: 1s}}}}]\n")
    return Sluice(config, name=f"rounds-{drain}")


def start_vmagent(targets, sink, drain, interval_ms):
    return VMAgent(targets.scrape_configs(interval_ms), f"-remoteWrite.url={sink.url}", "-remoteWrite.retryMinInterval=100ms",
                   "-remoteWrite.retryMaxInterval=1s", "-remoteWrite.flushInterval=1s", f"-remoteWrite.queues={SHARDS}",
                   name=f"rounds-vmagent-{drain}")


# What arrived.

def longest_descent(values):
    """Into how many ascending sequences the values can be divided, at least."""
    tails = []
    for v in values:
        at = bisect.bisect_left(tails, -v)
        tails[at:at + 1] = [-v]
    return len(tails)


def timeseries(body):
    """(bytes of the labels, [(ms, value)]) of each series of a request."""
    for number, one in wire.fields(body):
        if number != 1:
            continue
        end = 0
        while end < len(one) and one[end] == 0x0A:
            n, start = wire.read_varint(one, end + 1)
            end = start + n
        yield one[:end], [wire.parse_sample(value) for key, value in wire.fields(one[end:]) if key == 2]


class Source:
    """The series of one target, or of the pusher: what was sent, by number, and how it arrived."""

    def __init__(self, sent, series):
        self.sent, self.series = sent, series
        self.arrived_in = {n: array.array("i", [-1] * series) for n in sent}  # number of the request
        self.order = [array.array("i") for _ in range(series)]


class Arrivals:
    def __init__(self, sink, sources):
        self.sources, self.keys = sources, {}  # keys: bytes of the labels: (source, series) or None
        self.failed_scrapes = {}               # source: [Unix ms]
        self.samples_twice, self.requests_twice, self.acknowledged_twice = 0, 0, []
        with sink.lock:
            accepted, arrivals = list(sink.accepted), list(sink.arrivals)
        last = {connection: number for number, (connection, *_) in enumerate(arrivals)}
        # a client that sends the next request on the connection has read the response to this one
        self.seen = [last[connection] > number and not lost for number, (connection, _, lost) in enumerate(arrivals)]
        self.lost = sum(index is not None and lost for _, index, lost in arrivals)
        for number, (_, index, _) in enumerate(arrivals):
            if index is not None:
                self.add(number, *accepted[index])

    def add(self, number, encoding, body):
        plain = wire.zstd_decompress(body) if encoding == "zstd" else wire.snappy_decompress(body)
        samples = again = acknowledged = 0
        for key, values in timeseries(plain):
            samples += len(values)
            found = self.keys[key] if key in self.keys else self.keys.setdefault(key, self.find(key))
            if found is None:
                continue
            source, series = found
            for ms, value in values:
                if series is None:
                    if value == 0:
                        self.failed_scrapes.setdefault(source, []).append(ms)
                    continue
                if is_stale(value): # of vmagent
                    continue
                assert source.sent[int(value)] == ms, f"{value} at {ms}: never sent"
                before = source.arrived_in[int(value)][series]
                again += before >= 0
                acknowledged += before >= 0 and self.seen[before]
                if before < 0:
                    source.order[series].append(int(value))
                if before < 0 or not self.seen[before]:
                    source.arrived_in[int(value)][series] = number
        self.samples_twice += again
        self.requests_twice += again > 0
        if acknowledged and acknowledged == samples: # a divided block may have parts that are acknowledged
            self.acknowledged_twice.append(number)

    def find(self, key):
        """`up` of a target is (source, None)."""
        labels = {}
        for _, label in wire.fields(key):
            label = dict(wire.fields(label))
            labels[label[1].decode()] = label.get(2, b"").decode()
        name = labels["__name__"]
        if name == "pushed":
            return self.sources[-1], int(labels["id"])
        if name == "stamped":
            return self.sources[int(labels["target"])], int(labels["id"])
        return (self.sources[int(labels["target"])], None) if name == "up" else None


# The rounds.

class Rounds:
    def __init__(self, drain, seed, start=start_sluice, targets=1, series=20, interval_ms=500):
        self.random, self.drain, self.seed = random.Random(seed), drain, seed
        self.interval_ms, self.targets = interval_ms, Targets(targets, series)
        self.sink = RecordingSink(zstd=True)
        self.agent = start(self.targets, self.sink, drain, interval_ms)
        self.agent.wait_ready()
        self.kills, self.done = [], []
        self.faults, self.n_faults = self.random.sample(list(FAULTS), len(FAULTS)), 0
        self.pusher = Pusher(self.agent.url)
        self.pusher.start()

    def errors(self):
        return sum(self.agent.metric(f"vmagent_remotewrite_{what}_total") for what in ("errors", "retries_count"))

    def fail_sink(self, fault):
        errors = self.errors()
        before = len(self.sink.arrivals), self.sink.resets
        if FAULTS[fault] is None:
            self.sink.stop()
        else:
            vars(self.sink).update({key: self.random.choice(values) for key, values in FAULTS[fault].items()})

        def happened():
            if fault == "slow":
                return len(self.sink.arrivals) > before[0] + 1
            return self.errors() > errors and (fault != "reset" or self.sink.resets > before[1])
        wait_until(happened, 30, f"the fault {fault}")

    def mend_sink(self):
        vars(self.sink).update(MENDED)
        if self.sink.server is None:
            self.sink.start()

    def accepted(self):
        with self.sink.lock:
            return len(self.sink.accepted)

    def wait_accepted(self, what):
        before = self.accepted()
        wait_until(lambda: self.accepted() > before, 60, what)

    def kill(self):
        assert self.agent.kill9() == -9, f"{self.agent.name} was not killed"
        self.kills.append(now_ms())

    def round(self, phase):
        """Each outage with the next fault, so that every one has its turn."""
        fault = None
        self.wait_accepted("samples arrive")
        if phase in ("outage", "catch-up"):
            fault = self.faults[self.n_faults % len(self.faults)]
            self.n_faults += 1
            self.fail_sink(fault)
            time.sleep(OUTAGE_S[self.drain] if phase == "catch-up" else self.random.uniform(0.2, 3))
        if phase == "catch-up":
            self.mend_sink()
            self.sink.hang = self.random.choice((0, 0.01, 0.05))
            self.wait_accepted("the catch-up begins")
        if phase == "reload":
            threading.Thread(target=self.reload, daemon=True).start()
        time.sleep(self.random.uniform(0, 1.2 if phase in ("healthy", "catch-up") else 0.3))
        self.kill()
        if self.random.random() < 0.5:
            self.mend_sink()
        self.agent.start().wait_ready()
        self.mend_sink()
        self.done.append((phase, fault))

    def reload(self):
        try:
            self.agent.post("/-/reload")
        except OSError:
            pass

    def run(self, phases):
        for phase in phases:
            self.round(phase)
        self.targets.status = 503
        self.pusher.ended = True
        self.pusher.join()
        time.sleep(1.5)  # the last samples are in no block for up to the flush interval
        wait_until(lambda: self.agent.metric("vmagent_remotewrite_pending_data_bytes") == 0, 120, "all is delivered")
        self.agent.stop()
        self.sources = [Source(dict(served), self.targets.series) for served in self.targets.served]
        self.sources.append(Source(dict(self.pusher.sent), PUSHED))
        self.arrivals = Arrivals(self.sink, self.sources)

    def lost_scrapes(self, source):
        """[(page, Unix ms)] that a kill does not excuse, and no scrape that timed out though its page was served."""
        lost, failed = [], sorted(self.arrivals.failed_scrapes.get(source, []))
        for n, ms in source.sent.items():
            if min(source.arrived_in[n], default=0) >= 0 or not flushed_before(self.kills, ms):
                continue
            late = next((t for t in failed if -SLACK_MS <= ms - t <= 2 * self.interval_ms), None)
            if late is None:
                lost.append((n, ms))
            else:
                failed.remove(late)
        return lost

    def figures(self):
        """What happened, for sluice and its peer alike."""
        *scraped, pushed = self.sources
        descents = {}
        for source in self.sources:
            for values in source.order:
                text = values.tobytes()
                if text not in descents:
                    descents[text] = longest_descent(values)
        return {
            "scrapes": sum(len(source.sent) for source in scraped),
            "pushes": len(self.pusher.acknowledged),
            "lost scrapes": [lost for source in scraped for lost in self.lost_scrapes(source)],
            "lost pushes": [n for n in self.pusher.acknowledged if min(pushed.arrived_in[n]) < 0],
            "samples twice": self.arrivals.samples_twice,
            "requests twice": self.arrivals.requests_twice,
            "responses lost": self.arrivals.lost,
            "acknowledged, and twice": len(self.arrivals.acknowledged_twice),
            "streams": max(descents.values()),
        }

    def summary(self):
        found = {what: n if isinstance(n, int) else len(n) for what, n in self.figures().items()}
        return f"{self.agent.name}: {len(self.done)} rounds of kill -9: " + ", ".join(f"{n} {what}" for what, n in found.items())

    def check(self):
        found, streams = self.figures(), 2 if self.drain == "newest_first" else 1
        what = f"{self.drain}, seed {self.seed}, {self.done}, kills at {self.kills}"
        assert found["pushes"] > 5 * len(self.done) and found["scrapes"] > len(self.done), f"{what}: {found}"
        assert not found["lost pushes"], f"{what}: acknowledged, and lost: {found['lost pushes'][:10]}"
        assert not found["lost scrapes"], f"{what}: lost: {found['lost scrapes'][:10]}"
        assert found["streams"] <= streams, f"{what}: out of order: a series in {found['streams']} streams"
        assert not self.arrivals.acknowledged_twice, f"{what}: sent again after another request on the connection: {found}"
        unseen = len(self.kills) * SHARDS * streams + found["responses lost"]
        assert found["requests twice"] <= unseen, f"{what}: {found['requests twice']} requests twice, {unseen} without a response"
        assert self.agent.log().count("msg=ready") == len(self.kills) + 1
        print(self.summary())
