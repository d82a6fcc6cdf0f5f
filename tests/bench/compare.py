#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""compare.py BASE   what a sample and a query cost, beside an earlier state of the tree.

BASE is a revision, which is built in build/compare, or a binary. Instructions are counted by perf where the machine has
its counters, otherwise by callgrind (slower, and as exact); start and stop are subtracted. CPU times are the least of
ROUNDS (7) runs of both programs in turn. Fails if a sample or a query takes 3 % more instructions or 10 % more time
than BASE; less than 10 ms is not compared.

sample   a lane scrapes a target of 2,000 series, and sends the samples to a sink; SCRAPES (10) after the first ones
queries  sluice promql eval over 300 series of 240 samples, at 1,786 steps
"""
import os
import re
import resource
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../system"))
from lib import *  # noqa: E402
import lib  # noqa: E402

ROUNDS, SCRAPES = int(os.environ.get("ROUNDS", 7)), int(os.environ.get("SCRAPES", 10))
SERIES, FIRST = 2000, 3
MORE_INSTRUCTIONS, MORE_TIME, LEAST_SECONDS = 1.03, 1.10, 0.01
COUNTING = {"perf": ["perf", "stat", "-x,", "-e", "instructions:u"],
            "callgrind": ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]}
QUERIES = ["m", "sum by (b) (rate(m[5m]))", "max_over_time(m[10m])", "topk(5, m)", "m * on (a) group_left () m",
           "histogram_quantile(0.9, sum by (le) (rate(h_bucket[5m])))", "avg_over_time(m[10m:15s])"]


def counted_by(how, log):
    """The number of instructions, or None."""
    found = re.search(r"^(\d+),,instructions:u", log, re.M) if how == "perf" else re.search(r"Collected : (\d+)", log)
    return int(found.group(1)) if found else None


def counter():
    for how, command in COUNTING.items():
        try:
            p = subprocess.run(command + ["true"], capture_output=True, text=True)
        except OSError:
            continue
        if counted_by(how, p.stderr):
            return how
    sys.exit("neither perf counters nor valgrind are available: deploy/install-packages compare")


def build(base):
    """The binary of a revision."""
    if os.path.isfile(base):
        return os.path.abspath(base)
    revision = subprocess.run(["git", "rev-parse", "--verify", base + "^{commit}"], cwd=ROOT, check=True, text=True,
                              stdout=subprocess.PIPE).stdout.strip()
    tree = f"{ROOT}/build/compare/{revision}"
    if not os.path.exists(f"{tree}/build/release/sluice"):
        os.makedirs(tree, exist_ok=True)
        archive = subprocess.Popen(["git", "archive", revision], cwd=ROOT, stdout=subprocess.PIPE)
        subprocess.run(["tar", "-x", "-C", tree], stdin=archive.stdout, check=True)
        subprocess.run(["make", "-s", f"-j{os.cpu_count()}"], cwd=tree, check=True, stdout=subprocess.DEVNULL)
    return f"{tree}/build/release/sluice"


# ---- queries ----

def write_samples():
    lines = []
    for t in range(240):
        ms = t * 15000
        lines += [f'm{{a="{i}",b="{i % 7}"}} {t * (i % 11 + 1)} {ms}' for i in range(200)]
        lines += [f'h_bucket{{i="{i // 10}",le="{"+Inf" if i % 10 == 9 else i % 10}"}} {t * (i % 10 + 1)} {ms}' for i in range(100)]
    return write_file("samples.txt", "\n".join(lines) + "\n")


def query_command(binary, samples, expr):
    return [binary, "promql", "eval", f"--file={samples}", "--start=1800", "--end=3585", "--step=1s", expr]


def run_counted(how, command):
    p = subprocess.run(COUNTING[how] + command, capture_output=True, text=True, check=True)
    return counted_by(how, p.stderr)


def cpu_seconds(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def compare_queries(how, base, new):
    """{name: (instructions, seconds)} for each, without those of an expression that does next to nothing."""
    samples, figures = write_samples(), {}
    for expr in ["vector(1)"] + QUERIES:
        instructions = [run_counted(how, query_command(b, samples, expr)) for b in (base, new)]
        times = [[], []]
        for _ in range(ROUNDS):
            for i, b in enumerate((base, new)):
                times[i].append(cpu_seconds(query_command(b, samples, expr)))
        figures[expr] = instructions, [min(t) for t in times]
    least = figures.pop("vector(1)")
    return {expr: ([max(1, n - m) for n, m in zip(f[0], least[0])], [t - u for t, u in zip(f[1], least[1])])
            for expr, f in figures.items()}


# ---- a sample ----

class Counted(Sluice):
    """A sluice under this command; stop() leaves what it printed in the log."""

    def __init__(self, binary, prefix, *more, **named):
        super().__init__(*more, start=False, **named)
        self.command[0] = binary
        self.command = prefix + self.command
        self.start().wait_ready(120)


def page(n, _):
    return "".join(f'm{{i="{i}",text="some label"}} {n * i}\n' for i in range(SERIES))


def scrape(binary, prefix, times, name):
    """Scrapes the target so many times: the log, and the CPU time."""
    exporter, sink = ScriptedExporter(page=page), RecordingSink()
    sluice = Counted(binary, prefix, f"""
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
- {{job_name: x, static_configs: [{{targets: ['{exporter.address}']}}]}}
remote_write: [{{name: sink, url: '{sink.url}'}}]
""", "--lanes=1", name=name)
    wait_until(lambda: exporter.n >= times, 300, "scrapes", every=0.01)
    exporter.status = 503
    wait_until(lambda: sum(map(len, sink.find("m").values())) >= times * SERIES, 60, "all samples in the sink", every=0.1)
    seconds = sluice.cpu_seconds()
    sluice.stop(60)
    exporter.stop()
    sink.stop()
    return sluice.log(), seconds


def compare_samples(how, base, new):
    """Per sample: the difference between some more scrapes and the first ones."""
    instructions, times = [], [[], []]
    for i, binary in enumerate((base, new)):
        more, first = (counted_by(how, scrape(binary, COUNTING[how], n, f"counted-{i}-{n}")[0])
                       for n in (FIRST + SCRAPES, FIRST))
        instructions.append((more - first) / SCRAPES / SERIES)
    for k in range(3):
        for i, binary in enumerate((base, new)):
            times[i].append(scrape(binary, [], FIRST + SCRAPES, f"timed-{i}-{k}")[1])
    return instructions, [min(t) for t in times]


def report(name, instructions, times):
    """A line; whether both are within their bounds."""
    more, slower = instructions[1] / instructions[0], times[1] / times[0] if times[0] >= LEAST_SECONDS else None
    ok = more <= MORE_INSTRUCTIONS and (slower is None or slower <= MORE_TIME)
    ratio = f"{times[0] * 1000:8.1f} {times[1] * 1000:8.1f} ms {slower:6.3f}" if slower else " " * 27
    print(f"{name:58} {instructions[0]:14,.0f} {instructions[1]:14,.0f} {more:6.3f}  {ratio} {'' if ok else 'MORE'}", flush=True)
    return ok


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip())
    how, base, new = counter(), build(sys.argv[1]), f"{ROOT}/{OUT}/sluice"
    print(f"instructions by {how}; base {sys.argv[1]}\n{'':58} {'base':>14} {'now':>14}  ratio  {'base':>8} {'now':>8}     ratio")
    ok = True
    with lib.script("compare", 3600):
        for expr, figures in compare_queries(how, base, new).items():
            ok = report(expr, *figures) and ok
        ok = report("a sample, from a scrape to the sink", *compare_samples(how, base, new)) and ok
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
