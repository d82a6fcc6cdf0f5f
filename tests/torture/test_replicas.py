# SPDX-License-Identifier: Apache-2.0
"""Random schedules of two independent replicas (tests/system/replicas.py says what is right): restarts, stalls, reloads,
failures of one side, rolling restarts, a replica that lags or was added later, clocks 2 s apart, equal and mixed
intervals. SEED=7 (or 7,11) repeats seeds; PROMXY names a promxy to count beside.
"""
import os

import replicas
from lib import *

SEEDS = [int(seed) for seed in os.environ.get("SEED", "1,2,3,7,11,12,101,102").split(",")]


@seconds(900)
def test_random_schedules():
    replicas.compare_pair([s for seed in SEEDS for s in replicas.random_scenarios(seed, 60)], ("auto", "10s"))
