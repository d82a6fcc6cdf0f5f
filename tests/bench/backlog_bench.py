#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Replay of a backlog on disk, beside what its receiver can take: the same requests, read from the same files and sent by
as many processes that do nothing else. The receiver is VictoriaMetrics, then a sink that discards what it gets: on a
machine with few cores that shows what sluice itself takes of them. The plain replay runs before and after sluice's, since
the machine may be busy; REALTIME=1 (as root) shows the same as on an idle one.

In the environment:
BYTES   of the backlog, 1e9 unless set
SHARDS  8 unless set, and so many connections
"""
import multiprocessing
import os
import shutil
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../system"))
import lib  # noqa: E402
from scrape_bench import Row  # noqa: E402

BYTES, SHARDS = int(float(os.environ.get("BYTES", "1e9"))), int(os.environ.get("SHARDS", "8"))
GOAL = 0.8
CONFIG = "remote_write: [{{name: bench, url: 'http://127.0.0.1:{}/api/v1/write', queue_config: {{shards: {}}}}}]\n"
BODIES, SERIES, NOISE = 16, 500, 300  # a block of each push has about 200 KB
HEADER, HEAD = 64, "POST /api/v1/write HTTP/1.1\r\nHost: {}\r\nContent-Encoding: zstd\r\nContent-Length: {}\r\n\r\n"


def fill(sluice):
    """Pushes what does not compress until that many bytes wait."""
    bodies = []
    for n in range(BODIES):
        series = [({"__name__": "m", "i": f"{n}-{i}", "noise": os.urandom(NOISE).hex()}, [(lib.now_ms(), 1.0)])
                  for i in range(SERIES)]
        bodies.append(lib.wire.snappy_compress(lib.wire.write_request(series)))
    n = 0
    while n % 100 or sluice.metric("vm_persistentqueue_bytes_pending") < BYTES:
        answer = lib.request(f"{sluice.url}/api/v1/write", data=bodies[n % BODIES],
                             headers={"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"})
        assert answer.status == 204, answer
        n += 1


def replay_shard(path, sink):
    """Sends the records of a shard's segments one after the other."""
    with socket.create_connection(("127.0.0.1", sink)) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for name in sorted(f for f in os.listdir(path) if f.endswith(".seg")):
            with open(f"{path}/{name}", "rb") as f:
                while head := f.read(HEADER):
                    body = f.read(int.from_bytes(head[4:8], "little"))
                    s.sendall(HEAD.format(sink, len(body)).encode() + body)
                    response = b""
                    while b"\r\n\r\n" not in response:
                        response += s.recv(4096)
                    assert response.startswith(b"HTTP/1.1 2"), response[:100]


def shard_folders(data):
    return [path for path, _, files in os.walk(data) if "position" in files]


def replay_plainly(data, sink):
    """Seconds."""
    began = time.monotonic()
    senders = [multiprocessing.get_context("fork").Process(target=replay_shard, args=(path, sink))
               for path in shard_folders(data)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
        assert sender.exitcode == 0
    return time.monotonic() - began


def link_copy(data, name):
    """The replay deletes and truncates its own links; the position is written in place."""
    copy = f"{lib.folder()}/{name}"
    for path in shard_folders(data):
        target = path.replace(data, copy, 1)
        os.makedirs(target)
        for file in os.listdir(path):
            (shutil.copy if file == "position" else os.link)(f"{path}/{file}", f"{target}/{file}")
    return copy


def measure(name, data, port, size):
    plain = [replay_plainly(data, port)]
    sluice = lib.Sluice(CONFIG.format(port, SHARDS), data_folder=link_copy(data, name), name=name)
    began, cpu = time.monotonic(), sluice.cpu_seconds()
    earlier = sluice.metric("vmagent_remotewrite_bytes_sent_total")
    lib.wait_until(lambda: sluice.metric("vmagent_remotewrite_pending_data_bytes") == 0, 600, every=0.05)
    took, cpu = time.monotonic() - began, sluice.cpu_seconds() - cpu
    rate = (sluice.metric("vmagent_remotewrite_bytes_sent_total") - earlier) / 1e6 / took
    memory = sluice.memory_kib()["VmHWM"] / 1024
    sluice.stop()
    plain.append(replay_plainly(data, port))
    rates = [size / 1e6 / seconds for seconds in plain]
    print(f"{name}: sluice {rate:.0f} MB/s, {cpu / took:.2f} cores, peak RSS {memory:.0f} MiB; plainly {rates[0]:.0f} and "
          f"{rates[1]:.0f} MB/s; share of the receiver's rate {rate / (sum(rates) / 2):.2f} (to reach: {GOAL})", flush=True)


def run():
    sluice = lib.Sluice(CONFIG.format(lib.free_port(), SHARDS))
    fill(sluice)
    sluice.kill9()
    data = sluice.data_folder
    size = sum(os.path.getsize(f"{path}/{name}") for path in shard_folders(data) for name in os.listdir(path))
    print(f"backlog of {size / 1e6:.0f} MB, {SHARDS} shards", flush=True)
    if os.environ.get("REALTIME"):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))  # of this process and those that it starts from now on
    load, _, sink = Row(1, 1, 3600).load()
    measure("discard", data, sink, size)
    load.stop()
    try:
        storage = lib.VictoriaMetrics()
    except lib.Skip as why:
        print(f"without VictoriaMetrics: needs {why}")
        return
    measure("victoria-metrics", data, storage.port, size)
    storage.kill9()


if __name__ == "__main__":
    with lib.script("backlog_bench", 1800):
        run()
