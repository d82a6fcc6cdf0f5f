# SPDX-License-Identifier: Apache-2.0
"""What tests/relabel/vmagent.test says of relabel rules is what vmagent says."""
import html
import json
import re

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
    name = re.match(r'[^{]*', text)[0]
    return {**found, **({"__name__": name} if name else {})}


def test_actions_of_vmagent():
    vmagent, checked = VMAgent("scrape_configs: []\n", "-remoteWrite.url=http://127.0.0.1:1/"), 0
    for name, labels, rules, outcome in cases("tests/relabel/vmagent.test"):
        said = vmagent.get("/metric-relabel-debug", {"metric": labels, "relabel_configs": rules, "format": "json"}).json()
        assert (said["status"] == "success") == (not outcome.startswith("case:")), f"{name}: {said}"
        if said["status"] == "success":
            result = html.unescape(said["resultingLabels"]).replace("\\u0027", "'")
            assert labels_of(result) == ({} if outcome == "dropped" else labels_of(outcome)), \
                f"{name}: {said}"
        checked += 1
    assert checked >= 46


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
