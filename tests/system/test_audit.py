# SPDX-License-Identifier: Apache-2.0
"""What was written compared with what storages return: missing, extra and late samples, found where they were caused."""
import json
import subprocess
import time
import urllib.parse

import fakes
from lib import *

CONFIG = """
recent: {{like: main}}
remote_write:
- name: main
  url: '{main}'
  queue_config: {{min_backoff: 30ms, max_backoff: 200ms}}
- name: copy
  url: '{copy}'
  rate_limit: {rate}
  queue_config: {{min_backoff: 30ms, max_backoff: 200ms}}
server_groups:
- name: storages
  static_configs: [{{targets: ['{main_host}', '{copy_host}']}}]
  written_by: [main, copy]
- name: foreign
  static_configs: [{{targets: ['{main_host}']}}]
  labels: {{foreign: 'yes'}}
"""
WINDOW_MS = 1000


def push_second(url, job, targets, samples=4):
    """samples of a second that has begun, for each target"""
    second = now_ms() // 1000 * 1000
    series = [({"__name__": "audit_test", "job": job, "instance": str(i)}, [(second + 1 + 10 * k, float(k)) for k in range(samples)])
              for i in range(targets)]
    assert push(f"{url}/api/v1/write", series).status == 204
    return second


def audit(sluice, **params):
    return sluice.get("/api/v1/status/audit", {"group": "storages", "match[]": "audit_test", "since": "60s",
                                               "window": "1s", "delay": "1s", **params})


@waits
def test_audit():
    main, copy = VictoriaMetrics(name="main"), VictoriaMetrics(name="copy")

    def config(rate):
        return CONFIG.format(main=main.write_url, copy=copy.write_url, main_host=main.url[7:], copy_host=copy.url[7:], rate=rate)
    sluice = Sluice(config(0), "--remoteWrite.flushInterval=100ms")
    time.sleep(1.1)  # own counts begin with a complete second
    push_second(sluice.url, "both", 3)
    wait_until(lambda: now_ms() % 1000 > 500)
    lost = push_second(copy.url, "foreign", 1, 2)  # which sluice has not written

    def servers(**params):
        for storage in (main, copy):
            if storage.alive():
                storage.flush()
        answer = audit(sluice, **params)
        return {s["destination"]: s for s in answer.json()["data"]["servers"]} if answer.status == 200 else {}
    wait_until(lambda: servers().get("copy", {}).get("extra") == 2, 30, "what another wrote is extra")
    found = servers()
    assert [found["main"][k] for k in ("written", "returned", "missing", "extra", "late")] == [12, 12, 0, 0, 0], found
    assert [found["copy"][k] for k in ("written", "returned", "missing", "extra", "late")] == [12, 14, 0, 2, 0], found
    target = found["copy"]["targets"]
    assert len(target) == 1 and target[0]["labels"] == {"job": "foreign", "instance": "0"}, target
    assert target[0]["firstWindowEnd"] == lost // 1000 + 1, target
    # a sample that a storage loses is missing there
    assert main.post("/api/v1/admin/tsdb/delete_series?match[]=" + urllib.parse.quote('audit_test{instance="1"}')).status == 204
    wait_until(lambda: servers()["main"]["missing"] == 4, 30, "what was deleted is missing")
    found = servers()
    assert found["main"]["differingTargets"] == 1 and found["main"]["targets"][0]["labels"]["instance"] == "1", found
    assert found["copy"]["missing"] == 0
    assert servers(**{"match[]": 'audit_test{instance!="1"}'})["main"]["missing"] == 0, "only what is selected is compared"
    command = [sluice.program, "audit", "--url", sluice.url, "--group", "storages", "--match", "audit_test", "--since", "1m",
               "--window", "1s", "--delay", "1s"]
    table = subprocess.run(command, capture_output=True, text=True)
    rows = [line.split() for line in table.stdout.splitlines()]
    assert table.returncode == 1 and table.stderr == "", table
    assert any(row[:1] == [main.url] and row[2:7] == ["12", "8", "4", "0", "0"] for row in rows), table.stdout
    assert any(row[:1] == [copy.url] and row[2:7] == ["12", "14", "0", "2", "0"] for row in rows), table.stdout
    assert any(row[0].startswith("{") and 'instance="1"' in row[0] + row[1] and row[-6:-1] == ["4", "0", "4", "0", "0"] for row in rows if row), table.stdout
    # in the background it is off by default; its results are metrics and a log line
    assert sluice.metric("sluice_audits_total") == 0
    background = "audit: {match: audit_test, interval: 1s, since: 60s, window: 1s, delay: 1s}\n"
    assert sluice.reconfigure(config(0) + background).status == 200

    def audited(name, storage):
        return sluice.metric(f"sluice_audit_{name}_samples", f'url="{storage.url}"', 'group="storages"')
    wait_until(lambda: audited("missing", main) == 4, 30, "an audit in the background")
    assert [audited(name, main) for name in ("written", "returned", "extra", "late")] == [12, 8, 0, 0]
    assert [audited(name, copy) for name in ("written", "returned", "extra", "late")] == [12, 14, 2, 0]
    assert sluice.metric("sluice_audit_up") == 2 and sluice.metric("sluice_audit_timestamp_seconds") > time.time() - 60
    wait_until(lambda: 'msg="server lacks samples that were written"' in sluice.log() and "missing=4" in sluice.log())
    assert sluice.reconfigure(config(0)).status == 200
    assert sluice.metric("sluice_audit_up") == 0, "it is off again"
    for line, error in (("audit: {match: 'x +'}", "audit.match"), ("audit: {since: 1m, window: 5m}", "longer than"),
                        ("audit: {}", "recent.like")):
        wrong = config(0) + line + "\n"
        answer = sluice.reconfigure(wrong.replace("recent: {like: main}", "") if line == "audit: {}" else wrong)
        assert answer.status == 500 and error in answer.text, f"{line}: {answer}"
    # what waits in a queue is late, not missing
    assert sluice.reconfigure(config(1)).status == 200
    for job in ("slow", "slower"):  # some may be sent
        push_second(sluice.url, job, 3)
    wait_until(lambda: servers()["main"]["returned"] == 8 + 24, 30, "all samples in the storage that is not slow")
    wait_until(lambda: servers()["copy"]["late"] > 0, 30, "samples in the queue")
    found = servers()
    assert found["main"]["late"] == 0 and found["copy"]["missing"] == 0, found
    assert sluice.reconfigure(config(0)).status == 200
    wait_until(lambda: servers()["copy"]["late"] == 0 and servers()["copy"]["returned"] == 14 + 24, 30, "delivered")
    # a server that does not respond is an error of its own
    copy.stop()
    found = servers()
    assert "error" in found["copy"] and "error" not in found["main"], found
    copy.start()
    copy.wait_ready()
    for params, error in (({"group": "foreign"}, "is not known"), ({"group": "none"}, "no server group named"),
                          ({"match[]": "x +"}, "parse error"), ({"window": "-1"}, "must be positive"), ({"since": "x"}, "since"),
                          ({"window": "10ms"}, "make it longer"), ({"since": "1s", "window": "1h"}, "no complete window")):
        answer = audit(sluice, **params)
        assert answer.status == 400 and error in answer.text, f"{params}: {answer}"
    for arguments, error in (([], "missing --group"), (["--group", "none"], "no server group named"), (["--x", "1"], "unknown option"),
                             (["--group"], "requires a value")):
        failed = subprocess.run([sluice.program, "audit", "--url", sluice.url, *arguments], capture_output=True, text=True)
        assert failed.returncode == 1 and error in failed.stderr, failed


class AuditedSluice(fakes.Fake):
    """Responds to `sluice audit` with a target of these labels."""

    def __init__(self, labels):
        counts = {"written": 2, "returned": 1, "missing": 1, "extra": 0, "late": 0}
        target = {"labels": labels, **counts, "firstWindowEnd": 60}
        server = {"url": "http://h", **counts, "comparedTargets": 1, "differingTargets": 1, "targets": [target]}
        self.body = json.dumps({"status": "success", "data": {"start": 0, "end": 60, "servers": [server]}}).encode()
        super().__init__()

    def answer(self, request, body):
        return request.reply(200, self.body)


def test_the_table_quotes_labels():
    other = AuditedSluice({"job": 'a"b\\c\n\x1b[2J'})
    table = subprocess.run([f"{ROOT}/{OUT}/sluice", "audit", "--url", f"http://{other.address}", "--group", "g"], capture_output=True, text=True)
    assert r'{job="a\"b\\c\n\x1b[2J"}' in table.stdout, table
