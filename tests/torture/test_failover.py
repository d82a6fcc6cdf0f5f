# SPDX-License-Identifier: Apache-2.0
"""Long failovers: a primary that is down for OUTAGE (600) seconds with scrapes and kill -9 in between, one that fails again
and again, and clean restarts."""
import os
import random
import time

from failover import *
from lib import *

OUTAGE = int(os.environ.get("OUTAGE", "600"))
ROUNDS = int(os.environ.get("ROUNDS", "50"))


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


def check_windows(pair, acknowledged):
    """The backup has samples of its windows only, and all acknowledged ones of the times that are full."""
    windows = []
    for line in open(windows_file(pair.sluice), encoding="ascii").read().splitlines()[1:-1]:
        windows.append([float("inf") if t == "open" else int(t) for t in line.split()])
    for series in range(SERIES):
        have = {t for s in pair.spare.find("failover_test", series=str(series)).values() for t, _ in s}
        outside = [t for t in have if not any(first <= t <= last for first, last, _, _ in windows)]
        assert not outside, f"series {series}: {len(outside)} samples in no window of {windows}: {outside[:5]}"
        full = [t for t in acknowledged if any(first <= t <= last for _, _, first, last in windows)]
        lacks = [t for t in full if t not in have]
        assert not lacks, f"series {series}: the backup lacks {len(lacks)} samples of full times {windows}: {lacks[:5]}"
    return len(full)


@seconds(ROUNDS * 60 + 300)
def test_random_rounds():
    """Faults of both receivers, kill -9, clean restarts and reloads at random moments."""
    seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
    print(f"SEED={seed}")
    chance = random.Random(seed)
    pair = Pair(hold="20s", drain=chance.choice(("in_order", "newest_first")))
    pair.ahead_ms = 58000  # what is a minute newer than the primary's last response is in the backup
    acknowledged = []

    def push_for(seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pair.push()
            acknowledged.append(pair.last_ms)
            time.sleep(chance.choice((0.005, 0.05, 0.2)))

    def set_fault(sink, fault):
        sink.status, sink.drop, sink.hang, sink.lose_answer = 204, False, 0, False
        if fault == "drop":
            sink.drop = True
        elif fault == "lose":
            sink.lose_answer = True
        elif fault == "slow":
            sink.hang = 0.3
        elif fault:
            sink.status = fault
    for _ in range(ROUNDS):
        set_fault(pair.main, chance.choice((None, 503, 503, 429, "drop", "slow", "lose")))
        set_fault(pair.spare, chance.choice((None, None, None, 503, "slow")))
        push_for(chance.uniform(0.2, 5))
        event = chance.choice(("kill", "kill", "stop", "reload", "nothing"))
        if event == "kill":
            pair.sluice.kill9()
        elif event == "stop":
            set_fault(pair.main, None)  # a stop waits for responses
            pair.sluice.stop()
        elif event == "reload":
            pair.settings["drain"] = chance.choice(("in_order", "newest_first"))
            assert pair.sluice.reconfigure(pair.config()).status == 200
        if event in ("kill", "stop"):
            pair.sluice.start().wait_ready()
    set_fault(pair.main, None)
    set_fault(pair.spare, None)
    def ended():  # one that was restarted sends again once it has read the file
        return "open" not in open(windows_file(pair.sluice), encoding="ascii").read() and not pair.sending()
    pair.push_every(0.2, 90, ended)
    wait_until(lambda: ended() and pair.settled(), 60, "nothing is left, and the end of the window is on disk")
    for series in range(SERIES):
        main = set(numbers(pair.main, series))
        assert main == set(range(pair.pushed)), f"series {series}: the primary lacks {sorted(set(range(pair.pushed)) - main)[:10]}"
    full = check_windows(pair, acknowledged)
    print(f"hold {pair.settings['hold']}: {len(acknowledged)} pushes, {full} of them in full times of the backup")
    assert pair.sluice.metric("sluice_failover_windows", 'url="spare"') > 0, "there was no failover"


@seconds(300)
def test_audit_of_a_backup():
    """A minute after the last response of the primary the windows of the backup are complete; those of before are not
    compared, and samples that only the backup lacks are missing there."""
    pair = audited_pair()
    pair.push_every(0.5, 3)
    wait_until(pair.settled, 30, "the first samples")
    pair.main.stop()
    pair.push_every(0.5, 90)

    def audit(group):
        pair.spare.flush()
        return audited_server(pair, group, since="110s", window="2s", delay="3s")
    wait_until(lambda: audit("backup")["late"] == 0, 30, "the backup has everything")
    found = audit("backup")
    assert found["written"] > SERIES * 20 and found["written"] == found["returned"], found
    assert found["missing"] == found["extra"] == 0, found
    request(f"{pair.spare.url}/api/v1/admin/tsdb/delete_series", {"match[]": 'failover_test{series="1"}'})
    found = audit("backup")
    assert found["missing"] > 10 and found["written"] == found["returned"] + found["missing"], found
