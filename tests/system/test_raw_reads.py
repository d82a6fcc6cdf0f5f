# SPDX-License-Identifier: Apache-2.0
"""What raw samples of Prometheus cost: bytes of memory, and requests."""
import random
import time

from lib import *
from test_upstream import groups, group, push_histograms


def requests_of(sluice, query, at):
    """Paths that were requested for a query, and its result."""
    answer = sluice.get("/api/v1/query", {"query": query, "time": at, "explain": "1"}).json()["data"]
    return [r["path"] for r in answer["explain"]["requests"]], answer["result"]


def test_native_histograms_are_requested_as_json_once():
    """Their JSON is incomplete, and their chunks are not decoded: the first query finds out, later ones of the metric know."""
    start = int(time.time()) - 300
    server = Prometheus("", "--enable-feature=native-histograms")
    push_histograms(server, start, 10)
    sluices = [Sluice(groups(group("one", server, **keys)), name=f"sluice{i}")
               for i, keys in enumerate(({}, {"push_down": "off"}, {"remote_read": False}))]
    for sluice in sluices:
        wait_until(lambda: sluice.metric("sluice_upstream_up") == 1)
        for i, query in enumerate(("h", "h", "rate(h[2m])", "sum(increase(h[3m])) / 2", 'avg by (job) (h{job!="x"})')):
            want = server.query(query, start + 150)
            paths, found = requests_of(sluice, query, start + 150)
            assert found[0]["histogram"] == want["result"][0]["histogram"], (query, paths, found)
            assert "/api/v1/read" in paths if i == 0 else paths == ["/api/v1/read"], (query, paths)
        # what makes numbers of them is still evaluated by the server
        paths, found = requests_of(sluice, "histogram_count(rate(h[2m]))", start + 150)
        assert paths == ["/api/v1/read" if sluice is sluices[1] else "/api/v1/query"], paths
        assert found == server.query("histogram_count(rate(h[2m]))", start + 150)["result"]


def test_samples_of_merged_replicas_are_packed():
    """100 series of 3,000 samples take 4.8 MB in an array; two replicas that have to be merged are to fit into less than one."""
    r, start = random.Random(1), int(time.time()) // 15 * 15 - 3000 * 15
    servers = [Prometheus("", name=f"prometheus{i}") for i in range(2)]
    series = []
    for i in range(100):
        v, samples = 0, []
        for k in range(3000):
            v += r.randrange(100)
            samples.append(((start + 15 * k) * 1000, float(v)))
        series.append(({"__name__": "m", "i": str(i)}, samples))
    for i, server in enumerate(servers):
        for at in range(0, 3000, 1000): # the first replica has a gap
            body = [(labels, [s for k, s in enumerate(samples[at:at + 1000]) if i or not 400 <= k < 420]) for labels, samples in series]
            assert push(server.write_url, body).status == 204
    sluice = Sluice(groups(group("pair", *servers, push_down="off")), "--query.max-memory=4MiB")
    at = start + 3000 * 15
    want = servers[1].query("sum(increase(m[12h]))", at)
    same_answer(sluice.query("sum(increase(m[12h]))", at), want)
