# SPDX-License-Identifier: Apache-2.0
"""deploy/quickstart.yml: ready at once, small, and it answers what the README promises."""
import time

from lib import *


def quickstart(**more):
    """The file as it stands, but for the port of its own."""
    port = free_port()
    with open(f"{ROOT}/deploy/quickstart.yml", encoding="utf-8") as f:
        text = f.read()
    assert "8429" in text, "quickstart.yml scrapes its own port"
    return Sluice(text.replace("8429", str(port)), port=port, ready=False, **more)


@alone
def test_ready_at_once():
    release_build()
    sluice, best = quickstart(start=False), None
    for _ in range(5):
        began = time.monotonic()
        sluice.start()
        wait_until(lambda: sluice.get("/-/ready").status == 200, 5, every=0.002)
        took = time.monotonic() - began
        best = min(best or took, took)
        sluice.stop()
    print(f"ready after {best * 1000:.0f} ms, the best of five")
    assert best < 0.1, f"ready after {best * 1000:.0f} ms"


@waits
@seconds(250)  # long limits start first: two minutes of waiting at the end of a run would be its length
def test_memory_after_a_minute():
    release_build()
    sluice = quickstart()
    sluice.wait_ready()
    time.sleep(60)
    m = sluice.memory_kib()
    print(f"RssAnon {m['RssAnon']} kB, VmRSS {m['VmRSS']} kB")
    assert sluice.query("count({__name__=~'.+'})")["result"], "it scrapes itself"
    assert m["RssAnon"] <= 6 * 1024 and m["VmRSS"] <= 20 * 1024, f"RssAnon {m['RssAnon']} kB, VmRSS {m['VmRSS']} kB"


def test_scrapes_itself_and_answers():
    sluice = quickstart()
    sluice.wait_ready()
    wait_until(lambda: "1" in [s["value"][1] for s in sluice.query("up")["result"]], 40, "up of its own target")
    page = sluice.get("/targets")
    assert page.status == 200 and sluice.address.split(":")[1] in page.text
    with open(f"/proc/{sluice.p.pid}/maps", encoding="utf-8") as f:
        assert "libcurl" not in f.read(), "nothing in it needs libcurl"
