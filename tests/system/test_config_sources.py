# SPDX-License-Identifier: Apache-2.0
"""Where a configuration comes from, as with vmagent: files, http(s) URLs, both polled for changes; and what is told of the
last load."""
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
