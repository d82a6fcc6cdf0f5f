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
