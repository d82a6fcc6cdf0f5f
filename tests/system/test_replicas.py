# SPDX-License-Identifier: Apache-2.0
"""Independent replicas and copies behind one group, against targets that are known functions of time (replicas.py)."""
import time

import replicas
from lib import *


def test_independent_replicas():
    """The kinds, and some of the random schedules of tests/torture/test_replicas.py."""
    replicas.compare_pair(replicas.scenarios() + replicas.random_scenarios(1, 12))


def test_copies_are_equal_to_one_server():
    """One stream, of which each storage lost another part: every raw sample of both is there, value by value."""
    start = int(time.time()) // 60 * 60 - 3600
    samples = [((start + 7 * k + k % 3) * 1000, float(k)) for k in range(400)]
    series = lambda lost: [({"__name__": "m", "job": "j"}, [s for k, s in enumerate(samples) if k % 50 not in lost])]
    left, right = Prometheus(name="left"), VictoriaMetrics(name="right")
    for server, lost in ((left, (3, 4, 20)), (right, (10, 11, 30))):
        assert push(server.write_url, series(lost)).status == 204
    right.get("/internal/force_flush")
    wait_until(lambda: len(right.raw("m")) == 1)
    sluice = Sluice("server_groups:\n- static_configs: [{targets: "
                    f"['{left.address}', '{right.address}']}}]\n")
    wait_until(lambda: sum(map(len, sluice.raw("m", "2h").values())) == 400, 20, "all samples of both")
    assert list(sluice.raw("m", "2h").values()) == [samples]
    rates = sluice.query_range("rate(m[1m])", start + 100, start + 2700, 15)["result"][0]["values"]
    assert len(rates) > 100 and all(float(v) > 0.01 for _, v in rates), rates


def test_copies_are_known_after_a_reload():
    """An instant query reads too little to tell copies from scrapes of two servers. What longer queries showed holds on:
    the newest sample, which only one copy has, is added at once, not when the other's is overdue."""
    now = int(time.time())
    samples = [((now - 5 - 50 * (60 - k)) * 1000, float(k)) for k in range(61)]
    left, right = Prometheus(name="left"), Prometheus(name="right")
    for server, n in ((left, 60), (right, 61)):
        assert push(server.write_url, [({"__name__": "m", "job": "j"}, samples[:n])]).status == 204
    config = f"server_groups:\n- static_configs: [{{targets: ['{left.address}', '{right.address}']}}]\n"
    sluice = Sluice(config)
    newest = lambda: float(sluice.query("m", now)["result"][0]["value"][1])
    assert newest() == 59, "nothing is known of the servers"
    sluice.query("count_over_time(m[50m])", now)
    assert newest() == 60
    assert sluice.reconfigure(config + "  name: pair\n").status == 200
    assert newest() == 60
