# SPDX-License-Identifier: Apache-2.0
"""2,000 targets every 5 s, 3 to 5 members, everything that can happen to them and to etcd, one after the other, and the
scrapes of each phase counted slot by slot: planned changes and faults of etcd lose and double none, and end no series."""
import time

from clusters import *
from lib import *
from regions import Link

TARGETS, INTERVAL_MS, LEASE_S = 2000, 5000, 5


class Phases:
    def __init__(self):
        self.c = Cluster(targets=TARGETS, lease=LEASE_S, interval_ms=INTERVAL_MS)
        self.link = Link(self.c.etcd.port, seed=1)
        for name in "abc":
            self.c.start(name)
        self.c.start("d", etcd=int(self.link.address.split(":")[1]))
        self.c.settle(*"abcd")
        time.sleep(2 * INTERVAL_MS / 1000)

    def count(self, what, change, names, most_missing=0):
        """most_missing: slots of the targets that a fault hits."""
        since = self.c.now()
        change()
        self.c.settle(*names)
        time.sleep(2 * INTERVAL_MS / 1000)
        until = self.c.now()
        self.c.wait_slots(until)
        missing, double, stale = self.c.slots(since, until)
        print(f"{what}: {missing} slots missing, {double} double, {stale} stale markers so far, in {(until - since) / 1000:.0f} s", flush=True)
        assert double == 0 and stale == 0 and missing <= most_missing, (what, missing, double, stale)

    def slots_of(self, name, seconds):
        return len(self.c.owned(name)) * (seconds * 1000 // INTERVAL_MS + 1)


@seconds(900)
def test_cluster_changes():
    p = Phases()
    c = p.c
    p.count("a member joins", lambda: c.start("e"), "abcde")
    p.count("a member leaves", lambda: c.members["b"].stop(), "acde")

    def restart(name):
        c.members[name].stop()
        c.members[name].start()
        c.members[name].wait_ready()
    p.count("a member restarts", lambda: restart("c"), "acde")
    lost = p.slots_of("e", LEASE_S + 3)
    p.count("a member is killed", lambda: c.members["e"].kill9(), "acd", lost)

    def suspend():
        signal_to(c.members["a"], "SIGSTOP")
        c.members.pop("a")
        c.settle(*"cd")
        time.sleep(INTERVAL_MS / 1000)
        signal_to(suspended, "SIGCONT")
        c.members["a"] = suspended
    suspended = c.members["a"]
    p.count("a member is suspended", suspend, "acd", p.slots_of("a", LEASE_S + 3))

    def cut():
        p.link.set("partition")
        wait_until(lambda: c.view("d")["role"] == "fenced", 30, "the fence")
        time.sleep(INTERVAL_MS / 1000)
        p.link.set(None)
    p.count("a member is cut off from etcd", cut, "acd", p.slots_of("d", LEASE_S + 3))

    def outage():
        c.etcd.kill9()
        time.sleep(3 * LEASE_S)
        c.etcd.start()
        c.etcd.wait_ready()
    p.count("etcd restarts", outage, "acd")

    def hang():
        signal_to(c.etcd, "SIGSTOP")
        time.sleep(3 * LEASE_S)
        signal_to(c.etcd, "SIGCONT")
    p.count("etcd hangs", hang, "acd")
    p.count("etcd is wiped", c.etcd.wipe, "acd")
