# SPDX-License-Identifier: Apache-2.0
"""stream_parse: a page that is made while it is sent is forwarded while it arrives, in little memory, and becomes the same
series as in vmagent. The long form is `make torture T=test_large_pages`."""
import threading
import time

from fakes import Fake
from lib import *

LINE = 1000


class LongPage(Fake):
    """`lines` series of LINE bytes, of which the first is number `first`; pages: those that were sent to their ends."""

    def __init__(self, lines):
        self.lines, self.first, self.pages, self.cut_at = lines, 0, 0, None
        super().__init__()

    def block(self, at, n):
        pad = b"x" * (LINE - 70)
        return b"".join(b'long_page{series="%08d",text="%s",end="%04d"} %09d\n' % (i, pad, i % 7919 % 10000, i) for i in range(at, at + n))

    def answer(self, request, _):
        step = 1000
        size = len(self.block(0, 1)) * self.lines
        request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % size)
        for at in range(0, self.lines, step):
            if self.cut_at is not None and at >= self.cut_at:
                request.close_connection = True
                return
            request.wfile.write(self.block(self.first + at, min(step, self.lines - at)))
        self.pages += 1


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


class Agents:
    """sluice and vmagent, which scrape the same page into one VictoriaMetrics."""

    def __init__(self, page, interval):
        self.page, self.vm = page, VictoriaMetrics()
        config = lambda agent, key="": CONFIG % {"interval": interval, "agent": agent, "target": page.address, "key": key}
        write = f"-remoteWrite.url={self.vm.url}/api/v1/write"
        self.sluice = Sluice(config("sluice"), write, "-promscrape.streamParse", config_flag="-promscrape.config", listen_flag="-httpListenAddr")
        self.vmagent = VMAgent(config("vmagent", "stream_parse: true, "), write)
        self.peaks = {"sluice": Peak(self.sluice), "vmagent": Peak(self.vmagent)}

    def value(self, expr, agent):
        expr = expr.replace("{", f'{{agent="{agent}",').replace("@", f'{{agent="{agent}"}}')
        found = self.vm.query(expr)["result"]
        return float(found[0]["value"][1]) if found else None

    def both(self, expr):
        return self.value(expr, "sluice"), self.value(expr, "vmagent")

    def await_both(self, expr, value, timeout):
        wait_until(lambda: self.both(expr) == (value, value), timeout, f"{expr} is {value}, and not {self.both(expr)}", every=0.5)


def run_long_page(size, interval, most_mib):
    lines = size // LINE
    page = LongPage(lines)
    agents = Agents(page, interval)
    patience = 4 * interval + 60
    agents.await_both("count(long_page@)", lines, patience)
    for expr in ("sum(long_page@)", "max(long_page@)", "last_over_time(scrape_samples_scraped@[1h])", "up@",
                 "last_over_time(scrape_samples_post_metric_relabeling@[1h])", "last_over_time(scrape_response_size_bytes@[1h])",
                 "max_over_time(scrape_series_added@[1h])"):
        ours, theirs = agents.both(expr)
        assert ours == theirs and ours is not None, f"{expr}: {ours}, vmagent {theirs}"
    page.first = lines // 10  # a tenth of the series is gone, as many are new
    agents.await_both("min(long_page@)", lines // 10, patience)
    agents.await_both("count(long_page@)", lines, patience)
    agents.await_both("sum_over_time(scrape_series_added@[1h])", lines + lines // 10, patience)
    print(f"{size >> 20} MiB, {lines} series: sluice takes {agents.peaks['sluice'].mib:.0f} MiB, vmagent "
          f"{agents.peaks['vmagent'].mib:.0f} MiB", flush=True)
    if RELEASE:
        assert agents.peaks["sluice"].mib <= most_mib
    return agents


@seconds(300)
def test_a_long_page():
    agents = run_long_page(30 << 20, 5, 60)
    # a connection that breaks in the middle: the series of the part and those of before have ended
    agents.page.cut_at = agents.page.lines // 2
    agents.page.first = agents.page.lines // 5
    wait_until(lambda: agents.value("up@", "sluice") == 0, 40, "the scrape fails", every=0.5)
    wait_until(lambda: agents.value("count(long_page@)", "sluice") is None, 40, "no series is left", every=0.5)
    agents.page.cut_at = None
    wait_until(lambda: agents.value("count(long_page@)", "sluice") == agents.page.lines, 60, "the series are back", every=0.5)
