# SPDX-License-Identifier: Apache-2.0
"""Push-down to independent replicas with gaps, failures, restarts and skewed clocks: each value is that of a replica
that is complete over its window, as tests/system/replicas.py says it must be without push-down. Every job is queried by
itself, so that its own gaps decide where it is pushed."""
import os
import time

import replicas
from lib import *
from test_coverage import status

SEEDS = [int(seed) for seed in os.environ.get("SEED", "1,2").split(",")]


class CoveredPair(replicas.Pair):
    """With what coverage needs: a count of kept samples with each `up`, and one scrape now, which shows that the metrics
    are scraped."""

    def write(self, server, side, scraper_of, labels):
        super().write(server, side, scraper_of, labels)
        if server is self.lossless:
            return
        kept, newest = [], []
        now = now_ms()
        for s in self.scenarios:
            if getattr(s, side) is None:
                continue
            labels = {"job": s.name, "instance": "i"}
            up = scraper_of(getattr(s, side)).samples(s.target)[2]
            kept.append(({"__name__": "scrape_samples_post_metric_relabeling", **labels},
                         [(round((self.start + t) * 1000), v if replicas.STALE is v else 2 * v) for t, v in up]))
            newest += [({"__name__": name, **labels}, [(now, 1.0)]) for name in ("requests_total", "level", "up")]
        assert push(server.write_url, kept).status == 204
        assert push(server.write_url, newest).status == 204

    def check_levels(self, s, levels):
        """Where a target ends or fails, the replica that was asked may have seen it a scrape before the other one."""
        end = s.target.end
        unsure = [(end, end + 1.5 * s.slowest)] if end < replicas.LENGTH else []
        unsure += [(begin, min(until, end)) for x in (s.a, s.b) if x for begin, until in x.failures]
        about = [t for t in range(0, replicas.LENGTH, 15) if any(begin <= t < until for begin, until in unsure)]
        filled = {t: replicas.SLOPE * min(t, end) for t in about}
        super().check_levels(s, {**filled, **levels})

    def config(self):
        return ("server_groups:\n- name: pair\n  static_configs: "
                f"[{{targets: ['{self.a.address}', '{self.b.address}']}}]\n")


class ByJob:
    """A server whose queries are made for each job; counts those that were pushed down."""

    def __init__(self, server, jobs):
        self.server, self.jobs, self.pushed, self.queries = server, jobs, 0, 0

    def one(self, path, expr, job, params):
        for metric in ("requests_total", "level", "up"):
            expr = expr.replace(f"{metric}[", f'{metric}{{job="{job}"}}[') if f"{metric}[" in expr else expr
        expr = f'level{{job="{job}"}}' if expr == "level" else expr
        data = self.server.data(path, {"query": expr, "explain": "1", **params})
        self.queries += 1
        self.pushed += any(d["evaluated"] in ("pushed", "cut") for d in data["explain"]["plan"])
        return data["result"]

    def query_range(self, expr, start, end, step):
        return {"result": [s for job in self.jobs for s in
                           self.one("/api/v1/query_range", expr, job, {"start": start, "end": end, "step": step})]}

    def query(self, expr, t):
        return {"result": [s for job in self.jobs for s in self.one("/api/v1/query", expr, job, {"time": t})]}


@seconds(600)
def test_independent_replicas():
    all_scenarios = replicas.scenarios() + [s for seed in SEEDS for s in replicas.random_scenarios(seed, 10)]
    pair = CoveredPair(all_scenarios)
    sluice = Sluice(pair.config())
    for metric in ("requests_total", "level", "up"):
        wait_until(lambda: "unknown" not in status(sluice, metric, pair.start)["selectors"][0]
                   and status(sluice, metric, pair.start)["knownFrom"] <= pair.start, 60, metric, every=0.5)
    by_job = ByJob(sluice, [s.name for s in all_scenarios])
    found = pair.check(by_job)
    print(f"{len(found)} deviations; {by_job.pushed} of {by_job.queries} queries pushed down")
    lines = []
    for s in all_scenarios:
        own = [line for line in found if line.split(":")[0] == s.name]
        lines += [f"{len(own)} deviations of {replicas.describe(s)}"] + own[:3] if own else []
    assert not found, "\n".join(lines[:60])
    assert by_job.pushed > by_job.queries * 0.5
