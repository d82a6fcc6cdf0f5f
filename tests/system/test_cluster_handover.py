# SPDX-License-Identifier: Apache-2.0
"""Targets that move between members as planned: what ends at that moment, and the order of samples."""
import datetime
import threading
import time

from clusters import *
from lib import *
from regions import Link


class Going:
    """A page with series until a time that is set later."""

    def __init__(self, *names):
        self.until = {name: float("inf") for name in names}

    def page(self, n, ms):
        return "".join(f'going_{name}{{i="{i}"}} {n}\n' for name, until in self.until.items() if ms < until for i in range(3)) + "stays 1\n"


def announced(c, name, key):
    """Unix ms of a planned change of a member, as the member `a` knows it."""
    def found():
        times = [m[key] for m in c.view("a")["members"] if m["id"] == name]
        return times[0] if times else None
    at = wait_until(found, 20, f"{key} of {name}")
    return parse_rfc3339_ms(at)


def parse_rfc3339_ms(text):
    return int(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def must_end_once(c, name):
    """Each series of the family has one stale marker, after all of its samples."""
    def ended():
        return sum(any(is_stale(v) for t, v in samples) for samples in c.sink.find(f"going_{name}").values())
    series = 3 * c.targets
    wait_until(lambda: ended() == series, 30, f"the end of {series} series going_{name}")
    for labels, samples in c.sink.find(f"going_{name}").items():
        assert [is_stale(v) for t, v in sorted(samples)] == [False] * (len(samples) - 1) + [True], (labels, samples)


@waits
def test_series_that_vanish_at_the_hand_over_end_once():
    going = Going("join", "leave", "never")
    c = Cluster(page=going.page)
    c.start("a")
    c.settle("a")
    wait_until(lambda: len(c.sink.find("going_never")) == 3 * TARGETS, 20, "the first samples")
    since = c.now() + INTERVAL_MS
    c.start("b")
    going.until["join"] = announced(c, "b", "from")
    c.settle("a", "b")
    must_end_once(c, "join")
    taken = len(c.owned("b"))
    assert c.members["b"].metric("sluice_cluster_taken_targets_total") == taken
    assert c.members["b"].metric("sluice_cluster_handover_duration_seconds_count") == 1
    stopping = threading.Thread(target=c.members["b"].stop)
    stopping.start()
    going.until["leave"] = announced(c, "b", "until")
    c.settle("a")
    stopping.join()
    must_end_once(c, "leave")
    a = c.members["a"]
    assert a.metric("sluice_cluster_taken_targets_total") == taken and a.metric("sluice_cluster_moved_targets_total") == taken
    for name in ("gap_slots", "overlap_slots", "handovers_failed", "handovers_late"):
        assert a.metric(f"sluice_cluster_{name}_total") == 0, name
    assert c.slots_until_now(since) == (0, 0, 0)
    assert not any(is_stale(v) for samples in c.sink.find("going_never").values() for t, v in samples)


@waits
def test_samples_stay_in_order_at_a_destination_that_lags():
    """The former owner's samples wait for seconds; a Prometheus without an out-of-order window gets all of them in order."""
    storage = Prometheus()
    c = Cluster(sink_url=f"{storage.url}/api/v1/write")
    link = Link(int(storage.address.split(":")[1]), seed=1)
    c.start("a", sink_url=f"http://{link.address}/api/v1/write")
    c.settle("a")
    time.sleep(2.5)
    since = c.now()
    link.set("partition")
    c.start("b")
    c.settle("a", "b")
    held = lambda: c.members["b"].metric("sluice_cluster_standby_scrapes")
    wait_until(lambda: held() >= len(c.owned("b")), 20, "scrapes that are held")
    time.sleep(INTERVAL_MS / 1000)
    link.set(None)
    wait_until(lambda: held() == 0, 20, "their release")
    time.sleep(2.5)
    until = c.now()
    c.wait_slots(until)
    found = storage.raw("up", window=f"{(until - since) // 1000 + 10}s", time=until / 1000)
    counts = c.count_slots(found, since, until)
    refused = {name: storage.metric(f"prometheus_tsdb_{name}_samples_total") for name in ("out_of_order", "too_old", "out_of_bound")}
    assert counts == (0, 0, 0) and not any(refused.values()), (counts, refused)
    assert sum(m.metric("vmagent_remotewrite_samples_dropped_total") for m in c.members.values()) == 0
