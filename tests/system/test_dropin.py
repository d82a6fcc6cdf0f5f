# SPDX-License-Identifier: Apache-2.0
"""Command lines and files of usual how-tos for vmagent and promxy, as they stand but for paths and ports."""
import os
import re
import shlex
import subprocess
import time

from lib import *
from test_upstream import FakePrometheus

VMAGENT_UNIT = """
[Unit]
Description=vmagent
After=network.target
[Service]
Type=simple
ExecStart=/usr/local/bin/vmagent \\
  -promscrape.config=/etc/vmagent/config.yml \\
  -remoteWrite.url=http://127.0.0.1:8428/api/v1/write \\
  -remoteWrite.tmpDataPath=/var/lib/vmagent \\
  -httpListenAddr=:8429
Restart=always
[Install]
WantedBy=multi-user.target
"""

VMAGENT_CONFIG = """
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: 'node'
    static_configs:
      - targets: ['127.0.0.1:9100']
"""

# As an article of promxy's early days has it.
PROMXY_CONFIG = """
global:
  evaluation_interval: 5s
  external_labels:
    source: promxy
promxy_server:
  server_groups:
    - static_configs:
        - targets:
          - {a}
          - {b}
      labels:
        sg: localhost_9090
      anti_affinity: 10s
      scheme: http
      path_prefix: /api/v1
      remote_read: true
"""


def exec_start(unit, replace):
    """The arguments of its command, with these paths and ports in place of the how-to's."""
    line = next(line for line in unit.replace("\\\n", " ").splitlines() if line.startswith("ExecStart="))
    words = shlex.split(line)[1:]
    for old, new in replace.items():
        assert any(old in word for word in words), f"{old} is not in the unit"
        words = [word.replace(old, new) for word in words]
    return words


def test_vmagent_unit():
    exporter, storage, port = ScriptedExporter(), VictoriaMetrics(), free_port()
    config = write_file("config.yml", VMAGENT_CONFIG.replace("127.0.0.1:9100", exporter.address))
    sluice = Sluice(None, port=port, start=False)
    sluice.command = [sluice.program] + exec_start(VMAGENT_UNIT, {
        "/etc/vmagent/config.yml": config, "/var/lib/vmagent": f"{folder()}/queue",
        "http://127.0.0.1:8428": storage.url, ":8429": f":{port}"})
    sluice.start().wait_ready()
    wait_until(lambda: storage.query("scripted_counter")["result"], 20, "samples in the storage")
    up = storage.query('up{job="node"}')["result"]
    assert up and up[0]["metric"]["instance"] == exporter.address, up

    # curl lines of the same how-to.
    metrics = sluice.get("/metrics")
    assert metrics.status == 200 and "vmagent_remotewrite_" in metrics.text, metrics.text[:300]
    for path in ("/targets", "/api/v1/targets", "/-/healthy", "/-/ready"):
        assert sluice.get(path).status == 200, path
    assert exporter.address in sluice.get("/targets").text
    with open(config, "a", encoding="utf-8") as f:
        f.write(f"  - job_name: 'more'\n    static_configs: [{{targets: ['{exporter.address}']}}]\n")
    assert sluice.post("/-/reload").status // 100 == 2
    wait_until(lambda: storage.query('up{job="more"}')["result"], 20, "the new job after a reload")


def test_vmagent_two_dashes_and_arrays():
    """Repeated flags are positional: each URL gets the labels and options given for it."""
    exporter, first, second = ScriptedExporter(series=1), RecordingSink(), RecordingSink()
    Sluice(VMAGENT_CONFIG.replace("127.0.0.1:9100", exporter.address), f"--remoteWrite.url={first.url}",
           f"--remoteWrite.url={second.url}", "-remoteWrite.label=dc=lab", "-remoteWrite.queues=2",
           config_flag="--promscrape.config", listen_flag="--httpListenAddr")
    for sink in (first, second):
        found = wait_until(lambda: sink.find("scripted_counter"), 20, "samples in both")
        assert all(("dc", "lab") in labels for labels in found), found.keys()


def test_promxy_article():
    start = int(time.time()) - 300
    samples = [(t * 1000, t - start) for t in range(start, start + 240, 15)]
    a, b = Prometheus(name="a"), Prometheus(name="b")
    for server, part in ((a, samples[:6]), (b, samples[3:])):
        assert push(server.write_url, [({"__name__": "m", "instance": "x"}, part)]).status == 204
    sluice = Sluice(PROMXY_CONFIG.format(a=a.address, b=b.address), config_flag="--config", listen_flag="--bind-addr")
    whole = sluice.query_range("m", start, start + 225, 15)["result"]
    assert len(whole) == 1, whole
    assert whole[0]["metric"] == {"__name__": "m", "instance": "x", "sg": "localhost_9090"}, whole
    assert [float(v) for _, v in whole[0]["values"]] == [15 * k for k in range(16)], whole
    assert "promxy_server" in sluice.log(), "the old name is accepted with a warning"
    by_label = sluice.query('sum_over_time(m{sg="localhost_9090"}[10m])', start + 230)["result"]
    assert by_label[0]["value"][1] == str(15 * 120), by_label


# Of the shape of promxy's own example: every field that it has, and one group whose relabeling keeps no server.
PROMXY_EVERY_FIELD = """
global:
  evaluation_interval: 5s
  external_labels:
    source: gateway-1
rule_files:
- "*.rules"
alerting:
  alertmanagers:
  - scheme: http
    static_configs:
    - targets:
      - "127.0.0.1:9093"
remote_write:
  - url: http://127.0.0.1:1/receive
promxy:
  server_groups:
    - name: everything
      static_configs:
        - targets:
          - {a}
      labels:
        sg: a
      anti_affinity: 10s
      anti_affinity_dynamic: false
      timeout: 5s
      remote_read: true
      remote_read_path: api/v1/read
      native_histogram:
        metadata_refresh: 5m
        allow_lossy: false
      path_prefix: /
      query_params:
        nocache: 1
      scheme: http
      http_client:
        dial_timeout: 1s
        tls_config:
          insecure_skip_verify: true
      relative_time_range:
        start: -3h
        end: 1h
        truncate: false
      prefer_max: false
      absolute_time_range:
        start: '2009-10-10T23:00:00Z'
        end: '2199-10-11T23:00:00Z'
        truncate: true
      relabel_configs:
      - source_labels: [__address__]
        regex: '.+'
        action: replace
        replacement: here
        target_label: datacenter
      metrics_relabel_configs:
        - action: labeldrop
          source_label: replica
        - action: replace
          source_label: job
          target_label: scrape_job
        - action: labeldrop
          source_label: job
        - action: lowercase
          source_label: branch
          target_label: branch
        - action: uppercase
          source_label: instance
          target_label: instanceUpper
      max_idle_conns: 20000
      max_idle_conns_per_host: 1000
      idle_conn_timeout: 300s
      downgrade_error: true
      ignore_error: true
      label_filter:
        dynamic_labels:
          - __name__
          - scrape_job
        sync_interval: 5m
        static_labels_include:
          instance:
            - x
        static_labels_exclude:
          __name__:
            - up
      inject_matchers:
        - 'cluster="A"'
      http_headers:
        X-Scope-OrgID: tenant-A
        X-Source: gateway-1
    - name: nothing
      static_configs:
        - targets:
          - {b}
      relabel_configs:
      - source_labels: [__meta_consul_tags]
        regex: '.*,prod,.*'
        action: keep
      ignore_error: true
"""


def test_promxy_with_every_field():
    now = int(time.time())
    server = Prometheus()
    labels = {"__name__": "m", "job": "j", "instance": "x", "branch": "Main"}
    series = [({**labels, "replica": r, "cluster": c}, [(1000 * t, 1.0 + (c == "B")) for t in range(now - 300, now, 15)])
              for r in "01" for c in "AB"]
    assert push(server.write_url, series).status == 204
    flags = """--log-level=info --log-format=text --log-max-form-prefix=256 --access-log-destination=none
        --metrics-path=/metrics --proxy-headers=X-User --web.cors.origin=.* --web.read-timeout=5m
        --web.route-prefix=/ --web.enable-lifecycle --query.timeout=2m --query.max-samples=50000000 --query.lookback-delta=5m
        --query.max-concurrency=-1 --remote-read.max-concurrency=10 --alertmanager.notification-queue-capacity=10000
        --rules.alert.for-outage-tolerance=1h --rules.alert.for-grace-period=10m --rules.alert.resend-delay=1m
        --rules.alertbackfill --http.shutdown-delay=10s --http.shutdown-timeout=60s""".split()
    sluice = Sluice(PROMXY_EVERY_FIELD.format(a=server.address, b="127.0.0.1:1"), *flags, config_flag="--config", listen_flag="--bind-addr")
    shown = {"__name__": "m", "scrape_job": "j", "instance": "x", "instanceUpper": "X", "branch": "main", "cluster": "A",
             "sg": "a", "datacenter": "here"}
    found = sluice.query('m{scrape_job="j",branch="main"}', now)["result"]
    assert [(s["metric"], s["value"][1]) for s in found] == [(shown, "1")], found
    assert sluice.query("sum(m)", now)["result"][0]["value"][1] == "1"
    assert 'server group \\"nothing\\": relabel_configs drop all targets' in sluice.log(), sluice.log()
    checked = subprocess.run([sluice.program, f"--config={sluice.config_path}", "--check-config"], capture_output=True, text=True,
                             timeout=20)
    assert checked.returncode == 0 and checked.stdout.count('"nothing": relabel_configs drop all targets') == 1, checked


def test_the_oldest_form_of_promxy_never_asks_for_a_doubled_path():
    """promxy_server is the list of groups, and path_prefix the path of queries."""
    fake = FakePrometheus()
    sluice = Sluice(f"promxy_server:\n- static_configs: [{{targets: ['{fake.address}']}}]\n  anti_affinity: 10s\n"
                    "  path_prefix: /api/v1\n  scheme: http\n", config_flag="--config", listen_flag="--bind-addr")
    assert "promxy_server is deprecated" in sluice.log()
    for path in ("/api/v1/query", "/api/v1/labels", "/api/v1/series"):
        sluice.get(path, {"query": "up[5m]", "match[]": "up"})
    asked = [path for path, _ in fake.asked]
    assert asked and all(path.count("/api/v1") == 1 for path in asked), asked


def test_prometheus_flags():
    exporter = ScriptedExporter(series=1)
    sluice = Sluice(VMAGENT_CONFIG.replace("127.0.0.1:9100", exporter.address), "--query.lookback-delta=2m",
                    "--query.timeout=30s", "--query.max-samples=1000000", "--log.level=info")
    wait_until(lambda: sluice.query("scripted_counter")["result"])
    flags = sluice.data("/api/v1/status/flags")
    assert flags["query.lookback-delta"] == "2m", flags


def test_no_flag_of_a_peer_is_unknown():
    """What the real programs list, against the rows that parse, help and documents are made of."""
    printed = subprocess.run([f"{ROOT}/{OUT}/sluice", "--print-docs"], capture_output=True, text=True, check=True).stdout
    known = set(re.findall(r"`([\w.-]+)`", "\n".join("|".join(line.split("|")[:3]) for line in
                                                     printed.split("### top level")[0].splitlines())))
    vmagent = subprocess.run([peer("vmagent"), "-help"], capture_output=True, text=True, timeout=20)
    prometheus = subprocess.run([peer("prometheus"), "--help"], capture_output=True, text=True, timeout=20)
    flags = {"vmagent": set(re.findall(r"^  -([\w.]+)", vmagent.stdout + vmagent.stderr, re.M)),
             "prometheus": set(re.findall(r"^ +(?:-h, )?--(?:\[no-\])?([\w.-]+)", prometheus.stdout, re.M))}
    flags["prometheus"] -= {"help-long", "help-man", "web.external-url.", "storage.agent.wal-compression-type"}
    for program, names in flags.items():
        assert len(names) > 40 and not names - known, f"{program}: unknown: {sorted(names - known)}"


def test_ignored_and_guarding():
    exporter = ScriptedExporter(series=1)
    config = VMAGENT_CONFIG.replace("127.0.0.1:9100", exporter.address) + "rule_files: ['*.rules']\n"
    sluice = Sluice(config, "-loggerTimezone=UTC", "-enableMultitenantHandlers", "--accept-inert=enableMultitenantHandlers", "--log.level=debug",
                    "-promscrape.kumaSDCheckInterval=1m", "-promscrape.kumaSDCheckInterval=2m", "-enableTCP6")
    for flag in ("promscrape.kumaSDCheckInterval", "enableTCP6"):
        assert sluice.log().count(f'level=debug component=flags msg="flag accepted for compatibility; ignored" flag={flag}\n') == 1
    for key in ("rule_files", "loggerTimezone", "enableMultitenantHandlers"):
        assert sluice.metric("sluice_config_ignored", f'key="{key}"') == 1, key
    assert "rule_files is ignored" in sluice.log()
    answer = sluice.reconfigure(config.replace("1s", "1x") + "surprise: 1\n")
    assert answer.status == 500 and "scrape_interval" in answer.text and "1 more" in answer.text, answer.text
    wait_until(lambda: "surprise" in sluice.log(), what="all errors in the log")


def test_paths_start_from_the_file():
    """The program runs in one directory, its file and targets are in another."""
    exporter = ScriptedExporter(series=1)
    os.makedirs(f"{folder()}/etc/targets")
    write_file("etc/targets/a.yml", f"[{{targets: ['{exporter.address}']}}]")
    path = write_file("etc/main.yml", "global: {scrape_interval: 1s}\nscrape_configs:\n"
                      "- {job_name: there, file_sd_configs: [{files: ['targets/*.yml']}]}\n"
                      "- {job_name: none, file_sd_configs: [{files: ['none/*.yml']}]}\n")
    sluice = Sluice(None, f"--config.file={path}")
    wait_until(lambda: sluice.query('up{job="there"} == 1')["result"], 20, "the target of a relative pattern")
    missing = f"no file matches {folder()}/etc/none/*.yml"
    relative = Sluice(None, "--config.file=etc/main.yml", name="relative")
    assert f"0 targets: {missing}" in relative.get("/targets").text
    assert missing in sluice.log()
    assert f"0 targets: {missing}" in sluice.get("/targets").text
    assert missing in sluice.get("/targets", headers={"Accept": "text/html"}).text
    write_file("etc/targets/b.yml", "[]")
    assert "targets missing" not in sluice.get("/targets").text


def samples_of_requests(sink):
    """Numbers of samples of the requests that brought series "big"."""
    bodies = [wire.parse_write_request(wire.snappy_decompress(body)) for zipped, body in list(sink.accepted) if zipped == "snappy"]
    return [n for body in bodies if (n := sum(len(samples) for labels, samples in body if labels["__name__"] == "big"))]


def test_queue_config_of_prometheus():
    """max_shards, min_shards and batch_send_deadline act: the flush interval of 10 minutes is bounded by the last."""
    target, sinks = ScriptedExporter(), [RecordingSink() for _ in range(3)]
    keys = "max_shards: 3, batch_send_deadline: 200ms", "min_shards: 12", "min_shards: 12, max_shards: 12, shards: 4"
    config = (f"scrape_configs: [{{job_name: j, scrape_interval: 300ms, static_configs: [{{targets: ['{target.address}']}}]}}]\n"
              "remote_write:\n" + "".join(f"- {{name: d{i}, url: '{sink.url}', queue_config: {{{key}}}}}\n"
                                          for i, (sink, key) in enumerate(zip(sinks, keys))))
    sluice = Sluice(config, "-remoteWrite.flushInterval=10m")
    assert [sluice.metric("vmagent_remotewrite_queues", f'url="d{i}"') for i in range(3)] == [3, 12, 12]
    wait_until(lambda: all(sink.find("scripted_counter") for sink in sinks), 30, "samples before the flush interval")
    code, lines = check_file(write_file("bad.yml", "remote_write: [{url: 'http://h/', queue_config: {min_shards: 4, max_shards: 3}}]\n"))
    assert code == 1 and "min_shards is larger than max_shards" in lines[0], lines


def test_limits_of_blocks():
    """Flags of vmagent and the key of Prometheus; a sample that is larger than a block is dropped, counted and logged."""
    by_flag, by_key = RecordingSink(), RecordingSink()
    sluice = Sluice(f"remote_write: [{{name: key, url: '{by_key.url}', queue_config: {{shards: 1, max_samples_per_send: 7}}}}]",
                    f"-remoteWrite.url={by_flag.url}", "-remoteWrite.queues=1", "-remoteWrite.maxRowsPerBlock=5",
                    "-remoteWrite.maxBlockSize=500")
    now = now_ms()
    series = [({"__name__": "big", "i": str(i)}, [(now + k, 1.0) for k in range(7)]) for i in range(10)]
    series.append(({"__name__": "large", "text": "x" * 600}, [(now, 1.0), (now + 1, 1.0)]))
    assert push(f"{sluice.url}/api/v1/write", series).status == 204
    wait_until(lambda: sum(samples_of_requests(by_flag)) == sum(samples_of_requests(by_key)) == 70, 20, "70 samples each")
    assert max(samples_of_requests(by_flag)) <= 5, samples_of_requests(by_flag)
    assert max(samples_of_requests(by_key)) == 7, samples_of_requests(by_key)
    wait_until(lambda: by_key.find("large"), 20, "the large series without the small limit")
    assert not by_flag.find("large")
    assert sluice.metric("sluice_remotewrite_samples_dropped_total", 'url="2:secret-url"', 'reason="too_large"') == 2, \
        sluice.metrics()
    wait_until(lambda: "samples are larger than max_block_bytes; dropped" in sluice.log(), what="the log line")
    assert "max_samples_per_send: 7" in sluice.get("/config").text


def test_check_without_a_file():
    p = subprocess.run([f"{ROOT}/{OUT}/sluice", "--check-config"], capture_output=True, text=True, timeout=20)
    assert p.returncode == 0 and p.stdout.startswith("the command line is valid: 0 scrape jobs"), p


def test_check_reads_target_files():
    """--check-config and the log of a start say the same about target files and targets, of which the log may show another one."""
    os.makedirs(f"{folder()}/targets")
    for name, text in (("a.yml", "- targets: [a"), ("b.json", '[{"targets": ["b:1"]}, {"targets": [1]}]'),
                       ("c.yml", "- {targets: ['c:1', 'c:1', 'c d', 'http://user:pencil@[c/x']}")):
        write_file(f"targets/{name}", text)
    path = write_file("main.yml", "scrape_configs:\n- {job_name: files, file_sd_configs: [{files: ['targets/*']}]}\n")
    p = subprocess.run([f"{ROOT}/{OUT}/sluice", f"--config.file={path}", "--check-config"], capture_output=True, text=True,
                       timeout=20)
    lines = p.stdout.splitlines()
    assert p.returncode == 0 and len(lines) == 5 and "1 scrape jobs" in lines[-1], p
    wanted = (("targets/a.yml:2: ",), ("targets/b.json: item 2: ",),
              ('job "files": invalid target c d: ', "(and 1 more)"), ('job "files": duplicate target http://c:1/metrics',))
    for line, words in zip(lines, wanted):
        assert line.startswith("warning: ") and all(word in line for word in words), lines
    assert "pencil" not in p.stdout
    sluice = Sluice(None, f"--config.file={path}")
    for words in ("targets/a.yml:2: ", "targets/b.json: item 2: ", "invalid_targets=", "target=http://c:1/metrics"):
        assert words in sluice.log(), words
    assert 'address="c d"' in sluice.log() or "[c/x" in sluice.log()
    assert "pencil" not in sluice.log()


GRAFANA_AGENT = """
server: {{log_level: info}}
metrics:
  wal_directory: /tmp/wal
  global:
    scrape_interval: 1s
    external_labels: {{cluster: west}}
    remote_write:
    - {{url: '{first}'}}
  configs:
  - name: hosts
    host_filter: false
    scrape_configs:
    - job_name: node
      static_configs: [{{targets: ['{exporter}'], labels: {{rack: r1}}}}]
  - name: apps
    scrape_configs:
    - job_name: shop
      scrape_timeout: 500ms
      static_configs: [{{targets: ['{exporter}']}}]
      metric_relabel_configs: [{{source_labels: [__name__], regex: 'scripted_stamped.*', action: drop}}]
    remote_write:
    - url: '{second}'
      basic_auth: {{username: u, password: p}}
      queue_config: {{capacity: 2500, max_shards: 200, max_samples_per_send: 500}}
      write_relabel_configs: [{{source_labels: [job], regex: shop, action: keep}}]
integrations:
  agent: {{enabled: true}}
logs:
  configs: [{{name: default}}]
"""


def test_file_of_grafana_agent():
    """It is read as it is, but for what would be missing, which has to be accepted."""
    exporter, first, second = ScriptedExporter(series=1), RecordingSink(), RecordingSink()
    text = GRAFANA_AGENT.format(exporter=exporter.address, first=first.url, second=second.url)
    p = subprocess.run([f"{ROOT}/{OUT}/sluice", f"--config.file={write_file('agent.yaml', text)}", "--check-config"],
                       capture_output=True, text=True, timeout=20)
    for section in ("integrations", "logs"):
        assert f"{section} is not supported yet" in p.stderr, p.stderr
    assert p.returncode == 1 and "metrics is" not in p.stderr and "unknown key" not in p.stderr, p.stderr
    sluice = Sluice(text, "--accept-inert=integrations,logs")
    wait_until(lambda: first.find("scripted_stamped_counter", job="node", rack="r1", cluster="west"), 20, "samples")
    wait_until(lambda: second.find("scripted_counter", job="shop", cluster="west"), 20, "samples of the second")
    assert not second.find("scripted_stamped_counter") and not second.find("scripted_counter", job="node")
    assert sluice.log().count("is ignored") == 4, sluice.log() # server, wal_directory, and what was accepted


def configuration_file(name):
    return f"{ROOT}/tests/configurations/{name}"


def check_file(path, *flags):
    run = subprocess.run([f"{ROOT}/{OUT}/sluice", "--check-config", f"--config.file={path}", "--dialect=prometheus", *flags],
                         capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "SITE": "lab", "HOSTNAME": "h"})
    return run.returncode, (run.stdout + run.stderr).splitlines()


def test_every_section_of_prometheus_is_known():
    """What is not supported yet is reported once, all at once: an error for each key that is unsafe to ignore, without which
    the file loads, with one warning for all kinds of discovery and one for each other key that has no effect."""
    path = configuration_file("every_section.yml")
    code, lines = check_file(path)
    assert code == 1 and lines, lines
    assert all(line.startswith(f"sluice: {path}:") and " is not supported yet: " in line for line in lines), lines
    places = [line.split(" is not supported")[0] for line in lines]
    assert len(set(places)) == len(places)
    names = sorted({line.split("--accept-inert=")[1].split()[0] for line in lines})
    code, lines = check_file(path, f"--accept-inert={','.join(names)}")
    assert code == 0 and "is valid: 30 scrape jobs, 5 destinations" in lines[-1], lines[-1]
    discovery = [line for line in lines if "not supported yet; their targets are not scraped: " in line]
    assert len(discovery) == 1 and discovery[0].count("scrape_config.vultr_sd_configs (") == 1, discovery
    with open(path, encoding="utf-8") as f:
        kinds = set(re.findall(r"(\w+)_sd_configs:", f.read()))
    assert len([kind for kind in kinds if f"scrape_config.{kind}_sd_configs (" in discovery[0]]) > 10, discovery
    ignored = [line for line in lines if " is ignored: " in line]
    for key in ("rule_files", "alerting", "storage", "tracing", *names):
        assert any(f"{key.split('.')[-1]} is ignored" in line for line in ignored), f"{key}: {ignored}"
    assert len(ignored) == len(set(ignored))


def test_a_grown_prometheus_file_runs():
    """190 lines, which Prometheus takes as well; each target has the labels that it has there."""
    path = configuration_file("shop.yml")
    code, lines = check_file(path)
    assert code == 0 and "is valid: 8 scrape jobs, 2 destinations" in lines[-1], lines
    ignored = [line.split(" is ignored: ")[0].rsplit(" ", 1)[1] for line in lines if " is ignored: " in line]
    assert sorted(ignored) == ["alerting", "rule_files", "storage"], lines
    text = "\n".join(line for line in open(path, encoding="utf-8").read().splitlines() if "ca_file" not in line)
    flags = ("--dialect=prometheus", "--storage.agent.path=queue")
    sluice = Sluice(text, *flags, env={"HOSTNAME": "h"})
    without_storages = text.split("\nremote_write:")[0] + "\nscrape_configs:" + text.split("\nscrape_configs:")[1].split("\nstorage:")[0]
    prometheus = Prometheus(without_storages, name="theirs")  # which would wait for them when it is stopped

    def targets(server):
        return sorted((t["scrapePool"], t["scrapeUrl"], sorted(t["labels"].items()))
                      for t in server.data("/api/v1/targets")["activeTargets"])
    wait_until(lambda: len(targets(prometheus)) >= 8 and targets(sluice) == targets(prometheus), 30, "the targets of Prometheus")


def test_what_operators_write_loads():
    """The configurations that the operators of the charts kube-prometheus-stack and victoria-metrics-k8s-stack write: nothing in them
    is unknown or unsafe to ignore; vmagent takes its own, too."""
    for name, dialect, jobs, ignored in (("prometheus_operator.yml", "prometheus", 4, {"keep_dropped_targets", "enable_http2"}),
                                         ("vm_operator.yml", "vmagent", 3, set())):
        code, lines = check_file(configuration_file(name), f"--dialect={dialect}")
        assert code == 0 and f"is valid: {jobs} scrape jobs" in lines[-1], lines
        assert all(any(f"{key} is ignored" in line for key in ignored) for line in lines if " is ignored" in line), lines
        assert not any("not supported" in line for line in lines), lines
    run = subprocess.run([peer("vmagent"), "-dryRun", f"-promscrape.config={configuration_file('vm_operator.yml')}",
                          "-promscrape.config.strictParse", "-remoteWrite.url=http://127.0.0.1:1/"], capture_output=True, text=True, timeout=60,
                         check=False)
    assert run.returncode == 0, run.stdout + run.stderr
