# SPDX-License-Identifier: Apache-2.0
"""vmagent's dashboard and alerts find this program; deploy/alerts.yml is valid and asks for metrics that there are."""
import json
import re
import subprocess

from lib import *

try:
    import yaml
except ImportError:
    yaml = None

# What the official dashboard of vmagent and its alerting rules (vmagent's own and the common ones of "health") query;
# test_vmagent_metrics.py causes the events that they show.
with open(f"{ROOT}/tests/compatibility/vmagent.metrics", encoding="utf-8") as asks:
    VMAGENT_ASKS = re.findall(r"^\w+", asks.read(), re.M)

# What they query besides, by the beginning of the name, and why it cannot be here. `up` and `scrape_series_added` are
# no metrics of the page: every scraper makes them.
VMAGENT_LACKS = {
    "go_": "there is no Go runtime",
    "vm_concurrent_insert_": "a lane takes a push when it arrives: there is no limit on their number to be near to",
    "vm_concurrent_select_limit_timeout_total": "a query that finds the line full is refused at once, without waiting",
    "vmagent_kafka_": "there is no Kafka",
    "vmagent_remotewrite_kafka_": "there is no Kafka",
}

# promxy's dashboard, likewise. Prometheus' engine and HTTP server measure under other names there.
PROMXY_ASKS = """
process_cpu_seconds_total process_max_fds process_open_fds prometheus_engine_queries
server_group_request_duration_seconds_count server_group_request_duration_seconds_sum
""".split()
PROMXY_LACKS = {
    "prometheus_engine_query_duration_seconds": "sluice_query_duration_seconds has whole queries, not their phases",
    "prometheus_http_": "sluice_http_requests_total has no handlers; no durations by handler are measured",
    "prometheus_notifications_": "there are no alerts to send",
    "prometheus_rule_": "there are no rules",
    "promxy_remote_storage_": "vmagent_remotewrite_* tells of remote write",
}

# Of the mixin of Prometheus: what an agent that scrapes and sends has, and what is left to the names of vmagent.
PROMETHEUS_ASKS = """
prometheus_config_last_reload_successful prometheus_engine_queries prometheus_engine_queries_concurrent_max
prometheus_sd_discovered_targets prometheus_target_scrape_pool_exceeded_target_limit_total
prometheus_target_scrapes_exceeded_body_size_limit_total prometheus_target_scrapes_exceeded_sample_limit_total
prometheus_target_scrapes_sample_duplicate_timestamp_total prometheus_target_sync_failed_total
process_start_time_seconds
""".split()
PROMETHEUS_LACKS = {
    "prometheus_build_info": "sluice_build_info and vm_app_version tell the version",
    "prometheus_remote_storage_": "vmagent_remotewrite_* and vm_persistentqueue_* tell of remote write",
    "prometheus_target_interval_length_seconds": "not measured",
    "prometheus_target_metadata_cache_entries": "not measured",
    "prometheus_target_scrape_pool_exceeded_label_limits_total": "vm_promscrape_scrapes_skipped_by_label_limit_total",
    "prometheus_target_scrapes_sample_out_of_": "samples are sent as they are; the storage judges their order",
    "prometheus_target_sync_length_seconds": "not measured",
    "prometheus_tsdb_": "there is no TSDB",
    "prometheus_wal_watcher_": "there is no WAL",
}

CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
- {{job_name: scripted, static_configs: [{{targets: ['{exporter}']}}]}}
- {{job_name: itself, static_configs: [{{targets: ['{own}']}}]}}
remote_write:
- {{name: sink, url: '{sink}'}}
recent: {{like: sink}}
server_groups:
- {{name: storage, written_by: sink, static_configs: [{{targets: ['{exporter}']}}]}}
"""


def start():
    port = free_port()
    text = CONFIG.format(exporter=ScriptedExporter(series=3).address, own=f"127.0.0.1:{port}", sink=RecordingSink().url)
    return Sluice(text, port=port)


def test_dashboards_of_peers_find_this_program():
    sluice = start()
    answer = push(f"{sluice.url}/api/v1/write", [({"__name__": "pushed"}, [(1000, 1)])])
    assert answer.status == 204, answer
    wait_until(lambda: sluice.metric("vmagent_remotewrite_requests_total") > 0, 20, "a request to the destination")
    wait_until(lambda: sluice.metric("vm_protoparser_rows_read_total", "promscrape") > 0, 20, "a scrape")
    have = sluice.metrics()
    names = {text.split("{")[0] for text in have}
    sluice.get("/api/v1/query", {"query": "up"})
    names |= {text.split("{")[0] for text in sluice.metrics()}
    missing = {*VMAGENT_ASKS, *PROMXY_ASKS, *PROMETHEUS_ASKS} - names
    assert not missing, sorted(missing)
    stale = [name for name in names if name.startswith((*VMAGENT_LACKS, *PROMXY_LACKS, *PROMETHEUS_LACKS))]
    assert not stale, f"on the page and listed as lacking: {stale}"
    version = next(text for text in have if text.startswith("vm_app_version{"))
    assert re.search(r'[{,]version="vmagent', version) and 'short_version="' in version, version
    assert sluice.metric("vm_promscrape_targets", 'type="static_configs"') == 2
    # The rules for a queue that runs full join these two, the rule for write errors adds the other two.
    paths = [set(re.findall(r'path="([^"]+)"', "".join(text for text in have if text.startswith(name + "{"))))
             for name in ("vm_persistentqueue_free_disk_space_bytes", "vmagent_remotewrite_pending_data_bytes")]
    assert paths[0] == paths[1] and len(paths[0]) == 1, paths
    assert sluice.metric("vm_ingestserver_request_errors_total") + sluice.metric("vmagent_http_request_errors_total") == 0
    assert sluice.metric("vm_protoparser_rows_read_total", "promremotewrite") == 1
    assert sluice.metric("vm_log_messages_total", 'level="info"') > 0


def test_what_is_lacking_is_documented():
    with open(f"{ROOT}/docs/metrics.md", encoding="utf-8") as f:
        page = f.read().split("find nothing for\n")[1]
    named = {name.rstrip("*") for name in re.findall(r"`(\w+\*?)`", page)}
    lacking = {*VMAGENT_LACKS, *PROMXY_LACKS, *PROMETHEUS_LACKS}
    assert lacking <= named, sorted(lacking - named)


def test_errors_of_pushes_are_told_apart():
    sluice = start()
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
    for body in (b"\xff\xff\xff", wire.snappy_compress(b"\x0a\x7f")):
        assert sluice.post("/api/v1/write", body, headers=headers).status == 400
    assert sluice.metric("vm_protoparser_read_errors_total") == 1
    assert sluice.metric("vm_protoparser_unmarshal_errors_total") == 1


def test_query_durations_are_counted():
    sluice = start()
    before = sluice.metric("sluice_query_duration_seconds_count")
    sluice.get("/api/v1/query", {"query": "1"})
    sluice.get("/api/v1/query_range", {"query": "1", "start": 0, "end": 10, "step": 1})
    assert sluice.metric("sluice_query_duration_seconds_count") == before + 2


def test_failed_dials_and_broken_gzip_are_told_apart():
    broken = ScriptedExporter()
    broken.gzip = broken.gzip_cut = True
    sluice = Sluice(f"""
global: {{scrape_interval: 1s}}
scrape_configs:
- {{job_name: closed, static_configs: [{{targets: ['127.0.0.1:{free_port()}']}}]}}
- {{job_name: broken, static_configs: [{{targets: ['{broken.address}']}}]}}
""")
    wait_until(lambda: sluice.metric("vm_promscrape_dial_errors_total") > 0, 20, "a dial error")
    wait_until(lambda: sluice.metric("vm_promscrape_scrapes_gunzip_failed_total") > 0, 20, "a failed decompression")


def test_connections_and_bytes_of_destinations_are_counted():
    sink = RecordingSink()
    sluice = Sluice(f"""
scrape_configs: []
remote_write:
- name: sink
  url: '{sink.url}'
  write_relabel_configs: [{{source_labels: [__name__], regex: unwanted, action: drop}}]
- {{name: other, url: '{sink.url}2'}}
""")
    assert push(f"{sluice.url}/api/v1/write", [({"__name__": "kept"}, [(1000, 1)]),
                                               ({"__name__": "unwanted"}, [(1000, 1), (2000, 2)])]).status == 204
    wait_until(lambda: sluice.metric("vmagent_remotewrite_blocks_sent_total", 'url="sink"') > 0, 20, "a block")
    assert sluice.metric("vmagent_remotewrite_relabel_metrics_dropped_total", 'url="sink"') == 2
    assert sluice.metric("vmagent_remotewrite_relabel_metrics_dropped_total", 'url="other"') == 0
    body = sluice.metric("vmagent_remotewrite_bytes_sent_total", 'url="sink"')
    assert body + 100 < sluice.metric("vmagent_remotewrite_conn_bytes_written_total", 'url="sink"') < body + 1000
    connections = sluice.metric("vmagent_remotewrite_conns")
    assert 2 <= connections <= 3, connections  # one a shard that has sent


def test_syncs_of_the_queue_are_timed():
    sluice = Sluice(f"remote_write:\n- {{name: sink, url: '{RecordingSink().url}', durability: always}}\n")
    assert push(f"{sluice.url}/api/v1/write", [({"__name__": "pushed"}, [(1000, 1)])]).status == 204
    assert sluice.metric("vm_filestream_fsync_calls_total", 'name="sink"') >= 1
    assert sluice.metric("vm_filestream_fsync_duration_seconds_total", 'name="sink"') > 0


def test_bytes_of_the_listener_are_counted():
    sluice = Sluice("scrape_configs: []\n")
    sluice.metrics()
    read, written = (sluice.metric(f"vm_tcplistener_{way}_bytes_total") for way in ("read", "written"))
    size = len(sluice.get("/metrics").text)
    body = b"x" * 100000
    sluice.post("/api/v1/query", body, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert size < sluice.metric("vm_tcplistener_written_bytes_total") - written < 4 * size
    assert len(body) < sluice.metric("vm_tcplistener_read_bytes_total") - read < len(body) + 5000


def rules():
    if yaml is None:
        raise Skip("python3-yaml")
    with open(f"{ROOT}/deploy/alerts.yml", encoding="utf-8") as f:
        return [rule for group in yaml.safe_load(f)["groups"] for rule in group["rules"]]


def selected(tree):
    """The metric names in a tree of `sluice promql parse`."""
    if isinstance(tree, list):
        return {name for part in tree for name in selected(part)}
    if not isinstance(tree, dict):
        return set()
    own = {tree["name"]} if tree.get("type") in ("vectorSelector", "matrixSelector") else set()
    return own | {name for part in tree.values() for name in selected(part)}


def test_alerts_ask_for_metrics_that_there_are():
    with open(f"{ROOT}/docs/metrics.md", encoding="utf-8") as f:
        known = set(re.findall(r"^\| `(\w+)`", f.read(), re.M)) | {"up"}
    assert len(rules()) >= 8
    for rule in rules():
        p = subprocess.run([f"{ROOT}/{OUT}/sluice", "promql", "parse", rule["expr"]], stdout=subprocess.PIPE, text=True)
        assert p.returncode == 0, f"{rule['alert']}: {p.stdout}"
        names = {re.sub(r"_bucket$", "", name) for name in selected(json.loads(p.stdout))}
        assert names and names <= known, f"{rule['alert']}: no such metrics: {sorted(names - known)}"
        assert rule["annotations"]["summary"] and rule["labels"]["severity"], rule["alert"]


def test_an_orphaned_queue_alerts():
    """The rule's expression, over what sluice says of itself."""
    port, down, sink = free_port(), RecordingSink(), RecordingSink()
    down.status = 503
    config = f"""
global: {{scrape_interval: 1s}}
scrape_configs: [{{job_name: sluice, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]
recent: {{}}
remote_write:
- {{name: kept, url: '{sink.url}'}}
"""
    sluice = Sluice(config + f"- {{name: removed, url: '{down.url}'}}\n", port=port)
    expr = next(rule["expr"] for rule in rules() if rule["alert"] == "SluiceQueueOrphaned")
    wait_until(lambda: sluice.metric("vm_persistentqueue_bytes_pending", "removed") > 0, 20, "samples in the queue")
    assert sluice.query(expr)["result"] == []
    assert sluice.reconfigure(config).status == 200
    fired = wait_until(lambda: sluice.query(expr)["result"], 30, "the alert")
    assert len(fired) == 1 and fired[0]["metric"]["path"].startswith("removed-"), fired


def test_prometheus_loads_the_alerts():
    prometheus = Prometheus(f"rule_files: ['{ROOT}/deploy/alerts.yml']\n")
    loaded = [r["name"] for g in prometheus.data("/api/v1/rules")["groups"] for r in g["rules"]]
    assert loaded == [rule["alert"] for rule in rules()], loaded
