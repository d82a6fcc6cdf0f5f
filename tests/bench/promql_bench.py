#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Queries over HTTP, sluice's recent store beside Prometheus: the same samples in both, the same queries to both, and the
CPU seconds (user and system) and the memory of each process. ROUNDS=25 (in the environment) of each query are measured
after one that is not.
"""
import os
import random
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../system"))
import lib  # noqa: E402
import wire  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", 25))
BEGIN, SECONDS, SCRAPE = 1_700_006_400, 3600, 15
COUNTERS, HISTOGRAMS, PAIRS, BOUNDS = 10000, 1000, 5000, ("0.005", "0.01", "0.05", "0.1", "0.5", "1", "2.5", "5", "10", "+Inf")
FIFTH, QUARTER, EIGHTH = 5, 4, 8
INSTANT, VALUES = None, 0 # no step: at the end; the values of the label that is named
QUERIES = [ # what, query, step in seconds, how many times less CPU is the goal
    ("sum by (rate)", "sum by (job) (rate(bench_total[5m]))", 15, FIFTH),
    ("raw range", 'bench_total{job=~"job-[01]"}', 15, QUARTER),
    ("quantile_over_time", "max(quantile_over_time(0.9, bench_used[10m]))", 60, FIFTH),
    ("histogram_quantile", "histogram_quantile(0.99, rate(bench_seconds_bucket[5m]))", 60, FIFTH),
    ("topk", "topk(10, rate(bench_total[5m]))", 60, FIFTH),
    ("join 5,000 x 5,000", "sum(bench_used / on (id) bench_limit)", 60, FIFTH),
    ("regex selector", 'count(bench_total{instance=~"host-.*[13579]:.*"})', 60, FIFTH),
    ("instant sum by (rate)", "sum by (job) (rate(bench_total[5m]))", INSTANT, EIGHTH),
    ("instant quantile", "quantile(0.9, bench_total)", INSTANT, EIGHTH),
    ("instant vector", "bench_total", INSTANT, QUARTER),
    ("10,000 label values", "id", VALUES, 1),
]


def series(r):
    """(labels, a function that gives its next value)"""
    def counter(most):
        value = r.randrange(1 << 20)

        def following():
            nonlocal value
            value += r.randrange(most)
            return value
        return following
    for i in range(COUNTERS):
        yield {"__name__": "bench_total", "job": f"job-{i % 10}", "instance": f"host-{i // 10}:9100", "id": f"{i}"}, counter(100000)
    for i in range(HISTOGRAMS):
        for n, bound in enumerate(BOUNDS):
            labels = {"__name__": "bench_seconds_bucket", "job": f"job-{i % 10}", "instance": f"host-{i}:9100", "le": bound}
            yield labels, counter(10 * (n + 1))
    for i in range(PAIRS):
        for name in ("bench_used", "bench_limit"):
            yield {"__name__": name, "id": f"{i}", "job": f"job-{i % 10}"}, lambda: r.random() * 1e6


def requests(batch=1000, parts=4):
    """In order of time, a quarter of an hour at once: older samples than an hour before the newest are refused."""
    every = [(b"".join(wire.field(1, wire.field(1, k) + wire.field(2, l[k])) for k in sorted(l)), following)
             for l, following in series(random.Random(1))]
    times = range(BEGIN, BEGIN + SECONDS + 1, SCRAPE)
    size = len(times) // parts + 1
    for at in range(0, len(times), size):
        ends = [b"\x10" + wire.varint(t * 1000) for t in times[at:at + size]]
        heads = [b"\x12" + wire.varint(9 + len(end)) + b"\x09" for end in ends]
        pack = struct.Struct("<d").pack
        for first in range(0, len(every), batch):
            yield b"".join(wire.field(1, labels + b"".join(h + pack(following()) + e for h, e in zip(heads, ends)))
                           for labels, following in every[first:first + batch])


def load(servers):
    for body in requests():
        packed = wire.snappy_compress(body)
        for server in servers:
            answer = lib.request(f"{server.url}/api/v1/write", data=packed, headers={
                "Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
                "X-Prometheus-Remote-Write-Version": "0.1.0"}, timeout=120)
            assert answer.status in (200, 204), f"{server.url}: {answer}"


def memory(server):
    """Resident megabytes: now, and at most."""
    found = server.memory_kib()
    return [found[key] / 1024 for key in ("VmRSS", "VmHWM")]


def ask(server, query, step):
    if step == VALUES:
        answer = server.get(f"/api/v1/label/{query}/values", timeout=120)
    elif step == INSTANT:
        answer = server.post("/api/v1/query", data={"query": query, "time": BEGIN + SECONDS}, timeout=120)
    else:
        answer = server.post("/api/v1/query_range", data={"query": query, "start": BEGIN, "end": BEGIN + SECONDS, "step": step},
                             timeout=120)
    assert answer.status == 200, f"{server.name}: {answer}"
    return answer


def measure(server, query, step):
    """Its answer, CPU and wall seconds a query."""
    answer = ask(server, query, step).json()["data"]
    busy, began = server.cpu_seconds(), time.monotonic()
    for _ in range(ROUNDS):
        ask(server, query, step)
    return answer, (server.cpu_seconds() - busy) / ROUNDS, (time.monotonic() - began) / ROUNDS


def line(name, ours, theirs, goal, form="%.4f"):
    ratio = theirs / ours
    print(f"{name:22} {form % ours:>9} {form % theirs:>11} {ratio:7.1f} x   at least {goal} x   "
          f"{'reached' if ratio >= goal else 'MISSED'}", flush=True)


def main():
    prometheus = lib.Prometheus("", "--storage.tsdb.retention.time=100y")
    sluice = lib.Sluice("recent: {retention: 0s, budget: 1GiB}\n")
    load((sluice, prometheus))
    held = memory(sluice)[0], memory(prometheus)[0]
    print(f"{'CPU seconds a query':22} {'sluice':>9} {'Prometheus':>11} {'ratio':>9}   goal")
    for name, query, step, goal in QUERIES:
        (a, ours, _), (b, theirs, _) = (measure(server, query, step) for server in (sluice, prometheus))
        if step == VALUES:
            assert a == b, f"{name}: {len(a)} and {len(b)} values"
        else:
            lib.same_answer(a, b, name)
        line(name, ours, theirs, goal)
    print("resident MB")
    line("  loaded", *held, 3, "%.0f")
    line("  at most", memory(sluice)[1], memory(prometheus)[1], 3, "%.0f")


if __name__ == "__main__":
    with lib.script("promql_bench", 1800):
        main()
