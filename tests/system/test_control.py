# SPDX-License-Identifier: Apache-2.0
"""A control thread that is busy or hangs: connections are accepted, health checks answered, and a stop is heard."""
import os
import signal
import time
import urllib.request

from lib import Sluice, wait_until

CONFIG = "scrape_configs:\n- job_name: a\n  static_configs: [{targets: ['127.0.0.1:1']}]\n"
WITHIN = 0.1  # seconds


def hang(sluice):
    """A reload that waits for somebody to write into the configuration file; the function that does it."""
    os.unlink(sluice.config_path)
    os.mkfifo(sluice.config_path)
    os.kill(sluice.p.pid, signal.SIGHUP)

    def feed():
        wait_until(lambda: writer() is not None, 5, "the configuration file is being read")

    def writer():
        try:
            fd = os.open(sluice.config_path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return None
        os.write(fd, CONFIG.encode())
        os.close(fd)
        return True
    return feed


def ask(sluice, path):
    """Status of a request on a connection of its own, and how long it took."""
    began = time.monotonic()
    try:
        with urllib.request.urlopen(sluice.url + path, timeout=10) as answer:
            status = answer.status
    except urllib.error.HTTPError as e:
        status = e.code
    return status, time.monotonic() - began


def test_reload_blocks_no_client():
    sluice = Sluice(CONFIG)
    reloads = "prometheus_config_last_reload_success_timestamp_seconds"
    before = sluice.metric(reloads)
    feed = hang(sluice)
    time.sleep(1.1)
    slow = []
    for i in range(50):
        path = ("/-/healthy", "/-/ready", "/metrics", "/api/v1/query?query=1", "/targets")[i % 5]
        status, took = ask(sluice, path)
        assert status == 200, f"{path}: {status}"
        if took > WITHIN:
            slow.append((path, took))
    assert len(slow) <= 2, slow  # the machine may be busy
    assert sluice.metric(reloads) == before
    feed()
    wait_until(lambda: sluice.metric(reloads) > before, 5, "the reload ends")
    sluice.stop()


def test_stop_is_heard_during_a_reload():
    sluice = Sluice(CONFIG)
    feed = hang(sluice)
    time.sleep(0.2)
    os.kill(sluice.p.pid, signal.SIGTERM)
    wait_until(lambda: ask(sluice, "/-/ready")[0] == 503, 1, "not ready any more")
    assert ask(sluice, "/-/healthy")[0] == 200
    assert "msg=stopping" in sluice.log()
    assert sluice.alive()
    feed()
    assert sluice.p.wait(10) == 0
