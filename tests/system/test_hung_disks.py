# SPDX-License-Identifier: Apache-2.0
"""Queue directories on a disk that hangs at the start: everything else works, a stop is quick, and the destination is in
use when the disk responds."""
import time

from bad_disk import BadDisk
from lib import *

HANG = 5  # seconds after which sluice goes on without the disk


def remote_write(*sinks):
    """Destinations a, b ... of a configuration with one job."""
    destinations = ", ".join(f"{{name: {name}, url: '{sink.url}', queue_config: {{shards: 1}}}}"
                             for name, sink in zip("ab", sinks))
    return f"remote_write: [{destinations}]\n"


def scrape(exporter):
    return ("global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
            f"scrape_configs: [{{job_name: s, static_configs: [{{targets: ['127.0.0.1:{exporter.port}']}}]}}]\n")


def pages(sink):
    return [v for samples in sink.find("page").values() for _, v in samples if v == v]


def push_status(sluice):
    return push(f"{sluice.url}/api/v1/write", [({"__name__": "pushed"}, [(now_ms(), 1.0)])]).status


def stop(sluice, within):
    began = time.monotonic()
    sluice.p.terminate()
    code, took = sluice.wait_exit(30), time.monotonic() - began
    assert code == 0 and took < within, (code, took, sluice.log()[-2000:])


def start(sluice):
    began = time.monotonic()
    sluice.start()
    sluice.wait_ready()
    took = time.monotonic() - began
    assert HANG - 1 < took < HANG + 4, f"ready after {took:.1f} s"


@waits
@seconds(90)
def test_one_queue_hangs_at_the_start():
    disk = BadDisk("a-")
    exporter, a, b = ScriptedExporter(page=lambda n, ms: f"page {n}\n"), RecordingSink(), RecordingSink()
    a.status = 503
    sluice = Sluice(scrape(exporter) + remote_write(a, b), data_folder=disk.data_folder, env=disk.env)
    wait_until(lambda: len(pages(b)) > 5, 10, "pages in the queue of a")
    sluice.stop()

    disk.set("hang")
    a.status = 204
    start(sluice)
    before = len(pages(b))
    wait_until(lambda: len(pages(b)) > before + 3, 5, "b gets samples")
    assert pages(a) == [] and sluice.metric("sluice_queues_hung") == 1
    assert sluice.log().count("disk of a queue does not respond") == 1
    assert push_status(sluice) == 503
    began = time.monotonic()
    assert sluice.post("/-/reload").status == 200
    assert time.monotonic() - began < 2, "a reload waits for a disk that is known to hang"
    assert sluice.metric("sluice_queues_hung") == 1

    disk.set("")
    wait_until(lambda: sluice.metric("sluice_queues_hung") == 0, 5, "a is in use")
    assert "disk of a queue responds" in sluice.log()
    wait_until(lambda: len(pages(a)) > 8 and max(pages(a)) > before, 10, "a gets what was queued, and what is new")
    assert pages(a) == sorted(set(pages(a)))
    assert push_status(sluice) == 204
    a.status = 503
    before = exporter.n
    wait_until(lambda: exporter.n > before + 5, 10, "blocks to read at the next start")
    sluice.stop()

    disk.set("hang")
    sluice.start()
    time.sleep(1)
    stop(sluice, 4)  # while it waits for the disk
    disk.set("")


@waits
@seconds(60)
def test_the_lock_of_the_queues_hangs_at_the_start():
    disk = BadDisk()
    exporter, a = ScriptedExporter(page=lambda n, ms: f"page {n}\n"), RecordingSink()
    sluice = Sluice(scrape(exporter) + remote_write(a), data_folder=disk.data_folder, env=disk.env, start=False)
    disk.set("lock")
    start(sluice)
    wait_until(lambda: exporter.n > 3, 5, "targets are scraped")
    assert sluice.metric("sluice_queues_hung") == 1 and push_status(sluice) == 503
    disk.set("")
    wait_until(lambda: len(pages(a)) > 3, 10, "a is in use")
    assert sluice.metric("sluice_queues_hung") == 0 and push_status(sluice) == 204
    sluice.stop()
    disk.set("lock")
    start(sluice)
    stop(sluice, 4)
    disk.set("")
