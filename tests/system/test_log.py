# SPDX-License-Identifier: Apache-2.0
"""The log when nobody reads it: no other part of the program waits for it."""
import fcntl
import os
import re
import subprocess
import threading
import time

from lib import *

F_SETPIPE_SZ = 1031
BLOCKED_SECONDS = 10


class WithPipe(Sluice):
    """Its stderr is a pipe of the least size, which is read only from the call of read_log() on."""

    def start(self):
        self.reading, write_end = os.pipe()
        fcntl.fcntl(write_end, F_SETPIPE_SZ, 4096)
        self.p = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=write_end, stdin=subprocess.DEVNULL,
                                  cwd=folder())
        os.close(write_end)
        self.text = b""
        return self

    def read_log(self):
        def read():
            while piece := os.read(self.reading, 65536):
                self.text += piece
        threading.Thread(target=read, daemon=True).start()

    def log(self):
        return self.text.decode()


def reload_with_long_warnings(sluice):
    """Patterns that match no file, ten of which are logged, each in a line of 24 KiB."""
    files = ", ".join(f'"/{n}' + r"\x01" * 4050 + '*.yml"' for n in range(12))
    with open(sluice.config_path, encoding="utf-8") as f:
        config = f.read()
    absent = f"- {{job_name: absent, file_sd_configs: [{{files: [{files}]}}]}}\nremote_write:"
    assert sluice.reconfigure(config.replace("remote_write:", absent)).status == 200


def gaps(times):
    return [b - a for a, b in zip(times, times[1:])]


@seconds(60)
def test_a_blocked_stderr_stops_nothing():
    exporter, sink = ScriptedExporter(), RecordingSink()
    sluice = WithPipe(scripted_config(exporter, sink, 200), "--log.level=debug")
    wait_until(lambda: len(exporter.numbers()) > 2, what="the first scrapes")
    reload_with_long_warnings(sluice)
    ends, rounds = time.monotonic() + BLOCKED_SECONDS, []
    while time.monotonic() < ends:
        rounds.append(time.monotonic())
        assert push(sluice.url + "/api/v1/write", [({"__name__": "pushed"}, [(now_ms(), 1)])]).status == 204
        assert sluice.query("vector(1)")["result"]
        time.sleep(0.1)
    assert max(gaps(rounds)) < 1.5, gaps(rounds)
    assert max(gaps([ms / 1000 for _, ms, _ in exporter.served])) < 1.5
    wait_until(lambda: sum(map(len, sink.find("pushed").values())) == len(rounds), what="all that was pushed")
    arrived = [at for at, *_ in sink.requests if at > rounds[0]]
    assert max(gaps(arrived)) < 1.5, gaps(arrived)
    dropped = sluice.metric("sluice_log_dropped_total")
    logged = sluice.metric("vm_log_messages_total")
    assert 0 < dropped < logged

    sluice.read_log()
    wait_until(lambda: sluice.log().count("lines dropped"), what="the report of what was dropped")
    sluice.stop()
    assert re.findall(r'component=log msg="(\d+) log lines dropped"', sluice.log()) == [str(int(dropped))]
    shown = len(sluice.log().splitlines()) - 2  # without the report and "stopping"
    assert shown + dropped == logged - 2, "2 of 12 warnings are left out since the call site is limited"
    assert sluice.log().splitlines()[-1].endswith("component=main msg=stopping"), "lines are in order"


def test_a_stop_does_not_wait_for_stderr():
    exporter, sink = ScriptedExporter(), RecordingSink()
    sluice = WithPipe(scripted_config(exporter, sink, 200))
    reload_with_long_warnings(sluice)
    began = time.monotonic()
    sluice.stop()
    assert time.monotonic() - began < 5, "2 s for the log"
