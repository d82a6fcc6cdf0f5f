# SPDX-License-Identifier: Apache-2.0
"""Random PromQL through sluice's embedded store and through Prometheus: the same answers (promql_random.py runs more)."""
import promql_random
from lib import *
from promql_queries import ALL

SEED, QUERIES, FEWEST = "1", 2000, 20


@seconds(240)
def test_random_queries():
    comparison, uses = promql_random.run(SEED, QUERIES)
    promql_random.show_uses(uses)
    comparison.report()
    assert comparison.asked == QUERIES
    assert comparison.filled >= 0.7 * QUERIES, f"only {comparison.filled} answers are not empty"
    rare = {name: uses[name] for name in ALL if uses[name] < FEWEST}
    assert not rare, f"used fewer than {FEWEST} times: {rare}"
    assert not comparison.wrong, f"{len(comparison.wrong)} answers differ"
