# SPDX-License-Identifier: Apache-2.0
"""relative_time_range, absolute_time_range and align_query_range_with_step."""
import time
import urllib.parse

import fakes
from lib import *
from test_group_views import BEGIN, END, load, sluice, stored
from test_upstream import FakePrometheus, group, groups

BORDER = BEGIN + 1800
QUERIES = ["m", "rate(m[5m])", "sum by (job) (m)", "sum(m offset 10m)", f"m @ {BORDER + 60}", f"sum_over_time(m[3m] @ {BORDER + 60})",
           "max_over_time(sum(m)[5m:1m])", "count_over_time(m[20m])", "m / n", "absent(m)", "quantile(0.5, m)", "timestamp(m)"]


def rfc3339(t):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(t))


def wrong_outside(series, first, last):
    """What a server must not be asked for is wrong."""
    return [(labels, [(t, v if first <= t / 1000 <= last else 1e6) for t, v in samples]) for labels, samples in series]


def compare(s, judge, first, last):
    for query in QUERIES:
        for path, form in [("/api/v1/query", {"time": t}) for t in (first + 0.4, (first + last) // 2, last)] + [
                ("/api/v1/query_range", {"start": first, "end": last, "step": 30})]:
            form["query"] = query
            same_answer(s.data(path, form), judge.data(path, form), f"{query} {path} {form}")


def test_a_storage_of_newer_and_one_of_older_samples():
    judge = load("judge", stored())
    older = load("older", wrong_outside(stored(), BEGIN, BORDER - 1))
    newer = load("newer", wrong_outside(stored(), BORDER, END))
    old_range = {"end": rfc3339(BORDER - 1), "truncate": True}
    new_range = {"start": rfc3339(BORDER), "truncate": True}
    for keys in ({}, {"remote_read": False}):
        s = sluice(group("new", newer, absolute_time_range=new_range, **keys), group("old", older, absolute_time_range=old_range, **keys))
        compare(s, judge, BORDER - 600, BORDER + 600)
        for at, evaluated in ((BORDER + 900, "pushed"), (BORDER - 5, "pushed"), (BORDER + 60, "raw")):
            plan = s.data("/api/v1/explain", {"query": "sum(rate(m[5m]))", "time": at})["plan"]
            assert (plan[-1]["evaluated"] == "pushed") == (evaluated == "pushed"), (at, plan)
        crossing = s.data("/api/v1/explain", {"query": "sum(rate(m[2m]))", "start": BORDER - 600, "end": BORDER + 600, "step": 30})
        assert crossing["plan"][-1]["evaluated"] not in ("raw", "local") and "4 of 41 steps are evaluated here" in str(crossing["plan"]), crossing["plan"]
        asked = s.data("/api/v1/explain", {"query": "quantile(0.5, m)", "start": BORDER + 900, "end": END, "step": 15})["requests"]
        assert {r["group"] for r in asked} == {"new"}, asked
        window = {"start": BEGIN, "end": END, "match[]": "m"}
        assert len(s.data("/api/v1/series", window)) == 4
        s.stop()


def test_a_range_that_does_not_truncate():
    """Requests that overlap it are sent as they are, others not at all."""
    now = int(time.time())
    fake = FakePrometheus()
    s = Sluice(groups(group("g", fake, relative_time_range={"start": "-2h", "end": "-1h"}, remote_read=False)))
    lists = ("/api/v1/labels", "/api/v1/label/job/values", "/api/v1/series", "/api/v1/query_exemplars")

    def asked(path, **form):
        fake.asked.clear()
        form = {"query": "m", "match[]": "m", **form}
        answer = s.get(path, form)
        assert answer.status == 200 or fake.queries(), answer
        return [{k: v[0] for k, v in form.items()} for _, form in fake.queries()]
    assert asked("/api/v1/query", time=now) == [] and asked("/api/v1/query", time=now - 7300) == []
    assert asked("/api/v1/query", time=now - 5000)
    assert asked("/api/v1/query", query="m[50m]", time=now - 3000)
    for path in lists:
        assert asked(path, start=now - 3000, end=now) == [], path
        fake.body = {"status": "success", "data": []}
        sent = asked(path, start=now - 4000, end=now)
        assert [(round(float(x["start"])), round(float(x["end"]))) for x in sent] == [(now - 4000, now)], (path, sent)


def test_truncated_lists():
    now = int(time.time())
    fake = FakePrometheus({"status": "success", "data": []})
    s = Sluice(groups(group("g", fake, relative_time_range={"start": "-2h", "end": "-1h", "truncate": True})))
    for path in ("/api/v1/labels", "/api/v1/label/job/values", "/api/v1/series", "/api/v1/query_exemplars"):
        fake.asked.clear()
        assert s.data(path, {"query": "m", "match[]": "m", "start": now - 9000, "end": now}) == []
        sent = [form for p, form in fake.queries() if p == path]
        assert len(sent) == 1, fake.queries()
        start, end = (float(sent[0][k][0]) for k in ("start", "end"))
        assert abs(start - now + 7200) < 30 and abs(end - now + 3600) < 30, (path, start - now, end - now)


class Aligning(fakes.Fake):
    """Before a Prometheus, moves the ends of ranges to multiples of the step, as Mimir does. moved: how often."""

    def __init__(self, server):
        self.behind, self.moved = server, 0
        super().__init__()

    def answer(self, inbound, body):
        path, _, query = inbound.path.partition("?")
        form = dict(urllib.parse.parse_qsl(body.decode("latin-1"))) if b"=" in body[:200] and "read" not in path else None
        if path.endswith("query_range"):
            step = float(form["step"])
            for key in ("start", "end"):
                aligned = float(form[key]) // step * step
                self.moved += aligned != float(form[key])
                form[key] = aligned
        headers = {k: v for k, v in inbound.headers.items() if k in ("Content-Type", "Content-Encoding",
                                                                     "X-Prometheus-Remote-Read-Version")}
        data = urllib.parse.urlencode(form).encode() if form is not None else body or None
        answer = request(f"{self.behind.url}{path}{'?' + query if query else ''}", data=data, headers=headers)
        kept = {k.replace("-", "_"): v for k, v in answer.headers.items() if k in ("Content-Type", "Content-Encoding")}
        return inbound.reply(answer.status, answer.body, **kept)


def test_ranges_of_a_server_that_aligns_them():
    gone = [({"__name__": "gone"}, [(1000 * t, 1.0) for t in range(BEGIN, BEGIN + 1000, 15)] + [(1000 * (BEGIN + 1005), STALE)])]
    judge = load("judge", stored() + gone)
    front = Aligning(judge)
    for read in (True, False):
        s = Sluice(groups(group("g", front, align_query_range_with_step=True, remote_read=read)), name=f"read-{read}")
        wait_until(lambda: s.metric("sluice_upstream_up") == 1)
        for query in ("m", "sum by (job) (rate(m[5m]))", "gone", "count(gone)", "quantile(0.5, m)"):
            for start in (BEGIN + 600, BEGIN + 607.25):
                form = {"query": query, "start": start, "end": BEGIN + 2407.3, "step": 60}
                same_answer(s.data("/api/v1/query_range", form), judge.data("/api/v1/query_range", form), f"{query} {start}")
        plan = s.data("/api/v1/explain", {"query": "sum(m)", "start": BEGIN + 600, "end": BEGIN + 2400, "step": 60})["plan"]
        assert plan[-1]["evaluated"] == "pushed", plan
        s.stop()
    front.moved = 0
    s = Sluice(groups(group("g", front, remote_read=False, push_down="off")), name="unaware")
    wait_until(lambda: s.metric("sluice_upstream_up") == 1)
    answer = s.get("/api/v1/query_range", {"query": "m", "start": BEGIN + 607, "end": BEGIN + 1807, "step": 60})
    assert front.moved and answer.status == 502 and "do not match the requested steps" in answer.text, answer
