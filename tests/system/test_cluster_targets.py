# SPDX-License-Identifier: Apache-2.0
"""The targets of all members of a cluster at any of them: GET /api/v1/targets?scope=cluster, and the page /targets."""
import base64
import json

from clusters import *
from test_pages import html_page

STANDBYS = "  replication_factor: 2\n"


def listed(member, scope="cluster", **params):
    reply = member.get("/api/v1/targets", {"scope": scope, **params})
    assert reply.status == 200, reply
    return reply.json()


def members_of(data):
    return {t["labels"]["n"]: t["members"] for t in data["activeTargets"]}


@waits
def test_targets_of_all_members():
    c = Cluster(targets=12, more=STANDBYS)
    for name in "abc":
        c.start(name)
    c.settle("a", "b", "c")
    owned = {name: c.owned(name) for name in "abc"}
    kept = {name: c.standbys(name) for name in "abc"}
    for name in "abc":
        found = listed(c.members[name])
        members = members_of(found["data"])
        assert len(members) == 12 and len(found["data"]["activeTargets"]) == 12 and "warnings" not in found, found
        assert all(n in owned[m[0]] and n in kept[m[1]] and len(m) == 2 for n, m in members.items()), (members, owned, kept)
        assert not any(t.get("standby") for t in found["data"]["activeTargets"])
        assert found["data"]["droppedTargets"] == [] and found["data"]["droppedTargetCounts"] == {"shared": 0}, found["data"]
        alone = listed(c.members[name], "member")["data"]
        assert set(members_of(alone)) == owned[name] | kept[name] and alone["droppedTargets"] == [], alone
        assert listed(c.members[name], state="dropped")["data"]["activeTargets"] == []
        assert listed(c.members[name], scrapePool="other")["data"]["activeTargets"] == []
    page = html_page(c.members["a"], "/targets", {"scope": "cluster"})
    assert page.count("<br>member ") == 12 and "12 targets in 1 jobs" in page, page
    text = c.members["a"].get("/targets", {"scope": "cluster"}).body.decode()
    assert text.count("members=") == 12, text
    c.members["c"].kill9()
    found = listed(c.members["a"])  # before its lease ends
    assert len(found["warnings"]) == 1 and found["warnings"][0].startswith("cluster member c: "), found
    assert set(members_of(found["data"])) >= owned["a"] | owned["b"]
    assert "cluster member c: " in html_page(c.members["a"], "/targets", {"scope": "cluster"})


class FakeMember(Fake):
    """Responds with what `reply` returns."""

    def __init__(self, reply):
        self.reply, self.requests = reply, []
        super().__init__()

    def answer(self, request, body):
        self.requests.append((request.path, request.headers.get("Authorization")))
        self.reply(request)


def test_members_that_fail_are_named():
    c = Cluster(targets=2, more="  members: {{basic_auth: {{username: sluice, password: secret}}}}")
    target = {"discoveredLabels": {"__address__": "x:1"}, "labels": {"n": "far"}, "scrapePool": "shared", "scrapeUrl": "http://x:1/",
              "globalUrl": "http://far:1/", "lastError": "", "lastScrape": "2026-01-02T03:04:05.678Z", "lastScrapeDuration": 0.25,
              "health": "up", "scrapeInterval": "15s", "scrapeTimeout": "10s", "lastSamplesScraped": 7}
    data = {"activeTargets": [target], "droppedTargets": [], "droppedTargetCounts": {"shared": 3}}
    reply = lambda status, text: lambda request: request.reply(status, text.encode())
    fakes = {"good": FakeMember(reply(200, json.dumps({"status": "success", "data": data}))),
             "junk": FakeMember(reply(200, '{"status": "success", "data": {"activeTargets": [')),
             "labels": FakeMember(reply(200, json.dumps({"data": {"activeTargets": [{**target, "labels": {"": "x"}}]}}))),
             "script": FakeMember(reply(200, json.dumps({"data": {"activeTargets": [{**target, "scrapeUrl": "javascript:a"}]}}))),
             "empty": FakeMember(reply(200, "{}")),
             "refused": FakeMember(reply(401, "")),
             "hung": FakeMember(lambda request: time.sleep(8))}
    for name, fake in fakes.items():
        c.etcd.put(f"/sluice/v1/default/members/{name}", json.dumps(
            {"address": f"http://{fake.address}", "zone": "", "weight": 1e-9, "from": 1, "until": 0, "boot": name, "time": 0}))
    c.start("a")
    c.wait_active("a", *fakes)
    found = listed(c.members["a"])
    assert members_of(found["data"]) == {"0": ["a"], "1": ["a"], "far": ["good"]}, found
    far = next(t for t in found["data"]["activeTargets"] if t["labels"]["n"] == "far")
    assert far == {**target, "members": ["good"]}, far
    assert found["data"]["droppedTargetCounts"] == {"shared": 3}
    named = sorted(w.split(":")[0] for w in found["warnings"])
    assert named == [f"cluster member {name}" for name in ("empty", "hung", "junk", "labels", "refused", "script")], found["warnings"]
    asked = [r for r in fakes["good"].requests if r[0].startswith("/api/v1/targets")]
    basic = "Basic " + base64.b64encode(b"sluice:secret").decode()
    assert asked == [("/api/v1/targets?scope=member", basic)], asked


def test_errors_of_the_scope():
    alone = Sluice("scrape_configs: []\n")
    answer = alone.get("/api/v1/targets", {"scope": "cluster"})
    assert answer.status == 404 and "no member of a cluster" in answer.json()["error"], answer
    answer = alone.get("/api/v1/targets", {"scope": "all"})
    assert answer.status == 400 and "scope must be cluster or member" in answer.json()["error"], answer
    assert "scope" not in html_page(alone, "/targets")


@waits
def test_owners_of_a_target():
    """Which members own a target, and why: all members agree, and with what they scrape."""
    c = Cluster(targets=12, more="  replication_factor: 2\n  weight: {weight}\n  zone: {zone}\n")
    for name, zone, weight in (("a", "x", 1), ("b", "y", 1), ("c", "y", 2)):
        c.start(name, zone=zone, weight=weight)
    c.settle("a", "b", "c")
    owned = {name: c.owned(name) for name in "abc"}
    reports = [m.data("/api/v1/cluster/owners", {"q": "n=", "scrapePool": "shared"}) for m in c.members.values()]
    for report in reports:
        assert report["replicationFactor"] == 2 and report["matches"] == 12 and len(report["targets"]) == 12, report
        for target in report["targets"]:
            n, members = target["labels"]["n"], target["members"]
            owners = {m["owner"]: m for m in members}
            assert [m["rank"] for m in members] == [1, 2, 3] and members[0]["owner"] == 1, members
            assert n in owned[members[0]["id"]] and members[0]["reason"] == "the highest score"
            assert sorted((m["score"] for m in members), reverse=True) == [m["score"] for m in members]
            assert owners[2]["zone"] != members[0]["zone"] and owners[2]["reason"] == "the highest later score of the zones without an owner"
            assert owners[0]["reason"] in ("its zone has an owner", "a lower score"), owners
            assert {m["id"]: (m["zone"], m["weight"]) for m in members} == {"a": ("x", 1), "b": ("y", 1), "c": ("y", 2)}
    why = [sorted((t["key"], t["members"]) for t in report["targets"]) for report in reports]
    assert why[0] == why[1] == why[2]
    member = c.members["a"]
    assert member.data("/api/v1/cluster/owners", {"q": "n=", "scrapePool": "other"})["matches"] == 0
    page = html_page(member, "/cluster", {"q": 'N="3"'})
    assert "1 targets match" in page and page.count("<td class=n data-k=Rank>") == 3 and "the highest score" in page, page
    assert "Owners of a target" in html_page(member, "/cluster")
    text = member.get("/cluster", {"q": 'n="3"'}).body.decode()
    assert text.startswith("1 targets match") and text.count("\trank=") == 3, text
    assert Sluice("scrape_configs: []\n").get("/api/v1/cluster/owners").status == 404
