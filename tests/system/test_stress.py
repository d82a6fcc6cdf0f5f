# SPDX-License-Identifier: Apache-2.0
"""Everything at once: reloads, clients that leave, full lines, stops in the middle. What a sanitizer has to say, says the exit
code; here it is looked that sluice goes on answering and that nothing is lost."""
import concurrent.futures
import os
import signal
import socket
import threading
import time

from fakes import Fake
from lib import *

ROUND = 6  # seconds of each disturbance
KIND = "kind: prometheus, remote_read: false"  # of the groups: what Slow answers


class Slow(Fake):
    """A storage that takes its time for every answer, and may cut it in the middle."""

    def __init__(self, delay=0.3, cut=False):
        self.delay, self.cut = delay, cut
        super().__init__()

    def answer(self, request, form):
        time.sleep(self.delay)
        series = b"matrix" if "query_range" in request.path or b"%5B" in form else b"vector"
        body = b'{"status":"success","data":{"resultType":"%s","result":[]}}' % series
        if self.cut:
            request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:len(body) // 2])
            request.close_connection = True
            return None
        return request.reply(200, body, Content_Type="application/json")


class Together:
    """Threads that repeat what they are given until the block ends; what one of them raises fails the test there."""

    def __init__(self, *jobs):
        self.ended, self.errors = threading.Event(), []
        self.threads = [threading.Thread(target=self.repeat, args=(job,)) for job in jobs]

    def repeat(self, job):
        n = 0
        while not self.ended.is_set():
            try:
                job(n)
            except Exception as e:
                self.errors.append(e)
                return
            n += 1

    def __enter__(self):
        for t in self.threads:
            t.start()

    def __exit__(self, *_):
        self.ended.set()
        for t in self.threads:
            t.join()
        if self.errors:
            raise self.errors[0]


def leave_early(sluice, path, after=0.05):
    """A client that asks and goes."""
    with socket.create_connection(("127.0.0.1", sluice.port)) as s:
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        time.sleep(after)


def targets(exporters, part):
    return ", ".join(f"'{e.address}'" for i, e in enumerate(exporters) if part >> i & 1)


def test_reloads_under_load():
    exporters = [ScriptedExporter(series=50) for _ in range(4)]
    always, guest = RecordingSink(), RecordingSink(zstd=True)
    slow = Slow(0.1)

    def config(n):
        there = n % 3 > 0
        more = f"\n- {{name: guest, url: '{guest.url}', durability: {['memory', 'spill', 'always'][n % 5 % 3]}}}" if there else ""
        recent = "recent: {like: always}\n" if n % 4 else "recent: {retention: 10m}\n"
        return f"""global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
- job_name: x
  static_configs: [{{targets: [{targets(exporters, 1 + n % 15)}]}}]
remote_write:
- {{name: always, url: '{always.url}', queue_config: {{shards: {1 + n % 4}}}}}{more}
{recent}server_groups:
- {{static_configs: [{{targets: ['{slow.address}']}}], {KIND}, {"written_by: always" if n % 2 else "labels: {a: b}"}}}
"""

    sluice = Sluice(config(0))
    pushed = []

    def push_one(n):
        now = int(time.time() * 1000)
        answer = push(f"{sluice.url}/api/v1/write", [({"__name__": "pushed", "i": str(i)}, [(now, n)]) for i in range(20)])
        assert answer.status in (200, 204), answer
        pushed.append(n)

    def reload(n):  # the file is replaced, so that a signal that is late finds a whole one
        os.rename(write_file("next.yml", config(n)), sluice.config_path)
        if n % 3:
            assert sluice.post("/-/reload").status == 200
        else:
            sluice.p.send_signal(signal.SIGHUP)
            time.sleep(0.01)

    with Together(push_one, reload,
                  lambda n: sluice.get("/api/v1/query", {"query": "rate(scripted_counter[1m])"}),
                  lambda n: sluice.get(["/metrics", "/targets", "/api/v1/targets", "/api/v1/metadata"][n % 4]),
                  lambda n: leave_early(sluice, "/api/v1/query?query=up")):
        time.sleep(2 * ROUND)
    wait_until(lambda: all(sorted({v for _, v in s}) == sorted(set(pushed)) for s in always.find("pushed").values())
               and len(always.find("pushed")) == 20, 20, "every pushed sample arrives")
    for labels, samples in always.find("pushed").items():
        times = [t for t, _ in samples]
        assert times == sorted(times), f"{labels}: out of order"


def test_clients_leave_and_a_full_line():
    slow = Slow(0.5)
    sluice = Sluice(f"server_groups: [{{static_configs: [{{targets: ['{slow.address}']}}], {KIND}}}]", "--query.max-concurrency=2")
    seen = set()

    def ask(_):
        seen.add(sluice.get("/api/v1/query", {"query": "x"}).status)

    with Together(*[lambda n: leave_early(sluice, "/api/v1/query?query=y", n % 7 * 0.02) for _ in range(20)],
                  *[ask for _ in range(40)]):
        time.sleep(ROUND)
    assert 503 in seen, f"the line was never full: {seen}"
    wait_until(lambda: sluice.metric("sluice_query_waiting") == 0, 20)
    assert sluice.metric("sluice_http_canceled_total") > 0
    answer = sluice.get("/api/v1/query", {"query": "x"})
    assert answer.status == 200, answer


def test_downstream_cuts_its_answers():
    cut, whole = Slow(0.02, cut=True), Slow(0.02)
    sluice = Sluice(f"server_groups: [{{static_configs: [{{targets: ['{cut.address}', '{whole.address}']}}], {KIND}}}]")

    def restart(_):
        whole.stop()
        time.sleep(0.1)
        whole.start()
        time.sleep(0.1)

    def ask(n):
        answer = sluice.get("/api/v1/query_range", {"query": f"x{n % 3} + y", "start": 0, "end": 100, "step": 10})
        assert answer.status in (200, 502, 503, 504), answer  # 504: on a busy machine a check may time out

    with Together(*[ask for _ in range(8)], restart):
        time.sleep(ROUND)
    assert sluice.get("/-/healthy").status == 200


def stop_while_busy(n):
    slow, sink = Slow(2), RecordingSink()
    exporters = [ScriptedExporter(series=200) for _ in range(3)]
    config = f"""global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs: [{{job_name: x, static_configs: [{{targets: [{targets(exporters, 7)}]}}]}}]
remote_write:
- {{name: a, url: '{sink.url}', durability: {['memory', 'spill', 'always'][n]}}}
- {{name: b, url: 'http://127.0.0.1:1/'}}
server_groups: [{{static_configs: [{{targets: ['{slow.address}']}}], {KIND}}}]
"""
    sluice = Sluice(config, name=f"sluice{n}")

    def quietly(call):
        def job(_):
            try:
                call()
                time.sleep(0.005)  # busy enough: twelve clients that never pause keep both cores from everything else
            except OSError:
                time.sleep(0.05)
        return job

    series = [({"__name__": "pushed"}, [(1, 1.0)])]
    with Together(*[quietly(lambda: sluice.get("/api/v1/query", {"query": "x"}))] * 6,
                  *[quietly(lambda: push(f"{sluice.url}/api/v1/write", series))] * 2,
                  quietly(lambda: sluice.post("/-/reload")),
                  quietly(lambda: sluice.get("/metrics"))):
        time.sleep(1.5)
        sink.hang = 0.5
        sluice.stop()


def test_stop_while_busy():
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        list(pool.map(stop_while_busy, range(3)))
