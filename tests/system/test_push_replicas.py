# SPDX-License-Identifier: Apache-2.0
"""Push-down to groups of replicas: each step goes to one that is complete, and where none is, samples are merged here."""
import time

import promql_data
promql_data.BEGIN = int(time.time()) // 7200 * 7200 - 4 * 3600 # coverage is known of the last month only
import push_down # noqa: E402 (its queries are about the time of the data)
from lib import *


def requests_of(sluice, window):
    """Of the selector: a server that is late, as on a busy machine, is checked by others, and once more it may be in time."""
    for _ in range(5):
        explained = sluice.data("/api/v1/explain", window)
        found = [r for r in explained["requests"] if "temperature" in r["query"]]
        if len(found) == len(explained["requests"]):
            break
    return len(found), explained


def test_raw_samples_come_from_one_complete_replica():
    pushing, merging = push_down.start_replicas("24", [], [(3900, 4300)])
    window = {"query": "temperature[5m]", "time": promql_data.BEGIN + 900}
    push_down.await_coverage(pushing, promql_data.BEGIN + 900)
    n, explained = requests_of(pushing, window)
    assert n == 1 and not explained["merged"], explained
    assert requests_of(merging, window)[0] == 2
    same_answer(pushing.data("/api/v1/query", window), merging.data("/api/v1/query", window))
    window["time"] = promql_data.BEGIN + 4200 # the first has all of it, too
    assert requests_of(pushing, window)[0] == 1
    same_answer(pushing.data("/api/v1/query", window), merging.data("/api/v1/query", window))


def test_label_apis_ask_one_complete_replica():
    pushing, merging = push_down.start_replicas("24", [], [(3900, 4300)])
    times = {"start": promql_data.BEGIN + 700, "end": promql_data.BEGIN + 1500}
    push_down.await_coverage(pushing, promql_data.BEGIN + 900)

    def asked(sluice, path, params):
        """(the result, how many servers were asked)"""
        def count():
            return sum(sluice.metric("server_group_request_duration_seconds_count", f'call="{call}"')
                       for call in ("label_names", "label_values", "series"))
        before = count()
        data = sluice.data(path, params)
        return data, count() - before
    for path in ("/api/v1/label/instance/values", "/api/v1/labels", "/api/v1/series"):
        for match in ({}, {"match[]": "temperature"}):
            if match or not path.endswith("series"):
                data, servers = asked(pushing, path, {**times, **match})
                assert (data, 2) == asked(merging, path, {**times, **match}) and data, path
                assert servers == 1, (path, match, servers)
    late = {"start": promql_data.BEGIN + 3800, "end": promql_data.BEGIN + 4400}
    assert asked(pushing, "/api/v1/labels", late)[1] == 1  # the first one has all of it
    assert asked(pushing, "/api/v1/labels", {})[1] == 2
    assert asked(pushing, "/api/v1/labels", {**times, "start": promql_data.BEGIN - 40 * 86400})[1] == 2


def test_balanced_servers_are_asked_in_turn():
    """All servers get their share, and copies have equal results."""
    servers = [push_down.prometheus(f"replica-{k}", push_down.Scraped("24")) for k in range(2)]
    targets = ", ".join(f"'{s.address}'" for s in servers)
    for mode in ("merge", "first_available"):
        sluice = Sluice(f"server_groups: [{{name: pair, balance: rotate, read_mode: {mode}, trust_untargeted: true, "
                        f"static_configs: [{{targets: [{targets}]}}]}}]\n", name=mode)
        wait_until(lambda: sluice.metric("sluice_upstream_up") == 2)
        at = promql_data.BEGIN + 900
        if mode == "merge":
            push_down.await_coverage(sluice, at)
        for query in ("temperature[5m]", "sum(max_over_time(temperature[5m]))"):
            wait_until(lambda: len(requests_of(sluice, {"query": query, "time": at})[1]["requests"]) == 1)
            asked, right = [], sluice.query(query, at)
            for _ in range(5):
                asked.append(sluice.data("/api/v1/explain", {"query": query, "time": at})["requests"][0]["server"])
                same_answer(sluice.query(query, at), right)
                sluice.query("vector(1)", at)  # has its turn, too
            assert all(asked.count(f"http://{s.address}") >= 2 for s in servers), (mode, query, asked)
