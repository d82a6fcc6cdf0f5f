# SPDX-License-Identifier: Apache-2.0
"""RELOADS (100) reloads under load (tests/system/reloads.py): no sample lost or doubled, no counter backwards, and over the
last 30 no growth of descriptors and memory."""
import os

from lib import *
from reloads import CYCLE, Load

RELOADS = int(os.environ.get("RELOADS", "100"))


@seconds(RELOADS * 2 + 120)
def test_reloads():
    load = Load()
    load.run(RELOADS)
    load.check_samples()
    load.check_figures(3 * CYCLE)
