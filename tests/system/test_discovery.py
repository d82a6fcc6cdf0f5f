# SPDX-License-Identifier: Apache-2.0
"""Service discovery over the network, beside a real Prometheus with the same configuration."""
import json
import os
import socket
import struct
import threading
import time

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
