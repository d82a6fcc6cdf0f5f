# SPDX-License-Identifier: Apache-2.0
"""Service discovery over the network, beside a real Prometheus with the same configuration."""
import json
import os
import re
import socket
import struct
import subprocess
import threading
import time
import urllib.parse

import fakes
from lib import *
from test_isolation import asks_only
from test_group_discovery import Client, shown, vector
from test_upstream import FakePrometheus, groups


class TargetList(fakes.Fake):
    """Lists targets; asked: the headers of each request."""

    def __init__(self, *groups):
        self.body, self.status, self.type, self.delay, self.asked = json.dumps(groups), 200, "application/json", 0, []
        super().__init__()

    def answer(self, request, body):
        self.asked.append(dict(request.headers))
        time.sleep(self.delay)
        return request.reply(self.status, self.body.encode(), Content_Type=self.type)


def targets(program, job="j"):
    """(discovered labels, labels) of the targets of a job, without those that only one of the programs has."""
    active = program.data("/api/v1/targets", {"state": "active"})["activeTargets"]
    return sorted((tuple(sorted(t["discoveredLabels"].items())), tuple(sorted(t["labels"].items())))
                  for t in active if t["labels"]["job"] == job)


def same_targets(ours, theirs, n, what, job="j"):
    wait_until(lambda: len(targets(theirs, job)) == n and targets(ours, job) == targets(theirs, job), 15,
               lambda: f"{what}: {targets(ours, job)} is not {targets(theirs, job)}")


def failures(sluice):
    return sluice.metric("prometheus_sd_http_failures_total")


@waits
def test_http_sd_finds_what_prometheus_finds():
    listed = TargetList({"targets": ["127.0.0.1:1", "127.0.0.1:2"], "labels": {"a": "b", "__meta_x": "y"}},
                        {"targets": ["127.0.0.1:3"]}, {"labels": {"none": "1"}}, {"targets": []})
    config = f"""
scrape_configs:
- job_name: j
  scrape_interval: 1m
  http_sd_configs:
  - {{url: 'http://{listed.address}/list?of=targets', refresh_interval: 300ms, basic_auth: {{username: u, password: secret}}}}
  relabel_configs:
  - {{source_labels: [__meta_url], target_label: from}}
  - {{source_labels: [__meta_x], target_label: x}}
"""
    theirs, ours = Prometheus(config), Sluice(config)
    assert len(targets(ours)) == 3, "the start does not wait for the targets"
    same_targets(ours, theirs, 3, "the first list")
    asked = {request["User-Agent"].split("/")[0].lower(): request for request in listed.asked}
    for header in ("Accept", "X-Prometheus-Refresh-Interval-Seconds", "Authorization"):
        assert asked["sluice"][header] == asked["prometheus"][header], (header, asked)
    listed.body = json.dumps([{"targets": ["127.0.0.1:2", "127.0.0.1:9"], "labels": {"a": "c"}}])
    same_targets(ours, theirs, 2, "another list")
    good = listed.body
    for spoil in ({"status": 500}, {"type": "text/plain"}, {"body": "[{"}, {"body": '{"targets": []}'},
                  {"status": 204, "body": ""}):
        before = failures(ours)
        listed.__dict__.update(spoil)
        wait_until(lambda: failures(ours) >= before + 2, 10, lambda: str(spoil))
        assert len(targets(ours)) == 2 and ours.metric("sluice_sd_failing_sources", 'config="j"') == 1
        listed.status, listed.type, listed.body = 200, "application/json; charset=utf-8", good
        wait_until(lambda: ours.metric("sluice_sd_failing_sources", 'config="j"') == 0, 10)
    same_targets(ours, theirs, 2, "after failures")
    log = ours.log()
    assert log.count("service discovery failed") == log.count("service discovery responds again") == 5, log
    assert "secret" not in log and "job=j" in log and f"http://{listed.address}/list?of=targets" in log
    listed.body = "[]"
    same_targets(ours, theirs, 0, "an empty list")


def test_urls_of_file_sd_as_vmagent_reads_them():
    """JSON and YAML, whatever the content type; a failing URL keeps its targets, and another file of the job is read."""
    as_json, as_yaml = TargetList({"targets": ["127.0.0.1:1"], "labels": {"a": "b"}}), TargetList()
    as_yaml.body, as_json.type, as_yaml.type = "- targets: ['127.0.0.1:2', 127.0.0.1:3]\n  labels: {c: d}\n", "text/plain", "text/plain"
    local = write_file("more.yml", "- targets: ['127.0.0.1:4']\n")
    config = f"""
scrape_configs:
- job_name: j
  scrape_interval: 1m
  file_sd_configs:
  - {{files: ['http://{as_json.address}/t.json?token=hidden', 'http://{as_yaml.address}/t', {local}]}}
  relabel_configs: [{{source_labels: [__meta_filepath], regex: '(http.*)', target_label: from}}]
"""
    theirs = VMAgent(config, "-promscrape.fileSDCheckInterval=1s", "-remoteWrite.url=http://127.0.0.1:1/")
    ours = Sluice(config, "-promscrape.fileSDCheckInterval=300ms", "--dialect=vmagent")
    assert len(targets(ours)) == 4, "the start does not wait for the targets"
    same_labels(ours, theirs, 4, "j", "the first list")
    as_yaml.body = "- targets: ['127.0.0.1:3']\n"
    same_labels(ours, theirs, 3, "j", "another list")
    as_yaml.status = 500
    wait_until(lambda: ours.metric("sluice_sd_failing_sources", 'config="j"') == 1, 10)
    wait_until(lambda: ours.metric("prometheus_sd_file_read_errors_total") > 1, 10)
    same_labels(ours, theirs, 3, "j", "a failure loses no target")
    as_json.body = "x: ["
    wait_until(lambda: ours.metric("sluice_sd_failing_sources", 'config="j"') == 2, 10)
    as_json.body, as_yaml.status = json.dumps([{"targets": ["127.0.0.1:7", "127.0.0.1:8"]}]), 200
    same_labels(ours, theirs, 4, "j", "after failures")
    assert {dict(meta)["__meta_filepath"] for meta, _ in targets(ours)} == {
        f"http://{as_json.address}/t.json?token=xxxxx", f"http://{as_yaml.address}/t", local}, "what is shown hides the token"
    assert "hidden" not in ours.log() and "service discovery failed" in ours.log()


def main_thread_seconds(sluice):
    """CPU time of the thread that discovers targets."""
    with open(f"/proc/{sluice.p.pid}/task/{sluice.p.pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@waits
def test_a_long_list_costs_what_has_changed_in_it():
    """20,000 targets, in one group of many and in groups of one."""
    def group(i, a="x"):
        return {"targets": [f"127.9.{i >> 8}.{i & 255}:9100"], "labels": {"__meta_a": a, **{f"__meta_label_{k}": f"value-{i}-{k}" for k in range(12)}}}
    many = {"targets": [f"127.{i >> 8}.{i & 255}.1:1" for i in range(256, 5256)], "labels": {"in": "one"}}
    lists = [group(i) for i in range(15000)] + [many]
    listed = TargetList(*lists)
    sluice = Sluice(f"""
scrape_configs:
- job_name: j
  scrape_interval: 10h
  scrape_timeout: 1s
  http_sd_configs: [{{url: 'http://{listed.address}/', refresh_interval: 1s}}]
  relabel_configs: [{{action: labelmap, regex: __meta_label_(.*)}}, {{source_labels: [__meta_a], target_label: a}}]
""")

    def total():
        return sluice.metric("prometheus_target_scrape_pool_targets", 'scrape_job="j"')

    def rounds(n):
        before = len(listed.asked)
        wait_until(lambda: len(listed.asked) >= before + n, 60)
    wait_until(lambda: total() == 20000, 60)
    first = main_thread_seconds(sluice)
    lists[7], lists[8] = group(7, "y"), group(20001)
    many["targets"].pop()
    listed.body = json.dumps(lists)
    before = main_thread_seconds(sluice)
    rounds(2)
    wait_until(lambda: total() == 19999, 20)
    change = main_thread_seconds(sluice) - before
    assert change < first / 2, (first, change)
    found = {dict(labels)["instance"]: dict(labels) for _, labels in targets(sluice)}
    assert found["127.9.0.7:9100"]["a"] == "y" and found["127.9.0.9:9100"]["a"] == "x" and "127.9.0.8:9100" not in found
    assert found["127.9.78.33:9100"]["0"] == "value-20001-0" and "127.20.135.1:1" not in found and "127.20.134.1:1" in found
    listed.body = "[]"
    wait_until(lambda: total() == 0, 20)
    listed.body = json.dumps(lists)
    wait_until(lambda: total() == 19999, 20)


def test_a_silent_url_holds_no_start_and_no_other_job():
    silent, listed = TargetList(), TargetList({"targets": ["127.0.0.1:1"]})
    silent.delay = 30
    sluice = Sluice("scrape_configs:\n" + "".join(
        f"- {{job_name: {name}, http_sd_configs: [{{url: 'http://{at.address}/?token=hidden'}}]}}\n"
        for name, at in (("j", listed), ("late", silent))), start=False)
    began = time.monotonic()
    sluice.start()
    sluice.wait_ready()
    assert time.monotonic() - began < 7
    assert len(targets(sluice)) == 1 and sluice.metric("sluice_sd_failing_sources", 'config="late"') == 1
    page = sluice.get("/targets").text + sluice.get("/api/v1/targets").text
    assert "hidden" not in page and "hidden" not in sluice.log(), page


def test_servers_of_groups_are_listed_by_a_url():
    a, b = FakePrometheus(vector(1)), FakePrometheus(vector(1))
    listed = TargetList({"targets": [a.address], "labels": {"dc": "one"}})
    config = groups("- name: west\n  remote_read: false\n"
                    f"  http_sd_configs: [{{url: 'http://{listed.address}/', refresh_interval: 300ms}}]\n")
    sluice = Sluice(config)
    assert shown(sluice) == {"west": [a.address]}
    assert sluice.query("m", 1000)["result"][0]["metric"]["dc"] == "one"
    client = Client(sluice)
    wait_until(lambda: client.n > 10)
    listed.body = json.dumps([{"targets": [b.address, a.address], "labels": {"dc": "one"}}])
    wait_until(lambda: len(b.queries()) > 5, 10)
    assert sluice.post("/-/reload").status == 200 and shown(sluice) == {"west": [b.address, a.address]}
    listed.status = 503
    wait_until(lambda: sluice.metric("sluice_upstream_sd_failing", 'group="west"') == 1, 5)
    assert shown(sluice) == {"west": [b.address, a.address]}
    client.end()
    log = [line for line in sluice.log().splitlines() if "service discovery failed" in line]
    assert len(log) == 1 and "group=west" in log[0] and "HTTP 503" in log[0], log
    other = sluice.reconfigure(config.replace("name: west", "name: east"))
    assert other.status == 200 and shown(sluice) == {"east": []}
    answer = sluice.get("/api/v1/query", {"query": "m", "time": 1000})
    assert answer.status == 503 and "HTTP 503" in answer.json()["error"] and listed.address in answer.json()["error"], answer


def test_invalid_http_sd_is_an_error_at_the_start():
    def refused(sd, words):
        sluice = Sluice(f"scrape_configs: [{{job_name: j, http_sd_configs: [{sd}]}}]\n", start=False)
        sluice.start()
        assert sluice.wait_exit(10) == 1 and words in sluice.log(), (words, sluice.log())
    refused("{}", 'missing required key "url"')
    refused("{url: 'ftp://x/'}", "http_sd_config.url: ")
    refused("{url: 'http://x/', bearer_token: a, basic_auth: {username: b}}", "keep one kind of credentials")
    refused("{url: 'http://x/', tls_config: {min_version: TLS9}}", 'http_sd_configs of job "j": min_version')


TYPES = {1: "A", 2: "NS", 15: "MX", 28: "AAAA", 33: "SRV"}


def wire_name(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.rstrip(".").split(".")) + b"\0"


class NameServer:
    """Has `records`: (name, type): list of data; rotated with each response. code: of every response."""

    def __init__(self, records):
        self.records, self.code, self.silent, self.asked = records, 0, False, 0
        self.address = f"127.{os.getpid() % 250 + 2}.{os.getpid() // 250 % 250 + 1}.54"
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.socket.bind((self.address, 53))
        except OSError:
            raise Skip("root, for port 53") from None
        threading.Thread(target=self.serve, daemon=True).start()

    def data(self, kind, record):
        if kind == "A":
            return socket.inet_aton(record)
        if kind == "AAAA":
            return socket.inet_pton(socket.AF_INET6, record)
        if kind == "SRV":
            return struct.pack(">HHH", 1, 2, record[1]) + wire_name(record[0])
        return (struct.pack(">H", 10) if kind == "MX" else b"") + wire_name(record)

    def serve(self):
        while True:
            q, peer = self.socket.recvfrom(4096)
            self.asked += 1
            end = q.index(0, 12) + 5
            name, at = [], 12
            while q[at]:
                name.append(q[at + 1:at + 1 + q[at]].decode())
                at += 1 + q[at]
            number = struct.unpack(">H", q[end - 4:end - 2])[0]
            kind, name = TYPES.get(number), ".".join(name)
            found = self.records.get((name, kind), [])
            known = any(name == known for known, _ in self.records)
            if found:
                found.append(found.pop(0))
            answers = b"".join(struct.pack(">HHHIH", 0xc00c, number, 1, 1, len(data)) + data
                               for data in (self.data(kind, record) for record in found))
            if not self.silent:
                code = self.code or (0 if known else 3)
                self.socket.sendto(q[:2] + b"\x84" + bytes([0x80 | code]) + struct.pack(
                    ">HHHH", 1, 0 if code else len(found), 0, 0) + q[12:end] + (b"" if code else answers), peer)


@waits
def test_dns_sd_finds_what_prometheus_finds():
    names = NameServer({
        ("web.test", "A"): ["127.0.0.1", "127.0.0.2", "127.0.0.3"], ("web.test", "AAAA"): ["::1", "fe80::2"],
        ("_http._tcp.web.test", "SRV"): [("b.web.test", 81), ("a.web.test", 80), ("a.web.test", 8080)],
        ("web.test", "MX"): ["mail.web.test", "post.web.test"], ("web.test", "NS"): ["ns.web.test"]})
    meta = ["name", "srv_record_target", "srv_record_port", "mx_record_target", "ns_record_target"]
    jobs = [("_http._tcp.web.test", "SRV", 3), ("web.test", "A", 3), ("web.test", "AAAA", 2), ("web.test", "MX", 2),
            ("web.test", "NS", 1), ("none.test", "A", 0)]
    config = "scrape_configs:\n" + "".join(
        f"- job_name: {kind}-{n}\n  scrape_interval: 1m\n  dns_sd_configs:\n"
        f"  - {{names: [{name}], refresh_interval: 500ms{'' if kind == 'SRV' else f', type: {kind}, port: 9{n}'}}}\n"
        "  relabel_configs:\n" + "".join(f"  - {{source_labels: [__meta_dns_{m}], target_label: {m}}}\n" for m in meta)
        for name, kind, n in jobs)
    theirs, ours = Prometheus(config, start=False), Sluice(config, start=False)
    asks_only(ours, names.address).wait_ready()
    asks_only(theirs, names.address).wait_ready(60)
    assert len(targets(ours, "SRV-3")) == 3, "the start does not wait for the targets"
    for _, kind, n in jobs:
        same_targets(ours, theirs, n, kind, f"{kind}-{n}")
    synced = ours.metric("prometheus_target_sync_failed_total"), ours.metric("prometheus_sd_dns_lookups_total")
    names.records["web.test", "A"].remove("127.0.0.2")
    same_targets(ours, theirs, 2, "a record is gone", "A-3")
    names.code = 2
    wait_until(lambda: ours.metric("sluice_sd_failing_sources", 'config="A-3"') == 1, 10)
    names.silent = True
    time.sleep(1)
    assert len(targets(ours, "A-3")) == len(targets(theirs, "A-3")) == 2, "targets are lost by a failure"
    assert ours.metric("prometheus_sd_dns_lookups_total") > synced[1]
    assert ours.metric("prometheus_sd_dns_lookup_failures_total") > 0
    line = [line for line in ours.log().splitlines() if "service discovery failed" in line and '"A records of web.test"' in line]
    assert line and "job=A-3" in line[0], ours.log()
    names.code, names.silent = 0, False
    del names.records["web.test", "NS"]
    same_targets(ours, theirs, 0, "the record is gone", "NS-1")
    assert ours.metric("sluice_sd_failing_sources", 'config="A-3"') == 0


class FakeConsul(fakes.Fake):
    """The API of an agent, with responses as its documentation shows them; instances: {service: [entry]}.
    asked: {User-Agent's name: {path with parameters}}, without those of blocking queries, which end at once here."""

    def __init__(self):
        self.instances, self.status, self.asked, self.tokens, self.blocks, self.index, self.reads = {}, 200, {}, set(), False, {}, []
        super().__init__()

    def blocking(self, path, query, find):
        """Answers when the list has another index than the client has, as Consul does; index: {path: its index}."""
        has, until = int(dict(urllib.parse.parse_qsl(query)).get("index", 0)), time.monotonic() + 20
        self.reads.append((path, has))
        while has and self.index.get(path, 7) == has and time.monotonic() < until and self.status == 200:
            time.sleep(0.02)
        with self.lock:
            return find(), self.index.get(path, 7)

    def answer(self, request, body):
        path, _, query = request.path.partition("?")
        params = sorted(p for p in query.split("&") if p and p.split("=")[0] not in ("index", "wait"))
        params = [p + "=" if "=" not in p else p for p in params]
        program = request.headers.get("User-Agent", "").split("/")[0]
        with self.lock:
            self.asked.setdefault(program, set()).add((path, *params))
            if program == "sluice":
                self.tokens.add(request.headers.get("X-Consul-Token"))
        if self.blocks and self.status == 200 and not path.endswith("/v1/agent/self"):
            found, index = self.blocking(path, query, lambda: {name: [] for name in self.instances} if path.endswith("/services") else
                                         self.instances.get(path.rsplit("/", 1)[1], []))
            return request.reply(200, json.dumps(found).encode(), Content_Type="application/json", **({"X_Consul_Index": index} if index else {}))
        with self.lock:
            if self.status != 200:
                return request.reply(self.status, b"scripted")
            if path.endswith("/v1/agent/self"):
                found = {"Config": {"Datacenter": "dc1", "NodeName": "agent"}}
            elif path.endswith("/v1/catalog/services"):
                found = {name: sorted({tag for e in entries for tag in e["Service"]["Tags"]}) for name, entries in self.instances.items()}
            else:
                tags = {p[4:] for p in params if p.startswith("tag=")}
                entries = self.instances.get(path.rsplit("/", 1)[1], [])
                found = [e for e in entries if tags <= set(e["Service"]["Tags"])]
        time.sleep(0.1 if "index=" in query else 0)
        return request.reply(200, json.dumps(found).encode(), Content_Type="application/json",
                             X_Consul_Index=hash(json.dumps(found)) % 1000000 + 1)


def instance(service, port, *tags, address="", meta=None, checks=("passing",), **more):
    return {"Node": {"ID": "40e4a748", "Node": f"node{port}", "Address": "127.0.0.12", "Datacenter": "dc1", "Meta": {"instance-type": "t2.medium"},
                     "TaggedAddresses": {"lan": "127.0.0.12", "wan": "127.0.0.13"}},
            "Service": {"ID": f"{service}{port}", "Service": service, "Tags": list(tags), "Address": address, "Port": port, "Meta": meta or {}, **more},
            "Checks": [{"Node": "n", "CheckID": f"c{i}", "Status": status} for i, status in enumerate(checks)]}


def same_labels(ours, theirs, n, job, what):
    """After relabeling; the peer may discover more."""
    def found(program):
        return [labels for _, labels in targets(program, job)]
    try:
        wait_until(lambda: len(found(theirs)) == n and found(ours) == found(theirs), 30)
    except AssertionError:
        mine, other = found(ours), found(theirs)
        raise AssertionError(f"{what}: {len(mine)} targets, {[t for t in mine if t not in other]}, are not {len(other)}, "
                             f"{[t for t in other if t not in mine]}") from None


def test_consul_sd_finds_what_vmagent_finds():
    """Debian's Prometheus has no consul_sd_configs."""
    consul = FakeConsul()
    consul.instances = {"web": [instance("web", 80, "a", "b", checks=("passing", "warning")),
                                instance("web", 81, "a", address="::1", meta={"redis.version": "4"}, checks=("critical", "warning"))],
                        "db": [instance("db", 90, Namespace="ns1", Partition="p", checks=())], "gone": []}
    meta = ["address", "dc", "health", "namespace", "node", "partition", "service", "service_address", "service_id", "service_port", "tags",
            "metadata_instance_type", "service_metadata_redis_version", "tagged_address_wan"]
    jobs = [("all", "", 3), ("named", "services: [web]", 2), ("tagged", "tags: [a, b], tag_separator: '|', datacenter: dc1", 1),
            ("both", "services: [web, none], tags: [a], node_meta: {k: v w}, allow_stale: false, namespace: ns, partition: p", 2),
            ("filtered", "services: [db], filter: 'Service.Meta.env == \"qa\"'", 1)]
    config = "scrape_configs:\n" + "".join(
        f"- job_name: {name}\n  scrape_interval: 1m\n  consul_sd_configs:\n"
        f"  - {{server: '{consul.address}', token: hidden, refresh_interval: 300ms{more and ', ' + more}}}\n"
        "  relabel_configs:\n" + "".join(f"  - {{source_labels: [__meta_consul_{m}], target_label: {m}}}\n" for m in meta)
        for name, more, _ in jobs)
    theirs = VMAgent(config.replace(", refresh_interval: 300ms", ""), "-promscrape.consulSDCheckInterval=1s", "-remoteWrite.url=http://127.0.0.1:1/")
    ours = Sluice(config)
    assert len(targets(ours, "all")) == 3, "the start does not wait for the targets"
    for name, _, n in jobs:
        same_labels(ours, theirs, n, name, name)
    assert consul.tokens == {"hidden"}
    health = "/v1/health/service/"
    wait_until(lambda: consul.asked["sluice"] == {
        ("/v1/agent/self", "stale="), ("/v1/catalog/services", "stale="), (health + "web", "stale="), (health + "db", "stale="),
        (health + "gone", "stale="), ("/v1/catalog/services", "dc=dc1", "stale="), (health + "web", "dc=dc1", "stale=", "tag=a", "tag=b"),
        ("/v1/agent/self", "node-meta=k%3Av%20w", "ns=ns", "partition=p"), ("/v1/catalog/services", "node-meta=k%3Av%20w", "ns=ns", "partition=p"),
        (health + "web", "node-meta=k%3Av%20w", "ns=ns", "partition=p", "tag=a"),
        ("/v1/catalog/services", "filter=Service.Meta.env%20%3D%3D%20%22qa%22", "stale=")}, what=lambda: sorted(consul.asked["sluice"]))
    with consul.lock:
        consul.instances["web"].pop(0)
        consul.instances["late"] = [instance("late", 70, "a", "b")]
    for name, n in ("all", 3), ("named", 1), ("tagged", 1), ("both", 1):
        same_labels(ours, theirs, n, name, "after a change")
    consul.status = 500
    wait_until(lambda: ours.metric("prometheus_sd_consul_rpc_failures_total") > 2)
    wait_until(lambda: ours.metric("sluice_sd_failing_sources", 'config="all"') == 1)
    assert len(targets(ours, "all")) == 3, "targets are lost by a failure"
    assert "HTTP 500" in ours.log() and "hidden" not in ours.log()
    consul.status = 200
    with consul.lock:
        consul.instances.clear()
    wait_until(lambda: not targets(ours, "all"), what="no target of a service that is gone")


@waits
def test_consul_is_asked_again_when_something_has_changed():
    consul = FakeConsul()
    consul.blocks = True
    consul.instances = {name: [instance(name, port)] for name, port in (("web", 80), ("db", 90), ("idle", 70))}
    sluice = Sluice(f"scrape_configs: [{{job_name: j, scrape_interval: 1m, consul_sd_configs: [{{server: '{consul.address}', refresh_interval: 100ms}}]}}]\n")
    catalog, health = "/v1/catalog/services", "/v1/health/service/"

    def ports():
        return sorted(int(dict(labels)["instance"].rsplit(":")[1]) for _, labels in targets(sluice))

    def change(path, index):
        with consul.lock:
            consul.index[path] = index
    assert ports() == [70, 80, 90], "the start does not wait for the targets"
    wait_until(lambda: {(catalog, 7), *((health + name, 7) for name in consul.instances)} <= set(consul.reads))
    before = len(consul.reads)
    time.sleep(1)
    assert len(consul.reads) == before == 8, (consul.reads, "a query that waits is not repeated")
    consul.instances["web"].append(instance("web", 81))
    change(health + "web", 9)
    wait_until(lambda: ports() == [70, 80, 81, 90], 10)
    wait_until(lambda: len(consul.reads) == 9)
    assert consul.reads[8:] == [(health + "web", 9)], "the others are not asked"
    consul.instances["new"] = [instance("new", 60)]
    del consul.instances["db"]
    change(catalog, 10)
    wait_until(lambda: ports() == [60, 70, 80, 81], 10)
    wait_until(lambda: (health + "new", 7) in consul.reads)
    assert (health + "new", 0) in consul.reads and (catalog, 10) in consul.reads
    consul.instances["web"].pop()
    change(health + "web", 3)
    wait_until(lambda: ports() == [60, 70, 80], 10)
    wait_until(lambda: (health + "web", 3) in consul.reads)
    assert consul.reads[consul.reads.index((health + "web", 3)) - 1] == (health + "web", 0), "an index that goes back is forgotten"
    consul.status = 500
    wait_until(lambda: sluice.metric("sluice_sd_failing_sources", 'config="j"') == 1, 10)
    assert ports() == [60, 70, 80], "targets are lost by a failure"
    consul.status = 200
    wait_until(lambda: sluice.metric("sluice_sd_failing_sources", 'config="j"') == 0, 30)
    consul.index.update({health + "idle": 0})
    consul.instances["idle"].append(instance("idle", 71))
    wait_until(lambda: ports() == [60, 70, 71, 80], 30, "a server without indexes")
    assert consul.reads.count((health + "idle", 7)) < 5
    wait_until(lambda: consul.reads.count((health + "idle", 0)) > 5, 10, "is asked once an interval")


def test_servers_of_groups_are_named_by_dns():
    a, b = FakePrometheus(vector(1)), FakePrometheus(vector(1))
    names = NameServer({("_api._tcp.store.test", "SRV"): [("a.test", a.port)], ("a.test", "A"): ["127.0.0.1"]})
    config = groups("- name: west\n  remote_read: false\n"
                    "  dns_sd_configs: [{names: [_api._tcp.store.test], refresh_interval: 300ms}]\n")
    sluice = asks_only(Sluice(config, start=False), names.address).wait_ready()
    assert shown(sluice) == {"west": [f"a.test:{a.port}"]}
    assert len(sluice.query("m", 1000)["result"]) == 1
    names.records["_api._tcp.store.test", "SRV"].append(("a.test", b.port))
    wait_until(lambda: sorted(shown(sluice)["west"]) == sorted([f"a.test:{a.port}", f"a.test:{b.port}"]), 5)
    servers, reads = shown(sluice), sluice.metric("prometheus_sd_dns_lookups_total")
    wait_until(lambda: sluice.metric("prometheus_sd_dns_lookups_total") > reads + 4, 5)
    assert shown(sluice) == servers, "the order of the records changes the order of the servers"
    names.records["_api._tcp.store.test", "SRV"].clear()
    wait_until(lambda: shown(sluice) == {"west": []}, 5)


def test_servers_of_groups_are_listed_by_consul():
    a, b = FakePrometheus(vector(1)), FakePrometheus(vector(1))
    consul = FakeConsul()
    consul.instances = {"metrics": [instance("metrics", a.port, "east", address="127.0.0.1")],
                        "other": [instance("other", b.port, "east", address="127.0.0.1")]}
    sluice = Sluice(groups(
        "- name: west\n  remote_read: false\n"
        f"  consul_sd_configs: [{{server: '{consul.address}', token: hidden, services: [metrics], refresh_interval: 300ms}}]\n"
        "  relabel_configs: [{source_labels: [__meta_consul_tags], regex: ',(.*),', target_label: dc}]\n"))
    assert shown(sluice) == {"west": [a.address]}
    assert sluice.query("m", 1000)["result"][0]["metric"]["dc"] == "east"
    with consul.lock:
        consul.instances["metrics"].append(instance("metrics", b.port, "east", address="127.0.0.1"))
    wait_until(lambda: sorted(shown(sluice)["west"]) == sorted([a.address, b.address]))
    consul.status = 500
    wait_until(lambda: sluice.metric("sluice_upstream_sd_failing", 'group="west"') == 1)
    assert len(shown(sluice)["west"]) == 2 and consul.tokens == {"hidden"} and "hidden" not in sluice.log()


def test_groups_have_every_kind_of_discovery():
    """What discovers the targets of a job discovers the servers of a group, and what does not yet is not silent."""
    printed = subprocess.run([f"{ROOT}/{OUT}/sluice", "--print-docs"], capture_output=True, text=True, check=True, timeout=20).stdout
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", printed, re.M | re.S))
    of_jobs, of_groups = (dict(re.findall(r"^\| `(\w+_sd_configs)` \| ([^|]*) \|", sections[name], re.M))
                          for name in ("scrape_config", "server_group"))
    assert of_groups == of_jobs and {"file_sd_configs", "consul_sd_configs", "kubernetes_sd_configs"} <= set(of_jobs), (of_jobs, of_groups)
    for kind in of_jobs:
        program = [f"{ROOT}/{OUT}/sluice", "--check-config"]
        refused = [subprocess.run([*program, f"--config.file={write_file('kinds.yml', text)}"], capture_output=True, text=True, timeout=20)
                   for text in (f"scrape_configs: [{{job_name: j, {kind}: [{{}}]}}]\n", f"server_groups: [{{name: g, {kind}: [{{}}]}}]\n")]
        unsupported = ["not supported yet" in run.stdout + run.stderr for run in refused]  # a warning, and an error
        assert unsupported == [of_jobs[kind] == "any"] * 2, (kind, refused)


class FakeNomad(fakes.Fake):
    """https://developer.hashicorp.com/nomad/api-docs/services; instances: {name: [instance]}"""

    def __init__(self, instances):
        self.instances, self.status, self.asked = instances, 200, set()
        super().__init__()

    def answer(self, request, body):
        path, _, query = request.path.partition("?")
        with self.lock:
            if request.headers["User-Agent"].startswith("sluice"):
                self.asked.add((path, query.split("&index=")[0]))
            if self.status != 200:
                return request.reply(self.status, b"scripted")
            if path == "/v1/services":
                found = [{"Namespace": ns, "Services": [{"ServiceName": name, "Tags": []} for name, all_of in self.instances.items()
                                                        if any(i["Namespace"] == ns for i in all_of)]} for ns in ("default", "other")]
            else:
                found = self.instances.get(urllib.parse.unquote(path.removeprefix("/v1/service/")), [])
        time.sleep(0.1 if "index=" in query else 0)
        return request.reply(200, json.dumps(found).encode(), Content_Type="application/json", X_Nomad_Index=hash(json.dumps(found)) % 1000000 + 1)


def nomad_instance(name, port, *tags, address="127.0.0.21", ns="default"):
    return {"ID": f"_nomad-task-{name}-{port}", "ServiceName": name, "Namespace": ns, "NodeID": "7406e90b", "Datacenter": "dc1", "JobID": "j",
            "AllocID": "a", "Tags": list(tags) or None, "Address": address, "Port": port, "CreateIndex": 24, "ModifyIndex": 24}


@waits
def test_nomad_sd_finds_what_vmagent_finds():
    nomad = FakeNomad({"web app": [nomad_instance("web app", 80, "a", "b"), nomad_instance("web app", 81, "c", address="::1", ns="other")], "db": [nomad_instance("db", 90, "d")]})
    meta = ["address", "dc", "namespace", "node_id", "service", "service_address", "service_id", "service_port", "tags"]
    config = "scrape_configs:\n" + "".join(
        f"- job_name: {name}\n  scrape_interval: 1m\n  nomad_sd_configs: [{{server: 'http://{nomad.address}', refresh_interval: 300ms, {more}}}]\n"
        "  relabel_configs:\n" + "".join(f"  - {{source_labels: [__meta_nomad_{m}], target_label: {m}}}\n" for m in meta)
        for name, more in (("all", "namespace: '*'"), ("more", "namespace: default, region: eu, tag_separator: '|', allow_stale: false")))
    theirs = VMAgent(config.replace("refresh_interval: 300ms, ", ""), "-promscrape.nomadSDCheckInterval=1s", "-remoteWrite.url=http://127.0.0.1:1/")
    ours = Sluice(config)
    assert len(targets(ours, "all")) == 3, "the start does not wait for the targets"
    for job in ("all", "more"):
        same_labels(ours, theirs, 3, job, job)
    every, one = "namespace=%2A&region=global&stale=", "namespace=default&region=eu"
    assert nomad.asked == {(path, query) for query in (every, one) for path in ("/v1/services", "/v1/service/web%20app", "/v1/service/db")}
    nomad.status = 500
    wait_until(lambda: ours.metric("prometheus_sd_nomad_failures_total") > 2)
    assert len(targets(ours, "all")) == 3, "targets are lost by a failure"
    nomad.status = 200
    with nomad.lock:
        del nomad.instances["db"]
        nomad.instances["web app"][0]["Tags"] = None
    wait_until(lambda: len(targets(ours, "all")) == 2 and "tags" not in dict(targets(ours, "all")[0][1]), what="no tags, as in Prometheus, where vmagent has two separators")
    defaults = Sluice(f"scrape_configs: [{{job_name: j, nomad_sd_configs: [{{server: '{nomad.address}'}}]}}]\n", "-promscrape.nomadSDCheckInterval=100ms", name="defaults")
    with nomad.lock:
        nomad.instances["new"] = [nomad_instance("new", 70)]
    wait_until(lambda: len(targets(defaults)) == 3)


class FakeEureka(fakes.Fake):
    """https://github.com/Netflix/eureka/wiki/Eureka-REST-operations, in XML and in JSON; apps: {name: [instance]}"""

    def __init__(self, apps):
        self.apps, self.status = apps, 200
        super().__init__()

    def xml(self):
        def element(name, value):
            if isinstance(value, dict):
                attributes = "".join(f' {k[1:]}="{v}"' for k, v in value.items() if k.startswith("@"))
                inside = "".join(str(v) if k == "$" else element(k, v) for k, v in value.items() if not k.startswith("@"))
                return f"<{name}{attributes}>{inside}</{name}>"
            return f"<{name}>{value}</{name}>"
        return "<applications><versions__delta>1</versions__delta>" + "".join(
            f"<application><name>{name}</name>{''.join(element('instance', i) for i in all_of)}</application>" for name, all_of in self.apps.items()) + "</applications>"

    def json(self):
        """A list with one item is that item."""
        one = lambda items: items[0] if len(items) == 1 else items
        return json.dumps({"applications": {"versions__delta": "1", "apps__hashcode": "UP_1_",
                                            "application": one([{"name": name, "instance": one(all_of)} for name, all_of in self.apps.items()])}})

    def answer(self, request, body):
        wants_json = "application/json" in request.headers.get("Accept", "")
        if self.status != 200 or request.path != "/eureka/apps":
            return request.reply(self.status if self.status != 200 else 404, b"scripted")
        text, kind = (self.json(), "application/json") if wants_json else (self.xml(), "application/xml")
        return request.reply(200, text.encode(), Content_Type=kind)


def eureka_instance(host, port, **more):
    return {"instanceId": f"{host}:app:{port}", "hostName": host, "app": "APP", "ipAddr": "127.0.0.22", "status": "UP", "overriddenstatus": "UNKNOWN",
            "port": {"$": port, "@enabled": "true"}, "securePort": {"$": 443, "@enabled": "false"}, "countryId": 1,
            "dataCenterInfo": {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"},
            "metadata": {"management.port": "8090", "zone": "z1"}, "homePageUrl": f"http://{host}/", "statusPageUrl": f"http://{host}/info",
            "healthCheckUrl": f"http://{host}/health", "vipAddress": "app", "secureVipAddress": "app", "isCoordinatingDiscoveryServer": "false", **more}


@waits
def test_eureka_sd_finds_what_vmagent_finds():
    eureka = FakeEureka({"APP": [eureka_instance("127.0.0.23", 8080), eureka_instance("127.0.0.24", 8081, status="DOWN", dataCenterInfo={
        "@class": "com.netflix.appinfo.AmazonInfo", "name": "Amazon", "metadata": {"ami-id": "ami-1", "availability-zone": "eu-1a"}})], "ONE": [eureka_instance("127.0.0.25", 9)]})
    meta = ["app_name"] + [f"app_instance_{m}" for m in (
        "hostname homepage_url statuspage_url healthcheck_url ip_addr vip_address secure_vip_address status port port_enabled secure_port secure_port_enabled "
        "datacenterinfo_name datacenterinfo_metadata_ami_id country_id id metadata_management_port metadata_zone").split()]
    config = (f"scrape_configs:\n- job_name: j\n  scrape_interval: 1m\n  eureka_sd_configs: [{{server: 'http://{eureka.address}/eureka'}}]\n"
              "  relabel_configs:\n" + "".join(f"  - {{source_labels: [__meta_eureka_{m}], target_label: {m}}}\n" for m in meta))
    theirs = VMAgent(config, "-promscrape.eurekaSDCheckInterval=1s", "-remoteWrite.url=http://127.0.0.1:1/")
    ours = Sluice(config, "-promscrape.eurekaSDCheckInterval=300ms")
    assert len(targets(ours)) == 3, "the start does not wait for the targets"
    same_labels(ours, theirs, 3, "j", "all")
    for spoil in ({"status": 500}, {"apps": None}):
        before, good = ours.metric("sluice_sd_eureka_failures_total"), dict(eureka.__dict__)
        eureka.__dict__.update(spoil)
        if eureka.apps is None:
            eureka.json = lambda: "{}"
        wait_until(lambda: ours.metric("sluice_sd_eureka_failures_total") > before)
        assert len(targets(ours)) == 3, "targets are lost by a failure"
        eureka.__dict__.update(good)
        eureka.__dict__.pop("json", None)
    eureka.apps = {"ONE": [eureka_instance("127.0.0.25", 9)]}
    wait_until(lambda: len(targets(ours)) == 1, what="one application with one instance, neither in a list")
    same_labels(ours, theirs, 1, "j", "one")
