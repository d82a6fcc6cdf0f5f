# SPDX-License-Identifier: Apache-2.0
"""Two Prometheus with holes and stale markers at different times behind one group answer as one that has it all."""
import time

from lib import *

STEP = 15
SCRAPES = 160
HOLES = {"left": [(40, 53), (90, 91), (120, 122)], "right": [(60, 76), (100, 101), (130, 150)]}
# (name, job, instance): [(first scrape that is absent, first that is back)]; a stale marker stands at the first.
ENDS = {("temperature", "a", "1"): [(45, 80)],         # the marker lies in a hole of left: only right has it
        ("temperature", "b", "0"): [(65, SCRAPES)],    # in a hole of right, and it never comes back
        ("requests_total", "a", "0"): [(110, 115)],    # both have it
        ("requests_total", "b", "2"): [(53, 55), (135, SCRAPES)]}


def value(name, job, instance, k):
    if name == "up":
        return 1
    if name == "temperature":
        return 20 + (k * 7 + ord(job) * 3 + int(instance)) % 11 - 5.25
    return (k % 57) * (3 + int(instance)) + 0.5 * (k % 57)  # a counter that starts again every 57 scrapes


def samples(start, key, holes):
    out = []
    for k in range(SCRAPES):
        if any(first <= k < end for first, end in holes):
            continue
        absent = [first for first, end in ENDS.get(key, []) if first <= k < end]
        if absent and k == absent[0]:
            out.append(((start + k * STEP) * 1000, STALE))
        elif not absent:
            out.append(((start + k * STEP) * 1000, value(*key, k)))
    return out


def load(server, start, holes):
    keys = [(name, job, instance) for name in ("up", "temperature", "requests_total")
            for job in "ab" for instance in "012"]
    series = [({"__name__": name, "job": job, "instance": instance}, samples(start, (name, job, instance), holes))
              for name, job, instance in keys]
    assert push(server.write_url, series).status == 204


QUERIES = [
    "temperature", "requests_total", "up", 'temperature{job="a"}', "timestamp(temperature)", "temperature offset 2m",
    "rate(requests_total[1m])", "rate(requests_total[5m])", "increase(requests_total[2m])",
    "sum by (job) (rate(requests_total[90s]))", "count(temperature)", "max_over_time(temperature[45s])",
    "count_over_time(temperature[3m])", "resets(requests_total[10m])", "absent(temperature{job='b',instance='0'})",
    "changes(temperature[2m])", "quantile(0.7, temperature)", "topk(2, temperature)",
    "avg without (instance) (temperature)", "requests_total / on (job, instance) temperature",
    "last_over_time(temperature[10m])", "max_over_time(rate(requests_total[1m])[5m:30s])",
    "present_over_time(temperature[20s])", "stddev(up)",
]


def compare(extra):
    start = (int(time.time()) - 3600) // 60 * 60
    servers = {name: Prometheus(name=name) for name in ("left", "right", "truth")}
    for name, server in servers.items():
        load(server, start, HOLES.get(name, []))
    sluice = Sluice(f"server_groups:\n- name: pair\n  {extra}\n  static_configs:\n"
                    f"  - targets: ['{servers['left'].address}', '{servers['right'].address}']\n")
    truth, end, filled, wrong = servers["truth"], start + SCRAPES * STEP, 0, []

    def check(what, ours, theirs):
        try:
            same_answer(ours(), theirs, what)
        except AssertionError as e:
            wrong.append(str(e)[:600])
    for expr in QUERIES:
        for at in [start + k * 97 + 0.5 for k in range(4, 27)] + [end + 100, end + 500]:
            theirs = truth.query(expr, at)
            filled += bool(theirs["result"])
            check(f"{expr} at {at - start}", lambda: sluice.query(expr, at), theirs)
        for step in (15, 7, 61):
            theirs = truth.query_range(expr, start + 3, end + 400, step)
            check(f"{expr} every {step} s", lambda: sluice.query_range(expr, start + 3, end + 400, step), theirs)
    assert filled > len(QUERIES) * 10, f"only {filled} answers had something in them"
    # Both sides alone must differ from the truth, or the test shows nothing.
    for side in ("left", "right"):
        try:
            same_answer(*(s.query_range("temperature", start, end, 15) for s in (servers[side], truth)))
        except AssertionError:
            continue
        raise RuntimeError(f"{side} has no holes")
    assert not wrong, f"{len(wrong)} answers differ:\n" + "\n".join(wrong[:20])


def test_by_remote_read():
    compare("remote_read: true")


def test_by_query():
    compare("remote_read: false")
