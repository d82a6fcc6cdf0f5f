# SPDX-License-Identifier: Apache-2.0
"""VictoriaMetrics is read by its native export, and has the samples of its JSON export."""
import json
import math
import random

from lib import *

STEP, WINDOWS = 15, {"2m": 120, "20m": 1200, "6h": 6 * 3600, "10d": 240 * 3600}
KINDS = [ # values of one series
    lambda r, i: float(i), lambda r, i: i * 0.1, lambda r, i: r.random(), lambda r, i: r.uniform(-1e300, 1e300),
    lambda r, i: 10 ** r.uniform(-320, -280), lambda r, i: math.inf if i % 3 else -math.inf,
    lambda r, i: STALE if i % 5 == 0 else float(i), lambda r, i: float(r.getrandbits(62)), lambda r, i: 1e15 + i / 4,
    lambda r, i: -1e-7 * i, lambda r, i: 42.0, lambda r, i: float(i * 1000000007),
    lambda r, i: r.choice((1e-3, 1e3, 1e200, 1e-200, 0, -0.0)), lambda r, i: 10 ** r.uniform(-30, 30),
    lambda r, i: 1.7976931348623157e308 * r.random(), lambda r, i: 5e-324 * r.randint(1, 50)]


def random_series(now):
    """More samples than a block has in some series; names and values with every byte that the format escapes."""
    r = random.Random(5)
    for k in range(48):
        n, step = (300, r.choice((1000, 15000, 60000, 997))) if k < 44 else (9000, 60000)
        late = r.randint(1, 400) if k % 7 == 0 else 0
        samples = [(now * 1000 - (n - i) * step + r.randint(0, late), KINDS[k % len(KINDS)](r, i)) for i in range(n)]
        yield {"__name__": r.choice(("m", "é世", "http.x")), "k": f"{k}", "zz": "a\x01b\x02c", "aa": 'q"\\\n'}, samples


def load(vm, now):
    """In two parts whose samples alternate, some of them twice."""
    series = list(random_series(now))
    for part in (0, 1):
        assert push(vm.write_url, [(labels, sorted(samples[part::2] + (samples[:50:2] if part else [])))
                                   for labels, samples in series]).status == 204
        vm.flush()


def exported(vm, first, last):
    """Of equal times the largest value."""
    found = {}
    for line in vm.get("/api/v1/export", {"match[]": '{k!=""}'}).text.splitlines():
        s, out = json.loads(line), {}
        for t, v in zip(s["timestamps"], s["values"]):
            v = None if v is None else float({"Infinity": "inf", "-Infinity": "-inf"}.get(v, v))
            if first * 1000 < t <= last * 1000 and (out.get(t) is None or (v is not None and v > out[t])):
                out[t] = v
        found[json.dumps(s["metric"], sort_keys=True)] = {t: v for t, v in out.items() if v is not None}
    return {labels: samples for labels, samples in found.items() if samples}


def over(vm, *keys):
    s = Sluice(f"server_groups: [{{static_configs: [{{targets: ['{vm.address}']}}]}}]\n", name=f"sluice-{vm.name}", *keys)
    wait_until(lambda: s.metric("sluice_upstream_up") == 1)
    return s


def read(sluice, window, at):
    """(samples, paths of the requests)"""
    data = sluice.data("/api/v1/query", {"query": f'{{k!=""}}[{window}]', "time": at, "explain": "1"})
    samples = {json.dumps(s["metric"], sort_keys=True): {round(float(t) * 1000): float(v) for t, v in s["values"]}
               for s in data["result"]}
    return samples, [r["path"] for r in data["explain"]["requests"]]


def test_samples_are_those_of_the_json_export():
    now, vm = now_ms() // 15000 * 15 - 60, VictoriaMetrics()
    load(vm, now)
    wait_until(lambda: len(exported(vm, now - WINDOWS["10d"], now)) == 48)
    sluice = over(vm)
    for i, (window, seconds) in enumerate(WINDOWS.items()):
        samples, paths = read(sluice, window, now)
        assert paths == ["/metrics"] * (i == 0) + ["/api/v1/export/native"], paths
        assert samples == exported(vm, now - seconds, now)
    assert sum(len(s) for s in samples.values()) > 40000


def test_older_server():
    """Its blocks have another form, which is noticed once."""
    now, vm = now_ms() // 15000 * 15 - 60, VictoriaMetrics(old=True, name="victoria-metrics-old")
    rows = [(1000 * (now - 15 * i), float(i)) for i in range(60, 0, -1)]
    assert push(vm.write_url, [({"__name__": "m", "k": "1"}, rows)]).status == 204
    wait_until(lambda: vm.flush() or vm.query("m", now)["result"])
    sluice = over(vm)
    for tried in (["/metrics", "/api/v1/export/native"], []):
        samples, paths = read(sluice, "1h", now)
        assert samples == {'{"__name__": "m", "k": "1"}': dict(rows)} and paths == [*tried, "/api/v1/export"], paths


def test_server_that_deduplicates():
    now = now_ms() // 60000 * 60 - 60
    vm = VictoriaMetrics("-dedup.minScrapeInterval=1m", name="deduplicating")
    assert push(vm.write_url, [({"__name__": "m", "k": "1"}, [(1000 * (now - 15 * i), float(i)) for i in range(40, 0, -1)])]).status == 204
    sluice = over(vm)
    wait_until(lambda: vm.flush() or read(sluice, "1h", now)[0])
    samples, paths = read(sluice, "1h", now)
    assert paths == ["/api/v1/export"] and len(samples.popitem()[1]) in (10, 11), paths


def test_short_window_of_long_blocks():
    """Most of a block is not needed: the JSON export has less to transfer."""
    now, vm = now_ms() // 15000 * 15 - 60, VictoriaMetrics()
    r = random.Random(3)
    assert push(vm.write_url, [({"__name__": "m", "k": f"{k}"}, [(1000 * (now - STEP * (700 - i)), r.random()) for i in range(700)])
                               for k in range(100)]).status == 204
    wait_until(lambda: vm.flush() or vm.query("count(m)", now - 15)["result"][0]["value"][1] == "100")
    sluice = over(vm)
    few, paths = read(sluice, "2m", now)
    assert paths == ["/metrics", "/api/v1/export/native", "/api/v1/export"], paths
    assert len(few) == 100 and all(len(s) == 7 for s in few.values())
    assert read(sluice, "1m", now)[1] == ["/api/v1/export"]
    many, paths = read(sluice, "10h", now)
    assert paths == ["/api/v1/export/native"] and all(len(s) == 700 for s in many.values()), paths
    assert sluice.metric("sluice_upstream_failures_total") == 0
