# SPDX-License-Identifier: Apache-2.0
"""make demo: what it prints works, and the end of it leaves nothing running."""
import json
import re
import subprocess
import time

from lib import *


@seconds(150)
def test_demo():
    for name in ("prometheus", "victoria-metrics", "node_exporter"):
        peer(name)
    demo = Process("demo", ["/usr/bin/python3", f"{ROOT}/deploy/demo.py", f"{folder()}/demo"])
    wait_until(lambda: "Ctrl-C" in demo.log(), 60, "its help")
    urls = dict(re.findall(r"^(\w+) +(http://localhost:\d+)", demo.log(), re.M))
    assert urls.keys() == {"sluice", "VictoriaMetrics", "Prometheus"}, demo.log()

    for url in re.findall(r"^\w+ +(http://\S+)", demo.log(), re.M):
        assert request(url).status == 200, url

    def run(command):
        return subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, timeout=30, check=True, text=True).stdout

    def result(command):
        return json.loads(run(command))["data"]["result"]
    printed = re.findall(r"^ +(curl .*)$", demo.log(), re.M)
    assert len(printed) == 4, printed
    up, merged, queue, primary = printed
    wait_until(lambda: {s["metric"]["job"]: s["value"][1] for s in result(up)} == {"node": "1", "sluice": "1"}, 30,
               "every job is up")
    for command in (merged, primary):
        wait_until(lambda c=command: int(result(c)[0]["value"][1]) > 0, 30, command)
    assert "vm_persistentqueue_bytes_pending" in run(queue), queue
    demo.stop()
    time.sleep(0.2)
    for name, url in urls.items():
        try:
            request(url)
        except OSError:
            continue
        raise AssertionError(f"{name} still answers at {url}")
