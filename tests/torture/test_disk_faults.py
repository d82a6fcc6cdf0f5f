# SPDX-License-Identifier: Apache-2.0
"""What a full and a deleted queue disk do to a running program: nothing is lost that fits in memory, what is delivered
is not sent again, and the disk is free afterwards. The full disk is a tmpfs, so it needs root.
"""
import os
import shutil
import time

from lib import *


def noise(n, ms):
    """A page that does not compress: the values are digits of a product."""
    return "".join(f'noise{{i="{i}"}} 0.{(n * 7919 + i) * 2654435761 % 10 ** 12}\n' for i in range(3000)) + f"page {n}\n"


def run(name, options=""):
    exporter, sink = ScriptedExporter(page=noise), RecordingSink()
    config = scripted_config(exporter, sink, interval_ms=200, destination=options)
    return exporter, sink, Sluice(config, name=name, start=False)


def pages(sink):
    """Numbers of the pages that arrived, without staleness markers."""
    return [v for samples in sink.find("page").values() for _, v in samples if v == v]


def drained(sluice):
    return sluice.metric("vmagent_remotewrite_pending_data_bytes") == 0


def used(path):
    fs = os.statvfs(path)
    return (fs.f_blocks - fs.f_bfree) * fs.f_frsize


@seconds(180)
def test_full_disk():
    exporter, sink, sluice = run("full")
    mount_disk(sluice.data_folder, "1m")
    sluice.start()
    sluice.wait_ready()
    for _ in range(2):
        wait_until(lambda: len(pages(sink)) > 5)
        sink.status = 503
        wait_until(lambda: sluice.metric("sluice_queue_unwritten_bytes") > 0, 60)
        wait_until(lambda: sluice.metric("sluice_queue_seconds_until_full") < 3600)
        wait_until(lambda: "queue is almost full" in sluice.log())
        time.sleep(3)
        sink.status = 204
        wait_until(lambda: sluice.metric("sluice_queue_unwritten_bytes") == 0, 30)
    exporter.status = 503
    wait_until(lambda: drained(sluice), 30)
    assert sluice.metric("vmagent_remotewrite_samples_dropped_total") == 0
    assert sluice.log().count("cannot write queue block") <= 20, sluice.log()[-3000:]
    got = pages(sink)
    assert got == sorted(got) and set(got) >= {float(n) for n, _, _ in exporter.served}, len(got)
    sluice.stop()
    assert used(sluice.data_folder) < 800 << 10, used(sluice.data_folder)
    sent = len(sink.accepted)
    sluice.start()
    sluice.wait_ready()
    wait_until(lambda: sluice.metric("vmagent_remotewrite_pending_data_bytes") == 0)
    time.sleep(2)
    assert pages(sink) == got, f"sent again: {pages(sink)[len(got):]}"
    print(f"{len(got)} pages, {sent} requests, {used(sluice.data_folder)} bytes used after a drain")


@seconds(120)
def test_deleted_directory():
    exporter, sink, sluice = run("deleted", "max_memory_bytes: 1MiB")
    sluice.start()
    sluice.wait_ready()
    wait_until(lambda: len(pages(sink)) > 5)
    sink.status = 503
    time.sleep(6)
    shutil.rmtree(sluice.data_folder)
    wait_until(lambda: "queue files were deleted" in sluice.log(), 10)
    time.sleep(2)
    sluice.kill9()
    killed = now_ms()
    sluice.start()
    sluice.wait_ready()
    sink.status = 204
    time.sleep(2)
    exporter.status = 503
    wait_until(lambda: drained(sluice), 30)
    got = set(pages(sink))
    lost = [(n, ms) for n, ms, _ in exporter.served if float(n) not in got and flushed_before([killed], ms)]
    assert not lost, f"lost {len(lost)} of {exporter.n} pages: {lost[:5]}"
