#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Pushes, sluice beside vmagent: CPU time of a pushed sample, from the socket to a sink that takes zstd, and peak memory,
for each format. The clients keep four bodies of about 10,000 samples in flight; series repeat from body to body. The last
row has common relabeling rules and two destinations. Each program runs alone; only its own CPU time is counted.

In the environment:
ROWS      rows whose names have this part; all unless set
PROGRAMS  sluice,vmagent
BODIES    of each row, 240 unless set
"""
import http.client
import json
import os
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../system"))
import lib  # noqa: E402
import wire  # noqa: E402
from fakes import RecordingSink  # noqa: E402

PROGRAMS = os.environ.get("PROGRAMS", "sluice,vmagent").split(",")
BODIES, DIFFERENT, CLIENTS = int(os.environ.get("BODIES", "240")), 30, 4
S = 1700000000
GOAL, CHAIN_GOALS = 1 / 3, (1 / 5, 1 / 3)  # CPU; CPU and memory, in parts of vmagent's

RULES = """
- {action: labeldrop, regex: shard}
- {source_labels: [path], regex: /v1/items/(.*), target_label: item}
- {source_labels: [code], regex: "204", action: drop}
"""


def prometheus(i):
    return "\n".join(f'http_requests_total{{instance="10.0.0.{n % 250}:8080",job="api",path="/v1/items/{n % 40}",code="{200 + n % 5}",'
                     f'shard="{n // 200}"}} {n * 17 + i}.5 {S + i}000' for n in range(10000)).encode()


def influx(i):
    fields = "user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal", "guest", "total"
    return "\n".join(f"cpu,host=server-{n},region=eu-west-1,cpu=cpu{n % 8} " + ",".join(f"usage_{k}={n * 7 + i}.25" for k in fields) +
                     f" {S + i}000000000" for n in range(1000)).encode()


def json_lines(i):
    return "\n".join(json.dumps({"metric": {"__name__": "m", "host": f"h{n}", "job": "x"}, "values": [float(k + i) for k in range(100)],
                                 "timestamps": [(S + k * 15 + i * 1500) * 1000 for k in range(100)]}) for n in range(100)).encode()


def csv(i):
    return "\n".join(f"host{n},{n * 3 + i}.5,{n + i},{S + i}" for n in range(5000)).encode()


def graphite(i):
    return "".join(f"servers.host-{n % 500}.disk;device=sd{n // 500} {n * 3 + i}.5 {S + i}\n" for n in range(10000)).encode()


def opentsdb(i):
    return json.dumps([{"metric": "sys.cpu.user", "timestamp": S + i, "value": n + i, "tags": {"host": f"web{n % 500}", "cpu": str(n // 500)}}
                       for n in range(10000)]).encode()


def remote_write(i):
    series = [({"__name__": "http_requests_total", "code": str(200 + n % 5), "instance": f"10.0.0.{n % 250}:8080", "job": "api",
                "path": f"/v1/items/{n % 40}", "shard": str(n // 200)}, [((S + i) * 1000, n * 17 + i + 0.5)]) for n in range(10000)]
    return wire.snappy_compress(wire.write_request(series))


# name: body, samples of it, path (None: the address of a listener), listener's flag
ROWS = {
    "prometheus text": (prometheus, 10000, "/api/v1/import/prometheus", None),
    "influx": (influx, 10000, "/influx/write", None),
    "json lines": (json_lines, 10000, "/api/v1/import", None),
    "csv": (csv, 10000, "/api/v1/import/csv?format=1:label:host,2:metric:a,3:metric:b,4:time:unix_s", None),
    "graphite tcp": (graphite, 10000, None, "-graphiteListenAddr"),
    "influx tcp": (influx, 10000, None, "-influxListenAddr"),
    "opentsdb http": (opentsdb, 10000, "/api/put", "-opentsdbHTTPListenAddr"),
    "remote write": (remote_write, 10000, "/api/v1/write", None),
    "prometheus text, relabel, two destinations": (prometheus, 10000, "/api/v1/import/prometheus", None),
}


def send_requests(port, path, bodies):
    c = http.client.HTTPConnection("127.0.0.1", port)
    for body in bodies:
        c.request("POST", path, body)
        answer = c.getresponse()
        answer.read()
        assert answer.status // 100 == 2, (path, answer.status)


def send_lines(port, bodies):
    with socket.create_connection(("127.0.0.1", port)) as s:
        for body in bodies:
            s.sendall(body + b"\n")
        s.shutdown(socket.SHUT_WR)
        s.recv(1)


def start(program, name, flag, sinks):
    port = lib.free_port()
    flags = [f"-remoteWrite.url={s.url}" for s in sinks]
    if flag:
        flags.append(f"{flag}=127.0.0.1:{port}")
    if "relabel" in name:
        flags.append(f"-remoteWrite.relabelConfig={lib.write_file('rules.yml', RULES)}")
    agent = (lib.VMAgent("scrape_configs: []", *flags) if program == "vmagent" else
             lib.Sluice("scrape_configs: []", *flags, "--dialect=vmagent"))
    return agent, port if flag else agent.port


def measure(program, name, bodies):
    """(CPU ns per sample, peak memory in MiB, bytes per sample)"""
    _, samples, path, flag = ROWS[name]
    sinks = [RecordingSink(zstd=True) for _ in range(2 if "two" in name else 1)]
    agent, port = start(program, name, flag, sinks)
    before = agent.cpu_seconds()
    parts = [[bodies[i % len(bodies)] for i in range(k, BODIES, CLIENTS)] for k in range(CLIENTS)]
    threads = [threading.Thread(target=send_requests if path else send_lines, args=(port, path, part) if path else (port, part)) for part in parts]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    time.sleep(3)  # until the last blocks are sent
    cpu = agent.cpu_seconds() - before
    memory = agent.memory_kib()["VmHWM"] / 1024
    sent = sum(len(body) for sink in sinks for _, body in sink.accepted)
    agent.stop()
    for sink in sinks:
        sink.stop()
    return cpu / (BODIES * samples) * 1e9, memory, sent / (BODIES * samples)


def main():
    lib.begin("ingest_bench", 3600)
    part = os.environ.get("ROWS", "")
    for name, (make, *_) in ROWS.items():
        if part not in name:
            continue
        bodies = [make(i) for i in range(DIFFERENT)]
        print(f"\n{name}", flush=True)
        found = {}
        for program in PROGRAMS:
            found[program] = cpu, memory, sent = measure(program, name, bodies)
            print(f"  {program:10} {cpu:7.0f} CPU ns per sample  {memory:7.1f} MiB at most  {sent:6.2f} bytes sent per sample", flush=True)
        if len(found) == 2:
            ours, theirs = found["sluice"], found["vmagent"]
            chain = "two" in name
            goals = [("CPU", theirs[0] / ours[0], 1 / (CHAIN_GOALS[0] if chain else GOAL))] + ([("memory", theirs[1] / ours[1], 1 / CHAIN_GOALS[1])] if chain else [])
            for what, ratio, goal in goals:
                print(f"  {what}: vmagent takes {ratio:.2f} times as much; goal {goal:.0f}: {'reached' if ratio >= goal else 'not reached'}", flush=True)


if __name__ == "__main__":
    main()
