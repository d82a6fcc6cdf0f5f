# SPDX-License-Identifier: Apache-2.0
"""What misbehaves costs only itself, also in large numbers: a silent name server, hung targets, bodies without an end,
idle clients, heavy queries. Short forms of these are in tests/system (test_isolation, test_limits). Each prints its
figures; 20 targets are scraped each second meanwhile, and none of their scrapes may be missing.
"""
import socket
import threading
import time

from crowd import ask_at_once, heavy_queries, push_heavy
from idlers import Idlers
from lib import *
from steady import SteadyTargets
from test_isolation import NameServer, asks_only, threads_of
from test_limits import connect, run_out_of_descriptors

DESTINATION = "remote_write: [{url: 'http://127.0.0.1:9/write'}]\n"


class HealthWatch(threading.Thread):
    """Asks for the health until the block ends; `slowest` in seconds."""

    def __init__(self, sluice):
        super().__init__(daemon=True)
        self.sluice, self.slowest, self.threads, self.ended, self.error = sluice, 0, 0, False, None

    def run(self):
        while not self.ended:
            began = time.monotonic()
            try:
                assert self.sluice.get("/-/healthy", timeout=30).status == 200
            except Exception as e:  # shown at the end of the block
                self.error = e
                return
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.threads = max(self.threads, threads_of(self.sluice))
            time.sleep(0.1)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended = True
        self.join()
        if self.error:
            raise self.error


@alone
@seconds(240)
def test_silent_name_server():
    names, steady = NameServer(), SteadyTargets()
    many = ", ".join(f"'t{i}.test:80'" for i in range(500))
    cases = {
        "nothing by name": ("", ""),
        "500 targets by name": (f"- {{job_name: names, scrape_interval: 1s, static_configs: [{{targets: [{many}]}}]}}\n", ""),
        "a destination by name": ("", "- {url: 'http://store.test/write'}\n"),
        "a server group by name": ("", "server_groups: [{name: g, static_configs: [{targets: ['server.test:80']}]}]\n"),
    }
    for what, (job, rest) in cases.items():
        sluice = asks_only(Sluice(f"scrape_configs:\n{steady.job()}{job}remote_write:\n- {{url: 'http://127.0.0.1:9/w'}}\n{rest}",
                                  "--query.timeout=3s", name=what.replace(" ", "-"), start=False), names.address).wait_ready()
        time.sleep(2)
        began = time.time()
        with HealthWatch(sluice) as health:
            time.sleep(20)
            if "group" in what:
                asked = time.monotonic()
                answer = sluice.get("/api/v1/query", {"query": "up"})
                took = time.monotonic() - asked
                assert answer.status == 504 and took < 3.5, (took, answer)
        assert health.slowest < 1 and health.threads <= 100, (health.slowest, health.threads)
        steady.must_be_in_time(what, began, began + 20, f", slowest health check {health.slowest * 1000:.0f} ms, "
                                                        f"{health.threads} threads")
        sluice.stop()


@alone
@seconds(120)
def test_a_thousand_hung_targets():
    steady = SteadyTargets()
    with socket.socket() as hung:
        hung.bind(("0.0.0.0", 0))
        hung.listen(4096)  # never accepted: the kernel takes the connections
        many = ", ".join(f"'127.0.{10 + i // 200}.{i % 200 + 1}:{hung.getsockname()[1]}'" for i in range(1000))
        sluice = Sluice(f"scrape_configs:\n{steady.job()}- {{job_name: hung, scrape_interval: 5s, scrape_timeout: 5s, "
                        f"static_configs: [{{targets: [{many}]}}]}}\n{DESTINATION}")
        time.sleep(2)
        began = time.time()
        time.sleep(25)
        steady.must_be_in_time("1,000 hung targets", began, began + 25)
        began = time.monotonic()
        sluice.stop()
        assert time.monotonic() - began < 8, "5 s for a destination that does not respond"


@alone
def test_bodies_without_an_end():
    release_build()
    sluice = Sluice("recent: {}\n")
    before, sockets, piece = sluice.memory_kib()["VmHWM"], [], bytes(1 << 20)
    for _ in range(60):
        s = connect(sluice, f"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: {(31 << 20) + 1}\r\n\r\n")
        sockets.append(s)
        try:
            for _ in range(31):
                s.sendall(piece)
        except OSError:  # it was refused
            pass
    time.sleep(2)
    peak = sluice.memory_kib()["VmHWM"]
    print(f"60 pushes of 31 MiB without an end: peak RSS {before >> 10} -> {peak >> 10} MiB")
    assert peak < 300 << 10
    assert push(f"{sluice.url}/api/v1/write", [({"__name__": "m"}, [(now_ms(), 1.0)])]).status == 204
    for s in sockets:
        s.close()


@alone
def test_a_thousand_descriptors():
    run_out_of_descriptors(1024)


@alone
@seconds(180)
def test_heavy_queries_do_not_starve_scrapes():
    release_build()
    steady = SteadyTargets(series=1000)
    sluice = Sluice(f"scrape_configs:\n{steady.job()}{DESTINATION}recent: {{}}\n")
    now = push_heavy(sluice)
    steady.wait()
    for clients in (0, 4, 20):
        began = time.time()
        with HealthWatch(sluice) as health:
            answers = ask_at_once(sluice, heavy_queries(now)[:1], clients, seconds=15) if clients else time.sleep(8)
        ended = time.time()
        time.sleep(1.5)
        steady.must_be_in_time(f"{clients} clients with a heavy query each", began, ended,
                               f", slowest health check {health.slowest * 1000:.0f} ms, responses {answers}")


@alone
@seconds(240)
def test_a_thousand_queries_at_once():
    """Those that find neither a worker nor memory get 503 with Retry-After (ask_at_once checks it)."""
    release_build()
    memory = 512 << 20
    steady = SteadyTargets()
    sluice = Sluice(f"scrape_configs:\n{steady.job()}{DESTINATION}recent: {{}}\n", f"--memory.allowedBytes={memory}")
    now = push_heavy(sluice)
    steady.wait()
    before, began = sluice.memory_kib()["VmHWM"], time.time()
    with HealthWatch(sluice) as health:
        answers = ask_at_once(sluice, heavy_queries(now), 1000, seconds=0)
    ended = time.time()
    peak = sluice.memory_kib()["VmHWM"]
    time.sleep(1.5)
    steady.must_be_in_time("1,000 queries at once", began, ended,
                           f"; responses {answers}; peak RSS {before >> 10} -> {peak >> 10} MiB of {memory >> 20} MiB; "
                           f"slowest health check {health.slowest * 1000:.0f} ms")
    assert answers.get(200, 0) > 0 and set(answers) <= {200, 503}, answers
    assert peak - before < (memory >> 10) * 5 // 8, "running queries: 1/2, responses: 1/8"
    assert sluice.query("1 + 1")["result"][1] == "2"


def metric_if_served(sluice, name, *labels):
    """None: refused, since a third of the slow clients request /metrics, and again when they are closed."""
    answer = sluice.get("/metrics", timeout=30)
    return sum(float(line.rsplit(" ", 1)[1]) for line in answer.text.splitlines()
               if line.startswith(name) and all(text in line for text in labels)) if answer.status == 200 else None


def beside_idle_and_slow_connections(memory, fewest, growth, again=0.0):
    """Scrapes, pushes, queries and health checks go on beside 10,000 idle connections and 1,000 slow ones, which are closed
    and come again; at some time at least `fewest` are open; the process grows by less than `growth` MiB."""
    steady = SteadyTargets()
    sluice = Sluice(f"scrape_configs:\n{steady.job()}recent: {{}}\n", f"--memory.allowedBytes={memory}")
    steady.wait()
    wait_until(lambda: sluice.query("count(up)")["result"][0]["value"][1] == "20")
    before = sluice.memory_kib()["VmHWM"]
    idlers = Idlers(sluice, 10000, 1000, again=again)
    wait_until(lambda: (metric_if_served(sluice, "sluice_http_connections ") or 0) > fewest, 60, "connections")
    began, slowest, queries, most = time.time(), 0.0, 0, 0
    with HealthWatch(sluice) as health:
        while time.time() < began + 60:
            start = time.monotonic()
            assert sluice.query("sum(m1)")["result"][0]["value"][1] == "20"
            slowest, queries = max(slowest, time.monotonic() - start), queries + 1
            assert push(f"{sluice.url}/api/v1/write", [({"__name__": "pushed"}, [(now_ms(), 1.0)])]).status == 204
            most = max(most, metric_if_served(sluice, "sluice_http_connections ") or 0)
    ended, after = time.time(), sluice.memory_kib()["VmHWM"]
    idlers.stop()
    evicted, late = (wait_until(lambda r=r: metric_if_served(sluice, "sluice_http_closed_total", f'reason="{r}"'), 30)
                     for r in ("evicted", "timeout"))
    steady.must_be_in_time(f"10,000 idle and 1,000 slow connections within {memory}", began, ended,
                           f"; at most {most:.0f} connections, {evicted:.0f} evicted, {late:.0f} too slow; {queries} queries, "
                           f"slowest {slowest:.2f} s, slowest health check {health.slowest:.2f} s; peak memory "
                           f"{before >> 10} -> {after >> 10} MiB")
    assert slowest < 5 and health.slowest < 5, (slowest, health.slowest)
    assert after - before < growth << 10, f"{before} -> {after} KiB"
    wait_until(lambda: sluice.metric("sluice_http_connections") <= 2, 60, "nothing remains")


@alone
@seconds(300)
def test_idle_and_slow_connections():
    """A sixty-fourth of the memory, 256 MiB, is for idle connections."""
    beside_idle_and_slow_connections("16GiB", 5000, 256)


@alone
@seconds(300)
def test_idle_and_slow_connections_within_a_gibibyte():
    """16 MiB are for idle connections, of which most are closed: 600 clients a second come again, no flood of connections."""
    beside_idle_and_slow_connections("1GiB", 300, 128, 15.0)
