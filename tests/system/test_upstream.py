# SPDX-License-Identifier: Apache-2.0
"""Server groups: which servers are asked and how, what becomes of their errors, and that answers of groups are united."""
import json
import struct
import time
import urllib.parse

import fakes
from lib import *

EMPTY = {"status": "success", "data": {"resultType": "vector", "result": []}}


def vector(t, value, **labels):
    return {"status": "success", "data": {"resultType": "vector", "result": [{"metric": labels, "value": [t, str(value)]}]}}


class FakePrometheus(fakes.Fake):
    """Answers every query with `body` (a dict or bytes), after `delay`, with `status` and `headers`. asked: (path, form)."""

    def __init__(self, body=None, status=200, delay=0, **headers):
        self.body, self.status, self.delay, self.headers, self.cut, self.asked = body or EMPTY, status, delay, headers, False, []
        super().__init__()

    def answer(self, request, body):
        path, _, query = request.path.partition("?")
        self.asked.append((path, urllib.parse.parse_qs(query + "&" + body.decode("latin-1"))))
        if path.endswith("buildinfo"):
            return request.reply(200, fakes.PROMETHEUS_BUILDINFO)
        time.sleep(self.delay)
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        if self.cut:
            request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:-9])
            request.close_connection = True
            return None
        return request.reply(self.status, body, **self.headers)

    def queries(self):
        """Without what tells of the server itself, which is asked in the background."""
        return [(path, form) for path, form in self.asked if "/status/" not in path]


def group(name, *servers, **more):
    lines = [f"- name: {name}", f"  static_configs: [{{targets: {json.dumps([s.address for s in servers])}}}]"]
    return "\n".join(lines + [f"  {key}: {json.dumps(value)}" for key, value in more.items()]) + "\n"


def groups(*parts):
    return "server_groups:\n" + "".join(parts)


def test_errors_keep_their_class_and_name_the_server():
    fake = FakePrometheus()
    sluice = Sluice(groups(group("west", fake, timeout="2s")))

    def check(status, words, retry_after=None):
        answer = sluice.get("/api/v1/query", {"query": "up", "time": 1000})
        assert answer.status == status, (words, answer)
        error = answer.json()["error"]
        assert '"west"' in error and fake.address in error and words in error, error
        assert answer.headers.get("Retry-After") == retry_after, answer.headers
    assert sluice.query("up", 1000) == {"resultType": "vector", "result": []}
    fake.status, fake.body = 401, {"message": "Unauthorized"}
    check(502, "HTTP 401: Unauthorized")
    fake.status, fake.body = 500, b"<html>went wrong</html>"
    check(502, "HTTP 500: <html>went wrong")
    fake.status, fake.body = 503, b"later"
    check(503, "HTTP 503: later")
    fake.status, fake.body = 504, b""
    check(504, "HTTP 504")
    fake.status, fake.headers = 429, {"Retry_After": 17}
    check(429, "HTTP 429", "17")
    federated = sluice.get("/federate", {"match[]": "up"})
    assert federated.status == 429 and federated.headers.get("Retry-After") == "17", federated
    fake.headers = {}
    fake.status, fake.body = 422, {"status": "error", "errorType": "execution", "error": "too many samples"}
    check(422, "too many samples")
    for body, words in ((b"<html>", "invalid JSON"), ({"message": "hello"}, "no result"), (b"", "unexpected end of input"),
                        (b'{"status":"success","data":{"resultType":"vector","result":[', "unexpected end of input"),
                        ({"status": "error", "error": "boom"}, "boom")):
        fake.status, fake.body = 200, body
        check(502, words)
    fake.body, fake.cut = vector(1000, 1), True
    check(502, "connection closed before the response was complete")
    fake.cut, fake.delay = False, 4
    check(504, "timed out after")
    fake.delay = 0
    fake.stop()
    check(502, "connection refused")
    fake.start()
    fake.body = EMPTY
    wait_until(lambda: sluice.query("up", 1000)["result"] == [], 10)


def test_errors_that_the_configuration_forgives():
    good, bad = FakePrometheus(vector(1000, 1, a="b")), FakePrometheus(status=500)
    for key, warned in (("ignore_error", False), ("downgrade_error", True)):
        sluice = Sluice(groups(group("good", good), group("bad", bad, **{key: True})), name=key)
        answer = sluice.get("/api/v1/query", {"query": '{a="b"}', "time": 1000}).json()
        assert len(answer["data"]["result"]) == 1, answer
        assert any('"bad"' in w for w in answer.get("warnings", [])) == warned, answer


def test_servers_of_the_own_zone_are_queried_first():
    near, far = FakePrometheus(vector(1000, 1, at="near")), FakePrometheus(vector(1000, 2, at="far"))
    conf = json.dumps({"server_groups": [{"name": "g", "read_mode": "first_available", "static_configs": [
        {"targets": [far.address], "zone": "west"}, {"targets": [near.address], "zone": "east"}]}]})
    for flags, first in (([], far), (["--zone=east"], near), (["--zone=west"], far)):
        sluice = Sluice(conf, *flags, name=f"zone{len(flags)}{first is near}")
        wait_until(lambda s=sluice: s.metric("sluice_upstream_up") == 2)
        assert sluice.query("up", 1000)["result"][0]["metric"]["at"] == ("near" if first is near else "far")
        first.stop()
        assert sluice.query("up", 1000)["result"][0]["metric"]["at"] == ("far" if first is near else "near")
        first.start()


def test_partial_results():
    """A request decides for all groups, otherwise each group for itself."""
    good, bad = FakePrometheus(vector(1000, 1, a="b")), FakePrometheus(status=500)
    cases = (  # keys of the bad group, parameters, status, whether there is a warning
        ({}, {}, 502, None), ({}, {"partial_response": "1"}, 200, True), ({}, {"deny_partial_response": "0"}, 502, None),
        ({"partial_response": True}, {}, 200, True), ({"partial_response": True}, {"partial_response": "false"}, 502, None),
        ({"downgrade_error": True}, {"deny_partial_response": "1"}, 502, None),
        ({"ignore_error": True}, {"partial_response": "1"}, 200, False), ({"ignore_error": True}, {"partial_response": "0"}, 502, None))
    paths = {"/api/v1/query": {"query": '{a="b"}', "time": 1000}, "/api/v1/labels": {}, "/api/v1/series": {"match[]": "up"},
             "/federate": {"match[]": "up"}}
    started = {}
    for keys, form, status, warned in cases:
        key = str(keys)
        if key not in started:
            started[key] = Sluice(groups(group("good", good, remote_read=False), group("bad", bad, **keys)), name=f"g{len(started)}")
        before = started[key].metric("sluice_upstream_partial_results_total")
        for path, more in paths.items():
            good.body = vector(1000, 1, a="b") if path in ("/api/v1/query", "/federate") else {"status": "success", "data": []}
            answer = started[key].get(path, {**more, **form})
            assert answer.status == status, (keys, form, path, answer)
            assert answer.headers.get("Cache-Control") == ("no-store" if status == 200 else None), (path, answer.headers)
            if path == "/federate":
                continue
            told = answer.json()
            assert told.get("isPartial", False) == (status == 200), (keys, form, answer)
            assert any('"bad"' in w for w in told.get("warnings", [])) == bool(warned), (keys, form, answer)
        assert started[key].metric("sluice_upstream_partial_results_total") - before == (len(paths) if status == 200 else 0)
    assert started["{}"].get("/api/v1/query", {"query": "1", "partial_response": "2"}).status == 400
    for setting, status in (("auto", 200), ("true", 200), ("false", 502)):
        sluice = Sluice(groups(group("good", good), group("bad", bad, partial_response=setting)), "--query.partial-response",
                        name=f"default-{setting}")
        assert sluice.get("/api/v1/labels").status == status, setting


def test_recent_stands_in_for_its_time_only():
    """The storage is down. Every point in the time of the recent store is answered, with a warning when the look back is cut;
    points before it are an error that says since when, unless the group may be left out."""
    dead, sink = FakePrometheus(), RecordingSink()
    dead.stop()
    for excuse in (False, True):
        began = time.time()
        more = {"written_by": "main", "downgrade_error": excuse}
        sluice = Sluice(f"remote_write: [{{name: main, url: '{sink.url}'}}]\nrecent: {{like: main}}\n" +
                        groups(group("storage", dead, **more)), name=f"excuse{excuse}")
        time.sleep(1.1)
        now = time.time()
        assert push(f"{sluice.url}/api/v1/write", [({"__name__": "m"}, [(int(now * 1000), 5)])]).status == 204

        def ask(path, **form):
            return wait_until(lambda: sluice.get(path, form))
        for query, value in (("m", "5"), ("count_over_time(m[1h])", "1")):
            answer = ask("/api/v1/query", query=query, time=now + 0.5).json()
            assert [s["value"][1] for s in answer["data"]["result"]] == [value], answer
            assert "samples of the recent store since" in answer["warnings"][0] and '"storage"' in answer["warnings"][0], answer
        whole = ask("/api/v1/query", query="count_over_time(m[100ms])", time=now + 0.05).json()
        assert whole["data"]["result"] and "warnings" not in whole, whole
        early = ask("/api/v1/query_range", query="m", start=began - 60, end=now + 0.5, step=1)
        if excuse:
            assert early.status == 200 and early.json()["warnings"], early
        else:
            error = early.json()["error"]
            assert early.status == 502 and dead.address in error and "the recent store begins at 20" in error, early
        sluice.stop()


def test_twin_of_a_dead_server():
    dead, alive = FakePrometheus(), Prometheus()
    push(alive.write_url, [({"__name__": "m"}, [(int(time.time() * 1000) - 1000, 5)])])
    dead.stop()
    sluice = Sluice(groups(group("pair", dead, alive)))
    for _ in range(6):  # the last ones without asking the dead one
        answer = sluice.get("/api/v1/query", {"query": "m"}).json()
        assert [s["value"][1] for s in answer["data"]["result"]] == ["5"], answer
        assert any(dead.address in i and "pair" in i for i in answer["infos"]), answer


def test_read_modes():
    slow, quick = FakePrometheus(vector(1000, 1, from_="slow"), delay=3), FakePrometheus(vector(1000, 2, from_="quick"))
    for mode, servers in (("hedge", (slow, quick)), ("first_available", (quick, slow))):
        sluice = Sluice(groups(group("pair", *servers, read_mode=mode)), name=mode)
        slow.asked.clear()
        began = time.monotonic()
        assert sluice.query('{from_=~".+"}', 1000)["result"][0]["metric"]["from_"] == "quick"
        assert time.monotonic() - began < 2.5
        assert bool(slow.queries()) == (mode == "hedge")
        sluice.stop()
    quick.stop()
    slow.delay = 0
    sluice = Sluice(groups(group("pair", quick, slow, read_mode="first_available")))
    assert sluice.query('{from_=~".+"}', 1000)["result"][0]["metric"]["from_"] == "slow"


def test_one_order_for_one_result():
    """Whatever the order in which servers list series and in which they answer, a vector is sorted by labels."""
    def listing(order):
        return {"status": "success", "data": {"resultType": "vector", "result": [
            {"metric": {"__name__": "m", "i": str(i)}, "value": [1000, "1"]} for i in order]}}
    a, b = FakePrometheus(listing([2, 0, 1])), FakePrometheus(listing([1, 2, 0]))
    sluice = Sluice(groups(group("one", a, labels={"dc": "x"}), group("two", b, labels={"dc": "w"})))
    for expr in ("m", "m * 2", "sum by (dc, i) (m)", "topk(6, m)", "m or on () m"):
        first = sluice.query(expr, 1000)["result"]
        keys = [(s["metric"].get("dc"), s["metric"]["i"]) for s in first]
        assert len(keys) >= 3 and (expr.startswith("topk") or keys == sorted(keys)), (expr, keys)
        a.body, b.body = b.body, a.body
        a.delay, b.delay = (0, 0.1) if a.delay else (0.1, 0)
        assert sluice.query(expr, 1000)["result"] == first, expr


def test_limits_of_our_own_cause_no_warnings():
    """Label values of a group's own label are answered after probing each group with limit=1."""
    x, y = Prometheus(name="x"), Prometheus(name="y")
    for s in (x, y):
        push(s.write_url, [({"__name__": n, "job": n}, [(int(time.time() * 1000), 1)]) for n in ("a", "b", "c")])
    sluice = Sluice(groups(group("one", x, labels={"dc": "1"}), group("two", y, labels={"dc": "2"})))

    def ask(path, **params):
        answer = sluice.get(path, params).json()
        return answer["data"], answer.get("warnings", [])
    cut = ["results truncated due to limit"]
    for limit in ({}, {"limit": 0}, {"limit": 10}):
        assert ask("/api/v1/label/dc/values", **limit) == (["1", "2"], []), limit
        assert ask("/api/v1/label/job/values", **limit) == (["a", "b", "c"], []), limit
        assert ask("/api/v1/labels", **limit) == (["__name__", "dc", "job"], []), limit
        data, warnings = ask("/api/v1/series", **{"match[]": '{job=~".+"}', **limit})
        assert len(data) == 6 and not warnings, (limit, data, warnings)
    assert ask("/api/v1/label/dc/values", limit=2) == (["1", "2"], [])
    assert ask("/api/v1/label/dc/values", limit=1) == (["1"], cut)
    assert ask("/api/v1/label/job/values", limit=2) == (["a", "b"], cut)
    assert ask("/api/v1/labels", limit=1) == (["__name__"], cut)


def test_equal_selectors_are_fetched_once():
    fake = FakePrometheus(vector(1000, 2, a="b"))
    sluice = Sluice(groups(group("one", fake, path_prefix="/api/v1", query_params={"nocache": ["1"]}, push_down="off")))
    assert sluice.query('{a="b"} * {a="b"} + {a="b"}', 1000)["result"][0]["value"][1] == "6"
    (path, form), = fake.queries()
    assert path == "/api/v1/query" and form["query"] == ['{a="b"}'] and form["nocache"] == ["1"], (path, form)


def load(server, start, names, stale_after=None, step=15, count=120, **labels):
    series = []
    for name in names:
        samples = [((start + k * step) * 1000, (k * 7 + len(name)) % 23 + k) for k in range(count)]
        if stale_after:
            samples[stale_after] = (samples[stale_after][0], STALE)
            del samples[stale_after + 1:stale_after + 9]
        series.append(({"__name__": name, **labels}, samples))
    assert push(server.write_url, series).status == 204


QUERIES = ["a", "count(a)", "rate(a[1m])", "sum(rate(b[2m]))", 'a{sg="x"}', 'sum by (sg) (a)', 'a{sg!="x"}', '{sg="y"}', "a - on (sg) b",
           "timestamp(a)", "max_over_time(a[50s])", "a offset 3m", "count_over_time(b[4m])", "sum_over_time(a[3m:20s])", "absent(a{sg='z'})"]


def compare(kind_x, kind_y, **more):
    start = (int(time.time()) - 3600) // 60 * 60
    x, y, truth = kind_x(name="x"), kind_y(name="y"), Prometheus(name="truth")
    load(x, start, ["a", "b"], 40)
    load(y, start, ["a", "b"], 60)
    load(truth, start, ["a", "b"], 40, sg="x")
    load(truth, start, ["a", "b"], 60, sg="y")
    for s in (x, y):
        if isinstance(s, VictoriaMetrics):
            wait_until(lambda s=s: s.get("/internal/force_flush").status == 200 and len(s.raw('{__name__=~"a|b"}')) == 2)
    sluice = Sluice(groups(group("gx", x, labels={"sg": "x"}, **more), group("gy", y, labels={"sg": "y"}, **more)))
    for expr in QUERIES:
        for at in (start + 301, start + 615, start + 700.5, start + 1799, start + 2080, start + 3000):
            same_answer(sluice.query(expr, at), truth.query(expr, at), f"{expr} at {at - start}")
        for step in (15, 7, 61):
            same_answer(sluice.query_range(expr, start + 3, start + 2300, step), truth.query_range(expr, start + 3, start + 2300, step),
                        f"{expr} every {step} s")
    return sluice, start


def lists(sluice, start):
    times = {"start": start, "end": start + 1800}
    assert sluice.data("/api/v1/labels", times) == ["__name__", "sg"]
    assert sluice.data("/api/v1/labels", {"match[]": "a"}) == ["__name__", "sg"]
    assert sluice.data("/api/v1/label/sg/values", times) == ["x", "y"]
    assert sluice.data("/api/v1/label/sg/values", {"match[]": 'a{sg="y"}', **times}) == ["y"]
    assert sluice.data("/api/v1/label/sg/values", {"match[]": "nothing", **times}) == []
    assert sluice.data("/api/v1/labels", {"match[]": "nothing", **times}) == []
    assert sluice.data("/api/v1/series", {"match[]": "a", **times}) == [{"__name__": "a", "sg": "x"}, {"__name__": "a", "sg": "y"}]
    assert sluice.data("/api/v1/series", {"match[]": ['a{sg="x"}', "b"]}) == [
        {"__name__": "a", "sg": "x"}, {"__name__": "b", "sg": "x"}, {"__name__": "b", "sg": "y"}]
    assert sluice.data("/api/v1/label/__name__/values", {"match[]": '{sg="x"}'}) == ["a", "b"]


def test_groups_of_prometheus():
    lists(*compare(Prometheus, Prometheus))


def test_groups_of_both_kinds_by_all_ways():
    lists(*compare(Prometheus, VictoriaMetrics, remote_read=True))


def test_groups_of_victoria_metrics():
    compare(VictoriaMetrics, VictoriaMetrics)


def test_values_of_labels_with_a_slash():
    """Prometheus has no path for such a name but an escaped form."""
    servers, now = [Prometheus(), VictoriaMetrics()], int(time.time())
    for value, server in zip("xy", servers):
        assert push(server.write_url, [({"__name__": "m", "a/b": value, "a.b-ü": value}, [(now * 1000, 1)])]).status == 204
    servers[1].flush()
    sluice = Sluice(groups(*(group(f"g{i}", s) for i, s in enumerate(servers))))
    wait_until(lambda: sluice.metric("sluice_upstream_up") == 2)
    for path in ("U__a_2f_b", "a%2Fb", "U__a_2e_b_2d__fc_", urllib.parse.quote("a.b-ü")):
        assert sluice.data(f"/api/v1/label/{path}/values", {"start": now - 60, "end": now + 60}) == ["x", "y"], path


def test_victoria_metrics_lists_all_days():
    """Without a start, or with 0, VictoriaMetrics would list the current day only."""
    server, day = VictoriaMetrics(), int(time.time()) // 86400 * 86400
    push(server.write_url, [({"__name__": "old", "job": "j"}, [((day - 7200) * 1000, 1)])])
    server.flush()
    sluice = Sluice(groups(group("one", server)))
    for times in ({}, {"start": 0}, {"start": -5}, {"start": day - 86400}):
        wait_until(lambda: sluice.data("/api/v1/series", {"match[]": "old", **times}) == [{"__name__": "old", "job": "j"}], what=times)
        assert sluice.data("/api/v1/label/job/values", times) == ["j"], times
        assert sluice.data("/api/v1/labels", times) == ["__name__", "job"], times
    assert sluice.data("/api/v1/labels", {"start": day}) == []


def test_exemplars_of_groups():
    """Requested from every server of the groups that can have matching series, without the groups' matchers; each one once."""
    def exemplars(*more):
        return {"status": "success", "data": [{"seriesLabels": {"__name__": "c_total", "job": "a"}, "exemplars": [
            {"labels": {"trace_id": trace}, "value": "0.5", "timestamp": t} for trace, t in more]}]}
    a, b = FakePrometheus(exemplars(("x", 100.5), ("y", 200))), FakePrometheus(exemplars(("y", 200), ("z", 150.25)))
    other, bad = FakePrometheus(exemplars(("o", 1))), FakePrometheus(status=500)
    parts = [group("pair", a, b, labels={"dc": "1"}), group("other", other, labels={"dc": "2"})]

    def ask(sluice, query):
        return sluice.get("/api/v1/query_exemplars", {"query": query, "start": 0, "end": 1000})
    sluice = Sluice(groups(*parts))
    answer = ask(sluice, 'rate(c_total{dc="1"}[5m]) + sum(d{job="q"})').json()
    first, second = answer["data"]
    assert [(e["labels"]["trace_id"], e["value"], e["timestamp"]) for e in first["exemplars"]] == [
        ("x", "0.5", 100.5), ("z", "0.5", 150.25), ("y", "0.5", 200)], answer
    assert [s["seriesLabels"] for s in (first, second)] == [
        {"__name__": "c_total", "dc": dc, "job": "a"} for dc in ("1", "2")], answer
    path, form = a.queries()[-1]
    assert path == "/api/v1/query_exemplars" and "dc" not in form["query"][0] and " or " in form["query"][0], form
    assert "c_total" not in other.queries()[-1][1]["query"][0], other.queries()
    for key, status in ((None, 502), ("ignore_error", 200), ("downgrade_error", 200)):
        sluice = Sluice(groups(*parts, group("bad", bad, labels={"dc": "3"}, **({key: True} if key else {}))), name=str(key))
        answer = ask(sluice, "c_total")
        assert answer.status == status, answer
        assert status != 200 or bool(answer.json().get("warnings")) == (key == "downgrade_error"), answer


def test_exemplars_of_the_recent_store():
    """The newest ten of a series that were pushed, each once."""
    t = int(time.time() * 1000) - 60000

    def exemplar(k):
        return part(3, part(1, part(1, b"trace_id") + part(2, b"t%d" % k)) + wire.field(2, 0.5) + wire.field(3, t + k))
    sluice = Sluice("recent: {budget: 8MiB}\n")
    labels = part(1, part(1, b"__name__") + part(2, b"c_total"))
    for numbers in (range(4), range(2, 12), (11, 0)):
        body = part(1, labels + part(2, wire.field(1, 1.0) + wire.field(2, t + max(numbers))) + b"".join(map(exemplar, numbers)))
        assert push_body(f"{sluice.url}/api/v1/write", body).status == 204

    def traces(**times):
        data = sluice.data("/api/v1/query_exemplars", {"query": "rate(c_total[5m])", **times})
        assert all(s["seriesLabels"] == {"__name__": "c_total"} for s in data), data
        return [e["labels"]["trace_id"] for s in data for e in s["exemplars"]]
    assert wait_until(traces) == [f"t{k}" for k in range(2, 12)]
    assert traces(start=(t + 4) / 1000, end=(t + 6) / 1000) == ["t4", "t5", "t6"]
    assert traces(start=t / 1000 + 30) == []


def test_old_servers():
    def old_prometheus(name):
        return Prometheus(name=name, old=True)

    def old_victoria(name):
        return VictoriaMetrics(name=name, old=True)
    compare(old_prometheus, old_victoria)


def test_the_same_series_in_two_groups():
    now = int(time.time())
    x, y = Prometheus(name="x"), Prometheus(name="y")
    for i, s in enumerate((x, y)):
        push(s.write_url, [({"__name__": "m"}, [((now - 100 + k * 20 + i * 10) * 1000, k * 10 + i) for k in range(5)])])
    sluice = Sluice(groups(group("first", x), group("second", y)))
    answer = sluice.get("/api/v1/query", {"query": "m", "time": now})
    assert answer.status == 422 and '"first"' in answer.text.replace("\\", "") and '"second"' in answer.text.replace("\\", ""), answer
    both = Sluice(groups(group("first", x, overlap="merge"), group("second", y, overlap="merge")), name="both")
    values, = both.raw("m", "5m", now).values()
    assert [v for _, v in values] == [0, 1, 10, 11, 20, 21, 30, 31, 40, 41], values


def test_many_steps_of_a_subquery():
    start = (int(time.time()) - 7200) // 60 * 60
    server = Prometheus()
    load(server, start, ["a"], count=240)
    sluice = Sluice(groups(group("one", server)))
    expr = "sum_over_time(a[55m:200ms])"  # 16,500 points, more than one query_range may have
    same_answer(sluice.query(expr, start + 3500), server.query(expr, start + 3500), expr)


def histogram(t, k, count=None):
    """prometheus.Histogram of schema 0: k observations in (1, 2], 2k in (2, 4]; count: what it claims."""
    def field(n, wire_type, payload):
        return wire.varint(n << 3 | wire_type) + payload
    span = field(1, 0, wire.varint(2)) + field(2, 0, wire.varint(2))  # offset 1 (zigzag), length 2
    deltas = wire.varint(2 * k) + wire.varint(2 * k)
    return (field(1, 0, wire.varint(3 * k if count is None else count)) + field(3, 1, struct.pack("<d", 7.5 * k)) + field(4, 0, wire.varint(0)) +
            field(5, 1, struct.pack("<d", 1e-128)) + field(6, 0, wire.varint(0)) + field(11, 2, wire.varint(len(span)) + span) +
            field(12, 2, wire.varint(len(deltas)) + deltas) + field(15, 0, wire.varint(t)))


def part(n, payload):
    return wire.varint(n << 3 | 2) + wire.varint(len(payload)) + payload


def histogram_series(name, histograms):
    return part(1, part(1, part(1, b"__name__") + part(2, name.encode())) + b"".join(part(4, h) for h in histograms))


def push_body(url, body):
    return request(url, data=wire.snappy_compress(body), headers={
        "Content-Type": "application/x-protobuf", "Content-Encoding": "snappy", "X-Prometheus-Remote-Write-Version": "0.1.0"})


def push_histograms(server, start, count):
    answer = push_body(server.write_url, histogram_series("h", [histogram((start + i * 15) * 1000, i + 1) for i in range(count)]))
    assert answer.status == 204, answer


def test_malformed_histograms_are_refused():
    """400 with the series' name; the rest of the request is stored, answered, and delivered to a strict receiver."""
    t = int(time.time()) * 1000
    storage = Prometheus("", "--enable-feature=native-histograms")
    sluice = Sluice(f"remote_write: [{{name: p, url: '{storage.write_url}'}}]\nrecent: {{like: p}}\n")
    body = (histogram_series("bad", [histogram(t, 1, count=99), histogram(t + 1, 1), histogram(t + 2, 2, count=1)]) +
            histogram_series("good", [histogram(t, 1)]) + wire.write_request([({"__name__": "plain"}, [(t, 1.0)])]))
    answer = push_body(f"{sluice.url}/api/v1/write", body)
    assert answer.status == 400, answer
    assert "series bad at" in answer.text and "99" in answer.text and "and 1 more" in answer.text, answer
    for asked in (sluice, storage):
        wait_until(lambda: len(asked.query('{__name__=~"good|bad|plain"}', t / 1000 + 1)["result"]) == 3, what=asked)
    assert sluice.query("histogram_count(bad)", t / 1000 + 1)["result"][0]["value"][1] == "3"
    assert sluice.metric("vm_rows_invalid_total", 'type="promremotewrite"') == 2


def test_external_labels_are_those_of_the_query_api():
    """remote_read adds external labels where a series has none of its own, and drops matchers that equal them."""
    at = int(time.time()) - 60
    server = Prometheus("global: {external_labels: {cluster: main.eu, replica: a}}")
    own = ({}, {"cluster": "main.eu"}, {"cluster": "other"}, {"replica": "a"}, {"cluster": "main.eu", "replica": "a"},
           {"replica": "b", "cluster": "main.eu"})
    push(server.write_url, [({"__name__": "m", "i": str(i), **l}, [((at - 15 * k) * 1000, 20 - k) for k in range(20, -1, -1)])
                            for i, l in enumerate(own)])
    sluice = Sluice(groups(group("one", server, labels={"dc": "x"})))
    for matchers in ("", '{cluster="main.eu"}', '{cluster!="main.eu"}', '{cluster=~"main.+"}', '{cluster!~"main.*"}', '{cluster=""}',
                     '{cluster!=""}', '{replica="a"}', '{replica!="a"}', '{cluster="main.eu", replica="a"}', '{cluster="mainxeu"}'):
        for expr in (f"m{matchers}", f"rate(m{matchers}[2m])", f"m{matchers}[30s]", f"count by (cluster, replica) (rate(m{matchers}[2m]))"):
            want = server.query(expr, at)
            for s in want["result"]:
                if "count" not in expr:
                    s["metric"]["dc"] = "x"
            same_answer(sluice.query(expr, at), want, expr)


def test_custom_buckets_without_bounds():
    """Prometheus up to 3.9.0 leaves them out of remote_read: an error that names server and series, whatever is in the buckets."""
    t = int(time.time()) * 1000 - 1000
    server = Prometheus("", "--enable-feature=native-histograms")
    for name, length, deltas in (("two", 2, (2, 2)), ("first", 1, (2,))):  # zigzag: 1 and then 1 more
        count = sum(deltas[:1]) // 2 if length == 1 else 3
        h = (wire.varint(1 << 3) + wire.varint(count) + wire.varint(3 << 3 | 1) + struct.pack("<d", 4.0) + wire.varint(4 << 3) +
             wire.varint(105) + part(11, wire.varint(2 << 3) + wire.varint(length)) + part(12, b"".join(map(wire.varint, deltas))) +
             wire.varint(15 << 3) + wire.varint(t) + part(16, struct.pack("<2d", 1.0, 5.0)))
        answer = push_body(server.write_url, histogram_series(name, [h]))
        assert answer.status == 204, answer
    for extra in ({"push_down": "off"}, {"push_down": "off", "remote_read": False}):
        sluice = Sluice(groups(group("one", server, **extra)), name=f"sluice{len(extra)}")
        for name in ("two", "first"):
            answer = sluice.get("/api/v1/query", {"query": f"histogram_quantile(0.5, {name})", "time": t / 1000 + 1})
            assert answer.status == 502 and server.address in answer.text and f"series {name}" in answer.text, answer


def test_native_histograms_and_external_labels():
    """JSON shows that there are histograms, remote_read brings them, without the labels that only remote_read adds."""
    start = (int(time.time()) - 1800) // 60 * 60
    def storage(name):
        return Prometheus(f"global: {{external_labels: {{replica: {name}}}}}", "--enable-feature=native-histograms", name=name)
    one, two = storage("one"), storage("two")
    for s in (one, two):
        push_histograms(s, start, 60)
        load(s, start, ["a"], 40)
    for extra in ({}, {"remote_read": True}):
        sluice = Sluice(groups(group("pair", one, two, **extra)), name=f"sluice{len(extra)}")
        for expr in ("histogram_quantile(0.5, rate(h[2m]))", "histogram_count(h)", "h", "histogram_sum(increase(h[5m]))", "a", "count_over_time(a[3m])"):
            same_answer(sluice.query(expr, start + 601), one.query(expr, start + 601), expr)
            same_answer(sluice.query_range(expr, start, start + 1200, 60), one.query_range(expr, start, start + 1200, 60), expr)
        assert sluice.query("histogram_count(h)", start + 601)["result"], "there are histograms"


def test_limits():
    fake = FakePrometheus(vector(1000, 1), delay=5)
    sluice = Sluice(groups(group("slow", fake, remote_read=False)), "--query.max-memory=2MiB")
    began = time.monotonic()
    answer = sluice.get("/api/v1/query", {"query": "up", "time": 1000, "timeout": "1s"})
    assert answer.status == 504 and fake.address in answer.text and time.monotonic() - began < 3, answer
    fake.delay = 0
    fake.body = {"status": "success", "data": {"resultType": "matrix", "result": [
        {"metric": {"i": str(i)}, "values": [[t, str(t * t / 7)] for t in range(1, 1000)]} for i in range(500)]}}
    answer = sluice.get("/api/v1/query", {"query": "rate(up[1000s])", "time": 1000})
    assert answer.status == 422 and "2 MiB" in answer.text, answer
    fake.body = vector(1000, 1, a="b")
    assert sluice.query('{a="b"}', 1000)["result"]


def test_state_of_a_server():
    fake = FakePrometheus()
    sluice = Sluice(groups(group("west", fake, remote_read=False, timeout="2s")))

    def up():
        return [v for name, v in sluice.metrics().items() if name.startswith("sluice_upstream_up")]

    def state():
        return sluice.get("/targets").text.split("state=")[1].split(",")[0]

    sluice.query("up", 1000)
    assert (up(), state()) == ([1], "up")
    fake.stop()
    for _ in range(3):
        assert sluice.get("/api/v1/query", {"query": "up", "time": 1000}).status == 502
    assert (up(), state()) == ([0], "down")
    fake.start()
    for _ in range(3):
        sluice.query("up", 1000)
    assert (up(), state()) == ([1], "up")
    fake.status = 504  # of a proxy: the server behind it is not there
    sluice.get("/api/v1/query", {"query": "up", "time": 1000})
    assert (up(), state()) == ([0], "down")
    fake.status = 422
    sluice.get("/api/v1/query", {"query": "up", "time": 1000})
    assert (up(), state()) == ([1], "up")
    wait_until(lambda: sluice.log().count("is reachable again") == 2, what="the log lines")
    log = sluice.log()
    assert log.count("cannot reach server of a server group") == 2, log
    assert 'group=west server=http://' in log and "connection refused" in log and "failed_for=" in log, log


def test_requests_are_timed_by_call_and_outcome():
    slow, refusing = FakePrometheus(vector(1000, 1, x="1"), delay=0.1), FakePrometheus(status=422)
    sluice = Sluice(groups(group("slow", slow), group("refusing", refusing, ignore_error=True)) +
                    f"- static_configs:\n  - {{targets: ['127.0.0.1:1'], labels: {{dc: a}}}}\n"
                    f"  - {{targets: ['127.0.0.1:2'], labels: {{dc: b}}}}\n  ignore_error: true\n")
    sluice.get("/api/v1/query", {"query": 'x{dc=""}', "time": 1000})
    sluice.get("/api/v1/query_range", {"query": 'x{dc=""}', "start": 1000, "end": 1010, "step": 5})
    sluice.get("/api/v1/labels", {"match[]": 'x{dc=""}'})

    def figure(what, server, call, status):
        return sluice.metric(f"server_group_request_duration_seconds_{what}", f'host="{server.address}"',
                             f'call="{call}"', f'status="{status}"')
    assert figure("count", slow, "query", "success") >= 1 and figure("count", slow, "query", "error") == 0
    for call in ("query", "query_range", "label_names"):
        assert figure("count", refusing, call, "error") >= 1 and figure("count", refusing, call, "success") == 0, call
    assert figure("sum", slow, "query", "success") >= 0.1 * figure("count", slow, "query", "success")
    assert figure("count", slow, "status", "success") >= 1
    targets = {text: v for text, v in sluice.metrics().items() if text.startswith("server_group_targets{")}
    assert targets == {'server_group_targets{ordinal="0",name="slow"}': 1,
                       'server_group_targets{ordinal="1",name="refusing"}': 1,
                       'server_group_targets{ordinal="2",name="server_groups[2]"}': 2}, targets


class BeforeLastOverTime(FakePrometheus):
    """Prometheus 2.24 of Debian 11, with one sample of m at `at`."""

    def __init__(self, at):
        self.at = at
        super().__init__()

    def answer(self, request, body):
        query = urllib.parse.parse_qs(body.decode("latin-1")).get("query", [""])[0]
        if request.path.endswith("buildinfo"):
            data = {**fakes.PROMETHEUS_BUILD, "version": "2.24.1"}
        elif request.path.endswith("flags"):
            data = {"query.lookback-delta": "5m"}
        elif "[" in query:
            data = {"resultType": "matrix", "result": [{"metric": {"__name__": "m"}, "values": [[self.at, "7"]]}]}
        else:
            data = vector(self.at, 7, __name__="m")["data"]
        rejected = "last_over_time" in query or request.path.endswith("/read")
        return request.reply(400, b'{"status":"error","errorType":"bad_data","error":"unknown function"}') if rejected \
            else request.reply(200, json.dumps({"status": "success", "data": data}).encode())


def test_prometheus_before_last_over_time():
    at = int(time.time()) - 100
    sluice = Sluice(groups(group("old", BeforeLastOverTime(at), remote_read=False)))
    for _ in range(2):  # its version is known then
        assert [s["value"][1] for s in sluice.query("m", at)["result"]] == ["7"]


def test_lookback_of_older_prometheus():
    """Prometheus 2 includes the left edge of its lookback, and its first releases know no other one than the default."""
    old = Prometheus("", "--storage.tsdb.retention.time=100y", old=True, name="old")
    start = int(time.time()) // 60 * 60 - 3600
    assert push(old.write_url, [({"__name__": "m"}, [(start * 1000, 1.0), ((start + 900) * 1000, STALE)])]).status == 204
    sluice = Sluice(f"server_groups: [{{static_configs: [{{targets: ['{old.address}']}}]}}]\n")
    wait_until(lambda: sluice.metric("sluice_upstream_up") == 1)
    for lookback, age, found in (("10", 9, True), ("10", 10, False), ("5m", 299.999, True), ("1h", 301, True),
                                 ("1h", 899, True), ("0.001", 0, True), ("0.001", 0.001, False)):
        data = sluice.data("/api/v1/query", {"query": "m", "time": start + age, "lookback_delta": lookback})
        assert bool(data["result"]) == found, (lookback, age, data)
    data = sluice.query_range("m", start, start + 120, 15, lookback_delta="30")
    assert [t - start for t, _ in data["result"][0]["values"]] == [0, 15], data
