# SPDX-License-Identifier: Apache-2.0
"""24 hours of churn on a clock that runs SPEED (240) times as fast (tests/system/fast_clock.c): series that are replaced
at every scrape, targets that come and go by file discovery, reloads, failing exporters, an hour of outage of the receiver in
every six, pushes of new series, and queries. RssAnon at hour 24 is at most 1.05 times that
at hour 6. Until then the heap takes its shape: its used bytes (malloc_info) do not grow after hour 2, its pages do, by an eighth."""
import json
import os
import statistics
import threading
import time

from lib import *
from preload import Preload

SPEED = int(os.environ.get("SPEED", "240"))
HOURS = int(os.environ.get("HOURS", "24"))
HOUR = 3600 / SPEED  # seconds
SHAPED = 6  # hour
TARGETS, SERIES, LIVES = 16, 1000, 20  # series: of a target; lives: scrapes until all of them are others

CONFIG = """
global: {scrape_interval: %(interval)s, scrape_timeout: 30s, external_labels: {site: a}}
recent: {budget: 64MiB, retention: 30m}
scrape_configs:
- job_name: churn
  sample_limit: 2000
  file_sd_configs: [{files: ['%(files)s'], refresh_interval: 30s}]
  metric_relabel_configs:
  - {source_labels: [id], regex: '.*7', action: drop}
  - {source_labels: [pod], target_label: short, regex: '([a-z]+).*'}
remote_write:
- {name: sink, url: 'http://%(sink)s/api/v1/write', queue_config: {min_backoff: 100ms, max_backoff: 30s}}
"""


class Exporter(ScriptedExporter):
    """Half of its series live for LIVES scrapes, one metric name and HELP text is new each hour; it fails now and then."""

    def __init__(self, number):
        self.number, self.asks = number, 0
        super().__init__(page=self.churning)

    def answer(self, request, body):
        self.asks += 1
        self.status = 503 if self.asks % 50 == 49 else 200
        self.body = b"}{ no page\n" if self.asks % 60 == 59 else None
        super().answer(request, body)
        self.served.clear()
        self.asked.clear()

    def churning(self, n, ms):
        lines = [f"# HELP requests_total Requests, version {n // 60}.", "# TYPE requests_total counter"]
        for i in range(SERIES):
            life = (n + i * LIVES // SERIES) // LIVES if i % 2 else 0
            lines.append(f'requests_total{{pod="api-{self.number}-{life}",id="{i}",path="/v1/{life % 97}"}} {n}')
        lines += [f"# TYPE build_{n // 60}_info gauge", f"build_{n // 60}_info 1"]
        return "\n".join(lines) + "\n"


class Receiver(Fake):
    status = 204
    received = 0

    def answer(self, request, body):
        self.received += len(body)
        request.reply(self.status)


class Day:
    def __init__(self):
        self.exporters, self.receiver = [Exporter(i) for i in range(TARGETS)], Receiver()
        self.targets_path, self.clock = f"{folder()}/targets.json", Preload("fast_clock")
        self.began = time.time()
        self.put_targets(0)
        self.sluice = Sluice(self.config(0), "--lanes=2", "--query.timeout=30m", env={**self.clock.env, "FAST_CLOCK": str(SPEED)})
        self.ended = threading.Event()
        self.pushes = self.queries = self.reloads = 0

    def config(self, n):
        return CONFIG % {"interval": f"{60 + n % 2}s", "files": self.targets_path, "sink": self.receiver.address}

    def put_targets(self, n):
        """Each target has another label for a while, and a quarter of them is away."""
        here = [(i, e) for i, e in enumerate(self.exporters) if (i + n) % 4]
        put_file(self.targets_path, json.dumps([{"targets": [e.address], "labels": {"turn": str((i + n) // 8)}} for i, e in here]))

    def simulated_ms(self):
        return int((self.began + (time.time() - self.began) * SPEED) * 1000)

    def use(self):
        while not self.ended.wait(0.1):
            ms = self.simulated_ms()
            series = [({"__name__": "pushed", "n": str(self.pushes), "i": str(i)}, [(ms, 1.0)]) for i in range(50)]
            self.pushes += self.tried(lambda: push(f"{self.sluice.url}/api/v1/write", series).status == 204)
            for path in (f"/api/v1/query?time={ms / 1000}&query=sum(rate(requests_total[5m]))by(path)", "/metrics",
                         f"/api/v1/query_range?query=count(pushed)&start={ms / 1000 - 1800}&end={ms / 1000}&step=60", "/targets"):
                self.queries += self.tried(lambda: self.sluice.get(path).status == 200)

    @staticmethod
    def tried(action):
        """Timeouts of seconds are milliseconds here, so that a busy machine may miss some."""
        try:
            return action()
        except OSError:
            return False


def test_a_day():
    day = Day()
    user = threading.Thread(target=day.use, daemon=True)
    user.start()
    began, readings = time.monotonic(), {}
    for turn in range(HOURS * 6):  # of ten minutes
        until, hour = began + (turn + 1) * HOUR / 6, turn // 6 + 1
        day.receiver.status = 503 if hour % 6 == 1 else 204
        day.put_targets(turn)
        if turn % 3 == 0:
            day.reloads += day.tried(lambda: day.sluice.reconfigure(day.config(turn)).status == 200)
        while time.monotonic() < until:
            readings.setdefault(hour, []).append(day.sluice.memory_kib()["RssAnon"])
            time.sleep(HOUR / 60)
        if turn % 6 == 5:
            print(f"hour {hour}: RssAnon {statistics.median(readings[hour])} kB, of {min(readings[hour])} to {max(readings[hour])}",
                  flush=True)
    day.ended.set()
    user.join()
    day.sluice.kill9()  # it would have milliseconds to stop
    early, shaped, late = (statistics.median(readings[hour]) for hour in (2, SHAPED, HOURS))
    scrapes = sum(e.n for e in day.exporters)
    print(f"{scrapes} scrapes, {day.pushes} pushes, {day.queries} queries, {day.reloads} reloads, {day.receiver.received >> 20} MiB received; "
          f"RssAnon {early} kB at hour 2, {shaped} kB at hour {SHAPED}, {late} kB at hour {HOURS}: {late / early:.3f} and "
          f"{late / shaped:.3f} of these", flush=True)
    assert scrapes > HOURS * 60 * TARGETS / 3 and day.pushes > HOURS and day.queries > HOURS and day.reloads > HOURS, "the machine was too slow"
    assert late <= 1.05 * shaped


test_a_day = seconds(int(HOURS * HOUR) + 240)(test_a_day)
