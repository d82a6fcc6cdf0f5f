# SPDX-License-Identifier: Apache-2.0
"""One client can take down or starve only itself: connections, bodies, responses and queries beyond their limits."""
import ctypes
import os
import re
import shutil
import socket
import threading
import time

from crowd import ask_at_once, heavy_queries, push_heavy
from fakes import Fake
from idlers import Idlers
from lib import *
from steady import SteadyTargets
from test_lane_turns import longer_than

GROUP = "server_groups: [{{static_configs: [{{targets: ['{}']}}], kind: prometheus, remote_read: false}}]\n"


class Hanging(Fake):
    """A storage that responds when it is told to."""

    def __init__(self):
        self.go = threading.Event()
        super().__init__()

    def answer(self, request, form):
        self.go.wait(20)
        return request.reply(200, b'{"status":"success","data":{"resultType":"vector","result":[]}}',
                             Content_Type="application/json")


def connect(sluice, text="", receive_buffer=None):
    s = socket.socket()
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    s.settimeout(15)
    s.connect(("127.0.0.1", sluice.port))
    s.sendall(text.encode())
    return s


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"


def status_of(s):
    line = s.recv(4096)
    return int(line[9:12]) if line else 0


def is_closed(s):
    s.setblocking(False)
    try:
        return s.recv(1 << 20) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def peak_rss(sluice):
    return sluice.memory_kib()["VmHWM"] << 10


def closed(sluice, reason):
    return sluice.metric("sluice_http_closed_total", f'reason="{reason}"')


def refused(sluice, reason):
    return sluice.metric("sluice_http_refused_total", f'reason="{reason}"')


def push_series(sluice, n, samples=1):
    now = int(time.time() * 1000)
    assert push(f"{sluice.url}/api/v1/write", [
        ({"__name__": "m", "i": f"{i:06}", "pad": "x" * 100}, [(now - 1000 * k, 1.0) for k in reversed(range(samples))])
        for i in range(n)]).status == 204
    wait_until(lambda: sluice.query("count(m)")["result"][0]["value"][1] == str(n))


def run_out_of_descriptors(limit):
    sluice = Sluice("recent: {}\n", name=f"sluice-{limit}", start=False)
    sluice.command = ["prlimit", f"--nofile={limit}:{limit}", "--"] + sluice.command
    sluice.start().wait_ready()
    crowd = [connect(sluice) for _ in range(limit + 50)]
    assert sluice.get("/-/healthy", timeout=5).status == 200
    crowd += [connect(sluice, get("/api/v1/query?query=1")) for _ in range(limit)]
    wait_until(lambda: closed(sluice, "evicted") > 50, 10)
    assert sluice.query("1+1")["result"][1] == "2"
    wait_until(lambda: len(os.listdir(f"/proc/{sluice.p.pid}/fd")) <= limit - 4, 3, "descriptors are left for targets")
    for s in crowd:
        s.close()
    wait_until(lambda: sluice.metric("sluice_http_connections") <= 2, 10)
    sluice.stop()


def test_no_descriptor_is_left():
    for limit in (64, 256):
        run_out_of_descriptors(limit)


def test_health_while_all_connections_are_at_work():
    slow = Hanging()
    sluice = Sluice(GROUP.format(slow.address), "--web.max-connections=8", "--lanes=2", "--query.max-concurrency=4")
    busy = [connect(sluice, get("/api/v1/query?query=x")) for _ in range(8)]
    time.sleep(0.2)  # until their requests are read: a connection that waits for its client is replaced
    wait_until(lambda: sluice.metric("prometheus_engine_queries") == 8)
    for path, status in (("/-/healthy", 200), ("/-/ready", 200), ("/metrics", 200), ("/api/v1/query?query=1", 503),
                         ("/targets", 503)):
        answer = sluice.get(path, timeout=5)
        assert answer.status == status, f"{path}: {answer}"
        assert status == 200 or answer.headers["Retry-After"], path
    assert refused(sluice, "connections") == 2
    slow.go.set()
    assert [status_of(s) for s in busy] == [200] * 8


def test_longest_idle_connection_is_replaced():
    sluice = Sluice("", "--web.max-connections=16", "--lanes=1")
    idle = [connect(sluice, get("/-/healthy")) for _ in range(15)]
    assert [status_of(s) for s in idle] == [200] * 15
    for s in idle[:3]:  # not idle for long
        s.sendall(get("/-/healthy").encode())
        assert status_of(s) == 200
    more = [connect(sluice, get("/-/ready")) for _ in range(3)]
    assert [status_of(s) for s in more] == [200] * 3
    wait_until(lambda: is_closed(idle[3]))
    assert not any(is_closed(s) for s in idle[:3])


def connect_from(sluice, address, text):
    s = socket.create_connection(("127.0.0.1", sluice.port), timeout=30, source_address=(address, 0))
    s.sendall(text.encode())
    return s


def test_connections_of_one_client():
    """Beyond its limit a client replaces its own idle connections; others are not concerned."""
    slow = Hanging()
    sluice = Sluice(GROUP.format(slow.address), "--web.max-connections-per-client=5", "--lanes=1", "--query.max-concurrency=8")
    idle = []
    for _ in range(5):
        idle.append(connect_from(sluice, "127.0.0.2", get("/-/healthy")))
        assert status_of(idle[-1]) == 200
    busy = [connect_from(sluice, "127.0.0.3", get("/api/v1/query?query=x")) for _ in range(5)]
    wait_until(lambda: sluice.metric("prometheus_engine_queries") == 5)
    sixth = connect_from(sluice, "127.0.0.2", get("/-/healthy"))
    assert status_of(sixth) == 200
    wait_until(lambda: is_closed(idle[0]), 20)
    assert not any(is_closed(s) for s in idle[1:])
    crowded = connect_from(sluice, "127.0.0.3", "")
    assert crowded.recv(100) == b"", "all of its connections are at work"
    assert closed(sluice, "per_client") == 1 and closed(sluice, "evicted") == 1
    slow.go.set()
    for s in busy:
        s.setblocking(True)
    assert [status_of(s) for s in busy] == [200] * 5


def test_bodies_under_way_are_bounded():
    sluice = Sluice("recent: {}\n", "--memory.allowedBytes=64MiB", "-maxInsertRequestSize=4MiB")
    before, pushes, statuses = peak_rss(sluice), [], []
    for i in range(30):
        how = "Transfer-Encoding: chunked" if i % 2 else "Content-Length: 4000000"
        s = connect(sluice, f"POST /api/v1/write HTTP/1.1\r\nHost: x\r\n{how}\r\n\r\n")
        pushes.append(s)
        try:
            for _ in range(39):
                s.sendall(b"186a0\r\n" + bytes(100000) + b"\r\n" if i % 2 else bytes(100000))
            if i > 10:  # complete
                s.sendall(b"0\r\n\r\n" if i % 2 else bytes(100000))
        except OSError:  # it was refused
            pass
        if i == 0:  # holds its bytes before the others come; two that are read at once might both be refused
            wait_until(lambda: sluice.metric("sluice_http_body_bytes") >= 39 * 100000, what="the first body is held")
    for s in pushes:
        s.settimeout(0.05)
        try:
            statuses.append(status_of(s))
        except OSError:
            pass
    assert peak_rss(sluice) - before < 25 << 20, f"{before >> 20} -> {peak_rss(sluice) >> 20} MiB"
    assert statuses.count(503) > 10 and set(statuses) == {503}, statuses
    assert refused(sluice, "body_memory") > 10
    push_series(sluice, 10)  # small bodies fit beside one that is too large for the rest
    answer = request(f"{sluice.url}/api/v1/write", data=bytes(3000000), method="POST")
    assert answer.status == 503 and answer.headers["Retry-After"], answer
    for s in pushes:
        s.close()
    wait_until(lambda: sluice.metric("sluice_http_body_bytes") < 1 << 16)
    answer = request(f"{sluice.url}/api/v1/write", data=bytes(3000000), method="POST")
    assert answer.status == 415, answer


@waits
def test_slow_requests_end():
    sluice = Sluice("recent: {}\n", "--web.read-timeout=1s")
    silent = connect(sluice)
    head = connect(sluice, "GET /-/healthy HTTP/1.1\r\nHost: x\r\n")
    body = connect(sluice, "POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
    idle = connect(sluice, get("/-/healthy"))
    assert status_of(idle) == 200
    began, ended = time.monotonic(), {}
    while time.monotonic() < began + 13 and len(ended) < 3:
        time.sleep(0.1)
        for name, s, piece in (("silent", silent, b""), ("head", head, b"X-A: b\r\n"), ("body", body, b"x")):
            try:
                s.setblocking(True)
                s.sendall(piece)
            except OSError:
                pass
            if name not in ended and is_closed(s):
                ended[name] = time.monotonic() - began
    assert ended["body"] < 4 and 9 < ended["head"] < 13 and 9 < ended["silent"] < 13, ended
    assert not is_closed(idle)
    assert closed(sluice, "timeout") == 3


def test_idle_and_slow_connections_cost_only_themselves():
    """Short form of tests/torture/test_isolation_at_scale.py."""
    steady = SteadyTargets(n=5)
    sluice = Sluice(f"scrape_configs:\n{steady.job()}recent: {{}}\n", "--memory.allowedBytes=64MiB")
    steady.wait()
    wait_until(lambda: sluice.query("count(up)")["result"][0]["value"][1] == "5")
    before = peak_rss(sluice)
    idlers = Idlers(sluice, 1000, 150)
    wait_until(lambda: sluice.metric("sluice_http_connections") > 500, 60, "connections")
    scraped = len(steady.times()["/0"])
    for i in range(20):
        assert sluice.get("/-/healthy").status == 200
        assert sluice.query("sum(m1)")["result"][0]["value"][1] == "5"
        assert push(f"{sluice.url}/api/v1/write", [({"__name__": "pushed"}, [(now_ms(), float(i))])]).status == 204
    wait_until(lambda: all(len(t) > scraped + 3 for t in steady.times().values()), 30, "scrapes go on")
    release = os.environ.get("OUT", "build/release").endswith("release")
    assert not release or peak_rss(sluice) - before < 40 << 20, f"{before >> 20} -> {peak_rss(sluice) >> 20} MiB"
    assert closed(sluice, "evicted") > 0, "64 MiB have space for 28 idle connections"
    idlers.stop()
    wait_until(lambda: sluice.metric("sluice_http_connections") <= 2, 60, "nothing remains")


PARTS = {"a line": "GET /-/heal", "a head": "GET /-/healthy HTTP/1.1\r\nHost: x\r\nX",
         "a body": "POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nque",
         "a chunk": "POST /api/v1/query HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nque"}


def test_clients_that_leave_within_a_request():
    """The end of the stream right behind a part of a request: its connection does not wait for a deadline."""
    sluice = Sluice("recent: {}\n", "--web.read-timeout=1h", "--lanes=1")
    for what, part in PARTS.items():
        for first in ("", get("/-/healthy")):
            clients = [connect(sluice, first) for _ in range(10)]
            assert not first or [status_of(s) for s in clients] == [200] * 10
            time.sleep(0.05)  # the bytes arrive alone
            for s in clients:
                s.sendall(part.encode())
                s.shutdown(socket.SHUT_WR)
            began = time.monotonic()
            for s in clients:
                s.settimeout(20)
                assert s.recv(100) == b"", what
            assert time.monotonic() - began < 8, f"{what}: before the deadline of a head, 10 s"
    for path in ("/-/healthy", "/health"):
        whole = connect(sluice, get(path) * 3)
        whole.shutdown(socket.SHUT_WR)
        text = b""
        while piece := whole.recv(4096):
            text += piece
        assert text.count(b"HTTP/1.1 200 ") == 3, f"complete requests are served: {text}"
    assert closed(sluice, "timeout") == 0


def test_unread_responses_are_bounded():
    sluice = Sluice("recent: {}\n", "--memory.allowedBytes=64MiB", "--query.max-memory=24MiB",
                    "--query.max-evaluations=1")
    push_series(sluice, 20000)
    query = {"query": "m", "time": int(time.time()) + 1}
    size = len(sluice.get("/api/v1/query", query).body)
    before, readers = peak_rss(sluice), []
    for _ in range(100):
        readers.append(connect(sluice, get("/api/v1/query?query=m"), 4096))
        time.sleep(0.01)
    wait_until(lambda: sluice.metric("prometheus_engine_queries") == 0)
    answer = sluice.get("/api/v1/query", query)
    assert answer.status == 200 and len(answer.body) == size, (answer.status, len(answer.body), size)
    wait_until(lambda: closed(sluice, "slow_reader") > 0, 60, "slow readers are closed") # others were refused
    assert sluice.metric("sluice_http_response_bytes") <= 16 << 20  # 8, and one of 4 for each lane
    assert peak_rss(sluice) - before < 150 << 20, f"{before >> 20} -> {peak_rss(sluice) >> 20} MiB of {100 * size >> 20}"
    for s in readers:
        s.close()


def test_queries_share_their_memory():
    sluice = Sluice("recent: {}\n", "--memory.allowedBytes=64MiB", "--query.max-memory=30MiB",
                    "--query.max-evaluations=20", "--query.max-concurrency=20")
    push_series(sluice, 5000, 20)
    now, statuses = time.time(), []

    def ask():
        answer = sluice.get("/api/v1/query_range", {"query": "m * 1", "start": now - 60, "end": now, "step": 1})
        assert answer.status == 200 or answer.headers["Retry-After"], answer
        assert answer.status == 200 or "memory" in answer.json()["error"], answer
        statuses.append(answer.status)

    ask()
    assert statuses == [200], "one query fits"
    threads = [threading.Thread(target=ask) for _ in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert set(statuses) == {200, 503} and len(statuses) == 21, f"no response that has begun is cut: {statuses}"
    assert peak_rss(sluice) < 130 << 20
    assert sluice.metric("sluice_query_memory_bytes") < 1 << 20, "what queries took is given back"


def test_reports_about_targets_share_their_memory():
    targets = ", ".join(f"'127.0.0.1:{i}'" for i in range(1, 20001))
    sluice = Sluice(f"scrape_configs: [{{job_name: many, scrape_interval: 1h, static_configs: [{{targets: [{targets}]}}]}}]\n",
                    "--memory.allowedBytes=24MiB", "--query.max-memory=8MiB")
    assert sluice.metric("sluice_report_memory_bytes_max") == 12 << 20
    for path in ("/targets", "/api/v1/targets"):
        answer = sluice.get(path)
        assert answer.status == 503 and answer.headers["Retry-After"] and "they may have together" in answer.text, answer
    wait_until(lambda: sluice.metric("sluice_report_memory_bytes") == 0, 10, "what they took is given back")
    assert sluice.metric("sluice_http_body_bytes") < 1 << 16, "bodies are not charged"
    assert sluice.get("/api/v1/scrape_pools").json()["data"] == {"scrapePools": ["many"]}


def test_waiting_queries_end():
    slow = Hanging()
    sluice = Sluice(GROUP.format(slow.address), "--query.max-concurrency=1", "--query.max-queue-duration=1s")
    first = connect(sluice, get("/api/v1/query?query=x"))
    wait_until(lambda: sluice.metric("prometheus_engine_queries") == 1)
    gone = connect(sluice, get("/api/v1/query?query=y"))
    wait_until(lambda: sluice.metric("sluice_query_waiting") == 1)
    gone.close()
    wait_until(lambda: sluice.metric("sluice_query_waiting") == 0, 0.9, "the query of a client that left is dropped")
    began = time.monotonic()
    answer = sluice.get("/api/v1/query", {"query": "z"})
    assert answer.status == 503 and answer.headers["Retry-After"], answer
    assert 0.8 < time.monotonic() - began < 4
    assert refused(sluice, "query_queue") == 1
    own = os.getpriority(os.PRIO_PROCESS, 0)
    for task in os.listdir(f"/proc/{sluice.p.pid}/task"):
        with open(f"/proc/{sluice.p.pid}/task/{task}/stat", encoding="ascii") as f:
            name, rest = re.fullmatch(r"\d+ \((.*)\) (.*)\n", f.read()).groups()
        nice = {"query": 10, "admin": 5}.get(name.split()[0], own)
        assert rest.split()[16] == str(nice), f"nice of {name}"
    slow.go.set()
    assert status_of(first) == 200


def test_a_full_queue_of_requests_is_logged():
    slow = Hanging()
    sluice = Sluice(GROUP.format(slow.address), "--query.max-concurrency=1")
    clients = [connect(sluice, get("/api/v1/query?query=x"))]
    wait_until(lambda: sluice.metric("prometheus_engine_queries") == 1 and sluice.metric("sluice_query_waiting") == 0)
    clients += [connect(sluice, get("/api/v1/query?query=x")) for _ in range(16)]
    wait_until(lambda: sluice.metric("sluice_query_waiting") == 16)
    assert "queue is full" not in sluice.log()
    assert [sluice.get("/api/v1/query", {"query": "y"}).status for _ in range(3)] == [503] * 3
    wait_until(lambda: "queue is full" in sluice.log())
    assert re.findall(r'level=warn component=query msg="all workers are busy and the queue is full; refusing requests '
                      r'with 503" class=query running=1 waiting=16 remedy=".*--query.max-concurrency"', sluice.log())
    assert sluice.log().count("queue is full") == 1 and "accept requests again" not in sluice.log()
    slow.go.set()
    assert [status_of(s) for s in clients] == [200] * 17
    wait_until(lambda: "accept requests again" in sluice.log())
    assert re.findall(r'msg="workers accept requests again" class=query refused=3 after=\S+', sluice.log())


def own_user():
    """A user id that no other process has: the limit of threads counts those of the user."""
    if os.geteuid() or not shutil.which("setpriv"):
        raise Skip("root, for processes of another user")
    return 1000000 + os.getpid()


def test_few_threads():
    """Whatever number of threads there may be: it says that it cannot start, or runs with what there is."""
    release_build()  # a sanitizer starts more threads
    user, steady = own_user(), SteadyTargets(n=2)
    os.chmod(folder(), 0o777)
    config = f"scrape_configs:\n{steady.job()}recent: {{}}\n"
    ran, refused = 0, set()
    for limit in range(1, 14):
        sluice = Sluice(config, "--lanes=2", name=f"sluice-{limit}", start=False)
        sluice.command = ["setpriv", f"--reuid={user}", "--clear-groups", "prlimit", f"--nproc={limit}", "--"] + sluice.command
        sluice.start()
        wait_until(lambda: not sluice.alive() or answers(sluice, "/-/ready") == 200, 20, f"a start with {limit} threads")
        if not sluice.alive():
            assert sluice.p.returncode == 1 and "thread" in sluice.log(), (limit, sluice.p.returncode, sluice.log())
            continue
        ran += 1
        statuses = [answers(sluice, path) for path in ("/-/healthy", "/metrics", "/api/v1/query?query=1", "/targets",
                                                       "/api/v1/query?query=up", "/config")]
        assert set(statuses) <= {200, 503} and statuses[0] == 200, (limit, statuses)
        refused.update(statuses)
        status = push(f"{sluice.url}/api/v1/write", [({"__name__": "m"}, [(now_ms(), 1.0)])]).status
        assert status in (204, 503), (limit, status)
        time.sleep(0.3)
        assert sluice.alive(), (limit, sluice.log())
        assert sluice.stop() == 0, (limit, sluice.log())
    assert ran > 3 and 503 in refused, (ran, refused)


def answers(sluice, path):
    """The status; 0 without a response. A refusal must say when to come again."""
    try:
        answer = sluice.get(path, timeout=5)
    except OSError:
        return 0
    assert answer.status != 503 or not path.startswith("/api") or answer.headers["Retry-After"], (path, answer)
    return answer.status


def zstd(data):
    library = ctypes.CDLL("libzstd.so.1")
    library.ZSTD_compressBound.restype = library.ZSTD_compress.restype = ctypes.c_size_t
    room = library.ZSTD_compressBound(ctypes.c_size_t(len(data)))
    out = ctypes.create_string_buffer(room)
    n = library.ZSTD_compress(out, ctypes.c_size_t(room), data, ctypes.c_size_t(len(data)), 3)
    return out.raw[:n]


def test_pushes_that_walk_back_in_time():
    """A series in 200,000 messages with one sample each, newest first, and 100,000 empty histograms: 300 KiB on the wire
    that must not hold a lane."""
    release_build()
    sluice = Sluice("recent: {}\n", "--lanes=1")
    now = now_ms()
    one = wire.write_request([({"__name__": "one"}, [(now, 1.0)])])
    h = wire.write_request([({"__name__": "h"}, [])])
    time_of = lambda i: one.replace(wire.varint(now), wire.varint(now - i))  # all have the same length
    samples = b"".join(map(time_of, range(200000)))
    histograms = b"".join(b"\x22\x07\x78" + wire.varint(now - i) for i in range(100000))
    for body in (samples, wire.field(1, h[2:] + histograms)):
        packed, before = zstd(body), sluice.cpu_seconds()
        answer = request(f"{sluice.url}/api/v1/write", data=packed, headers={
            "Content-Type": "application/x-protobuf", "Content-Encoding": "zstd"})
        took = sluice.cpu_seconds() - before
        assert answer.status == 204 and took < 1, (answer, took)
    assert longer_than(sluice, 0.1) == 0, f"the lane did nothing else: {lane_turns(sluice)}"
    assert sluice.metric("vmagent_rows_inserted_total", "promremotewrite") == 300000


@seconds(60)
def test_a_crowd_of_queries_leaves_scrapes_in_time():
    """Short form of tests/torture/test_isolation_at_scale.py."""
    release_build()
    steady = SteadyTargets(series=200)
    sluice = Sluice(f"scrape_configs:\n{steady.job()}recent: {{}}\n", "--memory.allowedBytes=256MiB",
                    "--query.max-queue-duration=2s")
    now = push_heavy(sluice)
    steady.wait()
    before, began = peak_rss(sluice), time.time()
    statuses = ask_at_once(sluice, heavy_queries(now), 400, seconds=0)
    ended = time.time()
    time.sleep(1.5)
    steady.must_be_in_time("400 queries at once", began, ended, f"; {statuses}")
    assert set(statuses) == {200, 503}, statuses
    assert peak_rss(sluice) - before < 256 << 20, peak_rss(sluice) - before
