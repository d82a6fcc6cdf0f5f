# SPDX-License-Identifier: Apache-2.0
"""The access log and the query log: formats, destinations, rotation, and that neither holds up a request."""
import json
import os
import re
import time

from lib import *


def lines_of(path, n):
    """The file's lines, when there are n."""
    def read():
        if not os.path.exists(path):
            return None
        with open(path, encoding="utf-8") as f:
            lines = f.read().splitlines()
        return lines if len(lines) >= n else None
    lines = wait_until(read)
    assert len(lines) == n, lines
    return lines


COMBINED = re.compile(r'(\S+) - - \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000)\] "(\S+) (\S+) (HTTP/1\.\d)" (\d+) (\d+) '
                      r'"((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"')


def access(path, part):
    found = []

    def read():
        found[:] = [x for x in open(path, encoding="utf-8").read().splitlines() if part in x] if os.path.exists(path) else []
        return found
    wait_until(read)
    return found


def test_access_log_in_apaches_format():
    path = f"{folder()}/access.log"
    sluice = Sluice("", f"--web.access-log={path}")
    agent = {"User-Agent": 'te"st\\1', "Referer": "http://r/"}
    assert sluice.get("/api/v1/query?query=vector(1)", headers=agent).status == 200
    assert sluice.get("/nowhere?x=%22a%22%0a", headers=agent).status == 404
    assert sluice.get("/config?authKey=geheim&query=q", headers=agent).status == 200
    host, when, method, uri, protocol, status, size, referer, user_agent = COMBINED.fullmatch(access(path, "vector")[0]).groups()
    assert (host, method, uri, protocol, status) == ("127.0.0.1", "GET", "/api/v1/query?query=vector(1)", "HTTP/1.1", "200")
    assert abs(time.mktime(time.strptime(when, "%d/%b/%Y:%H:%M:%S +0000")) - time.mktime(time.gmtime())) < 30
    assert int(size) > 50 and referer == "http://r/" and user_agent == r'te\"st\\1'
    assert COMBINED.fullmatch(access(path, "nowhere")[0]).group(6) == "404"
    masked = access(path, "/config")[0]
    assert COMBINED.fullmatch(masked) and "geheim" not in masked and "query=q" in masked, masked
    # rotation: the renamed file keeps its lines, a reload begins a new one
    os.rename(path, path + ".1")
    assert sluice.get("/api/v1/query?query=vector(2)").status == 200
    assert access(path + ".1", "vector(2)")
    assert sluice.post("/-/reload").status == 200
    wait_until(lambda: os.path.exists(path))
    assert sluice.get("/api/v1/query?query=vector(3)").status == 200
    assert access(path, "vector(3)")
    sluice.stop()
    assert not [x for x in open(path, encoding="utf-8") if not COMBINED.fullmatch(x.rstrip("\n"))]


def test_access_log_with_fields():
    path = f"{folder()}/access.log"
    sluice = Sluice("", f"-access-log-destination={path}", "--web.access-log-format=json")
    answer = sluice.post("/api/v1/query", {"query": "vector(1)"}, headers={"X-Request-Id": "r-1", "traceparent": "00-a-b-01"})
    line = json.loads(access(path, "/api/v1/query")[0])
    assert line["method"] == "POST" and line["status"] == 200 and line["uri"] == "/api/v1/query", line
    assert line["query_id"] == answer.headers["X-Sluice-Query-Id"] and line["request_id"] == "r-1", line
    assert line["traceparent"] == "00-a-b-01" and 0 <= line["duration"] < 10 and line["client"].startswith("127.0.0.1:")
    sluice.stop()
    sluice = Sluice("", "--web.access-log=stdout", "--web.access-log-format=logfmt", name="logfmt")
    assert sluice.get("/api/v1/query?query=vector(1)").status == 200
    assert re.search(r'^time="\S+" client="127\.0\.0\.1:\d+" user="" method="GET" uri="/api/v1/query\?query=vector\(1\)" status=200 bytes=\d+ '
                     r'duration=\S+ referer="" user_agent="\S*" query_id="[0-9A-F]{16}" request_id="" traceparent=""$',
                     wait_until(lambda: sluice.log() if "vector" in sluice.log() else None), re.M), sluice.log()


def test_query_log_is_that_of_prometheus():
    sluice, theirs = Sluice("global: {query_log_file: q.log}"), Prometheus("global: {query_log_file: p.log}")
    logs = []
    for server, path in ((sluice, f"{folder()}/q.log"), (theirs, f"{folder()}/p.log")):
        assert server.get("/api/v1/query", {"query": "vector(1) + 1", "time": 1.5}).status == 200
        assert server.post("/api/v1/query_range", {"query": 'sum(up{a="\\"b"})', "start": 0, "end": 60, "step": "7500ms"}).status == 200
        assert server.get("/api/v1/query", {"query": "up{"}).status == 400  # is not evaluated
        assert server.get("/api/v1/query", {"query": "up and on (a) group_left up"}).status == 400
        logs.append([json.loads(x) for x in lines_of(path, 2)])
    for ours, their in zip(*logs):
        for field in ("params", "msg", "level"):
            assert ours[field] == their[field], (field, ours, their)
        assert ours["httpRequest"] == their["httpRequest"]
        assert ours["stats"].keys() == their["stats"].keys() and ours["stats"]["timings"].keys() == their["stats"]["timings"].keys()
        assert set(their) - set(ours) <= {"source", "spanID"}, set(their) - set(ours)
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT.*Z", ours["time"]) and re.fullmatch("[0-9A-F]{16}", ours["queryID"])
    assert sluice.metric("prometheus_engine_query_log_enabled") == 1


def test_query_log_of_failures_and_reloads():
    sluice = Sluice("server_groups: [{name: g, static_configs: [{targets: ['127.0.0.1:1']}]}]\nglobal: {query_log_file: q.log}")
    assert sluice.get("/api/v1/query", {"query": "up"}, headers={"X-Request-Id": "r-2"}).status == 502
    failed = json.loads(lines_of(f"{folder()}/q.log", 1)[0])
    assert '"g"' in failed["error"] and "stats" not in failed and failed["requestID"] == "r-2", failed
    sluice.reconfigure("global: {query_log_file: other.log}")
    assert sluice.get("/api/v1/query", {"query": "1"}).status == 200
    assert json.loads(lines_of(f"{folder()}/other.log", 1)[0])["params"]["query"] == "1"
    sluice.reconfigure("{}")
    assert sluice.get("/api/v1/query", {"query": "2"}).status == 200
    assert sluice.metric("prometheus_engine_query_log_enabled") == 0
    sluice.reconfigure("global: {query_log_file: /nowhere/q.log}")
    assert sluice.get("/api/v1/query", {"query": "3"}).status == 200
    wait_until(lambda: "cannot open log file" in sluice.log() and "/nowhere/q.log" in sluice.log())
    wait_until(lambda: sluice.metric("prometheus_engine_query_log_failures_total") == 1)
    sluice.stop()
    lines_of(f"{folder()}/q.log", 1)
    lines_of(f"{folder()}/other.log", 1)


def test_clients_with_ipv6():
    """Without brackets where the address is alone, as Prometheus writes it."""
    path, port = f"{folder()}/access.log", free_port()
    sluice = Sluice("global: {query_log_file: q.log}", f"--web.listen-address=[::1]:{port}", f"--web.access-log={path}")
    assert request(f"http://[::1]:{port}/api/v1/query?query=1").status == 200
    assert json.loads(lines_of(f"{folder()}/q.log", 1)[0])["httpRequest"]["clientIP"] == "::1"
    assert COMBINED.fullmatch(access(path, "query=1")[0]).group(1) == "::1"
    sluice.stop()


def test_a_log_that_hangs_holds_nobody():
    path = f"{folder()}/pipe"
    os.mkfifo(path)
    sluice = Sluice("", f"--web.access-log={path}")
    reader = os.open(path, os.O_RDONLY)
    for _ in range(40):
        assert sluice.get("/api/v1/query", {"query": "1" + "+1" * 2500}).status == 200
    began = time.monotonic()
    for _ in range(20):
        assert sluice.get("/-/healthy").status == 200
    assert time.monotonic() - began < 2
    sluice.stop()
    os.close(reader)
