# SPDX-License-Identifier: Apache-2.0
"""2,000 targets every 5 s, 3 to 5 members, everything that can happen to them and to etcd, one after the other, and the
scrapes of each phase counted slot by slot: planned changes and faults of etcd lose and double none, and end no series."""
import time

from clusters import *
from lib import *
from regions import Link

TARGETS, INTERVAL_MS, LEASE_S = 2000, 5000, 5


class Phases:
    def __init__(self, more="", targets=TARGETS):
        self.c = Cluster(targets=targets, lease=LEASE_S, interval_ms=INTERVAL_MS, more=more)
        self.link = Link(self.c.etcd.port, seed=1)
        for name in "abc":
            self.c.start(name)
        self.c.start("d", etcd=int(self.link.address.split(":")[1]))
        self.c.settle(*"abcd")
        time.sleep(2 * INTERVAL_MS / 1000)

    def count(self, what, change, names, most_missing=0, most_double=0):
        """most_missing: slots of the targets that a fault hits. most_double: those that are repeated."""
        since = self.c.now()
        change()
        self.c.settle(*names)
        time.sleep(2 * INTERVAL_MS / 1000)
        until = self.c.now()
        self.c.wait_slots(until)
        missing, double, stale = self.c.slots(since, until)
        c = self.c
        print(f"{what}: {missing} slots missing ({c.most_missing} of one target), {double} double, {stale} stale markers so far, in {(until - since) / 1000:.0f} s", flush=True)
        assert double <= most_double and stale == 0 and missing <= most_missing, (what, missing, double, stale)
        assert c.most_missing <= LEASE_S * 1000 // INTERVAL_MS + 1, (what, c.most_missing)  # the lease and one interval

    def slots_of(self, name, seconds):
        return len(self.c.owned(name)) * (seconds * 1000 // INTERVAL_MS + 1)


@seconds(900)
def test_cluster_changes():
    cluster_changes(Phases())


@seconds(900)
def test_cluster_changes_with_standbys():
    """The scrapes of a member that crashes are sent by others. What it had sent in the last moment, up to a second, and for a
    suspended one what it sends when it wakes up, is sent twice: a third of its targets' scrapes at most."""
    cluster_changes(Phases("  replication_factor: 2\n", targets=TARGETS // 2), standbys=True)  # each is scraped twice


def cluster_changes(p, standbys=False):
    c = p.c

    def fault(what, name, change, names):
        lost, again = p.slots_of(name, LEASE_S + 3), len(c.owned(name)) // 3
        p.count(what, change, names, 0 if standbys else lost, again if standbys else 0)
    p.count("a member joins", lambda: c.start("e"), "abcde")
    p.count("a member leaves", lambda: c.members["b"].stop(), "acde")

    def restart(name):
        c.members[name].stop()
        c.members[name].start()
        c.members[name].wait_ready()
    p.count("a member restarts", lambda: restart("c"), "acde")
    fault("a member is killed", "e", lambda: c.members["e"].kill9(), "acd")

    def suspend():
        signal_to(c.members["a"], "SIGSTOP")
        c.members.pop("a")
        c.settle(*"cd")
        time.sleep(INTERVAL_MS / 1000)
        signal_to(suspended, "SIGCONT")
        c.members["a"] = suspended
    suspended = c.members["a"]
    fault("a member is suspended", "a", suspend, "acd")

    def cut():
        p.link.set("partition")
        wait_until(lambda: c.view("d")["role"] == "fenced", 30, "the fence")
        time.sleep(INTERVAL_MS / 1000)
        p.link.set(None)
    fault("a member is cut off from etcd", "d", cut, "acd")

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
