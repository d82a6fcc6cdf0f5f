# SPDX-License-Identifier: Apache-2.0
"""Every layout of tests/system/layouts.py: QUERIES=2000 of each, in portions of 100 that are printed with their seed.

A run that was ended is continued by the next one: build/torture/layouts has the portions of each layout and seed that are
done, until all are. SEED=1,2 sets the seeds, LAYOUT=holes,groups the layouts.

Of the distributive aggregations of each layout, the share that needed no raw samples is printed; where series without
targets are not trusted, which are merged raw, also that of the others. It must be SHARE where the
replicas lack about what they do in real installations (layouts.REAL) and servers can evaluate everything. HOLES are so
dense that about half of the aggregations reads, at some step, a target that no replica has complete; by definition that is
merged here. Of those that could be evaluated without raw samples (tests/system/complete.py), OF_POSSIBLE must be.
"""
import json
import os

import layouts
from lib import *

QUERIES = int(os.environ.get("QUERIES", "2000"))
SEEDS = os.environ.get("SEED", "1").split(",")
NAMES = os.environ.get("LAYOUT", ",".join(layouts.LAYOUTS)).split(",")
FOLDER = f"{ROOT}/build/torture/layouts"
SHARE, SHARED = 0.6, ("one", "labeled", "disjoint", "trusted", "copies", "partial", "real", "real_groups", "real_disjoint",
                      "real_three", "real_old", "real_mixed_old")


OF_POSSIBLE = 0.8
COUNTS = ("distributive", "without_raw", "untargeted", "possible", "possible_without_raw")
NOTHING = {"portions": 0, "wrong": [], **{count: 0 for count in COUNTS}}


def path_of(name, seed):
    return f"{FOLDER}/{name}-{seed}-{QUERIES}.json"


def done_before(name, seed):
    if not os.path.exists(path_of(name, seed)):
        return NOTHING
    with open(path_of(name, seed), encoding="utf-8") as f:
        return {**NOTHING, **json.load(f)}


def run_layout(name, seed):
    """What was found by this run and by those that it continues."""
    done = found = done_before(name, seed)
    if done["portions"] * 100 >= QUERIES:
        return done
    for portion, comparison in layouts.portions(name, seed, QUERIES, done["portions"]):
        found = {"portions": portion + 1, "wrong": done["wrong"] + [[str(x) for x in w] for w in comparison.wrong],
                 **{count: done[count] + getattr(comparison, count) for count in COUNTS}}
        print(f"{name} seed {seed} portion {portion}: {comparison.asked} queries, {len(comparison.wrong)} differ; of "
              f"{comparison.distributive} distributive aggregations {comparison.without_raw} without raw samples", flush=True)
        with open(path_of(name, seed), "w", encoding="utf-8") as f:
            json.dump(found, f)
    comparison.report()
    return found


@seconds(24 * 3600)
def test_layouts():
    os.makedirs(FOLDER, exist_ok=True)
    every = [(name, seed) for name in NAMES for seed in SEEDS]
    if all(done_before(*one)["portions"] * 100 >= QUERIES for one in every):
        for one in every:
            os.remove(path_of(*one))
    found = {one: run_layout(*one) for one in every}
    few = []
    for (name, seed), f in found.items():
        share = f["without_raw"] / max(f["distributive"], 1)
        known = f["distributive"] - f["untargeted"]
        more = f" ({f['without_raw'] / max(known, 1):.0%} of the {known} over series of targets)" if f["untargeted"] else ""
        of_possible = f["possible_without_raw"] / max(f["possible"], 1)
        print(f"{name} seed {seed}: {share:.0%} of {f['distributive']} distributive aggregations without raw samples{more}, "
              f"{of_possible:.0%} of the {f['possible']} that can be, {len(f['wrong'])} results differ", flush=True)
        few += [name] * (name in SHARED and share < SHARE and f["distributive"] >= 100)
        few += [f"{name} of those that can be"] * (set(layouts.LAYOUTS[name].kinds) == {"new"} and of_possible < OF_POSSIBLE
                                                   and f["possible"] >= 100)
    counts = {f"{name} {seed}": len(f["wrong"]) for (name, seed), f in found.items() if f["wrong"]}
    assert not counts, f"results differ: {counts}"
    assert not few, f"less than {SHARE:.0%} without raw samples: {few}"
