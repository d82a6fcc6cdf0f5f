# SPDX-License-Identifier: Apache-2.0
"""What the log, /targets and the API tell of targets that fail, are invalid, or are gone."""
import json
import os
import re
import time

from lib import *

AGAIN = "job has targets again"
EMPTY = "job has no targets any more; check its discovery and relabel_configs"
FAILS = "cannot scrape target; retrying at the next interval"


def lines(sluice, message):
    return [line for line in sluice.log().splitlines() if f'msg="{message}"' in line]


def wait_lines(sluice, message, n):
    wait_until(lambda: len(lines(sluice, message)) == n, 20, f"{n} lines {message!r}")
    return lines(sluice, message)


def test_a_job_that_loses_its_targets_is_told_once():
    exporter, targets = ScriptedExporter(), write_file("targets.yml", "[]\n")
    put_file(targets, f"[{{targets: ['{exporter.address}']}}]\n")
    sluice = Sluice(f"""
scrape_configs:
- {{job_name: files, scrape_interval: 1s, file_sd_configs: [{{files: ['{targets}'], refresh_interval: 1s}}]}}
- {{job_name: never, scrape_interval: 1s, static_configs: []}}
""")
    put_file(targets, "[]\n")
    line, = wait_lines(sluice, EMPTY, 1)
    assert "level=warn" in line and "job=files before=1" in line, line
    put_file(targets, "[{targets: []}]\n")
    put_file(targets, f"[{{targets: ['{exporter.address}', 'x:1']}}]\n")
    line, = wait_lines(sluice, AGAIN, 1)
    assert "level=info" in line and "job=files targets=2" in line, line
    assert len(lines(sluice, EMPTY)) == 1, sluice.log()


def test_an_invalid_target_has_its_row():
    exporter = ScriptedExporter()
    sluice = Sluice(f"""
scrape_configs:
- job_name: mixed
  scrape_interval: 1s
  static_configs: [{{targets: ['{exporter.address}', 'ho st:80', 'worse host:81', 'gone:1'], labels: {{a: <b>}}}}]
  relabel_configs: [{{source_labels: [__address__], regex: 'gone:1', action: drop}}]
""")
    line, = wait_lines(sluice, "invalid target; not scraping it", 1)
    assert 'job=mixed address="ho st:80"' in line and "invalid_targets=2" in line, line
    targets = sluice.data("/api/v1/targets")
    assert [t["scrapePool"] for t in targets["activeTargets"]] == ["mixed"]
    errors = {t["discoveredLabels"]["__address__"]: t.get("lastError") for t in targets["droppedTargets"]}
    assert errors == {"ho st:80": '"ho st:80" is not a valid address', "gone:1": None,
                      "worse host:81": '"worse host:81" is not a valid address'}, errors
    assert targets["droppedTargetCounts"] == {"mixed": 3}
    assert sluice.metric("prometheus_target_sync_failed_total", 'scrape_job="mixed"') == 2
    assert sluice.metric("prometheus_sd_discovered_targets", 'config="mixed"') == 4


def test_how_much_is_kept_of_targets_that_are_dropped():
    """As in Prometheus by job, as in vmagent of all jobs; all are counted."""
    job = ("- {job_name: %s, static_configs: [{targets: [x:1, x:2, x:3, x:4]}], relabel_configs: [{action: drop}]%s}\n")
    config = "scrape_configs:\n" + job % ("a", ", keep_dropped_targets: 1") + job % ("b", "") + job % ("c", "")

    def kept(sluice):
        targets = sluice.data("/api/v1/targets?state=dropped")
        assert targets["droppedTargetCounts"] == {"a": 4, "b": 4, "c": 4}, targets
        return [t["discoveredLabels"]["job"] for t in targets["droppedTargets"]]
    sluice = Sluice("global: {keep_dropped_targets: 2}\n" + config)
    assert kept(sluice) == ["a", "b", "b", "c", "c"]
    assert sluice.reconfigure(config).status == 200
    assert kept(sluice) == ["a"] + ["b"] * 4 + ["c"] * 4
    assert kept(Sluice(config, "-promscrape.maxDroppedTargets=3")) == ["a", "b", "b"]


def test_targets_without_their_discovered_labels():
    exporter = ScriptedExporter()
    sluice = Sluice(f"""
scrape_configs:
- job_name: x
  static_configs: [{{targets: ['{exporter.address}', 'gone:1', 'ho st:1']}}]
  relabel_configs: [{{source_labels: [__address__], regex: 'gone:1', action: drop}}]
""", "-promscrape.dropOriginalLabels")
    targets = sluice.data("/api/v1/targets")
    assert [t["discoveredLabels"] for t in targets["activeTargets"]] == [{}]
    assert [t["labels"] for t in targets["activeTargets"]] == [{"job": "x", "instance": exporter.address}]
    assert targets["droppedTargets"] == [] and targets["droppedTargetCounts"] == {"x": 2}, targets
    for page in "/targets", "/service-discovery":
        assert sluice.get(page).status == 200


def failing_job(name, n, rest=""):
    port = free_port()
    addresses = ", ".join(f"'127.0.{i // 250 + 1}.{i % 250 + 1}:{port}'" for i in range(n))
    return f"- {{job_name: {name}, scrape_interval: 1s, static_configs: [{{targets: [{addresses}]}}]{rest}}}\n"


def test_many_failing_targets_do_not_flood_the_log():
    exporter = ScriptedExporter()
    exporter.status = 500
    sluice = Sluice("scrape_configs:\n" + failing_job("many", 400) +
                    f"- {{job_name: one, scrape_interval: 1s, static_configs: [{{targets: ['{exporter.address}']}}]}}\n")
    more, = wait_lines(sluice, "cannot scrape more targets of the job; retrying at the next interval", 1)
    assert re.search(r'level=warn .* job=many targets=397 most_common_err="connection refused" targets_with_it=397$',
                     more), more
    told = lines(sluice, FAILS)
    assert sorted(re.search(r"job=(\w+)", line).group(1) for line in told) == ["many"] * 3 + ["one"], told
    exporter.status = 200
    line, = wait_lines(sluice, "target is scraped again", 1)
    assert "job=one" in line and "failed_for=" in line, line


def test_scrape_errors_can_be_suppressed():
    config = "scrape_configs:\n" + failing_job("dead", 2).replace("'127.0.1.2", "'127.0.1.1")
    duplicate = "duplicate target; scraping it once"
    plain = Sluice(config, "-promscrape.suppressScrapeErrorsDelay=0s", name="plain")
    silent = Sluice(config, "-promscrape.suppressScrapeErrors", "-promscrape.suppressDuplicateScrapeTargetErrors",
                    name="silent")
    later = Sluice(config, "-promscrape.suppressScrapeErrorsDelay=1h", name="later")
    line, = wait_lines(plain, duplicate, 1)
    assert "job=dead" in line and "duplicates=1" in line, line
    wait_lines(plain, FAILS, 1)
    for sluice, duplicates in ((silent, 0), (later, 1)):
        wait_until(lambda: sluice.metric("vm_promscrape_scrapes_failed_total") > 0, 20, "a failed scrape")
        assert len(lines(sluice, FAILS)) == 0, sluice.log()
        assert len(lines(sluice, duplicate)) == duplicates, sluice.log()


def test_failing_files_of_targets_are_counted():
    good, bad = write_file("good.yml", "[]\n"), write_file("bad.yml", "[]\n")
    sluice = Sluice(f"""
scrape_configs:
- {{job_name: files, file_sd_configs: [{{files: ['{good}', '{bad}'], refresh_interval: 1s}}, {{files: ['{good}']}}]}}
- {{job_name: fixed, static_configs: []}}
""")
    assert sluice.metric("sluice_sd_failing_files", 'config="files"') == 0
    assert abs(sluice.metric("prometheus_sd_file_mtime_seconds", good) - os.stat(good).st_mtime) < 0.01
    put_file(bad, "targets: 3\n")
    wait_until(lambda: sluice.metric("sluice_sd_failing_files", 'config="files"') == 1, 20, "a failing file")
    assert sluice.metric("prometheus_sd_file_read_errors_total") >= 1
    put_file(bad, "[{targets: []}]\n")
    wait_until(lambda: sluice.metric("sluice_sd_failing_files", 'config="files"') == 0, 20, "a file that is well")
    assert not [name for name in sluice.metrics() if "failing_files" in name and "fixed" in name]


def test_targets_that_fail_come_first():
    exporters = [ScriptedExporter() for _ in range(3)]
    up = sorted(f"http://{e.address}/metrics" for e in exporters)
    addresses = ", ".join(f"'{e.address}'" for e in exporters)
    jobs = "".join(f"""
- job_name: {job}
  scrape_interval: 1s
  static_configs: [{{targets: [{addresses}, '127.0.0.1:2', '127.0.0.1:1', 'a_b c:1'], labels: {{x: '<{job}>'}}}}]
""" for job in ("b", "a"))
    sluice = Sluice("scrape_configs:" + jobs)
    wanted = [("invalid", "a_b"), ("down", "http://127.0.0.1:1/metrics"), ("down", "http://127.0.0.1:2/metrics"),
              *(("up", url) for url in up)] * 2
    wait_until(lambda: "state=unknown" not in sluice.get("/targets").text, 20, "all targets scraped")
    text = sluice.get("/targets").text
    assert re.findall(r"state=(\w+), endpoint=(\S+?)[, ]", text) == wanted, text
    assert 'error=""a_b c:1" is not a valid address"' in text, text
    html = sluice.get("/targets", {"state": "invalid"}, headers={"Accept": "text/html"}).text
    assert "2 invalid</a>" in html and "2 shown" in html and ">a_b c:1<td class=down data-k=State>invalid" in html, html
    assert "&lt;a&gt;" in html and "<a>" not in html and 'href="a_b' not in html, html
    html = sluice.get("/targets", {"state": "down", "q": "127.0.0.1:2"}, headers={"Accept": "text/html"}).text
    assert "2 shown" in html and "127.0.0.1:1/metrics" not in html, html


def test_ten_thousand_targets_are_a_small_page():
    release_build()
    addresses = ", ".join(f"'127.0.0.1:1/{i}'" for i in range(10000))
    sluice = Sluice("scrape_configs:\n- {job_name: many, scrape_interval: 1h, "
                    f"static_configs: [{{targets: [{addresses}]}}]}}\n")
    for query in ({}, {"page": 50}, {"state": "unknown", "q": "/99"}, {"state": "up"}):
        began = time.monotonic()
        page = sluice.get("/targets", query, headers={"Accept": "text/html"})
        took = time.monotonic() - began
        assert page.status == 200 and len(page.text) < 200_000, f"{query}: {len(page.text)} bytes"
        assert took < 2, f"{query}: {took:.2f} s"  # some 40 ms on an idle machine
    assert "10000 targets in 1 jobs" in page.text, page.text[:2000]


def test_connections_of_removed_targets_are_closed():
    """By a reload and by discovery; those of the others are kept."""
    configured, discovered, stays = (ScriptedExporter() for _ in range(3))
    targets = write_file("targets.json", json.dumps([{"targets": [discovered.address, stays.address]}]))
    config = f"""
global: {{scrape_interval: 200ms}}
scrape_configs:
- {{job_name: files, file_sd_configs: [{{files: ['{targets}'], refresh_interval: 1s}}]}}
"""
    sluice = Sluice(config + f"- {{job_name: static, static_configs: [{{targets: ['{configured.address}']}}]}}\n")
    exporters = configured, discovered, stays
    wait_until(lambda: all(e.n >= 2 for e in exporters), 10, "two scrapes of each target")
    kept = set(stays.server.sockets)
    assert [len(e.server.sockets) for e in exporters] == [1, 1, 1]
    assert sluice.reconfigure(config).status == 200
    wait_until(lambda: not configured.server.sockets, 5, "the connection to the target that a reload removed is closed")
    put_file(targets, json.dumps([{"targets": [stays.address]}]))
    wait_until(lambda: not discovered.server.sockets, 5, "the connection to the target that its file lacks is closed")
    assert stays.server.sockets == kept
