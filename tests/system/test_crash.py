# SPDX-License-Identifier: Apache-2.0
"""kill -9 in the middle of an outage: only samples younger than the flush interval are missing. SIGTERM at any time."""
import concurrent.futures
import os
import random
import shutil
import time

from bad_disk import BadDisk
from crash_rounds import Pusher, Rounds
from lib import *


@seconds(150)
def test_kill_in_an_outage():
    exporter, sink = ScriptedExporter(series=100), RecordingSink()
    sluice = Sluice(scripted_config(exporter, sink))
    wait_until(lambda: len(exporter.served) > 6 and sink.find("scripted_stamped_counter"), what="samples arrive")

    sink.stop()
    outage_began = now_ms()
    wait_until(lambda: sum(outage_began < ms < now_ms() - FLUSH_MS - SLACK_MS for _, ms, _ in exporter.served) >= 6,
               what="scrapes that a kill must not lose")
    accepted_before = len(sink.accepted)
    code = sluice.kill9()
    killed = now_ms()
    assert code == -9, f"sluice was not killed, it left with {code}"
    served_before_kill = len(exporter.served)
    time.sleep(0.7)  # more than an interval
    assert len(exporter.served) == served_before_kill, "something scraped while sluice was dead"

    sluice.start().wait_ready()
    assert sluice.metric("vm_app_prev_shutdown_unclean") == 1
    wait_until(lambda: "the last run did not stop cleanly" in sluice.log())
    page = sluice.get("/targets", headers={"Accept": "text/html"}).text
    assert "did not stop cleanly" in page and "<th>Free disk<th>Full in" in page
    wait_until(lambda: len(exporter.served) > served_before_kill + 2)
    assert len(sink.accepted) == accepted_before, "there was no outage: the sink took something"
    sink.start()
    wait_until(lambda: len(exporter.served) > served_before_kill + 8)
    exporter.status = 503
    last = (exporter.served[-1][1], float(exporter.served[-1][0]))
    wait_until(lambda: len([s for s in sink.find("scripted_stamped_counter").values() if last in s]) == 100, 30,
               "the last page of all 100 series")

    served = {(ms, float(n)) for n, ms, _ in exporter.served}
    found = sink.find("scripted_stamped_counter")
    assert len(found) == 100
    missing = {page: [dict(labels)["id"] for labels, samples in found.items() if page not in samples]
               for page in sorted(served)}
    missing = {page: ids for page, ids in missing.items() if ids}
    twice = sum(len(samples) - len(set(samples)) for samples in found.values())
    in_outage = [ms for ms, _ in served if outage_began < ms < killed - FLUSH_MS - SLACK_MS]
    print(f"{len(served) * 100} samples served, {len(in_outage) * 100} of them in the outage before the kill; "
          f"{sum(map(len, missing.values()))} missing, {twice} twice")
    for (ms, n), ids in missing.items():
        print(f"  missing: page {n:.0f}, {killed - ms} ms before the kill, id {' '.join(ids)}")
    assert len(in_outage) >= 5, "no outage worth the name before the kill"
    too_old = [page for page in missing if flushed_before([killed], page[0])]
    assert not too_old, f"missing, and not younger than the flush interval at the kill: {too_old}"
    assert all(not set(samples) - served for samples in found.values()), "a sample that was never served"


def test_kill_during_a_slow_sync():
    """What is delivered while fdatasync takes seconds is recorded all the same, and does not arrive again."""
    disk, sink = BadDisk(), RecordingSink(zstd=True)
    sink.status = 503
    sluice = Sluice(f"remote_write: [{{name: sink, url: '{sink.url}', queue_config: {{shards: 1, max_backoff: 100ms}}}}]",
                    data_folder=disk.data_folder, env=disk.env)
    for i in range(30):
        assert push(f"{sluice.url}/api/v1/write", [({"__name__": "m"}, [(now_ms(), float(i))])]).status == 204
    disk.set("slow-sync")
    wait_until(lambda: push(f"{sluice.url}/api/v1/write", [({"__name__": "n"}, [(now_ms(), 1.0)])]).status == 204)
    time.sleep(1.5)  # the sync begins a second after the write
    sink.status = 204
    wait_until(lambda: len([s for series in sink.find("m").values() for s in series]) >= 30 and sink.find("n"))
    time.sleep(0.3)
    sluice.kill9()
    disk.set("")
    sluice.start().wait_ready()
    wait_until(lambda: sluice.metric("vmagent_remotewrite_pending_data_bytes") == 0)
    sluice.stop()
    arrived = [v for series in sink.find("m").values() for _, v in series]
    assert sorted(set(arrived)) == list(range(30)) and len(arrived) <= 31, f"{len(arrived) - 30} arrived twice"


def test_kill_before_deliveries_are_recorded():
    """What is delivered while the disk takes no writes is known after a kill all the same, and does not arrive again."""
    disk, sink = BadDisk(), RecordingSink(zstd=True)
    sink.status = 503
    sluice = Sluice(f"remote_write: [{{name: sink, url: '{sink.url}', queue_config: {{shards: 1, max_backoff: 100ms}}}}]",
                    data_folder=disk.data_folder, env=disk.env)
    for i in range(30):
        assert push(f"{sluice.url}/api/v1/write", [({"__name__": "m"}, [(now_ms(), float(i))])]).status == 204
    disk.set("hang")
    sink.status = 204
    wait_until(lambda: len([s for series in sink.find("m").values() for s in series]) >= 30)
    wait_until(lambda: sluice.metric("vmagent_remotewrite_blocks_sent_total") >= 30)  # the responses are read
    sluice.kill9()
    disk.set("")
    sluice.start().wait_ready()
    wait_until(lambda: sluice.metric("vmagent_remotewrite_pending_data_bytes") == 0)
    sluice.stop()
    assert [v for series in sink.find("m").values() for _, v in series] == [float(i) for i in range(30)]


@waits
@seconds(180)
def test_rounds_of_kills():
    """Five kills, in both orders of the backlog beside each other; torture/test_crash_rounds.py has more."""
    def run(drain, *phases):
        rounds = Rounds(drain, random.randrange(1 << 30))
        rounds.run(phases)
        rounds.check()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(run, "in_order", "catch-up", "healthy", "outage"),
                     pool.submit(run, "newest_first", "catch-up", random.choice(("outage", "reload")))]:
            done.result()


@seconds(90)
def test_torn_tail_is_skipped_by_itself():
    """Bytes cut off and bytes damaged at the end of a segment cost what they held, and nothing else."""
    import glob
    exporter, sink = ScriptedExporter(series=100), RecordingSink()
    sink.status = 503
    sluice = Sluice(scripted_config(exporter, sink))
    wait_until(lambda: len(exporter.served) > 12)
    sluice.stop()
    sluice.start().wait_ready()
    assert sluice.metric("vm_app_prev_shutdown_unclean") == 0 and "did not stop cleanly" not in sluice.log()
    sluice.stop()
    files = [f for f in glob.glob(f"{sluice.data_folder}/**", recursive=True) if os.path.isfile(f)]
    largest = max(files, key=os.path.getsize)
    os.truncate(largest, os.path.getsize(largest) - 7)
    sink.status = 204
    stopped = exporter.n
    sluice.start().wait_ready()
    wait_until(lambda: exporter.n > stopped + 2)
    wait_until(lambda: any(v >= stopped for s in sink.find("scripted_stamped_counter").values() for _, v in s), 20,
               "samples of the new run")
    kept = {v for s in sink.find("scripted_stamped_counter").values() for _, v in s}
    assert len([n for n in range(stopped) if n in kept]) >= 6, f"the queue was wiped: {sorted(kept)}"


def copy_queue(source, target):
    """As a backup would: files may grow and disappear meanwhile."""
    for path, _, files in os.walk(source):
        os.makedirs(path.replace(source, target, 1), exist_ok=True)
        for name in files:
            try:
                shutil.copy(f"{path}/{name}", f"{path.replace(source, target, 1)}/{name}")
            except FileNotFoundError:
                pass


def test_copies_taken_while_running():
    """A copy of the queue in an outage or a catch-up has what was acknowledged before and not delivered after it was
    made; it is sent in order, whatever was torn."""
    sink, copies = RecordingSink(zstd=True), []
    sink.status = 503
    destination = "remote_write: [{{name: sink, url: '{}', drain: in_order, queue_config: {{shards: 3, max_backoff: 100ms}}}}]"
    sluice = Sluice(destination.format(sink.url))
    pusher = Pusher(sluice.url)
    pusher.start()

    def copy():
        before, target = len(pusher.acknowledged), f"{folder()}/copy{len(copies)}"
        copy_queue(sluice.data_folder, target)
        delivered = {v for samples in sink.find("pushed").values() for _, v in samples}
        copies.append((target, [float(n) for n in pusher.acknowledged[:before] if n not in delivered]))
    for _ in range(3):
        acknowledged = len(pusher.acknowledged)
        wait_until(lambda: len(pusher.acknowledged) > acknowledged + 15, 30)
        copy()
    sink.hang, sink.status = 0.03, 204
    wait_until(lambda: sink.find("pushed"))
    for _ in range(2):
        copy()
    sluice.kill9()
    pusher.ended = True
    assert all(len(wanted) > 5 for _, wanted in copies[:3]), [len(wanted) for _, wanted in copies]
    for target, wanted in copies:
        other = RecordingSink(zstd=True)
        again = Sluice(destination.format(other.url), name=os.path.basename(target), data_folder=target)
        wait_until(lambda: again.metric("vmagent_remotewrite_pending_data_bytes") == 0)
        assert again.metric("vm_persistentqueue_blocks_dropped_total") == 0
        again.stop()
        arrived = other.find("pushed")
        for labels, samples in arrived.items():
            values = [v for _, v in samples]
            assert set(wanted) <= set(values) and values == sorted(set(values)), f"{target}: {dict(labels)}: {values}, {wanted}"
        assert not wanted or len(arrived) == 6


def test_sigterm_while_the_queue_is_read():
    """A queue that takes minutes to read (its segment is 1 TiB of nothing) does not delay a stop."""
    sluice = Sluice("remote_write: [{name: sink, url: 'http://127.0.0.1:1/', queue_config: {shards: 1}}]")
    sluice.stop()
    shard = next(path for path, _, files in os.walk(sluice.data_folder) if "position" in files)
    with open(f"{shard}/0000000000000000.seg", "wb") as f:
        f.truncate(1 << 40)
    sluice.start()
    time.sleep(1)
    assert sluice.alive() and sluice.log().count("msg=ready") == 1
    began = time.monotonic()
    sluice.stop()
    assert time.monotonic() - began < 4, f"the stop took {time.monotonic() - began:.1f} s"
