# SPDX-License-Identifier: Apache-2.0
"""Members of a cluster share the targets, coordinated by a real etcd: what each change of the members does to the samples,
counted slot by slot at one destination of all."""
import collections
import json
import time

from lib import *

TARGETS = 60
INTERVAL_MS = 1000
LEASE_S = 3
HANDOVER_MS = 1000

CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 900ms}}
cluster:
  id: {id}
  address: http://127.0.0.1:{port}
  lease: {lease}s
  handover: {handover}ms
{more}
  etcd: {{endpoints: ['http://127.0.0.1:{etcd}']}}
scrape_configs:
- job_name: shared
  static_configs:
{targets}
remote_write:
- url: {sink}
  queue_config: {{batch_send_deadline: 100ms}}
"""


class Cluster:
    def __init__(self, targets=TARGETS, lease=LEASE_S, more="", etcd_flags=()):
        self.etcd, self.sink, self.exporter = Etcd(*etcd_flags), RecordingSink(), ScriptedExporter(series=1)
        self.targets, self.lease, self.more, self.members = targets, lease, more, {}

    def start(self, name, **more):
        port = free_port()
        targets = "\n".join(f"  - {{targets: ['{self.exporter.address}'], labels: {{n: '{i}'}}}}" for i in range(self.targets))
        config = CONFIG.format(id=name, port=port, lease=self.lease, handover=HANDOVER_MS, etcd=self.etcd.port, targets=targets,
                               sink=self.sink.url, more=self.more.format(id=name, **more))
        self.members[name] = Sluice(config, name=name, port=port)
        return self.members[name]

    def view(self, name):
        return self.members[name].data("/api/v1/cluster")

    def wait_active(self, *names, timeout=30):
        """All members see these, and only these, as active."""
        def settled():
            for m in self.members.values():
                if m.alive() and sorted(x["id"] for x in m.data("/api/v1/cluster")["members"] if x["state"] == "active") != sorted(names):
                    return False
            return True
        wait_until(settled, timeout, f"active members {names}")

    def owned(self, name):
        """The targets that this member scrapes."""
        return {t["labels"]["n"] for t in self.members[name].get("/api/v1/targets").json()["data"]["activeTargets"]}

    def wait_owned(self, *names, timeout=20):
        """Each target has one owner among these members."""
        def settled():
            owned = [n for name in names for n in self.owned(name)]
            return len(owned) == self.targets and len(set(owned)) == self.targets
        wait_until(settled, timeout, "one owner for each target")

    def slots(self, since, until):
        """Missing and double samples of `up`, and stale markers, of all targets whose slots lie in this time."""
        missing = double = stale = 0
        found = self.sink.find("up")
        assert len(found) == self.targets, len(found)
        for samples in found.values():
            times = collections.Counter(t // INTERVAL_MS for t, v in samples if since <= t < until and not is_stale(v))
            stale += sum(is_stale(v) for t, v in samples)
            double += sum(n - 1 for n in times.values())
            missing += sum(times[slot] == 0 for slot in range(since // INTERVAL_MS + 1, until // INTERVAL_MS))
        return missing, double, stale

    def now(self):
        return int(time.time() * 1000)

    def wait_slots(self, until):
        """All that was scraped before this time has arrived."""
        wait_until(lambda: self.now() > until + 1500, 30, "the end of the time")


@waits
def test_planned_changes_lose_and_double_nothing():
    c = Cluster()
    c.start("a")
    c.wait_active("a")
    c.wait_owned("a")
    wait_until(lambda: len(c.sink.find("up")) == TARGETS, 20, "the first samples")
    since = c.now() + INTERVAL_MS
    c.start("b")
    c.wait_active("a", "b")
    c.wait_owned("a", "b")
    a, b = c.owned("a"), c.owned("b")
    assert TARGETS / 4 < len(b) < TARGETS * 3 / 4 and a | b == {str(i) for i in range(TARGETS)}, (a, b)
    time.sleep(1.5)
    c.start("c")
    c.wait_active("a", "b", "c")
    c.wait_owned("a", "b", "c")
    assert c.owned("a") < a and c.owned("b") < b  # only to the new one
    time.sleep(1.5)
    assert c.members["b"].stop() == 0
    c.wait_active("a", "c")
    c.wait_owned("a", "c")
    time.sleep(1.5)
    until = c.now()
    c.wait_slots(until)
    assert c.slots(since, until) == (0, 0, 0), c.slots(since, until)
    found = c.members["a"].get("/service-discovery").text
    assert "scraped by the cluster's member c" in found, found[:2000]
    assert c.members["a"].metric("sluice_cluster_active_members") == 2


@waits
def test_a_member_that_crashes_is_replaced_when_its_lease_ends():
    c = Cluster()
    for name in "ab":
        c.start(name)
    c.wait_active("a", "b")
    c.wait_owned("a", "b")
    time.sleep(2)
    since = c.now()
    lost = len(c.owned("b"))
    c.members["b"].kill9()
    c.wait_active("a")
    c.wait_owned("a")
    until = c.now() + 2000
    c.wait_slots(until)
    missing, double, stale = c.slots(since, until)
    assert double == 0 and stale == 0, (missing, double, stale)
    slots = (LEASE_S + 3) * 1000 // INTERVAL_MS  # etcd ends leases up to 2 s late
    assert 0 < missing <= lost * slots, (missing, lost)


@waits
def test_a_suspended_member_scrapes_nothing_after_its_lease():
    c = Cluster()
    for name in "ab":
        c.start(name)
    c.wait_active("a", "b")
    c.wait_owned("a", "b")
    time.sleep(2)
    since = c.now()
    os_kill(c.members["b"], "SIGSTOP")
    wait_until(lambda: len(c.view("a")["members"]) == 1, 20, "the end of the lease")
    wait_until(lambda: len(c.owned("a")) == TARGETS, 20, "all targets at a")
    time.sleep(1.5)
    os_kill(c.members["b"], "SIGCONT")
    c.wait_active("a", "b")
    c.wait_owned("a", "b")
    time.sleep(1.5)
    until = c.now()
    c.wait_slots(until)
    missing, double, stale = c.slots(since, until)
    assert missing > 0 and double == 0 and stale == 0, (missing, double, stale)
    assert "lease in etcd has ended" in c.members["b"].log()


def os_kill(process, name):
    import os
    import signal
    os.kill(process.p.pid, getattr(signal, name))


@waits
def test_scrapes_go_on_without_etcd():
    c = Cluster()
    for name in "ab":
        c.start(name)
    c.wait_active("a", "b")
    c.wait_owned("a", "b")
    time.sleep(1.5)
    since = c.now()
    c.etcd.kill9()  # away for longer than the lease
    wait_until(lambda: "no member can renew its lease" in c.members["a"].log(), 20, "a frozen view")
    time.sleep(LEASE_S + 1)
    for name in "ab":
        view = c.view(name)
        assert view["role"] == "active" and view["error"] != "" and len(view["members"]) == 2, view
    c.etcd.start()
    c.etcd.wait_ready()
    wait_until(lambda: all(c.view(name)["error"] == "" and c.view(name)["leaseRenewedMsAgo"] < 2000 for name in "ab"), 20, "etcd is followed again")
    os_kill(c.etcd, "SIGSTOP")  # silence
    wait_until(lambda: all(c.view(name)["error"] != "" for name in "ab"), 20, "silence is noticed")
    time.sleep(LEASE_S)
    os_kill(c.etcd, "SIGCONT")
    wait_until(lambda: all(c.view(name)["error"] == "" for name in "ab"), 20, "etcd is followed again")
    c.wait_active("a", "b")
    c.etcd.wipe()  # nothing is there any more
    wait_until(lambda: len(c.etcd.keys("/sluice/v1/default/members/")) == 2, 30, "both register again")
    c.wait_active("a", "b")
    c.wait_owned("a", "b")
    time.sleep(1.5)
    until = c.now()
    c.wait_slots(until)
    assert c.slots(since, until) == (0, 0, 0), c.slots(since, until)


@waits
def test_replicas_have_their_label():
    c = Cluster(targets=20, more="  replication_factor: 2\n  replica_label: replica")
    for name in "abc":
        c.start(name)
    c.wait_active("a", "b", "c")
    wait_until(lambda: sum(len(c.owned(name)) for name in "abc") == 40, 20, "two owners for each target")
    wait_until(lambda: len({s for s in c.sink.find("up") if ("n", "7") in s}) >= 2, 20, "both copies")
    by = collections.Counter(n for name in "abc" for n in c.owned(name))
    assert set(by.values()) == {2}, by


@waits
def test_a_second_process_with_the_same_id_waits():
    c = Cluster(targets=4)
    c.start("a")
    c.wait_active("a")
    first = c.members["a"]
    second = c.start("a")
    wait_until(lambda: "another process has this id" in second.log(), 20, "the conflict is reported")
    assert second.data("/api/v1/cluster")["role"] in ("connecting", "joining")
    assert not c.owned("a")
    first.kill9()
    wait_until(lambda: len(c.owned("a")) == 4, 20, "the second one after the first")


@waits
def test_compaction_and_other_keys_do_not_disturb():
    c = Cluster(targets=4)
    c.start("a")
    c.wait_active("a")
    c.etcd.put("/sluice/v1/other/members/x", "{}")
    c.etcd.put("/sluice/v1/default/members/broken", "no JSON")
    wait_until(lambda: "cannot be read" in c.members["a"].log(), 20, "the broken key is reported")
    assert [m["id"] for m in c.view("a")["members"]] == ["a"]
    c.etcd.delete("/sluice/v1/default/members/broken")
    os_kill(c.members["a"], "SIGSTOP")
    for i in range(20):
        c.etcd.put("/other", str(i))
    revision = c.etcd.put("/sluice/v1/default/members/y", json.dumps({"address": "http://127.0.0.1:1", "zone": "", "weight": 1, "from": 1, "until": 0, "boot": "y"}))
    c.etcd.call("/v3/kv/compaction", {"revision": revision["header"]["revision"], "physical": True})
    os_kill(c.members["a"], "SIGCONT")
    wait_until(lambda: [m["id"] for m in c.view("a")["members"]] == ["a", "y"], 20, "the member that joined meanwhile")


@waits
def test_etcd_with_users():
    c = Cluster(targets=4)
    for path, body in (("/v3/auth/user/add", {"name": "root", "password": "secret word"}), ("/v3/auth/role/add", {"name": "root"}),
                       ("/v3/auth/user/grant", {"user": "root", "role": "root"}), ("/v3/auth/enable", {})):
        c.etcd.call(path, body)
    port = free_port()
    config = f"""
cluster:
  id: a
  address: http://127.0.0.1:{port}
  etcd: {{endpoints: ['http://127.0.0.1:{c.etcd.port}'], username: root, password: USED}}
scrape_configs: [{{job_name: j, scrape_interval: 1s, static_configs: [{{targets: ['{c.exporter.address}']}}]}}]
"""
    a = Sluice(config.replace("USED", "wrong"), name="a", port=port)
    wait_until(lambda: a.data("/api/v1/cluster")["error"] != "", 20, "the refusal")
    error = a.data("/api/v1/cluster")["error"]
    assert "invalid user ID or password" in error or "authentication failed" in error, error
    assert "wrong" not in a.log()
    a.stop()
    a = Sluice(config.replace("USED", "'secret word'"), name="a2", port=port)
    wait_until(lambda: a.data("/api/v1/cluster")["role"] == "active", 20, "an active member")
    wait_until(lambda: len(a.get("/api/v1/targets").json()["data"]["activeTargets"]) == 1, 20, "its target")
