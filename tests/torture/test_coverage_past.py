# SPDX-License-Identifier: Apache-2.0
"""The coverage of a long past with many targets, which is read by counts per hour: from real servers that were filled with
half a day of 300 targets."""
import time

from lib import *
from test_coverage import decided, status
from test_upstream import group, groups

TARGETS, HOURS, STEP = 300, 12, 60


def fill(server, now, lost):
    """Every minute; lost(target, seconds before now)."""
    for begin in range(HOURS * 3600, 0, -1800):
        series = []
        for i in range(TARGETS):
            labels = {"job": "node", "instance": f"host-{i}:9100"}
            times = [t for t in range(begin, begin - 1800, -STEP) if not lost(i, t)]
            for name, value in (("up", 1.0), ("scrape_samples_post_metric_relabeling", 500.0)):
                series.append(({"__name__": name, **labels}, [((now - t) * 1000, value) for t in times]))
        assert push(server.write_url, [s for s in series if s[1]]).status in (200, 204)


def long_past(server_class, timeout):
    a, b = server_class(name="a"), server_class(name="b")
    now = int(time.time()) // 60 * 60
    fill(a, now, lambda i, t: i == 7 and t == 5 * 3600)               # one scrape of one target
    fill(b, now, lambda i, t: 8 * 3600 > t >= 6 * 3600)               # two hours of everything
    for server in (a, b):
        wait_until(lambda: len(server.data("/api/v1/query", {"query": f"count(count_over_time(up[{HOURS}h]))", "time": now})["result"]) == 1, 30)
    sluice = Sluice(groups(group("west", a, b, trust_untargeted=True)))
    start, end = now - 11 * 3600, now - 4 * 3600
    began = time.monotonic()
    wait_until(lambda: status(sluice, "up", start, end).get("knownFrom", now) <= start, timeout, every=0.5)
    read = sluice.metrics()[f'sluice_upstream_samples_total{{group="west",url="{a.url}"}}']
    print(f"{time.monotonic() - began:.1f} s, {read} samples")
    assert decided(sluice, "up", start, end) == [False, False]
    replicas = status(sluice, "up", start, end)["selectors"][0]["replicas"]
    gaps = [[(g["from"] - now, g["to"] - now) for g in replica["incomplete"]] for replica in replicas]
    assert len(gaps[0]) == 1 and abs(gaps[0][0][0] + 5 * 3600 + STEP) <= 1 and abs(gaps[0][0][1] + 5 * 3600 - STEP) <= 1, gaps
    assert len(gaps[1]) == 1 and abs(gaps[1][0][0] + 8 * 3600) <= STEP + 1 and abs(gaps[1][0][1] + 6 * 3600) <= 2 * STEP, gaps
    assert decided(sluice, 'up{instance="host-8:9100"}', start, end)[0] is True


@seconds(120)
def test_long_past_of_prometheus():
    long_past(Prometheus, 60)


@seconds(120)
def test_long_past_of_victoriametrics():
    long_past(VictoriaMetrics, 60)
