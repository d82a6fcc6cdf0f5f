# SPDX-License-Identifier: Apache-2.0
"""Every layout of tests/system/layouts.py: QUERIES=2000 of each, in portions of 100 that are printed with their seed.

A run that was ended is continued by the next one: build/torture/layouts has the portions of each layout and seed that are
done, until all are. SEED=1,2 sets the seeds, LAYOUT=holes,groups the layouts.
"""
import json
import os

import layouts
from lib import *

QUERIES = int(os.environ.get("QUERIES", "2000"))
SEEDS = os.environ.get("SEED", "1").split(",")
NAMES = os.environ.get("LAYOUT", ",".join(layouts.LAYOUTS)).split(",")
FOLDER = f"{ROOT}/build/torture/layouts"


def run_layout(name, seed):
    """Mismatches of this run and of those that it continues."""
    path = f"{FOLDER}/{name}-{seed}-{QUERIES}.json"
    os.makedirs(FOLDER, exist_ok=True)
    done = json.load(open(path, encoding="utf-8")) if os.path.exists(path) else {"portions": 0, "wrong": []}
    if done["portions"] * 100 >= QUERIES:
        done = {"portions": 0, "wrong": []}
    for portion, comparison in layouts.portions(name, seed, QUERIES, done["portions"]):
        wrong = done["wrong"] + [[str(x) for x in w] for w in comparison.wrong]
        print(f"{name} seed {seed} portion {portion}: {comparison.asked} queries, {len(comparison.wrong)} differ; of "
              f"{comparison.distributive} distributive aggregations {comparison.without_raw} without raw samples", flush=True)
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"portions": portion + 1, "wrong": wrong}, f)
    comparison.report()
    return wrong


@seconds(24 * 3600)
def test_layouts():
    wrong = {}
    for name in NAMES:
        for seed in SEEDS:
            wrong[name, seed] = run_layout(name, seed)
    counts = {f"{name} {seed}": len(found) for (name, seed), found in wrong.items() if found}
    assert not counts, f"results differ: {counts}"
