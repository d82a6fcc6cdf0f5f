# SPDX-License-Identifier: Apache-2.0
"""Some reloads under load: one whole cycle of configurations would need CYCLE, and tests/torture/test_reloads.py does
many."""
from lib import *
from reloads import Load, counters


def test_reloads_under_load():
    load = Load()
    load.run(8)
    load.check_samples()


def test_counters_go_on_where_they_were():
    """Whatever a reload removes, renames or puts in another place: destinations without names (which are numbered), a job
    with an invalid target, the recent store, a group."""
    sinks = [RecordingSink() for _ in range(3)]
    exporter = ScriptedExporter(series=5)

    def config(*urls, more=""):
        lines = "".join(f"- {{url: '{sink.url}'}}\n" for sink in urls)
        return (f"global: {{scrape_interval: 100ms, scrape_timeout: 100ms}}\nscrape_configs:\n- job_name: x\n"
                f"  static_configs: [{{targets: ['{exporter.address}']}}]\n{more}remote_write:\n{lines or '  []'}\n")

    job = "- {job_name: bad, static_configs: [{targets: ['a:1']}], relabel_configs: [{target_label: __scheme__, replacement: ftp}]}\n"
    a, b, c = sinks
    sluice = Sluice(config(a, b, more=job) + "recent: {}\n", "-remoteWrite.flushInterval=100ms")
    known = {}

    def check():
        now = counters(sluice.get("/metrics").text)
        assert all(now.get(name, value) >= value for name, value in known.items()), \
            {name: (value, now.get(name)) for name, value in known.items() if now.get(name, value) < value}
        known.update(now)
        return now

    def sent(number):
        return check().get(f'vmagent_remotewrite_blocks_sent_total{{url="{number}:secret-url"}}', 0)

    # rejected by the recent store, taken by the destinations
    assert push(f"{sluice.url}/api/v1/write", [({"__name__": "old"}, [(1000, 1.0)])]).status == 204
    first = wait_until(lambda: min(sent(1), sent(2)) > 3 and check())
    failed = 'prometheus_target_sync_failed_total{scrape_job="bad"}'
    assert first[failed] > 0 and first["sluice_recent_rejected_samples_total"] > 0, first
    for urls in ((b, a), (b,), (c, b), (), (a, b, c), (a, b)):
        assert sluice.reconfigure(config(*urls)).status == 200
        now = check()
        assert failed not in now
        assert ("sluice_recent_rejected_samples_total" in now) == (not urls), "on by default without destinations"
        assert sum("blocks_sent_total" in name for name in now) == len(urls), now
        for number in range(len(urls)):
            before = sent(number + 1)
            wait_until(lambda: sent(number + 1) > before, 10)
    assert sluice.reconfigure(config(a, b, more=job) + "recent: {}\n").status == 200
    last = check()
    assert last[failed] > first[failed], "the target is found again"
    assert last["sluice_recent_rejected_samples_total"] >= first["sluice_recent_rejected_samples_total"]
    codes = [name for name in last if name.startswith("vmagent_remotewrite_requests_total")]
    assert len(codes) == len(set(codes)) >= 2


def test_a_reload_finds_targets_again_only_where_the_job_changed():
    def config(*more):
        return "scrape_configs:\n" + "".join(
            f"- {{job_name: j{i}, static_configs: [{{targets: ['a:1']}}], {one} relabel_configs: [{{target_label: __scheme__, replacement: ftp}}]}}\n"
            for i, one in enumerate(more))

    def synced(sluice):
        return [sluice.metric("prometheus_target_sync_failed_total", f'scrape_job="j{i}"') for i in range(3)]
    sluice = Sluice(config("", "", ""))
    assert synced(sluice) == [1, 1, 1], "each target is invalid, and found once"
    assert sluice.reconfigure(config("", "target_limit: 5,", "scrape_interval: 20s,")).status == 200
    assert synced(sluice) == [1, 2, 2]
    assert sluice.reconfigure("global: {external_labels: {a: b}}\n" + config("", "target_limit: 5,", "scrape_interval: 20s,")).status == 200
    assert synced(sluice) == [2, 3, 3], "the labels of the writer shift the scrapes of all targets"
    assert sluice.reconfigure("global: {external_labels: {a: b}}\n" + config("", "target_limit: 5,", "scrape_interval: 20s,")).status == 200
    assert synced(sluice) == [2, 3, 3]
