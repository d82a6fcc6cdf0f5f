# SPDX-License-Identifier: Apache-2.0
"""How long a lane is away from its loop while everything that is large comes at once: TARGETS (100,000) targets that
are scraped now and then, a reload that exchanges a tenth of them, a page of 256 MB with 65,536 HELP lines, a push of
32 MiB, 600,000 new series, and /metrics and /targets each second.

Three bounds hold. The CPU time of a turn, which the load of the machine does not change: 99.9 % are below 5 ms. While
the machine has idle time: 99 % of the scrapes of other targets begin within 10 ms of their slots, and 99 % of the
answers to a health check take less than 100 ms. All wall times are printed, beside the steal time and the time that the
process waited for a CPU.
"""
import bisect
import json
import os
import threading
import time

from lib import *
from steady import SteadyTargets

TARGETS = int(os.environ.get("TORTURE_TARGETS", 100000))
PAGE_BYTES = int(os.environ.get("TORTURE_PAGE_BYTES", 256 << 20))
EXPORTER = r'''
import asyncio, sys
page_bytes = int(sys.argv[2])
SMALL = b"".join(b"small%d 1\n" % i for i in range(5))

def large():
    n = page_bytes // 128
    families = b"".join(b"# HELP large_family_%06d text\n" % i for i in range(page_bytes // 4096))
    return families + b"".join(
        b'large_metric_%03d{id="%09d",text="%s"} %d\n' % (i % 1000, i, b"x" * 78, i) for i in range(n))

async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            body = LARGE if head.startswith(b"GET /large") else SMALL
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body))
            for at in range(0, len(body), 1 << 20):
                writer.write(body[at:at + (1 << 20)])
                await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    print("ready", flush=True)
    await server.serve_forever()

LARGE = large()
asyncio.run(main())
'''


def longer_than(counts, limit):
    return sum(n for bound, n in counts if bound > limit) / max(1, sum(n for _, n in counts))


def write_targets(port, generation):
    """The targets' files; each tenth target is another one in another generation."""
    for part in range(10):
        groups = []
        for i in range(part, TARGETS, 10):
            name = f"{i}-{generation if i // 10 % 10 == 0 else 0}"
            groups.append({"targets": [f"127.0.0.1:{port}"], "labels": {"__param_target": name, "number": name}})
        path = write_file(f"new-{part}", json.dumps(groups))
        os.rename(path, f"{folder()}/targets-{part}.json")


def config(port, fast, large=False):
    jobs = f"""global: {{scrape_interval: 10m, scrape_timeout: 1m}}
recent: {{}}
remote_write: [{{url: 'http://127.0.0.1:9/write'}}]
scrape_configs:
- job_name: many
  file_sd_configs: [{{files: ['{folder()}/targets-*.json']}}]
{fast.job()}"""
    if large:
        jobs += f"""- job_name: large
  scrape_interval: 40s
  scrape_timeout: 39s
  metrics_path: /large
  max_scrape_size: 1GiB
  static_configs: [{{targets: ['127.0.0.1:{port}']}}]
"""
    return jobs


def steal_s():
    with open("/proc/stat", encoding="ascii") as f:
        return int(f.readline().split()[8]) / os.sysconf("SC_CLK_TCK")


def waited_s(pid):
    """What the threads of the process waited for a CPU."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as f:
            total += int(f.read().split()[1])
    return total / 1e9


class IdleTime:
    """In which times the machine had nothing to do: at least a tenth of the CPU time of the last STEP seconds."""
    STEP = 0.2

    def __init__(self):
        self.times, self.idle, self.ended = [], [], False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ended:
            with open("/proc/stat", encoding="ascii") as f:
                self.idle.append(int(f.readline().split()[4]) / os.sysconf("SC_CLK_TCK"))
            self.times.append(time.time())
            time.sleep(self.STEP)

    def at(self, t):
        i = bisect.bisect(self.times, t)
        return 0 < i < len(self.times) and self.idle[i] - self.idle[i - 1] >= 0.1 * os.cpu_count() * (
            self.times[i] - self.times[i - 1])

    def share(self):
        spent = self.times[-1] - self.times[0]
        return (self.idle[-1] - self.idle[0]) / spent / os.cpu_count()


def percentile(values, share):
    """In milliseconds; of no values 0."""
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] * 1000 if values else 0


def lateness(fast):
    """[(time, seconds after the slot)] of the scrapes of fast targets; a slot is where the earliest scrapes were."""
    found = []
    for times in fast.times().values():
        slot = sorted((t - times[0] + 0.5) % 1 for t in times)[len(times) // 20] - 0.5 + times[0]
        found += [(t, (t - slot + 0.5) % 1 - 0.5) for t in times]
    return found


class Watcher:
    """Asks for a page again and again, and keeps when it asked and how long each answer took."""

    def __init__(self, sluice, path, every, params=""):
        self.sluice, self.path, self.every, self.ended = sluice, path + params, every, False
        self.took = []  # (time, seconds)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ended:
            began = time.time()
            answer = request(self.sluice.url + self.path, timeout=300)
            assert answer.status == 200, answer
            self.took.append((began, time.time() - began))
            time.sleep(max(0, self.every - self.took[-1][1]))

    def end(self):
        self.ended = True
        self.thread.join()
        return describe(f"{self.path}: answers", [took for _, took in self.took])


def describe(what, values):
    return (f"{what}: {len(values)}, median {percentile(values, 0.5):.1f} ms, p99 {percentile(values, 0.99):.1f} ms, "
            f"worst {percentile(values, 1):.1f} ms")


def push_large(sluice):
    now = now_ms()
    series = [({"__name__": "pushed", "id": str(i), "text": "x" * 40}, [(now - 10000 + k, k) for k in range(10)])
              for i in range(150000)]
    answer = push(f"{sluice.url}/api/v1/write", series)
    assert answer.status == 204, answer


def push_new_series(sluice):
    now = now_ms()
    for part in range(60):
        series = [({"__name__": "new", "part": str(part), "id": str(i)}, [(now, i)]) for i in range(10000)]
        answer = push(f"{sluice.url}/api/v1/write", series)
        assert answer.status == 204, answer


@alone
@seconds(900)
def test_a_lane_is_never_long_away_from_its_loop():
    release_build()
    port, fast = free_port(), SteadyTargets(series=5, name="fast")
    exporter = Process("exporter", ["python3", write_file("exporter.py", EXPORTER), str(port), str(PAGE_BYTES)])
    wait_until(lambda: "ready" in exporter.log(), 120, "the exporter")
    write_targets(port, 0)
    sluice = Sluice(config(port, fast), "-maxInsertRequestSize=64MiB", "--web.enable-lifecycle", "--lanes=2")
    wait_until(lambda: sluice.metric("vm_promscrape_scrape_pool_targets") >= TARGETS, 60, "targets", every=1)
    watchers = [Watcher(sluice, "/metrics", 1), Watcher(sluice, "/targets", 1), Watcher(sluice, "/-/healthy", 0.02)]
    idle, before, steal, waited, began = IdleTime(), lane_turns(sluice), steal_s(), waited_s(sluice.p.pid), time.time()

    def phase(name, work):
        start = lane_turns(sluice)
        work()
        counts = [(bound, n - m) for (bound, n), (_, m) in zip(lane_turns(sluice), start)]
        print(f"{name}: {sum(n for _, n in counts)} turns, over 5 ms {sum(n for b, n in counts if b > 0.005)}:",
              {b: n for b, n in counts if b > 0.005 and n}, flush=True)

    def end_large_page():
        """Until its stale markers are written."""
        series = PAGE_BYTES // 128
        sluice.reconfigure(config(port, fast))
        written = lambda: sluice.metric("vm_promscrape_stale_samples_created_total")
        wait_until(lambda: written() >= series, 300, "markers", every=1)

    phase("quiet", lambda: time.sleep(5))
    phase("reload", lambda: (write_targets(port, 1), sluice.reconfigure(config(port, fast)), time.sleep(6)))
    phase("push of 32 MiB", lambda: push_large(sluice))
    phase("600,000 new series", lambda: push_new_series(sluice))
    phase("large page", lambda: (sluice.reconfigure(config(port, fast, large=True)), time.sleep(60)))
    phase("large page ends", end_large_page)
    print(*[w.end() for w in watchers], sep="\n")
    counts = [(bound, n - m) for (bound, n), (_, m) in zip(lane_turns(sluice), before)]
    late = [(t, after) for t, after in lateness(fast) if t > began]
    late_idle = [after for t, after in late if idle.at(t)]
    healthy_idle = [took for t, took in watchers[-1].took if idle.at(t)]
    print(describe("scrapes after their slots", [after for _, after in late]))
    print(describe("while the machine has idle time", late_idle))
    print(describe("/-/healthy while the machine has idle time", healthy_idle))
    print(f"idle {idle.share():.0%}, steal {steal_s() - steal:.1f} s, waited for a CPU "
          f"{waited_s(sluice.p.pid) - waited:.1f} s in {time.time() - began:.0f} s")
    worst = max(bound for bound, n in counts if n)
    print(f"turns over 5 ms: {longer_than(counts, 0.005):.4%}, worst up to {worst} s", counts)
    assert longer_than(counts, 0.005) < 0.001, counts
    assert percentile(late_idle, 0.99) < 10, describe("scrapes after their slots", late_idle)
    assert percentile(healthy_idle, 0.99) < 100, describe("health checks", healthy_idle)
