# SPDX-License-Identifier: Apache-2.0
"""What does not respond costs only itself: a silent name server, hung targets, targets that trickle."""
import os
import shlex
import shutil
import socket
import struct
import subprocess
import threading
import time

from lib import *


class NameServer:
    """A name server on port 53 of a loopback address: every name below .test is 127.0.0.1, once it is not silent."""

    def __init__(self):
        self.silent, self.asked = True, 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.address = f"127.{os.getpid() % 250 + 2}.{os.getpid() // 250 % 250 + 1}.53"
        try:
            self.socket.bind((self.address, 53))
        except OSError as why:
            raise Skip(f"a name server on port 53: {why}")
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            q, peer = self.socket.recvfrom(512)
            self.asked += 1
            end = q.index(0, 12) + 5
            kind = struct.unpack(">H", q[end - 4:end - 2])[0]
            record = struct.pack(">HHHIH", 0xc00c, 1, 1, 1, 4) + socket.inet_aton("127.0.0.1") if kind == 1 else b""
            if not self.silent:
                self.socket.sendto(q[:2] + b"\x84\x80" + struct.pack(">HHHH", 1, bool(record), 0, 0) + q[12:end] + record,
                                   peer)


def asks_only(sluice, address):
    """Starts it in a new mount namespace, where /etc/resolv.conf names this server."""
    if os.geteuid() or not shutil.which("unshare") or subprocess.run(["unshare", "-m", "true"]).returncode:
        raise Skip("root, for a mount namespace")
    path = write_file("resolv.conf", f"nameserver {address}\n")
    sluice.command = ["unshare", "-m", "sh", "-c", f"mount --bind {shlex.quote(path)} /etc/resolv.conf && exec \"$0\" \"$@\"",
                      *sluice.command]
    return sluice.start()


def longest_gap(exporter, since, until):
    with exporter.lock:
        times = [since] + [ms for _, ms, _ in exporter.served if since < ms < until] + [until]
    return max(b - a for a, b in zip(times, times[1:]))


def threads_of(sluice):
    return len(os.listdir(f"/proc/{sluice.p.pid}/task"))


def now():
    return int(time.time() * 1000)


def test_a_listen_address_whose_name_server_is_silent():
    names = NameServer()
    sluice = asks_only(Sluice("scrape_configs: []\n", f"--web.listen-address=here.test:{free_port()}", start=False),
                       names.address)
    began, pauses = time.monotonic(), Pauses()
    code, took = sluice.wait_exit(40), time.monotonic() - began
    assert code == 1 and took < 8 + pauses.slack(), (code, took, sluice.log())
    assert "cannot listen on here.test:" in sluice.log() and "no name server responded" in sluice.log(), sluice.log()
    assert names.asked > 0
    names.silent = False
    sluice.start().wait_ready()
    assert sluice.log().count("msg=ready") == 2, sluice.log()


def test_silent_name_server():
    names, exporter, sink = NameServer(), ScriptedExporter(), RecordingSink()
    many = ", ".join(f"'t{i}.test:{exporter.port}'" for i in range(200))
    sluice = asks_only(Sluice(
        "global: {scrape_interval: 1s, scrape_timeout: 900ms}\nscrape_configs:\n"
        f"- {{job_name: by_address, static_configs: [{{targets: ['{exporter.address}']}}]}}\n"
        f"- {{job_name: by_name, metrics_path: /named, static_configs: [{{targets: [{many}]}}]}}\n"
        f"remote_write:\n- {{name: address, url: '{sink.url}'}}\n"
        f"- {{name: name, url: 'http://store.test:{sink.port}/api/v1/write'}}\n"
        "server_groups:\n- {name: g, static_configs: [{targets: ['server.test:1']}]}\n",
        "--query.timeout=2s", start=False), names.address).wait_ready()
    start, slowest, pauses = now(), 0, Pauses()
    while now() < start + 4000:
        before = time.monotonic()
        assert sluice.get("/-/healthy").status == 200
        slowest = max(slowest, time.monotonic() - before)
        assert threads_of(sluice) < 30
        time.sleep(0.1)
    before = time.monotonic()
    answer = sluice.get("/api/v1/query", {"query": "up"})
    took = time.monotonic() - before
    assert answer.status == 504 and "could not resolve host: server.test" in answer.text and took < 2.5 + pauses.slack(), (took, answer)
    assert slowest < 1 + pauses.slack(), slowest
    assert longest_gap(exporter, start + 1000, now()) < 1800 + 1000 * pauses.slack(), exporter.served
    assert sink.find("up", job="by_address") and names.asked > 0
    assert sluice.metric("sluice_dns_cache_names") >= 200
    targets = sluice.data("/api/v1/targets")["activeTargets"]
    assert all("could not resolve host" in t["lastError"] for t in targets if t["labels"]["job"] == "by_name"), targets[:3]
    names.silent = False
    wait_until(lambda: all(t["health"] == "up" for t in sluice.data("/api/v1/targets")["activeTargets"]), 40,
               "all targets are scraped once the name server responds")
    wait_until(lambda: sluice.metric("vmagent_remotewrite_blocks_sent_total", 'url="name"') > 0, 40, "the destination")
    names.silent = True  # what is known goes on
    start = now()
    time.sleep(2.5)
    errors = {t["lastError"] for t in sluice.data("/api/v1/targets")["activeTargets"]}
    assert not any("resolve" in error for error in errors), errors
    assert longest_gap(exporter, start, now()) < 1800 + 1000 * pauses.slack(), exporter.served


def test_hung_targets():
    """Many times more of them than scrapes were under way at once when the others had to wait for them."""
    exporter, sink = ScriptedExporter(), RecordingSink()
    with socket.socket() as hung, socket.socket() as trickle:
        hung.bind(("0.0.0.0", 0))
        hung.listen(4096)  # never accepted: the kernel takes the connections
        trickle.bind(("127.0.0.1", 0))
        trickle.listen(8)
        threading.Thread(target=drip, args=(trickle,), daemon=True).start()
        many = ", ".join(f"'127.0.{i // 200 + 1}.{i % 200 + 1}:{hung.getsockname()[1]}'" for i in range(500))
        sluice = Sluice("global: {scrape_interval: 1s}\nscrape_configs:\n"
                        f"- {{job_name: well, static_configs: [{{targets: ['{exporter.address}']}}]}}\n"
                        f"- {{job_name: hung, scrape_interval: 3s, scrape_timeout: 3s, static_configs: [{{targets: [{many}]}}]}}\n"
                        f"- {{job_name: trickle, static_configs: [{{targets: ['127.0.0.1:{trickle.getsockname()[1]}']}}]}}\n"
                        f"remote_write: [{{name: sink, url: '{sink.url}'}}]\n")
        start, pauses = now(), Pauses()
        time.sleep(7)
        assert longest_gap(exporter, start + 500, now()) < 1800 + 1000 * pauses.slack(), exporter.served
        job = {t["labels"]["job"]: t for t in sluice.data("/api/v1/targets")["activeTargets"]}
        wait_until(lambda: any(t["labels"]["job"] == "well" and t["health"] == "up"
                               for t in sluice.data("/api/v1/targets")["activeTargets"]), what="the well one is up")
        for name, least, most in ("hung", 2.9, 3.6), ("trickle", 0.9, 1.6):
            assert "timed out after" in job[name]["lastError"], job[name]
            assert least < job[name]["lastScrapeDuration"] < most + pauses.slack(), job[name]
        times = [t for t, _ in next(iter(sink.find("up", job="well").values()))]
        slack = 100 + 1000 * pauses.slack()
        assert all(1000 - slack <= b - a <= 1000 + slack for a, b in zip(times, times[1:])), times


def drip(listening):
    """A page without an end, a byte every 100 ms."""
    def one(s):
        try:
            s.recv(4096)
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while True:
                s.sendall(b"#")
                time.sleep(0.1)
        except OSError:
            s.close()
    try:
        while True:
            threading.Thread(target=one, args=(listening.accept()[0],), daemon=True).start()
    except OSError:
        pass
