# SPDX-License-Identifier: Apache-2.0
"""ROUNDS (50) rounds of kill -9 with random faults of the receiver (tests/system/crash_rounds.py), half of them in each
order of the backlog."""
import os
import random

from crash_rounds import Rounds
from lib import *

ROUNDS = int(os.environ.get("ROUNDS", "50"))


@seconds(ROUNDS * 20 + 120)
def test_crash_rounds():
    for drain in ("in_order", "newest_first"):
        rounds = Rounds(drain, int(os.environ.get("SEED", random.randrange(1 << 30))))
        rounds.run(ROUNDS // 2)
        rounds.check()
