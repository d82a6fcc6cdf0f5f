# SPDX-License-Identifier: Apache-2.0
"""MINUTES (3) of destinations that refuse, hang and are slow beside a healthy one; afterwards they get everything."""
import os

from lib import *
from test_destinations_apart import deliver_beside_faults

MINUTES = float(os.environ.get("MINUTES", "3"))


@seconds(int(MINUTES * 60) + 300)
def test_minutes_of_faults():
    sluice, pusher, sinks, figures = deliver_beside_faults(MINUTES * 60, targets=20, series=100)
    print(figures)
    wait_until(lambda: sluice.metric("vmagent_remotewrite_pending_data_bytes") == 0, 200, "all is delivered")
    for name in ("refusing", "hanging", "slow"):
        for labels, samples in sinks[name].find("pushed").items():
            lost = set(map(float, pusher.acknowledged)) - {v for _, v in samples}
            assert not lost, f"{name}: lost {sorted(lost)[:5]} of {dict(labels)}"
    sluice.stop()
