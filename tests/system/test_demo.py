# SPDX-License-Identifier: Apache-2.0
"""make demo: what it prints works, and the end of it leaves nothing running."""
import re
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

    def answer(url):
        return {s["metric"]["job"]: s["value"][1] for s in request(url).json()["data"]["result"]}
    printed = re.findall(r"'(http://[^']*)'", demo.log())
    assert len(printed) == 3, printed
    wait_until(lambda: answer(printed[0]) == {"node": "1", "sluice": "1"}, 30, "every job is up")
    for url in printed[1:]:
        wait_until(lambda: int(request(url).json()["data"]["result"][0]["value"][1]) > 0, 30, url)
    demo.stop()
    time.sleep(0.2)
    for name, url in urls.items():
        try:
            request(url)
        except OSError:
            continue
        raise AssertionError(f"{name} still answers at {url}")
