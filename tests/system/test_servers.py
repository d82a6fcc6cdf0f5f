# SPDX-License-Identifier: Apache-2.0
"""What is known and counted of downstream servers: probes in the background, and what a reload keeps."""
import json
import threading
import time

import fakes
from lib import *
from test_upstream import FakePrometheus, group, groups

BUILDINFO, CONFIG, FLAGS = "/api/v1/status/buildinfo", "/api/v1/status/config", "/api/v1/status/flags"


class SlowToTell(FakePrometheus):
    """Does not say what it is before `told` is set."""

    def __init__(self, *args, **more):
        self.told = threading.Event()
        super().__init__(*args, **more)

    def answer(self, request, body):
        if request.path.startswith(BUILDINFO):
            self.asked.append((BUILDINFO, {}))
            self.told.wait(20)
            return request.reply(200, b'{"status":"success","data":{"revision":"x"}}')
        return super().answer(request, body)


class Older(FakePrometheus):
    def answer(self, request, body):
        told = {BUILDINFO: {**fakes.PROMETHEUS_BUILD, "version": "2.42.0"}, FLAGS: {"query.lookback-delta": "7m"}}
        if request.path not in told:
            return super().answer(request, body)
        self.asked.append((request.path, {}))
        return request.reply(200, json.dumps({"status": "success", "data": told[request.path]}).encode())


def paths(fake):
    return [path for path, _ in fake.asked]


def states(sluice):
    """{group: (state, kind)} of /targets."""
    lines = [line for line in sluice.get("/targets").text.splitlines() if "group=" in line]
    return {line.split("group=")[1].split(",")[0].strip('"'): line.split("state=")[1].split(",")[0] for line in lines}


def up(sluice):
    return {name.split('group="')[1].split('"')[0]: value for name, value in sluice.metrics().items()
            if name.startswith("sluice_upstream_up")}


def counters(sluice, name="west"):
    return {series: value for series, value in sluice.metrics().items()
            if f'group="{name}"' in series and not series.startswith("sluice_upstream_up")}


def test_servers_are_probed_in_the_background():
    west, east, gone = FakePrometheus(), SlowToTell(), FakePrometheus()
    gone.stop()
    sluice = Sluice(groups(group("west", west), group("east", east), group("gone", gone)))
    wait_until(lambda: up(sluice) == {"west": 1, "gone": 0} and len(west.asked) == 2 and east.asked, 5)
    assert paths(west) == [BUILDINFO, CONFIG], west.asked
    assert states(sluice)["east"] == "unknown" and states(sluice)["west"] == "up" and states(sluice)["gone"] == "down"
    assert "<td class=unknown data-k=State>unknown" in sluice.get("/targets", headers={"Accept": "text/html"}).text
    assert "cannot reach server" in sluice.log() and "gone" in sluice.log()
    east.told.set()
    wait_until(lambda: up(sluice).get("east") == 1, 5)
    gone.start()
    sluice.query("up", 1000)
    assert paths(west)[2:] == ["/api/v1/query"] and up(sluice) == {"west": 1, "east": 1, "gone": 1}


def test_flags_of_prometheus_2_are_probed():
    """What is pushed depends on its lookback: the first query need not request it."""
    old = Older()
    sluice = Sluice(groups(group("old", old)))
    wait_until(lambda: paths(old) == [BUILDINFO, FLAGS, CONFIG], 10, what=lambda: paths(old))
    plan = sluice.data("/api/v1/explain", {"query": "max(m)", "time": 1000})["plan"]
    assert [d["evaluated"] for d in plan] == ["pushed"] and paths(old)[3:] == ["/api/v1/query"], (plan, old.asked)


def test_queries_leave_nothing_to_probe():
    """A server that a query has asked is not probed, and known servers are not after a reload."""
    fakes = [FakePrometheus() for _ in range(20)]
    config = groups(*[group(f"g{i}", fake, remote_read=False) for i, fake in enumerate(fakes)])
    sluice = Sluice(config)
    sluice.query("up", 1000)
    time.sleep(1)
    assert sluice.post("/-/reload").status == 200
    time.sleep(1)
    asked = [paths(fake).count(BUILDINFO) for fake in fakes]
    assert all(asked) and sum(asked) <= 28, asked  # one may be under way to each of 8 when the query comes


def test_reload_keeps_health_and_counters():
    west = FakePrometheus()
    sluice = Sluice(groups(group("west", west, remote_read=False)))
    for _ in range(3):
        sluice.query("up", 1000)
    west.stop()
    assert sluice.get("/api/v1/query", {"query": "up", "time": 1000}).status == 502
    before = counters(sluice)
    assert sum(v for name, v in before.items() if "requests_total" in name) >= 4 and up(sluice) == {"west": 0}
    # another timeout: the same server
    assert sluice.reconfigure(groups(group("west", west, remote_read=False, timeout="3s"))).status == 200
    assert counters(sluice) == before and up(sluice) == {"west": 0} and states(sluice) == {"west": "down"}
    assert "connection refused" in sluice.get("/targets").text
    # another name: its series begin, those of the old one end, and go on when it comes back
    assert sluice.reconfigure(groups(group("east", west, remote_read=False))).status == 200
    assert not counters(sluice) and up(sluice) == {"east": 0}
    assert all(v == 0 for v in counters(sluice, "east").values())
    assert sluice.reconfigure("server_groups: []\n").status == 200
    assert not counters(sluice) and not counters(sluice, "east")
    assert sluice.reconfigure(groups(group("west", west, remote_read=False))).status == 200
    assert counters(sluice) == before
    # other credentials: the counters of the same series, and a server about which nothing is known
    west.start()
    west.asked.clear()
    assert sluice.reconfigure(groups(group("west", west, remote_read=False, http_headers={"X-Tenant": "b"}))).status == 200
    wait_until(lambda: up(sluice) == {"west": 1}, 5)
    assert paths(west) == [BUILDINFO]
    after = counters(sluice)
    assert all(after[name] >= value for name, value in before.items()), (before, after)


def test_two_shards_on_one_server_are_counted_in_one_series():
    west = FakePrometheus()
    statics = [{"targets": [west.address], "labels": {"shard": s}} for s in "ab"]
    sluice = Sluice(f"server_groups: [{{name: west, remote_read: false, static_configs: {statics}}}]")
    sluice.query("up", 1000)
    text = sluice.get("/metrics").text
    series = [line.split(" ")[0] for line in text.splitlines() if 'group="west"' in line]
    assert len(series) == len(set(series)), series
    assert sluice.metric("sluice_upstream_requests_total") == len(west.asked)


def test_another_program_at_the_address_of_a_server():
    """It was a Prometheus; what listens there after it was away is asked what it is."""
    west = FakePrometheus()
    sluice = Sluice(groups(group("west", west, remote_read=False)))
    sluice.query("up", 1000)
    west.stop()
    assert sluice.get("/api/v1/query", {"query": "up", "time": 1000}).status == 502
    west.asked.clear()
    west.start()
    wait_until(lambda: sluice.get("/api/v1/query", {"query": "up", "time": 1000}).status == 200, 10)
    sluice.query("up", 1000)
    assert paths(west).count(BUILDINFO) == 1, west.asked


def refused_at_once(sluice, *words):
    """Every kind of query ends with 508 and these words, well before any timeout."""
    for path, params in (("query", {"query": "up", "time": 1000}), ("labels", {}), ("label/job/values", {}),
                         ("query_range", {"query": "rate(up[5m])", "start": 1000, "end": 2000, "step": 10}),
                         ("series", {"match[]": "up"}), ("metadata", {}), ("query_exemplars", {"query": "up"})):
        began = time.monotonic()
        answer = sluice.get(f"/api/v1/{path}", params)
        assert answer.status == 508 and answer.json()["errorType"] == "loop_detected", (path, answer)
        assert all(word in answer.json()["error"] for word in words), (path, answer)
        assert time.monotonic() - began < 5, path


def at(*ports, **more):
    """A group of sluices that listen on these ports."""
    keys = "".join(f", {key}: {value}" for key, value in more.items())
    return f"- {{name: to{ports[0]}, static_configs: [{{targets: {[f'127.0.0.1:{port}' for port in ports]}}}]{keys}}}\n"


def test_a_group_that_points_at_sluice_itself():
    port = free_port()
    for kind in ("auto", "prometheus", "victoriametrics"):
        sluice = Sluice(groups(at(port, kind=kind)), port=port, name=kind)
        refused_at_once(sluice, f'server group "to{port}"', "points at it")
        wait_until(lambda: "leads back to this sluice" in sluice.log() and f"group=to{port}" in sluice.log(), 5)
        sluice.stop()


def test_a_circle_of_sluices():
    a, b, c = ports = [free_port() for _ in range(3)]
    first, second, third = [Sluice(groups(at(to)), port=port, name=f"sluice{port}")
                            for port, to in zip(ports, (b, c, a))]
    refused_at_once(first, f'server group "to{b}"', f'server group "to{c}"', f'server group "to{a}"', "points at it")
    assert third.reconfigure("recent: {}\n").status == 200
    assert first.query("up", 1000)["result"] == [], "a chain is none"
    # a replica that is not in the circle answers for one that is
    storage = FakePrometheus()
    assert third.reconfigure(groups(at(a, storage.port, remote_read="false"))).status == 200
    assert first.query("up", 1000)["result"] == []


def test_queries_pass_through_seven_sluices_at_most():
    sluice = Sluice(groups(group("west", FakePrometheus(), remote_read=False)))

    def ask(n):
        via = ", ".join(f"{i:016x}" for i in range(n))
        return sluice.get("/api/v1/query", {"query": "up", "time": 1000}, headers={"X-Sluice-Via": via})
    assert ask(0).status == 200 and ask(7).status == 200
    answer = ask(8)
    assert answer.status == 508 and "8 sluices" in answer.text, answer
