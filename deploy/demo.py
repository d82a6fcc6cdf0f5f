#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make demo: the real topology on loopback. node_exporter is scraped by sluice, which forwards to VictoriaMetrics
(primary) and Prometheus (backup) and queries both, merged, as one server group. All files are in build/demo, or in the
directory given as argument; Ctrl-C, or closing the terminal, stops everything."""
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DIRECTORY = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else f"{ROOT}/build/demo"
PEERS = f"{ROOT}/build/peers/bin"
NEEDED = ("prometheus", "victoria-metrics", "node_exporter")

CONFIG = """\
global:
  scrape_interval: 5s
scrape_configs:
  - job_name: node
    static_configs: [{{targets: ['127.0.0.1:{node}']}}]
  - job_name: sluice
    static_configs: [{{targets: ['127.0.0.1:{sluice}']}}]
remote_write:
  - name: primary
    url: http://127.0.0.1:{primary}/api/v1/write
  - name: backup
    url: http://127.0.0.1:{backup}/api/v1/write
server_groups:
  - name: storage
    static_configs: [{{targets: ['127.0.0.1:{primary}', '127.0.0.1:{backup}']}}]
    written_by: primary
recent:
  like: primary
"""

HELP = """
sluice           http://localhost:{sluice}            also /targets, /metrics
VictoriaMetrics  http://localhost:{primary}            the primary storage
Prometheus       http://localhost:{backup}/metrics    the backup storage
(Debian builds these two without their web pages; query them as below, or point a Grafana at sluice.)
data and logs    {directory}

Query sluice, which merges both storages:
  curl -gs 'http://localhost:{sluice}/api/v1/query?query=sum+by+(job)+(up)'
  curl -gs 'http://localhost:{sluice}/api/v1/query?query=count_over_time(node_load1[2m])'
Let a storage fail. Type here:
  stop primary      for a minute; the queries above keep returning results, and the queue grows:
                    curl -gs 'http://localhost:{sluice}/metrics' | grep -E 'pending|retries'
  start primary     the queue drains; the primary's own samples have no gap:
                    curl -gs 'http://localhost:{primary}/api/v1/query?query=count_over_time(node_load1[2m])'
`backup` can be stopped and started likewise. Ctrl-C stops everything.
"""


def port(usual):
    """The usual one when it is free, so that the URLs look familiar."""
    for wanted in (usual, 0):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", wanted))
                return s.getsockname()[1]
            except OSError:
                continue
    sys.exit("no free port on 127.0.0.1")


def commands(ports, out):
    return {
        "node_exporter": [f"{PEERS}/node_exporter", f"--web.listen-address=127.0.0.1:{ports['node']}"],
        "primary": [f"{PEERS}/victoria-metrics", f"-httpListenAddr=127.0.0.1:{ports['primary']}",
                    f"-storageDataPath={DIRECTORY}/primary", "-search.latencyOffset=5s"], # not 30 s: a scrape interval
        "backup": [f"{PEERS}/prometheus", f"--web.listen-address=127.0.0.1:{ports['backup']}",
                   f"--config.file={DIRECTORY}/prometheus.yml", f"--storage.tsdb.path={DIRECTORY}/backup",
                   "--web.enable-remote-write-receiver"],
        "sluice": [f"{ROOT}/{out}/sluice", f"--web.listen-address=127.0.0.1:{ports['sluice']}",
                   f"--config.file={DIRECTORY}/sluice.yml", f"-remoteWrite.tmpDataPath={DIRECTORY}/queue"],
    }


def start(name, command):
    """In a new session, so that Ctrl-C reaches only this script and the order of stopping is ours."""
    with open(f"{DIRECTORY}/{name}.log", "ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)


def stop(p):
    if p.poll() is None:
        p.terminate()
        try:
            p.wait(20)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()


def wait_ready(url, p, name):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(300):
        if p.poll() is not None:
            break
        try:
            opener.open(url, timeout=2).close()
            return
        except OSError:
            time.sleep(0.1)
    with open(f"{DIRECTORY}/{name}.log", encoding="utf-8", errors="replace") as log:
        sys.exit(f"{name} does not start; {DIRECTORY}/{name}.log ends:\n{log.read()[-2000:]}")


def listen_to_user(running, table):
    """`stop NAME` and `start NAME`, until Ctrl-C."""
    for line in sys.stdin:
        verb, _, name = line.strip().partition(" ")
        if verb not in ("stop", "start") or name not in running:
            print(f"stop or start one of: {', '.join(running)}")
        elif verb == "stop":
            stop(running[name])
            print(f"{name} is stopped")
        elif running[name].poll() is not None:
            running[name] = start(name, table[name])
            print(f"{name} is starting")
    signal.pause()


def interrupt(*_):
    raise KeyboardInterrupt


def get_peers():
    """The first time this fetches about 70 MB of packages, so it says so, and shows each program as it is there."""
    if not all(os.path.exists(f"{PEERS}/{name}") for name in NEEDED):
        print("fetching Prometheus, VictoriaMetrics and node_exporter from Debian; this takes a minute or two",
              flush=True)
    with subprocess.Popen([f"{ROOT}/tests/peers.sh"], stdout=subprocess.PIPE, text=True) as p:
        for line in p.stdout:
            if line.split()[0] in NEEDED:
                print(f"  {line}", end="", flush=True)
                if "missing:" in line:
                    sys.exit(f"the demo needs {line}")


def main():
    get_peers()
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    os.makedirs(DIRECTORY)
    ports = {"node": port(9100), "primary": port(8428), "backup": port(9090), "sluice": port(8429)}
    with open(f"{DIRECTORY}/sluice.yml", "w", encoding="utf-8") as f:
        f.write(CONFIG.format(**ports))
    open(f"{DIRECTORY}/prometheus.yml", "w", encoding="utf-8").close()

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)
    table, running = commands(ports, os.environ.get("OUT", "build/release")), {}
    try:
        print("starting node_exporter, VictoriaMetrics (primary), Prometheus (backup) and sluice", flush=True)
        for name, command in table.items():
            running[name] = start(name, command)
        for name, path in (("primary", "/health"), ("backup", "/-/ready"), ("sluice", "/-/ready")):
            wait_ready(f"http://127.0.0.1:{ports[name]}{path}", running[name], name)
        print(HELP.format(directory=DIRECTORY, **ports), flush=True)
        listen_to_user(running, table)
    except KeyboardInterrupt:
        print("\nstopping; this takes a few seconds", flush=True)
    finally:
        for name in reversed(list(running)):
            stop(running[name])


if __name__ == "__main__":
    main()
