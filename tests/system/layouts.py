# SPDX-License-Identifier: Apache-2.0
"""Random PromQL through sluice over data that is spread over servers, beside one Prometheus that has all of it.

A layout says which groups there are, which servers each has and what they lack. Three answers are compared: that of the
Prometheus with everything, that of sluice as it is by default, and that of sluice with `push_down: off` (which must be
equal to 1e-12 of the larger value: only sums may be added in another order). Of the aggregations that distribute over
groups it is counted how many needed no raw samples, and of how many no raw samples can be needed (complete.py).

Replicas are copies of one stream: their samples have equal times. What they lack (HOLES) is drawn from a seed; each
sample is on one replica at least. Series of a target are those of its scrapes: each has a sample at every scrape, or a
stale marker at the first one without it. They ended hours ago, but have a sample now, too, at the time of its `up`: that is
how sluice knows that they are the target's. Those of IRREGULAR have the labels of a target, but other times.
"""
import collections
import copy
import random
import re
import threading
import time

import lib
import promql_data

if promql_data.BEGIN < time.time() - 30 * 86400:  # coverage is known of the last month only
    # The same time of every day, which the steps of subqueries divide: a seed has the same results tomorrow.
    promql_data.BEGIN = int(time.time()) // 86400 * 86400 - 4 * 3600
import complete  # noqa: E402 (they take the time of the data)
import promql_answers  # noqa: E402
import push_down  # noqa: E402
from promql_data import BEGIN, SECONDS, Data, Histogram  # noqa: E402
from promql_queries import Queries  # noqa: E402

IRREGULAR = ("memory_bytes",)
PAST = BEGIN + SECONDS < time.time() - 600  # not in a test of the newest samples
HOLES = ("window", "short", "scrape", "target", "reset", "end")
WHOLE = ("window", "short", "restart")  # of all targets of a server
# What real installations lose, rather more than less, in two hours: each replica is down once for one to four minutes, each
# third target is cut off from one replica for 5 to 20 minutes, and one scrape of a thousand is lost. (Of HOLES, each leaves
# a gap in nearly every window of a query.)
REAL = ("restart", "unreached", "lost")

Layout = collections.namedtuple("Layout", "groups kinds holes labels trusts keys", defaults=(1, ("new",), (), False, True, ""))
LAYOUTS = {
    "one": Layout(),
    "labeled": Layout(2, labels=True),
    "disjoint": Layout(2),
    "trusted": Layout(2, keys="push_down: trusted"),
    "copies": Layout(1, ("new", "new")),
    "window": Layout(1, ("new", "new"), ("window",)),
    "short": Layout(1, ("new", "new"), ("short",)),
    "scrape": Layout(1, ("new", "new"), ("scrape",)),
    "target": Layout(1, ("new", "new"), ("target",)),
    "reset": Layout(1, ("new", "new"), ("reset",)),
    "end": Layout(1, ("new", "new"), ("end",)),
    "holes": Layout(1, ("new", "new"), HOLES),
    "groups": Layout(2, ("new", "new"), HOLES, labels=True),
    "groups_disjoint": Layout(2, ("new", "new"), ("window", "target")),
    "untrusted": Layout(1, ("new", "new"), HOLES, trusts=False),
    "untrusted_targets": Layout(1, ("new", "new"), ("target", "reset", "end"), trusts=False),
    "three": Layout(1, ("new", "new", "new"), ("window", "target", "end")),
    "partial": Layout(1, ("new", "new"), ("part",)),
    "old": Layout(1, ("old",)),
    "old_holes": Layout(1, ("old", "old"), HOLES),
    "victoria": Layout(1, ("vm",)),
    "victoria_holes": Layout(1, ("vm", "vm"), HOLES),
    "mixed": Layout(2, ("new", "vm"), ("window", "reset"), labels=True),
    "mixed_old": Layout(2, ("old", "new"), ("window", "end"), labels=True),
    "real": Layout(1, ("new", "new"), REAL),
    "real_groups": Layout(2, ("new", "new"), REAL, labels=True),
    "real_disjoint": Layout(2, ("new", "new"), REAL),
    "real_untrusted": Layout(1, ("new", "new"), REAL, trusts=False),
    "real_three": Layout(1, ("new", "new", "new"), REAL),
    "real_old": Layout(1, ("old", "old"), REAL),
    "real_mixed_old": Layout(2, ("old", "new"), REAL, labels=True),
    "real_mixed": Layout(2, ("new", "vm"), REAL, labels=True),
}


class Targets(Data):
    """Series of a target have the times of its scrapes if there are replicas. floats: without histograms and names that are no words, for
    servers that lack them. plain: also without NaN and -0, which VictoriaMetrics does not store, and without numbers
    so large that it rounds those beside them."""

    def __init__(self, seed, layout):
        self.floats, self.plain = layout.kinds != ("new",) * len(layout.kinds), "vm" in layout.kinds
        self.groups, self.scraped, self.offset = layout.groups if layout.labels else 0, len(layout.kinds) > 1, None
        self.offsets, self.last = {}, {}  # of targets, ms: of their scrapes in the interval; of their last one
        self.irregular = False  # the present series
        super().__init__(seed)
        self.series = [(labels, samples + self.present(labels, samples)) for labels, samples in self.series]

    def present(self, labels, samples):
        t = self.last.get((labels.get("job"), labels.get("instance")), 0)
        t -= 7001 if labels["__name__"] in IRREGULAR else 0
        value = next((v for _, v in reversed(samples) if isinstance(v, Histogram) or not lib.is_stale(v)), None)
        return [(t, value)] if PAST and samples and samples[-1][0] < t and value is not None else []

    def target(self, base, i):
        self.offset = self.offsets[base["job"], base["instance"]] = self.r.randrange(15000)
        super().target(base, i)
        self.offset = None

    def gauge(self, step, *more, **options):
        self.irregular = step == 60  # those of IRREGULAR
        samples = super().gauge(step, *more, **options)
        self.irregular = False
        return samples

    def ended(self, samples):
        """With a stale marker at the first scrape after each run of samples."""
        out = []
        for (t, v), after in zip(samples, [t for t, _ in samples[1:]] + [1000 * (BEGIN + SECONDS + 15) + 1]):
            out.append((t, v))
            if after - t > 15000 and (isinstance(v, Histogram) or not lib.is_stale(v)):
                out.append((t + 15000, promql_data.wire.STALE))
        return out

    def times(self, step, jitter=0):
        if self.offset is not None and self.scraped and not self.irregular:
            step, jitter = 15, 0
        for t in super().times(step, jitter) if self.offset is None else \
                range(BEGIN * 1000 + self.offset, (BEGIN + SECONDS) * 1000, step * 1000):
            yield t + (self.r.randint(0, jitter) if jitter and self.offset is not None else 0)

    def add(self, name, labels, samples, kind):
        if self.floats:
            name = re.sub(r"\W", "_", name)
            labels = {re.sub(r"\W", "_", k): v for k, v in labels.items()}
            samples = [(t, v.sum if isinstance(v, Histogram) else v) for t, v in samples]
        if self.plain:
            samples = [(t, v if lib.is_stale(v) else float(round(v)) if abs(v) > 1e6 else v + 0.0) for t, v in samples
                       if lib.is_stale(v) or v == 0 or 1e-6 < abs(v) < 1e12]
        if self.offset is not None and self.scraped and PAST and name not in IRREGULAR:
            samples = self.ended(samples)
        if self.groups:
            one = f"{labels['job']} {labels['instance']}" if "instance" in labels else f"{len(self.series)}"
            labels = {**labels, "sg": f"g{random.Random(one).randrange(self.groups)}"}
        if name == "up" and self.scraped:
            end = max(time.time(), BEGIN + SECONDS)
            samples = [(t, 1.0) for t in range(samples[0][0], int(end * 1000), 15000)]
            self.last[labels["job"], labels["instance"]] = samples[-1][0]
            super().add("scrape_samples_post_metric_relabeling", labels, [(t, 100.0) for t, _ in samples], kind)
        super().add(name, labels, samples, kind)


class Holes:
    """What the replicas of a group lack. Of the first two each sample is on one at least: lacking() is 0 or 1 for the one that
    has not got it, or None. A third has other holes."""

    def __init__(self, seed, layout, data):
        self.seed, self.kinds, self.trusts, self.data, self.known = seed, layout.holes, layout.trusts, data, {}
        self.of_third = Holes(f"{seed} third", layout._replace(kinds=()), data) if len(layout.kinds) > 2 else None

    def lacks(self, replica, labels, t):
        if replica == 2:
            return self.of_third.lacking(labels, t) is not None
        return self.lacking(labels, t) == replica

    def lacking(self, labels, t):
        target = labels.get("sg", ""), labels.get("job", labels["__name__"]), labels.get("instance", "")
        present = self.data.last.get(target[1:], 0) - (7001 if labels["__name__"] in IRREGULAR else 0)
        if PAST and t == present and "part" not in self.kinds:
            return None
        for kind in self.kinds:
            # Nothing shows that samples at irregular times are copies if no replica has one that the other one has, too
            # (docs/http-api.md): "sparse" lacks what all series of its server lack.
            if kind not in WHOLE and "instance" not in labels and (self.trusts or labels["__name__"] == "sparse"):
                continue
            side = self.side(kind, target, labels, t / 1000 - BEGIN)
            if side is not None:
                return side
        return None

    def side(self, kind, target, labels, t):
        if kind == "part":  # half of the targets, and of those that it has some series
            r = self.random(kind, *target)
            lacks, some = r.random() < 0.5, self.random(kind, *sorted(labels.items())).random() < 0.2
            own = labels["__name__"] in ("up", "scrape_samples_post_metric_relabeling")
            return 1 if lacks or (some and not own) else None
        if kind in ("scrape", "lost"):
            slot = kind, target, int((t - self.data.offsets.get(target[1:], 0) / 1000 + 1) // 15)
            if slot not in self.known:
                r = self.random(*slot)
                self.known[slot] = r.randrange(2) if r.random() < (0.15 if kind == "scrape" else 0.001) else None
            return self.known[slot]
        spans = self.spans(kind, target[:1] if kind in WHOLE else target)
        return next((side for begin, end, side in spans if begin <= t < end), None)

    def random(self, *what):
        return random.Random(f"holes {self.seed} {what}")

    def spans(self, kind, who):
        """[(begin, end, side)] in seconds since BEGIN. Those of a target include resets and ends of its series by chance."""
        if (kind, who) not in self.known:
            draw = self.draw_real if kind in REAL else self.draw
            self.known[kind, who] = list(draw(kind, self.random(kind, who)))
        return self.known[kind, who]

    @staticmethod
    def draw_real(kind, r):
        if kind == "unreached":
            t = r.uniform(0, 3 * SECONDS)
            yield t, t + r.uniform(300, 1200), r.randrange(2)
            return
        first = r.randrange(2)
        for half in (0, 1):
            t = r.uniform(half, half + 0.9) * SECONDS / 2
            yield t, t + r.uniform(60, 240), first ^ half

    @staticmethod
    def draw(kind, r):
        low, high, pause = {"window": (120, 900, (300, 2000)), "short": (20, 240, (0, 400)), "target": (900, 3600, (0, 900)),
                            "reset": (90, 1200, (120, 700)), "end": (60, 600, (400, 1800))}[kind]
        side, t = r.randrange(2), r.uniform(-200, 900)
        if kind == "target" and r.random() < 0.2:
            yield 0, 4 * SECONDS, side
        while t < SECONDS:
            n = r.uniform(low, high)
            yield t, t + n, side
            side, t = 1 - side, t + n + r.uniform(*pause)


class Spread(Data):
    """What one server has of the data."""

    def __init__(self, data, group, replica, holes, strip):
        self.__dict__.update(copy.copy(data).__dict__)
        self.series = []
        for i, (labels, samples) in enumerate(data.series):
            one = labels.get("instance", i)
            if (labels.get("sg") or f"g{random.Random(f'{one}').randrange(group[1])}") != f"g{group[0]}":
                continue
            if holes:
                samples = [(t, v) for t, v in samples if not holes.lacks(replica, labels, t)]
            self.series.append(({k: v for k, v in labels.items() if k != "sg" or not strip}, samples))


class Lagging:
    """Sends what a server gets late: the samples up to `lag` seconds ago, each second."""

    def __init__(self, data, lag):
        self.data, self.lag, self.sent, self.stopped = data, lag, 0, threading.Event()

    def due(self):
        """The samples since the last call."""
        until, out = int(1000 * (time.time() - self.lag)), copy.copy(self.data)
        out.series = [(labels, [(t, v) for t, v in samples if self.sent < t <= until]) for labels, samples in self.data.series]
        self.sent = until
        return out

    def start(self, server):
        def run():
            while not self.stopped.wait(1):
                push_down.load(server, self.due())
        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def stop(self):
        self.stopped.set()
        self.thread.join()


class GroupQueries(Queries):
    """They name the label of the groups, too."""
    STEPS = ["", "9s", "16s", "30s", "1m", "1m15s", "2m", "10m40s"]  # each divides a day, see BEGIN above

    def labels(self, *more):
        return super().labels(*more, *(["sg"] if self.data.groups else []))

    def query(self):
        return (self.aggregated(self.one(1, 1, 2)), True) if self.maybe(0.2) else super().query()


def start_server(kind, name, data):
    if kind == "vm":
        server = lib.VictoriaMetrics(name=name)
        push_down.load(server, data)
        server.flush()
        return server
    return push_down.prometheus(name, data, old=kind == "old")


class Servers:
    """Those of a layout, the Prometheus with everything, and both sluices."""

    def __init__(self, name, seed):
        self.layout, self.data = LAYOUTS[name], Targets(seed, LAYOUTS[name])
        holes = Holes(seed, self.layout, self.data) if self.layout.holes else None
        self.replicas = complete.Replicas(self.layout, self.data, holes, IRREGULAR)
        self.name = f"{name}-{seed}"
        self.truth = push_down.prometheus(f"truth-{self.name}", self.data)
        self.groups = [[start_server(kind, f"{kind}-{g}-{k}-{self.name}", Spread(self.data, (g, self.layout.groups), k, holes, True))
                        for k, kind in enumerate(self.layout.kinds)] for g in range(self.layout.groups)]
        self.lagging = []
        self.sluices = [self.sluice(how) for how in ("", "push_down: off")]

    def sluice(self, push):
        keys = [push or self.layout.keys, "trust_untargeted: true" * (len(self.layout.kinds) > 1 and self.layout.trusts)]
        groups = ""
        for g, servers in enumerate(self.groups):
            targets = ", ".join(repr(s.address) for s in servers)
            own = [f"name: g{g}", *keys, f"labels: {{sg: g{g}}}" * self.layout.labels, f"static_configs: [{{targets: [{targets}]}}]"]
            groups += f"- {{{', '.join(filter(None, own))}}}\n"
        s = lib.Sluice(f"server_groups:\n{groups}", name=f"sluice-{'off' if push else 'default'}-{self.name}")
        self.await_all(s)
        if PAST and len(self.layout.kinds) > 1 and "new" in self.layout.kinds:
            lib.wait_until(lambda: self.attributed(s), 60, "it is known which metrics come from targets", every=0.3)
        return s

    def await_all(self, s):
        """Until it can reach all servers and knows what they have."""
        n = sum(len(servers) for servers in self.groups)
        lib.wait_until(lambda: s.metric("sluice_upstream_up") == n, 60, what="servers probed")
        if len(self.layout.kinds) > 1:
            lib.wait_until(lambda: self.covered(s), 60, "coverage known", every=0.3)

    def add_lagging(self, lag):
        """A replica of the first group that is `lag` seconds behind, in place of its last one."""
        late = Lagging(Spread(self.data, (0, self.layout.groups), 1, None, True), lag)
        server = push_down.prometheus(f"lagging-{self.name}", late.due())
        self.groups[0][-1].stop()
        self.groups[0][-1] = server
        self.lagging.append(late)
        late.start(server)
        for s in self.sluices:
            s.stop()
        self.sluices = [self.sluice(how) for how in ("", "push_down: off")]

    def stop(self):
        for late in self.lagging:
            late.stop()
        for s in (*self.sluices, self.truth, *(s for servers in self.groups for s in servers)):
            s.stop()

    @staticmethod
    def covered(s):
        groups = s.data("/api/v1/status/coverage", {"match[]": "up", "start": BEGIN, "end": BEGIN + SECONDS})["groups"]
        s.query_range("up", BEGIN - 4000, BEGIN + SECONDS, 600)
        return all("unknown" not in g["selectors"][0] and g.get("knownFrom", 1e18) <= BEGIN
                   and all(replica["reachable"] for replica in g["replicas"]) for g in groups)


    def attributed(self, s):
        """Whether sluice knows which metrics of each group come from targets."""
        names = [f'{{__name__="{name}"}}' for name in sorted(self.data.kinds)]
        found = s.data("/api/v1/status/coverage", {"match[]": names, "start": BEGIN, "end": BEGIN + SECONDS})["groups"]
        wanted = [len({labels["__name__"] for labels, _ in Spread(self.data, (g, len(self.groups)), 0, None, True).series
                       if "instance" in labels and labels["__name__"] not in IRREGULAR}) for g in range(len(self.groups))]
        return [g["metricsOfTargets"] for g in found] == wanted


def ask_all(server, path, params):
    """Once more if a replica was given up because it was late, as on a busy machine: its samples are missing then. What it
    cannot send it does not send later either."""
    for _ in range(5):
        status, answer = server.ask(path, params)
        if not any("another replica responded" in note and push_down.CANNOT_READ not in note for note in answer.get("infos", [])):
            break
        time.sleep(0.5)
    return status, answer


class LayoutComparison(push_down.PushComparison):
    """ours: sluice by default; off: sluice with push_down: off; theirs: everything in one Prometheus."""

    def __init__(self, servers):
        super().__init__(*servers.sluices)
        self.servers = servers
        self.off, self.theirs = self.theirs, promql_answers.Server(servers.truth.url)
        self.possible, self.possible_without_raw = 0, 0  # distributive aggregations that single replicas have all samples of

    def gave_up_a_replica(self):
        """As on a busy machine: then results lack what only that one has, until it has been read again."""
        return any(s.metric("sluice_upstream_replicas_missed_total") or "cannot reach server" in s.log() for s in self.servers.sluices)

    def compare(self, path, params):
        before = len(self.wrong)
        self.compare_once(path, params)
        for _ in range(5):
            if len(self.wrong) == before or not self.gave_up_a_replica():
                break
            del self.wrong[before:]
            for s in self.servers.sluices:
                self.servers.await_all(s)
            self.compare_once(path, params)

    def compare_once(self, path, params):
        answers = [ask_all(s, path, {**params, **more}) for s, more in ((self.ours, {"explain": "1"}), (self.off, {}), (self.theirs, {}))]
        self.asked += 1
        (status, ours), (_, off), (_, theirs) = answers
        explain = ours["data"].pop("explain", {}) if ours["status"] == "success" else {}
        if any(push_down.CANNOT_READ in x.get("error", "") + str(x.get("infos", "")) for x in (ours, off)):
            return
        self.errors += theirs["status"] == "error"
        self.filled += theirs["status"] == "success" and bool(theirs["data"]["result"])
        if explain:
            self.count_possible(params, *self.count(params["query"], explain))
        for what, why in (("beside everything", self.wrong_answer(params["query"], path, answers[0], answers[2])),
                          ("beside push_down: off", self.far_answer(params["query"], answers[0], answers[1]))):
            if why:
                self.wrong.append((path, params, what, f"{why}\n{explain.get('text', '')}"))

    def count_possible(self, params, distributive, without_raw):
        if distributive and self.servers.replicas.suffice(self.tree(params), params):
            self.possible += 1
            self.possible_without_raw += without_raw

    def tree(self, params):
        return self.ours.ask("/api/v1/parse_query", {"query": params["query"]})[1]["data"]

    def report(self):
        super().report()
        print(f"{self.possible} distributive aggregations of which single replicas have everything, {self.possible_without_raw} "
              "of them without raw samples")

    def wrong_answer(self, query, path, ours, theirs):
        if push_down.TIES.search(query) and theirs[1]["status"] == ours[1]["status"] == "success":
            return self.differ(query, ours[1]["data"], theirs[1]["data"])
        found = promql_answers.answers_differ(query, ours, theirs)
        if found is None or found[0] in ("notes", "newer notes"): # raw samples of servers come without their notes
            return None
        if all("found duplicate series" in x[1].get("error", "") for x in (ours, theirs)):
            return None # which of several is found first
        if found[1].startswith("order") and not promql_answers.sorting_differs(query, ours[1]["data"], theirs[1]["data"]):
            return None # of equal values
        reason = promql_answers.known(found[0], query, found[1])
        if not reason and path.endswith("_range"):
            reason = promql_answers.known(f"{found[0]} of a range", query, found[1])
        if reason:
            self.known[reason] += 1
        return None if reason else ": ".join(found)

    def far_answer(self, query, ours, off):
        if (ours[0], ours[1]["status"]) != (off[0], off[1]["status"]):
            return f"{ours[0]} {ours[1].get('error')}, {off[0]} {off[1].get('error')}"
        if ours[1]["status"] == "error":
            return None
        why = self.differ(query, ours[1]["data"], off[1]["data"])
        if why and why.startswith("order") and not promql_answers.sorting_differs(query, ours[1]["data"], off[1]["data"]):
            return None # of values that are equal but for their last bit, as atan2 of servers
        return why


def portions(name, seed, queries, first=0):
    """Queries are drawn in portions of 100, each with its own seed, so that a run can begin at any of them."""
    servers = Servers(name, seed)
    comparison = LayoutComparison(servers)
    for portion in range(first, (queries + 99) // 100):
        source = GroupQueries(servers.data, f"{seed} {portion}")
        for _ in range(min(100, queries - 100 * portion)):
            comparison.compare(*source.request())
        yield portion, comparison
    servers.stop()


def run(name, seed, queries):
    for _, comparison in portions(name, seed, queries):
        pass
    print(f"layout {name}, seed {seed}:")
    comparison.report()
    return comparison
