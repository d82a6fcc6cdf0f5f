# SPDX-License-Identifier: Apache-2.0
"""Two regions, each with a sluice and a storage. Each sluice writes what is pushed to it to both storages and reads both as
replicas of one server group. What crosses between the regions passes a link that a test delays, disturbs or partitions."""
import collections
import random
import socket
import struct
import threading
import time

from lib import *

SERIES = 5
PUSH_EVERY, ASK_EVERY = 0.1, 0.15
FRESH = 6      # seconds: the oldest that the newest sample of a result may be
LATEST = 3.0 if RELEASE else 6.0  # seconds: a result needs, with a hedge and a busy machine


class Link:
    """Forwards connections to a port. fault: None, "partition" (bytes stop, in both directions, until it ends), "refuse"
    (connections are reset), or "loss" (bytes stop for some time again and again, and some connections are reset)."""

    def __init__(self, port, seed):
        self.target, self.fault, self.delay, self.random = port, None, 0.0, random.Random(seed)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.pairs = set()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.connect, args=(client,), daemon=True).start()

    def connect(self, client):
        self.wait()
        try:
            if self.fault == "refuse":
                raise OSError
            server = socket.create_connection(("127.0.0.1", self.target), 5)
            server.settimeout(None)
        except OSError:
            return self.reset(client)
        self.pairs.add((client, server))
        back = threading.Thread(target=self.pump, args=(server, client), daemon=True)
        back.start()
        self.pump(client, server)
        back.join()
        self.pairs.discard((client, server))
        client.close()
        server.close()

    def wait(self):
        while self.fault == "partition":
            time.sleep(0.02)

    def pump(self, source, to):
        try:
            while data := source.recv(65536):
                time.sleep(self.delay)
                if self.fault == "loss":
                    self.lose(source, to)
                self.wait()
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            self.reset(source)
            self.reset(to)

    def lose(self, *ends):
        if self.random.random() < 0.3:
            time.sleep(self.random.uniform(0.05, 0.5))
        if self.random.random() < 0.05:
            raise OSError

    @staticmethod
    def reset(s):
        try:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
        except OSError:
            pass

    def set(self, fault):
        self.fault = fault
        if fault == "refuse":
            for ends in list(self.pairs):
                for s in ends:
                    self.reset(s)


class Region:
    """push: samples are pushed until the sluice acknowledges them, as an agent does it."""

    def __init__(self, name, storage):
        self.name, self.storage, self.sluice = name, storage, None
        self.pushed = collections.defaultdict(list)
        self.polls = []                # (began, took, status or error, age of the newest sample in seconds)
        self.running = True

    def start(self, link):
        local, remote = self.storage.address, link.address
        more = "queue_config: {min_backoff: 30ms, max_backoff: 300ms}, remote_timeout: 2s, durability: always"
        self.sluice = Sluice(f"""
remote_write:
- {{name: local, url: "http://{local}/api/v1/write", {more}}}
- {{name: remote, url: "http://{remote}/api/v1/write", {more}}}
server_groups:
- {{name: everything, written_by: [local, remote], static_configs: [{{targets: ["{local}", "{remote}"]}}]}}
""", name=f"sluice-{self.storage.name}-{self.name}")
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self.push, self.poll)]
        for t in self.threads:
            t.start()

    def push(self):
        n = 0
        while self.running:
            n += 1
            at = now_ms()
            series = [({"__name__": "m", "region": self.name, "i": str(i)}, [(at, n * 10 + i)]) for i in range(SERIES)]
            while self.running:
                try:
                    if push(f"{self.sluice.url}/api/v1/write", series, timeout=5).status == 204:
                        for labels, samples in series:
                            self.pushed[tuple(sorted(labels.items()))] += samples
                        break
                except OSError:
                    pass
                time.sleep(PUSH_EVERY)
            time.sleep(PUSH_EVERY)

    def poll(self):
        while self.running:
            began, status, age = time.monotonic(), None, None
            try:
                answer = self.sluice.get("/api/v1/query", {"query": f'timestamp(m{{region="{self.name}"}})'}, timeout=15)
                status = answer.status if answer.status != 200 else answer.json().get("warnings", 200)
                if answer.status == 200 and answer.json()["data"]["result"]:
                    age = time.time() - max(float(s["value"][1]) for s in answer.json()["data"]["result"])
            except OSError as e:
                status = str(e)
            self.polls.append((began, time.monotonic() - began, status, age))
            time.sleep(ASK_EVERY)

    def newest_stored(self):
        """Seconds, of what was pushed to this region, in its own storage."""
        found = [t for labels, samples in self.storage.raw("m").items() for t, _ in samples if ("region", self.name) in labels]
        return max(found) / 1000

    def check(self, since, what):
        """All queries since then were answered in time, with fresh samples."""
        polls = [p for p in self.polls if p[0] >= since]
        wrong = [p for p in polls if p[2] != 200 or p[1] > LATEST or p[3] is None or p[3] > FRESH]
        assert polls and not wrong, f"{what}: region {self.name}: {len(wrong)} of {len(polls)}: {wrong[:3]}"


class Regions:
    def __init__(self, storages, seed=1):
        self.a, self.b = (Region(name, storage) for name, storage in zip("ab", storages))
        self.to_b, self.to_a = Link(self.b.storage.port, seed), Link(self.a.storage.port, seed + 1)
        self.regions = (self.a, self.b)
        self.a.start(self.to_b)
        self.b.start(self.to_a)
        for r in self.regions:  # VictoriaMetrics finds new series late, unless it is flushed
            wait_until(lambda r=r: len(r.storage.raw("m")) == 2 * SERIES, what=f"series in the storage of {r.name}")
        wait_until(lambda: all(r.polls and r.polls[-1][3] is not None for r in self.regions), what="samples in results")

    def phase(self, what, seconds, begin, end, answering):
        """While something fails, and while it returns, the endpoints of these regions answer."""
        since = time.monotonic()
        begin()
        time.sleep(seconds)
        end()
        time.sleep(seconds / 2)
        for r in answering:
            r.check(since, what)
        wait_until(self.settled, 60, f"queues sent and results fresh after: {what}")

    def settled(self):
        """What one failure left is no part of the next one: queues, and the time without samples while a sluice was
        killed. VictoriaMetrics shows few new samples up to 5 s late, unless it is flushed, as by raw()."""
        queued = max(v for r in self.regions for name, v in r.sluice.metrics().items()
                     if name.startswith("sluice_remotewrite_oldest_pending_seconds"))
        return queued < 1.5 and all(time.time() - r.newest_stored() < FRESH / 4 for r in self.regions)

    def links(self, *links, fault="partition"):
        return lambda: [link.set(fault) for link in links], lambda: [link.set(None) for link in links]

    @staticmethod
    def killed(process):
        def again():
            process.start()
            process.wait_ready(60)
        # VictoriaMetrics loses what it acknowledged in the last seconds before it is killed.
        return process.stop if isinstance(process, VictoriaMetrics) else process.kill9, again

    def run(self, seconds):
        a, b, both = self.a, self.b, self.regions
        for what, fault, answering in (
                ("link from a cut", self.links(self.to_b), both), ("link from b cut", self.links(self.to_a), both),
                ("partition", self.links(self.to_a, self.to_b), both),
                ("storage of a killed", self.killed(a.storage), both), ("storage of b killed", self.killed(b.storage), both),
                ("sluice of a killed", self.killed(a.sluice), [b]), ("sluice of b killed", self.killed(b.sluice), [a]),
                ("links refuse", self.links(self.to_a, self.to_b, fault="refuse"), both),
                ("links lose", self.links(self.to_a, self.to_b, fault="loss"), both)):
            self.phase(what, seconds, *fault, answering)

    def finish(self):
        """Both storages have every sample that was acknowledged, and nothing else."""
        for r in self.regions:
            r.running = False
        for r in self.regions:
            for t in r.threads:
                t.join(20)
        expected = {**self.a.pushed, **self.b.pushed}
        assert len(expected) == 2 * SERIES

        def missing(storage):
            have = storage.raw("m")
            return {labels: len(set(samples) - set(have.get(labels, []))) for labels, samples in expected.items()
                    if not set(samples) <= set(have.get(labels, []))}
        for r in self.regions:
            wait_until(lambda r=r: not missing(r.storage), 60, f"every sample in the storage of {r.name}", every=0.3)
        return sum(len(s) for s in expected.values())
