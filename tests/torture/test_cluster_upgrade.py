# SPDX-License-Identifier: Apache-2.0
"""A rolling upgrade of all members under load, several times: a Prometheus without a window for samples out of order gets each
sample once and in order."""
import os
import time

from clusters import *
from lib import *

ROUNDS = int(os.environ.get("ROUNDS", "3"))
TARGETS, INTERVAL_MS = 300, 2000


@seconds(180 + ROUNDS * 90)
def test_cluster_upgrade():
    storage = Prometheus()
    c = Cluster(targets=TARGETS, lease=5, interval_ms=INTERVAL_MS, sink_url=f"{storage.url}/api/v1/write")
    for name in "abc":
        c.start(name)
    c.wait_active("a", "b", "c")
    c.wait_owned("a", "b", "c", timeout=60)
    time.sleep(2 * INTERVAL_MS / 1000)
    since = c.now()
    for _ in range(ROUNDS):
        for name in "abc":
            c.members[name].stop()
            time.sleep(0.5)
            c.members[name].start()
            c.members[name].wait_ready()
            c.wait_active("a", "b", "c", timeout=60)
    time.sleep(2 * INTERVAL_MS / 1000)
    until = c.now()
    c.wait_slots(until)
    refused = {name: storage.metric(f"prometheus_tsdb_{name}_samples_total") for name in ("out_of_order", "too_old", "out_of_bound")}
    refused["duplicates"] = storage.metric("prometheus_target_scrapes_sample_duplicate_timestamp_total")
    found = storage.raw("up", window=f"{(until - since) // 1000 + 60}s", time=until / 1000)
    missing, double, stale = c.count_slots(found, since, until)
    print(f"{3 * ROUNDS} restarts in {(until - since) / 1000:.0f} s: {missing} slots missing, {double} double, {stale} stale markers; refused: {refused}")
    assert (missing, double, stale) == (0, 0, 0) and not any(refused.values()), (missing, double, stale, refused)
    assert sum(m.metric("vmagent_remotewrite_samples_dropped_total") for m in c.members.values()) == 0
