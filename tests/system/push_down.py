#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random PromQL through a sluice that pushes down and one that does not, over the same servers: the same results.

    tests/system/push_down.py --layout labeled --seed 7 --queries 5000
"""
import argparse
import collections
import re
import sys
import time

import lib
import promql_data
from promql_answers import NEWER_NOTES, Comparison, results_differ
from promql_data import Data
from promql_queries import Queries
from promql_random import FEATURES
import wire

DISTRIBUTIVE = re.compile(r"(sum|count|min|max|avg|group)\b")
# Of equal values topk and bottomk may return any; servers and sluice have series in different orders.
TIES = re.compile(r"\b(top|bottom|limit)k\b|\blimit_ratio\b")
NEWER = re.compile("|".join(pattern for pattern, _ in NEWER_NOTES)) # than the Prometheus of the tests
# What the Prometheus of the tests does not send by remote_read.
CANNOT_READ = "a native histogram with custom buckets"


# By definition these are merged raw.
UNTARGETED = "not scraped from a target|could not be determined"


class Part(Data):
    """Every n-th series of the data."""

    def __init__(self, seed, k, n):
        super().__init__(seed)
        self.series = self.series[k::n]


def load(server, data):
    for body in data.requests():
        answer = lib.request(server.write_url, data=wire.snappy_compress(body), headers={
            "Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
            "X-Prometheus-Remote-Write-Version": "0.1.0"})
        assert answer.status in (200, 204), answer


def prometheus(name, data, **more):
    features = [] if more.get("old") else [f"--enable-feature={FEATURES}"]
    server = lib.Prometheus("", *features, "--storage.tsdb.retention.time=100y", name=name, **more)
    load(server, data)
    return server


class Scraped(Data):
    """Targets that are up until now, but nothing is stored while `lost` (seconds since BEGIN: from, to)."""

    def __init__(self, seed, *lost):
        self.lost = [(1000 * (promql_data.BEGIN + a), 1000 * (promql_data.BEGIN + b)) for a, b in lost]
        super().__init__(seed)

    def add(self, name, labels, samples, kind):
        if name == "up":
            samples = [(t, 1.0) for t in range(samples[0][0], int(time.time() * 1000), 15000)]
            self.add("scrape_samples_post_metric_relabeling", labels, [(t, 100.0) for t, _ in samples], kind)
        super().add(name, labels, [s for s in samples if not any(a <= s[0] < b for a, b in self.lost)], kind)


# The results have the labels job and instance of each other, another name of job, and no server's label of that name.
SWAPPED = ("labels: {sg: one}, metrics_relabel_configs: [{source_label: job, target_label: task}, "
           "{source_label: instance, target_label: job}, {source_label: task, target_label: instance}], ")


LAYOUTS = {  # name: (how many parts of the data, keys of each group by its number)
    "one": (1, lambda k: ""),
    "labeled": (2, lambda k: f"labels: {{sg: g{k}}}, "),
    "disjoint": (2, lambda k: ""),
    "hedged": (1, lambda k: "read_mode: hedge, "),
    "swapped": (1, lambda k: SWAPPED),
    "scoped": (1, lambda k: "inject_matchers: ['instance!=\"api-2:9100\"'], "),
}


def start(layout, seed):
    """(the sluice that pushes down, the one that does not)"""
    n, keys = LAYOUTS[layout]
    servers = [prometheus(f"prometheus-{k}", Part(seed, k, n)) for k in range(n)]
    return [sluice(servers, keys, how) for how in ("trusted" if layout == "disjoint" else "verified", "off")]


def start_replicas(seed, *losses):
    """The same over replicas of one group that hold copies of one stream, but for what each has lost."""
    servers = [prometheus(f"replica-{k}", Scraped(seed, *lost)) for k, lost in enumerate(losses)]
    pair = []
    for how in ("verified", "off"):
        targets = ", ".join(f"'{s.address}'" for s in servers)
        s = lib.Sluice(f"server_groups: [{{name: pair, push_down: {how}, trust_untargeted: true, "
                       f"static_configs: [{{targets: [{targets}]}}]}}]\n", name=f"sluice-{how}")
        lib.wait_until(lambda s=s: s.metric("sluice_upstream_up") == len(servers), what="servers probed")
        pair.append(s)
    return pair


def await_coverage(s, at):
    """Until it is known which replicas were complete at this time."""
    def known():
        plan = s.data("/api/v1/explain", {"query": "sum(up)", "time": at})["plan"]
        return plan[0]["evaluated"] == "pushed"
    lib.wait_until(known, 60, "coverage is known", every=0.5)


def sluice(servers, keys, push_down):
    groups = "".join(f"- {{name: g{k}, push_down: {push_down}, {keys(k)}"
                     f"static_configs: [{{targets: ['{s.address}']}}]}}\n" for k, s in enumerate(servers))
    s = lib.Sluice(f"server_groups:\n{groups}", name=f"sluice-{push_down}")
    lib.wait_until(lambda: s.metric("sluice_upstream_up") == len(servers), what="servers probed")
    return s


def plain(note):
    return re.sub(r" \(\d+:\d+\)$", "", note)


def raw_reasons(explain):
    """Why something of the query was evaluated from raw samples, each once, without its numbers and names."""
    reasons = {d["reason"] for d in explain["plan"] if d["evaluated"] in ("raw", "cut")}
    if explain.get("abandoned"):
        reasons = {f"abandoned: {explain['abandoned']}"}
    return {re.sub(r'"[^"]*"', '"..."', re.sub(r"\d+", "N", reason)) for reason in reasons}


def values_at(result):
    """The values of each step, whoever has them."""
    found = collections.defaultdict(list)
    for s in result:
        for t, v in lib.points(s):
            found[t].append(lib.number(v))
    return {t: sorted(v, key=lambda x: (x != x, x)) for t, v in found.items()}


class PushComparison(Comparison):
    """Counts besides what was answered without raw samples."""

    def __init__(self, pushing, raw):
        super().__init__(pushing.url, raw.url)
        self.pushed, self.distributive, self.without_raw = 0, 0, 0
        self.untargeted = 0  # distributive aggregations of series of which it is not known that they come from targets
        self.reasons = collections.Counter()  # why distributive aggregations need raw samples

    def compare(self, path, params):
        (status, a), (wanted, b) = self.ours.ask(path, {**params, "explain": "1"}), self.theirs.ask(path, params)
        self.asked += 1
        if (status, a["status"]) != (wanted, b["status"]) or a["status"] == "error":
            self.errors += 1
            if CANNOT_READ in b.get("error", ""): # servers can evaluate them all the same
                return
            if (a["status"], a.get("error")) != (b["status"], b.get("error")):
                self.wrong.append((path, params, "status", f"{status} {a.get('error')}, wanted {wanted} {b.get('error')}"))
            return
        if any(CANNOT_READ in note for note in b.get("infos", [])): # by one replica, and the other has a gap
            return
        self.filled += bool(b["data"]["result"])
        self.count(params["query"], a["data"]["explain"])
        why = self.differ(params["query"], a["data"], b["data"]) or self.notes_differ(a, b)
        if why:
            self.wrong.append((path, params, "result", f"{why}\n{a['data']['explain']['text']}"))

    def count(self, query, explain):
        """(whether it is a distributive aggregation, without raw samples)"""
        here = bool(explain.get("abandoned")) or any(d["evaluated"] in ("raw", "cut") for d in explain["plan"])
        self.pushed += any(d["evaluated"] == "pushed" for d in explain["plan"]) and not explain.get("abandoned")
        if DISTRIBUTIVE.match(query):
            self.distributive += 1
            self.without_raw += not here
            reasons = raw_reasons(explain)
            self.reasons.update(reasons)
            self.untargeted += any(re.search(UNTARGETED, reason) for reason in reasons)
        return bool(DISTRIBUTIVE.match(query)), not here

    @staticmethod
    def differ(query, a, b):
        if not TIES.search(query):
            return results_differ(query, a, b)
        if a["resultType"] in ("scalar", "string"):
            return None
        x, y = values_at(a["result"]), values_at(b["result"])
        return f"of equal values others: {len(x)} and {len(y)} steps" if x.keys() != y.keys() else None

    @staticmethod
    def notes_differ(a, b):
        for kind in ("warnings", "infos"):
            mine, wanted = ({plain(note) for note in x.get(kind, []) if not NEWER.fullmatch(note)} for x in (a, b))
            if mine != wanted and not any("more" in note and "omitted" in note for note in mine | wanted):
                return f"{kind} {sorted(mine - wanted)}, wanted {sorted(wanted - mine)}"
        return None

    def report(self):
        super().report()
        print(f"{self.pushed} with something pushed down; of {self.distributive} distributive aggregations "
              f"{self.without_raw} without raw samples")
        for reason, n in self.reasons.most_common():
            print(f"{n:6} {reason}")


def run(layout, seed, queries):
    return run_pair(start(layout, seed), seed, queries)


def run_pair(pair, seed, queries):
    comparison, source = PushComparison(*pair), Queries(Data(seed), seed)
    for _ in range(queries):
        comparison.compare(*source.request())
    comparison.report()
    return comparison


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--layout", default="one", choices=LAYOUTS)
    parser.add_argument("--seed", default=str(int(time.time())))
    parser.add_argument("--queries", type=int, default=2000)
    options = parser.parse_args()
    with lib.script("push_down", 24 * 3600):
        comparison = run(options.layout, options.seed, options.queries)
        return 1 if comparison.wrong else 0
    return 2  # skipped


if __name__ == "__main__":
    sys.exit(main())
