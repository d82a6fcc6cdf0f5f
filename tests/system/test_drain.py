# SPDX-License-Identifier: Apache-2.0
"""The order in which a backlog and new samples are sent after an outage, over kill -9 and beside a limited rate."""
import os

from lib import *

BACKLOG, FILLER = 40, 2000
DIVIDES = "sending new samples first and the backlog beside them"
CONFIG = """
remote_write:
- name: sink
  url: '{url}'
  protocol: snappy
  drain: {drain}
  drain_rate_limit: {rate}
  queue_config: {{shards: {shards}, min_backoff: 30ms, max_backoff: 300ms}}
"""


def push_one(sluice, name, number, ms):
    """One sample of each of four series, which no compression makes smaller, so that each push is one block or two."""
    series = [({"__name__": name, "series": str(i), "filler": os.urandom(FILLER).hex()[:FILLER] if i == 0 else ""},
               [(ms, float(number))]) for i in range(4)]
    series = [({k: v for k, v in labels.items() if v}, samples) for labels, samples in series]
    assert push(f"{sluice.url}/api/v1/write", series).status == 204


def values(sink, name):
    """Of the series that is the same in all pushes, in the order of arrival."""
    return [v for s in sink.find(name, series="1").values() for _, v in s]


def begin(drain, rate, shards, victoriametrics=False):
    """A sluice that starts with BACKLOG blocks of an hour ago, whose destination has just begun to respond."""
    sink = RecordingSink()
    sink.status, sink.victoriametrics = 503, victoriametrics
    sluice = Sluice(CONFIG.format(url=sink.url, drain=drain, rate=rate, shards=shards), name=drain)
    hour_ago = now_ms() - 3600000
    for i in range(BACKLOG):
        push_one(sluice, "old", i, hour_ago + i * 1000)
    sluice.kill9()  # all of it is acknowledged, so it is on disk
    sink.status = 204
    sluice.start().wait_ready()
    return sluice, sink


def push_new(sluice, sink, number):
    push_one(sluice, "new", number, now_ms())
    wait_until(lambda: number in values(sink, "new"), 30, f"new sample {number}")


def await_division(sluice):
    """Until new samples go to a separate generation. A start begins none; what came before waits with the backlog."""
    wait_until(lambda: len(generations(sluice)) > 1, 30, "a generation for new samples")
    assert sluice.post("/-/reload").status == 200  # all lanes write to it


def generations(sluice):
    return [name for _, folders, _ in os.walk(sluice.data_folder) for name in folders if name[0] == "g"]


def check_newest_first(drain, victoriametrics):
    sluice, sink = begin(drain, "2KB", 2, victoriametrics) # half a minute
    wait_until(lambda: values(sink, "old"), 20, "the first block of the backlog")
    wait_until(lambda: sluice.metric("sluice_remotewrite_newest_first") == 1)
    await_division(sluice)
    for number in range(3):
        push_new(sluice, sink, number)
    assert sluice.log().count(DIVIDES) == 1, "one generation is enough, however many lanes deliver the backlog meanwhile"
    before = len(values(sink, "old"))
    assert before < BACKLOG, f"the backlog is still being sent: {before}"
    sluice.kill9()
    killed_at = len(values(sink, "old"))
    sluice.start().wait_ready()
    await_division(sluice)
    for number in range(3, 6):
        push_new(sluice, sink, number)
    assert len(set(values(sink, "old"))) < BACKLOG, "the backlog is still being sent"
    assert sluice.reconfigure(CONFIG.format(url=sink.url, drain=drain, rate=0, shards=2)).status == 200
    wait_until(lambda: len(set(values(sink, "old"))) == BACKLOG, 30, "all of the backlog")
    wait_until(lambda: sluice.metric("vmagent_remotewrite_pending_data_bytes") == 0)
    old, new = values(sink, "old"), values(sink, "new")
    assert sorted(set(old)) == list(range(BACKLOG)) and new == sorted(new) and set(new) == set(range(6)), f"{old}\n{new}"
    again = [v for i, v in enumerate(old) if v in old[:i]]
    assert len(again) <= 1, f"sent twice, at most what was in flight at the kill ({killed_at}): {again} of {old}"
    assert [v for i, v in enumerate(old) if v not in old[:i]] == sorted(set(old)), f"the backlog is in order: {old}"
    assert sluice.metric("sluice_remotewrite_samples_dropped_total") == 0
    assert len(generations(sluice)) == 1, f"drained generations are deleted: {generations(sluice)}"


def test_newest_first():
    check_newest_first("newest_first", False)


def test_victoriametrics_is_recognized():
    check_newest_first("auto", True)


def test_in_order():
    for drain in ("in_order", "auto"):
        sluice, sink = begin(drain, "200KB", 1)
        wait_until(lambda: values(sink, "old"), 20, "the first block of the backlog")
        push_new(sluice, sink, 0)
        assert values(sink, "old") == list(range(BACKLOG)), "the backlog is sent before"
        assert sluice.metric("sluice_remotewrite_newest_first") == 0
        sluice.stop()
