# SPDX-License-Identifier: Apache-2.0
"""Grafana's own requests, answered as the real Prometheus behind sluice answers them, field by field."""
import time

from lib import *

FORM = {"X-Grafana-Cache": "y", "X-Dashboard-Uid": "abc", "Accept-Encoding": "gzip"}


class Pair:
    """sluice in front of one Prometheus that scrapes itself and was given fixed series."""

    def __init__(self):
        self.prometheus = Prometheus()
        self.end = int(time.time()) // 60 * 60
        self.start = self.end - 1800
        series = []
        for job in ("api", "web"):
            for le, share in (("0.1", 0.25), ("1", 0.75), ("+Inf", 1)):
                series.append(({"__name__": "latency_seconds_bucket", "job": job, "le": le},
                               [(t * 1000, (t - self.start) * share) for t in range(self.start, self.end, 15)]))
            series.append(({"__name__": "load", "job": job, "ütf": "ä<&>", "instance": "x:1"},
                           [(t * 1000, (t % 600) / 7) for t in range(self.start, self.end, 15)]))
        assert push(self.prometheus.write_url, series).status == 204
        self.sluice = Sluice("server_groups:\n- name: one\n"
                             f"  static_configs: [{{targets: ['{self.prometheus.address}']}}]\n")

    def same(self, path, params=None, form=None, ordered=False):
        """Status, content type and body are the same, whatever the way it was asked."""
        ask = [dict(url=s.url + path, params=params, data=form, headers=FORM) for s in (self.sluice, self.prometheus)]
        ours, theirs = (request(**a) for a in ask)
        what = f"{path} {params or form}"
        assert ours.status == theirs.status, f"{what}: {ours}, Prometheus: {theirs}"
        assert ours.headers["Content-Type"] == theirs.headers["Content-Type"], f"{what}: {ours.headers['Content-Type']}"
        a, b = ours.json(), theirs.json()
        assert list(a) == list(b), f"{what}: {list(a)}, Prometheus: {list(b)}"
        if isinstance(b.get("data"), dict) and "resultType" in b["data"]:
            assert list(a["data"]) == list(b["data"]), what
            same_answer(a["data"], b["data"], what)
            a.pop("data"), b.pop("data")
        elif isinstance(b.get("data"), list) and not ordered:
            key = lambda x: repr(sorted(x.items())) if isinstance(x, dict) else repr(x)
            a["data"], b["data"] = sorted(a["data"], key=key), sorted(b["data"], key=key)
        assert a == b, f"{what}:\n{str(a)[:1500]}\nPrometheus:\n{str(b)[:1500]}"
        return theirs


def test_save_and_test():
    pair = Pair()
    pair.same("/api/v1/query", form={"query": "1+1", "time": "4"})
    pair.same("/api/v1/query", {"query": "1+1", "time": "4"})
    ours, theirs = (s.data("/api/v1/status/buildinfo") for s in (pair.sluice, pair.prometheus))
    assert ours.keys() == theirs.keys() and all(isinstance(v, str) for v in ours.values()), ours
    for path in ("/-/healthy", "/-/ready"):
        assert pair.sluice.get(path).status == 200


def test_label_browser():
    pair = Pair()
    window = {"start": pair.start, "end": pair.end}
    pair.same("/api/v1/label/__name__/values", {**window, "match[]": '{job=~"api|web"}', "limit": 40000},
              ordered=True)
    pair.same("/api/v1/label/job/values", {**window, "match[]": "load"}, ordered=True)
    pair.same("/api/v1/label/U___fc_tf/values", {**window, "match[]": "load"}, ordered=True)
    pair.same("/api/v1/label/none/values", window)
    pair.same("/api/v1/labels", form={**window, "match[]": "load"}, ordered=True)
    pair.same("/api/v1/labels", {**window, "match[]": ["load", "latency_seconds_bucket"]}, ordered=True)
    pair.same("/api/v1/series", form={**window, "match[]": ["load", 'latency_seconds_bucket{le="1"}'], "limit": 40000})
    pair.same("/api/v1/series", form={**window})
    pair.same("/api/v1/labels", {"match[]": "load["})


def test_dashboard():
    pair = Pair()
    for expr in ("load", "sum by (job) (load)", "vector(1)", "nothing_at_all", "-load ^ 2", "time()",
                 "histogram_quantile(0.9, sum by (le, job) (rate(latency_seconds_bucket[5m])))",
                 'label_replace(load, "x", "$1", "job", "(.).*")', "rate(latency_seconds_bucket[1m]) > 0.5"):
        pair.same("/api/v1/query_range",
                  form={"query": expr, "start": f"{pair.start}.0", "end": f"{pair.end}.5", "step": "30"})
        pair.same("/api/v1/query_range", {"query": expr, "start": pair.start + 60, "end": pair.end, "step": "1m"})
        pair.same("/api/v1/query", form={"query": expr, "time": pair.end - 30})
    pair.same("/api/v1/query", {"query": "load[2m]", "time": pair.end - 30})
    pair.same("/api/v1/query", {"query": '"a string"', "time": pair.end})


def test_errors():
    pair = Pair()
    window = {"start": pair.start, "end": pair.end}
    pair.same("/api/v1/rules", {"type": "x"})
    pair.same("/api/v1/rules", {"type": "alert"})
    for expr in ("sum(", "", "load[5m] + 1", "foo(1)", "load{", "rate(load)", "1 +", 'load{x="y}'):
        pair.same("/api/v1/query", {"query": expr, "time": pair.end})
    for more in ({"step": "0"}, {"step": "0.01"}, {"step": "x"}, {"step": "-5"}, {}):
        pair.same("/api/v1/query_range", {"query": "load", **window, **more})
    pair.same("/api/v1/query_range", {"query": "load", "start": pair.end, "end": pair.start, "step": 15})
    pair.same("/api/v1/query_range", {"query": "load[5m]", **window, "step": 15})
    pair.same("/api/v1/query", {"query": "load", "time": "yesterday"})
    # The text goes on with the series in no certain order.
    ours, theirs = (s.get("/api/v1/query", {"query": "load * on (instance) group_left load", "time": pair.end - 30})
                    for s in (pair.sluice, pair.prometheus))
    assert ours.status == theirs.status == 422 and ours.json()["errorType"] == theirs.json()["errorType"], ours
    assert ours.json()["error"].split(": [")[0] == theirs.json()["error"].split(": [")[0], ours


def test_metadata():
    pair = Pair()
    scraper = Prometheus(f"scrape_configs:\n- job_name: self\n  scrape_interval: 1s\n"
                         f"  static_configs: [{{targets: ['{pair.prometheus.address}']}}]\n", name="scraper")
    wait_until(lambda: scraper.data("/api/v1/metadata"), what="metadata of a scraped target")
    pair.prometheus = scraper
    pair.sluice = Sluice(f"server_groups:\n- static_configs: [{{targets: ['{scraper.address}']}}]\n", name="second")
    pair.same("/api/v1/metadata")
    pair.same("/api/v1/metadata", {"metric": "prometheus_http_requests_total"})
    pair.same("/api/v1/metadata", {"metric": "no_such_metric"})


def test_exemplar_probe_and_rules():
    """The probe at start-up sends milliseconds, which are the year 58000; the alert page asks for rules and alerts."""
    pair = Pair()
    pair.same("/api/v1/query_exemplars", form={"query": "test", "start": pair.start * 1000, "end": pair.end * 1000})
    pair.same("/api/v1/rules")
    pair.same("/api/v1/alerts")


class Fleet(Pair):
    """sluice over two replicas, a third Prometheus and VictoriaMetrics; one Prometheus has everything that they have."""

    def __init__(self):
        rules = write_file("rules.yml", "groups:\n- name: g\n  interval: 1s\n  rules:\n"
                           "  - {record: 'job:load:sum', expr: 'sum by (job) (load)'}\n"
                           "  - {alert: Loaded, expr: 'vector(1) > 0', labels: {severity: page}, annotations: {text: 'a <b>'}}\n")
        ruler = f"rule_files: [{rules}]\n"
        exemplars = "--enable-feature=exemplar-storage"
        self.prometheus = Prometheus(ruler, exemplars, name="whole", out_of_order="2h")
        a, b = (Prometheus(ruler, exemplars, name=name, out_of_order="2h") for name in ("a", "b"))
        c, victoria = Prometheus("", exemplars, name="c", out_of_order="2h"), VictoriaMetrics()
        self.end = int(time.time()) // 60 * 60
        self.start = self.end - 1800
        times = [t * 1000 for t in range(self.start, self.end, 15)]
        shard = lambda job: [({"__name__": "load", "job": job, "ütf": "ä<&>", "instance": f"{job}:1"}, [(t, t // 15000 % 9 + len(job) / 8) for t in times])] + [
            ({"__name__": "latency_seconds_bucket", "job": job, "le": le}, [(t, (t - times[0]) // 1000 * k) for t in times])
            for k, le in ((1, "0.1"), (3, "1"), (4, "+Inf"))]
        for servers, job in (((a, b), "api"), ((c,), "store"), ((victoria,), "db")):
            for server in (self.prometheus, *servers):
                assert push(server.write_url, shard(job)).status == 204
        for server in (self.prometheus, a, b):
            answer = request(server.write_url, data=wire.snappy_compress(exemplar_request(times[-1])), headers={
                "Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"})
            assert answer.status == 204, answer
        victoria.flush()
        self.sluice = Sluice("recent: {retention: 0}\nserver_groups:\n"
                             f"- {{name: pair, static_configs: [{{targets: ['{a.address}', '{b.address}']}}]}}\n"
                             f"- {{name: store, static_configs: [{{targets: ['{c.address}']}}]}}\n"
                             f"- {{name: db, static_configs: [{{targets: ['{victoria.address}']}}]}}\n")
        for server in (self.prometheus, a, b):
            wait_until(lambda: server.data("/api/v1/alerts")["alerts"], what="the alert")

    def same_rules(self):
        """As Prometheus', but for times and what sluice adds: the group and its servers."""
        times = ("evaluationTime", "lastEvaluation", "activeAt", "serverGroup", "servers")
        def plain(item):
            if isinstance(item, dict):
                return {k: plain(v) for k, v in item.items() if k not in times}
            return [plain(x) for x in item] if isinstance(item, list) else item
        for path, params in (("/api/v1/rules", None), ("/api/v1/rules", {"type": "record"}), ("/api/v1/rules", {"type": "alert"}),
                             ("/api/v1/rules", {"type": "alert", "exclude_alerts": "true"}), ("/api/v1/alerts", None),
                             ("/api/v1/rules", {"rule_name[]": "Loaded", "rule_group[]": "g"})):
            ours, theirs = (plain(s.data(path, params)) for s in (self.sluice, self.prometheus))
            assert ours == theirs and any(theirs.values()), f"{path} {params}:\n{ours}\n{theirs}"


def exemplar_request(ms):
    exemplar = wire.field(1, wire.field(1, "trace_id") + wire.field(2, "abc")) + wire.field(2, 0.5) + wire.field(3, ms)
    labels = [("__name__", "latency_seconds_bucket"), ("job", "api"), ("le", "1")]
    sample = wire.field(1, 1.0) + wire.field(2, ms + 1)
    return wire.field(1, b"".join(wire.field(1, wire.field(1, k) + wire.field(2, v)) for k, v in labels)
                      + wire.field(2, sample) + wire.field(3, exemplar))


def test_requests_of_the_data_source():
    check_requests_of_the_data_source(Fleet())


def test_requests_to_a_sluice_in_front_of_another():
    fleet = Fleet()
    fleet.sluice = Sluice("server_groups:\n- name: inner\n  remote_read: true\n"
                          f"  static_configs: [{{targets: ['{fleet.sluice.address}']}}]\n", name="outer")
    check_requests_of_the_data_source(fleet)


def check_requests_of_the_data_source(fleet):
    """What Grafana sends for one data source: health check, discovery, query builder, panels, Explore and the alert
    pages, over servers of all kinds. An error of a resource is repeated as GET."""
    window = {"start": fleet.start, "end": fleet.end}
    # health check and discovery
    fleet.same("/api/v1/query", form={"query": "1+1", "time": "4"})
    ours, theirs = (s.get("/api/v1/status/buildinfo").json() for s in (fleet.sluice, fleet.prometheus))
    assert ours["data"].keys() == theirs["data"].keys() and "features" not in ours["data"], ours
    fleet.same("/api/v1/query_exemplars", form={"query": "test", "start": fleet.start * 1000, "end": fleet.end * 1000})
    # query builder and metric browser
    for match in ('{job="api"}', '{job=~"api|store|db"}', "load", '{__name__="latency_seconds_bucket",le!="1"}', '{"ütf"!=""}', "nothing"):
        more = {**window, "match[]": match, "limit": 40000}
        for how in ({"form": more}, {"params": more}):
            fleet.same("/api/v1/labels", **how)
            fleet.same("/api/v1/series", **how)
        for label in ("__name__", "job", "le", "U___fc_tf", "none"):
            fleet.same(f"/api/v1/label/{label}/values", more, ordered=True)
    fleet.same("/api/v1/label/__name__/values", {**window, "limit": 40000, "match[]": '{__name__!~"ALERTS.*|job:.*"}'}, ordered=True)
    fleet.same("/api/v1/metadata", {"limit": 20000})
    fleet.same("/api/v1/metadata")
    fleet.same("/api/v1/metadata", {"metric": "load"})
    # panels and Explore
    for expr in ("load", "sum by (job) (rate(latency_seconds_bucket[5m]))", "topk(2, load)", "count(load)", 'load{job="db"} * 2',
                 "histogram_quantile(0.9, sum by (le, job) (rate(latency_seconds_bucket[2m])))", "load / ignoring(job) load", "nothing"):
        if "ignoring" not in expr:
            fleet.same("/api/v1/query_range", form={"query": expr, "start": f"{fleet.start + 300}.000", "end": f"{fleet.end - 60}.5", "step": "30"})
            fleet.same("/api/v1/query_range", form={"query": expr, **window, "start": fleet.start + 300, "end": fleet.end - 60, "step": 15, "timeout": "30s"})
            fleet.same("/api/v1/query", form={"query": expr, "time": fleet.end - 60})
        answers = [request(f"{s.url}/api/v1/query", data={"query": expr, "time": fleet.end - 60}, headers=FORM) for s in (fleet.sluice, fleet.prometheus)]
        assert answers[0].status == answers[1].status and answers[0].json().get("errorType") == answers[1].json().get("errorType")
    fleet.same("/api/v1/query_exemplars", form={"query": "latency_seconds_bucket", **window})
    assert fleet.sluice.data("/api/v1/query_exemplars", {"query": 'rate(latency_seconds_bucket{job="api"}[1m])', **window})
    for bad in ("/api/v1/labels", "/api/v1/series"):
        for how in ({"form": {"match[]": "load{"}}, {"params": {"match[]": "load{"}}):
            fleet.same(bad, **how)
    # Explore's hints and formatting, alert pages
    fleet.same("/api/v1/format_query", form={"query": "sum(rate(load[5m]))by(job)"})
    fleet.same_rules()


def test_cross_origin():
    pair = Pair()
    answer = request(f"{pair.sluice.url}/api/v1/query?query=1", headers={"Origin": "http://grafana"})
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", "http://grafana"), dict(answer.headers)
    assert request(f"{pair.sluice.url}/api/v1/query", method="OPTIONS").status == 204
