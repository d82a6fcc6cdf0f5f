# SPDX-License-Identifier: Apache-2.0
"""Service discovery over the network, beside a real Prometheus with the same configuration."""
import json
import time

import fakes
from lib import *
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


def same_targets(ours, theirs, n, what):
    wait_until(lambda: len(targets(theirs)) == n and targets(ours) == targets(theirs), 10,
               lambda: f"{what}: {targets(ours)} is not {targets(theirs)}")


def failures(sluice):
    return sluice.metric("prometheus_sd_http_failures_total")


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
