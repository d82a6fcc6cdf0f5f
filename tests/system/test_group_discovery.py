# SPDX-License-Identifier: Apache-2.0
"""Servers of server groups that are discovered: from files that change, are missing, invalid, or hang."""
import json
import subprocess
import threading
import time

from bad_disk import BadDisk
from lib import *
from test_upstream import FakePrometheus, group, groups

HANG = 5  # seconds after which sluice goes on without the files


def vector(value):
    return {"status": "success", "data": {"resultType": "vector", "result": [
        {"metric": {"__name__": "m"}, "value": [1000, str(value)]}]}}


def put_servers(path, *fakes, **labels):
    put_file(path, json.dumps([{"targets": [f.address for f in fakes], "labels": labels}] if fakes else []))


def discovered(name, path, **more):
    lines = [f"- name: {name}", f"  file_sd_configs: [{{files: ['{path}'], refresh_interval: 1s}}]"]
    return "\n".join(lines + [f"  {key}: {json.dumps(value)}" for key, value in more.items()]) + "\n"


def requests_to(sluice, fake):
    return sluice.metric("sluice_upstream_requests_total", fake.address)


def shown(sluice):
    """{group: addresses of its servers}"""
    found = {}
    for g in sluice.data("/api/v1/status/upstreams")["groups"]:
        found.setdefault(g["group"], []).extend(s["url"].removeprefix("http://") for s in g["servers"])
    return found


class Client(threading.Thread):
    """Queries without a pause; failures: responses other than 200."""

    def __init__(self, sluice):
        super().__init__(daemon=True)
        self.sluice, self.n, self.failures, self.stopped = sluice, 0, [], False
        self.start()

    def run(self):
        while not self.stopped:
            answer = self.sluice.get("/api/v1/query", {"query": "m", "time": 1000})
            if answer.status != 200:
                self.failures.append(answer)
            self.n += 1

    def end(self):
        self.stopped = True
        self.join()
        assert self.n > 20 and not self.failures, (self.n, self.failures[:3])


def test_files_add_and_remove_servers_while_queries_run():
    a, b = FakePrometheus(vector(1)), FakePrometheus(vector(1))
    path = f"{folder()}/servers.json"
    put_servers(path, a)
    sluice = Sluice(groups(discovered("west", path, remote_read=False)))
    assert shown(sluice) == {"west": [a.address]}
    clients = [Client(sluice) for _ in range(3)]
    wait_until(lambda: len(a.queries()) > 20)
    put_servers(path, a, b)
    wait_until(lambda: len(b.queries()) > 5, 5, "the new server is queried")
    wait_until(lambda: sluice.metric("server_group_targets", 'name="west"') == 2, 5)
    put_servers(path, b)
    wait_until(lambda: shown(sluice) == {"west": [b.address]}, 5)
    counted = requests_to(sluice, b)
    time.sleep(0.2)
    left = len(a.queries())
    wait_until(lambda: requests_to(sluice, b) > counted + 20)
    assert len(a.queries()) == left, "a server that was removed is queried"
    assert requests_to(sluice, a) == 0, "a server that was removed has metrics"

    put_servers(path, a, b)
    wait_until(lambda: shown(sluice) == {"west": [a.address, b.address]}, 5)
    for client in clients:
        client.end()
    # counted since the start of the program: probe, queries, and queries after it returned
    assert requests_to(sluice, a) >= len(a.queries()) > left, (requests_to(sluice, a), len(a.queries()), left)
    assert requests_to(sluice, b) >= len(b.queries())


def test_a_server_that_returns_keeps_what_is_known_of_it():
    a, b = FakePrometheus(vector(1)), FakePrometheus(vector(1))
    path = f"{folder()}/servers.json"
    put_servers(path, a, b)
    sluice = Sluice(groups(discovered("west", path, remote_read=False)))
    wait_until(lambda: all(sluice.metric("sluice_upstream_up", f.address) == 1 for f in (a, b)), 5)
    b.stop()
    for _ in range(3):
        sluice.query("m", 1000)
    wait_until(lambda: sluice.metric("sluice_upstream_up", b.address) == 0, 5)
    put_servers(path, a)
    wait_until(lambda: shown(sluice) == {"west": [a.address]}, 5)
    probes = sum("buildinfo" in path for path, _ in a.asked)
    put_servers(path, a, b)
    wait_until(lambda: shown(sluice) == {"west": [a.address, b.address]}, 5)
    servers = sluice.data("/api/v1/status/upstreams")["groups"][0]["servers"]
    assert [s["state"] for s in servers] == ["up", "down"] and "lastErrorAt" in servers[1], servers
    assert sluice.log().count("cannot reach server") == 1, sluice.log()
    assert sum("buildinfo" in path for path, _ in a.asked) == probes, "a known server is probed again"


def test_a_group_without_servers_fails():
    there, later = FakePrometheus(vector(1)), FakePrometheus(vector(2))
    path = f"{folder()}/servers.json"
    sluice = Sluice(groups(group("east", there, remote_read=False, labels={"dc": "east"}),
                           discovered("west", path, remote_read=False, labels={"dc": "west"})))

    def fails(words, **params):
        answer = sluice.get("/api/v1/query", {"query": "m", "time": 1000, **params})
        assert answer.status == 503 and answer.json()["errorType"] == "unavailable", answer
        assert 'server group "west" has no servers' in answer.json()["error"] and words in answer.json()["error"], answer

    fails(f"no file matches {path}")
    for call in ("labels", "series", "label/dc/values"):
        answer = sluice.get(f"/api/v1/{call}", {"match[]": 'm{dc="west"}'})
        assert answer.status == 503 and "has no servers" in answer.json()["error"], (call, answer)
    assert len(sluice.query('m{dc="east"}', 1000)["result"]) == 1  # its labels exclude the other group
    partial = sluice.get("/api/v1/query", {"query": "sum(m)", "time": 1000, "partial_response": "true"})
    assert partial.status == 200 and 'server group "west" has no servers' in str(partial.json()["warnings"]), partial
    assert shown(sluice) == {"east": [there.address], "west": []}
    assert sluice.metric("server_group_targets", 'name="west"') == 0

    put_file(path, "[{")
    wait_until(lambda: sluice.metric("sluice_upstream_sd_failing", 'group="west"') == 1, 5)
    fails(f"cannot load {path}")
    wait_until(lambda: "cannot load targets file" in sluice.log() and "group=west" in sluice.log(), what="the log line")
    put_servers(path, later)
    wait_until(lambda: shown(sluice)["west"] == [later.address], 5)
    assert len(sluice.query("m", 1000)["result"]) == 2
    assert sluice.metric("sluice_upstream_sd_failing", 'group="west"') == 0
    put_file(path, "[{")  # keeps its servers
    wait_until(lambda: sluice.metric("sluice_upstream_sd_failing", 'group="west"') == 1, 5)
    assert len(sluice.query("m", 1000)["result"]) == 2
    put_servers(path)
    wait_until(lambda: shown(sluice)["west"] == [], 5)
    fails("its service discovery found none")


def test_labels_and_relabeling_of_discovered_servers():
    a, b, c = (FakePrometheus(vector(i)) for i in range(3))
    path = f"{folder()}/servers.yml"
    put_file(path, f"- targets: ['{a.address}']\n  labels: {{dc: one, __path_prefix__: /deep, tier: x}}\n"
                   f"- targets: ['{b.address}', '{a.address}/metrics', '{b.address}']\n  labels: {{dc: two}}\n"
                   f"- targets: ['{c.address}']\n  labels: {{dc: dropped}}\n")
    relabel = [{"source_labels": ["dc"], "regex": "dropped", "action": "drop"},
               {"source_labels": ["__meta_filepath"], "regex": ".*/(.*)", "target_label": "file"},
               {"regex": "tier", "action": "labeldrop"}]
    sluice = Sluice(groups(discovered("west", path, remote_read=False, relabel_configs=relabel)))
    assert shown(sluice) == {"west": [f"{a.address}/deep", b.address]}
    labels = sorted((s["metric"]["dc"], s["metric"]["file"], s["metric"].get("tier")) for s in sluice.query("m", 1000)["result"])
    assert labels == [("one", "servers.yml", None), ("two", "servers.yml", None)], labels
    assert a.queries()[0][0] == "/deep/api/v1/query" and not c.queries()
    line = [l for l in sluice.log().splitlines() if "invalid server" in l]
    assert len(line) == 1 and f"{a.address}/metrics" in line[0] and "is not host:port" in line[0], line


def test_a_reload_keeps_servers_until_the_new_files_are_read():
    a, b = FakePrometheus(vector(1)), FakePrometheus(vector(1))
    one, two = f"{folder()}/one.json", f"{folder()}/two.json"
    put_servers(one, a)
    put_servers(two, b)
    sluice = Sluice(groups(discovered("west", one, remote_read=False)))
    client = Client(sluice)
    wait_until(lambda: client.n > 20)
    assert sluice.reconfigure(groups(discovered("west", two, remote_read=False))).status == 200
    assert shown(sluice) == {"west": [b.address]}  # the response to the reload waits for the files
    assert sluice.reconfigure(groups(group("west", a, remote_read=False))).status == 200
    assert shown(sluice) == {"west": [a.address]}
    put_servers(two, a, b)
    time.sleep(1.5)
    assert shown(sluice) == {"west": [a.address]}, "files that are not configured any more are used"
    client.end()


@waits
@seconds(60)
def test_files_that_hang_hold_neither_start_nor_queries():
    disk, a, b = BadDisk(), FakePrometheus(vector(1)), FakePrometheus(vector(2))
    put_servers(f"{disk.mount}/servers.json", b)
    sluice = Sluice(groups(group("east", a, remote_read=False, labels={"dc": "east"}),
                           discovered("west", f"{disk.mount}/*.json", remote_read=False, labels={"dc": "west"})),
                    env=disk.env, start=False)
    disk.set("mount")
    began = time.monotonic()
    sluice.start()
    sluice.wait_ready()
    assert time.monotonic() - began < HANG + 4
    answer = sluice.get("/api/v1/query", {"query": "m", "time": 1000})
    assert answer.status == 503 and "does not respond" in answer.json()["error"], answer
    assert len(sluice.query('m{dc="east"}', 1000)["result"]) == 1
    disk.set("")
    wait_until(lambda: shown(sluice)["west"] == [b.address], 10)
    assert len(sluice.query("m", 1000)["result"]) == 2
    disk.set("mount")
    put_servers(f"{disk.mount}/servers.json", a)
    wait_until(lambda: sluice.metric("sluice_upstream_sd_failing", 'group="west"') == 1, HANG + 5)
    assert len(sluice.query("m", 1000)["result"]) == 2  # by what is known
    sluice.stop()
    disk.set("")


def test_check_config_reads_the_files():
    path = f"{folder()}/servers.json"
    put_file(path, '[{"targets": ["a:1", "http://b:1/x"]}]')
    config = write_file("check.yml", groups(discovered("west", path), discovered("east", f"{folder()}/none.json")))
    said = subprocess.run([f"{ROOT}/{OUT}/sluice", f"--config.file={config}", "--check-config"], capture_output=True,
                          text=True)
    assert said.returncode == 0, said
    assert 'server group "west": target "http://b:1/x" is not host:port' in said.stdout, said.stdout
    assert f"no file matches {folder()}/none.json" in said.stdout, said.stdout
