# SPDX-License-Identifier: Apache-2.0
"""Where a configuration comes from, as with vmagent: files, http(s) URLs, both polled for changes; and what is reported of the
last load."""
import json
import os
import subprocess
import threading

from fakes import Fake
from lib import *
from test_pages import html_page


class Texts(Fake):
    """Serves texts by their paths; a path without one is a 404, one whose text is None does not respond."""

    def __init__(self):
        self.texts, self.seen, self.ended = {}, [], threading.Event()
        super().__init__()

    def answer(self, request, _):
        self.seen.append((request.path, request.headers.get("Authorization")))
        if request.path in self.texts and self.texts[request.path] is None:
            self.ended.wait(60)
            return
        text = self.texts.get(request.path)
        request.reply(404 if text is None else 200, (text or "hunter2").encode())

    def url(self, path, login=""):
        return f"http://{login}{self.address}{path}"


def jobs(sluice):
    return {t["scrapePool"] for t in sluice.data("/api/v1/targets")["activeTargets"]}


def job(name, more=""):
    return f"- job_name: {name}\n  scrape_interval: 1h\n  static_configs: [{{targets: ['127.0.0.1:1']}}]\n{more}"


def test_configuration_and_rules_over_http():
    """-promscrape.config, scrape_config_files and the relabeling files as URLs: loaded, polled, and the last good ones kept
    when the server fails, hangs, or sends something else."""
    server = Texts()
    sink = RecordingSink()
    more = server.url("/more.yml")
    server.texts = {"/c.yml?token=hunter2": f"scrape_config_files: ['{more}']\nscrape_configs:\n{job('first')}",
                    "/more.yml": job("second"), "/rules.yml": "- {target_label: rule, replacement: one}\n"}
    sluice = Sluice(None, f"-promscrape.config={server.url('/c.yml?token=hunter2', 'me:hunter2@')}",
                    f"-remoteWrite.url={sink.url}", f"-remoteWrite.urlRelabelConfig={server.url('/rules.yml')}",
                    "-promscrape.configCheckInterval=300ms", "-remoteWrite.flushInterval=100ms")
    assert jobs(sluice) == {"first", "second"}
    assert ("/c.yml?token=hunter2", "Basic bWU6aHVudGVyMg==") in server.seen

    def label():
        assert push(f"{sluice.url}/api/v1/write", [({"__name__": "pushed"}, [(now_ms(), 1.0)])]).status == 204
        return {dict(labels).get("rule") for labels in sink.find("pushed")}

    wait_until(lambda: "one" in label(), what="the rule of the URL")
    server.texts["/more.yml"] = job("third")
    wait_until(lambda: jobs(sluice) == {"first", "third"}, what="a changed file of scrape_config_files")
    server.texts["/rules.yml"] = "- {target_label: rule, replacement: two}\n"
    wait_until(lambda: "two" in label(), what="changed rules")
    loads = sluice.metric("vm_promscrape_config_reloads_total")
    assert loads >= 2

    del server.texts["/more.yml"]
    wait_until(lambda: "cannot check the configuration for changes" in sluice.log(), what="a line about the missing file")
    answer = sluice.post("/-/reload")
    assert answer.status == 500 and f"{more}: HTTP 404" in answer.text, answer
    assert jobs(sluice) == {"first", "third"} and "two" in label()
    server.texts["/more.yml"] = "- job_nam: x\n"
    wait_until(lambda: "more.yml:1:" in sluice.get("/-/reload/status").text, what="an invalid file")
    errors = sluice.metric("vm_promscrape_config_reloads_errors_total")
    checks = len(server.seen)
    wait_until(lambda: len(server.seen) > checks + 12, what="more checks")
    assert sluice.metric("vm_promscrape_config_reloads_errors_total") == errors, "the same mistake is reported once"
    server.texts["/more.yml"] = job("fourth")
    wait_until(lambda: jobs(sluice) == {"first", "fourth"}, what="the corrected file")
    shown = sluice.get("/flags").text + sluice.get("/metrics").text + sluice.get("/config").text + sluice.log()
    assert "hunter2" not in shown and "/c.yml?token=xxxxx" in shown


@waits
def test_a_server_that_hangs():
    """A start ends with an error, and a reload keeps what runs; neither waits without end."""
    server = Texts()
    server.texts = {"/c.yml": f"scrape_configs:\n{job('first')}"}
    sluice = Sluice(None, f"--config.file={server.url('/c.yml')}", "--web.enable-lifecycle")
    server.texts["/c.yml"] = None
    other = Sluice(None, f"--config.file={server.url('/c.yml')}", name="other", ready=False)
    answer = sluice.post("/-/reload")
    assert answer.status == 500 and "timed out after" in answer.text, answer
    assert jobs(sluice) == {"first"}
    wait_until(lambda: not other.alive(), 30)
    assert other.p.returncode == 1 and "/c.yml: timed out after" in other.log(), other.log()
    server.ended.set()


@waits
def test_secrets_from_urls():
    """Passwords and keys as URLs are fetched again, and an unreachable one keeps its last content."""
    server = Texts()
    exporter = ScriptedExporter(series=1)
    seen, answer = [], exporter.answer

    def note_and_answer(request, body):
        seen.append(request.headers.get("Authorization"))
        answer(request, body)
    exporter.answer = note_and_answer
    server.texts = {"/token": "one\n", "/key": "first\n", "/password": "word\n"}
    sluice = Sluice(f"""
scrape_configs:
- {{job_name: x, scrape_interval: 200ms, bearer_token_file: '{server.url("/token")}', static_configs: [{{targets: ['{exporter.address}']}}]}}
""", f"-metricsAuthKey={server.url('/key')}", f"-flagsAuthKey=file://{write_file('key', 'of-file')}",
        "-httpAuth.username=me", f"-httpAuth.password={server.url('/password')}", ready=False)
    auth = {"Authorization": "Basic bWU6d29yZA=="}
    wait_until(lambda: sluice.get("/-/ready", headers=auth).status == 200)
    wait_until(lambda: "Bearer one" in seen)
    assert sluice.get("/flags?authKey=of-file").status == 200
    wait_until(lambda: sluice.get("/metrics?authKey=first").status == 200)
    assert sluice.get("/metrics?authKey=" + server.url("/key")).status == 401
    server.texts["/token"], server.texts["/key"], server.texts["/password"] = "two", "second", "other"
    wait_until(lambda: "Bearer two" in seen)
    wait_until(lambda: sluice.get("/metrics?authKey=second").status == 200)
    wait_until(lambda: sluice.get("/-/ready", headers=auth).status == 401)
    del server.texts["/token"]
    wait_until(lambda: "cannot read file with credentials or certificates; its last content stays" in sluice.log())
    n = len(seen)
    wait_until(lambda: len(seen) > n + 2 and seen[-1] == "Bearer two")


def test_messages_of_the_last_load():
    """As a page, as text and as JSON: warnings of a load that succeeded, all errors of one that failed."""
    first = "alerting: {}\nscrape_configs:\n" + job("a")
    sluice = Sluice(first)

    def status():
        return sluice.data("/api/v1/status/reload")

    at_start = status()
    assert at_start["success"] and at_start["start"] and len(at_start["configHash"]) == 16, at_start
    assert [m["level"] for m in at_start["messages"]] == ["warning"] and "alerting" in at_start["messages"][0]["text"]
    hash_of = {f'sluice_config_hash{{hash="{at_start["configHash"]}"}}': 1.0}
    assert hash_of.items() <= sluice.metrics().items()
    assert sluice.metric("vm_promscrape_config_reloads_total") == 0

    assert sluice.reconfigure("alerting: {}\nscrape_configs:\n" + job("b")).status == 200
    now = status()
    assert now["success"] and not now["start"] and now["configHash"] != at_start["configHash"]
    assert {"level": "info", "text": "scrape jobs changed: added b; removed a"} in now["messages"], now
    assert any(m["level"] == "warning" and "alerting" in m["text"] for m in now["messages"]), now
    text = sluice.get("/-/reload/status").text
    assert text.startswith("reload: succeeded, ") and "warning: " in text and "info: scrape jobs changed" in text, text

    assert sluice.reconfigure("global: {scrape_interval: x}\nscrape_configs:\n- {job_nam: b}\nx<y: 1\n").status == 500
    failed = status()
    assert not failed["success"] and failed["configHash"] == now["configHash"], failed
    assert len(failed["messages"]) >= 3 and {m["level"] for m in failed["messages"]} == {"error"}, failed
    page = html_page(sluice, "/-/reload/status")
    assert "The reload failed" in page and "x&lt;y" in page and "x<y" not in page, page
    assert sluice.reconfigure(first).status == 200 and sluice.reconfigure(first).status == 200
    assert "nothing changed" in sluice.get("/-/reload/status").text
    assert status()["configHash"] == at_start["configHash"]
    for name, value in (("vm_promscrape_config_reloads_total", 3), ("vm_promscrape_config_reloads_errors_total", 1),
                        ("vmagent_relabel_config_reloads_total", 3), ("vmagent_relabel_config_reloads_errors_total", 1)):
        assert sluice.metric(name) == value, name
    assert sluice.metric("process_reload_time_seconds") == sluice.metric("prometheus_config_last_reload_success_timestamp_seconds") > 0


def check(*flags, code=0, env=None):
    run = subprocess.run([f"{ROOT}/{OUT}/sluice", "--check-config", *flags], capture_output=True, text=True, timeout=60,
                         check=False, env={**os.environ, **(env or {})})
    assert run.returncode == code, f"{run.returncode}\n{run.stdout}\n{run.stderr}"
    return run.stdout + run.stderr


class Answers(Fake):
    """One status for each first part of a path."""

    def __init__(self):
        self.seen = []
        super().__init__()

    def answer(self, request, body):
        self.seen.append((request.command, request.path, request.headers.get("Authorization"), body))
        kind = request.path.split("/")[1].split("?")[0]
        if kind in ("sd", "v1"):
            targets = json.dumps([{"targets": [self.address]}]) if kind == "sd" else "[]"
            request.reply(200, targets.encode(), Content_Type="application/json")
        else:
            request.reply(int(kind) if kind.isdigit() else 200, b"hunter2")


def test_reachability_is_checked_on_request():
    """Of destinations, every kind of service discovery, and servers of groups, listed or discovered, after relabeling; by
    requests that change nothing."""
    server = Answers()
    config = write_file("c.yml", f"""
scrape_configs:
- {{job_name: found, http_sd_configs: [{{url: 'http://{server.address}/sd'}}]}}
- {{job_name: lost, http_sd_configs: [{{url: 'http://{server.address}/500?token=hunter2'}}]}}
- {{job_name: file, file_sd_configs: [{{files: [none.yml, 'http://{server.address}/sd', 'http://{server.address}/500/t.yml?token=hunter2']}}]}}
- {{job_name: services, consul_sd_configs: [{{server: '{server.address}', datacenter: d, services: [web]}}]}}
- {{job_name: none, consul_sd_configs: [{{server: '{server.address}', path_prefix: /403, token: hunter2}}, {{server: '127.0.0.1:1'}}]}}
remote_write:
- {{name: taken, url: 'http://{server.address}/204', basic_auth: {{username: u, password: hunter2}}}}
- {{name: strange, url: 'http://{server.address}/400'}}
- {{name: refused, url: 'http://{server.address}/401?key=hunter2', bearer_token: hunter2}}
- {{name: astray, url: 'http://{server.address}/404'}}
- {{name: down, url: 'http://127.0.0.1:1/w'}}
server_groups:
- {{name: fine, static_configs: [{{targets: ['{server.address}']}}], path_prefix: /prefix}}
- {{name: closed, static_configs: [{{targets: ['{server.address}']}}], path_prefix: /403}}
- {{name: relabeled, static_configs: [{{targets: ['127.0.0.1:1']}}], relabel_configs: [{{target_label: __address__, replacement: '{server.address}'}}]}}
- {{name: listed, http_sd_configs: [{{url: 'http://{server.address}/sd'}}], path_prefix: /502}}
- {{name: unlisted, http_sd_configs: [{{url: 'http://{server.address}/401'}}]}}
""")
    assert "is valid: 5 scrape jobs" in check(f"--config.file={config}") and not server.seen
    text = check(f"--config.file={config}", "--check-reachability", code=1)
    errors = sorted(line.split(" ")[1:] for line in text.splitlines() if line.startswith("error: "))
    assert [" ".join(line).split(": ")[0] for line in errors] == [
        'remote_write "astray"', 'remote_write "down"', 'remote_write "refused"', 'server group "closed"',
        'server group "listed"', 'service discovery of job "file"', 'service discovery of job "lost"', 'service discovery of job "none"',
        'service discovery of server group "unlisted"'], text
    assert f"http://{server.address}/403/v1/agent/self?stale=: HTTP 403; " in text and text.count("connection refused") == 2, text
    assert "hunter" not in text and "HTTP 401: the credentials are refused" in text and "connection refused" in text
    assert "is valid" not in text
    seen = {(method, path): (auth, body) for method, path, auth, body in server.seen}
    assert seen[("POST", "/204")] == ("Basic dTpodW50ZXIy", b"\0") and ("GET", "/prefix/api/v1/status/buildinfo") in seen, seen
    fine = write_file("fine.yml", f"remote_write: [{{url: 'http://{server.address}/204'}}]\n")
    assert "is valid" in check(f"--config.file={fine}", "--check-reachability")
    storage = VictoriaMetrics()
    real = write_file("real.yml", f"remote_write: [{{url: '{storage.url}/api/v1/write'}}]\n"
                                  f"server_groups: [{{static_configs: [{{targets: ['{storage.address}']}}]}}]\n")
    assert "is valid" in check(f"--config.file={real}", "--check-reachability")


def test_check_finds_what_cannot_be_opened():
    """Listen addresses, logs and the queue directory, without opening them; the start says the same."""
    config, blocked = write_file("c.yml", "remote_write: [{url: 'http://127.0.0.1:1/'}]\n"), write_file("file", "")
    for flag, words in ((f"--web.listen-address=127.0.0.1:{1 << 16}", "127.0.0.1:65536: the port is above 65535"),
                        ("--web.listen-address=127.0.0.1:none", 'unknown port "none"'), ("--web.listen-address=none", "expected host:port"),
                        (f"--web.listen-address=unix:{folder()}/none/s", "No such file or directory; choose another path"),
                        (f"--web.listen-address=unix:/{'x' * 200}", "a path of at most 107 bytes"),
                        (f"--storage.path={blocked}", f"queue directory {blocked}: Not a directory"),
                        (f"--storage.path={blocked}/queue", f"queue directory {blocked}/queue: Not a directory")):
        assert words in check(f"--config.file={config}", flag, code=1), flag
        started = subprocess.run([f"{ROOT}/{OUT}/sluice", f"--config.file={config}", "--web.listen-address=127.0.0.1:0", flag],
                                 capture_output=True, text=True, timeout=60, check=False) if "storage" in flag else None
        assert started is None or (started.returncode == 1 and words in started.stderr), started
    twice = f"127.0.0.1:{free_port()}"
    assert f"{twice} is set twice" in check(f"--web.listen-address={twice},{twice}", f"--config.file={config}", code=1)
    assert "more than 16 addresses" in check("--web.listen-address=" + ",".join(f":{n}" for n in range(2, 19)), f"--config.file={config}", code=1)
    path = f"{folder()}/none/log"
    logs = write_file("logs.yml", f"global: {{query_log_file: '{path}'}}\nrecent: {{}}\n")
    text = check(f"--config.file={logs}", f"--web.access-log={path}")
    assert all(f"{key}: cannot write {path}: No such file" in text for key in ("--web.access-log", "global.query_log_file")), text
    fine = check(f"--config.file={config}", f"--storage.path={folder()}/new/queue", f"--web.listen-address=unix:{folder()}/s,:http",
                 f"--web.access-log={folder()}/log")
    assert "is valid" in fine and "warning: --" not in fine and not os.path.exists(f"{folder()}/new"), fine


def test_check_names_files_of_flags():
    missing = f"{folder()}/none"
    text = check("-remoteWrite.url=http://127.0.0.1:1/", f"-remoteWrite.bearerTokenFile={missing}", f"-remoteWrite.tlsCAFile={missing}",
                 f"-reloadAuthKey=file://{missing}", f"-metricsAuthKey=file://{write_file('empty', '')}")
    for flag in ("-remoteWrite.bearerTokenFile: cannot read", "-remoteWrite.tlsCAFile: cannot read", "--reloadAuthKey: cannot read",
                 "--metricsAuthKey: the key is empty"):
        assert flag in text, text
    text = check("-remoteWrite.url=http://127.0.0.1:1/", "-remoteWrite.oauth2.clientID=x", "-remoteWrite.oauth2.tokenUrl=http://127.0.0.1:1/",
                 f"-remoteWrite.oauth2.clientSecretFile={missing}")
    assert "-remoteWrite.oauth2.clientSecretFile: cannot read" in text, text
    sd = write_file("sd.yml", "scrape_configs:\n- job_name: a\n  file_sd_configs: [{files: ['http://u:hunter2@x:0x/t.json']}]\n")
    text = check(f"--config.file={sd}", code=1)
    assert "sd.yml:3: file_sd_config.files: invalid " in text and "hunter2" not in text, text
    for flags, part in (((f"-remoteWrite.relabelConfig={missing}",), missing), (("-tls", f"-tlsCertFile={missing}", "-tlsKeyFile=x"), missing),
                        ((f"--web.config.file={write_file('web.yml', 'x: 1')}",), "web.yml:1"),
                        ((f"-remoteWrite.relabelConfig={write_file('bad.yml', '- {action: nonsense}')}",), "bad.yml:1")):
        assert part in check(*flags, code=1), flags


def test_variables_as_each_peer_has_them():
    """%{NAME} in files of vmagent and in flags, $NAME in external_labels of Prometheus, ${NAME} in files of Grafana Agent."""
    env = {"SLUICE_A": "one", "SLUICE_EMPTY": ""}

    def shown(config, *flags):
        run = subprocess.run([f"{ROOT}/{OUT}/sluice", "config", "print", *flags, write_file("c.yml", config)], text=True,
                             capture_output=True, check=True, env={**os.environ, **env})
        return run.stdout

    config = """
global: {external_labels: {a: '%{SLUICE_A}', b: '${SLUICE_A}', c: '$SLUICE_A-', d: '${SLUICE_EMPTY:-two}', e: '$$x'}}
scrape_configs: [{job_name: '${SLUICE_A}', metrics_path: '%{SLUICE_A}', relabel_configs: [{replacement: '$1-${1}', target_label: x}]}]
"""
    as_vmagent = shown(config, "--dialect=vmagent")
    assert all(part in as_vmagent for part in ("a: one\n", "b: '${SLUICE_A}'", "metrics_path: one", "job_name: '${SLUICE_A}'")), as_vmagent
    as_prometheus = shown(config, "--dialect=prometheus")
    assert all(part in as_prometheus for part in ("a: '%{SLUICE_A}'", "b: one\n", "e: '$x'", "job_name: '${SLUICE_A}'")), as_prometheus
    as_agent = shown(config, "--dialect=promxy", "--config.expand-env")
    assert all(part in as_agent for part in ("a: '%{SLUICE_A}'", "b: one\n", "c: one-\n", "d: two\n", "e: '$x'", "job_name: one\n",
                                             "replacement: '$1-${1}'")), as_agent
    text = check("--dialect=vmagent", f"--config.file={write_file('c.yml', 'scrape_configs: [{job_name: x}]' + chr(10) + 'rule_files: [%{SLUICE_NONE}]')}",
                 code=1)
    assert "c.yml:2: environment variable SLUICE_NONE is not set" in text
    text = check("-envflag.enable", "-envflag.prefix=SLU_", env={"SLU_remoteWrite_url": "http://127.0.0.1:1/", "SLU_log_level": "debug"})
    assert "1 destinations" in text
