# SPDX-License-Identifier: Apache-2.0
"""CLIENTS (50) clients push for CLIENT_SECONDS (60) in every format: fast ones, slow ones that send in pieces, ones that cut their
requests and send them again, ones that repeat what was answered with an error. Nothing acknowledged is lost, nothing is stored
that was not sent, what is sent once is stored once, and clients that send alike get alike shares."""
import collections
import http.client
import json
import os
import random
import socket
import threading
import time

import wire
from fakes import RecordingSink
from lib import *

CLIENTS, SECONDS = int(os.environ.get("CLIENTS", "50")), int(os.environ.get("CLIENT_SECONDS", "60"))
T = 1700000000000
SAMPLES = 200  # a request


class Client(threading.Thread):
    """Sends requests number 0, 1, ... until `until`, each with SAMPLES samples of its own series; value: the number of the sample."""

    def __init__(self, number, sluice, ports, kind, until):
        super().__init__(daemon=True)
        self.number, self.sluice, self.ports, self.kind, self.until = number, sluice, ports, kind, until
        self.dice = random.Random(number)
        self.format = ("prometheus", "influx", "jsonl", "csv", "opentsdb", "write", "graphite")[number % 7]
        self.acknowledged, self.repeated, self.statuses, self.failed = set(), set(), {}, None

    def body(self, n):
        first = n * SAMPLES
        points = [(T + 1000 * i, i) for i in range(first, first + SAMPLES)]
        c = self.number
        if self.format == "prometheus":
            return "/api/v1/import/prometheus", "".join(f'm{{c="{c}"}} {i} {t}\n' for t, i in points)
        if self.format == "influx":
            return "/influx/write?precision=ms", "".join(f"m,c={c} v={i} {t}\n" for t, i in points)
        if self.format == "jsonl":
            return "/api/v1/import", json.dumps({"metric": {"__name__": "m", "c": str(c)}, "values": [i for _, i in points],
                                                 "timestamps": [t for t, _ in points]})
        if self.format == "csv":
            return "/api/v1/import/csv?format=1:label:c,2:metric:m,3:time:unix_ms", "".join(f"{c},{i},{t}\n" for t, i in points)
        if self.format == "opentsdb":
            return "/api/put", json.dumps([{"metric": "m", "timestamp": t, "value": i, "tags": {"c": str(c)}} for t, i in points])
        return "/api/v1/write", wire.snappy_compress(wire.write_request([({"__name__": "m", "c": str(c)}, [(t, i) for t, i in points])]))

    def send_lines(self, n):
        text = "".join(f"m;c={self.number} {i} {T // 1000 + i}\n" for i in range(n * SAMPLES, (n + 1) * SAMPLES)).encode()
        if self.kind == "slow":
            for at in range(0, len(text), 700):
                self.lines.sendall(text[at:at + 700])
                time.sleep(0.01)
        else:
            self.lines.sendall(text)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.sluice.port), timeout=60)

    def cut(self, head, body):
        """A part of the request, then the end: what of it is stored is not known."""
        with self.connect() as s:
            s.sendall(head + body[:self.dice.randrange(len(body))])

    def post(self, n):
        """The status."""
        path, body = self.body(n)
        body = body if isinstance(body, bytes) else body.encode()
        head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        if self.kind == "cut" and self.dice.random() < 0.5:
            self.repeated.add(n)
            self.cut(head, body)
        with self.connect() as s:
            if self.kind == "slow":
                for at in range(0, len(body), 700):
                    s.sendall((head if at == 0 else b"") + body[at:at + 700])
                    time.sleep(0.01)
            else:
                s.sendall(head + body)
            answer = http.client.HTTPResponse(s)
            answer.begin()
            answer.read()
            return answer.status

    def run(self):
        try:
            self.send_all()
        except Exception as why:  # pylint: disable=broad-except
            self.failed = why

    def send_all(self):
        n = 0
        if self.format == "graphite":
            self.lines = socket.create_connection(("127.0.0.1", self.ports["graphite"]), timeout=60)
        while time.monotonic() < self.until:
            if self.format == "graphite":
                self.send_lines(n)
                status = 204
            else:
                status = self.post(n)
            time.sleep(0.1)
            self.statuses[status] = self.statuses.get(status, 0) + 1
            if status // 100 == 2:
                self.acknowledged.add(n)
                n += 1
            else:
                self.repeated.add(n)
                time.sleep(0.05)
        if self.format == "graphite":
            self.lines.shutdown(socket.SHUT_WR)
            assert self.lines.recv(1) == b""
            self.lines.close()


@seconds(SECONDS * 3 + 180)
def test_many_clients():
    sink = RecordingSink(zstd=True)
    ports = {"graphite": free_port()}
    sluice = Sluice("scrape_configs: []", f"-remoteWrite.url={sink.url}", "--dialect=vmagent", f"-graphiteListenAddr=127.0.0.1:{ports['graphite']}",
                    "-maxConcurrentInserts=4", "-insert.maxQueueDuration=10s")
    until = time.monotonic() + SECONDS
    clients = [Client(n, sluice, ports, ("fast", "slow", "cut", "fast")[n // 7 % 4], until) for n in range(CLIENTS)]
    for c in clients:
        c.start()
    for c in clients:
        c.join()
    assert not any(c.failed for c in clients), [(c.number, c.format, c.kind, c.failed) for c in clients if c.failed]
    assert all(status in (204, 503, 429) for c in clients for status in c.statuses), [c.statuses for c in clients]
    sluice.stop()
    stored = {int(dict(labels)["c"]): samples for labels, samples in sink.samples().items()}
    for c in clients:
        wanted = {(T + 1000 * i, float(i)) for n in c.acknowledged for i in range(n * SAMPLES, (n + 1) * SAMPLES)}
        unsure = {(T + 1000 * i, float(i)) for n in c.repeated for i in range(n * SAMPLES, (n + 1) * SAMPLES)}
        got = stored.get(c.number, [])
        assert wanted <= set(got), (c.number, c.format, c.kind, "lost", len(wanted - set(got)))
        assert set(got) <= wanted | unsure, (c.number, c.format, c.kind, "not sent", sorted(set(got) - wanted)[:5])
        twice = {s for s, times in collections.Counter(got).items() if times > 1}
        assert twice <= unsure, (c.number, c.format, c.kind, "doubled", len(twice))
    for form in sorted({c.format for c in clients}):
        for kind in "fast", "slow":
            done = [len(c.acknowledged) for c in clients if c.format == form and c.kind == kind]
            print(form, kind, done)
            if len(done) > 1:
                assert min(done) * 2 >= max(done), (form, kind, done)
