# SPDX-License-Identifier: Apache-2.0
"""A page of MIB (500) MiB by stream_parse, of which half a million series are sent: in little memory (see
tests/system/test_stream_parse.py), and with the same series as in vmagent."""
import os

from lib import *
from test_stream_parse import LINE, LongPage, Peak, config_for, start_sluice, value_of

MIB = int(os.environ.get("MIB", "500"))
INTERVAL = 60


@seconds(1800)
def test_a_huge_page():
    lines = (MIB << 20) // LINE
    page, vm = LongPage(lines), VictoriaMetrics()
    sluice = start_sluice(vm, page, INTERVAL)
    vmagent = VMAgent(config_for(page, INTERVAL, "vmagent", "stream_parse: true, "), f"-remoteWrite.url={vm.url}/api/v1/write")
    peaks = {"sluice": Peak(sluice), "vmagent": Peak(vmagent)}
    both = lambda expr: (value_of(vm, expr), value_of(vm, expr, "vmagent"))

    def await_both(expr, value):
        wait_until(lambda: both(expr) == (value, value), 5 * INTERVAL, f"{expr} is {value}", every=0.5)

    await_both("count(long_page@)", lines)
    for expr in ("sum(long_page@)", "max(long_page@)", "last_over_time(scrape_samples_scraped@[1h])", "up@",
                 "last_over_time(scrape_samples_post_metric_relabeling@[1h])", "last_over_time(scrape_response_size_bytes@[1h])",
                 "max_over_time(scrape_series_added@[1h])"):
        ours, theirs = both(expr)
        assert ours == theirs and ours is not None, f"{expr}: {ours}, vmagent {theirs}"
    page.first = lines // 10  # a tenth of the series is gone, as many are new
    await_both("min(long_page@)", lines // 10)
    await_both("count(long_page@)", lines)
    await_both("sum_over_time(scrape_series_added@[1h])", lines + lines // 10)
    print(f"{MIB} MiB, {lines} series: " + ", ".join(f"{name} takes {p.mib:.0f} MiB" for name, p in peaks.items()), flush=True)
    if RELEASE:
        assert peaks["sluice"].mib <= 100
