#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random PromQL over random data: sluice's embedded store beside a real Prometheus, answer by answer.

    tests/system/promql_random.py --seed 7 --queries 20000      any number by hand
    tests/system/promql_random.py --expr 'sum(rate(a[5m]))'     one query at many times

Both get the same samples in the same order by remote write, so even the order of an instant answer is the same.
"""
import argparse
import sys
import time

import lib
import wire
from promql_answers import Comparison
from promql_data import BEGIN, SECONDS, Data
from promql_queries import ARITHMETIC, COMPARE, FUNCTIONS, GROUPED, MODIFIERS, SETS, WITH_PARAMETER, Queries

FEATURES = "promql-experimental-functions,promql-duration-expr,native-histograms"


def start(data):
    """The urls of sluice and of Prometheus."""
    prometheus = lib.Prometheus("", f"--enable-feature={FEATURES}", "--storage.tsdb.retention.time=100y")
    sluice = lib.Sluice("recent: {retention: 0s, budget: 512MiB}\n", "--lanes=1")
    for body in data.requests():
        for url in (f"{sluice.url}/api/v1/write", prometheus.write_url):
            answer = lib.request(url, data=wire.snappy_compress(body), headers={
                "Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
                "X-Prometheus-Remote-Write-Version": "0.1.0"})
            assert answer.status in (200, 204), f"{url}: {answer}"
    return sluice.url, prometheus.url


def run(seed, queries):
    """(the comparison, the uses of each construct)"""
    data = Data(seed)
    comparison, source = Comparison(*start(data)), Queries(data, seed)
    for _ in range(queries):
        comparison.compare(*source.request())
    return comparison, source.uses


def show_uses(uses):
    for title, names in (("functions", FUNCTIONS), ("aggregations", GROUPED + WITH_PARAMETER),
                         ("operators", ARITHMETIC + COMPARE + SETS), ("else", MODIFIERS)):
        print(f"{title}: " + ", ".join(f"{name} {uses[name]}" for name in names))


def ask_one(expr):
    """One query at every 20th of the data, and as a range query."""
    comparison = Comparison(*start(Data(1)))
    for i in range(1, 21):
        comparison.compare("/api/v1/query", {"query": expr, "time": f"{BEGIN + i * SECONDS // 20}"})
    comparison.compare("/api/v1/query_range", {"query": expr, "start": f"{BEGIN}", "end": f"{BEGIN + SECONDS}", "step": "60"})
    return comparison


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", default=str(int(time.time())))
    parser.add_argument("--queries", type=int, default=10000)
    parser.add_argument("--expr", help="compare this one only")
    options = parser.parse_args()
    with lib.script("promql_random", 24 * 3600):
        if options.expr:
            comparison = ask_one(options.expr)
        else:
            comparison, uses = run(options.seed, options.queries)
            show_uses(uses)
        comparison.report()
        print(f"seed {options.seed}")
        return 1 if comparison.wrong else 0
    return 2  # skipped


if __name__ == "__main__":
    sys.exit(main())
