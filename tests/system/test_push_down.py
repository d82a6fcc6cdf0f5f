# SPDX-License-Identifier: Apache-2.0
"""Push-down: what servers evaluate gives the results that raw samples give."""
import json
import time

import promql_answers
import push_down
from lib import *
from test_upstream import push_histograms

CONFIG = """server_groups:
- {{name: A, labels: {{sg: a}}, push_down: {how}, static_configs: [{{targets: ['{a}']}}]}}
- {{name: B, labels: {{sg: b}}, push_down: {how}, static_configs: [{{targets: ['{b}']}}]}}
"""
START = 1_700_006_400


def random_queries(layout, seed, queries):
    comparison = push_down.run(layout, seed, queries)
    assert not comparison.wrong, f"{len(comparison.wrong)} results differ"
    assert comparison.filled > 0.7 * queries and comparison.pushed > 0.6 * queries
    assert comparison.without_raw >= 0.6 * comparison.distributive > 0


def test_relabeled_results():
    """Servers get their own label names, results those that are shown."""
    random_queries("swapped", "15", 150)


def test_injected_matchers():
    random_queries("scoped", "16", 150)


def test_hedged_replicas():
    random_queries("hedged", "14", 100)


# --- cases in which promxy returns wrong results, as "name: expressions"; the alerting rule has a separate test ---------

WRONG_ELSEWHERE = {
    "comparisons of max": ["max(mx) < 5", "5 > max(mx)", "max(mx) == 3", "max(mx) < bool 5"],
    "comparisons of min": ["min(mx) > 5", "5 < min(mx)", "min(mx) > bool 5"],
    "arithmetic on max and min": ["max(mx) * -1", "10 - max(mx)", "100 / max(mx)", "10 - min(mx)"],
    "comparisons of topk": ["topk(1, mx) < 5", "bottomk(1, mx) > 5"],
    "aggregates of absent": ["sum(absent(only_a))", "count(absent(only_a))", "abs(absent(only_a))", "sort(absent(only_a))",
                             "sum(absent_over_time(only_a[1m]))", "absent(nowhere)", "absent(only_a)"],
    "scalar": ["scalar(only_a)", "m * scalar(only_a)", "clamp_max(m, scalar(only_a))", "vector(scalar(only_a))",
               "topk(scalar(one), m)", "topk(scalar(only_a), m)"],
    "labels made of a label of the group": [
        'sum by (x) (label_replace(m, "x", "$1", "sg", "(.*)"))', 'abs(label_replace(m, "x", "$1", "sg", "(.*)"))',
        'count by (x) (label_join(m, "x", "-", "inst", "sg"))'],
    "count_values without": ['count_values without (inst) ("v", m)', 'count_values("sg", m)'],
    "count_values with an offset": ['count_values("v", m offset 1m)', 'count_values("v", m offset 5m)'],
    "count_values with a label in parentheses": ['count_values(("v"), m)'],
    "subqueries with an offset": ["sum_over_time(m[5m:1m] offset 2m)", "sum_over_time(m[5m:1m] offset 4m)",
                                  "max_over_time(sum(m)[5m:1m] offset 4m)",
                                  "sum_over_time(m[5m:1m] offset 20m)", "max_over_time(sum(m)[5m:1m] offset 20m)"],
    "steps of subqueries": [f"sum_over_time(sum(m)[5m:{step}])" for step in ("7s", "11s", "13s", "7m", "25m", "5h", "1w")],
    "ranges with holes": ["spiky > 5", "spiky == 9", "sum(spiky > 5)", "count(spiky > 5)", "topk(1, spiky > 5)",
                          "bottomk(1, spiky > 5)", 'count_values("v", spiky > 5)', "max by (inst) (spiky > 5)",
                          "absent(spiky > 5)", "avg_over_time((spiky > 5)[1m:15s])", "sum_over_time((spiky > 5)[1m:15s])"],
    "series that end": ["goes", "sum(goes)", "count(goes)", "avg(goes)", "goes * 2", "-goes", "absent(goes)"],
}


def samples_of(group):
    """Each group has its own series; times are 15 s apart."""
    times = [START + 15 * i for i in range(60)]
    for inst in ("1", "2"):
        labels = {"inst": f"{group}{inst}", "sg": group}
        yield {"__name__": "m", **labels}, [(t * 1000, float(i % 7 + int(inst))) for i, t in enumerate(times)]
        yield {"__name__": "mx", **labels}, [(t * 1000, 3.0 if group == "a" else 7.0) for t in times]
        yield {"__name__": "spiky", **labels}, [(t * 1000, 9.0 if i % 11 == int(inst) else 1.0) for i, t in enumerate(times)]
        end = 20 if group == "a" else 60
        yield {"__name__": "goes", **labels}, [(t * 1000, float(i)) for i, t in enumerate(times[:end])] + \
            [(t * 1000, STALE) for t in times[end:end + 1]]
    if group == "a":
        yield {"__name__": "only_a", "sg": group}, [(t * 1000, 42.0) for t in times]
        yield {"__name__": "one", "sg": group}, [(t * 1000, 1.0) for t in times]


def without_group(series):
    return [({k: v for k, v in labels.items() if k != "sg"}, samples) for labels, samples in series]


def pair_of_groups():
    """(sluice over two groups, a Prometheus that has everything)"""
    servers = [Prometheus("", "--storage.tsdb.retention.time=100y", name=name) for name in ("a", "b", "all")]
    for name, server in zip("ab", servers):
        assert push(server.write_url, without_group(samples_of(name))).status in (200, 204)
        assert push(servers[2].write_url, list(samples_of(name))).status in (200, 204)
    sluice = Sluice(CONFIG.format(how="verified", a=servers[0].address, b=servers[1].address))
    wait_until(lambda: sluice.metric("sluice_upstream_up") == 2)
    return sluice, servers[2]


def test_what_is_wrong_elsewhere_is_right():
    sluice, everything = pair_of_groups()
    wrong = []
    for name, queries in WRONG_ELSEWHERE.items():
        for query in queries:
            end = START + (1800 if "20m" in query else 900)
            for path, params in (("query", {"time": START + 605}),
                                 ("query_range", {"start": START + 60.5, "end": end, "step": 15})):
                ours, theirs = (s.get(f"/api/v1/{path}", {"query": query, **params}).json() for s in (sluice, everything))
                if ours["status"] != theirs["status"]:
                    why = f"{ours['status']}, wanted {theirs['status']}"
                elif push_down.TIES.search(query):
                    same = push_down.values_at(ours["data"]["result"]) == push_down.values_at(theirs["data"]["result"])
                    why = None if same else "other values"
                else:
                    why = promql_answers.results_differ(query, ours["data"], theirs["data"])
                if why:
                    wrong.append(f"{name}: {query} ({path}): {why}")
    assert not wrong, "\n".join(wrong)
    assert sluice.metric("sluice_upstream_pushed_total") > 100
    assert sluice.metric("sluice_upstream_push_abandoned_total") == 0


def test_alerting_rule_on_a_maximum_stays_inactive():
    """A Prometheus that reads sluice evaluates `max(mx) < 5` for 10 s, where one group has 3 and the other one 7."""
    servers = [Prometheus("", name=name) for name in "ab"]
    now = now_ms() // 1000
    for server, value in zip(servers, (3.0, 7.0)):
        times = [(1000 * (now + t), value) for t in range(-120, 120, 5)]
        assert push(server.write_url, [({"__name__": "mx", "inst": server.name}, times)]).status in (200, 204)
    sluice = Sluice(CONFIG.format(how="verified", a=servers[0].address, b=servers[1].address))
    wait_until(lambda: sluice.metric("sluice_upstream_up") == 2)
    for t in range(now - 60, now + 60, 5): # as a ruler does that sends its expressions
        data = sluice.query("max(mx) < 5", t)
        assert data["result"] == [] and sluice.query("max(mx) > 5", t)["result"][0]["value"][1] == "7", data
    rules = "".join(f"  - {{alert: {name}, expr: 'max(mx) {op} 5', for: 10s}}\n" for name, op in (("below", "<"), ("above", ">")))
    path = write_file("rules.yml", f"groups:\n- name: maximum\n  interval: 1s\n  rules:\n{rules}")
    ruler = Prometheus(f"rule_files: ['{path}']\nremote_read: [{{url: '{sluice.url}/api/v1/read', read_recent: true}}]\n",
                       name="ruler")

    def states():
        return {r["name"]: r["state"] for g in ruler.data("/api/v1/rules")["groups"] for r in g["rules"]}
    wait_until(lambda: states()["above"] == "firing", 30)
    assert states()["below"] == "inactive"


# --- what is not pushed -----------------------------------------------------------------------------------------------

def explain(sluice, query, **params):
    return sluice.data("/api/v1/explain", {"query": query, **params})


def reasons(explained):
    return [d.get("reason", "") for d in explained["plan"] if d["evaluated"] in ("raw", "cut")]


def test_what_older_and_other_servers_compute_differently_is_raw():
    series = without_group(samples_of("a"))
    old = Prometheus("", "--storage.tsdb.retention.time=100y", old=True, name="old")
    vm = VictoriaMetrics()
    new = Prometheus("", "--storage.tsdb.retention.time=100y", name="new")
    for server in (old, vm, new):
        assert push(server.write_url, series).status in (200, 204)
    vm.flush()
    wanted = new.query("sum(rate(m[1m]))", START + 600)
    for server, reason in ((old, "its samples are needed here"), (vm, "VictoriaMetrics"), (new, None)):
        sluice = Sluice(f"server_groups: [{{static_configs: [{{targets: ['{server.address}']}}]}}]\n",
                        name=f"sluice-{server.name}")
        wait_until(lambda s=sluice: s.metric("sluice_upstream_up") == 1)
        wait_until(lambda s=server: s.query("m", START + 600)["result"])
        same_answer(sluice.query("sum(rate(m[1m]))", START + 600), wanted)
        explained = explain(sluice, "sum(rate(m[1m]))", time=START + 600)
        assert [reason in why for why in reasons(explained)] == [True] if reason else not reasons(explained), explained
        if server is old:  # its flags were requested with the raw samples
            for query in ("max(m)", "sum(changes(m[1m]))", 'count({__name__="m",inst=~"a."} > 2)'):
                assert not reasons(explain(sluice, query, time=START + 600)), query
                same_answer(sluice.query(query, START + 600), new.query(query, START + 600))


def test_lookback_of_older_servers():
    """It is theirs: an instant selector is sent to a server that looks back as far."""
    for minutes, query, pushed in ((5, "m", True), (2, "m", False), (2, "last_over_time(m[5m])", True)):
        old = Prometheus("", "--storage.tsdb.retention.time=100y", f"--query.lookback-delta={minutes}m", old=True, name=f"old{minutes}{pushed}")
        assert push(old.write_url, without_group(samples_of("a"))).status in (200, 204)
        sluice = Sluice(f"server_groups: [{{static_configs: [{{targets: ['{old.address}']}}]}}]\n", name=f"sluice{minutes}{pushed}")
        wait_until(lambda s=sluice: s.metric("sluice_upstream_up") == 1)
        last = START + 15 * 59
        for t in (last + 299, last + 300, last + 301):  # twice: the first request learns the lookback
            assert len(sluice.query(query, t)["result"]) == 2 * (t < last + 300), (minutes, query, t)
        assert bool(reasons(explain(sluice, query, time=last + 299))) != pushed, (minutes, query)


def test_native_histograms_of_older_servers():
    """They compute with them as if they were floats, and cannot send them: nothing is pushed while their flags show that they
    may have some, and what has some fails, unless a newer replica has it."""
    start = int(time.time()) - 300
    old, new = Prometheus("", "--enable-feature=native-histograms", old=True, name="old"), Prometheus("", "--enable-feature=native-histograms", name="new")
    for server in (old, new):
        push_histograms(server, start, 10)
        assert push(server.write_url, [({"__name__": "m"}, [(start * 1000, 1.0)])]).status in (200, 204)
    alone, both = (Sluice(f"server_groups: [{{static_configs: [{{targets: {json.dumps([s.address for s in servers])}}}]}}]\n",
                          name=f"sluice{len(servers)}") for servers in ((old,), (old, new)))
    wait_until(lambda: alone.metric("sluice_upstream_up") == 1 and both.metric("sluice_upstream_up") == 2)
    for query in ("h", "max_over_time(h[2m])", "max(h)", "last_over_time(h[2m])", "max(abs(h))", "topk(1, h)", "h[1m]", "count({__name__=~'h|m'})"):
        for _ in range(2):
            answer = alone.get("/api/v1/query", {"query": query, "time": start + 150})
            assert answer.status == 422 and "before Prometheus 2.44" in answer.text, (query, answer.text)
        same_answer(both.query(query, start + 150), new.query(query, start + 150), query)
    assert alone.query("max(m)", start + 15)["result"] and alone.query("m[1m]", start + 15)["result"]


def test_experimental_functions_of_servers_that_have_them():
    """Which servers are started with them is learned from a rejected request."""
    series, query = without_group(samples_of("a")), {"query": "max(ts_of_last_over_time(m[1m]))", "time": START + 600}
    for features in (["--enable-feature=promql-experimental-functions"], []):
        server = Prometheus("", "--storage.tsdb.retention.time=100y", *features, name=f"server-{len(features)}")
        assert push(server.write_url, series).status in (200, 204)
        sluice = Sluice(f"server_groups: [{{static_configs: [{{targets: ['{server.address}']}}]}}]\n", name=f"sluice-{len(features)}")
        wait_until(lambda s=sluice: s.metric("sluice_upstream_up") == 1)
        first, second = (sluice.data("/api/v1/query", {**query, "explain": "1"}) for _ in "ab")
        assert first["result"] == second["result"] and first["result"][0]["value"][1] == str(START + 600), first
        if features:
            assert not reasons(first["explain"]) and first["explain"] is not None
        else:
            assert "not enabled" in first["explain"]["abandoned"], first["explain"]
            assert "abandoned" not in second["explain"] and "its samples are needed here" in reasons(second["explain"])
    assert sluice.query("abs(m)", START + 600)["result"] and not reasons(explain(sluice, "abs(m)", time=START + 600))


def test_keys_of_a_group_turn_it_off():
    a, b = (Prometheus("", "--storage.tsdb.retention.time=100y", name=name) for name in "ab")
    for server in (a, b):
        assert push(server.write_url, without_group(samples_of("a"))).status in (200, 204)
    sluice = Sluice(CONFIG.format(how="off", a=a.address, b=b.address), name="off")
    assert "push_down is off" in reasons(explain(sluice, "sum(m)", time=START + 600))[0]
    both = f"static_configs: [{{targets: ['{a.address}', '{b.address}']}}]"
    sluice = Sluice(f"server_groups: [{{{both}}}]\n", name="merging")
    wait_until(lambda: sluice.metric("sluice_upstream_up") == 2)
    wait_until(lambda: "no `up` series" in reasons(explain(sluice, "sum(m)", time=START + 600))[0])
    sluice = Sluice(f"server_groups: [{{{both}, prefer_max: true}}]\n", name="larger")
    wait_until(lambda: sluice.metric("sluice_upstream_up") == 2)
    assert "prefer_max" in reasons(explain(sluice, "sum(m)", time=START + 600))[0]
    sluice = Sluice(f"server_groups: [{{{both}, read_mode: first_available}}]\n", name="first")
    wait_until(lambda: sluice.metric("sluice_upstream_up") == 2)
    explained = explain(sluice, "sum(m)", time=START + 600)
    asked = [r["server"] for r in explained["requests"] if r["query"] != "vector(1)"]  # that checks a server that is late
    assert not reasons(explained) and asked == [a.url], explained
    a.stop()
    assert sluice.query("sum(m)", START + 600)["result"] == b.query("sum(m)", START + 600)["result"]


def test_unlabeled_groups_may_share_series():
    a, b = (Prometheus("", "--storage.tsdb.retention.time=100y", name=name) for name in "ab")
    groups = "".join(f"- {{static_configs: [{{targets: ['{s.address}']}}]}}\n" for s in (a, b))
    assert push(a.write_url, without_group(samples_of("a"))).status in (200, 204)
    assert push(b.write_url, without_group(samples_of("b"))).status in (200, 204)
    sluice = Sluice(f"server_groups:\n{groups}")
    wait_until(lambda: sluice.metric("sluice_upstream_up") == 2)
    explained = explain(sluice, "sum(abs(m))", time=START + 600)
    assert [(d["expr"], d["evaluated"]) for d in explained["plan"]] == [("abs(m)", "pushed"), ("sum(abs(m))", "here")], explained
    assert "no label tells" in explained["plan"][1]["reason"]
    assert sluice.query("count(m)", START + 600)["result"][0]["value"][1] == "4"
    trusted = Sluice(f"server_groups:\n{groups}".replace("static", "push_down: trusted, static"), name="trusted")
    wait_until(lambda: trusted.metric("sluice_upstream_up") == 2)
    assert not reasons(explain(trusted, "count(m)", time=START + 600))
    assert trusted.query("count(m)", START + 600)["result"][0]["value"][1] == "4"
    # a series that both have is noticed where series are what is returned
    assert push(b.write_url, without_group(samples_of("a"))[:1]).status in (200, 204)
    for s, query in ((trusted, "m + 1"), (sluice, "m + 1"), (sluice, "sum(m > 0)")):
        answer = s.get("/api/v1/query", {"query": query, "time": START + 600})
        assert answer.status == 422 and "is in server group" in answer.text, answer


def test_the_recent_store_has_the_newest_steps():
    server = Prometheus("", name="storage")
    now = int(time.time()) // 15 * 15
    old = [((now - 1800 + 15 * i) * 1000, float(i)) for i in range(100)]
    assert push(server.write_url, [({"__name__": "m"}, old)]).status in (200, 204)
    sluice = Sluice(f"remote_write: [{{name: storage, url: '{server.write_url}'}}]\nrecent: {{like: storage}}\n"
                    f"server_groups: [{{written_by: [storage], static_configs: [{{targets: ['{server.address}']}}]}}]\n")
    wait_until(lambda: sluice.metric("sluice_upstream_up") == 1)
    newest = int(time.time()) + 2 # behind the start, since when the store has everything
    assert push(f"{sluice.url}/api/v1/write", [({"__name__": "m"}, [(newest * 1000, 1000.0)])]).status == 204
    wait_until(lambda: server.query("m", newest)["result"][0]["value"][1] == "1000")
    window = {"start": now - 900, "end": now + 45, "step": 15}
    explained = explain(sluice, "sum(max_over_time(m[2m]))", **window)
    assert "recent store" in reasons(explained)[0] and "steps are evaluated here" in reasons(explained)[0], explained
    same_answer(sluice.query_range("sum(max_over_time(m[2m]))", **window), server.query_range("sum(max_over_time(m[2m]))", **window))
    paths = {r["path"] for r in explained["requests"]}
    assert paths == {"/api/v1/query_range", "/api/v1/read"}, explained


# --- explain ----------------------------------------------------------------------------------------------------------

def test_explain_tells_of_plan_requests_and_merges():
    a, b = (Prometheus("", "--storage.tsdb.retention.time=100y", name=name) for name in "ab")
    labels, samples = without_group(samples_of("a"))[0]
    assert push(a.write_url, [(labels, samples[:20] + samples[40:])]).status in (200, 204)
    assert push(b.write_url, [(labels, [(t + 3000, v) for t, v in samples])]).status in (200, 204)
    sluice = Sluice(f"server_groups: [{{name: pair, static_configs: [{{targets: ['{a.address}', '{b.address}']}}]}}]\n")
    wait_until(lambda: sluice.metric("sluice_upstream_up") == 2)
    window = {"start": START, "end": START + 900, "step": 60}
    answer = sluice.query_range("sum(rate(m[1m]))", **window, explain="1")
    explained = answer["explain"]
    assert answer["result"] == sluice.query_range("sum(rate(m[1m]))", **window)["result"]
    assert [r["server"] for r in sorted(explained["requests"], key=lambda r: r["server"])] == sorted([a.url, b.url])
    for r in explained["requests"]:
        assert r["group"] == "pair" and r["status"] == 200 and r["bytes"] > 100 and r["seconds"] >= 0
        assert r["query"] == '{__name__="m"}[60000ms]'
    assert sorted(r["samples"] for r in explained["requests"]) == [40, 60]
    merged, = explained["merged"]
    first, second = merged["sources"]
    assert (first["server"], first["samples"], first["filled"]) == (a.url, 40, 0), merged
    assert second["filled"] > 15 and START + 20 * 15 - 15 <= second["filledFrom"] < second["filledTo"] <= START + 40 * 15 + 15
    assert "gaps from" in explained["text"] and "raw    sum(rate(m[1m])): " in explained["text"], explained["text"]
    assert sluice.get("/api/v1/explain", {"query": "sum("}).status == 400
    assert sluice.get("/api/v1/query", {"query": "m", "explain": "maybe"}).status == 400
    failed = sluice.get("/api/v1/query", {"query": "m", "time": START + 60}).json()
    assert "explain" not in failed["data"]


def test_responses_of_this_host_are_not_compressed():
    server = Prometheus("", "--storage.tsdb.retention.time=100y")
    assert push(server.write_url, without_group(samples_of("a"))).status in (200, 204)
    sizes = {}
    for how in ("auto", "on", "off"):
        sluice = Sluice(f"server_groups: [{{compression: {how}, static_configs: [{{targets: ['{server.address}']}}]}}]\n",
                        name=f"sluice-{how}")
        wait_until(lambda s=sluice: s.metric("sluice_upstream_up") == 1)
        request, = explain(sluice, "m", start=START, end=START + 900, step=15)["requests"]
        sizes[how] = request["bytes"]
    assert sizes["auto"] == sizes["off"] > 3 * sizes["on"], sizes
