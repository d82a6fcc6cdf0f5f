# SPDX-License-Identifier: Apache-2.0
"""A control thread that is busy or hangs: connections are accepted, health checks answered, and a stop is heard."""
import concurrent.futures
import os
import signal
import time
import urllib.request

from lib import Pauses, Sluice, wait_until

CONFIG = "scrape_configs:\n- job_name: a\n  static_configs: [{targets: ['127.0.0.1:1']}]\n"
WITHIN = 0.1  # seconds


def hang(sluice):
    """A reload that waits for somebody to write into the configuration file; the function that does it."""
    os.unlink(sluice.config_path)
    os.mkfifo(sluice.config_path)
    os.kill(sluice.p.pid, signal.SIGHUP)

    def feed(path=sluice.config_path):
        wait_until(lambda: writer(path) is not None, 5, "the configuration file is being read")

    def writer(path):
        try:
            fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return None
        os.write(fd, CONFIG.encode())
        os.close(fd)
        return True
    return feed


def ask(sluice, path):
    """Status of a request on a new connection, and how long it took."""
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
    slow, pauses = [], Pauses()
    for i in range(50):
        path = ("/-/healthy", "/-/ready", "/metrics", "/api/v1/query?query=1", "/targets")[i % 5]
        status, took = ask(sluice, path)
        assert status == 200, f"{path}: {status}"
        if took > WITHIN + pauses.slack(time.monotonic() - took):
            slow.append((path, took))
    assert len(slow) <= 2, slow
    assert sluice.metric(reloads) == before
    feed()
    wait_until(lambda: sluice.metric(reloads) > before, 30, "the reload ends")
    sluice.stop()


def test_stop_is_heard_during_a_reload():
    """And does not wait for the file."""
    sluice = Sluice(CONFIG)
    hang(sluice)
    time.sleep(0.2)
    os.kill(sluice.p.pid, signal.SIGTERM)
    assert sluice.wait_exit(15) == 0 # after 20 s, it would be ended by force
    assert "msg=stopping" in sluice.log()


def test_reloads_during_a_reload():
    """Each request is answered, by a load that began after it."""
    sluice = Sluice(CONFIG)
    feed = hang(sluice)
    time.sleep(0.2)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(sluice.post, "/-/reload") for _ in range(3)]
        time.sleep(0.5)
        assert not any(answer.done() for answer in answers)
        fifo = sluice.config_path + ".hangs"
        os.rename(sluice.config_path, fifo)
        with open(sluice.config_path, "w", encoding="utf-8") as f:
            f.write(CONFIG.replace("job_name: a", "job_name: b"))
        feed(fifo)
        assert [answer.result().status for answer in answers] == [200, 200, 200]
    assert "job_name: b" in sluice.get("/config").text
    assert sluice.log().count("msg=\"configuration reloaded") == 2
    sluice.stop()
