# SPDX-License-Identifier: Apache-2.0
"""The test suite of OpenMetrics, https://github.com/prometheus/OpenMetrics: a directory for each page, with the page and whether it
should be accepted. OPENMETRICS=DIRECTORY is a clone; without it the test is skipped."""
import glob
import json
import os

from fakes import ScriptedExporter
from lib import *

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
# Pages that the suite and Prometheus refuse, as the grammar does; others are refused for what is beyond it, which is not checked.
LEAST_REFUSED = 88


class SuiteExporter(ScriptedExporter):
    """/NAME is the page of this name."""

    def __init__(self, pages):
        self.pages = pages
        super().__init__()

    def answer(self, request, _):
        return request.reply(200, self.pages[request.path.split("?")[0][1:]], Content_Type=OPENMETRICS)


def suite():
    """{name: (page, whether it should be accepted)}"""
    folders = glob.glob(f"{os.environ.get('OPENMETRICS', '')}/tests/testdata/parsers/*/test.json")
    if not os.environ.get("OPENMETRICS"):
        raise Skip("a clone of prometheus/OpenMetrics (OPENMETRICS=DIRECTORY)")
    assert len(folders) > 200, "OPENMETRICS is no clone of prometheus/OpenMetrics"
    found = {}
    for path in folders:
        with open(path, encoding="utf-8") as f:
            test = json.load(f)
        with open(f"{os.path.dirname(path)}/{test['file']}", "rb") as f:
            found[os.path.basename(os.path.dirname(path))] = f.read(), test["shouldParse"]
    return found


def accepted(server, n):
    """The names of the pages whose scrapes succeed."""
    def scraped():
        targets = [t for t in server.data("/api/v1/targets")["activeTargets"] if t["health"] != "unknown"]
        return targets if len(targets) == n else None
    targets = wait_until(scraped, 60, what="a scrape of each page")
    return {t["labels"]["page"] for t in targets if t["health"] == "up"}


@waits
def test_pages_of_the_suite():
    """All that should be accepted are, and the others as by Prometheus."""
    pages = suite()
    exporter = SuiteExporter({name: page for name, (page, _) in pages.items()})
    targets = ", ".join(f"{{targets: ['{exporter.address}'], labels: {{page: {name}, __metrics_path__: /{name}}}}}" for name in pages)
    config = f"global: {{scrape_interval: 2s}}\nscrape_configs: [{{job_name: suite, static_configs: [{targets}]}}]\n"
    servers = Sluice(config, "--dialect=prometheus"), Prometheus(config)
    ours, theirs = (accepted(server, len(pages)) for server in servers)
    should = {name for name, (_, ok) in pages.items() if ok}
    assert not should - ours, f"refused against the suite: {sorted(should - ours)}"
    assert ours == theirs, f"sluice {sorted(ours - theirs)}, Prometheus {sorted(theirs - ours)}"
    assert len(pages) - len(ours) >= LEAST_REFUSED, len(pages) - len(ours)
