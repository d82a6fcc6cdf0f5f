# SPDX-License-Identifier: Apache-2.0
"""Members of a cluster share the targets, coordinated by a real etcd: what each change of the members does to the samples,
counted slot by slot at one destination of all."""
import collections
import json
import time

from clusters import *
from lib import *
from regions import Link

@waits
def test_planned_changes_lose_and_double_nothing():
    c = Cluster()
    c.start("a")
    c.settle("a")
    wait_until(lambda: len(c.sink.find("up")) == TARGETS, 20, "the first samples")
    since = c.now() + INTERVAL_MS
    c.start("b")
    c.settle("a", "b")
    a, b = c.owned("a"), c.owned("b")
    assert TARGETS / 4 < len(b) < TARGETS * 3 / 4 and a | b == {str(i) for i in range(TARGETS)}, (a, b)
    time.sleep(2.5)
    c.start("c")
    c.settle("a", "b", "c")
    assert c.owned("a") < a and c.owned("b") < b  # only to the new one
    time.sleep(2.5)
    assert c.members["b"].stop() == 0
    c.settle("a", "c")
    time.sleep(2.5)
    counts = c.slots_until_now(since)
    assert counts == (0, 0, 0), counts
    found = c.members["a"].get("/service-discovery").text
    assert "scraped by the cluster's member c" in found, found[:2000]
    assert c.members["a"].metric("sluice_cluster_active_members") == 2
    text, page = c.members["a"].get("/cluster").text, c.members["a"].get("/cluster", headers={"Accept": "text/html"}).text
    assert text.startswith("cluster default, member a: active\na state=active address=http://127.0.0.1:"), text
    assert "a</a> (this one)" in page and f"{c.members['c'].url}/targets" in page and "/cluster'>Cluster</a>" in page, page


@waits
def test_a_member_that_crashes_is_replaced_when_its_lease_ends():
    c = Cluster()
    c.start_all("ab")
    since = c.now()
    lost = len(c.owned("b"))
    c.members["b"].kill9()
    c.settle("a")
    until = c.now() + 2 * INTERVAL_MS
    c.wait_slots(until)
    missing, double, stale = c.slots(since, until)
    assert double == 0 and stale == 0, (missing, double, stale)
    slots = (LEASE_S + 3) * 1000 // INTERVAL_MS  # etcd ends leases up to 2 s late
    assert 0 < missing <= lost * slots, (missing, lost)


@waits
def test_a_suspended_member_scrapes_nothing_after_its_lease():
    c = Cluster()
    c.start_all("ab")
    since = c.now()
    signal_to(c.members["b"], "SIGSTOP")
    wait_until(lambda: len(c.view("a")["members"]) == 1, 20, "the end of the lease")
    wait_until(lambda: len(c.owned("a")) == TARGETS, 20, "all targets at a")
    time.sleep(2.5)
    signal_to(c.members["b"], "SIGCONT")
    c.settle("a", "b")
    time.sleep(2.5)
    missing, double, stale = c.slots_until_now(since)
    assert missing > 0 and double == 0 and stale == 0, (missing, double, stale)
    assert "lease in etcd has ended" in c.members["b"].log()


@waits
def test_scrapes_go_on_without_etcd():
    c = Cluster()
    c.start_all("ab")
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
    signal_to(c.etcd, "SIGSTOP")  # silence
    wait_until(lambda: all(c.view(name)["error"] != "" for name in "ab"), 20, "silence is noticed")
    time.sleep(LEASE_S)
    signal_to(c.etcd, "SIGCONT")
    wait_until(lambda: all(c.view(name)["error"] == "" for name in "ab"), 20, "etcd is followed again")
    c.wait_active("a", "b")
    c.etcd.wipe()  # nothing is there any more
    wait_until(lambda: len(c.etcd.keys("/sluice/v1/default/members/")) == 2, 30, "both register again")
    c.settle("a", "b")
    time.sleep(2.5)
    missing, double, stale = c.slots_until_now(since)
    assert (missing, double, stale) == (0, 0, 0)


@waits
def test_a_member_whose_key_is_removed_registers_again():
    """By hand, or since etcd was too slow: it scrapes, so nobody replaces it."""
    c = Cluster()
    c.start_all("ab")
    since = c.now()
    key = "/sluice/v1/default/members/b"
    for i in range(3):
        c.etcd.delete(key)
        wait_until(lambda: key in c.etcd.keys(key), 10, "the key again")
        time.sleep(0.5)
    c.settle("a", "b")
    assert c.slots_until_now(since) == (0, 0, 0)
    assert c.members["a"].metric("sluice_cluster_moved_targets_total") <= len(c.owned("b"))  # when b joined


STANDBY = "  replication_factor: 2\n"


def standby_cluster(targets=TARGETS):
    c = Cluster(targets=targets, more=STANDBY)
    c.start_all("abc")
    for name in "abc":
        assert not c.owned(name) & c.standbys(name)
    assert sorted(n for name in "abc" for n in c.standbys(name)) == sorted(str(i) for i in range(targets))
    wait_until(lambda: all(c.members[name].metric("sluice_cluster_standby_scrapes") >= len(c.standbys(name)) for name in "abc"), 20, "kept scrapes")
    time.sleep(2.5)
    return c


@waits
def test_a_standby_sends_what_a_crashed_member_did_not():
    c = standby_cluster()
    since, owned = c.now(), c.owned("b")
    c.members["b"].kill9()
    c.settle("a", "c")
    time.sleep(2.5)
    missing, double, stale = c.slots_until_now(since)
    # What b sent in the moment before it was killed is not known: at most one scrape of each of its targets is repeated.
    print(missing, double, stale, len(owned))
    assert missing == 0 and stale == 0 and double <= len(owned) * 2 // 3, (missing, double, stale, len(owned))
    assert sum(c.members[name].metric("sluice_cluster_standby_replayed_total") for name in "ac") >= len(owned)
    c.start("b")  # and takes its share again
    since = c.now()
    c.settle("a", "b", "c")
    time.sleep(2.5)
    assert c.slots_until_now(since) == (0, 0, 0)


@waits
def test_a_standby_in_another_zone_follows():
    """The next in the order may be in the zone of the member that crashed, where nothing is kept."""
    c = Cluster(targets=40, more=STANDBY + "  zone: {zone}\n")
    for name, zone in (("a", "x"), ("b", "x"), ("c", "y"), ("d", "y")):
        c.start(name, zone=zone)
    c.settle(*"abcd")
    assert c.standbys("a") <= c.owned("c") | c.owned("d")
    time.sleep(2 * INTERVAL_MS / 1000)
    since, owned = c.now(), c.owned("b")
    c.members["b"].kill9()
    c.settle(*"acd")
    time.sleep(2 * LEASE_S + 5)  # the standbys send until then
    c.settle(*"acd")
    missing, double, stale = c.slots_until_now(since)
    assert missing == 0 and stale == 0 and double <= len(owned) * 2 // 3, (missing, double, stale, len(owned))


@waits
def test_replicas_have_their_label():
    c = Cluster(targets=20, more="  replication_factor: 2\n  replica_mode: all\n  replica_label: replica")
    for name in "abc":
        c.start(name)
    c.wait_active("a", "b", "c")
    wait_until(lambda: sum(len(c.owned(name)) for name in "abc") == 40, 20, "two owners for each target")
    wait_until(lambda: len({s for s in c.sink.find("up") if ("n", "7") in s}) >= 2, 20, "both copies")
    by = collections.Counter(n for name in "abc" for n in c.owned(name))
    assert set(by.values()) == {2}, by


@waits
def test_whole_jobs_are_distributed():
    c = Cluster(targets=20, more="  distribute: config")
    c.start("a")
    c.start("b")
    c.settle("a", "b")
    assert sorted(len(c.owned(name)) for name in "ab") == [0, 20]


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
    signal_to(c.members["a"], "SIGSTOP")
    for i in range(20):
        c.etcd.put("/other", str(i))
    revision = c.etcd.put("/sluice/v1/default/members/y", json.dumps({"address": "http://127.0.0.1:1", "zone": "", "weight": 1, "from": 1, "until": 0, "boot": "y"}))
    c.etcd.call("/v3/kv/compaction", {"revision": revision["header"]["revision"], "physical": True})
    signal_to(c.members["a"], "SIGCONT")
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


@waits
def test_a_member_that_is_cut_off_from_etcd_is_fenced():
    c = Cluster(targets=20)
    link = Link(c.etcd.port, seed=1)
    c.start("a")
    c.start("b", etcd=int(link.address.split(":")[1]))
    c.settle("a", "b")
    time.sleep(2.5)
    since, lost = c.now(), len(c.owned("b"))
    link.set("partition")
    wait_until(lambda: len(c.owned("a")) == 20, 20, "all targets at a")
    wait_until(lambda: c.view("b")["role"] == "fenced", 20, "the fence")
    wait_until(lambda: "while others can: it scrapes nothing" in c.members["b"].log(), 20, "its log line")
    time.sleep(2.5)
    assert c.members["b"].metric("sluice_cluster_fenced_scrapes_total") > 0
    link.set(None)
    c.settle("a", "b")
    assert c.members["a"].metric("sluice_cluster_moved_targets_total") >= lost
    time.sleep(2.5)
    missing, double, stale = c.slots_until_now(since)
    assert double == 0 and stale == 0 and missing <= lost * 3, (missing, double, stale)


@waits
def test_a_member_that_reaches_nobody_keeps_scraping():
    c = Cluster(targets=20)
    links = [Link(c.etcd.port, seed=1)]

    def behind_link(port):
        links.append(Link(port, seed=2))
        return links[-1].address
    c.start("a", address=behind_link)
    c.start("b", etcd=int(links[0].address.split(":")[1]), address=behind_link)
    c.settle("a", "b")
    time.sleep(2.5)
    mine = c.owned("b")
    for link in links:
        link.set("partition")
    wait_until(lambda: "can reach neither etcd nor another member" in c.members["b"].log(), 20, "the log line")
    time.sleep(LEASE_S + 2)
    since = c.now()
    assert c.view("b")["role"] == "active" and c.owned("b") == mine, c.view("b")
    time.sleep(2 * INTERVAL_MS / 1000)
    until = c.now()
    c.wait_slots(until)
    for link in links:
        link.set(None)
    missing, double, stale = c.slots(since, until)
    assert missing == 0 and double > 0 and stale == 0, (missing, double, stale)  # a scrapes b's targets, too
    c.settle("a", "b")


@waits
def test_all_members_as_one_server_group():
    c = Cluster(targets=20, sections="recent: {}")
    for name in "ab":
        c.start(name)
    c.settle("a", "b")
    listed = c.members["b"].get("/api/v1/cluster/sd").json()
    assert sorted(t["targets"] for t in listed) == sorted([m.address] for m in c.members.values()), listed
    assert {t["labels"]["__meta_sluice_cluster_member"] for t in listed} == {"a", "b"} and listed[0]["labels"]["__scheme__"] == "http"
    reader = Sluice(f"server_groups: [{{name: members, http_sd_configs: [{{url: '{c.members['a'].url}/api/v1/cluster/sd'}}]}}]\n", name="reader")
    targets = lambda: {t["labels"]["n"] for t in reader.get("/api/v1/targets", {"state": "active"}).json()["data"]["activeTargets"]}
    wait_until(lambda: targets() == {str(i) for i in range(20)}, 20, "the targets of both")
    wait_until(lambda: reader.query("count(up)")["result"][0]["value"][1] == "20", 20, "the samples of both")
