# SPDX-License-Identifier: Apache-2.0
"""metrics_relabel_configs and inject_matchers: a sluice over a Prometheus, beside a Prometheus that has the series as they
are shown."""
import json
import time

from lib import *
from test_upstream import FakePrometheus

BEGIN = int(time.time()) // 600 * 600 - 3 * 3600
END = BEGIN + 3600
JOBS, INSTANCES = ("api", "db"), ("a:1", "b:2")


def samples(value, first=0, step=15, lost=()):
    return [(1000 * t, value + (t - BEGIN) / step) for t in range(BEGIN + first, END, step)
            if not any(a <= t - BEGIN < b for a, b in lost)]


def stored():
    """As the server has them."""
    return [({"__name__": name, "job": job, "instance": instance, "branch": branch}, samples(10 * i + 100 * k))
            for name in ("m", "n") for i, job in enumerate(JOBS) for k, instance in enumerate(INSTANCES)
            for branch in ("Main" if k else "dev",)]


def shown(labels):
    """By RULES."""
    out = {**labels, "sg": "eu", "scrape_job": labels["job"]}
    return {k: v for k, v in out.items() if k != "job"}


RULES = """  metrics_relabel_configs:
  - {action: replace, source_label: job, target_label: scrape_job}
  - {action: labeldrop, source_label: job}
"""
QUERIES = [
    "m", 'm{scrape_job="api"}', 'm{job=""}', 'm{job="api"}', 'm{sg="eu",scrape_job=~"a.*"}', 'm{scrape_job!="api"}',
    'm{job!="x"}', 'm{job=~".*"}', 'm{job!~".+"}', "sum by (scrape_job) (m)", "sum by (job) (m)",
    "sum without (scrape_job) (m)", "sum without (job) (m)", "sum without (instance) (rate(m[5m]))", "count(m) by (sg)",
    'abs(label_replace(m, "task", "$1", "scrape_job", "(.*)"))', "sum(m / (2 * 3))", "m / on (scrape_job, instance, branch) n",
    "m / ignoring (job) n", "sum by (scrape_job) (m) / ignoring (job) sum by (scrape_job) (n)", "scalar(sum(m)) + m",
    'm and on (scrape_job) n{instance="a:1"}', "topk(1, m)", "absent(m)", 'absent(m{scrape_job="x"})',
    'count_values("v", m - m)', "max_over_time(sum by (scrape_job) (m)[5m:1m])", "quantile by (scrape_job) (0.5, m)",
    "avg by (scrape_job) (m)", "group by (scrape_job, job) (m)", "sort(m)", 'label_join(m, "j", "-", "job", "scrape_job")',
]


def group(server, more="", name="g"):
    return f"- name: {name}\n  static_configs: [{{targets: ['{server.address}']}}]\n{more}"


def sluice(*groups, **more):
    s = Sluice("server_groups:\n" + "".join(groups), **more)
    wait_until(lambda: s.metric("sluice_upstream_up") == len(groups), what="servers probed")
    return s


def load(name, series):
    server = Prometheus("", "--storage.tsdb.retention.time=100y", name=name)
    assert push(server.write_url, series).status in (200, 204)
    return server


def compare(s, judge, queries):
    for query in queries:
        for path, form in (("/api/v1/query", {"time": BEGIN + 1800.4}),
                           ("/api/v1/query_range", {"start": BEGIN + 600, "end": BEGIN + 2400, "step": 60})):
            form["query"] = query
            same_answer(s.data(path, form), judge.data(path, form), f"{query} {path}")


def compare_lists(s, judge, names, selectors):
    window = {"start": BEGIN, "end": END}
    for match in [{}] + [{"match[]": m} for m in selectors]:
        form = {**window, **match}
        assert s.data("/api/v1/labels", form) == judge.data("/api/v1/labels", form), match
        for name in names:
            path = f"/api/v1/label/{name}/values"
            assert s.data(path, form) == judge.data(path, form), (name, match)
        if match:
            ours, theirs = (sorted(json.dumps(l, sort_keys=True) for l in x.data("/api/v1/series", form)) for x in (s, judge))
            assert ours == theirs, match


def test_labels_are_renamed_everywhere():
    raw = load("raw", stored())
    judge = load("judge", [(shown(labels), s) for labels, s in stored()])
    keys = "  labels: {sg: eu}\n" + RULES
    pushing, reading = sluice(group(raw, keys)), sluice(group(raw, keys + "  push_down: off\n"), name="reading")
    for s in (pushing, reading):
        compare(s, judge, QUERIES)
        compare_lists(s, judge, ("scrape_job", "job", "sg", "instance", "__name__"),
                      ('m{scrape_job="api"}', 'm{job="api"}', '{scrape_job="db",sg="eu"}', "nothing", 'm{job!="x"}'))
    for query in ("sum by (scrape_job) (m)", "sum without (scrape_job) (m)", "sum(m / (2 * 3))", "rate(m[5m])"):
        plan = pushing.data("/api/v1/explain", {"query": query, "time": BEGIN + 1800})["plan"]
        assert plan[-1]["evaluated"] == "pushed", (query, plan)
    federated = pushing.get("/federate", {"match[]": "m"})
    assert federated.status == 200


def test_a_copied_label_is_shown_twice():
    raw = load("raw", stored())
    judge = load("judge", [({**labels, "scrape_job": labels["job"]}, s) for labels, s in stored()])
    s = sluice(group(raw, "  metrics_relabel_configs: [{source_label: job, target_label: scrape_job}]\n"))
    compare(s, judge, QUERIES + ["max without (scrape_job) (sum without (job) (m))", "sum without (job, scrape_job) (m)",
                                 "m / ignoring (job) sum without (job) (n)"])
    compare_lists(s, judge, ("scrape_job", "job"), ('m{scrape_job="api"}', 'm{job="db"}'))


def test_labels_change_their_case():
    """Two labels of the server differ only in case: m{branch="Main"} and m{branch="main"} are one series that is shown."""
    rules = ("  metrics_relabel_configs:\n  - {action: lowercase, source_label: branch, target_label: branch}\n"
             "  - {action: uppercase, source_label: instance, target_label: instanceUpper}\n")
    raw = load("raw", stored())
    judge = load("judge", [({**labels, "branch": labels["branch"].lower(), "instanceUpper": labels["instance"].upper()}, s)
                           for labels, s in stored()])
    s = sluice(group(raw, rules))
    selectors = ['m{branch="main"}', 'm{branch="Main"}', 'm{branch!="main"}', 'm{branch=~"ma.n|x"}', 'm{branch=~"[A-Z].*"}',
                 'm{branch!~"ma.*"}', 'm{instanceUpper="A:1"}', 'm{instanceUpper=~"B.*",branch=~".+"}', 'm{branch!~"MAIN"}']
    compare(s, judge, selectors + ["sum by (branch) (m)", "sum by (instanceUpper) (rate(m[5m]))", "sum without (branch) (m)"])
    compare_lists(s, judge, ("branch", "instanceUpper", "instance"), selectors)


def test_stored_replicas_are_merged():
    """One server stores what two scrapers wrote, told apart by `replica`, each with a gap. Dropping the label merges them."""
    series, one = [], []
    for job in JOBS:
        labels = {"__name__": "m", "job": job}
        series.append(({**labels, "replica": "0"}, samples(5, lost=((900, 1200),))))
        series.append(({**labels, "replica": "1"}, samples(5, first=4, lost=((2000, 2600),))))
        one.append((labels, sorted(samples(5, lost=((900, 1200),)) +
                                   [x for x in samples(5, first=4) if 900 <= x[0] / 1000 - BEGIN < 1200 - 7])))
    raw = load("raw", series)
    s = sluice(group(raw, "  metrics_relabel_configs: [{action: labeldrop, source_label: replica}]\n"))
    for path, form in (("/api/v1/query", {"time": BEGIN + 1100}), ("/api/v1/query_range", {
            "start": BEGIN + 600, "end": BEGIN + 2700, "step": 60})):
        for query, count in (("m", 2), ("count(m)", 1), ("m + m", 2), ('m{replica!="x"}', 2), ('m{replica=~".*"}', 2),
                             ("count by (replica) (m)", 1), ("sum without (job) (m)", 1)):
            result = s.data(path, {**form, "query": query})["result"]
            assert len(result) == count, (query, result)
            assert all("replica" not in x["metric"] for x in result)
            if query == "count(m)":
                assert {v for x in result for _, v in x.get("values", [x.get("value")])} == {"2"}, result
            if path.endswith("range"): # the gap of each is filled by the other
                assert all(len(x["values"]) == 36 for x in result), (query, [len(x["values"]) for x in result])
    merged = s.raw("m", "55m", END - 60)
    assert set(merged) == {(("__name__", "m"), ("job", job)) for job in JOBS}
    for points in merged.values():
        steps = [b[0] - a[0] for a, b in zip(points, points[1:])]
        assert max(steps) <= 26000 and min(steps) >= 4000 and 215 <= len(points) <= 222, (len(points), max(steps), min(steps))
    assert s.data("/api/v1/query", {"query": 'm{replica="0"}', "time": BEGIN + 1100})["result"] == []
    window = {"start": BEGIN, "end": END}
    assert s.data("/api/v1/label/replica/values", window) == []
    assert "replica" not in s.data("/api/v1/labels", window)
    assert len(s.data("/api/v1/series", {**window, "match[]": "m"})) == 2
    plan = s.data("/api/v1/explain", {"query": "sum(m)", "time": BEGIN + 1100})["plan"]
    assert "drop the label replica" in json.dumps(plan), plan
    pinned = sluice(group(raw, "  metrics_relabel_configs: [{action: labeldrop, source_label: replica}]\n"
                               "  inject_matchers: ['replica=\"0\"']\n"), name="pinned")
    plan = pinned.data("/api/v1/explain", {"query": "sum(m)", "time": BEGIN + 1800})["plan"]
    assert plan[-1]["evaluated"] == "pushed", plan
    assert pinned.query("sum(m)", BEGIN + 1800)["result"][0]["value"][1] == \
        raw.query('sum(m{replica="0"})', BEGIN + 1800)["result"][0]["value"][1]


def test_stored_replicas_and_matchers_of_victoriametrics():
    """It has no push-down, and is read by export."""
    raw = VictoriaMetrics()
    assert push(raw.write_url, [({"__name__": "m", "job": job, "replica": str(first)}, samples(5, first=first, lost=(lost,)))
                                for job in JOBS for first, lost in ((0, (900, 1200)), (4, (2000, 2600)))]).status == 204
    raw.flush()
    s = Sluice("server_groups:\n" + group(raw, "  labels: {sg: eu}\n" + RULES + "  - {action: labeldrop, source_label: replica}\n"))
    window = {"start": BEGIN, "end": END}
    for query, count in (("m", 2), ("count(m)", 1), ("m + m", 2), ('m{scrape_job="api"}', 1), ('m{replica="0"}', 0),
                         ("sum by (scrape_job) (rate(m[2m]))", 2)):
        result = s.query_range(query, BEGIN + 600, BEGIN + 2700, 60)["result"]
        assert len(result) == count and all(len(x["values"]) == 36 for x in result), (query, result)
    assert s.data("/api/v1/labels", window) == ["__name__", "scrape_job", "sg"]
    assert s.data("/api/v1/label/scrape_job/values", window) == sorted(JOBS)
    assert len(s.data("/api/v1/series", {**window, "match[]": '{sg="eu"}'})) == 2
    scoped = Sluice("server_groups:\n" + group(raw, "  inject_matchers: ['replica=\"0\"', 'job=\"api\"']\n"), name="scoped")
    assert scoped.query("count(m)", BEGIN + 1800)["result"][0]["value"][1] == "1"
    assert scoped.data("/api/v1/label/job/values", window) == ["api"]


def test_injected_matchers_scope_every_request():
    raw = load("raw", stored())
    judge = load("judge", [(labels, s) for labels, s in stored() if labels["job"] == "api"])
    for keys in ("", "  remote_read: false\n", "  push_down: off\n"):
        s = sluice(group(raw, f"  inject_matchers: ['job=\"api\"']\n{keys}"))
        compare(s, judge, ["count(m)", "m", 'm{job="db"}', 'm{instance!="a:1"}', "rate(m[5m])", 'sum by (job) ({instance!=""})',
                           'absent(m{job="db"})', "max_over_time(sum(m)[5m:1m])"])
        compare_lists(s, judge, ("job", "instance", "__name__"), ("m", '{instance="a:1"}', 'm{job="db"}'))
        assert s.raw("m", "5m", BEGIN + 900) == judge.raw("m", "5m", BEGIN + 900)
        s.stop()


def test_injected_matchers_scope_metadata_and_federation():
    pages = [f"# TYPE {job}_calls_total counter\n# HELP {job}_calls_total Of {job}.\n{job}_calls_total 1\n"
             f"# TYPE {job}_seconds summary\n{job}_seconds_sum 1\n{job}_seconds_count 1\n" for job in JOBS]
    exporters = [ScriptedExporter(page=lambda n, ms, text=page: text) for page in pages]
    scraped = Prometheus("global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n" + "".join(
        f"- job_name: {job}\n  static_configs: [{{targets: ['{e.address}']}}]\n" for job, e in zip(JOBS, exporters)))
    wait_until(lambda: len(scraped.query("{__name__=~'.*_calls_total'}")["result"]) == 2)
    s = sluice(group(scraped, "  inject_matchers: ['job=\"api\"']\n"))
    assert sorted(s.data("/api/v1/metadata")) == ["api_calls_total", "api_seconds"]
    assert s.data("/api/v1/metadata", {"metric": "db_seconds"}) == {}
    text = s.get("/federate", {"match[]": '{__name__=~".*_calls_total"}'}).text
    assert "api_calls_total{" in text and "db_calls_total" not in text, text


def test_exemplars_are_relabeled_and_scoped():
    exemplar = {"labels": {"trace": "1"}, "value": "3", "timestamp": BEGIN + 5}
    fake = FakePrometheus({"status": "success", "data": [{"seriesLabels": labels, "exemplars": [exemplar]} for labels in (
        {"__name__": "m", "job": "api", "replica": "0"}, {"__name__": "m", "job": "api", "replica": "1"})]})
    keys = RULES + "  - {action: labeldrop, source_label: replica}\n  inject_matchers: ['cluster=~\"a|b\"']\n"
    s = sluice(group(fake, keys + "  labels: {sg: eu}\n"))
    form = {"query": 'rate(m{scrape_job="api",sg="eu"}[5m])', "start": BEGIN, "end": END}
    assert s.data("/api/v1/query_exemplars", form) == [
        {"seriesLabels": {"__name__": "m", "scrape_job": "api", "sg": "eu"}, "exemplars": [exemplar]}]
    asked = [form["query"] for path, form in fake.queries() if path.endswith("exemplars")]
    assert asked == [['{job="api",__name__="m",cluster=~"a|b"}']], asked
    assert s.data("/api/v1/query_exemplars", {**form, "query": 'm{sg="us"}'}) == []


DEFECTS = {  # of promxy: the query, and that of the server for the right answer
    "a matcher != on a dropped label": ('count(m{branch!="x"})', "count(m)"),
    "a matcher =~ on a dropped label": ('count(m{branch=~".*"})', "count(m)"),
    "without the new label": ('count by (scrape_job, instance) (sum without (scrape_job) (m))', "count by (instance) (sum by (instance) (m))"),
    "without the old label": ('sum without (job) (m)', 'label_replace(sum by (job, instance) (m), "scrape_job", "$1", "job", "(.*)")'),
    "label_replace makes another label": ('count by (new) (label_replace(m, "new", "$1", "instance", "(.*)"))',
                                          'count by (new) (label_replace(m, "new", "$1", "instance", "(.*)"))'),
    "a binary operation inside an aggregation": ("sum(m / (2 * 3))", "sum(m / (2 * 3))"),
    "scalar() and relabeling": ("scalar(sum(m)) + 1", "scalar(sum(m)) + 1"),
    "sum over stored replicas": ("sum(m)", 'sum(m)'),
    "a stored replica beside itself": ("count(m + m)", "count(m)"),
}


def defect(name):
    series = [({k: v for k, v in labels.items() if k != "branch"}, s) for labels, s in stored() if labels["__name__"] == "m"]
    raw = load("raw", [({**labels, "branch": b}, s) for labels, s in series for b in ("x", "y")])
    judge = load("judge", series)
    s = sluice(group(raw, RULES + "  - {action: labeldrop, source_label: branch}\n"))
    query, wanted = DEFECTS[name]
    ours, theirs = (x.query(q, BEGIN + 1800) for x, q in ((s, query), (judge, wanted)))
    if query.startswith("sum without (job)"):
        for item in theirs["result"]:
            del item["metric"]["job"]
    same_answer(ours, theirs, name)
    return s


def test_a_dropped_label_is_not_x():
    defect("a matcher != on a dropped label")


def test_a_dropped_label_is_anything():
    defect("a matcher =~ on a dropped label")


def test_without_the_new_label_keeps_the_others():
    defect("without the new label")


def test_without_the_old_label_keeps_the_new_one():
    defect("without the old label")


def test_label_replace_makes_another_label():
    defect("label_replace makes another label")


def test_a_binary_operation_inside_an_aggregation():
    defect("a binary operation inside an aggregation")


def test_scalar_beside_relabeling():
    defect("scalar() and relabeling")


def test_sum_counts_a_stored_replica_once():
    defect("sum over stored replicas")


def test_a_stored_replica_is_no_duplicate():
    defect("a stored replica beside itself")


def test_label_values_are_relabeled():
    s = defect("a matcher != on a dropped label")
    window = {"start": BEGIN, "end": END}
    assert s.data("/api/v1/label/scrape_job/values", window) == sorted(JOBS)
    assert s.data("/api/v1/label/job/values", window) == s.data("/api/v1/label/branch/values", window) == []
