#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Queries over HTTP through sluice beside the same queries sent to one of its servers.

Two Prometheus, then two VictoriaMetrics, are replicas of one stream: 5,000 series of 250 targets, `up` and the number
of series, every 15 s over HOURS=2.75 until now and AHEAD=480 s beyond, so that the targets are alive while they are
queried. Each replica lacks what a restart cost it, and one job for four minutes: the first in the hour that is queried,
the second before it.
VictoriaMetrics computes every query anew (-search.disableCache). sluice has both in one server group. Each row is

    p50 ms of the server, of sluice, their ratio; CPU ms of sluice per query, once it knows the replicas' gaps; cold: p50
    ms of the first query of COLD=3 programs just started, each after one request that opens its connections; the goals,
    of ratio and CPU. sluice has LEARN=40 seconds to learn of the gaps

Requests to the server, to sluice and (PROMXY=path of its program) to promxy alternate, over one connection each that
stays open, uncompressed, ROUNDS=15 times. A ratio is the median of the ratios of the rounds. Results are checked: a
range has all its points, an instant vector is that of the server.

All in capitals is settable in the environment; GROUP='read_mode: hedge' adds keys to the server group; ROWS=range
chooses rows by a part of their name, PEERS=prometheus the servers.
"""
import http.client
import json
import os
import random
import statistics
import struct
import sys
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../system"))
import lib  # noqa: E402
import wire  # noqa: E402

ROUNDS, COLD, LEARN = (int(os.environ.get(name, n)) for name, n in (("ROUNDS", 15), ("COLD", 3), ("LEARN", 40)))
SCRAPE, JOBS, INSTANCES, EACH = 15, 10, 250, 20  # INSTANCES * EACH series
END = int(time.time()) // SCRAPE * SCRAPE  # of the queries
BEGIN = END - int(float(os.environ.get("HOURS", 2.75)) * 3600)
LAST = END + int(os.environ.get("AHEAD", 480))
SERIES, HOUR = INSTANCES * EACH, 3600
FIFTH = 'bench_total{job=~"job-[01]"}'  # 1,000 series
GAPS = {"a": (END - 2100, END - 2040), "b": (END - 5700, END - 5640)}
FAILING = {"a": ("job-3", END - 1200, END - 960), "b": ("job-7", END - 5400, END - 5160)}


def instant(query):
    return "/api/v1/query", {"query": query, "time": END}


def hour(query):
    return "/api/v1/query_range", {"query": query, "start": END - HOUR, "end": END, "step": SCRAPE}


def values(label):
    return f"/api/v1/label/{label}/values", {"start": END - HOUR, "end": END}


ROWS = [  # what, request, series of the result, points of each (None: not counted), goals: ratio, CPU ms
    ("instant sum by (rate)", instant("sum by (job) (rate(bench_total[5m]))"), JOBS, 1, 1.3, 1),
    ("instant vector, 5,000", instant("bench_total"), SERIES, 1, 1.3, 10),
    ("range sum by (rate)", hour("sum by (job) (rate(bench_total[5m]))"), JOBS, 241, 1.1, 2),
    ("range 1,000 raw", hour(FIFTH), SERIES // 5, 241, 1.3, 40),
    ("range rate of 1,000", hour(f"rate({FIFTH}[5m])"), SERIES // 5, 241, 1.2, 45),
    ("instant quantile", instant("quantile(0.9, bench_total)"), 1, 1, 1.3, 10),
    ("matrix of 1,000, 1h", instant(f"{FIFTH}[1h]"), SERIES // 5, 240, 1.5, 40),
    ("label values, 250", values("instance"), INSTANCES, None, None, 0.5),
]
VALUES_MS, RSS_MB = 2, 40  # the goals of rows whose goal is no ratio


def labels_of(i):
    instance = i // EACH
    return {"__name__": "bench_total", "job": f"job-{instance % JOBS}", "instance": f"host-{instance}:9100", "id": f"{i % EACH}"}


def bodies(batch=1000, part=900):
    """{replica: remote write} in order of time: the samples of a quarter of an hour, some series at once."""
    r = random.Random(1)
    heads, totals, rates = [], [], []

    def add(labels, total, rate):
        heads.append((b"".join(wire.field(1, wire.field(1, k) + wire.field(2, labels[k])) for k in sorted(labels)), labels["job"]))
        totals.append(total)
        rates.append(rate)
    for i in range(SERIES):
        add(labels_of(i), r.randrange(1 << 20), r.randrange(1, 1000))
    for i in range(0, SERIES, EACH):
        labels = labels_of(i)
        for name, value in ("up", 1), ("scrape_samples_post_metric_relabeling", EACH):
            add({"__name__": name, "job": labels["job"], "instance": labels["instance"]}, value, 0)
    pack = struct.Struct("<d").pack
    for start in range(BEGIN, LAST + 1, part):
        times = list(range(start, min(start + part, LAST + 1), SCRAPE))
        ends = [b"\x10" + wire.varint(t * 1000) for t in times]
        begins = [b"\x12" + wire.varint(9 + len(end)) + b"\x09" for end in ends]
        for first in range(0, len(heads), batch):
            out = {replica: bytearray() for replica in GAPS}
            for i in range(first, min(first + batch, len(heads))):
                head, job = heads[i]
                samples = []
                for begin, end in zip(begins, ends):
                    totals[i] += rates[i] + r.getrandbits(4) if rates[i] else 0
                    samples.append(begin + pack(totals[i]) + end)
                for replica, body in out.items():
                    kept = [s for t, s in zip(times, samples) if has(replica, job, t)]
                    body += wire.field(1, head + b"".join(kept)) if kept else b""
            yield out


def has(replica, job, t):
    failing, since, until = FAILING[replica]
    return not GAPS[replica][0] <= t < GAPS[replica][1] and not (job == failing and since <= t < until)


def load(pairs):
    """pairs: of servers, replica a and b."""
    for parts in bodies():
        for replica, body in zip("ab", parts.values()):
            packed = wire.snappy_compress(bytes(body))
            for pair in pairs:
                server = pair["ab".index(replica)]
                answer = lib.request(server.write_url, data=packed, timeout=120, headers={
                    "Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
                    "X-Prometheus-Remote-Write-Version": "0.1.0"})
                assert answer.status in (200, 204), f"{server.name}: {answer}"


class Client:
    """One connection to a program, and what that program spends."""

    def __init__(self, program):
        self.program = program
        self.http = http.client.HTTPConnection("127.0.0.1", program.port, timeout=120)

    def ask(self, row):
        """The body and the ms it took."""
        path, params = row[1]
        began = time.perf_counter()
        self.http.request("GET", f"{path}?{urllib.parse.urlencode(params)}")
        response = self.http.getresponse()
        body = response.read()
        took = (time.perf_counter() - began) * 1e3
        assert response.status == 200, f"{self.program.name}: {row[0]}: {response.status} {body[:400]}"
        return body, took

    def cpu(self):
        """Milliseconds of CPU time since its start."""
        return self.program.cpu_seconds() * 1e3

    def peak(self):
        return self.program.memory_kib()["VmHWM"] / 1024


class Promxy(lib.HTTPProcess):
    """$PROMXY over the same pair."""

    def __init__(self, pair):
        port = lib.free_port()
        reads = str(isinstance(pair[0], lib.Prometheus)).lower() # VictoriaMetrics has no remote_read
        path = lib.write_file("promxy.yml", "promxy:\n  server_groups:\n  - static_configs: [{targets: "
                              f"['{pair[0].address}', '{pair[1].address}']}}]\n    anti_affinity: 10s\n    remote_read: {reads}\n")
        super().__init__("promxy", [os.environ["PROMXY"], f"--config={path}", f"--bind-addr=127.0.0.1:{port}"], port)
        self.wait_ready(60)


def check(row, server, body, theirs):
    """The points of the result are those of the series without gaps."""
    what, _, series, points, _, _ = row
    data = json.loads(body)["data"]
    if points is None:
        assert len(data) == series and data == json.loads(theirs)["data"], f"{what}: {len(data)} values, wanted {series}"
        return
    found = {len(lib.points(s)) for s in data["result"]}
    assert len(data["result"]) == series and found == {points}, \
        f"{server}: {what}: {len(data['result'])} series of {found} points, wanted {series} of {points}"
    if points == 1 and ("prometheus" in server or "rate(" not in row[1][1]["query"]):  # VictoriaMetrics' rate is another
        lib.same_answer(data, json.loads(theirs)["data"], what)


def start_sluice(pair):
    more = os.environ.get("GROUP", "")
    return lib.Sluice("server_groups:\n- static_configs: [{targets: "
                      f"['{pair[0].address}', '{pair[1].address}']}}]\n" + (f"  {more}\n" if more else ""))


def cold(pair, row):
    """The first query of a program that knows nothing of the servers' data, and the program's peak of memory."""
    took, peak = [], 0
    for _ in range(COLD):
        client = Client(start_sluice(pair))
        client.ask(("connect", instant("count(nothing)")))
        took.append(client.ask(row)[1])
        peak = max(peak, client.peak())
        client.program.stop()
    return statistics.median(took) if took else 0, peak


def measure(row, direct, sluice, more, pair):
    """Prints the row; the peak of memory of what was started."""
    first, peak = cold(pair, row)
    clients = (direct, sluice, *more)
    bodies_of = [client.ask(row)[0] for client in clients]
    check(row, direct.program.name, bodies_of[1], bodies_of[0])
    took, spent = [[] for _ in clients], [0.0 for _ in clients]
    for _ in range(ROUNDS):
        for i, client in enumerate(clients):
            before = client.cpu()
            took[i].append(client.ask(row)[1])
            spent[i] += client.cpu() - before
    report(row, took, [ms / ROUNDS for ms in spent], first)
    return peak


def report(row, took, spent, first):
    what, _, _, _, ratio_goal, cpu_goal = row
    p50 = [statistics.median(ms) for ms in took]
    ratios = [statistics.median(a / b for a, b in zip(ms, took[0])) for ms in took]
    if ratio_goal is None:
        goal, reached = f"{VALUES_MS} ms", p50[1] <= VALUES_MS
    else:
        goal, reached = f"{ratio_goal}x", ratios[1] <= ratio_goal
    reached = reached and spent[1] <= cpu_goal
    print(f"{what:22} {p50[0]:8.1f} {p50[1]:8.1f} {ratios[1]:6.2f} {spent[1]:8.2f} {first:8.1f}   {goal:>5} {cpu_goal:5} "
          f"{'reached' if reached else 'MISSED'}" +
          "".join(f"   promxy {p50[i]:.1f} ms, {ratios[i]:.2f}, {spent[i]:.1f} ms" for i in range(2, len(p50))), flush=True)


def learn(sluice):
    """Until sluice knows which replicas are complete over the hour, as it does a while after its first queries."""
    began, selector = time.monotonic(), [None]

    def known():
        sluice.ask(("ask for the metric", instant("count(bench_total)")))
        data = sluice.program.data("/api/v1/status/coverage", {"match[]": "bench_total", "start": END - HOUR - 300, "end": END})
        selector[0] = data["groups"][0]["selectors"][0]
        return "unknown" not in selector[0]
    try:
        lib.wait_until(known, LEARN, every=1)
        print(f"  known which replicas are complete after {time.monotonic() - began:.0f} s")
    except AssertionError:
        print(f"  not known which replicas are complete: {selector[0]}")


def compare(name, pair):
    print(f"{name:22} {'direct':>8} {'sluice':>8} {'ratio':>6} {'CPU ms':>8} {'cold':>8}   {'goals':>11}")
    direct, sluice = Client(pair[0]), Client(start_sluice(pair))
    more = [Client(Promxy(pair))] if os.environ.get("PROMXY") else []
    learn(sluice)
    peak = 0
    for row in ROWS:
        if os.environ.get("ROWS", "") in row[0]:
            peak = max(peak, measure(row, direct, sluice, more, pair))
    peak = max(peak, sluice.peak())
    print(f"{'peak RSS, MB':22} {'':8} {peak:8.1f} {'':6} {'':8} {'':8}   {RSS_MB:>5}       "
          f"{'reached' if peak <= RSS_MB else 'MISSED'}" +
          "".join(f"   promxy {client.peak():.1f}" for client in more), flush=True)
    sluice.program.stop()


def main():
    peers = [name for name in ("prometheus", "victoria-metrics") if os.environ.get("PEERS", "") in name]
    pairs = {}
    for name in peers:
        start = {"prometheus": lambda n: lib.Prometheus("", "--storage.tsdb.retention.time=100y", name=n),
                 "victoria-metrics": lambda n: lib.VictoriaMetrics("-search.disableCache", name=n)}[name]
        pairs[name] = [start(f"{name}-{side}") for side in "ab"]
    load(list(pairs.values()))
    for server in pairs.get("victoria-metrics", ()):
        server.flush()
    for name, pair in pairs.items():
        compare(name, pair)


if __name__ == "__main__":
    with lib.script("query_bench", 1800):
        main()
