# SPDX-License-Identifier: Apache-2.0
"""What a full, a read-only, a hanging and a deleted queue disk do to a running program: nothing is lost that fits in
memory, what is delivered is not sent again, and the disk is free afterwards. The full disk is a tmpfs, so it needs root;
the hanging and the read-only one are bad_disk.c, so they need a compiler.
"""
import concurrent.futures
import errno
import glob
import os
import re
import shutil
import time

from bad_disk import BadDisk
from lib import *
from test_hung_disks import push_status, remote_write, scrape, start

INTERVAL_MS = 200


def noise(n, ms):
    """A page that does not compress: the values are digits of a product."""
    return "".join(f'noise{{i="{i}"}} 0.{(n * 7919 + i) * 2654435761 % 10 ** 12}\n' for i in range(3000)) + f"page {n}\n"


PAGE_SAMPLES = 3001  # without `up` and its like


def values(sink, name):
    """How many samples of this name arrived, without staleness markers."""
    return sum(v == v for samples in sink.find(name).values() for _, v in samples)


def run(name, options="", **more):
    exporter, sink = ScriptedExporter(page=noise), RecordingSink()
    config = scripted_config(exporter, sink, interval_ms=INTERVAL_MS, destination=options)
    return exporter, sink, Sluice(config, name=name, start=False, **more)


def delete(path):
    (shutil.rmtree if os.path.isdir(path) else os.remove)(path)


def pages(sink):
    """Numbers of the pages that arrived, without staleness markers."""
    return [v for samples in sink.find("page").values() for _, v in samples if v == v]


def lost_pages(exporter, sink, kills=()):
    """(n, ms) of pages that did not arrive, though they were flushed before a kill. A page that arrived too late, as it
    may on a busy machine, is none of them: its scrape, which began within the second before, has up 0, and excuses no
    other page. A page that was lost has no `up` either."""
    got, lost = set(pages(sink)), []
    failed = sorted(t for samples in sink.find("up").values() for t, v in samples if v == 0)
    for n, ms, _ in exporter.served:
        if float(n) in got or not flushed_before(kills, ms):
            continue
        late = next((t for t in failed if -50 <= ms - t <= 1000), None)
        if late is None:
            lost.append((n, ms))
        else:
            failed.remove(late)
    return lost


def drained(sluice):
    return sluice.metric("vmagent_remotewrite_pending_data_bytes") == 0


def drain(exporter, sluice):
    """Ends the pages and waits until all are sent. The last one is in no block for up to the flush interval, 1 s."""
    exporter.status = 503
    time.sleep(1.5)
    wait_until(lambda: drained(sluice), 30)


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
    drain(exporter, sluice)
    assert sluice.metric("vmagent_remotewrite_samples_dropped_total") == 0
    assert sluice.log().count("cannot write queue block") <= 20, sluice.log()[-3000:]
    got = pages(sink)
    assert got == sorted(got) and not lost_pages(exporter, sink), (len(got), lost_pages(exporter, sink)[:5])
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
    drain(exporter, sluice)
    lost = lost_pages(exporter, sink, [killed])
    assert not lost, f"lost {len(lost)} of {exporter.n} pages: {lost[:5]}"


@seconds(180)
def test_hanging_disk():
    """Scrapes and deliveries go on, memory is bounded, a push and a stop do not wait."""
    memory = 2 << 20
    disk = BadDisk()
    exporter, sink, sluice = run("hanging", "max_memory_bytes: 2MiB", data_folder=disk.data_folder, env=disk.env)
    sluice.start().wait_ready()
    wait_until(lambda: len(pages(sink)) > 5)

    disk.set("hang")
    time.sleep(1)
    hung = len(pages(sink))
    answer = push(f"{sluice.url}/api/v1/write", [({"__name__": "pushed"}, [(now_ms(), 1.0)])])
    assert answer.status == 204 and sink.find("pushed"), f"{answer}: it was delivered, though not written"
    time.sleep(5)
    assert len(pages(sink)) > hung + 10, "deliveries wait for the disk"
    assert "queue disk does not respond" in sluice.log()
    unwritten = sluice.metric("sluice_queue_unwritten_bytes")
    assert unwritten < 8 << 20, f"delivered blocks wait for the disk: {unwritten}"

    sink.status = 503
    began = time.monotonic()
    answer = push(f"{sluice.url}/api/v1/write", [({"__name__": "pushed"}, [(now_ms(), 1.0)])])
    took = time.monotonic() - began
    assert answer.status == 503 and int(answer.headers["Retry-After"]) > 0 and 2 < took < 15, (answer, took)
    wait_until(lambda: sluice.metric("vmagent_remotewrite_samples_dropped_total") > 0, 60, "the oldest are dropped")
    time.sleep(5)
    unwritten = sluice.metric("sluice_queue_unwritten_bytes")
    assert unwritten <= memory * 1.5, f"memory is not bounded: {unwritten}"
    before = exporter.n
    sink.status = 204
    wait_until(lambda: before + 5 in pages(sink), 20, "deliveries from memory while the disk hangs")
    disk.set("")
    wait_until(lambda: "queue disk responds again" in sluice.log(), 10)
    time.sleep(3)
    dropped = sluice.metric("vmagent_remotewrite_samples_dropped_total")
    drain(exporter, sluice)
    got = pages(sink)
    missing = lost_pages(exporter, sink)
    expected, arrived = PAGE_SAMPLES * (len(got) + len(missing)), len(got) + values(sink, "noise")
    assert got == sorted(got) and len(got) == len(set(got)), "pages out of order, or twice"
    assert expected - arrived <= dropped, f"{expected - arrived} samples of {expected} missing, {dropped} counted as dropped"
    assert sluice.metric("sluice_queue_unwritten_bytes") == 0

    exporter.status, sink.status = 200, 503
    disk.set("hang")
    time.sleep(4)
    began = time.monotonic()
    sluice.p.terminate()
    code, took = sluice.wait_exit(30), time.monotonic() - began
    assert code == 1 and took < 12, (code, took)
    lost = [line for line in sluice.log().splitlines() if "stopping without waiting for it" in line]
    assert len(lost) == 1 and 'lost_blocks=0' not in lost[0], lost
    print(f"{len(got)} pages, {len(missing)} missing, {dropped} samples dropped, stop within {took:.1f} s: {lost[0]}")


@seconds(120)
def test_reload_with_a_hanging_disk():
    """A reload that needs the disk is refused after a while, one that does not is taken; pushes get 429 when memory is
    full; and a destination that left does not keep the process."""
    disk = BadDisk()
    sink = RecordingSink()
    sink.status = 503
    config = ("remote_write: [{{name: sink, url: '%s', on_full: push_back, max_memory_bytes: 2MiB, durability: memory, "
              "queue_config: {{shards: {}}}}}]\n" % sink.url)
    sluice = Sluice(config.format(8).replace("memory, ", "spill, "), data_folder=disk.data_folder, env=disk.env)
    disk.set("hang")
    series = [({"__name__": "pushed", "i": str(i), "noise": os.urandom(100).hex()}, [(now_ms(), 1.0)]) for i in range(2000)]

    def refused():
        try:
            return push(f"{sluice.url}/api/v1/write", series, timeout=0.2).status == 429
        except OSError:
            return False
    wait_until(refused, 30, "429")
    assert sluice.metric("sluice_queue_unwritten_bytes") < 4 << 20
    began = time.monotonic()
    answer = sluice.reconfigure(config.format(4))
    assert answer.status == 500 or answer.status == 503, answer
    assert "does not respond" in answer.text and time.monotonic() - began < 8, (answer, time.monotonic() - began)
    assert sluice.reconfigure("recent: {}\n").status == 200
    assert sluice.get("/-/healthy").status == 200
    began = time.monotonic()
    sluice.p.terminate()
    code, took = sluice.wait_exit(30), time.monotonic() - began
    assert code == 1 and took < 8, (code, took)
    assert "stopping without waiting for it" in sluice.log()


@seconds(120)
def test_read_only_disk():
    """Blocks and the position cannot be written: memory keeps everything, and all is on disk when it is well again."""
    disk = BadDisk()
    exporter, sink, sluice = run("readonly", data_folder=disk.data_folder, env=disk.env)
    sluice.start().wait_ready()
    wait_until(lambda: len(pages(sink)) > 5)
    for status in (204, 503):
        sink.status = status
        disk.set(f"write={errno.EROFS}")
        time.sleep(5)
        disk.set("")
        wait_until(lambda: sluice.metric("sluice_queue_unwritten_bytes") == 0, 10)
    sluice.kill9()
    killed = now_ms()
    arrived = len(pages(sink))
    sink.status = 204
    sluice.start().wait_ready()
    time.sleep(1)
    drain(exporter, sluice)
    got, lost = pages(sink), lost_pages(exporter, sink, [killed])
    assert not lost, f"lost {len(lost)} of {exporter.n} pages: {lost[:5]}"
    again = len(got) - len(set(got))
    assert again <= 1, f"{again} pages of {arrived} came twice"


@seconds(120)
def test_stop_with_a_full_disk():
    """What the stop cannot write is logged once, with numbers, and all else arrives after the restart."""
    exporter, sink, sluice = run("stopped")
    mount_disk(sluice.data_folder, "1m")
    sluice.start().wait_ready()
    sink.status = 503
    wait_until(lambda: sluice.metric("sluice_queue_unwritten_bytes") > 1 << 20, 60)
    sluice.stop()
    lost = re.findall(r"cannot write queue blocks before the end.*lost_blocks=(\d+) lost_samples=(\d+)", sluice.log())
    assert len(lost) == 1, sluice.log()[-2000:]
    exporter.status, sink.status = 503, 204
    stopped = exporter.n
    sluice.start().wait_ready()
    wait_until(lambda: drained(sluice), 30)
    missing = stopped - len(set(pages(sink)))
    samples = int(lost[0][1])
    assert abs(missing * 3001 - samples) < 3 * 3001, f"{missing} pages are missing, {samples} samples were reported"
    print(f"{stopped} pages, {missing} missing, reported {lost[0]}")


def delete_part(what):
    name = "part" + re.sub(r"\W", "x", what)
    exporter, sink, sluice = run(name, "max_memory_bytes: 1MiB")
    sluice.start().wait_ready()
    wait_until(lambda: len(pages(sink)) > 5)
    sink.status = 503
    time.sleep(4)
    for path in glob.glob(f"{sluice.data_folder}/{what}".rstrip("/")):
        delete(path)
    wait_until(lambda: re.search("queue files were deleted|lock file .* was deleted", sluice.log()), 30, what)
    time.sleep(1.5)
    second = Sluice("remote_write: [{name: sink, url: 'http://127.0.0.1:1/'}]", name=f"second-{name}", ready=False,
                    data_folder=sluice.data_folder)
    assert second.wait_exit(30) == 1 and "in use by another process" in second.log(), what
    sluice.kill9()
    killed = now_ms()
    sluice.start().wait_ready()
    sink.status = 204
    time.sleep(1)
    drain(exporter, sluice)
    got = set(pages(sink))
    missing = [n for n, ms, _ in exporter.served if float(n) not in got and flushed_before([killed], ms)]
    lost = lost_pages(exporter, sink, [killed])
    assert not lost, f"{what}: lost {len(lost)} of {exporter.n} pages: {lost[:5]}"
    assert len(missing) < exporter.n // 2, f"{what}: {len(missing)} of {exporter.n} scrapes timed out"
    sluice.stop()
    print(f"{what or 'root'}: {exporter.n} pages, {len(missing)} of them timed out")


@seconds(240)
def test_deleted_parts():
    """The root, a destination, a shard, a segment, a position: what is open is saved, the rest is counted, and the
    queue serves the next outage. Three at a time: they wait most of the time."""
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        parts = ("", "*", "*/g*", "*/g*/0*", "*/g*/*/*.seg", "*/g*/*/position", "lock")
        for done in [pool.submit(delete_part, what) for what in parts]:
            done.result()


def threads(sluice):
    return [open(f"/proc/{sluice.p.pid}/task/{t}/comm", encoding="utf-8").read().strip()
            for t in os.listdir(f"/proc/{sluice.p.pid}/task")]


@seconds(60)
def test_a_hung_queue_that_is_not_wanted_any_more_is_closed():
    disk = BadDisk("a-")
    exporter, a = ScriptedExporter(page=lambda n, ms: f"page {n}\n"), RecordingSink()
    a.status = 503
    sluice = Sluice(scrape(exporter) + remote_write(a), data_folder=disk.data_folder, env=disk.env)
    wait_until(lambda: exporter.n > 5, 10, "pages in the queue of a")
    time.sleep(1)
    sluice.stop()
    disk.set("hang")
    start(sluice)
    assert sluice.reconfigure(scrape(exporter) + "recent: {}\n").status == 200
    assert sluice.metric("sluice_queues_hung") == 0 and push_status(sluice) == 204
    disk.set("")
    wait_until(lambda: "queue-io" not in threads(sluice), 5, "its thread has ended")
    a.status = 204
    assert sluice.reconfigure(scrape(exporter) + remote_write(a)).status == 200
    wait_until(lambda: len(pages(a)) > 5, 10, "the queue is intact")
    sluice.stop()


@seconds(60)
def test_a_configuration_that_hangs():
    """A reload of it is refused after 10 s, others at once; it is loaded when its file system responds."""
    sluice = Sluice("recent: {}\n")
    os.unlink(sluice.config_path)
    os.mkfifo(sluice.config_path)
    for least, most in ((9, 15), (0, 1)):
        began = time.monotonic()
        answer = sluice.post("/-/reload", timeout=30)
        took = time.monotonic() - began
        assert answer.status == 500 and "does not respond" in answer.text and least < took < most, (answer, took)
    assert sluice.metric("prometheus_config_last_reload_successful") == 0
    os.rename(sluice.config_path, f"{sluice.config_path}.hangs")
    write_file("sluice.yml", "recent: {budget: 32MiB}\n")
    with open(f"{sluice.config_path}.hangs", "w", encoding="utf-8") as f:
        f.write("{}\n")
    wait_until(lambda: sluice.metric("prometheus_config_last_reload_successful") == 1, 5, "it is loaded again")
    assert "budget: 32MiB" in sluice.get("/config").text
    sluice.stop()
