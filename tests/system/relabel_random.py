# SPDX-License-Identifier: Apache-2.0
"""Random relabel rules and label sets: of the actions that Prometheus and vmagent share, and of vmagent's."""
import json

NAMES = ["a", "b", "c", "env", "host_name", "__tmp", "__meta_x"]
VALUES = ["a", "b", "x", "a;b", "a-b-c", "dev", "prod-1", "Aé", "10.0.0.1:80", "$1", "a.b.c", "{{a}}", "ü"]
REGEXES = ["(.*)", "a", "a|b", "(.+)", "([^;]+);(.+)", "([a-z]+)-(.*)", "dev|prod.*", "", ".*b.*", "(a|b)?(.*)", "[^:]+:(\\d+)",
           "(?i)A.*", "(?P<first>.).*", "x*", "(.)(.)(.*)"]
NAME_REGEXES = ["a", "b|c", "__meta_(.+)", "(.)", "env", "(host)_(name)", "__meta_.*", "[a-c]", "([^_]+)_(.+)", "h"]
REPLACEMENTS = ["$1", "x", "$2-$1", "${1}_", "", "$first", "$0", "a$$b", "$3", "$x", "pre-$1-$9"]
TARGETS = ["a", "b", "new", "__tmp", "env"]


def labels(random):
    return {name: random.choice(VALUES) for name in random.sample(NAMES, random.randint(0, len(NAMES)))}


def source(random, least=0):
    return [random.choice(NAMES + ["absent"]) for _ in range(random.randint(least, 3))]


def maybe(random, key, values, share=0.5):
    return {key: random.choice(values)} if random.random() < share else {}


def common_rule(random):
    """One that both programs accept."""
    action = random.choice(["replace"] * 4 + ["keep", "drop", "keepequal", "dropequal", "hashmod", "labelmap", "labeldrop",
                                              "labelkeep", "lowercase", "uppercase"])
    rule = {"action": action}
    if action == "replace":
        rule.update({"target_label": random.choice(TARGETS + ["t_$1", "${1}"]), **maybe(random, "regex", REGEXES),
                     **maybe(random, "replacement", REPLACEMENTS)})
    elif action in ("keep", "drop"):
        rule["regex"] = random.choice(REGEXES)
    elif action == "labelmap":
        rule.update({"regex": random.choice(NAME_REGEXES), **maybe(random, "replacement", ["$1", "m_$1", "${1}_x"])})
    elif action in ("labeldrop", "labelkeep"):
        kept = "|__.*|job|instance" if action == "labelkeep" else ""
        rule["regex"] = random.choice([r for r in NAME_REGEXES if r != "([^_]+)_(.+)"]) + kept
    else:
        rule["target_label"] = random.choice(TARGETS)
    if action == "hashmod":
        rule["modulus"] = random.choice([1, 2, 7, 1000])
    if action not in ("labelmap", "labeldrop", "labelkeep"):
        rule["source_labels"] = source(random, 0 if action == "replace" else 1)
        if action not in ("keepequal", "dropequal"):
            rule.update(maybe(random, "separator", ["", "-", ";;"], 0.2))
    return rule


SELECTORS = ['{a="a"}', '{b!=""}', 'm', '{env=~"dev|prod.*"}', '{a!~"a.*"}', '{a="x" or b="b"}', 'other', '{c=""}']
PATTERNS = ["m", "*", "a.*", "*.*.*", "m*", "*b*"]


def vmagent_rule(random):
    action = random.choice(["replace_all", "labelmap_all", "keep_if_equal", "drop_if_equal", "keep_if_contains",
                            "drop_if_contains", "keep_metrics", "drop_metrics", "graphite", "replace"])
    rule = {"action": action}
    if action in ("replace_all", "replace"):
        rule.update({"source_labels": source(random, 1), "target_label": random.choice(TARGETS),
                     "regex": random.choice(REGEXES if action == "replace" else ["-", "a", "[a-c]", "(.)b", "\\.", "é"]),
                     "replacement": random.choice(REPLACEMENTS + ["{{a}}", "x-{{ b }}-{{b}}$1", "{{__name__}}", "{{", "{{c}}{{env}}"])})
    elif action == "labelmap_all":
        rule.update({"regex": random.choice(["_", "a", "e(.)", "^h"]), "replacement": random.choice(["-", "", "x$1"])})
    elif action in ("keep_if_equal", "drop_if_equal"):
        rule["source_labels"] = source(random, 2)
    elif action in ("keep_if_contains", "drop_if_contains"):
        rule.update({"source_labels": source(random, 1), "target_label": random.choice(NAMES)})
    elif action in ("keep_metrics", "drop_metrics"):
        rule["regex"] = random.choice(["m", "m|n", ["a", "m.*"], "other"])
    else:
        rule.update({"match": random.choice(PATTERNS), "labels": {random.choice(TARGETS): random.choice(["$1", "x-$0", "${2}", "$$"])}})
    return {**rule, **maybe(random, "if", SELECTORS + [SELECTORS[:2], SELECTORS[3:6]], 0.4)}


def rules(random, *kinds):
    return [random.choice(kinds)(random) for _ in range(random.randint(1, 5))]


def text(value):
    """In YAML: JSON is."""
    return json.dumps(value, ensure_ascii=False)
