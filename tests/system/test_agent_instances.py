# SPDX-License-Identifier: Apache-2.0
"""A file of Grafana Agent in static mode as it is: instances whose jobs have their own destinations."""
import subprocess

from lib import *

FILE = """
server: {{log_level: info}}
metrics:
  wal_directory: /tmp/agent
  global:
    scrape_interval: 300ms
    scrape_timeout: 200ms
    external_labels: {{site: lab}}
    remote_write:
    - url: '{common}'
      queue_config: {{batch_send_deadline: 100ms}}
  configs:
  - name: plain
    scrape_configs: [{{job_name: a, static_configs: [{{targets: ['{exporter}']}}]}}]
  - name: team
    write_stale_on_shutdown: true
    scrape_configs: [{{job_name: b, static_configs: [{{targets: ['{exporter}']}}]}}]
    remote_write: {own}
  - name: team2
    scrape_configs: [{{job_name: c, static_configs: [{{targets: ['{exporter}']}}]}}]
    remote_write: {own}
  - name: third
    scrape_configs: [{{job_name: d, static_configs: [{{targets: ['{exporter}']}}]}}]
    remote_write: [{{url: '{third}', name: third}}, {{url: '{common}', name: again}}]
"""


def check(text, *flags):
    p = subprocess.run([f"{ROOT}/{OUT}/sluice", f"--config.file={write_file('agent.yaml', text)}", "--check-config", *flags],
                       capture_output=True, text=True, timeout=20)
    return p.returncode, p.stderr + p.stdout


def jobs_of(sink):
    return {dict(labels)["job"] for labels in sink.find("up")}


def test_each_instance_sends_to_its_own_destinations():
    exporter, common, own, third = ScriptedExporter(series=3), RecordingSink(), RecordingSink(), RecordingSink()
    text = FILE.format(exporter=exporter.address, common=common.url, third=third.url,
                       own=f"[{{url: '{own.url}', queue_config: {{batch_send_deadline: 100ms}}}}]")
    sluice = Sluice(text)
    wait_until(lambda: jobs_of(common) == {"a", "d"}, 20, "jobs without their own destinations, and of the third")
    wait_until(lambda: jobs_of(own) == {"b", "c"}, 20, "jobs of the instances that share a destination")
    wait_until(lambda: jobs_of(third) == {"d"}, 20, "the job of the third")
    for sink in (common, own, third):
        assert all(dict(labels)["site"] == "lab" for labels in sink.samples()), "external labels"
    for name in ("team-1", "third", "again"):
        assert sluice.metric("vmagent_remotewrite_requests_total", f'"{name}"') > 0, name
    assert sluice.metric("vmagent_remotewrite_requests_total", "team2") == 0, "equal destinations are one"
    push(sluice.url + "/api/v1/write", [({"__name__": "pushed"}, [(now_ms(), 1)])])
    wait_until(lambda: common.find("pushed"), 20, "a push, at the destinations of metrics.global")
    assert not own.find("pushed") and not third.find("pushed")
    assert sluice.reconfigure(text.replace("job_name: c", "job_name: e")).status == 200
    wait_until(lambda: "e" in jobs_of(own), 20, "the job of a reload")
    assert jobs_of(common) == {"a", "d"} and jobs_of(third) == {"d"}
    sluice.stop()
    assert jobs_of(common) == {"a", "d"} and jobs_of(own) == {"b", "c", "e"}


def test_one_that_refuses_holds_up_no_other():
    exporter, common, own, third = ScriptedExporter(series=3), RecordingSink(), RecordingSink(), RecordingSink()
    own.status = 503
    push_back = "on_full: push_back, durability: memory, max_memory_bytes: 1, queue_config: {batch_send_deadline: 100ms}"
    Sluice(FILE.format(exporter=exporter.address, common=common.url, third=third.url,
                       own=f"[{{url: '{own.url}', {push_back}}}]"))
    wait_until(lambda: sum(map(len, third.find("up", job="d").values())) >= 5, 20, "samples of the third")
    assert jobs_of(own) == set()


def test_the_old_name():
    code, text = check("prometheus: {configs: [{name: a, scrape_configs: [{job_name: b}]}]}")
    assert code == 0 and "1 scrape job" in text, text


def test_errors_of_the_agent():
    """Their words are those of the Agent."""
    one = "{job_name: j, static_configs: [{targets: [x]}]}"
    for configs, words in (
            (f"[{{name: a, scrape_configs: [{one}, {one}]}}]", 'found multiple scrape configs with job name "j"'),
            ("[{name: a}, {name: a}]", "found multiple instances with name a"),
            ("[{scrape_configs: []}]", "missing instance name"),
            ("[{name: a, wal_truncate_frequency: 0s}]", "wal_truncate_frequency must be greater than 0s"),
            ("[{name: a, remote_flush_deadline: 0s}]", "remote_flush_deadline must be greater than 0s"),
            ("[{name: a, min_wal_time: 5h}]", "min_wal_time must be less than max_wal_time"),
            ("[{name: a, scrape_configs: [{job_name: j, scrape_interval: 2h}]}]",
             'scrape interval greater than wal_truncate_frequency for scrape config with job name "j"'),
            ("[{name: a, scrape_configs: [{job_name: j, scrape_timeout: 2m}]}]",
             'scrape timeout greater than scrape interval for scrape config with job name "j"'),
            ("[{name: a, remote_write: [{url: 'http://h/w'}, {url: 'http://h/w'}]}]", "found two identical remote_write configs"),
            ("[{name: a, remote_write: [{url: 'http://h/w', name: n}, {url: 'http://h/v', name: n}]}]",
             'found duplicate remote write configs with name "n"'),
            ("[{name: a, host_filter: true}]", "host_filter is not supported"),
            ("[{name: a, remote_write: [{url: 'http://h/w', stream_aggregation: {rules_file: r}}]}]", "rules_file is not supported")):
        code, text = check(f"metrics: {{configs: {configs}}}")
        assert code == 1 and words in text, f"{configs}: {text}"
    code, text = check("shard: {}\nmetrics: {configs: [{name: a}]}")
    assert code == 1 and "instances have their own destinations" in text, text
    rules = "[{match: '{a=\"b\"}', interval: 1m, outputs: [last]}]"
    code, text = check(f"pipeline: {{stream_aggregation: {{rules: {rules}}}}}\nmetrics: {{configs: [{{name: a}}]}}")
    assert code == 1 and "belong to no instance" in text, text
    code, text = check("global: {}\nmetrics: {global: {}}")
    assert code == 1 and "keep one of them" in text, text


def test_scraping_service():
    """Of the stores etcd is supported, and instances of the file are refused beside it, as the Agent does."""
    service = "enabled: true, kvstore: {store: etcd, etcd: {endpoints: ['h:2379']}}"
    code, text = check(f"metrics: {{scraping_service: {{{service}}}, configs: [{{name: a}}]}}")
    assert code == 1 and "cannot use configs when scraping_service mode is enabled" in text, text
    for kvstore, words in (("{store: consul, consul: {host: 'h:8500'}}", '"consul" is not supported'),
                           ("{}", '"consul" is not supported'), ("{store: inmemory}", '"inmemory" is not supported'),
                           ("{store: etcd}", "kvstore.etcd.endpoints: at least one is needed")):
        code, text = check(f"metrics: {{scraping_service: {{enabled: true, kvstore: {kvstore}}}}}")
        assert code == 1 and words in text, f"{kvstore}: {text}"
    code, text = check("metrics: {scraping_service: {enabled: false, kvstore: {store: consul}}, configs: [{name: a}]}")
    assert code == 0, text
    every = """
metrics:
  scraping_service:
    enabled: true
    reshard_interval: 1m
    reshard_timeout: 30s
    cluster_reshard_event_timeout: 30s
    kvstore:
      store: etcd
      prefix: configurations/
      etcd: {endpoints: ['h:2379'], dial_tmeout: 10s, max_retries: 10, tls_enabled: true, tls_insecure_skip_verify: true,
             tls_server_name: etcd, username: u, password: p}
    lifecycler:
      ring: {replication_factor: 1, heartbeat_timeout: 1m, kvstore: {store: etcd, prefix: collectors/}}
      num_tokens: 128
      heartbeat_period: 5s
      observe_period: 0s
      join_after: 0s
      min_ready_duration: 1m
      interface_names: [eth0]
      final_sleep: 30s
      tokens_file_path: ''
      availability_zone: z
      id: me
      unregister_on_shutdown: true
  scraping_service_client: {grpc_client_config: {max_recv_msg_size: 1}}
"""
    code, text = check(every, "--strict")
    assert code == 0, text
    p = subprocess.run([f"{ROOT}/{OUT}/sluice", "config", "print", write_file("agent.yaml", every)], capture_output=True,
                       text=True, timeout=20)
    for part in ("- https://h:2379", "prefix: collectors\n", "name: sluice\n", "id: me\n", "zone: z\n"):
        assert part in p.stdout, f"{part}: {p.stdout}"
