# SPDX-License-Identifier: Apache-2.0
"""Grafana Agent's scraping service on a real etcd: its API field by field, its keys, and members that share the targets."""
import base64
import gzip
import json
import os
import signal
import threading
import time

from lib import *

MEMBER = """
metrics:
  global: {{scrape_interval: 300ms, scrape_timeout: 200ms, remote_write: [{remote_write}]}}
  scraping_service:
    enabled: true
    kvstore: {{store: etcd, etcd: {{endpoints: ['127.0.0.1:{etcd}']}}}}
    lifecycler: {{id: {id}}}
{more}
cluster:
  etcd: {{endpoints: ['http://127.0.0.1:{etcd}']}}
  id: {id}
  address: http://127.0.0.1:{port}
  lease: 3s
  handover: 1s
"""
FLUSH = "queue_config: {batch_send_deadline: 100ms}"


def member(etcd, name, sink=None, more="", flags=("--config.enable-read-api",)):
    port = free_port()
    write = f"{{url: '{sink.url}', {FLUSH}}}" if sink else ""
    text = MEMBER.format(etcd=etcd.port, id=name, port=port, remote_write=write, more=more)
    sluice = Sluice(text, *flags, name=name, port=port)
    wait_until(lambda: sluice.get("/agent/api/v1/configs").status == 200, 20, "the keys are read")
    return sluice


def instance(job, targets, sink=None, more=""):
    text = "scrape_configs:\n" + f"- job_name: {job}\n  static_configs: [{{targets: {json.dumps(targets)}}}]\n"
    if sink:
        text += f"remote_write: [{{url: '{sink.url}', {FLUSH}}}]\n"
    return text + more


def call(sluice, method, path, body=None, **headers):
    return request(sluice.url + path, data=body.encode() if body is not None else None, method=method,
                   headers={k.replace("_", "-"): v for k, v in headers.items()})


def put(sluice, name, text, **headers):
    return call(sluice, "PUT", f"/agent/api/v1/config/{name}", text, **headers)


def answer_is(answer, code, **body):
    """Exactly this JSON."""
    assert answer.status == code and answer.json() == body, f"{answer.status} {answer.body} instead of {code} {body}"
    assert answer.headers["Content-Type"] == "application/json", answer.headers


def failed_with(answer, status, words):
    assert answer.status == status, f"{answer.status} {answer.body}"
    body = answer.json()
    assert set(body) == {"status", "data"} and body["status"] == "error" and set(body["data"]) == {"error"}, body
    assert words in body["data"]["error"], body
    assert answer.headers["Content-Type"] == "application/json", answer.headers


def stored(etcd, prefix="configurations/"):
    """{name: text}, as an Agent would read them."""
    code = lambda text: base64.b64encode(text.encode()).decode()
    found = etcd.call("/v3/kv/range", {"key": code(prefix), "range_end": code(prefix[:-1] + chr(ord(prefix[-1]) + 1))})
    return {base64.b64decode(kv["key"]).decode()[len(prefix):]: gzip.decompress(base64.b64decode(kv["value"])).decode()
            for kv in found.get("kvs", [])}


def store(etcd, name, text, prefix="configurations/"):
    """As an Agent writes it (static/metrics/instance/configstore/codec.go): Go's gzip of the YAML."""
    etcd.call("/v3/kv/put", {"key": base64.b64encode((prefix + name).encode()).decode(),
                             "value": base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()})


def jobs_of(*sinks):
    return {dict(labels)["job"] for sink in sinks for labels in sink.find("up")}


def test_the_api_is_that_of_the_agent():
    etcd, sink = Etcd(), RecordingSink()
    exporter = ScriptedExporter(series=2)
    a, b = member(etcd, "a", sink), member(etcd, "b", sink)
    answer_is(call(a, "GET", "/agent/api/v1/configs"), 200, status="success", data={"configs": []})
    text = instance("first", [exporter.address], sink, "wal_truncate_frequency: 10m\n")
    answer_is(put(a, "one", text), 201, status="success")
    answer_is(put(a, "one", text), 200, status="success")
    answer_is(call(a, "POST", "/agent/api/v1/config/hello%2Fworld", instance("second", [exporter.address])), 201,
              status="success")
    answer_is(call(a, "GET", "/agent/api/v1/configs"), 200, status="success", data={"configs": ["hello/world", "one"]})
    wait_until(lambda: call(b, "GET", "/agent/api/v1/configs").json()["data"]["configs"] == ["hello/world", "one"], 10,
               "the other member sees them")

    # reading one: the name is that of the key, with the defaults that the Agent shows
    import yaml
    got = call(b, "GET", "/agent/api/v1/configs/one")
    assert got.status == 200 and set(got.json()["data"]) == {"value"}, got.body
    value = yaml.safe_load(got.json()["data"]["value"])
    assert value == {"name": "one", **yaml.safe_load(text), "wal_truncate_frequency": "10m", "min_wal_time": "5m0s",
                     "max_wal_time": "4h0m0s", "remote_flush_deadline": "1m0s"}, value
    assert yaml.safe_load(call(a, "GET", "/agent/api/v1/configs/hello%2Fworld").json()["data"]["value"])["name"] == "hello/world"
    answer_is(call(a, "GET", "/agent/api/v1/configs/none"), 404, status="error",
              data={"error": "configuration none does not exist"})

    # what is refused, with the Agent's words
    job = "{job_name: x, static_configs: [{targets: [t]}]}"
    for body, words in (
            ("scrape_configs: [", "could not unmarshal config: "), ("unknown_key: 1", "could not unmarshal config: "),
            ("scrape_configs: [{job_name: x, unknown_key: 1}]", "could not unmarshal config: "),
            (f"scrape_configs: [{job}, {job}]", 'failed to validate config: found multiple scrape configs with job name "x"'),
            ("scrape_configs: [null]", "scrape config section"), ("remote_write: [null]", "remote write config section"),
            ("wal_truncate_frequency: 0s", "failed to validate config: wal_truncate_frequency must be greater than 0s"),
            ("remote_flush_deadline: 0s", "failed to validate config: remote_flush_deadline must be greater than 0s"),
            ("min_wal_time: 5h", "failed to validate config: min_wal_time must be less than max_wal_time"),
            ("scrape_configs: [{job_name: x, scrape_interval: 1s, scrape_timeout: 2s}]",
             'failed to validate config: scrape timeout greater than scrape interval for scrape config with job name "x"'),
            ("scrape_configs: [{job_name: x, scrape_interval: 2h}]",
             'scrape interval greater than wal_truncate_frequency for scrape config with job name "x"'),
            ("remote_write: [{url: 'http://h/w'}, {url: 'http://h/w'}]", "found two identical remote_write configs"),
            ("remote_write: [{url: 'http://h/w', basic_auth: {username: u, password_file: /f}}]",
             "failed to validate config: failed to validate remote_write at index 0: password_file must be empty unless "
             "dangerous_allow_reading_files is set"),
            ("scrape_configs: [{job_name: x, bearer_token_file: /f}]",
             "failed to validate scrape_config at index 0: bearer_token_file must be empty unless"),
            ("scrape_configs: [{job_name: x, tls_config: {ca_file: /f}}]", "ca_file must be empty unless"),
            ("scrape_configs: [{job_name: x, oauth2: {client_id: i, client_secret_file: /f, token_url: 'http://h'}}]",
             "client_secret_file must be empty unless"),
            ("scrape_configs: [{job_name: x, http_sd_configs: [{url: 'http://h', authorization: {credentials_file: /f}}]}]",
             "failed to validate service discovery within scrape_config at index 0: credentials_file must be empty unless"),
            ("scrape_configs: [{job_name: x, kubernetes_sd_configs: [{role: pod, kubeconfig_file: /f}]}]",
             "kubeconfig_file must be empty unless"),
            (f"scrape_configs: [{{job_name: first}}]", 'failed to check uniqueness of config: found multiple scrape configs in '
             'config store with job name "first"')):
        failed_with(put(a, "bad", body), 400, words)
    answer_is(put(a, "files", "scrape_configs: [{job_name: f, file_sd_configs: [{files: ['/none/*.json']}]}]"), 201,
              status="success")

    # only if it has not changed
    tag = call(a, "GET", "/agent/api/v1/configs/one").headers["ETag"]
    other = call(a, "GET", "/agent/api/v1/configs/files").headers["ETag"]
    failed_with(put(a, "one", text, If_Match=other), 412, "has changed")
    answer = put(a, "one", text, If_Match=tag)
    assert answer.status == 200 and answer.headers["ETag"] not in (tag, other), answer.headers
    failed_with(put(a, "one", text, If_Match=tag), 412, "has changed")
    failed_with(call(a, "DELETE", "/agent/api/v1/config/one", If_Match=tag), 412, "has changed")
    failed_with(put(a, "one", text, If_Match="x"), 400, "If-Match")

    # removing
    wait_until(lambda: call(b, "GET", "/agent/api/v1/configs/files").status == 200, 20, "the other member has the instance")
    answer_is(call(b, "DELETE", "/agent/api/v1/config/files"), 200, status="success")
    answer_is(call(b, "DELETE", "/agent/api/v1/config/files"), 404, status="error",
              data={"error": "configuration files does not exist"})
    assert set(stored(etcd)) == {"one", "hello/world"}
    kept = yaml.safe_load(stored(etcd)["one"])
    assert kept == {"name": "one", **yaml.safe_load(text)}, kept

    # what runs
    for path in ("/agent/api/v1/metrics/instances", "/agent/api/v1/instances"):
        for one in (a, b):
            wait_until(lambda: call(one, "GET", path).json() == {"status": "success", "data": ["hello/world", "one"]}, 10, path)
    targets = lambda path: [t for one in (a, b) for t in call(one, "GET", path).json()["data"]]
    for path in ("/agent/api/v1/metrics/targets", "/agent/api/v1/targets"):
        wait_until(lambda: [t["state"] for t in targets(path)] == ["up", "up"], 20, "both targets are scraped, each by a member")
        t = [t for t in targets(path) if t["instance"] == "one"][0]
        assert set(t) == {"instance", "target_group", "endpoint", "state", "labels", "discovered_labels", "last_scrape",
                          "scrape_duration_ms", "scrape_error"}, t
        assert (t["target_group"], t["endpoint"], t["scrape_error"]) == ("first", f"http://{exporter.address}/metrics", ""), t
        assert t["labels"] == {"instance": exporter.address, "job": "first"} and isinstance(t["scrape_duration_ms"], int), t
        assert t["discovered_labels"]["__address__"] == exporter.address and "T" in t["last_scrape"], t
    shards = lambda: call(a, "GET", "/debug/ring", Accept="application/json").json()
    wait_until(lambda: [s["state"] for s in shards()["shards"]] == ["ACTIVE", "ACTIVE"], 20, "both members are active")
    ring = shards()
    assert set(ring) == {"shards", "now"} and [s["id"] for s in ring["shards"]] == ["a", "b"], ring
    assert set(ring["shards"][0]) == {"id", "state", "address", "timestamp", "registered_timestamp", "read_only",
                                      "read_only_updated_timestamp", "zone", "tokens"}, ring
    assert a.metric("agent_metrics_ha_configs_created_total") == 3
    assert a.metric("agent_metrics_ha_configs_updated_total") == 2
    assert b.metric("agent_metrics_ha_configs_deleted_total") == 1


def test_without_a_store():
    """What the Agent answers when the scraping service is off, and reading when its flag is not set."""
    sluice = Sluice("metrics: {configs: [{name: local}]}", "--config.enable-read-api")
    for method, path in (("GET", "/agent/api/v1/configs"), ("GET", "/agent/api/v1/configs/x"), ("PUT", "/agent/api/v1/config/x"),
                         ("DELETE", "/agent/api/v1/config/x")):
        answer_is(call(sluice, method, path, "" if method == "PUT" else None), 404, status="error",
                  data={"error": "no config store running"})
    answer_is(call(sluice, "GET", "/agent/api/v1/metrics/instances"), 200, status="success", data=["local"])
    answer_is(call(sluice, "GET", "/agent/api/v1/metrics/targets"), 200, status="success", data=[])
    assert call(sluice, "GET", "/debug/ring").status == 404
    sluice.stop()
    plain = Sluice("metrics: {configs: [{name: local}]}")
    answer = call(plain, "GET", "/agent/api/v1/configs/x")
    assert (answer.status, answer.text) == (404, "404 - config endpoint is disabled"), answer


def test_secrets_are_masked():
    etcd = Etcd()
    a = member(etcd, "a")
    assert put(a, "secrets", """
scrape_configs:
- job_name: j
  basic_auth: {username: admin, password: SCRUBME}
  http_headers: {X-Key: {secrets: [SCRUBME], values: [SCRUBME]}}
  static_configs: [{targets: [t], labels: {cluster: localhost}}]
- job_name: k
  authorization: {credentials: SCRUBME}
  http_sd_configs: [{url: 'http://u:SCRUBME@h/sd', bearer_token: SCRUBME}]
  consul_sd_configs: [{server: h, token: SCRUBME}]
remote_write:
- url: http://localhost:9009/api/prom/push
  basic_auth: {username: admin, password: SCRUBME}
- url: http://localhost:9010/api/prom/push
  bearer_token: SCRUBME
  headers: {X-Scope: SCRUBME}
""").status == 201
    value = call(a, "GET", "/agent/api/v1/configs/secrets").json()["data"]["value"]
    assert "SCRUBME" not in value and value.count("<secret>") == 9, value
    assert "username: admin" in value and "cluster: localhost" in value, value
    assert "SCRUBME" not in a.log(), a.log()
    assert stored(etcd)["secrets"].count("SCRUBME") == 10


def test_members_share_the_targets_of_stored_instances():
    """Each target is scraped by one member, each instance's samples go to its own destinations; what changes in etcd changes
    all members, and what is invalid there holds up nothing else."""
    etcd, common, own = Etcd(), RecordingSink(), RecordingSink()
    exporters = [ScriptedExporter(series=1) for _ in range(12)]
    addresses = [e.address for e in exporters]
    # the keys of an Agent that ran before, one of them with a name that is a path, beside what is not from an Agent
    store(etcd, "team/a", "name: team/a\n" + instance("a", addresses[:8]) +
          "wal_truncate_frequency: 1h0m0s\nmin_wal_time: 5m0s\nmax_wal_time: 4h0m0s\nremote_flush_deadline: 1m0s\n")
    store(etcd, "team-b", "name: team-b\n" + instance("b", addresses[8:], own))
    store(etcd, "broken", "scrape_configs: [")
    store(etcd, "zz", "name: zz\n" + instance("b", addresses))
    etcd.put("configurations/other", "no YAML: [")
    etcd.put("collectors/agent", "x")
    members = [member(etcd, name, common) for name in "abc"]
    owners = lambda: {(t["instance"], t["endpoint"]): m.name for m in members
                      for t in call(m, "GET", "/agent/api/v1/metrics/targets").json()["data"] if t["state"] == "up"}
    wait_until(lambda: len(owners()) == 12 and len(set(owners().values())) == 3, 30, "all targets are scraped, by all members")
    wait_until(lambda: jobs_of(common) == {"a"} and jobs_of(own) == {"b"}, 20, "samples")
    time.sleep(1)
    for sink in (common, own):
        for labels, samples in sink.find("up").items():
            times = [t for t, v in samples]
            assert len(set(times)) == len(times) and times == sorted(times), f"{labels}: scraped twice"
    for m in members:
        assert m.log().count("a stored instance is invalid") >= 1 and "zz" in m.log(), m.log()
        assert m.metric("sluice_agent_invalid_instances") == 3, "broken, other, zz"
        assert m.metric("sluice_agent_stored_instances") == 5

    store(etcd, "new", "name: new\n" + instance("new", addresses[:2], own))
    wait_until(lambda: jobs_of(own) == {"b", "new"}, 20, "a new key")
    etcd.delete("configurations/team-b")
    wait_until(lambda: ("new" in jobs_of(own)) and not [o for o in owners() if o[0] == "team-b"], 20, "a removed key")
    etcd.delete("configurations/zz")
    wait_until(lambda: members[0].metric("sluice_agent_invalid_instances") == 2, 20, "one is not invalid any more")

    # an instance's write endpoint
    pushed = lambda name: push(f"{members[0].url}/agent/api/v1/metrics/instance/{name}/write",
                               [({"__name__": "pushed", "to": name}, [(now_ms(), 1)])]).status
    assert (pushed("new"), pushed("team%2Fa"), pushed("none")) == (204, 204, 400)
    wait_until(lambda: own.find("pushed", to="new") and common.find("pushed", to="team%2Fa"), 20, "pushes")
    assert not own.find("pushed", to="team%2Fa") and not common.find("pushed", to="new")


def test_etcd_away_and_wiped():
    """Instances stay as they were last; changes fail, and are possible again afterwards."""
    etcd, sink = Etcd(), RecordingSink()
    exporter = ScriptedExporter(series=1)
    a, b = member(etcd, "a", sink), member(etcd, "b", sink)
    assert put(a, "one", instance("one", [exporter.address])).status == 201
    wait_until(lambda: sink.find("up", job="one"), 20, "samples")
    etcd.kill9()
    failed_with(put(a, "two", instance("two", [exporter.address])), 500, "failed to put config: ")
    answer_is(call(a, "GET", "/agent/api/v1/configs"), 200, status="success", data={"configs": ["one"]})
    etcd.start()
    etcd.wait_ready()
    wait_until(lambda: put(a, "two", instance("two", [exporter.address])).status in (200, 201), 30, "etcd is back")
    wait_until(lambda: sink.find("up", job="two"), 20, "samples of the second")
    etcd.wipe()
    count = lambda: sum(map(len, sink.find("up", job="one").values()))
    wait_until(lambda: "register" in a.log()[-6000:] and put(a, "three", instance("three", [exporter.address])).status in (200, 201),
               30, "the empty etcd has a new instance")
    before = count()
    wait_until(lambda: count() > before + 3 and sink.find("up", job="three"), 20, "the others go on")
    # what only the members have can be deleted, on all of them
    names = lambda m: call(m, "GET", "/agent/api/v1/configs").json()["data"]["configs"]
    wait_until(lambda: names(a) == names(b) == ["one", "three", "two"], 20, "both have all")
    answer_is(call(a, "DELETE", "/agent/api/v1/config/one"), 200, status="success")
    assert names(a) == ["three", "two"]
    wait_until(lambda: names(b) == ["three", "two"], 20, "the other member has seen it")
    assert list(stored(etcd)) == ["three"]
    failed_with(call(b, "DELETE", "/agent/api/v1/config/one"), 404, "does not exist")


def test_large_and_own_names():
    """An instance of 900,000 nodes is no danger, and jobs of the file are not stored a second time."""
    etcd = Etcd()
    own = "scrape_configs: [{job_name: own, static_configs: [{targets: ['127.0.0.1:1']}]}]"
    a = member(etcd, "a", more=own)
    many = put(a, "many", "scrape_configs: [{job_name: x, params: {a: [" + "1," * 900_000 + "1]}}]")
    assert many.status in (201, 400, 413, 500), many.status
    failed_with(put(a, "second", instance("own", ["127.0.0.1:1"])), 400, "own")
    assert put(a, "other", instance("other", ["127.0.0.1:1"])).status == 201


def test_changes_use_the_files_as_they_were():
    """A broken file, or one that is being edited, keeps no member from following the store, and is not put into force."""
    etcd, sink = Etcd(), RecordingSink()
    exporter = ScriptedExporter(series=1)
    job = lambda name: f"[{{job_name: {name}, static_configs: [{{targets: ['{exporter.address}']}}]}}]\n"
    write_file("own_jobs.yml", job("own"))
    a = member(etcd, "a", sink, more="scrape_config_files: [own_*.yml]\n")
    loaded = lambda: a.metric("prometheus_config_last_reload_successful")
    wait_until(lambda: sink.find("up", job="own"), 20, "samples of the file")
    good = open(a.config_path, encoding="utf-8").read()
    write_file("a.yml", "metrics: [")
    write_file("own_jobs.yml", job("edited"))
    write_file("own_more.yml", job("more"))
    assert put(a, "one", instance("one", [exporter.address])).status == 201
    wait_until(lambda: sink.find("up", job="one"), 20, "samples of the instance")
    assert loaded() == 1
    assert a.post("/-/reload").status != 200 and loaded() == 0
    assert put(a, "two", instance("two", [exporter.address])).status == 201
    wait_until(lambda: sink.find("up", job="two"), 20, "samples of the second")
    assert loaded() == 0 and not sink.find("up", job="edited") and not sink.find("up", job="more")
    write_file("a.yml", good)
    assert a.post("/-/reload").status == 200 and loaded() == 1
    wait_until(lambda: sink.find("up", job="edited") and sink.find("up", job="more"), 20, "samples of the files")
    assert a.get("/agent/api/v1/instances").json()["data"] == ["one", "two"]


def test_a_stop_does_not_wait_for_etcd():
    """Clients whose change is under way get an error."""
    etcd = Etcd()
    a = member(etcd, "a")
    os.kill(etcd.p.pid, signal.SIGSTOP)
    answers = []
    asking = [threading.Thread(target=lambda i=i: answers.append(put(a, f"n{i}", instance(f"j{i}", ["127.0.0.1:1"]))))
              for i in range(3)]
    for thread in asking:
        thread.start()
    time.sleep(1.5)
    assert not answers
    assert a.stop() == 0
    for thread in asking:
        thread.join(20)
    os.kill(etcd.p.pid, signal.SIGCONT)
    assert len(answers) == 3
    for answer in answers:
        failed_with(answer, 500, "the program is stopping")


def ring(*agents):
    """The value of the Agents' ring (dskit's ring.Desc, compressed by snappy): (name, Unix seconds, state)."""
    varint = lambda v: bytes([v]) if v < 128 else bytes([v & 127 | 128]) + varint(v >> 7)
    part = lambda field, data: varint(field << 3 | 2) + varint(len(data)) + data
    desc = b""
    for name, seconds, state in agents:
        agent = part(1, b"10.0.0.1:12346") + b"\x10" + varint(seconds) + (b"\x18" + varint(state) if state else b"")
        desc += part(1, part(1, name.encode()) + part(2, agent + part(6, varint(12345))))
    return base64.b64encode(wire.snappy_compress(desc)).decode()


def test_agents_are_replaced_one_by_one():
    """Sluices wait while an Agent takes part, and take the targets when the last one has left."""
    etcd, sink = Etcd(), RecordingSink()
    exporter = ScriptedExporter(series=1)
    key = base64.b64encode(b"collectors/agent").decode()
    now = int(time.time())
    set_ring = lambda *agents: etcd.call("/v3/kv/put", {"key": key, "value": ring(*agents)})
    store(etcd, "one", "name: one\n" + instance("one", [exporter.address]))
    set_ring(("agent-1", now, 0), ("agent-2", now, 0), ("killed", now - 3600, 0))
    members = [member(etcd, name, sink) for name in "ab"]
    for m in members:
        wait_until(lambda: "Grafana Agents scrape the stored instances" in m.log() and "agents=2" in m.log(), 20, "it waits")
    set_ring(("agent-2", now, 0), ("killed", now - 3600, 0))
    time.sleep(2)
    assert not sink.find("up") and all(m.data("/api/v1/cluster")["role"] == "joining" for m in members)
    set_ring(("agent-2", now, 1), ("killed", now - 3600, 0))
    wait_until(lambda: sink.find("up", job="one"), 20, "samples")
    assert all("no Grafana Agent scrapes" in m.log() for m in members)
    # one that comes back later changes nothing: the key is for the start only
    set_ring(("agent-2", int(time.time()), 0))
    count = lambda: sum(map(len, sink.find("up").values()))
    before = count()
    wait_until(lambda: count() > before + 3, 20, "they go on")
