# SPDX-License-Identifier: Apache-2.0
"""What is wrong is said in one sentence with its place, and nothing half-done remains."""
import re
import socket
import subprocess

from fakes import Fake
from lib import *

GOOD = """global: {{scrape_interval: 500ms}}
scrape_configs:
- job_name: x
  static_configs: [{{targets: ['{e.address}']}}]
"""


def refused(config, *flags, **more):
    """Starts, expects exit code 1 within 5 s, and returns what it printed."""
    sluice = Sluice(config, *flags, ready=False, **more)
    try:
        code = sluice.wait_exit(5)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"it started in spite of:\n{config}")
    assert code == 1, f"exit code {code} for:\n{config}\n{sluice.log()}"
    return sluice.log()


BAD_FILES = [
    ("scrape_configs:\n- job_name: x\n  scrape_intervall: 5s\n", 3, "scrape_intervall", "scrape_interval"),
    ("global:\n  scrape_interval: 5 apples\n", 2, "5 apples"),
    ("scrape_configs: 5\n", 1, "scrape_configs"),
    ("global:\n  scrape_interval: 5s\nremote_write:\n- url: [1, 2]\n", 4, "url"),
    ("scrape_configs:\n- job_name: x\n  relabel_configs:\n  - target_label: b\n    regex: '(('\n", 5, "(("),
    ("scrape_configs:\n- job_name: x\n- job_name: x\n", 3, "x"),
    ("scrape_configs:\n- job_name: x\n  sample_limit: many\n", 3, "many"),
    ("scrape_config:\n", 1, "scrape_config", "scrape_configs"),
    ("global:\n  scrape_interval: 5s\n :\n  - {", 3),
    ("server_groups:\n- static_configs: []\n  anti_afinity: 10s\n", 3, "anti_afinity", "anti_affinity"),
    ("recent: {like: nobody}\n", 1, "nobody"),
]


def test_bad_files_are_refused():
    for config, line, *words in BAD_FILES:
        said = refused(config)
        assert re.search(rf"sluice\.yml:{line}\b", said), f"no FILE:{line} in {said!r} for:\n{config}"
        for word in words:
            assert word in said, f"no {word!r} in {said!r}"


def test_bad_flags_are_refused():
    assert "query.max-sample" in refused("", "--query.max-sample=1")
    assert "soon" in refused("", "--query.timeout=soon")
    assert "no-such-file" in refused(None, "--config.file=no-such-file.yml")


def test_bad_reload_keeps_the_old():
    exporter = ScriptedExporter(series=1)
    sluice = Sluice(GOOD.format(e=exporter))
    wait_until(lambda: sluice.query("scripted_counter")["result"])
    for config, line, *words in BAD_FILES:
        answer = sluice.reconfigure(config)
        assert answer.status >= 400 and f"sluice.yml:{line}" in answer.text, f"{answer} for:\n{config}"
    n = exporter.n
    wait_until(lambda: exporter.n > n + 1, what="the old configuration still scrapes")
    assert f"{exporter.address}" in sluice.data("/api/v1/status/config")["yaml"]
    assert sluice.reconfigure(GOOD.format(e=exporter).replace("job_name: x", "job_name: y")).status == 200
    wait_until(lambda: sluice.query('scripted_counter{job="y"}')["result"], what="a good reload works after that")


def test_an_empty_file_is_no_reload():
    """It is fine at the start, and not where there was something before: then it is being written just now."""
    exporter = ScriptedExporter(series=1)
    for empty in ("", "# nothing here yet\n", "---\n"):
        sluice = Sluice(empty, name=f"empty{len(empty)}")
        assert sluice.reconfigure(empty + "\n").status == 200
        assert sluice.reconfigure(GOOD.format(e=exporter)).status == 200
        wait_until(lambda: sluice.query("scripted_counter")["result"])
        answer = sluice.reconfigure(empty)
        assert answer.status >= 400 and ".yml: the file is empty" in answer.text, answer
        n = exporter.n
        wait_until(lambda: exporter.n > n + 1, what="the old configuration still scrapes")
        assert sluice.metric("vm_promscrape_config_last_reload_successful") == 0
        assert sluice.reconfigure("{}").status == 200
        assert "job_name" not in sluice.data("/api/v1/status/config")["yaml"]
        sluice.stop()


def test_port_in_use():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        assert str(port) in refused("", port=port)


def test_directory_that_cannot_be_written():
    path = write_file("a-file", "") + "/queue"
    said = refused("remote_write:\n- url: http://127.0.0.1:1/api/v1/write\n", f"-remoteWrite.tmpDataPath={path}")
    assert path in said, said


def test_too_few_descriptors():
    release_build()  # a sanitizer needs more descriptors
    config = write_file("few.yml", "")
    for n, what in (4, "event loop"), (9, "lane 1"):
        p = subprocess.run(["prlimit", f"--nofile={n}", f"{ROOT}/{OUT}/sluice", f"--config.file={config}", "--lanes=4",
                            f"--web.listen-address=127.0.0.1:{free_port()}"], capture_output=True, text=True, timeout=10)
        assert p.returncode == 1 and what in p.stderr and "Too many open files" in p.stderr, p


def test_broken_page():
    exporter, sink = ScriptedExporter(series=1), RecordingSink()
    sluice = Sluice(GOOD.format(e=exporter) + f"remote_write: [{{url: '{sink.url}'}}]\n")
    wait_until(lambda: sink.find("scripted_counter"))

    def last_error():
        return sluice.data("/api/v1/targets")["activeTargets"][0]["lastError"]
    for body, words in ((b"broken_before 1\nbroken{ 2\nbroken_after 3\n", ["2"]), (b"ok 1\nx one\n", ["2"]),
                        (b"broken_first 1\n\xff\xfe 2\n", ["2"]), (b"no_newline{a=\"b", ["1"])):
        exporter.body = body
        error = wait_until(last_error, 10, f"an error for {body}")
        assert all(w in error for w in words), f"{error!r} for {body}"
        assert error[:20] in sluice.get("/targets").text.replace("&#34;", '"').replace("&quot;", '"')
        wait_until(lambda: [v for _, v in next(iter(sink.find("up").values()))][-1] == 0, 10, "up is 0")
        exporter.body = None
        wait_until(lambda: not last_error(), 10)
    exporter.cut = True
    wait_until(last_error, 10, "an error for a connection cut in the middle")
    exporter.cut = False
    exporter.status = 404
    wait_until(lambda: "404" in last_error(), 10, "an error for 404")
    names = {dict(labels)["__name__"] for labels in sink.samples()}
    assert not {n for n in names if n.startswith("broken") or n in ("ok", "no_newline")}, names
    stale = [v for _, v in next(iter(sink.find("scripted_counter").values())) if is_stale(v)]
    assert stale, "no stale marker when the page broke"


def test_broken_push():
    sink = RecordingSink()
    sluice = Sluice(f"remote_write: [{{url: '{sink.url}'}}]\n")
    url = f"{sluice.url}/api/v1/write"
    good = wire.write_request([({"__name__": name, "a": "b"}, [(1000, 1.0)]) for name in ("pushed_half", "pushed_z")])
    protobuf = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
    for body in (b"\xff" * 11, b"garbage", wire.snappy_compress(good)[:-3], wire.snappy_compress(good[:-4]),
                 wire.snappy_compress(good + b"\x0a\xff\xff\xff\x7f"), wire.varint(1 << 40) + b"\0a",
                 wire.snappy_compress(b"\x0a" + b"\x80" * 11)):
        answer = request(url, data=body, headers=protobuf, method="POST")
        assert answer.status == 400 and len(answer.text.strip()) > 5, f"{answer} for {body[:40]}"
    push(url, [({"__name__": "pushed_whole"}, [(1000, 1.0)])])
    wait_until(lambda: sink.find("pushed_whole"), what="a good body after the bad ones")
    assert not sink.find("pushed_half"), "a broken body was taken in part"


class BrokenServer(Fake):
    """Answers everything with this status and these bytes; cut announces more than it sends."""

    def __init__(self, status, body, cut=False):
        self.status, self.body, self.cut = status, body, cut
        super().__init__()

    def answer(self, handler, _):
        if not self.cut:
            return handler.reply(self.status, self.body, Content_Type="application/json")
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + self.body)
        handler.close_connection = True
        return None


HALF = b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"m"},"value":[1,"1"]}'
WHOLE = HALF + b"]}}"


BROKEN = {
    "truncated": (200, HALF), "html": (200, b"<html>login</html>"), "empty": (200, b""),
    "number": (200, WHOLE.replace(b'"1"]', b'"one"]')), "unauthorized": (401, WHOLE), "failing": (500, b""),
    "error": (400, b'{"status":"error","errorType":"bad_data","error":"no"}'), "cut": (200, HALF)}
REQUESTS = [("query", {"query": "m", "time": 1}), ("series", {"match[]": "m"}), ("labels", {}),
            ("query_range", {"query": "rate(m[5m])", "start": 1, "end": 100, "step": 5})]


def check_broken(kind):
    for name, (status, body) in BROKEN.items():
        server = BrokenServer(status, body, cut=name == "cut")
        sluice = Sluice(f"server_groups:\n- name: broken\n  kind: {kind}\n"
                        f"  static_configs: [{{targets: ['{server.address}']}}]\n", name=name)
        for path, params in REQUESTS:
            if (kind, name) == ("victoriametrics", "empty") and path.startswith("query"):
                continue  # an export of no series is an empty body
            answer = sluice.get(f"/api/v1/{path}", params)
            assert answer.status >= 400 and server.address in answer.text, f"{name} {path}: {answer}"
            assert answer.json()["status"] == "error", f"{name} {path}: {answer}"
        sluice.stop()


def test_broken_prometheus():
    check_broken("prometheus")


def test_broken_victoria():
    check_broken("victoriametrics")
