# SPDX-License-Identifier: Apache-2.0
"""The query API beside the real Prometheus: the same samples pushed to both, the same requests, every field compared."""
import json
import math
import subprocess
import time

from fakes import ScriptedExporter
from lib import *

CONFIG = "recent: {retention: 0}\n"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Pair:
    """sluice alone with its recent store, and Prometheus, with the same series."""

    def __init__(self):
        self.prometheus = Prometheus(out_of_order="1h")
        self.sluice = Sluice(CONFIG)
        self.end = int(time.time()) // 60 * 60
        self.start = self.end - 1800
        times = range(self.start, self.end, 15)
        series = [({"__name__": "load", "job": job, "instance": f"{job}:1"}, [(t * 1000, math.sin(t / 97) * k) for t in times])
                  for k, job in ((1e-9, "tiny"), (1, "one"), (1e22, "huge"))]
        series += [({"__name__": "hits_total", "job": job, "code": code}, [(t * 1000, (t - self.start) // k) for t in times])
                   for job in ("one", "two") for k, code in ((3, "200"), (40, "500"))]
        series += [({"__name__": "odd", "case": "nan"}, [((self.end - 60) * 1000, float("nan"))]),
                   ({"__name__": "odd", "case": "inf"}, [((self.end - 60) * 1000, float("-inf"))]),
                   ({"__name__": "odd.name", "läbel": "<&>\u2028\"\\\n"}, [((self.end - 60) * 1000, -0.0)]),
                   ({"__name__": "ended", "job": "one"}, [((self.end - 90) * 1000, 1), ((self.end - 60) * 1000, STALE)])]
        for server in (self.prometheus, self.sluice):
            answer = push(f"{server.url}/api/v1/write", series)
            assert answer.status == 204, answer

    def same(self, path, params=None, form=None, ordered=True, ignore=()):
        ours, theirs = (request(s.url + path, params, data=form, headers=FORM if form else None)
                        for s in (self.sluice, self.prometheus))
        what = f"{path} {params or form}"
        assert ours.status == theirs.status, f"{what}: {ours}, Prometheus: {theirs}"
        assert ours.headers["Content-Type"] == theirs.headers["Content-Type"], f"{what}: {ours.headers['Content-Type']}"
        if ours.body == theirs.body:
            return ours
        a, b = ours.json(), theirs.json()
        for key in ignore:
            a.pop(key, None), b.pop(key, None)
        assert list(a) == list(b), f"{what}: {list(a)}, Prometheus: {list(b)}"
        for key in ("warnings", "infos"):
            assert sorted(a.pop(key, [])) == sorted(b.pop(key, [])), f"{what}: {ours}, Prometheus: {theirs}"
        if isinstance(b.get("data"), dict) and "resultType" in b["data"]:
            assert list(a["data"]) == list(b["data"]), what
            same_answer(a.pop("data"), b.pop("data"), what)
        elif isinstance(b.get("data"), list) and not ordered:
            a["data"], b["data"] = sorted(a["data"], key=repr), sorted(b["data"], key=repr)
        assert a == b, f"{what}:\n{ours}\nPrometheus:\n{theirs}"
        return ours


def test_query():
    pair = Pair()
    for expr in ("load", "load * 1e300", "odd", '{"odd.name"}', "ended", "nothing", "1e21", "1e-7", "-0", "time()", '"a <b>"', "load[1m]",
                 "load[1m:20s]", "hits_total offset 5m", "sort_desc(load)", "rate(hits_total[2m])", "sum by (job) (hits_total)",
                 "quantile(2, load)", "rate(load[1m])", "topk(1, load)", "vector(scalar(load{job='one'}))", "absent(nothing{a='b'})"):
        for at in (pair.end - 30, f"{pair.end - 45}.25", "2015-07-01T20:10:51.781Z", -1.25):
            pair.same("/api/v1/query", {"query": expr, "time": at}, ordered=False)
    assert len(pair.sluice.query("load", pair.end - 30)["result"]) == 3
    pair.same("/api/v1/query", form={"query": "load", "time": pair.end - 30})
    pair.same("/api/v1/query", {"query": "2"}, form={"query": "1", "time": "7"})


def test_query_range():
    pair = Pair()
    for expr in ("load", "hits_total", "ended", "odd", "1", "time()", "sum(rate(hits_total[5m]))", "load > 0", "nothing"):
        for step in ("15", "7.5", "1m"):
            pair.same("/api/v1/query_range", {"query": expr, "start": pair.start, "end": pair.end, "step": step})
            pair.same("/api/v1/query_range", form={"query": expr, "start": pair.start + 0.5, "end": pair.end, "step": step})
    assert len(pair.sluice.query_range("load", pair.start, pair.end, 15)["result"]) == 3


def test_options():
    pair = Pair()
    at = pair.end - 30
    for more in ({"lookback_delta": "31"}, {"lookback_delta": "10s"}, {"timeout": "5"}, {"limit": 0}, {"limit": 3},
                 {"lookback_delta": "x"}, {"limit": "x"}, {"limit": -1}, {"timeout": "x"}, {"timeout": "1e30"}):
        pair.same("/api/v1/query", {"query": "load", "time": at, **more}, ordered=False)
    for expr in ("load", "load[1m]"):
        cut = pair.sluice.get("/api/v1/query", {"query": expr, "time": at, "limit": 2}).json()
        assert len(cut["data"]["result"]) == 2 and cut["warnings"] == ["results truncated due to limit"], cut
    ours, theirs = (s.data("/api/v1/query", {"query": "load[1m]", "time": at, "stats": "all"}) for s in (pair.sluice, pair.prometheus))
    assert list(ours) == list(theirs) and list(ours["stats"]) == list(theirs["stats"]), ours["stats"]
    assert list(ours["stats"]["timings"]) == list(theirs["stats"]["timings"]), ours["stats"]
    assert ours["stats"]["samples"] == theirs["stats"]["samples"], ours["stats"]


def test_errors():
    pair = Pair()
    window = {"start": pair.start, "end": pair.end}
    for expr in ("", "sum(", "load[5m] + 1", "foo(1)", "rate(load)", "1 +", "load @ x", "{}", "sum by (a) (1)"):
        pair.same("/api/v1/query", {"query": expr, "time": pair.end})
        pair.same("/api/v1/query_range", {"query": expr, **window, "step": 15})
        pair.same("/api/v1/format_query", {"query": expr})
        pair.same("/api/v1/query_exemplars", {"query": expr, **window})
    for more in ({}, {"step": "x"}, {"step": 0}, {"step": -5}, {"step": "2.5s"}, {"step": 0.1}, {"step": 15, "start": "x"},
                 {"step": 15, "start": pair.end + 1}, {"step": 15, "end": ""}, {"step": 15, "query": "load[1m]"}, {"step": 15, "query": '"a"'}):
        pair.same("/api/v1/query_range", {"query": "load", **window, **more})
    pair.same("/api/v1/query", {"query": "load", "time": "yesterday"})
    pair.same("/api/v1/query", {"query": "load / on () load", "time": pair.end - 30}, ignore=("error",))
    assert pair.sluice.get("/api/v1/query", {"query": "load", "timeout": 0}).status == 503


def test_series_and_labels():
    pair = Pair()
    window = {"start": pair.start, "end": pair.end}
    for selector in ("load", '{job=~"one|two"}', '{"odd.name"}', "nothing", "{}", '{a=~".*"}', "load[5m]", "load{", ["load", "hits_total"],
                     ["load", "{}"]):
        for path in ("/api/v1/series", "/api/v1/labels", "/api/v1/label/job/values", "/api/v1/label/__name__/values"):
            pair.same(path, {**window, "match[]": selector}, ordered=False)
    for path in ("/api/v1/labels", "/api/v1/label/__name__/values", "/api/v1/label/none/values", "/api/v1/label/U__l_e4_bel/values",
                 "/api/v1/label/l%C3%A4bel/values", "/api/v1/label/%FF/values"):
        pair.same(path, window)
        pair.same(path)
        for more in ({"limit": "x"}, {"limit": -2}, {"start": "x"}, {"end": "x"}, {"start": 10, "end": 5}, {"end": 10}):
            pair.same(path, {**window, **more})
    names = pair.sluice.get("/api/v1/label/__name__/values", {"limit": 2}).json()
    assert names == {"status": "success", "data": ["ended", "hits_total"], "warnings": ["results truncated due to limit"]}, names
    pair.same("/api/v1/series")
    pair.same("/api/v1/series", {"match[]": "load"}, form={"match[]": "hits_total", "start": pair.start}, ordered=False)
    cut = pair.sluice.get("/api/v1/series", {"match[]": "hits_total", "limit": 2}).json()
    assert len(cut["data"]) == 2 and cut["warnings"] == ["results truncated due to limit"], cut


def test_texts():
    pair = Pair()
    for expr in ("sum(rate(a[5m]))by(x)", '{"a<b"="<x"}', "a+on(b)group_left(c)d", "1", "sum(", "x offset 5m @ 3", "a[5m:1m]"):
        pair.same("/api/v1/format_query", {"query": expr})
    tree = pair.sluice.data("/api/v1/parse_query", {"query": "sum by (x) (rate(a[5m]))"})
    assert tree["type"] == "aggregation" and tree["expr"]["args"][0]["range"] == 300000, tree
    pair.same("/api/v1/query_exemplars", {"query": "load"})
    pair.same("/api/v1/query_exemplars", {"query": "load", "start": pair.start * 1000, "end": pair.end * 1000})
    for params in ({}, {"metric": "none"}, {"limit": "x"}, {"limit_per_metric": "x"}):
        pair.same("/api/v1/metadata", params)
    pair.same("/api/v1/label/job/values", form={"a": "b"})
    pair.same("/api/v1/nothing")


def test_long_chains():
    """a or b or c is no nesting, whatever its length; what is shown of it stays within the budget."""
    pair = Pair()
    for n, operator in ((3000, " or "), (3000, " + ")):
        chain = operator.join(["one", "load", "hits_total"] * (n // 3))
        pair.same("/api/v1/query", form={"query": f"count({chain})", "time": pair.end})
    pair.same("/api/v1/format_query", form={"query": "+".join(["load"] * 200)})
    chain = {"query": " or ".join(["load"] * 20000)}
    assert request(f"{pair.sluice.url}/api/v1/query", data=chain).status == 200
    many = " or ".join(f"label_replace(load, 'i', '{i}', '', '')" for i in range(5000))
    assert len(request(f"{pair.sluice.url}/api/v1/query", data={"query": many, "time": pair.end}).json()["data"]["result"]) == 15000
    tree = pair.sluice.post("/api/v1/parse_query", data=chain)
    assert tree.status == 200 and tree.text.count('"op":"or"') == 19999, tree.text[:500]
    laid_out = pair.sluice.post("/api/v1/format_query", data=chain)
    assert laid_out.status == 422 and "MiB of memory" in laid_out.json()["error"], laid_out.text[:500]
    assert "nested deeper" in pair.sluice.get("/api/v1/format_query", {"query": "(" * 1001 + "1" + ")" * 1001}).text


def test_federate():
    pair = Pair()
    now = {"match[]": ['{job="one"}', "odd", "load"]}
    for accept in ("text/plain;version=0.0.4", "text/plain;version=1.0.0;escaping=allow-utf-8"):
        ours, theirs = (s.get("/federate", now, headers={"Accept": accept}) for s in (pair.sluice, pair.prometheus))
        assert ours.status == theirs.status == 200 and "load{" in ours.text, ours
        assert sorted(ours.text.splitlines()) == sorted(theirs.text.splitlines()), f"{ours.text}\nPrometheus:\n{theirs.text}"
        assert ours.headers["Content-Type"] == theirs.headers["Content-Type"], (str(ours.headers), str(theirs.headers))
    assert pair.sluice.get("/federate").text == "" and pair.sluice.get("/federate", {"match[]": "up["}).status == 400


def test_gzip():
    pair = Pair()
    asked = {"query": "load", "start": pair.start, "end": pair.end, "step": 15}
    plain = pair.sluice.get("/api/v1/query_range", asked)
    packed = pair.sluice.get("/api/v1/query_range", asked, headers={"Accept-Encoding": "br, gzip;q=0.5"})
    assert plain.headers["Content-Encoding"] is None and packed.headers["Content-Encoding"] == "gzip"
    assert packed.body == plain.body and int(packed.headers["Content-Length"]) < len(plain.body) / 2


def test_memory_budget():
    sluice = Sluice(CONFIG, "--query.max-memory=1MiB")
    now = int(time.time())
    assert push(f"{sluice.url}/api/v1/write", [({"__name__": "m", "i": str(i), "text": "x" * 100}, [(now * 1000, i)])
                                              for i in range(20000)]).status == 204
    asked = {"/api/v1/query": {"query": "sum(m)"}, "/api/v1/series": {"match[]": "m"}, "/api/v1/label/i/values": {}}
    for path, params in asked.items():
        answer = sluice.get(path, params)
        assert answer.status == 422 and "MiB of memory" in answer.json()["error"], f"{path}: {answer}"
    assert sluice.query("1 + 1")["result"][1] == "2"
    assert push(f"{sluice.url}/api/v1/write", [({"__name__": "few", "i": str(i)}, [(now * 1000, i)])
                                              for i in range(100)]).status == 204
    asked = {"query": "few", "start": now, "end": now + 290, "step": 1}
    assert sluice.get("/api/v1/query_range", {**asked, "query": "count(few)"}).status == 200
    answer = sluice.get("/api/v1/query_range", {**asked, "step": 0.1})
    assert answer.status == 422 and "MiB of memory" in answer.json()["error"], answer
    # Values and reply need more together: the reply is sent while it is rendered.
    answer = sluice.get("/api/v1/query_range", asked)
    assert answer.status == 200 and answer.headers["Transfer-Encoding"] == "chunked", answer
    assert [len(s["values"]) for s in answer.json()["data"]["result"]] == [291] * 100


def test_pages_have_no_budget():
    """What sluice itself keeps may be shown whatever a query may take; and none of it is read under a lock that a spent
    budget would leave locked."""
    text = "x" * 400
    page = "".join(f"# HELP m{i} {text}\nm{i} 1\n" for i in range(4000))
    exporter = ScriptedExporter(page=lambda n, ms: page)
    jobs = "".join(f"- targets: ['127.0.0.1:{i + 1}']\n    labels: {{text: '{text}{i}'}}\n  " for i in range(3000))
    sluice = Sluice(f"{CONFIG}scrape_configs:\n- job_name: page\n  scrape_interval: 1s\n  static_configs:\n"
                    f"  - targets: ['127.0.0.1:{exporter.port}']\n- job_name: many\n  scrape_interval: 1h\n"
                    f"  static_configs:\n  {jobs}\n", "--query.max-memory=1MiB")
    wait_until(lambda: "m3999" in sluice.get("/api/v1/targets/metadata", {"limit": 4000}).text, what="metadata of the page")
    assert len(sluice.get("/api/v1/targets").json()["data"]["activeTargets"]) == 3001
    found = sluice.get("/targets", {"label_search": '{text=~"x*299."}'}).text
    assert found.count("state=") == 10, found[:2000]
    for _ in range(2):
        answer = sluice.get("/api/v1/metadata")
        assert answer.status == 422 and "MiB of memory" in answer.json()["error"], answer
    wait_until(lambda: sluice.get("/targets", {"q": str(exporter.port)}).status == 200, what="targets after that")
    exporter.stop()


def test_promql_on_the_command_line():
    sluice = Sluice(CONFIG)
    path = write_file("samples.txt", "".join(f'hits_total{{job="{job}"}} {i * k} {i * 15000}\n'
                                             for k, job in ((1, "a"), (2, "b")) for i in range(20)))
    run = lambda *words: subprocess.run([sluice.program, "promql", *words], capture_output=True, text=True, timeout=20)
    assert run("format", "sum(rate(a[5m]))by(x)").stdout == "sum by (x) (rate(a[5m]))\n"
    assert json.loads(run("parse", "1 + a").stdout)["type"] == "binaryExpr"
    data = json.loads(run("eval", "--file", path, "sum(hits_total)").stdout)
    assert data["result"] == [{"metric": {}, "value": [285, "57"]}], data
    data = json.loads(run("eval", f"--file={path}", "--start=0", "--end=60", "--step=30s", 'rate(hits_total{job="b"}[1m])').stdout)
    assert [t for t, _ in data["result"][0]["values"]] == [30, 60], data
    assert json.loads(run("eval", "--time=60", "--", "--1").stdout)["result"] == [60, "1"]
    assert "sluice promql eval" in run("--help").stdout
    bad = run("eval", "sum(")
    assert bad.returncode == 1 and "1:5: parse error" in bad.stderr, bad
