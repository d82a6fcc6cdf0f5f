# SPDX-License-Identifier: Apache-2.0
"""What vmagent's dashboard and alerts ask for (tests/compatibility/vmagent.metrics) is there, with its labels, and each
event that they show or alert on moves it."""
import os
import re

from lib import *
from test_alerts import VMAGENT_LACKS

LIST = f"{ROOT}/tests/compatibility/vmagent.metrics"
SCRAPES = """
global: {{scrape_interval: 500ms, scrape_timeout: 300ms}}
scrape_configs:
- {{job_name: healthy, static_configs: [{{targets: ['{healthy}']}}]}}
- {{job_name: refused, static_configs: [{{targets: ['127.0.0.1:{closed}']}}]}}
- {{job_name: slow, static_configs: [{{targets: ['{slow}']}}]}}
- {{job_name: broken, static_configs: [{{targets: ['{broken}']}}]}}
- {{job_name: large, body_size_limit: 1KB, static_configs: [{{targets: ['{large}']}}]}}
- {{job_name: empty, static_configs: []}}
"""


def asked():
    """{name: (labels, event)}"""
    with open(LIST, encoding="utf-8") as f:
        rows = [re.fullmatch(r"(\w+)(?:\{(.*)\})? (\w+)\n", line) for line in f if line[0] != "#"]
    return {row[1]: (set(filter(None, (row[2] or "").split(","))), row[3]) for row in rows}


def check_labels(sluice):
    found = {}
    for text in sluice.metrics():
        found.setdefault(text.split("{")[0], []).append(set(re.findall(r'[{,](\w+)="', text)))
    for name, (labels, _) in asked().items():
        assert name in found, f"{name} is missing"
        assert not name.startswith(tuple(VMAGENT_LACKS)), f"{name} is in VMAGENT_LACKS"
        assert all(labels <= its for its in found[name]), f"{name}: labels {found[name][0]}, wanted {labels}"


def scrape_config():
    healthy, slow, broken, large = ScriptedExporter(page=lambda n, ms: f"# TYPE a counter\na {n}\n{{\n"), ScriptedExporter(), \
        ScriptedExporter(), ScriptedExporter(series=100)
    slow.delay, broken.gzip, broken.gzip_cut = 1, True, True
    return SCRAPES.format(healthy=healthy.address, closed=free_port(), slow=slow.address, broken=broken.address,
                          large=large.address)


def push_all_kinds(sluice):
    """Series, of which a rule drops one, and metadata; then what is no snappy, and what is no message."""
    metadata = wire.field(3, wire.field(1, 1) + wire.field(2, "m") + wire.field(4, "help"))
    body = wire.snappy_compress(wire.write_request([({"__name__": name}, [(now_ms(), 1.0)]) for name in ("kept", "unwanted")]) + metadata)
    codes = [sluice.post("/api/v1/write", b, headers={"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}).status
             for b in (body, b"\xff\xff\xff", wire.snappy_compress(b"\x0a\x7f"))]
    assert codes == [204, 400, 400], codes


def push_until_full(sluice):
    """What does not compress, until the queue with little memory drops some."""
    for n in range(100):
        series = [({"__name__": "large", "n": str(n), "noise": os.urandom(30000).hex()}, [(now_ms(), 1.0)])]
        assert push(f"{sluice.url}/api/v1/write", series).status == 204
        if sluice.metric("vm_persistentqueue_bytes_dropped_total") > 0:
            return
    raise AssertionError("the queue with a limit of 512 KiB drops nothing")


@seconds(60)
def test_each_event_of_the_dashboard_moves_its_metric():
    sinks = [RecordingSink(zstd=True) for _ in range(3)]
    working, down, rejecting = sinks
    down.status, rejecting.status = 503, 400
    rules = write_file("rules.yml", "- {source_labels: [__name__], regex: unwanted, action: drop}\n")
    small = (f"remote_write: [{{name: down, url: '{down.url}', max_memory_bytes: 64KiB, max_disk_bytes: 512KiB, "
             "queue_config: {shards: 1, max_backoff: 100ms}}]\n")
    sluice = Sluice(small, *[f"-remoteWrite.url={sink.url}" for sink in (working, rejecting)],
                    f"-remoteWrite.urlRelabelConfig={rules}", "-remoteWrite.retryMinInterval=50ms", "-remoteWrite.retryMaxInterval=100ms",
                    config_flag="-promscrape.config", listen_flag="-httpListenAddr")
    wanted = asked()
    early = [name for name, (_, event) in wanted.items() if event not in ("is", "0", "reload") and sluice.metric(name) > 0]
    assert not early, f"not zero at the start: {early}"
    assert sluice.reconfigure(scrape_config() + small).status == 200
    push_all_kinds(sluice)
    push_until_full(sluice)

    def moved(events):
        values = {}
        for text, value in sluice.metrics().items():
            values[text.split("{")[0]] = values.get(text.split("{")[0], 0) + value
        still = [name for name, (_, event) in wanted.items() if event in events and values.get(name, 0) <= 0]
        assert not still, still
        return True
    wait_until(lambda: moved(("is", "scrape", "push", "malformed", "outage", "full", "rejection")), 30)
    check_labels(sluice)
    assert sluice.metric("vmagent_remotewrite_requests_total", 'status_code="2XX"') > 0
    assert sluice.metric("vmagent_remotewrite_requests_total", 'status_code="503"') > 0
    assert sluice.metric("vm_promscrape_scrape_pool_targets", 'scrape_job="empty"') == 0  # ScrapePoolHasNoTargets
    assert sluice.metric("vm_promscrape_targets", 'status="up"') == 1

    reloads = [name for name, (_, event) in wanted.items() if event == "reload"]
    assert [sluice.metric(name) for name in reloads] == [1, 1]
    for path in rules, sluice.config_path:
        write_file(os.path.basename(path), "- {\n")
        sluice.post("/-/reload")
    assert [sluice.metric(name) for name in reloads] == [0, 0]
    write_file("rules.yml", "[]\n")
    write_file("sluice.yml", small)

    assert sluice.metric("vm_app_prev_shutdown_unclean") == 0
    sluice.kill9()
    down.status = 204
    sluice.start().wait_ready()
    wait_until(lambda: moved(("kill", "recovery")), 30)
