# SPDX-License-Identifier: Apache-2.0
"""Rules, alerts, targets and the like of all servers in one response, compared with what each Prometheus says."""
import json
import socket
import time

import misbehaving
from lib import *

RULES = """groups:
- name: beta
  interval: 1s
  rules:
  - {record: "a:up", expr: "up", labels: {team: x}}
  - {alert: Up, expr: up == 1, labels: {severity: page, who: "{{ $labels.job }}"}, annotations: {text: "<{{ $value }}>"}}
- name: alpha
  interval: 1s
  rules:
  - {alert: Down, expr: up == 0, for: 1h}
  - {alert: Never, expr: up == 2}
"""


def wait_evaluated(server, alerts=1):
    wait_until(lambda: len(server.data("/api/v1/alerts")["alerts"]) >= alerts, what=f"alerts of {server.name}")
    return server


def ruler(name, jobs):
    """A Prometheus with the rules and these jobs: {name: target}."""
    write_file("rules.yml", RULES)
    scrapes = "".join(f"- job_name: {job}\n  static_configs: [{{targets: ['{target}', 'unwanted:1']}}]\n"
                      f"  relabel_configs: [{{source_labels: [__address__], regex: unwanted:1, action: drop}}]\n"
                      for job, target in jobs.items())
    return Prometheus(f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{folder()}/rules.yml]\n"
                      f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:1']}}]}}]}}\n"
                      f"scrape_configs:\n{scrapes}", name=name)


class Servers:
    """Replicas a and b in group `pair`, which is labeled; c in group `solo`; VictoriaMetrics; a server that is gone."""

    def __init__(self):
        self.exporter = NodeExporter()
        gone = f"127.0.0.1:{free_port()}"
        self.a, self.b = (ruler(name, {"node": self.exporter.address, "gone": gone}) for name in ("a", "b"))
        self.c = ruler("c", {"solo": self.exporter.address})
        self.victoria = VictoriaMetrics()
        self.sluice = Sluice(f"""
global: {{scrape_interval: 1s}}
recent: {{retention: 0}}
scrape_configs:
- job_name: own
  static_configs: [{{targets: ['{self.exporter.address}']}}]
server_groups:
- name: pair
  labels: {{region: eu}}
  static_configs: [{{targets: ['{self.a.address}', '{self.b.address}']}}]
- name: solo
  static_configs: [{{targets: ['{self.c.address}']}}]
- name: vm
  static_configs: [{{targets: ['{self.victoria.address}']}}]
- name: silent
  ignore_error: true
  static_configs: [{{targets: ['{gone}']}}]
- name: lost
  labels: {{region: us}}
  static_configs: [{{targets: ['{gone}']}}]
""")
        for server in (self.a, self.b, self.c):
            wait_evaluated(server, 1 if server is self.c else 2)
        self.pair_urls = [self.a.url, self.b.url]

    def get(self, path, params=None):
        """The data; the only warning is about group `lost`."""
        answer = self.sluice.get(path, params)
        assert answer.status == 200 and answer.headers["Content-Type"] == "application/json", answer
        body = answer.json()
        assert len(body["warnings"]) == 1 and 'server group "lost"' in body["warnings"][0], body["warnings"]
        assert not body.get("infos"), body["infos"]
        return body["data"]


def without_times(item, *more):
    return {k: without_times(v, *more) if isinstance(v, dict) else [without_times(x, *more) if isinstance(x, dict) else x
                                                                    for x in v] if isinstance(v, list) else v
            for k, v in item.items()
            if k not in ("evaluationTime", "lastEvaluation", "lastScrape", "lastScrapeDuration", "activeAt", *more)}


def test_reports_of_servers():
    s = Servers()
    check_rules(s)
    check_rule_filters(s)
    check_alerts(s)
    check_targets(s)
    check_lists(s)
    check_replica_down(s)
    check_chain(s)


def check_rules(s):
    groups = s.get("/api/v1/rules")["groups"]
    assert [(g["name"], g["serverGroup"], g["servers"]) for g in groups] == [
        ("alpha", "pair", s.pair_urls), ("alpha", "solo", [s.c.url]),
        ("beta", "pair", s.pair_urls), ("beta", "solo", [s.c.url])], groups
    added = ("serverGroup", "servers")
    for mine, theirs in ((groups[1::2], s.c.data("/api/v1/rules")["groups"]),
                         (groups[::2], s.a.data("/api/v1/rules")["groups"])):
        mine, theirs = ([without_times(g, *added) for g in x] for x in (mine, theirs))
        if mine[0]["rules"][0].get("labels", {}).get("region"):
            for group in theirs:
                for rule in group["rules"]:
                    rule.setdefault("labels", {})["region"] = "eu"
                    for alert in rule.get("alerts", []):
                        alert["labels"]["region"] = "eu"
        assert mine == theirs, f"{mine}\n{theirs}"
    rule = groups[1]["rules"][1]
    assert list(rule) == list(s.c.data("/api/v1/rules")["groups"][0]["rules"][1]), list(rule)
    assert list(groups[2]["rules"][0]) == list(s.a.data("/api/v1/rules")["groups"][1]["rules"][0])


def check_rule_filters(s):
    def names(params):
        mine = [(g["serverGroup"], g["name"], r["name"]) for g in s.get("/api/v1/rules", params)["groups"]
                for r in g["rules"]]
        theirs = [(g["name"], r["name"]) for g in s.c.data("/api/v1/rules", params)["groups"] for r in g["rules"]]
        assert [x[1:] for x in mine if x[0] == "solo"] == theirs, f"{params}: {mine}, Prometheus: {theirs}"
        return mine

    everything = names({})
    assert len(everything) == 8, everything
    for params in ({"type": "alert"}, {"type": "record"}, {"type": "Alert"}, {"rule_name[]": ["Up", "Never"]},
                   {"rule_group[]": "alpha"}, {"file[]": f"{folder()}/rules.yml"}, {"file[]": "other"},
                   {"match[]": '{severity="page"}'}, {"match[]": ['{team="x"}', '{severity=~"p.*"}']},
                   {"match[]": '{who!=""}'}, {"exclude_alerts": "true"},
                   {"rule_group[]": ["beta"], "type": "alert", "rule_name[]": ["Up"]}):
        names(params)
    assert [n[0] for n in names({"match[]": '{region="eu"}'})] == ["pair"] * 4
    assert all(r["alerts"] is None for g in s.get("/api/v1/rules", {"exclude_alerts": "true", "type": "alert"})["groups"]
               for r in g["rules"])
    for params in ({"type": "x"}, {"exclude_alerts": "x"}, {"group_limit": 0}, {"group_limit": "x"}, {"group_limit": -1},
                   {"group_next_token": "x"}, {"group_limit": 1, "group_next_token": "x"}, {"match[]": "x{"},
                   {"match[]": '{severity=""}'}):
        ours, theirs = (p.get("/api/v1/rules", params) for p in (s.sluice, s.c))
        assert (ours.status, ours.json()) == (theirs.status, theirs.json()), f"{params}: {ours}, {theirs}"
    pages, token = [], None
    while True:
        page = s.get("/api/v1/rules", {"group_limit": 3, **({"group_next_token": token} if token else {})})
        pages.append([(g["serverGroup"], g["name"], r["name"]) for g in page["groups"] for r in g["rules"]])
        token = page.get("groupNextToken")
        if not token:
            break
    assert len(pages) == 2 and sum(pages, []) == everything, pages


def check_alerts(s):
    alerts = s.get("/api/v1/alerts")["alerts"]
    of = {name: [a for a in alerts if a["serverGroup"] == name] for name in ("pair", "solo")}
    assert len(of["pair"]) + len(of["solo"]) == len(alerts)
    assert all(a["servers"] == s.pair_urls and a["labels"]["region"] == "eu" for a in of["pair"]), alerts
    strip = lambda items: [without_times(a, "serverGroup", "servers") for a in items]
    assert strip(of["solo"]) == strip(s.c.data("/api/v1/alerts")["alerts"])
    theirs = strip(s.a.data("/api/v1/alerts")["alerts"])
    assert len(theirs) == 2 and len(of["pair"]) == 2, alerts
    for a in theirs:
        a["labels"]["region"] = "eu"
    by_text = lambda items: sorted(items, key=lambda a: json.dumps(a, sort_keys=True))
    assert by_text(strip(of["pair"])) == by_text(theirs), f"{of['pair']}\n{theirs}"
    since = min(a["activeAt"] for p in (s.a, s.b) for a in p.data("/api/v1/alerts")["alerts"] if a["state"] == "firing")
    assert [a["activeAt"] for a in of["pair"] if a["state"] == "firing"] == [since]


def check_targets(s):
    targets = s.get("/api/v1/targets")
    active = targets["activeTargets"]
    assert [(t["scrapePool"], t.get("serverGroup")) for t in active] == [
        ("own", None), ("gone", "pair"), ("node", "pair"), ("solo", "solo")], active
    assert [t["health"] for t in active[1:]] == ["down", "up", "up"]
    theirs = {t["scrapePool"]: t for t in s.a.data("/api/v1/targets")["activeTargets"]}
    assert active[2]["labels"] == {**theirs["node"]["labels"], "region": "eu"}
    strip = lambda t: without_times(t, "serverGroup", "servers", "labels", "globalUrl")
    assert strip(active[2]) == strip(theirs["node"]) and active[2]["servers"] == s.pair_urls
    assert list(theirs["node"]) == [k for k in active[2] if k not in ("serverGroup", "servers")]
    dropped = targets["droppedTargets"]
    assert [(t["scrapePool"], t["serverGroup"]) for t in dropped] == [
        ("gone", "pair"), ("node", "pair"), ("solo", "solo")], dropped
    assert targets["droppedTargetCounts"] == {"gone": 1, "node": 1, "own": 0, "solo": 1}, targets
    for params, pools, n_dropped in (({"state": "active"}, ["own", "gone", "node", "solo"], 0), ({"state": "dropped"}, [], 3),
                                     ({"state": "any", "scrapePool": "node"}, ["node"], 1),
                                     ({"scrapePool": "own"}, ["own"], 0), ({"scrapePool": "none"}, [], 0)):
        got = s.get("/api/v1/targets", params)
        assert [t["scrapePool"] for t in got["activeTargets"]] == pools, f"{params}: {got}"
        assert len(got["droppedTargets"]) == n_dropped, f"{params}: {got}"


def check_lists(s):
    assert s.get("/api/v1/scrape_pools") == {"scrapePools": ["gone", "node", "own", "solo"]}
    assert s.get("/api/v1/alertmanagers") == {"activeAlertmanagers": [{"url": "http://127.0.0.1:1/api/v2/alerts"}],
                                              "droppedAlertmanagers": []}
    key = lambda m: sorted((k, repr(v)) for k, v in m.items())
    params = {"metric": "node_load1"}
    mine, theirs = s.get("/api/v1/targets/metadata", params), s.c.data("/api/v1/targets/metadata", params)
    expected = theirs + [{**m, "target": {**m["target"], "job": "own"}} for m in theirs]
    expected += [{**m, "target": {**m["target"], "job": "node", "region": "eu"}} for m in theirs]
    assert len(theirs) == 1 and sorted(mine, key=key) == sorted(expected, key=key), mine
    assert mine[0]["target"]["job"] == "own", mine
    got = s.sluice.data("/api/v1/targets/metadata", {**params, "match_target": '{region="eu",job="node"}'})
    assert [m["target"]["region"] for m in got] == ["eu"], got
    everything = s.get("/api/v1/targets/metadata", {"match_target": '{job=~"own|solo"}'})
    assert {m["target"]["job"] for m in everything} == {"own", "solo"} and "metric" in everything[0]
    assert len(s.get("/api/v1/targets/metadata", {"limit": 2})) == 2
    for params in ({"limit": "x"}, {"match_target": "x{"}):
        ours, theirs = (p.get("/api/v1/targets/metadata", params) for p in (s.sluice, s.c))
        assert (ours.status, ours.json()) == (theirs.status, theirs.json()), f"{params}: {ours}, {theirs}"


def check_chain(s):
    """sluice behind sluice: the same rules, and the outer one names the inner one."""
    outer = Sluice(f"server_groups:\n- name: inner\n  static_configs: [{{targets: ['{s.sluice.address}']}}]\n", name="outer")
    mine, theirs = outer.data("/api/v1/rules")["groups"], s.sluice.data("/api/v1/rules")["groups"]
    assert [(g["file"], g["name"]) for g in mine] == [("%s/rules.yml" % folder(), name) for name in ("alpha", "beta")]
    assert all(g["serverGroup"] == "inner" and g["servers"] == [s.sluice.url] for g in mine), mine
    assert sum(len(g["rules"]) for g in mine) == sum(len(g["rules"]) for g in theirs) == 8


def check_replica_down(s):
    s.b.kill9()
    body = s.sluice.get("/api/v1/rules").json()
    assert [g["servers"] for g in body["data"]["groups"][:2]] == [[s.a.url], [s.c.url]], body
    assert len(body["infos"]) == 1 and s.b.address in body["infos"][0], body["infos"]


def test_a_hung_server_holds_no_report():
    with socket.socket() as hung:
        hung.bind(("127.0.0.1", 0))
        hung.listen(5)
        sluice = Sluice("recent: {retention: 0}\nscrape_configs:\n- job_name: own\n"
                        "  static_configs: [{targets: ['127.0.0.1:1']}]\nserver_groups:\n- name: hung\n"
                        f"  static_configs: [{{targets: ['127.0.0.1:{hung.getsockname()[1]}']}}]\n")
        start = time.monotonic()
        body = sluice.get("/api/v1/targets").json()
        assert time.monotonic() - start < 7, "the limit of such requests is 5 s"
        assert len(body["data"]["activeTargets"]) == 1 and 'server group "hung"' in body["warnings"][0], body


def test_a_report_without_end():
    """Costs a part of the memory that queries may have, and the server's report only."""
    target = b'{"labels":{"job":"x","instance":"a:1"},"health":"up"},'

    def talks(server, request, right):
        misbehaving.endless(server, request, b'{"status":"success","data":{"activeTargets":[', target * 1000)
    talker, exporter = misbehaving.Misbehaving(talks, only=["targets"]), NodeExporter()
    sluice = Sluice("recent: {retention: 0}\nscrape_configs:\n- job_name: own\n"
                    f"  static_configs: [{{targets: ['{exporter.address}']}}]\nserver_groups:\n- name: talks\n"
                    f"  static_configs: [{{targets: ['{talker.address}']}}]\n")
    body = sluice.get("/api/v1/targets").json()
    assert len(body["data"]["activeTargets"]) == 1, body
    assert "MiB of memory" in body["warnings"][0] and talker.address in body["warnings"][0], body["warnings"]
    if RELEASE:
        assert sluice.memory_kib()["VmHWM"] <= 100 << 10, sluice.memory_kib()
    sluice.stop()
