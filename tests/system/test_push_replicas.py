# SPDX-License-Identifier: Apache-2.0
"""Push-down to groups of replicas: each step goes to one that is complete, and where none is, samples are merged here."""
import time

import promql_data
promql_data.BEGIN = int(time.time()) // 7200 * 7200 - 4 * 3600 # coverage is known of the last month only
import push_down # noqa: E402 (its queries are about the time of the data)
from lib import *


def test_raw_samples_come_from_one_complete_replica():
    pushing, merging = push_down.start_replicas("24", [], [(3900, 4300)])
    window = {"query": "temperature[5m]", "time": promql_data.BEGIN + 900}
    push_down.await_coverage(pushing, promql_data.BEGIN + 900)
    explained = pushing.data("/api/v1/explain", window)
    assert len(explained["requests"]) == 1 and not explained["merged"], explained
    assert len(merging.data("/api/v1/explain", window)["requests"]) == 2
    same_answer(pushing.data("/api/v1/query", window), merging.data("/api/v1/query", window))
    window["time"] = promql_data.BEGIN + 4200 # the first has all of it, too
    assert len(pushing.data("/api/v1/explain", window)["requests"]) == 1
    same_answer(pushing.data("/api/v1/query", window), merging.data("/api/v1/query", window))
