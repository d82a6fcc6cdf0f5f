#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Stream aggregation, sluice beside vmagent: CPU time of a pushed sample and peak memory, with 1,000,000 input series in
10,000 groups. Each series is pushed once a round, in bodies of 10,000; a round takes as long as the program needs, and
results are written every 10 s. The first round, which meets new series, is shown apart. Each program runs alone; only its own
CPU time is counted.

In the environment:
ROWS      rows whose names have this part; all unless set
PROGRAMS  sluice,vmagent
SERIES    1000000 unless set; a hundredth of it are groups
ROUNDS    3 unless set, after the first
"""
import http.client
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../system"))
import lib  # noqa: E402
import wire  # noqa: E402
from fakes import RecordingSink  # noqa: E402

PROGRAMS = os.environ.get("PROGRAMS", "sluice,vmagent").split(",")
SERIES, ROUNDS, CLIENTS, OF_BODY = int(os.environ.get("SERIES", "1000000")), int(os.environ.get("ROUNDS", "3")), 4, 10000
GOAL = 1 / 5  # of vmagent's CPU time and memory

# name: outputs, further keys of the rule
ROWS = {
    "sums": ("sum_samples, count_samples, max", ""),
    "counters": ("total, rate_sum", ""),
    "counters, deduplicated": ("total", ", dedup_interval: 10s"),
}


def make_bodies():
    out = []
    for first in range(0, SERIES, OF_BODY):
        series = [({"__name__": "http_requests_total", "code": str(200 + n % 5), "group": f"g{n % (SERIES // 100)}",
                    "instance": f"10.0.{n // 50000}.{n // 200 % 250}:8080", "job": "api", "path": f"/v1/items/{n % 200}"},
                   [(lib.now_ms(), float(n))]) for n in range(first, first + OF_BODY)]
        out.append(wire.snappy_compress(wire.write_request(series)))
    return out


def send(c, bodies):
    for body in bodies:
        c.request("POST", "/api/v1/write", body)
        answer = c.getresponse()
        answer.read()
        assert answer.status // 100 == 2, answer.status


def connect(port):
    return [http.client.HTTPConnection("127.0.0.1", port, timeout=120) for _ in range(CLIENTS)]


def push_round(clients, bodies):
    threads = [threading.Thread(target=send, args=(c, bodies[k::CLIENTS])) for k, c in enumerate(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def measure(program, name, bodies):
    """(CPU ns per sample of the first round, of later ones, peak memory in MiB)"""
    outputs, more = ROWS[name]
    sink = RecordingSink(zstd=True)
    rules = lib.write_file("aggr.yml", f"- {{interval: 10s, staleness_interval: 1h, by: [group, job], outputs: [{outputs}]{more}}}\n")
    flags = [f"-remoteWrite.url={sink.url}", f"-streamAggr.config={rules}"]
    agent = (lib.VMAgent("scrape_configs: []", *flags) if program == "vmagent" else
             lib.Sluice("scrape_configs: []", *flags, "--dialect=vmagent"))
    clients = connect(agent.port)  # which stay, as those of agents do
    at = [agent.cpu_seconds()]
    push_round(clients, bodies)
    at.append(agent.cpu_seconds())
    for _ in range(ROUNDS):
        push_round(clients, bodies)
    time.sleep(12)  # until the last results are written
    at.append(agent.cpu_seconds())
    memory = agent.memory_kib()["VmHWM"] / 1024
    assert sink.accepted, "no results"
    agent.stop()
    sink.stop()
    n = len(bodies) * OF_BODY
    return (at[1] - at[0]) / n * 1e9, (at[2] - at[1]) / (n * ROUNDS) * 1e9, memory


def main():
    lib.begin("aggregation_bench", 3600)
    bodies = make_bodies()
    print(f"{SERIES} series in {SERIES // 100} groups, {ROUNDS} rounds; goal: {GOAL:.2f} of vmagent's CPU time and memory")
    for name in ROWS:
        if os.environ.get("ROWS", "") not in name:
            continue
        found = {}
        for program in PROGRAMS:
            first, later, memory = found[program] = measure(program, name, bodies)
            print(f"{name:24} {program:8} first round {first:7.0f} ns a sample, later {later:7.0f} ns, {memory:6.0f} MiB", flush=True)
        if len(found) == 2:
            a, b = found["sluice"], found["vmagent"]
            print(f"{name:24} ratio    first round {a[0] / b[0]:7.2f}            , later {a[1] / b[1]:7.2f}   , {a[2] / b[2]:6.2f}")
    lib.end(False)


if __name__ == "__main__":
    main()
