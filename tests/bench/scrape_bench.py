#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Scrape and forward, sluice beside vmagent and Prometheus' agent: what a sample costs, in memory, CPU time and bytes to a
sink that takes zstd, and how many system calls a scrape makes (all threads, writing and sending included). Where perf
works, sluice's CPU time is divided: its layers (scraper: what is new on a page; model: reading pages, writing series;
writer: blocks, queue, sending; base: HTTP, loop), the compressor, the C library, and the kernel.

A row is a number of targets, of series on each page (of values that differ per target and scrape) and an interval, then
whether the pages are compressed, how many percent of the series are replaced every minute, and whether the sink takes
snappy only. Each program runs alone; below a row are its goals, most of them in parts of vmagent's figure.
The targets and the sink are a separate process (scrape_load.c, so it needs a compiler); only the CPU time of the
program under test is counted. System calls are counted by strace after everything else, since they take longer then.
Scrapes are on time on an idle machine only; on a busy one `chrt -r 1` before the command shows the same.

In the environment:
ROWS      rows whose names have this part; "" is all of them (an hour). "200x1000@5s plain churn" unless set
PROGRAMS  sluice,vmagent,prometheus
DESTINATIONS  of each program, 1 unless set; with 2 the goal is a fifth of vmagent's CPU time
WARM, SECONDS  before and while a program is measured; two and four intervals unless set, but at least 15 and 30
"""
import os
import random
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../system"))
import lib  # noqa: E402

ROWS = os.environ.get("ROWS", "200x1000@5s plain churn")
PROGRAMS = os.environ.get("PROGRAMS", "sluice,vmagent,prometheus").split(",")
DESTINATIONS = int(os.environ.get("DESTINATIONS", "1"))
CHURN, NODE_PAGES, STRACE_SECONDS, PERF_SECONDS = 5, 20, 15, 10
LAYERS = ("scraper", "model", "writer", "base")
SHAPES = [(200, 1000, 5), (1000, 1000, 15), (10000, 100, 15), (50, 300, 15)]  # the last one: 1,000 samples/s
CONFIG = """
global: {{scrape_interval: {interval}s, scrape_timeout: {interval}s}}
scrape_configs:
- job_name: node
  static_configs: [{{targets: [{targets}]}}]
"""


class Row:
    def __init__(self, targets, series, interval, gzip=False, churn=0, node=False, snappy=False):
        self.targets, self.series, self.interval, self.gzip, self.churn, self.node = targets, series, interval, gzip, churn, node
        self.snappy = snappy
        words = [f"{targets}x{'node_exporter' if node else series}@{interval}s", "gzip" if gzip else "plain"]
        self.name = " ".join(words + ["churn"] * bool(churn) + ["snappy"] * snappy)

    def goals(self):
        """[(figure, the most it may be, of vmagent's)]"""
        shape = (self.targets, self.series, self.interval)
        goals = [("system calls per scrape", 8, False)]
        if shape in SHAPES[:3] and not self.snappy:
            goals += [("CPU ns per sample", {200: 1 / 4, 1000: 1 / 6, 10000: 1 / 10}[self.targets], True)]
            goals += [("RSS MiB", 16, False) if self.targets == 200 else ("RSS MiB", 1 / 5, True)]
        if self.node:
            return goals + [("bytes per sample", 7.3, False)]
        return goals + [("bytes per sample", 1 if self.snappy or shape == SHAPES[3] else 2 / 3, True)]

    def load(self):
        """The process, and the ports of targets and sink."""
        a_scrape = self.series * self.churn / 100 * self.interval / 60
        pages = node_exporter_pages() if self.node else []
        command = [build_load(), self.targets, self.series, self.interval, a_scrape] + ["gzip"] * self.gzip + pages
        p = lib.Process("load", [str(word) for word in command], start=False)
        p.p = subprocess.Popen(p.command, stdout=subprocess.PIPE, text=True)
        return p, *map(int, p.p.stdout.readline().split())

    def config(self, port):
        return CONFIG.format(interval=self.interval, targets=", ".join(
            f"'127.0.{1 + i // 250}.{1 + i % 250}:{port}'" for i in range(self.targets)))


def all_rows():
    rows = [Row(*shape, gzip=gzip, churn=churn) for shape in SHAPES for gzip in (False, True) for churn in (0, CHURN)]
    rows += [Row(*shape, snappy=True) for shape in (SHAPES[0], SHAPES[3])]
    return rows + [Row(500, 0, 15, gzip=gzip, node=True) for gzip in (False, True)]  # 20,000 to 35,000 samples/s


def build_load():
    path = f"{lib.folder()}/scrape_load"
    if not os.path.exists(path):
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "scrape_load.c")
        if subprocess.run(["cc", "-O2", "-o", path, source, "-ldeflate"]).returncode:
            raise lib.Skip("a C compiler and libdeflate")
    return path


def of_another_host(line, rng):
    """A line of a page as another host would expose it: values other than small numbers (states, counts of few) differ."""
    text, value = line.rsplit(" ", 1)
    if line.startswith("#") or not 16 <= abs(float(value)) < float("inf"):
        return line
    digits, e, exponent = value.partition("e")
    return f"{text} {float(digits) * rng.uniform(0.5, 2):.{len(digits.partition('.')[2])}f}{e}{exponent}"


def node_exporter_pages():
    """Files of a page of this machine's node_exporter as NODE_PAGES hosts would expose it."""
    paths = [f"{lib.folder()}/node_exporter.{i}" for i in range(NODE_PAGES)]
    if not os.path.exists(paths[-1]):
        node = lib.NodeExporter()
        lines = node.get("/metrics").text.splitlines()
        node.stop()
        for host, path in enumerate(paths):
            rng = random.Random(host)
            with open(path, "w", encoding="utf-8") as f:
                f.writelines(of_another_host(line, rng) + "\n" for line in lines)
    return paths


# ---- the programs ----

def urls(sink):
    return [f"{sink}/{i}" for i in range(DESTINATIONS)]


def remote_write(row, sink):
    return [f"-remoteWrite.url={url}" for url in urls(sink)] + ["-remoteWrite.forcePromProto=true"] * row.snappy


def start_sluice(row, config, sink):
    return lib.Sluice(config, *remote_write(row, sink))


def start_vmagent(row, config, sink):
    return lib.VMAgent(config, *remote_write(row, sink))


def start_prometheus(_, config, sink):
    writes = ", ".join(f"{{url: '{url}', name: d{i}}}" for i, url in enumerate(urls(sink)))
    port, path = lib.free_port(), lib.write_file("agent.yml", f"{config}\nremote_write: [{writes}]\n")
    command = [lib.peer("prometheus"), "--agent", f"--config.file={path}", f"--web.listen-address=127.0.0.1:{port}",
               f"--storage.agent.path={lib.folder()}/agent"]
    return lib.HTTPProcess("prometheus", command, port).wait_ready(60)


STARTS = {"sluice": start_sluice, "vmagent": start_vmagent, "prometheus": start_prometheus}


# ---- measuring ----

def system_calls(program, seconds):
    """The number that it makes meanwhile; None without strace (deploy/install-packages compare)."""
    path = f"{lib.folder()}/strace"
    try:
        subprocess.run(["timeout", "-s", "INT", str(seconds), "strace", "-c", "-f", "-o", path, "-p", str(program.p.pid)],
                       stderr=subprocess.DEVNULL)
        with open(path, encoding="utf-8") as f:
            return int(re.search(r"^\S+\s+\S+\s+(?:\S+\s+)?(\d+).*\btotal$", f.read(), re.M).group(1))
    except (OSError, AttributeError):
        return None


def layers_of_functions():
    """The layer of each function; no two have the same name."""
    found = {}
    for layer in LAYERS:
        names = subprocess.run(["nm", "--defined-only", f"{lib.ROOT}/{lib.OUT}/{layer}.a"], stdout=subprocess.PIPE, text=True,
                               check=True).stdout
        found.update((line.split()[-1].split(".")[0], layer) for line in names.splitlines() if " t " in line.lower())
    return found


def shares(program):
    """Of its CPU time, by layer or library; {} without perf."""
    path, found = f"{lib.folder()}/perf", {}
    try:
        subprocess.run(["perf", "record", "-q", "-o", path, "-p", str(program.p.pid), "--", "sleep", str(PERF_SECONDS)],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        report = subprocess.run(["perf", "report", "-i", path, "--sort", "dso,sym", "-g", "none", "-t", "~"], check=True,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        layers = layers_of_functions()
    except (OSError, subprocess.CalledProcessError):
        return found
    for percent, place, symbol in re.findall(r"^ *([\d.]+)% *~(\S+) *~\[.\] (\S+)", report, re.M):
        if place == "sluice":
            place = layers.get(symbol.split(".")[0], "other")
        else:
            place = "kernel" if place.startswith("[") else re.sub(r"[-.\d]*\.so.*", "", place)
        found[place] = found.get(place, 0) + float(percent) / 100
    return found


def cpu_by_stage(program, cpu_ns):
    found = shares(program) if isinstance(program, lib.Sluice) else {}
    named = {name: found.pop(name, 0) for name in (*LAYERS, "libzstd", "libc", "kernel")} if found else {}
    if found:
        named["other"] = sum(found.values())
    return {f"  ns in {name}": share * cpu_ns for name, share in named.items()}


def measure(row, program, counts):
    warm, seconds = (int(os.environ.get(name, max(least, n * row.interval))) for name, n, least in
                     (("WARM", 2, 15), ("SECONDS", 4, 30)))
    time.sleep(warm)
    before = time.monotonic(), program.cpu_seconds(), *counts()
    time.sleep(seconds)
    after = time.monotonic(), program.cpu_seconds(), *counts()
    took, cpu, pages, samples, _, sent, on_time = (b - a for a, b in zip(before, after))
    memory, stages = program.memory_kib(), cpu_by_stage(program, cpu / samples * 1e9)
    first = counts()[0]
    calls = system_calls(program, STRACE_SECONDS)
    return {"samples/s": samples / took, "CPU ns per sample": cpu / samples * 1e9, **stages, "RSS MiB": memory["VmRSS"] / 1024,
            "anonymous MiB": memory["RssAnon"] / 1024, "bytes per sample": sent / samples,
            "% of scrapes within 10 ms": 100 * on_time / pages,
            "system calls per scrape": calls / (counts()[0] - first) if calls else None}


def measure_alone(row, start):
    load, target_port, sink_port = row.load()
    program = start(row, row.config(target_port), f"http://127.0.0.1:{sink_port}/api/v1/write")
    try:
        return measure(row, program, lambda: [int(n) for n in lib.request(f"http://127.0.0.1:{sink_port}/counts").text.split()])
    finally:
        program.kill9()  # on a busy machine a peer may take minutes to stop
        load.stop()


def show(row, found):
    print(f"{row.name:28}" + "".join(f"{name:>12}" for name in found) + ("   of the first" if len(found) > 1 else ""))
    for figure in next(iter(found.values())):
        values = [f.get(figure) for f in found.values()]
        ratios = "".join(f"{values[0] / v:8.2f}" for v in values[1:] if v and values[0] is not None)
        print(f"  {figure:26}" + "".join(f"{'-':>12}" if v is None else f"{v:12,.2f}" for v in values) + ratios, flush=True)
    for figure, most, relative in row.goals():
        value, other = (found.get(name, {}).get(figure) for name in ("sluice", "vmagent"))
        if value is not None and (other or not relative):
            value /= other if relative else 1
            print(f"  goal: {figure} {most:.3g}{' of that of vmagent' if relative else ''}: "
                  f"{value:.3g}, {'reached' if value <= most else 'missed'}", flush=True)


def run():
    for row in (r for r in all_rows() if ROWS in r.name):
        found = {}
        for name in PROGRAMS:
            try:
                found[name] = measure_alone(row, STARTS[name])
            except lib.Skip as why:
                print(f"without {name}: needs {why}")
        show(row, found)
    print("all scrapes are to be on time while the machine has idle time")


if __name__ == "__main__":
    with lib.script("scrape_bench", 7200):
        run()
