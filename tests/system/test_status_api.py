# SPDX-License-Identifier: Apache-2.0
"""The status pages of the API: sizes of all storages, servers of groups, features, and what Prometheus has besides."""
import time

from lib import *

SHAPES = (("alpha", 7, 3), ("beta", 5, 2), ("gamma", 2, 1))  # name, series, values of `kind`


def series(end, start=0):
    return [({"__name__": name, "i": f"{name}-{start + k}", "kind": str(k % kinds)}, [((end - t) * 1000, k) for t in (60, 30, 0)])
            for name, n, kinds in SHAPES for k in range(n)]


def top(data, key):
    return {e["name"]: e["value"] for e in data[key]}


def test_sizes_of_storages():
    end = int(time.time()) // 60 * 60
    reference, b, c = (Prometheus(name=name) for name in ("reference", "b", "c"))
    own = Sluice("recent: {retention: 0}\n", name="own")
    for server in (reference, b, own):
        assert push(f"{server.url}/api/v1/write", series(end)).status == 204
    assert push(b.write_url, [({"__name__": "only_b", "i": "x"}, [(end * 1000, 1)])]).status == 204
    assert push(c.write_url, series(end, 100)).status == 204
    for limit in (1, 3, 100):
        mine, theirs = (s.data("/api/v1/status/tsdb", {"limit": limit}) for s in (own, reference))
        assert list(mine) == list(theirs) and list(mine["headStats"]) == list(theirs["headStats"])
        assert mine["headStats"] == theirs["headStats"], f"{mine['headStats']} {theirs['headStats']}"
        for key in list(mine)[1:]:
            values = lambda d: [e["value"] for e in d[key]]
            assert values(mine) == values(theirs), f"{limit}, {key}: {mine[key]} {theirs[key]}"
            if limit == 100:
                assert top(mine, key) == top(theirs, key), f"{key}: {mine[key]} {theirs[key]}"
    # replicas: the larger one of each number; groups: sums; VictoriaMetrics has other names for some
    victoria = VictoriaMetrics()
    assert push(victoria.write_url, series(end, 200)).status == 204
    wait_until(lambda: victoria.data("/api/v1/status/tsdb")["totalSeries"] == 14, what="series of VictoriaMetrics")
    all_of = Sluice(f"""
recent: {{like: d}}
remote_write: [{{name: d, url: '{c.write_url}'}}]
server_groups:
- name: pair
  static_configs: [{{targets: ['{reference.address}', '{b.address}']}}]
- name: written
  labels: {{region: eu}}
  written_by: d
  static_configs: [{{targets: ['{c.address}']}}]
- {{name: vm, static_configs: [{{targets: ['{victoria.address}']}}]}}
""", name="all")
    data = all_of.data("/api/v1/status/tsdb", {"limit": 100})
    assert data["headStats"]["numSeries"] == 15 + 14 + 14, data["headStats"]
    metrics = top(data, "seriesCountByMetricName")
    assert metrics == {"alpha": 21, "beta": 15, "gamma": 6, "only_b": 1}, metrics
    assert data["headStats"]["maxTime"] == end * 1000 and data["headStats"]["minTime"] == (end - 60) * 1000
    # what was pushed through sluice is the same in its recent store and in the group that its destination fills
    assert push(f"{all_of.url}/api/v1/write", [({"__name__": "through", "i": "x"}, [(end * 1000, 1)])]).status == 204
    wait_until(lambda: c.query("through", end)["result"], what="the sample at the destination")
    data = all_of.data("/api/v1/status/tsdb", {"limit": 100})
    assert top(data, "seriesCountByMetricName")["through"] == 1 and data["headStats"]["numSeries"] == 44, data
    for params in ({"limit": 0}, {"limit": "x"}, {"limit": -1}):
        ours, theirs = (s.get("/api/v1/status/tsdb", params) for s in (own, reference))
        assert (ours.status, ours.json()) == (theirs.status, theirs.json()), f"{params}: {ours} {theirs}"
    empty = Sluice("recent: {}\n", name="empty").data("/api/v1/status/tsdb")["headStats"]
    assert empty == Prometheus(name="empty2").data("/api/v1/status/tsdb")["headStats"], empty


def test_upstreams():
    prometheus, victoria, gone = Prometheus(), VictoriaMetrics(), f"127.0.0.1:{free_port()}"
    sluice = Sluice(f"""
recent: {{like: d}}
remote_write: [{{name: d, url: '{prometheus.write_url}'}}]
server_groups:
- name: pair
  labels: {{region: eu}}
  read_mode: hedge
  static_configs: [{{targets: ['{prometheus.address}', '{gone}']}}]
  written_by: d
- name: vm
  ignore_error: true
  static_configs: [{{targets: ['{victoria.address}']}}]
""")
    groups = wait_until(lambda: (lambda g: all(s["state"] != "unknown" for x in g for s in x["servers"]) and g)(
        sluice.data("/api/v1/status/upstreams")["groups"]), what="probes of all servers")
    pair, vm = groups
    assert (pair["group"], pair["labels"], pair["readMode"], pair["required"], pair["recent"]) == (
        "pair", {"region": "eu"}, "hedge", True, True), pair
    assert (vm["labels"], vm["readMode"], vm["required"], vm["recent"]) == ({}, "merge", False, False), vm
    a, b = pair["servers"]
    assert (a["url"], a["state"], a["kind"], a["breaker"]) == (prometheus.url, "up", "prometheus", "closed"), a
    assert a["version"] == prometheus.data("/api/v1/status/buildinfo")["version"].split("+")[0], a
    assert (b["state"], b["requests"], b["failures"]) == ("down", 1, 1) and "refused" in b["lastError"], b
    assert "lastErrorAt" in b and "lastSuccessAt" not in b and "version" not in b, b
    assert vm["servers"][0]["kind"] == "victoriametrics" and "version" not in vm["servers"][0], vm
    assert a["coverage"].keys() == {"targets", "gaps", "reachable"}, a


def test_status_of_the_program():
    prometheus = Prometheus()
    sluice = Sluice("recent: {retention: 90m}\n")
    for path in ("/api/v1/status/walreplay", "/api/v1/notifications"):
        assert sluice.get(path).json() == prometheus.get(path).json(), path
    for path in ("status/runtimeinfo", "status/buildinfo", "status/flags", "status/config"):
        mine, theirs = (s.data(f"/api/v1/{path}") for s in (sluice, prometheus))
        shape = lambda d: {k: type(v) for k, v in d.items()}
        assert path == "status/flags" or shape(mine) == shape(theirs), f"{path}: {mine} {theirs}"
    assert sluice.data("/api/v1/status/runtimeinfo")["storageRetention"] == "1h30m"
    mine, theirs = (s.get("/version").json() for s in (sluice, prometheus))
    assert mine.keys() == theirs.keys() and mine["version"].split(".")[0] == theirs["version"].split(".")[0], (mine, theirs)
    for method in ("POST", "PUT", "GET"):
        for path in ("/api/v1/admin/tsdb/delete_series", "/api/v1/admin/tsdb/snapshot",
                     "/api/v1/admin/tsdb/clean_tombstones", "/api/v1/admin/tsdb/else"):
            ours, theirs = (request(s.url + path, method=method) for s in (sluice, prometheus))
            assert (ours.status, ours.body.strip()) == (theirs.status, theirs.body.strip()), f"{method} {path}: {ours} {theirs}"
    for path in ("/api/v1/nothing", "/api/v1/", "/nothing"):
        ours, theirs = (s.get(path) for s in (sluice, prometheus))
        assert (ours.status, ours.body) == (theirs.status, theirs.body), f"{path}: {ours} {theirs}"
    assert sluice.get("/api/v1/notifications/live").status == 204
    assert sluice.reconfigure("nonsense: [").status == 500
    notes = sluice.data("/api/v1/notifications")
    assert len(notes) == 1 and notes[0]["active"] and notes[0]["text"] == "Configuration reload has failed.", notes
    assert abs(time.mktime(time.strptime(notes[0]["date"][:19], "%Y-%m-%dT%H:%M:%S")) - time.mktime(time.gmtime())) < 60, notes
    assert sluice.data("/api/v1/status/runtimeinfo")["reloadConfigSuccess"] is False
    assert sluice.reconfigure("recent: {}\n").status == 200 and sluice.data("/api/v1/notifications") == []


def test_features():
    sluice = Sluice("", "--enable-feature=promql-delayed-name-removal")
    features = sluice.data("/api/v1/features")
    assert all(isinstance(on, bool) for names in features.values() for on in names.values()), features
    assert features["api"]["lifecycle"] and not features["api"]["admin"] and features["api"]["exclude_alerts"]
    assert features["promql"]["delayed_name_removal"] and features["promql"]["at_modifier"] and features["promql"]["bool"]
    assert {"+", "=~", "and", "sum", "limitk", "@"} <= features["promql_operators"].keys()
    for names in features.values():
        assert list(names) == sorted(names), list(names)
    functions = features["promql_functions"]
    assert len(functions) > 70 and functions["rate"] and functions["info"]
    # each of them parses, and nothing that is not a function does
    for name in functions:
        error = sluice.get("/api/v1/parse_query", {"query": f"{name}()"}).json().get("error", "")
        assert "unknown function" not in error, f"{name}: {error}"
    error = sluice.get("/api/v1/parse_query", {"query": "no_such_function()"}).json()["error"]
    assert "unknown function" in error, error
