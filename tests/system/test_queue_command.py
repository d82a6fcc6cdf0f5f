# SPDX-License-Identifier: Apache-2.0
"""`sluice queue`: queues of 0.1.0 and of vmagent are listed, checked, printed, sent and deleted on the command line."""
import glob
import os
import re
import shutil
import subprocess
import tarfile

from lib import *

OLD = f"{ROOT}/tests/upgrade/0.1.0/queue.tar.xz"
VMAGENT = "persistent-queue/1_49B3E803A5693F4C"


def run(*arguments, code=0):
    done = subprocess.run([f"{ROOT}/{OUT}/sluice", "queue", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == code, f"{arguments}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "not configured" not in done.stderr, "other queues are none of its business"
    return done.stdout if code == 0 or done.stdout else done.stderr


def queues(name):
    data = f"{folder()}/{name}"
    with tarfile.open(OLD) as queue:
        queue.extractall(data)
    shutil.copytree(f"{ROOT}/tests/upgrade/vmagent/1.145.0/persistent-queue", f"{data}/persistent-queue")
    return data, os.path.basename(glob.glob(f"{data}/first-*")[0])


def contents(data):
    found = {}
    for path in glob.glob(f"{data}/**", recursive=True):
        if os.path.isfile(path):
            with open(path, "rb") as f:
                found[path] = f.read()
    return found


def test_reading_changes_nothing():
    data, first = queues("read")
    before = contents(data)
    table = {line.split()[0]: line.split()[1:3] for line in run("ls", data).splitlines()[1:]}
    assert table[first] == ["45", "450"] and table[VMAGENT] == ["8", "-"] and len(table) == 3, table
    lines = run("dump", data, first).splitlines()
    assert len(lines) == 450 and all(re.fullmatch(r'old_total\{filler="\w+", series="\d+", site="old"\} \d+ \d+', s)
                                     for s in lines)
    assert len(run("dump", "--all", data, first).splitlines()) == 480
    assert run("dump", data, VMAGENT).count("\n") == 450
    assert run("verify", data).count(": ok\n") == 3
    assert contents(data) == before
    segment = sorted(glob.glob(f"{data}/{first}/*/*/*.seg"))[-1]
    with open(segment, "r+b") as f:
        f.seek(-5, os.SEEK_END)
        f.write(b"spoil")
    assert "bytes corrupted" in run("verify", data, first, code=1)
    assert "bytes corrupted" in run("verify", data, code=1) and run("verify", data, VMAGENT)
    for wrong in (f"../{os.path.basename(data)}/{first}", "first", ".", ""):
        assert "there is no queue" in run("dump", data, wrong, code=1)
        assert "there is no queue" in run("drop", data, wrong, code=1)


def test_a_running_sluice_keeps_its_queues():
    sink = RecordingSink()
    sink.status = 503
    sluice = Sluice(f"remote_write: [{{name: sink, url: '{sink.url}', queue_config: {{max_backoff: 1s}}}}]")
    assert push(f"{sluice.url}/api/v1/write", [({"__name__": "m"}, [(now_ms(), 7.0)])]).status == 204
    name = os.path.basename(glob.glob(f"{sluice.data_folder}/sink-*")[0])
    assert run("dump", sluice.data_folder, name).startswith("m 7 ") or run("dump", sluice.data_folder, name).startswith("m{} 7 ")
    assert "in use by another process" in run("drop", sluice.data_folder, name, code=1)
    assert "in use by another process" in run("resend", "--url", sink.url, sluice.data_folder, name, code=1)
    sink.status = 204
    wait_until(lambda: sink.find("m"))
    sluice.stop()
    run("drop", sluice.data_folder, name)
    assert not os.path.exists(f"{sluice.data_folder}/{name}")


def test_orphaned_queues_are_sent():
    data, first = queues("resend")
    for name, samples, entry in ((first, 450, False), (VMAGENT, 450, True)):
        sink = RecordingSink(zstd=True)
        wanted = sorted(run("dump", data, name).splitlines())
        options = ["--url", sink.url]
        if entry:
            with open(f"{data}.yml", "w", encoding="utf-8") as f:
                f.write(f"url: '{sink.url}'\nheaders: {{X-Test: 'yes'}}\nqueue_config: {{shards: 3}}\n")
            options = ["--entry", f"{data}.yml"]
        assert run("resend", data, name, *options) == f"{samples} samples sent, 0 samples dropped\n"
        got = [(labels, s) for labels, series in sink.find("old_total").items() for s in series]
        assert len(got) == samples == len(set(got)) == len(wanted)
        for series in sink.find("old_total").values():
            assert entry or series == sorted(series), "a series in order"
        assert name not in run("ls", data)
    assert len(run("ls", data).splitlines()) == 2
    assert "requires either --url or --entry" in run("resend", data, run("ls", data).splitlines()[1].split()[0], code=1)


def test_rejected_samples_are_kept_and_sent_again():
    sink = RecordingSink()
    sink.status = 400
    config = f"remote_write: [{{name: sink, url: '{sink.url}', queue_config: {{shards: 1}}}}]"
    sluice = Sluice(config)
    assert push(f"{sluice.url}/api/v1/write", [({"__name__": f"m{i}"}, [(now_ms(), float(i))]) for i in range(5)]).status == 204
    kept = lambda: sluice.metric("sluice_queue_quarantine_samples_total")
    wait_until(lambda: kept() == 5, 20, "five samples in quarantine")
    assert sluice.metric("vmagent_remotewrite_samples_dropped_total") == 5 and sluice.metric("sluice_queue_quarantine_bytes") > 64
    wait_until(lambda: sluice.log().replace('"', "").count(f"quarantine={sluice.data_folder}") > 0, what="the log line")
    sluice.stop()
    name = os.path.basename(glob.glob(f"{sluice.data_folder}/sink-*.quarantine")[0])
    shutil.copytree(f"{sluice.data_folder}/{name}", f"{sluice.data_folder}/orphan")
    again = Sluice(config, data_folder=sluice.data_folder, name="again")
    wait_until(lambda: "quarantine has rejected samples" in again.log())
    wait_until(lambda: again.metric("sluice_queue_orphaned_bytes", '"orphan"') > 0, 20, "the other directory is an orphan")
    assert again.metric("sluice_queue_orphaned_bytes", "quarantine") == 0
    again.stop()
    assert name in run("ls", sluice.data_folder) and len(run("dump", sluice.data_folder, name).splitlines()) == 5
    sink.status = 204
    assert run("resend", sluice.data_folder, name, "--url", sink.url) == "5 samples sent, 0 samples dropped\n"
    assert sorted(value for i in range(5) for series in sink.find(f"m{i}").values() for _, value in series) == [0, 1, 2, 3, 4]
    assert name not in run("ls", sluice.data_folder)


def test_beside_a_running_sluice():
    """Queues of removed destinations, quarantines and queues of vmagent are sent and deleted; a queue in use is not."""
    used, removed, other, rejecting = (RecordingSink() for _ in range(4))
    for sink in (used, removed, other):
        sink.status = 503
    rejecting.status = 400
    entry = "- {{name: {}, url: '{}', queue_config: {{shards: 2, max_backoff: 100ms}}}}\n"
    kept = "remote_write:\n" + entry.format("used", used.url) + entry.format("rejecting", rejecting.url)
    sluice = Sluice(kept + entry.format("removed", removed.url) + entry.format("other", other.url))
    for n in range(20):
        assert push(f"{sluice.url}/api/v1/write", [({"__name__": "m", "i": str(n)}, [(now_ms(), float(n))])]).status == 204
    wait_until(lambda: sluice.metric("sluice_queue_quarantine_samples_total") == 20, 20, "a quarantine")
    data = sluice.data_folder
    names = {path.split("-")[0]: path for path in os.listdir(data) if path.endswith(".quarantine") or "." not in path}
    quarantine = glob.glob(f"{data}/rejecting-*.quarantine")[0].split("/")[-1]
    for command in ("drop", data, names["removed"]), ("resend", "--url", used.url, data, names["removed"]):
        assert "in use by another process" in run(*command, code=1), "it is configured"
    assert sluice.reconfigure(kept).status == 200
    wait_until(lambda: sluice.metric("sluice_queue_orphaned_bytes") > 0)
    shutil.copytree(f"{ROOT}/tests/upgrade/vmagent/1.145.0/persistent-queue", f"{data}/persistent-queue")

    down = RecordingSink()
    down.status = 503
    with subprocess.Popen([f"{ROOT}/{OUT}/sluice", "queue", "resend", "--url", down.url, data, names["removed"]],
                          stderr=subprocess.DEVNULL) as p:
        wait_until(lambda: down.requests)
        p.kill()
    assert names["removed"] not in run("ls", data) and os.path.exists(f"{data}/{names['removed']}.aside")
    for name, samples in (names["removed"], 20), (quarantine, 20), (VMAGENT, 450):
        sink = RecordingSink(zstd=True)
        assert run("resend", "--url", sink.url, data, name) == f"{samples} samples sent, 0 samples dropped\n"
        assert sum(len(s) for series in (sink.find("m"), sink.find("old_total")) for s in series.values()) == samples
        assert name not in run("ls", data)
    wait_until(lambda: sluice.metric("sluice_queue_quarantine_bytes") == 0)
    down.requests.clear()
    with subprocess.Popen([f"{ROOT}/{OUT}/sluice", "queue", "resend", "--url", down.url, data, names["other"]],
                          stderr=subprocess.DEVNULL) as p:
        wait_until(lambda: down.requests)
        p.terminate()
        assert p.wait(20) == 1
    assert "20 samples" in run("verify", data, names["other"]), "interrupted, it is in its place again"
    run("drop", data, names["other"])
    assert not glob.glob(f"{data}/other-*") + glob.glob(f"{data}/removed-*") + glob.glob(f"{data}/*.aside")
    assert "in use by another process" in run("drop", data, names["used"], code=1)
    used.status = 204
    wait_until(lambda: len(used.find("m")) == 20, 20, "the queue in use is untouched")
    sluice.stop()
    run("drop", data, names["used"])
