# SPDX-License-Identifier: Apache-2.0
"""Flags of listeners: paths, keep-alive, compression, and the end of the program as clients see it."""
import http.client
import re
import signal
import socket
import threading
import time

from fakes import Fake
from lib import *
from test_limits import connect, get, is_closed, status_of


class Held(Fake):
    """A storage that responds when it is told to."""

    def __init__(self):
        self.go, self.asked = threading.Event(), threading.Event()
        super().__init__()

    def answer(self, request, form):
        if "query" in request.path:
            self.asked.set()
            self.go.wait(60)
        return request.reply(200, b'{"status":"success","data":{"resultType":"vector","result":[]}}',
                             Content_Type="application/json")

    def group(self):
        return f"server_groups: [{{static_configs: [{{targets: ['{self.address}']}}], kind: prometheus, remote_read: false}}]\n"


def test_everything_is_also_below_prometheus():
    for prefix in ("", "/pre/fix"):
        sluice = Sluice("recent: {}\n", f"-http.pathPrefix={prefix}", ready=False, name=f"sluice{len(prefix)}")
        wait_until(lambda: sluice.get(f"{prefix}/-/ready").status == 200, 30)
        for path in ("/api/v1/query?query=1", "/targets", "/metrics", "/api/v1/targets", "/", "/-/healthy", "/config"):
            for alias in ("/prometheus", "//prometheus/"):
                assert sluice.get(prefix + alias + path).status == 200, prefix + alias + path
        answer = push(f"{sluice.url}{prefix}/prometheus/api/v1/write", [({"__name__": "m"}, [(now_ms(), 1.0)])])
        assert answer.status == 204, answer
        assert sluice.get(prefix + "/prometheus/no/such/path").status == 404
        assert sluice.get(prefix + "/prometheusx/metrics").status == 404
        assert sluice.post(prefix + "/prometheus/-/quit", headers={"Origin": "http://evil.example"}).status == 403


def test_compression_and_keep_alive_can_be_disabled():
    gzip_accepted = {"Accept-Encoding": "gzip"}
    for flags, encoding, closed in (([], "gzip", None), (["-http.disableResponseCompression", "-http.disableKeepAlive"], None, "close")):
        sluice = Sluice("", *flags, name=f"sluice{len(flags)}")
        connection = http.client.HTTPConnection("127.0.0.1", sluice.port, timeout=10)
        connection.request("GET", "/metrics", headers=gzip_accepted)
        answer = connection.getresponse()
        assert answer.status == 200 and (answer.getheader("Content-Encoding"), answer.getheader("Connection")) == (encoding, closed)
        body = answer.read()
        assert encoding == "gzip" or b"\nprocess_" in body


def test_old_connections_are_closed_by_a_response():
    sluice = Sluice("", "-http.connTimeout=1s", "--lanes=1")
    connections = [connect(sluice, get("/-/healthy")) for _ in range(20)]
    assert [status_of(s) for s in connections] == [200] * 20
    time.sleep(1.2)
    for s in connections:
        assert not is_closed(s), "an idle connection stays"
        s.setblocking(True)
        s.sendall(get("/-/healthy").encode())
        text = s.recv(4096)
        assert text.startswith(b"HTTP/1.1 200 ") and b"\r\nConnection: close\r\n" in text, text
        s.settimeout(10)
        assert s.recv(100) == b""
    assert sluice.metric("vm_http_conn_timeout_closed_conns_total") >= 20


def test_idle_connections_are_closed():
    sluice = Sluice("", "-http.idleConnTimeout=1s")
    idle = connect(sluice, get("/-/healthy"))
    assert status_of(idle) == 200
    idle.settimeout(30)
    assert idle.recv(100) == b""
    assert sluice.metric("sluice_http_closed_total", 'reason="timeout"') == 1


def health(sluice):
    return {path: sluice.get(path, timeout=5).status for path in ("/-/healthy", "/-/ready", "/ready", "/health")}


def test_a_delayed_stop():
    """Load balancers are told before anything ends: scrapes, pushes and queries go on."""
    exporter, sink = ScriptedExporter(series=1), RecordingSink()
    sluice = Sluice(scripted_config(exporter, sink) + "recent: {}\n", "-http.shutdownDelay=1h", "--lanes=1")
    wait_until(lambda: health(sluice) == {"/-/healthy": 200, "/-/ready": 200, "/ready": 200, "/health": 200})
    sluice.p.send_signal(signal.SIGTERM)
    leaving = {"/-/healthy": 200, "/-/ready": 503, "/ready": 503, "/health": 503}
    wait_until(lambda: health(sluice) == leaving, 10)
    wait_until(lambda: "stopping after --http.shutdownDelay" in sluice.log())
    n = exporter.n
    wait_until(lambda: exporter.n > n + 1, 20, "scrapes go on")
    assert push(f"{sluice.url}/api/v1/write", [({"__name__": "late"}, [(now_ms(), 1.0)])]).status == 204
    assert sluice.query("late")["result"][0]["value"][1] == "1"
    assert sluice.reconfigure(scripted_config(exporter, sink) + "recent: {}\n").status == 200
    assert health(sluice) == leaving
    sluice.p.send_signal(signal.SIGTERM)
    assert sluice.p.wait(30) == 0, "a second signal ends it"


def test_a_delayed_stop_ends_by_itself():
    sluice = Sluice("", "--http.shutdown-delay=500ms")
    began = time.monotonic()
    assert sluice.post("/-/quit").status == 200
    assert sluice.p.wait(30) == 0
    assert time.monotonic() - began >= 0.5


def test_requests_in_flight_are_completed():
    """A query that runs when the program is stopped gets its result; new ones get 503."""
    storage = Held()
    sluice = Sluice(storage.group(), "-http.maxGracefulShutdownDuration=1m")
    query = connect(sluice, get("/api/v1/query?query=x"))
    assert storage.asked.wait(20)
    sluice.p.send_signal(signal.SIGTERM)
    wait_until(lambda: sluice.get("/api/v1/query", {"query": "1"}).status == 503, 20)
    storage.go.set()
    query.settimeout(30)
    assert status_of(query) == 200
    assert sluice.p.wait(30) == 0
    assert "requests are canceled" not in sluice.log()


def test_requests_that_take_too_long_are_canceled():
    storage = Held()
    sluice = Sluice(storage.group(), "-http.maxGracefulShutdownDuration=100ms")
    query = connect(sluice, get("/api/v1/query?query=x"))
    assert storage.asked.wait(20)
    sluice.p.send_signal(signal.SIGTERM)
    assert sluice.p.wait(30) == 0
    assert re.search(r'msg="requests are canceled; .*" requests=1 ', sluice.log()), sluice.log()
    query.settimeout(10)
    try:
        assert b"200 OK" not in query.recv(4096)
    except ConnectionResetError:
        pass
    storage.go.set()


def test_more_flags_can_be_secret():
    sluice = Sluice("", "-secret.flags=zone,log-level,loggerOutput", "--zone=hidden-here", "--web.page-title=x")
    flags = sluice.data("/api/v1/status/flags")
    assert flags["zone"] == "secret" and flags["secret.flags"] == "zone,log-level,loggerOutput", flags
    for path in ("/flags", "/metrics", "/api/v1/status/flags", "/config"):
        assert "hidden-here" not in sluice.get(path).text, path
    assert "hidden-here" not in sluice.log()
    wrong = Sluice("", "-secret.flags=zonee", ready=False, name="wrong")
    assert wrong.wait_exit(20) == 1
    assert "--secret.flags: unknown flag --zonee; did you mean --zone?" in wrong.log(), wrong.log()
