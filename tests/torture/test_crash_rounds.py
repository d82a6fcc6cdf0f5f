# SPDX-License-Identifier: Apache-2.0
"""ROUNDS (50) rounds of kill -9 with random faults of the receiver and 100,000 series (tests/system/crash_rounds.py), half
of them in each order of the backlog; beside them the figures of as many rounds of vmagent (VMAGENT=0: none)."""
import os
import random

from crash_rounds import PHASES, Rounds, start_vmagent
from lib import *

ROUNDS = int(os.environ.get("ROUNDS", "50"))
SEED = int(os.environ.get("SEED", random.randrange(1 << 30)))
TARGETS, SERIES, INTERVAL_MS = int(os.environ.get("TARGETS", "100")), 1000, 4000


def phases(n):
    return [PHASES[i % len(PHASES)] for i in range(n)]


@seconds(ROUNDS * 25 + 300)
def test_crash_rounds():
    for drain in ("in_order", "newest_first"):
        rounds = Rounds(drain, SEED, targets=TARGETS, series=SERIES, interval_ms=INTERVAL_MS)
        rounds.run(phases(ROUNDS // 2))
        rounds.check()


@seconds(ROUNDS * 25 + 300)
def test_crash_rounds_of_vmagent():
    if os.environ.get("VMAGENT") == "0":
        raise Skip("VMAGENT other than 0")
    rounds = Rounds("in_order", SEED, start_vmagent, targets=TARGETS, series=SERIES, interval_ms=INTERVAL_MS)
    rounds.run(phases(ROUNDS // 2))
    print(rounds.summary())
