# SPDX-License-Identifier: Apache-2.0
"""Two independent replicas of known targets: what each of them scraped is written into its own Prometheus, and what
a server group of both answers is compared with the targets, and with a Prometheus that lost nothing.

A target is a counter of RATE a second that starts again at `resets`, a gauge that grows by SLOPE a second, and `up`. Each
scenario is a job. A Scraper has an interval, an offset, a clock, gaps (nothing written), failures (up = 0 and stale
markers) and changes of its schedule. Samples lie in the past: nothing waits.

What is right:
1. A window over which a replica lost no scrape has the value that one Prometheus with everything that this replica would
   have scraped answers, to 1e-9, in a range query and in an instant query.
2. Elsewhere a rate is no farther from the target's than that of the worse replica alone, and what a change between
   replicas moves it: an interval at an edge of the window, and the difference of their clocks.
3. A raw panel has a value wherever a replica has a scrape that is not overdue, none behind the target's end, and never a
   value from the future; a counter has as many resets as the target.
"""
import bisect
import os
import random
import time

from lib import *

RATE, SLOPE, LENGTH, WARM = 1000, 0.5, 5400, 1200
CLOCKS = 2  # seconds that clocks may differ
# Range functions: expression, its series is `up`, range, step
WINDOWS = [("rate(requests_total[5m])", False, 300, 30), ("increase(requests_total[2m])", False, 120, 45),
           ("resets(requests_total[10m])", False, 600, 60), ("avg_over_time(level[3m])", False, 180, 30),
           ("count_over_time(up[20m])", True, 1200, 60)]


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
        self._lost, self._times = {}, None

    def lossless(self):
        return Scraper(self.interval, self.offset, self.skew, changes=self.changes, jitter=self.jitter)

    def loses(self, of_up, start, end, edge=0):
        """Would a lossless one have stored more with start < t <= end? Not counted: a scrape that is not yet overdue at
        the end, or would be so near to the start (edge: this share of an interval)."""
        start, end = start + edge * self.interval, end - edge * self.interval
        lost = self.lost(of_up)
        i = bisect.bisect_right(lost, start)
        return i < len(lost) and lost[i] <= end

    def lost(self, of_up):
        for known in (False, True):
            if known not in self._lost:
                self._lost[known] = [t + self.skew for t in self.lossless().times()
                                     if any(a <= t < b for a, b in (*self.gaps, *(() if known else self.failures)))]
        return self._lost[of_up]

    def alive(self, t, intervals=1.1):
        """A live sample is there that is younger than this."""
        if self._times is None:
            self._times = list(self.times())
        i = bisect.bisect_right(self._times, t - self.skew) - 1
        return i >= 0 and t - self._times[i] - self.skew < intervals * self.interval and \
            not any(a <= self._times[i] < b for a, b in self.failures)

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
            stamp = round(t + self.skew + (self.jitter(t) if self.jitter else 0), 3)
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


def late_scrapes(side):
    """One in five is some ms late, by a function of its time."""
    return lambda t: random.Random(f"{side}{t}").choice((0, 0, 0, 0, 0, 0, 0, 0, .003, .007))


def every(n, interval, offset=0.0, first=5):
    """Failures of every nth scrape."""
    return [(k * interval + offset - 1, k * interval + offset + 1) for k in range(first, LENGTH // interval, n)]


def scenarios():
    """The kinds, each with fixed figures."""
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
            Scenario("equal_offsets", *(Scraper(15, 3, jitter=late_scrapes(side)) for side in "ab")),
            Scenario("counter_resets", Scraper(15, 3, gaps=[(2990, 3050)]), Scraper(15, 9),
                     Target(resets=(2500, 3010, 4000))),
            Scenario("target_ends", Scraper(15, 3), Scraper(15, 9), Target(end=4500))]
    return out


def random_scraper(r, interval, offset, skew, calm):
    """calm: this side loses little."""
    gaps, failures, changes = [], [], []
    whole = lambda t, n: (t // interval * interval + offset - 1, (t // interval + n) * interval + offset - 1)
    for _ in range(r.choice((0, 1) if calm else (1, 2, 3))):
        t, kind = r.randrange(WARM, LENGTH - 600), r.choice(("restart", "stall", "fail", "fails", "reload"))
        if kind == "restart":
            gaps.append((t, t + r.uniform(5, 60)))
        elif kind == "stall":
            gaps.append((t, t + r.uniform(60, 400)))
        elif kind == "fail":
            failures.append(whole(t, r.choice((1, 1, 2, 5))))
        elif kind == "fails":
            n = r.randrange(4, 20)
            failures += [whole(t + k * n * interval, 1) for k in range(8)]
        else:
            changes.append((t, interval, round(r.uniform(0.2, interval), 2)))
    if not calm and r.random() < 0.15:
        gaps.append((LENGTH - r.uniform(60, 600), LENGTH))  # lags behind
    if not calm and r.random() < 0.15:
        gaps.append((0, r.uniform(WARM, LENGTH / 2)))       # was added later
    return Scraper(interval, offset, skew, gaps, failures, sorted(changes)[:1])


def random_scenario(name, r):
    intervals = r.choice(((15, 15), (30, 30), (60, 60), (15, 15), (30, 30), (60, 60), (15, 30), (30, 60), (60, 15)))
    skews = r.choice(((0, 0), (0, 2), (2, 0), (0, -2), (r.uniform(-1, 1), r.uniform(-1, 1))))
    calm = r.choice((None, 0, 1))
    a, b = (random_scraper(r, i, round(r.uniform(0.5, i - 0.5), 2), round(skew, 2), calm == side)
            for side, (i, skew) in enumerate(zip(intervals, skews)))
    if r.random() < 0.2:  # a rolling restart
        t = r.randrange(WARM, LENGTH - 900)
        a.gaps, b.gaps = [*a.gaps, (t, t + 45)], [*b.gaps, (t + 45, t + 100)]
    if r.random() < 0.07:
        a = None
    end = r.randrange(3600, LENGTH) if r.random() < 0.15 else LENGTH
    return Scenario(name, a, b, Target(random_resets(r, [s for s in (a, b) if s], end - 600), end))


def random_resets(r, scrapers, last):
    """Restarts of the target. Half of them where a replica does not look, or begins or ceases to: the counter falls
    between samples of different replicas. They are far enough apart to be seen behind any gap."""
    edges = [t for s in scrapers for gap in (*s.gaps, *s.failures) for t in gap if WARM < t < last]
    resets = []
    for _ in range(r.choice((0, 0, 1, 1, 2, 3))):
        near = edges and r.random() < 0.5
        t = int(r.choice(edges) + r.uniform(-40, 40)) if near else r.randrange(WARM, last)
        if all(abs(t - other) > 1000 for other in resets):
            resets.append(t)
    return resets


def random_scenarios(seed, n):
    r = random.Random(seed)
    return [random_scenario(f"random_{seed}_{i}", r) for i in range(n)]


class Pair:
    """Both replicas with the samples of all scenarios, and one Prometheus with what each of them would have without a
    loss. start: of the scenarios, Unix seconds."""

    def __init__(self, all_scenarios):
        self.scenarios, self.start = all_scenarios, int(time.time()) // 60 * 60 - LENGTH - 600
        self.a, self.b, self.lossless = (Prometheus(name=f"replica_{side}", out_of_order="3h") for side in "abc")
        for side, server in (("a", self.a), ("b", self.b)):
            self.write(server, side, lambda scraper: scraper, {})
            self.write(self.lossless, side, Scraper.lossless, {"replica": side})

    def write(self, server, side, scraper_of, labels):
        series = []
        for s in self.scenarios:
            if getattr(s, side) is None:
                continue
            for name, samples in zip(("requests_total", "level", "up"), scraper_of(getattr(s, side)).samples(s.target)):
                series.append(({"__name__": name, "job": s.name, "instance": "i", **labels},
                               [(round((self.start + t) * 1000), v) for t, v in samples]))
        answer = push(server.write_url, series)
        assert answer.status == 204, answer

    def config(self, anti_affinity="auto"):
        return (f"server_groups:\n- static_configs: [{{targets: ['{self.a.address}', '{self.b.address}']}}]\n"
                f"  anti_affinity: {anti_affinity}\n  remote_read: true\n")

    def range(self, server, expr, step, first=WARM, last=LENGTH - 30, replica=None):
        """job -> seconds since the start -> value."""
        result = server.query_range(expr, self.start + first, self.start + last, step)["result"]
        return {s["metric"]["job"]: {round(float(t) - self.start): float(v) for t, v in s["values"]}
                for s in result if s["metric"].get("replica") == replica}

    def instant(self, server, expr, t):
        return {s["metric"]["job"]: float(s["value"][1]) for s in server.query(expr, self.start + t)["result"]}

    def check(self, server):
        """Deviations, one line each."""
        self.found = []
        for expr, of_up, length, step in WINDOWS:
            self.check_windows(server, expr, of_up, length, step)
        levels = self.range(server, "level", 15)
        resets = self.instant(server, f"resets(requests_total[{LENGTH}s])", LENGTH)
        for s in self.scenarios:
            self.check_levels(s, levels.get(s.name, {}))
            seen = [r for r in s.target.resets if any(next(x.times()) < r for x in (s.a, s.b) if x)]
            if resets.get(s.name, 0) != len(seen):
                self.found.append(f"{s.name}: {resets.get(s.name)} resets, true {len(seen)}")
        return self.found

    def check_windows(self, server, expr, of_up, length, step):
        merged, alone = self.range(server, expr, step), [self.range(x, expr, step) for x in (self.a, self.b)]
        lossless = [self.range(self.lossless, expr, step, replica=side) for side in "ab"]
        for s in self.scenarios:
            sides = [(x, lossless[k].get(s.name, {}), alone[k].get(s.name, {})) for k, x in enumerate((s.a, s.b)) if x]
            for t in range(WARM, LENGTH - 30, step):
                got = merged.get(s.name, {}).get(t)
                whole = [values.get(t) for x, values, _ in sides if self.complete(s, x, of_up, t - length, t)]
                right = [values.get(t) for x, values, _ in sides if not x.loses(of_up, t - length, t)]
                right += [values.get(t) for x, _, values in sides if not x.loses(of_up, t - length, t, edge=0.1)]
                right += [values.get(t) for x, _, values in sides if whole and self.unseen(s, x, of_up, t - length, t)]
                if whole:
                    if not any(same_value(got, v) for v in right):
                        self.found.append(f"{s.name}: {expr} at {t} is {got}, of one complete replica {right}")
                elif expr.startswith(("rate", "increase")) and self.steady(s, t, length):
                    self.check_rate(s, expr, length, t, got, [values.get(t) for _, _, values in sides])
        self.check_instants(server, expr, of_up, length, merged)

    def check_instants(self, server, expr, of_up, length, merged):
        """At times of the range query. 17 steps apart: other places in the schedules each time."""
        times = sorted({t for values in merged.values() for t in values})
        for t in times[::17]:
            instant = self.instant(server, expr, t)
            for s in self.scenarios:
                whole = any(self.complete(s, x, of_up, t - length, t) for x in (s.a, s.b) if x) and self.plain(s, t)
                a, b = instant.get(s.name), merged.get(s.name, {}).get(t)
                if whole and not same_value(a, b):
                    self.found.append(f"{s.name}: {expr} at {t} by an instant query {a}, by a range query {b}")

    @staticmethod
    def plain(s, t):
        """Can an instant query see the intervals? It reads at least five minutes: intervals of a minute are seen when all
        is there, or when the other replica has the same."""
        sides = [x for x in (s.a, s.b) if x]
        changed = any(t - 900 < c[0] <= t for x in sides for c in x.changes)
        mixed = len({x.interval for x in sides}) > 1 and any(x.loses(False, t - 600, t) for x in sides)
        return not changed and not mixed

    @staticmethod
    def unseen(s, scraper, of_up, start, end):
        """What it lost was lost while the other one was not alive: nobody can know."""
        other = s.b if scraper is s.a else s.a
        return not any(other.alive(t) for t in scraper.lost(of_up) if start < t <= end) if other else True

    @staticmethod
    def complete(s, scraper, of_up, start, end):
        """It lost no scrape in the window and did not change its schedule, which is a loss or none, as one takes it.
        Where the target ends, and where it begins, replicas see it for different times: that decides neither."""
        near = 2 * s.slowest + abs(scraper.skew)
        if any(start - near < t < end + near for t, _, _ in scraper.changes) or (not of_up and end > s.target.end):
            return False
        if any(c[1] != x.interval for x in (s.a, s.b) if x for c in x.changes) and end > 2400:
            return False  # interval_raised: no median holds before and behind
        return not scraper.loses(of_up, start, end)

    def check_rate(self, s, expr, length, t, got, alone):
        true, least = (RATE, "rate") if expr.startswith("rate") else (RATE * length, "increase")
        if got is None and not any(v is None for v in alone):
            self.found.append(f"{s.name}: no {expr} at {t}, of the replicas {alone}")
        if got is None or any(v is None for v in alone):
            return
        worse = max(abs(v - true) for v in alone)
        room = (1.1 * s.slowest / length + 2 * s.skew / (length - s.slowest) + 0.002) * true
        if abs(got - true) > worse + room:
            self.found.append(f"{s.name}: {expr} at {t} is {got:g}, true {true}, of the replicas {alone}")

    @staticmethod
    def steady(s, t, length):
        """No reset in the window, and the target was there all the time."""
        return t <= s.target.end and not any(t - length - 2 * s.slowest <= r <= t + s.slowest for r in s.target.resets)

    def check_levels(self, s, levels):
        missing = [t for t in range(WARM, LENGTH - 30, 15) if t not in levels and seen_at(s, t)]
        late = [t for t in levels if t > s.target.end + 1.5 * s.slowest + s.skew]
        wrong = [t for t, v in levels.items() if v / SLOPE > t + s.skew + 0.1 or v / SLOPE < t - 310]
        self.found += [f"{s.name}: {what} at {times[:5]} ({len(times)} points)" for what, times in
                       (("no value", missing), ("a value behind the end", late), ("a wrong value", wrong)) if times]


def same_value(a, b):
    return a == b if a is None or b is None else abs(a - b) <= 1e-9 * max(abs(a), abs(b))


def seen_at(scenario, t):
    """Has a replica a live scrape that is not overdue, by its own schedule? One that is followed by the other's scrape
    within what clocks may differ has no sure place."""
    for s in (scenario.a, scenario.b):
        done = [x for x in (s.times() if s else ()) if x + s.skew <= t]
        if done and CLOCKS < t - done[-1] - s.skew < s.interval and done[-1] < scenario.target.end and \
                not any(a <= done[-1] < b for a, b in s.failures):
            return True
    return False


class Promxy(HTTPProcess):
    """$PROMXY over the same pair, to see what its users are used to."""

    def __init__(self, pair):
        port = free_port()
        path = write_file("promxy.yml", "promxy:\n  server_groups:\n  - static_configs: [{targets: "
                          f"['{pair.a.address}', '{pair.b.address}']}}]\n    anti_affinity: 10s\n")
        super().__init__("promxy", [os.environ["PROMXY"], f"--config={path}", f"--bind-addr=127.0.0.1:{port}"], port)
        self.wait_ready(60)


def describe(s):
    sides = "; ".join(f"{side}: every {x.interval} s from {x.offset}, clock {x.skew:+g}, gaps {x.gaps}, failures {x.failures}, "
                      f"changes {x.changes}" for side, x in (("a", s.a), ("b", s.b)) if x)
    return f"{s.name}: {sides}; resets {s.target.resets}, end {s.target.end}"


def compare_pair(all_scenarios, rules=("auto",)):
    pair, lines, counted = Pair(all_scenarios), [], 0
    if os.environ.get("PROMXY"):
        found = pair.check(Promxy(pair))
        print(f"promxy: {len(found)} deviations in {len({line.split(':')[0] for line in found})} of "
              f"{len(all_scenarios)} scenarios")
    for rule in rules:
        found = pair.check(Sluice(pair.config(rule)))
        counted += len(found)
        print(f"sluice, anti_affinity {rule}: {len(found)} deviations")
        for s in all_scenarios:
            own = [line for line in found if line.split(":")[0] == s.name]
            lines += [f"anti_affinity {rule}, {len(own)} deviations of {describe(s)}"] + own[:3] if own else []
    assert counted == 0, f"{counted} deviations\n" + "\n".join(lines[:60])
