# SPDX-License-Identifier: Apache-2.0
"""What tests/relabel/vmagent.test says of relabel rules is what vmagent says."""
import html
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
