# SPDX-License-Identifier: Apache-2.0
"""label_filter: queries that a group is not sent, and values that are read in the background."""
import time

from lib import *
from test_group_views import BEGIN, END, load, sluice
from test_upstream import FakePrometheus, group, groups


def series(*jobs):
    return [({"__name__": "m", "job": job}, [(1000 * t, 1.0) for t in range(BEGIN, END, 15)]) for job in jobs] + [
        ({"__name__": "bare"}, [(1000 * t, 1.0) for t in range(BEGIN, END, 15)])]


def asked(s, query, **form):
    form = {"query": query, "time": BEGIN + 600, **form}
    explained = s.data("/api/v1/explain", form)
    groups, skipped = ({r["group"] for r in explained[key]} for key in ("requests", "skipped"))
    assert not groups & skipped and all("(label_filter)" in s["reason"] for s in explained["skipped"]), explained
    assert explained["text"].count("is not queried for") == len(explained["skipped"]), explained
    return groups


def test_groups_are_asked_for_the_values_that_they_have():
    servers = {name: load(name, series(*jobs)) for name, jobs in (("east", ("a", "b")), ("west", ("b", "c")))}
    keys = {"label_filter": {"dynamic_labels": ["job"], "sync_interval": "1s"}}
    s = sluice(*(group(name, server, labels={"region": name}, **keys) for name, server in servers.items()))
    wait_until(lambda: asked(s, 'm{job="a"}') == {"east"}, what="values are read")
    wait_until(lambda: asked(s, 'm{job="c"}') == {"west"}, what="values are read")
    for query, wanted in (("m", 2), ('m{job="b"}', 2), ('m{job=~"c|d"}', 1), ('m{job="d"}', 0), ('m{job!="a"}', 2),
                          ('bare{job=""}', 2), ('bare{job!~"a|b|c"}', 2), ('sum by (region) (m{job=~"a|b"})', 2),
                          ('m{job=~".+",job!="b"}', 2), ('count_over_time(m{job="a"}[5m])', 1)):
        assert len(asked(s, query)) == wanted, (query, asked(s, query))
    assert s.data("/api/v1/explain", {"query": 'm{job="a"}', "time": END})["skipped"] == [
        {"group": "west", "selector": '{job="a",__name__="m"}', "reason": "it has no such values (label_filter)"}]
    counts = {query: int(s.query(f"count({query}) or vector(0)", BEGIN + 600)["result"][0]["value"][1])
              for query in ("m", 'm{job!="a"}', 'bare{job!="a"}', 'bare{job=""}', 'm{job="d"}')}
    assert list(counts.values()) == [4, 3, 2, 2, 0], counts
    window = {"start": BEGIN, "end": END}
    assert s.data("/api/v1/label/region/values", {**window, "match[]": 'm{job="a"}'}) == ["east"]
    assert len(s.data("/api/v1/series", {**window, "match[]": 'm{job!="a"}'})) == 3
    # A new value is found at the next reading.
    assert push(servers["east"].write_url, [({"__name__": "m", "job": "new"}, [(1000 * END, 1.0)])]).status == 204
    wait_until(lambda: s.query('m{job="new"}', END)["result"], what="the new value is read")
    assert s.metric("sluice_upstream_filter_readings_total") >= 2 and s.metric("sluice_upstream_filtered_total") > 0


def test_a_server_that_hangs_delays_neither_start_nor_queries():
    """What it would have is unknown: the group is sent everything."""
    dead, hung = FakePrometheus(), FakePrometheus({"status": "success", "data": ["x"]}, delay=60)
    dead.stop()
    began = time.time()
    keys = {"label_filter": {"dynamic_labels": ["job"]}}
    s = Sluice(groups(group("dead", dead, ignore_error=True, **keys), group("hung", hung, downgrade_error=True, timeout="500ms", **keys)))
    assert s.get("/-/ready").status == 200 and time.time() - began < 5
    began = time.time()
    assert s.reconfigure(open(s.config_path, encoding="utf-8").read() + "# again\n").status == 200 and time.time() - began < 2
    answer = s.get("/api/v1/query", {"query": 'm{job="none"}'}).json()
    assert any('"hung"' in w for w in answer["warnings"]), answer
    wait_until(lambda: s.metric("sluice_upstream_filter_readings_failed_total") > 0)
    assert "cannot read the values of a label for label_filter" in s.log()


def test_values_of_a_replica_that_is_down_are_not_missed():
    """One replica alone knows job="b"; while it is down its values are unknown."""
    servers = [FakePrometheus({"status": "success", "data": [job]}) for job in ("a", "b")]
    servers[1].stop()
    s = Sluice(groups(group("g", *servers, label_filter={"dynamic_labels": ["job"], "sync_interval": "1s"}, remote_read=False)))
    wait_until(lambda: s.metric("sluice_upstream_filter_readings_failed_total") > 0)

    def sent(query):
        servers[0].asked.clear()
        s.get("/api/v1/query", {"query": query})
        return [path for path, _ in servers[0].queries() if path.endswith("/query")]
    assert sent('m{job="b"}') and sent('m{job="x"}')
    servers[1].start()
    wait_until(lambda: not sent('m{job="x"}'), 40, "all values are known")
    assert sent('m{job="b"}')
