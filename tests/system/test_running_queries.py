# SPDX-License-Identifier: Apache-2.0
"""What an operator sees of queries while they run and afterwards: active queries and their cancellation, ids, slow queries,
and headers that connect a query with the requests it causes."""
import re
import threading
import time

import fakes
from lib import *


class Waiting(fakes.Fake):
    """A Prometheus that responds to queries when it is told to, and keeps their headers."""

    def __init__(self):
        self.go, self.seen = threading.Event(), []
        super().__init__()

    def answer(self, request, body):
        if "/status/" in request.path:
            return request.reply(200, fakes.PROMETHEUS_BUILDINFO)
        self.seen.append(dict(request.headers))
        self.go.wait(20)
        if "/query" not in request.path:
            return request.reply(200, b'{"status":"success","data":[]}')
        kind = b"matrix" if b"step=" in body or b"5Bm" in body else b"vector"
        request.reply(200, b'{"status":"success","data":{"resultType":"%s","result":[]}}' % kind)


def start(server, *flags):
    return Sluice(f"server_groups: [{{name: g, remote_read: false, kind: prometheus, "
                  f"static_configs: [{{targets: [{server.address}]}}]}}]", *flags)


class Later(threading.Thread):
    def __init__(self, run, *args, **more):
        super().__init__(daemon=True)
        self.call, self.answer = lambda: run(*args, **more), None
        self.start()

    def run(self):
        self.answer = self.call()

    def result(self):
        self.join(20)
        return self.answer


def active(sluice, n):
    def read():
        found = sluice.data("/api/v1/status/active_queries")
        return found if len(found) == n else None
    return wait_until(read)


def test_running_queries_are_listed_and_canceled():
    server = Waiting()
    sluice = start(server)
    ranged = Later(sluice.get, "/api/v1/query_range", {"query": "sum(up)", "start": 100, "end": 160.5, "step": "15s"})
    active(sluice, 1)
    values = Later(sluice.get, "/api/v1/label/job/values", {"match[]": "up"})
    first, second = active(sluice, 2)
    assert (first["path"], first["query"]) == ("/api/v1/query_range", "sum(up)"), first
    assert (first["start"], first["end"], first["step"]) == (100000, 160500, 15000), first
    assert re.fullmatch(r"127\.0\.0\.1:\d+", first["remote_addr"]) and re.fullmatch(r"\d+\.\d{3}s", first["duration"]), first
    assert (second["path"], second["query"]) == ("/api/v1/label/job/values", "up"), second
    cancel = "/api/v1/status/active_queries/cancel"
    assert sluice.get(cancel, {"id": first["id"]}).status == 405
    assert sluice.post(cancel + "?id=" + first["id"], headers={"Origin": "http://evil.test"}).status == 403
    for wrong, status in (("", 400), ("xyz", 400), ("1" * 17, 400), ("123", 404)):
        assert sluice.post(cancel + "?id=" + wrong).status == status, wrong
    began = time.monotonic()
    assert sluice.post(cancel + "?id=" + first["id"].lower()).status == 204
    answer = ranged.result()
    assert time.monotonic() - began < 1 and answer.status == 499, answer
    assert answer.json()["errorType"] == "canceled" and "canceled by an operator" in answer.json()["error"], answer
    assert answer.headers["X-Sluice-Query-Id"] == first["id"]
    assert [q["id"] for q in active(sluice, 1)] == [second["id"]]
    server.go.set()
    answer = values.result()
    assert answer.headers["X-Sluice-Query-Id"] == second["id"], answer.headers
    wait_until(lambda: sluice.data("/api/v1/status/active_queries") == [])
    assert sluice.post(cancel + "?id=" + second["id"]).status == 404


def test_slow_queries_are_logged():
    server = Waiting()
    sluice = start(server, "-search.logSlowQueryDuration=300ms")
    server.go.set()
    assert sluice.query("fast") is not None
    server.go.clear()
    slow = Later(sluice.get, "/api/v1/query", {"query": "slow", "time": 7}, headers={"X-Request-Id": "r-17"})
    time.sleep(0.4)
    server.go.set()
    query_id = slow.result().headers["X-Sluice-Query-Id"]
    wait_until(lambda: 'msg="slow query"' in sluice.log())
    line = next(x for x in sluice.log().splitlines() if 'msg="slow query"' in x)
    for field in ("level=warn", "path=/api/v1/query ", "query=slow ", "start=7000 end=7000 step=0 ", "client=127.0.0.1:",
                  f"id={query_id} ", "request_id=r-17 "):
        assert field in line, (field, line)
    assert sluice.log().count('msg="slow query"') == 1 and sluice.metric("vm_slow_queries_total") == 1


def test_no_query_is_slow_without_a_threshold():
    server = Waiting()
    sluice = start(server, "--query.slow-threshold=0")
    slow = Later(sluice.query, "slow")
    time.sleep(0.2)
    server.go.set()
    slow.result()
    assert sluice.metric("vm_slow_queries_total") == 0 and "slow query" not in sluice.log()


def test_headers_of_traces_are_passed_on():
    server = Waiting()
    server.go.set()
    sluice = start(server)
    passed = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b",
              "X-Request-Id": "r-18"}
    for path in ("/api/v1/query?query=up", "/api/v1/series?match[]=up", "/api/v1/labels"):
        server.seen.clear()
        assert sluice.get(path, headers={**passed, "X-Other": "x"}).status == 200
        assert server.seen
        for seen in server.seen:
            assert {k: seen.get(k) for k in passed} == passed and "X-Other" not in seen, (path, seen)
        server.seen.clear()
        sluice.get(path, headers={"X-Request-Id": "x" * 600})
        assert server.seen and not any(set(passed) & set(seen) for seen in server.seen), server.seen
