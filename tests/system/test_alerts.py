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

# What vmagent's official dashboard and alerting rules query, as far as sluice has the thing that is measured.
VMAGENT_DASHBOARD = """
flag process_cpu_cores_available process_cpu_seconds_total process_io_storage_read_bytes_total
process_io_storage_written_bytes_total process_max_fds process_num_threads process_open_fds
process_pressure_cpu_stalled_seconds_total process_pressure_cpu_waiting_seconds_total
process_pressure_io_stalled_seconds_total process_pressure_io_waiting_seconds_total
process_pressure_memory_stalled_seconds_total process_pressure_memory_waiting_seconds_total
process_resident_memory_anon_bytes process_resident_memory_bytes vm_app_start_timestamp vm_app_version
vm_available_cpu_cores vm_available_memory_bytes vm_log_messages_total vm_persistentqueue_bytes_pending
vm_persistentqueue_read_duration_seconds_total vm_persistentqueue_write_duration_seconds_total
vm_promscrape_conn_bytes_read_total vm_promscrape_max_scrape_size_exceeded_errors_total
vm_promscrape_scrape_duration_seconds_bucket vm_promscrape_scrape_pool_targets
vm_promscrape_scrape_response_size_bytes_bucket vm_promscrape_scraped_samples_sum vm_promscrape_scrapes_failed_total
vm_promscrape_scrapes_timed_out_total vm_promscrape_scrapes_total vm_promscrape_targets
vm_protoparser_metadata_read_total vm_protoparser_read_errors_total vm_protoparser_rows_read_total
vm_protoparser_unmarshal_errors_total vm_rows_invalid_total vmagent_http_request_errors_total
vmagent_http_requests_total vmagent_metadata_inserted_total vmagent_remotewrite_block_size_rows_sum
vmagent_remotewrite_packets_dropped_total vmagent_remotewrite_pending_data_bytes vmagent_remotewrite_queues
vmagent_remotewrite_requests_total vmagent_remotewrite_retries_count_total
vmagent_remotewrite_send_duration_seconds_total vmagent_rows_inserted_total
""".split()

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


def test_vmagent_dashboard_finds_this_program():
    sluice = start()
    answer = push(f"{sluice.url}/api/v1/write", [({"__name__": "pushed"}, [(1000, 1)])])
    assert answer.status == 204, answer
    wait_until(lambda: sluice.metric("vmagent_remotewrite_requests_total") > 0, 20, "a request to the destination")
    wait_until(lambda: sluice.metric("vm_protoparser_rows_read_total", "promscrape") > 0, 20, "a scrape")
    have = sluice.metrics()
    names = {text.split("{")[0] for text in have}
    assert not set(VMAGENT_DASHBOARD) - names, sorted(set(VMAGENT_DASHBOARD) - names)
    version = next(text for text in have if text.startswith("vm_app_version{"))
    assert re.search(r'[{,]version="vmagent', version) and 'short_version="' in version, version
    assert sluice.metric("vm_promscrape_targets", 'type="static_configs"') == 2
    assert sluice.metric("vm_protoparser_rows_read_total", "promremotewrite") == 1
    assert sluice.metric("vm_log_messages_total", 'level="info"') > 0


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


def test_prometheus_loads_the_alerts():
    prometheus = Prometheus(f"rule_files: ['{ROOT}/deploy/alerts.yml']\n")
    loaded = [r["name"] for g in prometheus.data("/api/v1/rules")["groups"] for r in g["rules"]]
    assert loaded == [rule["alert"] for rule in rules()], loaded
