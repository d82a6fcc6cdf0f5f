# SPDX-License-Identifier: Apache-2.0
"""A lane works on what is large in slices: everything arrives, once and in order, and its turns stay short."""
import threading
import time

from lib import *


def longer_than(sluice, limit):
    """The share of the turns that took more CPU time than that."""
    counts = lane_turns(sluice)
    return sum(n for bound, n in counts if bound > limit) / max(1, sum(n for _, n in counts))


def count(sluice, selector, time_s):
    data = sluice.get("/api/v1/query", {"query": f"sum(count_over_time({selector}[1h]))", "time": time_s}).json()["data"]
    return float(data["result"][0]["value"][1]) if data["result"] else 0


def large_push(now):
    """8 MiB: one series of very many samples, and many series whose samples are spread over the body."""
    series = [({"__name__": "long"}, [(now * 1000 - 200000 + i, i) for i in range(200000)])]
    for k in range(10):
        series += [({"__name__": "spread", "id": str(i), "text": "x" * 40}, [(now * 1000 - 10000 + k * 1000, k)])
                   for i in range(5000)]
    return series


@seconds(60)
def test_large_push_arrives_whole():
    sluice = Sluice("recent: {}\n")
    now = int(time.time())
    answer = push(f"{sluice.url}/api/v1/write", large_push(now))
    assert answer.status == 204, answer
    assert count(sluice, "long", now) == 200000  # seen as soon as it is acknowledged
    assert count(sluice, "spread", now) == 50000
    data = sluice.get("/api/v1/query", {"query": "sum(changes(long[1h]))", "time": now}).json()["data"]
    assert float(data["result"][0]["value"][1]) == 199999
    assert sluice.metric("vmagent_rows_inserted_total", "promremotewrite") == 250000


@seconds(60)
def test_large_push_is_taken_whole_or_not_at_all():
    sluice = Sluice("recent: {}\n")
    now = int(time.time())
    body = wire.write_request(large_push(now)) + b"\x0a\x7f"  # a series of 127 bytes that are not there
    answer = request(f"{sluice.url}/api/v1/write", data=wire.snappy_compress(body), headers={
        "Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"})
    assert answer.status == 400, answer
    assert count(sluice, '{__name__=~".+"}', now) == 0
    assert push(f"{sluice.url}/api/v1/write", [({"__name__": "after"}, [(now * 1000, 1)])]).status == 204
    assert count(sluice, "after", now) == 1


@seconds(60)
def test_large_pushes_end_with_the_program():
    """Wherever a stop finds them: waiting for the worker that decompresses, on it, or being stored."""
    body = wire.snappy_compress(wire.write_request(large_push(int(time.time())) * 2))
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
    for delay in (0, 0.05):
        sluice = Sluice("recent: {}\n", "--lanes=1")
        statuses = []

        def send(sluice=sluice, statuses=statuses):
            statuses.append(request(f"{sluice.url}/api/v1/write", data=body, headers=headers, timeout=20).status)

        senders = [threading.Thread(target=send) for _ in range(4)]
        for s in senders:
            s.start()
        wait_until(lambda: sluice.metric("vmagent_http_requests_total", "promremotewrite") >= 1, 20, "a push", every=0.01)
        time.sleep(delay)
        sluice.stop()
        for s in senders:
            s.join()
        assert all(s in (0, 204, 503) for s in statuses), statuses


@seconds(60)
def test_page_of_new_series_is_worked_on_in_slices():
    pages = ["".join(f'm{i % 100}{{id="{i}",page="{n}"}} {i}\n' for i in range(300000)) for n in (0, 1)]
    exporter = ScriptedExporter(page=lambda n, _: pages[n % 2])  # two pages in turn that have no series in common
    sluice = Sluice(f"""
global: {{scrape_interval: 4s, scrape_timeout: 4s}}
scrape_configs:
- job_name: large
  static_configs: [{{targets: ['{exporter.address}']}}]
remote_write: [{{url: 'http://127.0.0.1:9/write'}}]
""", "--lanes=1")
    # the second page writes its own series and the stale markers of the first
    wait_until(lambda: sluice.metric("vm_promscrape_scrape_duration_seconds_count") >= 2, 40, "two pages", every=0.2)
    stale = sluice.metric("vm_promscrape_stale_samples_created_total")
    assert stale >= 300000
    # the target goes, perhaps while its next page is read
    assert sluice.reconfigure("remote_write: [{url: 'http://127.0.0.1:9/write'}]\n").status == 200
    wait_until(lambda: sluice.metric("vm_promscrape_stale_samples_created_total") >= stale + 300000, 20, "markers")
    exporter.stop()
    assert longer_than(sluice, 0.02) == 0, lane_turns(sluice)
    assert longer_than(sluice, 0.005) < 0.01, lane_turns(sluice)


@seconds(60)
def test_the_recent_store_evicts_in_slices():
    release_build()
    sluice = Sluice("recent: {}\n", "--lanes=1")
    now = now_ms()
    for part in range(30):  # of 300,000 series, about half as many have room
        series = [({"__name__": "new", "part": str(part), "id": str(i)}, [(now + part * 1000, i)]) for i in range(10000)]
        assert push(f"{sluice.url}/api/v1/write", series).status == 204
    assert sluice.metric("sluice_recent_evicted_series_total") > 50000
    assert count(sluice, 'new{part="29"}', now / 1000 + 30) == 10000
    assert longer_than(sluice, 0.02) == 0, lane_turns(sluice)
