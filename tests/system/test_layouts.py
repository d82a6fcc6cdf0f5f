# SPDX-License-Identifier: Apache-2.0
"""Server groups answer as one Prometheus that has everything (tests/torture/test_layouts.py has more of each layout)."""
import layouts
from lib import *

SEED = "1"


def zero_mismatches(name, queries, without_raw=0.0):
    """without_raw: share of the distributive aggregations that need no raw samples."""
    comparison = layouts.run(name, SEED, queries)
    assert not comparison.wrong, f"{len(comparison.wrong)} results differ"
    assert comparison.filled > 0.7 * queries
    assert comparison.without_raw >= without_raw * comparison.distributive > 0 or without_raw == 0
    return comparison


def test_groups_with_labels():
    zero_mismatches("labeled", 170, 0.6)


def test_groups_that_no_label_tells_apart():
    zero_mismatches("disjoint", 130, 0.6)


def test_partial_replica():
    zero_mismatches("partial", 100, 0.6)


def test_copies_that_lack_other_targets():
    zero_mismatches("target", 100, 0.45)


@seconds(240)
def test_copies_with_every_kind_of_hole():
    zero_mismatches("holes", 200, 0.35)


@seconds(240)
def test_groups_of_copies_with_every_kind_of_hole():
    zero_mismatches("groups", 200, 0.2)  # 0.28 to 0.46 by the age of the data


@seconds(240)
def test_prometheus_beside_victoria_metrics():
    zero_mismatches("mixed", 100)


@seconds(240)
def test_victoria_metrics_with_every_kind_of_hole():
    zero_mismatches("victoria_holes", 100)


@seconds(240)
def test_the_same_query_has_the_same_result():
    """20 times: also while more becomes known of the replicas, whose samples a range query takes from one or from both."""
    servers = layouts.Servers("groups", SEED)
    source = layouts.GroupQueries(servers.data, "the same")
    changed, sluice = [], layouts.promql_answers.Server(servers.sluices[0].url)
    for _ in range(40):
        path, params = source.request()
        answers = [layouts.ask_all(sluice, path, params) for _ in range(20)]
        if any(a != answers[0] and repr(a) != repr(answers[0]) for a in answers):
            changed.append((path, params))
    assert not changed, f"{len(changed)} of 40 queries have changing results: {changed[:3]}"
