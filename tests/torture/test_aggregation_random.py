# SPDX-License-Identifier: Apache-2.0
"""ROUNDS (40) random sets of rules and flags of stream aggregation, and random pushes, through sluice and a real vmagent, from
SEED (1) on: what arrives is compared, series by series and sample by sample. Left out is what depends on when the programs start
(deduplication without rules, first samples of counters) and where vmagent does otherwise (counters with windows)."""
import os
import random

from aggregation import OUTPUTS, both, differences
from lib import *

ROUNDS, SEED = int(os.environ.get("ROUNDS", "40")), int(os.environ.get("SEED", "1"))
COUNTERS = {"increase", "increase_prometheus", "rate_avg", "rate_sum", "total", "total_prometheus"}


def some(dice, items, most):
    return sorted(dice.sample(items, dice.randrange(1, most + 1)))


def random_rule(dice, windows, keep_input):
    outputs = [o for o in some(dice, OUTPUTS, 6) if not windows or o not in COUNTERS] or ["avg"]
    parts = [f"interval: {dice.choice(['2s', '3s', '4s'])}", "staleness_interval: 12s",
             f"ignore_first_sample_interval: {dice.choice(['0s', '1m'])}"]
    if not keep_input and dice.random() < 0.2 and not outputs[0].startswith(("quantiles", "histogram")):
        outputs = outputs[:1]
        parts.append("keep_metric_names: true")
    parts.append("outputs: [" + ", ".join(f"'{o}'" for o in outputs) + "]")
    match = dice.choice(["", "c", "g", "[c, other]", "'{job=~\"j[12]\"}'", "['g{job=\"j1\"}', '{instance=~\"i1.*\"}']"])
    if match:
        parts.append(f"match: {match}")
    grouping = dice.choice(["", "by", "without"])
    if grouping:
        parts.append(f"{grouping}: [{', '.join(some(dice, ['job', 'instance', 'replica', 'missing'], 3))}]")
    if dice.random() < 0.25:
        parts.append(f"drop_input_labels: [{', '.join(some(dice, ['replica', 'instance'], 2))}]")
    if dice.random() < 0.25 and not windows:
        parts.append("dedup_interval: 1s")
    if dice.random() < 0.2:
        parts.append("ignore_first_intervals: 1")
    if dice.random() < 0.2:
        parts.append("ignore_old_samples: true")
    if dice.random() < 0.25:
        parts.append("input_relabel_configs: [{source_labels: [instance], regex: 'i(.).*', target_label: tens}]")
    if dice.random() < 0.25:
        parts.append("output_relabel_configs: [{source_labels: [job], regex: j3, action: drop}, {target_label: place, replacement: here}]")
    return "{" + ", ".join(parts) + "}"


def forget_zeros(ours, theirs):
    """Before 1.146 vmagent writes an increase of 0 for a group without samples."""
    for labels, samples in theirs.items():
        times = {t for t, _ in ours.get(labels, [])}
        theirs[labels] = [(t, v) for t, v in samples if v != 0 or t in times]


def round_of(seed):
    dice = random.Random(seed)
    windows, keep = dice.random() < 0.25, dice.random() < 0.3
    rules = sorted({random_rule(dice, windows, keep) for _ in range(dice.randrange(1, 4))})
    path = write_file("aggr.yml", "".join(f"- {rule}\n" for rule in rules))
    prefix = dice.choice(["-streamAggr", "-remoteWrite.streamAggr"])
    flags = [f"{prefix}.config={path}"]
    flags += [f"{prefix}.{name}" for name, on in (("keepInput", keep), ("dropInput", dice.random() < 0.3), ("enableWindows", windows)) if on]
    ours, theirs = both(flags, seed, interval_ms=4000, intervals=3, settle_ms=9000 if windows else 1500, dedup_ms=1000)
    if "increase" in str(rules):
        forget_zeros(ours, theirs)
    return rules, flags, differences(ours, theirs), len(theirs)


@seconds(40 * ROUNDS + 60)
def test_random_rules():
    wrong, compared = [], 0
    for seed in range(SEED, SEED + ROUNDS):
        rules, flags, lines, n = round_of(seed)
        compared += n
        print(f"seed {seed}: {n} series, {len(lines)} differ", flush=True)
        if lines:
            wrong.append(f"seed {seed}: {flags}\n" + "\n".join(rules) + "\n" + "\n".join(lines[:3]))
    assert not wrong, f"{len(wrong)} of {ROUNDS} rounds differ:\n" + "\n\n".join(wrong)
    assert compared > 20 * ROUNDS
