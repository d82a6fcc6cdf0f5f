# SPDX-License-Identifier: Apache-2.0
"""Flags of listeners: paths, keep-alive, compression, and the end of the program as clients see it."""
import http.client
import os
import re
import signal
import socket
import threading
import time

from fakes import Fake
from lib import *
from secure import Authority, start_error
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


def v2(command, family, addresses, more=b""):
    body = addresses + more
    return b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x20 | command, family]) + len(body).to_bytes(2, "big") + body


def ports(*numbers):
    return b"".join(n.to_bytes(2, "big") for n in numbers)


IPV4 = socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.1")
IPV6 = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
PROXIED = [
    (b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 443\r\n", "192.0.2.7:40000"),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 443\r\n", "[2001:db8::7]:40000"),
    (b"PROXY UNKNOWN\r\n", "127.0.0.1:"), (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "127.0.0.1:"),
    (v2(1, 0x11, IPV4 + ports(40000, 443)), "192.0.2.7:40000"), (v2(1, 0x21, IPV6 + ports(40000, 443)), "[2001:db8::7]:40000"),
    (v2(1, 0x11, IPV4 + ports(40000, 443), b"\x04\x00\x03abc" + b"\x20\x0b\xb8" + b"x" * 3000), "192.0.2.7:40000"),
    (v2(0, 0x00, b""), "127.0.0.1:"), (v2(0, 0x11, IPV4 + ports(1, 2)), "127.0.0.1:"), (v2(1, 0x31, b"x" * 216), "127.0.0.1:"),
    (v2(1, 0x00, b"abc"), "127.0.0.1:"),
]
NOT_PROXIED = [
    b"", b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n", b"PROXY TCP4 192.0.2.7 192.0.2.1 40000\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 65536 1\r\n", b"PROXY TCP4 192.0.2.7 nobody 1 2\r\n", b"PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n",
    b"PROXY TCP5 192.0.2.7 192.0.2.1 1 2\r\n", b"PROXY  TCP4 192.0.2.7 192.0.2.1 1 2\r\n", b"PROXY " + b"x" * 200,
    b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2 3\r\n", b"proxy UNKNOWN\r\n", b"PROXY TCP4 192.0.2.7\0 192.0.2.1 1 2\r\n",
    v2(1, 0x11, IPV4), v2(1, 0x21, IPV4 + ports(1, 2)), v2(2, 0x11, IPV4 + ports(1, 2)), v2(1, 0x41, IPV4 + ports(1, 2)),
    v2(1, 0x13, IPV4 + ports(1, 2)), v2(1, 0x11, IPV4 + ports(1, 2), b"x" * 5000), b"\x16\x03\x01\x02\x00\x01", b"\r\n\r\n\0\r\nQUIT\n\x31\x11",
]


def proxied_talk(port, data, pieces=1):
    """What is received until the connection ends, which the request demands."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
        received, step = b"", max(1, -(-len(data) // pieces))
        try:
            for at in range(0, len(data), step):
                s.sendall(data[at:at + step])
                if pieces > 1:
                    time.sleep(0.002)
            if not data.endswith(CLOSING):
                s.shutdown(socket.SHUT_WR)
            while piece := s.recv(1 << 16):
                received += piece
        except TimeoutError:
            raise
        except OSError:  # it was closed before all was sent
            pass
        return received


CLOSING = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def test_proxy_protocol():
    """The address of its header is the client's; without one, nothing is served. Per listener."""
    plain = free_port()
    log = f"{folder()}/access.log"
    sluice = Sluice("", f"-httpListenAddr=127.0.0.1:{plain}", "-httpListenAddr.useProxyProtocol=true,false",
                    f"--web.access-log={log}", "--web.access-log-format=json", "--lanes=1", ready=False)
    wait_until(lambda: request(f"http://127.0.0.1:{plain}/-/ready").status == 200, 30)
    for header, client in PROXIED:
        for pieces in (1, 20):
            received = proxied_talk(sluice.port, header + CLOSING, pieces)
            assert received.startswith(b"HTTP/1.1 200 OK"), (header, received)
            def logged():
                with open(log, encoding="utf-8") as f:
                    lines = [line for line in f if "/-/healthy" in line]
                return len(lines) > 0 and f'"client":"{client}' in lines[-1]
            wait_until(logged, 20, f"{client} in the log for {header}")
            os.truncate(log, 0)
    errors = len(NOT_PROXIED)
    for header in NOT_PROXIED:
        assert proxied_talk(sluice.port, header + b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n" * bool(header)) == b"", header
    metrics = request(f"http://127.0.0.1:{plain}/metrics").text
    assert f"\nsluice_http_proxy_protocol_errors_total {errors}\n" in metrics, re.findall("sluice_http_proxy.*", metrics)
    assert proxied_talk(plain, PROXIED[0][0] + CLOSING)[:12] != b"HTTP/1.1 200"


def test_proxy_protocol_before_tls():
    ca = Authority()
    ca.issue("server")
    sluice = Sluice("", "-httpListenAddr.useProxyProtocol", "-tls", "-tlsCertFile=server.pem", "-tlsKeyFile=server.key",
                    f"--web.access-log={folder()}/access.log", ready=False)
    def talk():
        with socket.create_connection(("127.0.0.1", sluice.port), timeout=20) as s:
            s.sendall(PROXIED[4][0])
            with ca.context().wrap_socket(s, server_hostname="127.0.0.1") as tls:
                tls.sendall(CLOSING)
                return tls.recv(4000)
    wait_until(lambda: talk().startswith(b"HTTP/1.1 200 OK"), 30)
    def logged():
        with open(f"{folder()}/access.log", encoding="utf-8") as f:
            return "192.0.2.7 - - [" in f.read()
    wait_until(logged, 20)


def test_requests_are_limited_by_rate():
    """rate_limit of Prometheus' web configuration: for each listen address."""
    other = free_port()
    web = "rate_limit: {interval: 1h, burst: 5}\n"
    path = write_file("web.yml", web)
    sluice = Sluice("", f"--web.listen-address=127.0.0.1:{other}", f"--web.config.file={path}", ready=False)
    wait_until(lambda: "msg=ready" in sluice.log(), 30)
    for port in (sluice.port, other):
        answers = [request(f"http://127.0.0.1:{port}/{path}") for path in ("-/healthy", "metrics", "", "no", "config", "-/healthy", "")]
        assert [a.status for a in answers] == [200, 200, 200, 404, 200, 429, 429], answers
        assert answers[-1].text == "Too Many Requests\n" and answers[-1].headers["Retry-After"] == "3601"
    put_file(path, "rate_limit: {interval: 250us, burst: 1000000}\n")
    wait_until(lambda: request(f"http://127.0.0.1:{other}/-/healthy").status == 200, 20, "a new limit")
    assert sluice.metric("sluice_http_rate_limited_total") >= 4
    for limit, error in (("{interval: 5x}", '"5x" is not a duration'), ("{interval: 1s}", "rate_limit.burst: must be at least 1"),
                         ("{interval: 23h, burst: 1000000}", "rate_limit.burst: 1000000 requests take more than 73 years"),
                         ("{interval: 1s, burst: -1}", "burst"), ("{every: 1s}", "every")):
        assert error in start_error("--dryRun", web=f"rate_limit: {limit}\n"), limit
