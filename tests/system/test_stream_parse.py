# SPDX-License-Identifier: Apache-2.0
"""stream_parse: a long page is forwarded while it arrives, in little memory. `make torture T=test_large_pages` compares a
longer one with vmagent."""
import threading
import time

from fakes import Fake
from lib import *

LINE = 1000


class LongPage(Fake):
    """`lines` series of LINE bytes, of which the first is number `first`; the connection ends at line `cut_at`."""

    def __init__(self, lines):
        self.lines, self.first, self.cut_at = lines, 0, None
        super().__init__()

    def block(self, at, n):
        pad = b"x" * (LINE - 70)
        return b"".join(b'long_page{series="%08d",text="%s",end="%04d"} %09d\n' % (i, pad, i % 7919 % 10000, i)
                        for i in range(at, at + n))

    def answer(self, request, _):
        step, first, cut_at = 1000, self.first, self.cut_at
        size = len(self.block(0, 1)) * self.lines
        request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % size)
        for at in range(0, self.lines, step):
            if cut_at is not None and at >= cut_at:
                request.close_connection = True
                return
            request.wfile.write(self.block(first + at, min(step, self.lines - at)))


class Peak:
    """The most anonymous memory, in MiB, that the process had since reset()."""

    def __init__(self, process):
        self.process, self.mib, self.ended = process, 0, False
        threading.Thread(target=self.look, daemon=True).start()

    def look(self):
        while not self.ended:
            try:
                self.mib = max(self.mib, self.process.memory_kib()["RssAnon"] / 1024)
            except (OSError, KeyError, AttributeError):
                return
            time.sleep(0.02)


CONFIG = """
global: {scrape_interval: %(interval)ds, scrape_timeout: %(interval)ds, external_labels: {agent: %(agent)s}}
scrape_configs:
- {job_name: long, %(key)smax_scrape_size: 900MB, scrape_align_interval: %(interval)ds,
   static_configs: [{targets: ['%(target)s'], labels: {instance: long}}],
   metric_relabel_configs: [{action: labeldrop, regex: text}]}
"""


def config_for(page, interval, agent, key=""):
    return CONFIG % {"interval": interval, "agent": agent, "target": page.address, "key": key}


def start_sluice(vm, page, interval):
    return Sluice(config_for(page, interval, "sluice"), f"-remoteWrite.url={vm.url}/api/v1/write", "-promscrape.streamParse",
                  config_flag="-promscrape.config", listen_flag="-httpListenAddr")


def value_of(vm, expr, agent="sluice"):
    expr = expr.replace("@", f'{{agent="{agent}"}}')
    found = vm.query(expr)["result"]
    return float(found[0]["value"][1]) if found else None


@seconds(200)
def test_a_long_page():
    lines = (30 << 20) // LINE
    page, vm = LongPage(lines), VictoriaMetrics()
    sluice = start_sluice(vm, page, 3)
    peak = Peak(sluice)
    wait_until(lambda: value_of(vm, "count(long_page@)") == lines, 60, "all series are there", every=0.2)
    assert value_of(vm, "last_over_time(scrape_samples_scraped@[1h])") == lines
    # a connection that breaks in the middle: the series of the part and those of before have ended
    page.cut_at, page.first = lines // 2, lines // 5
    wait_until(lambda: (value_of(vm, "up@"), value_of(vm, "count(long_page@)")) == (0, None), 60, "no series is left", every=0.2)
    page.cut_at = None
    wait_until(lambda: value_of(vm, "count(long_page@)") == lines, 60, "the series are back", every=0.2)
    assert value_of(vm, "min(long_page@)") == lines // 5
    print(f"a page of 30 MiB takes {peak.mib:.0f} MiB", flush=True)
    if RELEASE:
        assert peak.mib <= 60
