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


def test_cross_origin():
    pair = Pair()
    answer = request(f"{pair.sluice.url}/api/v1/query?query=1", headers={"Origin": "http://grafana"})
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", "http://grafana"), dict(answer.headers)
    assert request(f"{pair.sluice.url}/api/v1/query", method="OPTIONS").status == 204
