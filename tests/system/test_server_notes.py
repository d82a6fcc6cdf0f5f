# SPDX-License-Identifier: Apache-2.0
"""Warnings, infos and isPartial of servers in the responses of all endpoints: once each, with the server's name."""
import json

import fakes
from lib import *

DATA = {"/api/v1/query": {"resultType": "vector", "result": []}, "/api/v1/query_range": {"resultType": "matrix", "result": []},
        "/api/v1/labels": ["a"], "/api/v1/series": [{"__name__": "m"}], "/api/v1/metadata": {}, "/api/v1/query_exemplars": [],
        "/api/v1/rules": {"groups": []}, "/api/v1/alerts": {"alerts": []}, "/api/v1/scrape_pools": {"scrapePools": []},
        "/api/v1/targets": {"activeTargets": [], "droppedTargets": []}, "/api/v1/targets/metadata": [],
        "/api/v1/alertmanagers": {"activeAlertmanagers": []}, "/api/v1/status/tsdb": {"headStats": {}},
        "/api/v1/status/buildinfo": fakes.PROMETHEUS_BUILD}
ASKED = {"query": "m", "start": 1000, "end": 1060, "step": 15, "match[]": "m"}
PATHS = [p for p in DATA if p != "/api/v1/status/buildinfo"] + ["/api/v1/label/a/values"]


class Server(fakes.Fake):
    """A server whose every response has these notes."""

    def __init__(self, data=None, **notes):
        self.responses, self.notes = {**DATA, **(data or {})}, notes
        super().__init__()

    def answer(self, request, body):
        path = request.path.split("?")[0]
        data = ["v"] if path.startswith("/api/v1/label/") else self.responses.get(path)
        notes = self.notes if path != "/api/v1/status/buildinfo" else {}
        request.reply(200 if data is not None else 404, json.dumps({"status": "success", "data": data, **notes}).encode())


def config(*groups):
    return "recent: {retention: 0}\nserver_groups:\n" + "".join(
        f"- name: {name}\n  static_configs: [{{targets: {[s.address for s in servers]}}}]\n" for name, servers in groups)


def test_notes_of_servers():
    a, b = (Server(warnings=["disk is slow", "PromQL warning: same (1:1)"], infos=["rebalancing"]) for _ in range(2))
    c = Server(isPartial=True)
    plain = Server()
    sluice = Sluice(config(("pair", [a, b]), ("other", [plain])))
    for path in PATHS:
        body = sluice.get(path, ASKED).json()
        assert body["status"] == "success" and "isPartial" not in body, f"{path}: {body}"
        named = [f'server group "pair": http://{s.address}: ' for s in (a, b)]
        assert sorted(body["warnings"]) == sorted(["PromQL warning: same (1:1)"] + [n + "disk is slow" for n in named]), \
            f"{path}: {body}"
        assert sorted(body["infos"]) == sorted(n + "rebalancing" for n in named), f"{path}: {body}"
    assert sluice.reconfigure(config(("cluster", [c]), ("other", [plain]))).status == 200
    for path in PATHS:
        body = sluice.get(path, ASKED).json()
        assert body["isPartial"] is True, f"{path}: {body}"
        assert body["warnings"] == [f'server group "cluster": http://{c.address}: the response is partial (isPartial)'], \
            f"{path}: {body}"
        if path in ("/api/v1/query", "/api/v1/query_range", "/api/v1/labels", "/api/v1/series", "/api/v1/label/a/values"):
            answer = sluice.get(path, {**ASKED, "deny_partial_response": 1})
            assert answer.status == 503 and "is partial" in answer.json()["error"], f"{path}: {answer}"
            assert c.address in answer.json()["error"], f"{path}: {answer}"
    # two sluices: the names of both are in the text, and what is partial stays so, pushed down or not
    for push in ("verified", "off"):
        outer = Sluice(config(("inner", [sluice])) + f"  push_down: {push}\n", name=f"outer-{push}")
        wait_until(lambda: outer.metric("sluice_upstream_up") == 1)
        body = outer.get("/api/v1/query", {"query": "m", "time": 1000, "explain": 1}).json()
        assert body["data"]["explain"]["plan"][0]["evaluated"] == {"verified": "pushed", "off": "raw"}[push], body
        assert body.get("isPartial") is True and any("inner" in w and "cluster" in w for w in body["warnings"]), body
        assert outer.get("/api/v1/query", {"query": "m", "time": 1000, "deny_partial_response": 1}).status == 503


def test_limits_are_applied_to_the_merged_list():
    """Each server is asked for as many as are wanted; the warning of Prometheus appears once."""
    servers = [Prometheus(name=name) for name in ("a", "b")]
    for k, server in enumerate(servers):
        series = [({"__name__": f"m{i}", "i": str(i), f"l{k}": "x"}, [(now_ms() - 1000, 1)]) for i in range(k, 8, 2)]
        assert push(server.write_url, series).status == 204
    whole = Prometheus(name="whole")
    for k in range(2):
        assert push(whole.write_url, [({"__name__": f"m{i}", "i": str(i), f"l{k}": "x"}, [(now_ms() - 1000, 1)])
                                      for i in range(k, 8, 2)]).status == 204
    sluice = Sluice("server_groups:\n" + "".join(f"- {{name: g{k}, static_configs: [{{targets: ['{s.address}']}}]}}\n"
                                                 for k, s in enumerate(servers)))
    for path in ("/api/v1/series", "/api/v1/labels", "/api/v1/label/i/values", "/api/v1/label/__name__/values"):
        for limit in (0, 1, 3, 4, 5, 7, 8, 9, 100):
            for match in ([], ['{__name__=~"m[0-6]"}'], ["m1", "m2", 'm1{i="1"}', "m2"]):
                if path == "/api/v1/series" and not match:
                    continue
                asked = {"limit": limit, "match[]": match}
                ours, theirs = (s.get(path, asked).json() for s in (sluice, whole))
                assert len(ours["data"]) == len(theirs["data"]), f"{path} {asked}: {ours} {theirs}"
                assert ours.get("warnings") == theirs.get("warnings"), f"{path} {asked}: {ours} {theirs}"
                key = lambda x: repr(sorted(x.items())) if isinstance(x, dict) else x
                if not ours.get("warnings"):
                    assert ours["data"] == sorted(theirs["data"], key=key), f"{path} {asked}: {ours} {theirs}"
                else:
                    assert len(ours["data"]) == limit and ours["data"] == sorted(ours["data"], key=key)


def test_metadata_shows_conflicts():
    """Each different entry of a metric once, of all servers; limits count metrics, and entries of each."""
    entry = lambda kind, text, unit="": {"type": kind, "help": text, "unit": unit}
    path = "/api/v1/metadata"
    a = Server({path: {"both": [entry("counter", "one"), entry("gauge", "two")], "only_a": [entry("gauge", "a")]}})
    b = Server({path: {"both": [entry("gauge", "two"), entry("counter", "other <b>", "s")], "only_b": [entry("summary", "")]}})
    sluice = Sluice(config(("pair", [a, b]), ("other", [b])))
    whole = sluice.data(path)
    assert whole == {"both": [entry("counter", "one"), entry("counter", "other <b>", "s"), entry("gauge", "two")],
                     "only_a": [entry("gauge", "a")], "only_b": [entry("summary", "")]}, whole
    assert list(whole) == sorted(whole)
    assert sluice.data(path, {"metric": "only_b"})["only_b"] == [entry("summary", "")]
    for limit in (0, 1, 2, 3, 10):
        assert list(sluice.data(path, {"limit": limit})) == list(whole)[:limit], limit
    for limit in (1, 2, 3):
        assert sluice.data(path, {"limit_per_metric": limit})["both"] == whole["both"][:limit], limit
    assert sluice.data(path, {"limit_per_metric": 0}) == sluice.data(path, {"limit_per_metric": -1}) == whole
