# SPDX-License-Identifier: Apache-2.0
"""The short form of tests/torture/test_two_regions.py."""
import regions
from lib import *


@seconds(60)
def test_two_regions():
    """While the link between two regions is cut or a part of one is killed, the endpoint of the other answers, and in the end
    both storages have every sample."""
    both = regions.Regions((Prometheus(out_of_order="1h"), VictoriaMetrics()))
    a, b = both.regions
    both.phase("partition", 1.2, *both.links(both.to_a, both.to_b), (a, b))
    both.phase("storage of b killed", 0.8, *both.killed(b.storage), (a, b))
    both.phase("sluice of a killed", 0.8, *both.killed(a.sluice), [b])
    assert both.finish() > 100
