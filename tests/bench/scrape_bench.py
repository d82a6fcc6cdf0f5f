#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Scrape and forward, sluice beside vmagent: 200 targets x 1,000 series every 5 s, values that differ per target and
scrape, 5 % of the series replaced every minute. Both forward to the same sink, which takes zstd.

Each program runs alone: TARGETS=200 SERIES=1000 WARM=30 SECONDS=60 (all settable in the environment). The targets and
the sink are separate processes; only the CPU time of the program under test is counted.
"""
import http.server
import multiprocessing
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../system"))
import lib  # noqa: E402

TARGETS, SERIES, WARM, SECONDS = (int(os.environ.get(name, n)) for name, n in
                                  (("TARGETS", 200), ("SERIES", 1000), ("WARM", 30), ("SECONDS", 60)))
INTERVAL = 5
CHURN_A_SCRAPE = SERIES * 5 // 100 * INTERVAL / 60
MODES = ("idle", "user", "system", "iowait")
CONFIG = """
global: {{scrape_interval: {interval}s}}
scrape_configs:
- job_name: node
  static_configs: [{{targets: [{targets}]}}]
"""


class Target:
    """One page: families of 20 series; three in ten values are fractions, the rest integers."""

    def __init__(self, seed):
        self.random, self.owed, self.oldest = random.Random(seed), 0.0, 0
        self.values = [self.random.randrange(1 << 30) for _ in range(SERIES)]
        self.lines = [self.line(i, 0) for i in range(SERIES)]

    def line(self, i, generation):
        form = "%.4f" if i % 10 < 3 else "%d"
        family, member = divmod(i, 20)
        head = f"# HELP node_family_{family}_total What family {family} counts, over all of its members.\n" \
               f"# TYPE node_family_{family}_total counter\n" if member == 0 else ""
        return head + f'node_family_{family}_total{{device="dev{member // 4}",mode="{MODES[member % 4]}",' \
                      f'container="web-{generation:08x}"}} {form}'

    def page(self):
        self.owed += CHURN_A_SCRAPE
        while self.owed >= 1:
            self.owed -= 1
            self.lines[self.oldest] = self.line(self.oldest, self.random.getrandbits(32))
            self.oldest = (self.oldest + 1) % SERIES
        step = self.random.random() * 100
        self.values = [v + step * (i % 7 + 1) for i, v in enumerate(self.values)]
        return ("\n".join(self.lines) + "\n").encode() % tuple(self.values)


class Counting(http.server.ThreadingHTTPServer):
    daemon_threads, request_queue_size, allow_reuse_address = True, 512, True

    def handle_error(self, request, client_address):
        pass


def serve_targets(port, pages):
    targets = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

        def do_GET(self):
            host = self.headers["Host"]
            body = targets.setdefault(host, Target(host)).page()
            with pages.get_lock():
                pages.value += 1
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass
    Counting(("0.0.0.0", port), Handler).serve_forever()


def serve_sink(port, wire_bytes):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "1")
            self.end_headers()
            self.wfile.write(b"1")

        def do_POST(self):
            n = int(self.headers["Content-Length"])
            self.rfile.read(n)
            with wire_bytes.get_lock():
                wire_bytes.value += n
            self.send_response(204)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass
    Counting(("127.0.0.1", port), Handler).serve_forever()


def measure(program, pages, wire_bytes):
    time.sleep(WARM)
    before = time.monotonic(), program.cpu_seconds(), pages.value, wire_bytes.value
    time.sleep(SECONDS)
    after = time.monotonic(), program.cpu_seconds(), pages.value, wire_bytes.value
    took, cpu, scrapes, sent = (b - a for a, b in zip(before, after))
    samples = scrapes * SERIES
    memory = program.memory_kib()
    program.stop()
    return {"samples/s": samples / took, "CPU s per million samples": cpu / samples * 1e6, "RSS MiB": memory["VmRSS"] / 1024,
            "anonymous MiB": memory["RssAnon"] / 1024, "bytes per sample": sent / samples}


def run():
    pages, wire_bytes = multiprocessing.Value("q", 0), multiprocessing.Value("q", 0)
    target_port, sink_port = lib.free_port(), lib.free_port()
    helpers = [multiprocessing.Process(target=serve_targets, args=(target_port, pages), daemon=True),
               multiprocessing.Process(target=serve_sink, args=(sink_port, wire_bytes), daemon=True)]
    for p in helpers:
        p.start()
    url = f"http://127.0.0.1:{sink_port}/api/v1/write"
    config = CONFIG.format(interval=INTERVAL, targets=", ".join(
        f"'127.0.{1 + i // 250}.{1 + i % 250}:{target_port}'" for i in range(TARGETS)))
    print(f"{TARGETS} targets x {SERIES} series every {INTERVAL} s, {SECONDS} s after {WARM} s of warming up")
    found = {"sluice": measure(lib.Sluice(config, f"-remoteWrite.url={url}"), pages, wire_bytes)}
    try:
        found["vmagent"] = measure(lib.VMAgent(config, f"-remoteWrite.url={url}"), pages, wire_bytes)
    except lib.Skip as why:
        print(f"without vmagent: needs {why}")
    print(f"{'':28}" + "".join(f"{name:>12}" for name in found) + ("       ratio" if len(found) > 1 else ""))
    for row in found["sluice"]:
        values = [f[row] for f in found.values()]
        ratio = f"{values[0] / values[1]:12.2f}" if len(values) > 1 and values[1] else ""
        print(f"{row:28}" + "".join(f"{v:12,.2f}" for v in values) + ratio)
    print("to reach: CPU 0.33 of vmagent's, RSS 0.50")


if __name__ == "__main__":
    with lib.script("scrape_bench", 3600):
        run()
