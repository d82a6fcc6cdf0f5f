# SPDX-License-Identifier: Apache-2.0
"""Two independent replicas of known targets: what each of them scraped is written into a Prometheus of its own, and what
a server group of both answers is compared with the targets.

A target is a counter of RATE a second that starts again at `resets`, a gauge that grows by SLOPE a second, and `up`. Each
scenario is a job. A Scraper has an interval, an offset, a clock, gaps (nothing written), failures (up = 0 and stale
markers) and changes of its schedule. Samples lie in the past: nothing waits.
"""
import os
import random
import time

from lib import *

RATE, SLOPE, LENGTH, WARM = 1000, 0.5, 5400, 1200


class Target:
    def __init__(self, resets=(), end=LENGTH):
        self.resets, self.end = sorted(resets), end

    def counter(self, t):
        return int(RATE * (t - max([r for r in self.resets if r <= t], default=-100000)))

    def gauge(self, t):
        return SLOPE * t


class Scraper:
    """Times are seconds since the start of the scenario; skew is what its clock is ahead."""

    def __init__(self, interval, offset, skew=0.0, gaps=(), failures=(), changes=(), jitter=None):
        self.interval, self.offset, self.skew = interval, offset, skew
        self.gaps, self.failures, self.changes, self.jitter = gaps, failures, changes, jitter

    def times(self):
        t, changes, interval = self.offset, list(self.changes), self.interval
        while t < LENGTH:
            if changes and t >= changes[0][0]:
                _, interval, shift = changes.pop(0)
                t += shift
            if not any(a <= t < b for a, b in self.gaps):
                yield t
            t += interval

    def samples(self, target):
        """(counter, gauge, up), each [(seconds, value)]."""
        counter, gauge, up, live = [], [], [], False
        for t in self.times():
            stamp = round(t + self.skew + (self.jitter() if self.jitter else 0), 3)
            ok = t < target.end and not any(a <= t < b for a, b in self.failures)
            up.append((stamp, int(ok)))
            if ok or live:
                counter.append((stamp, target.counter(t) if ok else STALE))
                gauge.append((stamp, target.gauge(t) if ok else STALE))
            live = ok
        return counter, gauge, up


class Scenario:
    def __init__(self, name, a, b, target=None, interval=None):
        self.name, self.a, self.b, self.target = name, a, b, target or Target()
        self.interval = interval or min(s.interval for s in (a, b) if s)
        self.slowest = max([s.interval for s in (a, b) if s] + [c[1] for s in (a, b) if s for c in s.changes])
        self.skew = max(abs(s.skew) for s in (a, b) if s)


def every(n, interval, offset=0.0, first=5):
    """Failures of every nth scrape."""
    return [(k * interval + offset - 1, k * interval + offset + 1) for k in range(first, LENGTH // interval, n)]


def scenarios():
    """The kinds, each with fixed figures."""
    r = random.Random(1)
    out = [Scenario(f"every_{i}s_{int(share * 100)}", Scraper(i, 3), Scraper(i, 3 + i * share))
           for i in (15, 30, 60) for share in (0.2, 0.45, 0.7)]
    out += [Scenario("mixed_60_15", Scraper(60, 3), Scraper(15, 9)),
            Scenario("mixed_15_30", Scraper(15, 3), Scraper(30, 9)),
            Scenario("fast_clock", Scraper(15, 3), Scraper(15, 10, 2.0)),
            Scenario("slow_clock", Scraper(15, 3), Scraper(15, 10, -2.0)),
            Scenario("stall_of_first", Scraper(15, 3, gaps=[(3000, 3130)]), Scraper(15, 9)),
            Scenario("stall_of_both", Scraper(15, 3, gaps=[(2000, 2130)]), Scraper(15, 9, 2.0, gaps=[(3500, 3640)])),
            Scenario("reload", Scraper(15, 3.3, changes=[(3000, 15, 0.7)]), Scraper(15, 3, -2.0, changes=[(3600, 15, 6)])),
            Scenario("interval_raised", Scraper(15, 3, changes=[(2400, 60, 0)]), Scraper(15, 9, changes=[(2400, 60, 7)]),
                     interval=15),
            Scenario("rolling_restart", Scraper(15, 3, gaps=[(3000, 3040)]), Scraper(15, 9, gaps=[(3100, 3145)])),
            Scenario("failures_of_first", Scraper(15, 3, failures=every(10, 15, 3)), Scraper(15, 8)),
            Scenario("failures_of_both", Scraper(30, 3, failures=every(10, 30, 3)),
                     Scraper(30, 14, failures=every(10, 30, 14, 9))),
            Scenario("lagging", Scraper(15, 3, gaps=[(LENGTH - 240, LENGTH)]), Scraper(15, 9)),
            Scenario("partial", None, Scraper(15, 9)),
            Scenario("equal_offsets", *(Scraper(15, 3, jitter=lambda: 0 if r.random() < .8 else r.choice((.003, .007)))
                                        for _ in "ab")),
            Scenario("counter_resets", Scraper(15, 3, gaps=[(2990, 3050)]), Scraper(15, 9),
                     Target(resets=(2500, 3010, 4000))),
            Scenario("target_ends", Scraper(15, 3), Scraper(15, 9), Target(end=4500))]
    return out


def seen_at(scenario, t):
    """Does a replica have a scrape of the target that is not overdue, by its own schedule?"""
    for s in (scenario.a, scenario.b):
        done = [x for x in (s.times() if s else ()) if x + s.skew <= t]
        if done and t - done[-1] - s.skew < s.interval and done[-1] < scenario.target.end and \
                not any(a <= done[-1] < b for a, b in s.failures):
            return True
    return False


class Pair:
    """Both replicas with the samples of all scenarios. start: of the scenarios, Unix seconds."""

    def __init__(self, all_scenarios):
        self.scenarios, self.start = all_scenarios, int(time.time()) // 60 * 60 - LENGTH - 600
        self.a, self.b = (Prometheus(name=f"replica_{side}", out_of_order="30m") for side in "ab")
        for side, server in (("a", self.a), ("b", self.b)):
            series = []
            for s in all_scenarios:
                if getattr(s, side) is None:
                    continue
                for name, samples in zip(("requests_total", "level", "up"), getattr(s, side).samples(s.target)):
                    series.append(({"__name__": name, "job": s.name, "instance": "i"},
                                   [(round((self.start + t) * 1000), v) for t, v in samples]))
            answer = push(server.write_url, series)
            assert answer.status == 204, answer

    def config(self):
        return (f"server_groups:\n- static_configs: [{{targets: ['{self.a.address}', '{self.b.address}']}}]\n"
                f"  remote_read: true\n")

    def range(self, server, expr, step, first=WARM, last=LENGTH - 30):
        result = server.query_range(expr, self.start + first, self.start + last, step)["result"]
        return {s["metric"]["job"]: {round(float(t) - self.start): float(v) for t, v in s["values"]} for s in result}

    def check(self, server):
        """Deviations from the targets, one line each."""
        found = []
        rates = self.range(server, "rate(requests_total[5m])", 30)
        counts = self.range(server, "count_over_time(up[20m])", 60)
        levels = self.range(server, "level", 15)
        resets = {s["metric"]["job"]: float(s["value"][1]) for s in
                  server.query(f"resets(requests_total[{LENGTH}s])", self.start + LENGTH)["result"]}
        moments = range(WARM, LENGTH - 60, 307)
        instants = [{s["metric"]["job"]: float(s["value"][1]) for s in
                     server.query("rate(requests_total[5m])", self.start + t)["result"]} for t in moments]
        whole = self.range(server, "rate(requests_total[5m])", 307, WARM, LENGTH - 60)
        for s in self.scenarios:
            found += self.check_rates(s, rates.get(s.name, {}))
            found += self.check_levels(s, levels.get(s.name, {}))
            if resets.get(s.name, 0) != len(s.target.resets):
                found.append(f"{s.name}: {resets.get(s.name)} resets, true {len(s.target.resets)}")
            for t, n in counts.get(s.name, {}).items():
                if n > 1200 / s.interval + 2:
                    found.append(f"{s.name}: {n:g} samples in 20 minutes at {t}, true {1200 / s.interval:g}")
            for t, instant in zip(moments, instants):
                a, b = instant.get(s.name), whole.get(s.name, {}).get(t)
                if (a is None) != (b is None) or (a and abs(a - b) > self.tolerance(s) * RATE and self.steady(s, t)):
                    found.append(f"{s.name}: rate at {t} by an instant query {a}, by a range query {b}")
        return found

    @staticmethod
    def tolerance(s):
        """A change of replicas shifts the clock once in five minutes. Beyond 1.1 intervals from its edge a window is not
        extrapolated to it: where scrapes are missing, rate() of any server is lower by as much."""
        disturbed = any(x.gaps or x.failures or x.changes for x in (s.a, s.b) if x)
        return 0.002 + 2 * s.skew / (300 - 2 * s.slowest) + disturbed * 1.1 * s.slowest / 300

    @staticmethod
    def steady(s, t):
        """No reset in the window, and the target was there all the time."""
        return t <= s.target.end and not any(t - 300 - 2 * s.slowest <= r <= t + s.slowest for r in s.target.resets)

    def check_rates(self, s, rates):
        return [f"{s.name}: rate {v:g} at {t}, true {RATE}" for t, v in rates.items()
                if self.steady(s, t) and abs(v - RATE) > self.tolerance(s) * RATE]

    @staticmethod
    def check_levels(s, levels):
        missing = [t for t in range(WARM, LENGTH - 30, 15) if t not in levels and seen_at(s, t)]
        late = [t for t in levels if t > s.target.end + 1.5 * s.slowest + s.skew]
        wrong = [t for t, v in levels.items() if v / SLOPE > t + s.skew + 0.1 or v / SLOPE < t - 310]
        return [f"{s.name}: {what} at {times[:5]} ({len(times)} points)" for what, times in
                (("no value", missing), ("a value behind the end", late), ("a wrong value", wrong)) if times]


class Promxy(HTTPProcess):
    """$PROMXY over the same pair, to see what its users are used to."""

    def __init__(self, pair):
        port = free_port()
        path = write_file("promxy.yml", "promxy:\n  server_groups:\n  - static_configs: [{targets: "
                          f"['{pair.a.address}', '{pair.b.address}']}}]\n    anti_affinity: 10s\n")
        super().__init__("promxy", [os.environ["PROMXY"], f"--config={path}", f"--bind-addr=127.0.0.1:{port}"], port)
        self.wait_ready(60)


def compare_pair(all_scenarios):
    pair = Pair(all_scenarios)
    if os.environ.get("PROMXY"):
        for line in pair.check(Promxy(pair)):
            print("promxy:", line)
    found = pair.check(Sluice(pair.config()))
    assert not found, f"{len(found)} deviations:\n" + "\n".join(found[:60])
