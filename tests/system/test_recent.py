# SPDX-License-Identifier: Apache-2.0
"""The recent store answers for a storage that is down, through the same query and with the storage's labels."""
import time

from lib import *

CONFIG = """
global: {{scrape_interval: 500ms, external_labels: {{dc: lab}}}}
scrape_configs:
- job_name: scripted
  static_configs: [{{targets: ['{exporter.address}']}}]
remote_write:
- name: main
  url: '{storage.write_url}'
  write_relabel_configs: [{{target_label: written_as, replacement: main}}]
server_groups:
- name: storage
  written_by: main
  static_configs: [{{targets: ['{storage.address}']}}]
recent: {{like: main, budget: 64MiB, retention: 2h}}
"""


def values(server, at):
    return {labels: [v for _, v in s if v == v] for labels, s in server.raw("scripted_counter", "5m", at).items()}


def check(storage):
    exporter = ScriptedExporter(series=3)
    sluice = Sluice(CONFIG.format(exporter=exporter, storage=storage))
    began = time.time()
    wait_until(lambda: len(exporter.served) > 10, 30)
    wait_until(lambda: len(storage.query("scripted_counter")["result"]) == 3, what="the storage has samples")
    stored = {tuple(sorted(s["metric"].items())) for s in storage.query("scripted_counter")["result"]}
    assert all(("dc", "lab") in s and ("written_as", "main") in s for s in stored), stored

    storage.stop()
    down = exporter.n
    wait_until(lambda: exporter.n > down + 10, 30)
    exporter.status = 503
    found = wait_until(lambda: all(got == exporter.numbers() for got in values(sluice, time.time()).values())
                       and values(sluice, time.time()), what="the recent store has the last scrape")
    now = time.time()
    assert set(found) == stored, f"labels {set(found)}, the storage has {stored}"
    for labels, got in found.items():
        assert got == exporter.numbers(), f"{dict(labels)}: {got}, served {exporter.numbers()}"
    latest = sluice.query("max_over_time(scripted_counter[1m])", now)["result"]
    assert {s["value"][1] for s in latest} == {str(exporter.numbers()[-1])}, latest
    steps = sluice.query_range("scripted_counter", now - 8, now - 3, 1)["result"]
    assert len(steps) == 3 and all(len(s["values"]) >= 5 for s in steps), steps
    assert sluice.data("/api/v1/label/written_as/values") == ["main"]

    # Before sluice began only the storage can know: an error that names it, not an empty answer.
    old = sluice.get("/api/v1/query", {"query": "scripted_counter", "time": began - 3600})
    assert old.status in (502, 503, 504) and storage.address in old.text, old

    storage.start().wait_ready(60)
    wait_until(lambda: all(v == exporter.numbers() for v in values(storage, now).values()), 60,
               "the gap in the storage is filled")
    again = wait_until(lambda: values(sluice, now), 20)
    assert again == found, (again, found)


@seconds(150)
def test_victoria_down():
    check(VictoriaMetrics())


@seconds(150)
def test_prometheus_down():
    check(Prometheus())


def test_embedded_default():
    """Neither a remote_write nor a server group: sluice alone scrapes and answers."""
    exporter = ScriptedExporter(series=3)
    sluice = Sluice(f"global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: scripted\n"
                    f"  static_configs: [{{targets: ['{exporter.address}']}}]\n")
    wait_until(lambda: len(exporter.served) > 4)
    found = wait_until(lambda: sluice.raw("scripted_counter"))
    assert len(found) == 3 and all([v for _, v in s] == list(range(len(s))) for s in found.values()), found
    exporter.stop()
    wait_until(lambda: not sluice.query("scripted_counter")["result"], 10, "stale when the target is gone")
    assert sluice.query("up")["result"][0]["value"][1] == "0"
