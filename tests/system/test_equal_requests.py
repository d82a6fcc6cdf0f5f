# SPDX-License-Identifier: Apache-2.0
"""Equal requests of concurrent queries are sent once, and no query ends because another one does."""
import concurrent.futures
import json
import socket
import threading
import time
import urllib.parse

from lib import *
from misbehaving import END, START, STEP, Healthy, result
from test_upstream import group, groups


class Slow(Healthy):
    """Keeps requests until `go` is set, and counts them."""

    def __init__(self):
        self.go, self.lock, self.count, self.status = threading.Event(), threading.Lock(), 0, 200
        super().__init__()

    def evaluate(self, request, path, form, right):
        with self.lock:
            self.count += 1
        self.go.wait(20)
        if self.status != 200:
            return request.reply(self.status, b'{"status":"error","errorType":"unavailable","error":"the head is busy"}')
        tenant = request.headers.get("X-Tenant")
        if tenant:
            right = result("vector", [{"metric": {"tenant": tenant}, "value": [END, "1"]}])
        return request.reply(200, json.dumps(right).encode())


def start(*flags, **keys):
    server = Slow()
    sluice = Sluice(groups(group("one", server, remote_read=False, **keys)), *flags)
    wait_until(lambda: sluice.metric("sluice_upstream_up") == 1)
    return server, sluice


def ask(sluice, path="/api/v1/query_range", headers=None, **params):
    params = params or {"query": "m", "start": START, "end": END, "step": STEP}
    return sluice.get(path, {**params, "explain": "1"}, headers=headers or {})


def in_parallel(server, calls):
    """All are under way, and have joined if they do, before the server responds."""
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        running = [pool.submit(call) for call in calls]
        wait_until(lambda: server.count > 0)
        time.sleep(0.5)
        server.go.set()
        return [r.result() for r in running]


def test_one_request_serves_all():
    server, sluice = start()
    answers = in_parallel(server, [lambda: ask(sluice)] * 5)
    assert server.count == 1 and all(a.status == 200 for a in answers), (server.count, answers)
    data = [a.json()["data"] for a in answers]
    assert all(d["result"] == data[0]["result"] and len(d["result"]) == 2 for d in data)
    joined = [r.get("joined", False) for d in data for r in d["explain"]["requests"]]
    assert sorted(joined) == [False] + [True] * 4, joined
    assert sluice.metric("sluice_upstream_requests_joined_total") == 4
    assert sluice.metric("sluice_query_memory_bytes") < 1 << 20, "what was shared is given back"
    ask(sluice)
    assert server.count == 2, "it is not kept"


def test_other_requests_are_sent():
    server, sluice = start("--proxy-headers=X-Tenant")
    calls = [lambda: ask(sluice, "/api/v1/query", {"X-Tenant": "a"}, query="m", time=END),
             lambda: ask(sluice, "/api/v1/query", {"X-Tenant": "b"}, query="m", time=END),
             lambda: ask(sluice, "/api/v1/query", {"X-Tenant": "b", "traceparent": "00-1-1-00"}, query="m", time=END)]
    answers = in_parallel(server, calls)
    tenants = [[s["metric"]["tenant"] for s in a.json()["data"]["result"]] for a in answers]
    assert tenants == [["a"], ["b"], ["b"]] and server.count == 2, (tenants, server.count)


def test_an_error_serves_all():
    server, sluice = start(push_down="off")
    server.status = 503
    answers = in_parallel(server, [lambda: ask(sluice)] * 3)
    assert server.count == 1 and all(a.status == 503 and "the head is busy" in a.text for a in answers), (server.count, answers)


def leave(sluice, server):
    """A client that sends the query and disconnects."""
    form = urllib.parse.urlencode({"query": "m", "start": START, "end": END, "step": STEP, "explain": "1"})
    with socket.create_connection(("127.0.0.1", sluice.port)) as s:
        s.sendall(f"GET /api/v1/query_range?{form} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_until(lambda: server.count == 1)
        time.sleep(0.5) # the others join


def test_a_query_that_is_canceled_ends_no_other():
    server, sluice = start()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        left = pool.submit(leave, sluice, server)
        wait_until(lambda: server.count == 1)
        waiting = [pool.submit(ask, sluice) for _ in range(3)]
        left.result()
        wait_until(lambda: server.count == 2, what="one of the others sends the request again")
        time.sleep(0.2)
        server.go.set()
        answers = [w.result() for w in waiting]
    assert server.count == 2 and all(a.status == 200 and len(a.json()["data"]["result"]) == 2 for a in answers), (server.count, answers)


def test_who_joined_has_a_timeout_of_its_own():
    server, sluice = start(push_down="off")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, sluice)
        wait_until(lambda: server.count == 1)
        began = time.monotonic()
        late = ask(sluice, query="m", start=START, end=END, step=STEP, timeout="500ms")
        assert late.status in (503, 504) and server.address in late.text and time.monotonic() - began < 3, late
        server.go.set()
        assert first.result().status == 200 and server.count == 1
