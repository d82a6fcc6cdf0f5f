# SPDX-License-Identifier: Apache-2.0
"""Two regions, each with a sluice and a storage, each sluice writes to both and reads both: each part is cut or killed in turn
over links with delay, loss and partitions. The endpoint of the other region (of both, if only a link or a storage fails)
answers all along, and in the end both storages have every sample. SEED=1,2,... chooses the losses; PHASE the seconds."""
import os

import regions
from lib import *

SEEDS = [int(seed) for seed in os.environ.get("SEED", "1,2").split(",")]
PHASE = float(os.environ.get("PHASE", "4"))


def run(seed, *storages):
    print(f"seed {seed}")
    both = regions.Regions(storages, seed)
    both.to_a.delay = both.to_b.delay = 0.04
    both.run(PHASE)
    print(f"{both.finish()} samples, {sum(len(r.polls) for r in both.regions)} queries")


@seconds(600)
def test_prometheus_and_victoria_metrics():
    for seed in SEEDS:
        run(seed, Prometheus(name=f"a{seed}", out_of_order="1h"), VictoriaMetrics(name=f"b{seed}"))


@seconds(600)
def test_two_prometheus():
    for seed in SEEDS:
        run(seed, Prometheus(name=f"a{seed}", out_of_order="1h"), Prometheus(name=f"b{seed}", out_of_order="1h"))
