# SPDX-License-Identifier: Apache-2.0
"""Long failovers: a primary that is down for OUTAGE (600) seconds with scrapes and kill -9 in between, one that fails again
and again, and clean restarts."""
import os
import random
import time

from failover import *
from lib import *

OUTAGE = int(os.environ.get("OUTAGE", "600"))


def test_outage_with_restarts():
    outage_with_restarts("newest_first", lambda sluice: sluice.stop())


def test_flapping():
    """Outages that are shorter than failover_hold apart are one."""
    pair = Pair(after="1s", hold="6s")
    pair.push()
    wait_until(lambda: has(pair.main, pair.pushed) and pair.settled(), 30)
    first = pair.pushed
    for _ in range(3):
        pair.main.status = 503
        pair.push_while(lambda: pair.sending() and
                        pair.sluice.metric("sluice_remotewrite_oldest_pending_seconds", 'url="main"') > 1.2, what="an outage")
        pair.main.status = 204
        pair.push_while(lambda: pair.sluice.metric("sluice_remotewrite_oldest_pending_seconds", 'url="main"') < 0.5,
                        what="the primary accepts samples")
    assert pair.sluice.metric("sluice_failover_switches_total", 'url="spare"') == 1, "the backup was not switched to and fro"
    pair.push_while(lambda: not pair.sending(), what="the backup stops")
    wait_until(pair.settled, 30, "nothing is left")
    check_complete(pair, pair.main, 0, "primary")
    spare = numbers(pair.spare, 0)
    assert spare == [float(n) for n in range(first, first + len(spare))], f"no gap between the outages: {spare}"


@seconds(OUTAGE + 600)
def test_long_outage():
    """With the settings that are the defaults, but for a shorter hold."""
    pair = Pair(after="30s", hold="30s", drain="newest_first")
    pair.push_every(0.5, 10)
    first, pair.main.status = pair.pushed, 503
    began = time.monotonic()
    pair.push_every(0.5, 45, lambda: pair.sending())
    while time.monotonic() - began < OUTAGE:
        pair.push_every(0.5, random.uniform(10, 60))
        pair.sluice.kill9()
        pair.sluice.start().wait_ready()
        wait_until(pair.sending, 30, "the backup goes on where it was")
    wait_until(lambda: has(pair.spare, pair.pushed - first), 60, "the backup has the outage")
    pair.main.status = 204
    pair.push_every(0.5, 200, lambda: not pair.sending())
    wait_until(pair.settled, 60, "nothing is left")
    for series in range(SERIES):
        main, spare = numbers(pair.main, series), numbers(pair.spare, series)
        assert set(main) == set(range(pair.pushed)), f"series {series}: primary lacks {set(range(pair.pushed)) - set(main)}"
        assert sorted(set(spare)) == list(range(first, first + len(set(spare)))), f"series {series}: backup has gaps"
    assert pair.sluice.metric("sluice_failover_windows", 'url="spare"') == 1


@seconds(300)
def test_queries_of_real_receivers():
    """A primary that takes samples in order only, and a backup that does."""
    query_through_an_outage(Prometheus(name="main"), VictoriaMetrics(name="spare"))
    query_through_an_outage(VictoriaMetrics(name="main2"), Prometheus(name="spare2"), drain="newest_first")
