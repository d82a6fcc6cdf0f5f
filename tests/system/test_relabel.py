# SPDX-License-Identifier: Apache-2.0
"""What tests/relabel/vmagent.test says of relabel rules is what vmagent says."""
import html
import json
import random
import re

import relabel_random
from lib import *

LABEL = re.compile(r'"?([^",{}= ]+)"?="((?:[^"\\]|\\.)*)"')


def cases(path):
    """Name, label set, rules and outcome of each."""
    with open(path, encoding="utf-8") as f:
        for case in re.split(r"^== ", f.read(), flags=re.M)[1:]:
            name, rest = case.split("\n", 1)
            yield (name, *(part.strip() for part in re.split(r"^-- .*\n", rest, flags=re.M)))


def labels_of(text):
    """The labels in m{a="b"}, {"m", a="b"} or {a="b"}."""
    found = dict(LABEL.findall(text))
    name = re.match(r'[^{]*', text)[0] or (re.match(r'{"([^"]*)"(?!=)', text) or ["", ""])[1]
    return {**found, **({"__name__": name} if name else {})}


def in_braces(labels):
    """With the name as a label: vmagent reads `{"m"}` otherwise."""
    return "{" + ", ".join(f"{json.dumps(name)}={relabel_random.text(value)}" for name, value in labels.items()) + "}"


def test_actions_of_vmagent():
    vmagent, checked = VMAgent("scrape_configs: []\n", "-remoteWrite.url=http://127.0.0.1:1/"), 0
    for name, labels, rules, outcome in cases("tests/relabel/vmagent.test"):
        metric = in_braces(labels_of(labels)) if labels.startswith('{"') else labels
        said = vmagent.get("/metric-relabel-debug", {"metric": metric, "relabel_configs": rules, "format": "json"}).json()
        assert (said["status"] == "success") == (not outcome.startswith("case:")), f"{name}: {said}"
        if said["status"] == "success":
            result = html.unescape(said["resultingLabels"]).replace("\\u0027", "'")
            assert labels_of(result) == ({} if outcome == "dropped" else labels_of(outcome)), \
                f"{name}: {said}"
        checked += 1
    assert checked >= 56


def test_relabel_steps_of_a_job():
    """/api/v1/targets/relabel_steps: each rule of the job in Prometheus' JSON, the labels after it, and whether they are kept."""
    sluice = Sluice("scrape_configs:\n- job_name: x\n  static_configs: [{targets: ['127.0.0.1:1']}]\n  relabel_configs:\n"
                    "  - {source_labels: [__address__], regex: '(.*):.*', target_label: host}\n"
                    "  - {source_labels: [host, job], separator: '-', action: drop, regex: 'bad-.*'}\n"
                    "  - {source_labels: [host], modulus: 1, target_label: part, action: hashmod}\n- job_name: none\n")
    path = "/api/v1/targets/relabel_steps"

    def steps(labels, pool="x"):
        return sluice.data(path, {"scrapePool": pool, "labels": json.dumps(labels)})["steps"]
    kept = steps({"__address__": "h:1", "job": "x"})
    assert [s["keep"] for s in kept] == [True] * 3
    assert kept[0] == {"rule": {"source_labels": ["__address__"], "separator": ";", "regex": "(.*):.*", "target_label": "host",
                                "replacement": "$1", "action": "replace"}, "output": {"__address__": "h:1", "job": "x", "host": "h"}, "keep": True}
    assert kept[2]["rule"]["modulus"] == 1 and kept[2]["output"]["part"] == "0"
    dropped = steps({"__address__": "bad:1", "job": "x"})
    assert [(s["keep"], bool(s["output"])) for s in dropped] == [(True, True), (False, False), (False, False)], dropped
    assert steps({}, "none") == []
    discovered = sluice.data("/api/v1/targets")["activeTargets"][0]["discoveredLabels"]
    assert steps(discovered)[0]["output"]["host"] == "127.0.0.1"
    for params, why in (({"labels": "{}"}, "no scrapePool parameter"), ({"scrapePool": "x"}, "no labels parameter"),
                        ({"scrapePool": "y", "labels": "{}"}, "not found"), ({"scrapePool": "x", "labels": "[]"}, "expected an object"),
                        ({"scrapePool": "x", "labels": '{"a": 1}'}, "expected a string"), ({"scrapePool": "x", "labels": "{"}, "error parsing labels")):
        answer = sluice.get(path, params)
        assert answer.status == 400 and why in answer.json()["error"], (params, answer)


def test_random_rules_as_prometheus_applies_them():
    """Labels of targets after random rules of jobs, and which targets they drop. Prometheus' labelmap may make a label
    without a name."""
    generator, jobs = random.Random(13), []
    for i in range(200):
        labels = {name: value for name, value in relabel_random.labels(generator).items() if value}
        rules = [{"target_label": "__address__", "replacement": f"h:{i + 1}"}, *relabel_random.rules(generator, relabel_random.common_rule)]
        jobs.append({"job_name": f"j{i}", "scrape_interval": "1d", "relabel_configs": rules,
                     "static_configs": [{"targets": [f"h:{i + 1}"], "labels": labels}]})
    config = relabel_random.text({"scrape_configs": jobs})

    def outcome(server):
        def read():
            targets = server.data("/api/v1/targets")
            active = {t["scrapePool"]: {name: value for name, value in t["labels"].items() if name}
                      for t in targets["activeTargets"]}
            return len(active) + sum(targets["droppedTargetCounts"].values()) == len(jobs) and active
        return wait_until(read, 30, "targets")
    expected, found = outcome(Prometheus(config)), outcome(Sluice(config, "--dialect=prometheus"))
    assert 50 < len(expected) < len(jobs), len(expected)
    for job in jobs:
        name = job["job_name"]
        assert found.get(name) == expected.get(name), f"{job}\nPrometheus: {expected.get(name)}\nsluice: {found.get(name)}"


def test_random_rules_as_vmagent_applies_them():
    generator = random.Random(14)
    vmagent = VMAgent("scrape_configs: []\n", "-remoteWrite.url=http://127.0.0.1:1/")
    sluice = Sluice("scrape_configs: []\n", config_flag="-promscrape.config")
    kept = 0
    for _ in range(300):
        labels = {"__name__": generator.choice(["m", "a.b", "a.b.c", "other"]), **relabel_random.labels(generator)}
        metric = in_braces(labels)
        rules = relabel_random.text(relabel_random.rules(generator, relabel_random.common_rule, relabel_random.vmagent_rule))
        params = {"metric": metric, "relabel_configs": rules, "format": "json"}
        results = []
        for server in vmagent, sluice:
            said = server.get("/metric-relabel-debug", params).json()
            assert said["status"] == "success", (server, metric, rules, said)
            results.append(labels_of(html.unescape(said["resultingLabels"])))
        assert results[0] == results[1], f"{metric}\n{rules}\nvmagent: {results[0]}\nsluice: {results[1]}"
        kept += bool(results[0])
    assert 50 < kept < 290, kept
