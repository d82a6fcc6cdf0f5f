# SPDX-License-Identifier: Apache-2.0
"""A destination and its backup: which of them has which samples after outages, kill -9 and reloads."""
import re
import time

from failover import *
from lib import *


def test_backup_is_silent():
    pair = Pair(after="60s")
    for _ in range(20):
        pair.push()
    wait_until(lambda: has(pair.main, pair.pushed), 30, "all samples in the primary")
    wait_until(pair.settled, 30, "the backup forgets what the primary has")
    check_complete(pair, pair.main, 0, "primary")
    assert numbers(pair.spare, 0) == [], "the backup gets nothing while the primary accepts samples"
    assert pair.sluice.metric("sluice_failover_windows", 'url="spare"') == 0


@waits
def test_outage():
    pair = Pair()
    for _ in range(5):
        pair.push()
    wait_until(lambda: has(pair.main, pair.pushed), 30, "the first samples")
    wait_until(pair.settled, 30)
    first, pair.main.status = pair.pushed, 503
    pair.push_while(pair.sending, what="the backup sends")
    for _ in range(10):
        pair.push()
    wait_until(lambda: has(pair.spare, pair.pushed - first), 30, "the backup has the outage")
    check_complete(pair, pair.spare, first, "backup during the outage")
    assert "backup of main, sending for" in pair.sluice.get("/targets", headers={"Accept": "text/plain"}).text
    pair.main.status = 204
    pair.push_while(lambda: not pair.sending(), what="the backup stops")
    wait_until(pair.settled, 30, "nothing is left")
    check_complete(pair, pair.main, 0, "primary")
    last = numbers(pair.spare, 0)
    assert last == [float(n) for n in range(first, first + len(last))], f"the backup has the outage without gaps: {last}"
    pair.push()
    wait_until(lambda: has(pair.main, pair.pushed) and pair.settled(), 30)
    assert numbers(pair.spare, 0) == last, "the backup gets nothing after the outage"
    assert pair.sluice.metric("sluice_failover_switches_total", 'url="spare"') == 1
    assert pair.sluice.metric("sluice_failover_windows", 'url="spare"') == 1
    wait_until(lambda: "its backup sends them" in pair.sluice.log() and "its backup stops" in pair.sluice.log())


@waits
def test_outage_in_the_middle_of_a_backlog():
    """The primary has taken some of the blocks that were queued."""
    pair = Pair()
    pair.main.hang = 0.3
    for _ in range(12):
        pair.push()
        time.sleep(0.1)  # a block each
    wait_until(lambda: all(len(numbers(pair.main, series)) >= 2 for series in range(SERIES)), 30, "some samples")
    pair.main.status, pair.main.hang = 503, 0
    pair.push_while(pair.sending, what="the backup sends")
    wait_until(lambda: all(pair.pushed - 1 in numbers(pair.spare, series) for series in range(SERIES)), 30, "the newest sample")
    for series in range(SERIES):
        main, spare = numbers(pair.main, series), numbers(pair.spare, series)
        assert len(main) < 12 and main == list(range(len(main))), f"series {series}: {main}"
        assert spare == list(range(int(spare[0]), pair.pushed)) and spare[0] <= len(main), f"series {series}: {main} and {spare}"
    pair.main.status = 204  # a stop waits for responses


@waits
def test_outage_with_kill9():
    outage_with_restarts("in_order", lambda sluice: sluice.kill9())


@waits
def test_backup_down_too():
    """What neither accepts is kept for both; the backup forgets it when the primary has it."""
    pair = Pair(hold="1s")
    pair.main.status = pair.spare.status = 503
    pair.push_while(pair.sending, what="the backup is to send")
    wait_until(lambda: pair.spare.requests, 10, "it tries")
    pair.main.status = 204
    pair.push_while(lambda: not pair.sending(), what="the primary accepts samples")
    wait_until(pair.settled, 30, "the backup keeps nothing that the primary has, though it never accepted a block")
    check_complete(pair, pair.main, 0, "primary")
    before = len(pair.spare.requests)
    pair.push()
    wait_until(lambda: has(pair.main, pair.pushed), 10)
    assert len(pair.spare.requests) == before, "it does not retry any more"


def test_reloads():
    """The backup becomes an ordinary destination, and a backup again."""
    pair = Pair(after="60s")
    pair.main.status = 503
    for _ in range(3):
        pair.push()
    assert numbers(pair.spare, 0) == []
    alone = pair.config().replace("  backup_of: main\n", "")
    assert pair.sluice.reconfigure(alone).status == 200
    pair.push()
    wait_until(lambda: has(pair.spare, pair.pushed), 20, "it gets everything, and what it had kept")
    check_complete(pair, pair.spare, 0, "ordinary destination")
    assert pair.sluice.reconfigure(pair.config()).status == 200
    pair.push()
    pair.main.status = 204
    wait_until(lambda: has(pair.main, pair.pushed) and pair.settled(), 30)
    assert has(pair.spare, pair.pushed - 1), "it is a backup again"
    check_complete(pair, pair.main, 0, "primary")


def test_blocks_are_those_of_the_primary():
    """Whatever decides what a block has is taken from the primary: otherwise the backup would be sent everything."""
    pair = Pair()
    for keys in ("protobuf_message: io.prometheus.write.v2.Request", "extra_labels: {a: b}", "send_metadata: false",
                 "write_relabel_configs: [{action: labeldrop, regex: x}]", "metadata_config: {send: false}",
                 "queue_config: {shards: 3, max_samples_per_send: 7, max_block_bytes: 1MiB}"):
        config = re.sub(r"\n  queue_config: {shards[^\n]*", "", pair.config()).replace("- name: main\n", f"- name: main\n  {keys}\n")
        assert pair.sluice.reconfigure(config).status == 200, keys
        assert 'sluice_failover_active{primary="main",url="spare"}' in pair.sluice.metrics(), f"{keys}: it is no backup any more"


def test_configuration_errors():
    pair = Pair()
    for change, error in ((("backup_of: main", "backup_of: nobody"), 'there is no remote_write entry named "nobody"'),
                          (("backup_of: main", "backup_of: spare"), '"spare" is, over others, a backup of itself'),
                          (("backup_of: main", "backup_of: third\n- name: third\n  url: http://127.0.0.1:9\n  backup_of: spare"),
                           'is, over others, a backup of itself'),
                          (("backup_of: main", "backup_of: main\n  extra_labels: {a: b}"), "a backup takes it from its primary"),
                          (("backup_of: main", "backup_of: main\n- name: third\n  url: http://127.0.0.1:9\n  backup_of: main"),
                           '"main" has another backup already')):
        answer = pair.sluice.reconfigure(pair.config().replace(*change))
        assert answer.status == 500 and error in answer.text, f"{change}: {answer}"


@waits
def test_backup_of_a_backup():
    """It is silent while the first backup accepts samples, has what that one does not accept, and the primary is complete."""
    third = RecordingSink()
    pair = Pair(more=f"- {{name: third, url: '{third.url}', backup_of: spare, protocol: snappy, failover_after: 1s, failover_hold: 1s,\n"
                     "   queue_config: {min_backoff: 30ms, max_backoff: 200ms}}\n")

    def active(name):
        return pair.sluice.metric("sluice_failover_active", f'url="{name}"') == 1

    def pending(*names):
        return sum(pair.sluice.metric("vmagent_remotewrite_pending_data_bytes", f'url="{name}"') for name in names)
    pair.push()
    wait_until(lambda: has(pair.main, pair.pushed) and pending("main", "spare", "third") == 0, 30, "the first samples")
    pair.main.status = 503
    pair.push_while(lambda: active("spare") and has(pair.spare, pair.pushed - 1), what="the first backup sends")
    pair.push_every(0.1, 2.5)
    wait_until(lambda: has(pair.spare, pair.pushed - 1), 30, "the first backup has the outage")
    wait_until(lambda: pending("third") == 0, 30, "the second backup forgets what the first has")
    assert not active("third") and not third.samples()
    pair.spare.status = 503
    first = pair.pushed
    pair.push_while(lambda: active("third"), what="the second backup sends")
    for _ in range(5):
        pair.push()
    wait_until(lambda: all(set(map(float, range(first, pair.pushed))) <= set(numbers(third, i)) for i in range(SERIES)), 30,
               "the second backup has what the first does not accept")
    pair.main.status = pair.spare.status = 204
    pair.push_while(lambda: not active("spare") and not active("third"), what="the backups stop")
    wait_until(lambda: pending("main", "spare", "third") == 0, 30, "nothing is left")
    check_complete(pair, pair.main, 0, "primary")
    for sink in (pair.spare, third):
        for i in range(SERIES):
            last = numbers(sink, i)
            assert last == [float(n) for n in range(int(last[0]), int(last[0]) + len(last))], f"without gaps: {last}"
    assert pair.sluice.metric("sluice_failover_switches_total", 'url="third"') == 1
    pair.push_every(0.1, 1)
    wait_until(lambda: pending("main") == 0, 30, "the primary accepts samples")
    pair.main.status = pair.spare.status = 503
    pair.push_while(lambda: active("third"), what="both fail at once")
    windows = [line.split() for path in windows_files(pair.sluice) for line in open(path, encoding="ascii")
               if " open " in line]
    assert len(windows) == 2 and len({w[2] for w in windows}) == 1, f"what the primary accepted, neither has: {windows}"


@waits
def test_backups_of_shards():
    """Each destination that shares the series may have a backup, which gets its series only, and moves none."""
    a, spare, b = sinks = [RecordingSink() for _ in range(3)]
    entries = [f"- {{name: {name}, url: '{sink.url}', protocol: snappy, queue_config: {{min_backoff: 30ms, max_backoff: 200ms}}"
               for name, sink in zip(("a", "spare", "b"), sinks)]
    config = ("shard: {hash: vmagent}\nremote_write:\n" + entries[0] + "}\n" +
              entries[1] + ", backup_of: a, failover_after: 1s, failover_hold: 1s}\n" + entries[2] + "}\n")
    sluice = Sluice(f"shard: {{hash: vmagent}}\nremote_write:\n{entries[0]}}}\n{entries[2]}}}\n", "--remoteWrite.flushInterval=100ms")
    pushed = 0

    def push_next():
        nonlocal pushed
        series = [({"__name__": "failover_test", "series": str(i)}, [(now_ms(), float(pushed))]) for i in range(SERIES)]
        assert push(f"{sluice.url}/api/v1/write", series).status == 204
        pushed += 1
        return True

    def owned(sink):
        return {i for i in range(SERIES) if numbers(sink, i)}

    def everywhere():
        return all(numbers(sink, i) == [float(n) for n in range(pushed)] for sink in (a, b) for i in owned(sink))
    push_next()
    wait_until(lambda: len(owned(a)) + len(owned(b)) == SERIES, 20, "all series without backups")
    before = owned(a), owned(b)
    assert before[0] and before[1] and not before[0] & before[1], before
    assert sluice.reconfigure(config).status == 200
    push_next()
    wait_until(everywhere, 20, "the samples after the reload, in the same places")
    a.status = 503
    wait_until(lambda: push_next() and all(len(numbers(spare, i)) > 3 for i in before[0]), 30, "the backup sends")
    assert owned(spare) == before[0], (owned(spare), before)
    a.status = 204
    wait_until(lambda: push_next() and sluice.metric("sluice_failover_active", 'url="spare"') == 0, 30, "the backup stops")
    wait_until(everywhere, 20, "all samples in the primaries")
    assert (owned(a), owned(b)) == before and owned(spare) == before[0]


def test_audit_without_an_outage():
    """Nothing is missing in a backup that was not in use (torture/test_failover.py has the outage)."""
    pair = audited_pair("audit: {match: failover_test, interval: 1s, since: 60s, window: 1s, delay: 1s}\n")
    pair.push_every(0.3, 4)
    wait_until(pair.settled, 30, "all samples in the primary")

    def audit(group):
        pair.main.flush()
        return audited_server(pair, group, since="60s", window="1s", delay="1s")
    wait_until(lambda: audit("storage")["written"] > SERIES * 3, 20, "what was written")
    found = audit("backup")
    assert {key: found[key] for key in ("written", "returned", "missing", "extra", "late")} == dict.fromkeys(
        ("written", "returned", "missing", "extra", "late"), 0), found
    wait_until(lambda: pair.sluice.metric("sluice_audit_up", 'group="backup"') == 1, 20, "an audit in the background")
    assert pair.sluice.metric("sluice_audit_missing_samples", 'group="backup"') == 0


@waits
def test_queries_through_an_outage():
    query_through_an_outage(VictoriaMetrics(name="main"), VictoriaMetrics(name="spare"))
