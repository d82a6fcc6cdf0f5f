# SPDX-License-Identifier: Apache-2.0
"""What a scrape makes of a page: automatic series, stale markers, limits, labels, discovery by file, authorization."""
import base64
import json
import os
import re
import socket
import threading
import time
import urllib.parse

from fakes import Fake
from lib import *

AUTOMATIC = {"up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling",
             "scrape_series_added"}


def scrape(sink, target, job="", rest=""):
    """One job x at this target, with more lines of the job, forwarded to the sink."""
    return Sluice(f"global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: x\n{job}"
                  f"  static_configs: [{{targets: ['{target}'], labels: {{env: test}}}}]\n"
                  f"remote_write: [{{name: sink, url: '{sink.url}'}}]\n{rest}")


def page(text):
    return ScriptedExporter(page=lambda n, ms: text)


def only(series):
    assert len(series) == 1, series.keys()
    return next(iter(series.items()))


def values(sink, name, **labels):
    return [v for _, v in only(sink.find(name, **labels))[1]]


def test_automatic_series():
    exporter, sink = ScriptedExporter(series=4), RecordingSink()
    exporter.gzip = True
    scrape(sink, exporter.address)
    wait_until(lambda: len(values(sink, "up")) >= 3)
    for name in AUTOMATIC:
        labels, samples = only(sink.find(name))
        assert dict(labels) == {"__name__": name, "job": "x", "instance": exporter.address, "env": "test"}, labels
        times = [t for t, _ in samples]
        assert all(900 <= b - a <= 1100 for a, b in zip(times, times[1:])), f"{name}: {times}"
    assert values(sink, "up")[0] == 1 and values(sink, "scrape_samples_scraped")[0] == 8
    assert values(sink, "scrape_series_added")[:2] == [8, 0]
    assert 0 < values(sink, "scrape_duration_seconds")[0] < 1
    exporter.status = 500
    wait_until(lambda: values(sink, "up")[-1] == 0)


def test_packed_pages_are_whole():
    """A packed page that is cut short is a failed scrape, and not one whose last series went."""
    exporter, sink = ScriptedExporter(series=200), RecordingSink()
    exporter.gzip = True
    scrape(sink, exporter.address)
    wait_until(lambda: len(values(sink, "up")) >= 2)
    exporter.gzip_cut = True
    wait_until(lambda: values(sink, "up")[-1] == 0)
    assert values(sink, "scrape_samples_scraped")[-1] == 0
    exporter.gzip_cut = False
    wait_until(lambda: values(sink, "up")[-1] == 1)


def test_stale_markers():
    """For a series that goes, once and at the time of the scrape; not for one whose page gave the time."""
    exporter, sink = ScriptedExporter(page=lambda n, ms: "stays 1\n" + ("goes 2\n" if n < 3 or n > 6 else "") +
                                      (f"stamped 3 {ms}\n" if n < 3 else "")), RecordingSink()
    scrape(sink, exporter.address, "  scrape_interval: 500ms\n")
    wait_until(lambda: exporter.n > 9 and len(values(sink, "stays")) > 9)
    goes = values(sink, "goes")
    assert [is_stale(v) for v in goes[:5]] == [False] * 3 + [True, False], goes
    assert not any(map(is_stale, values(sink, "stays"))) and not any(map(is_stale, values(sink, "stamped")))
    exporter.status = 404
    wait_until(lambda: is_stale(values(sink, "stays")[-1]))
    times = [t for t, _ in only(sink.find("stays"))[1]]
    assert times == sorted(set(times)), "in order, and each time once"


def test_keys_of_stale_markers():
    """no_stale_markers, -promscrape.noStaleMarkers, and track_timestamps_staleness for series with their own timestamps."""
    def ends(keys, *flags):
        sink, exporter = RecordingSink(), ScriptedExporter(page=lambda n, ms: "stays 1\n" + (
            f"goes 2\nstamped 3 {ms}\n" if n < 2 else ""))
        Sluice(f"scrape_configs:\n- {{job_name: x, scrape_interval: 500ms, static_configs: [{{targets: ['{exporter.address}']}}]{keys}}}\n"
               f"remote_write: [{{url: '{sink.url}'}}]\n", *flags)
        wait_until(lambda: len(values(sink, "stays")) >= 4, 20, "four scrapes")
        return [name for name in ("goes", "stamped") if any(map(is_stale, values(sink, name)))]
    assert ends("") == ["goes"]
    assert ends(", track_timestamps_staleness: true") == ["goes", "stamped"]
    assert ends(", track_timestamps_staleness: true, no_stale_markers: true") == []
    assert ends(", track_timestamps_staleness: true", "-promscrape.noStaleMarkers") == []
    assert ends(", honor_timestamps: false") == ["goes", "stamped"]


def test_stale_markers_at_a_stop():
    """With write_stale_on_shutdown all scraped series end, those of large targets too, and the automatic ones."""
    for name, option, wanted in (("ends", "write_stale_on_shutdown: true", True), ("restarts", "", False)):
        few, many, sink = ScriptedExporter(series=5), ScriptedExporter(series=3000), RecordingSink()
        sluice = Sluice(f"global: {{{', '.join(filter(None, ['scrape_interval: 500ms', option]))}}}\n"
                        f"scrape_configs:\n- job_name: x\n  static_configs: [{{targets: ['{few.address}', '{many.address}']}}]\n"
                        f"remote_write: [{{url: '{sink.url}'}}]\n", name=name)
        wait_until(lambda: len(sink.find("up")) == 2 and len(sink.find("scripted_counter")) == 3005)
        sluice.stop()
        for metric, n in (("up", 2), ("scripted_counter", 3005), ("scrape_duration_seconds", 2)):
            series = sink.find(metric)
            assert len(series) == n and all(is_stale(s[-1][1]) == wanted for s in series.values()), f"{name}: {metric}"
            assert all([t for t, _ in s] == sorted({t for t, _ in s}) for s in series.values()), f"{name}: {metric}"


def test_file_discovery():
    exporter, sink = ScriptedExporter(series=1), RecordingSink()
    path = write_file("targets.json", "[]")

    def write_targets(targets):
        with open(path + ".new", "w", encoding="utf-8") as f:
            json.dump(targets, f)
        os.rename(path + ".new", path)
    Sluice(f"global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: x\n"
           f"  file_sd_configs: [{{files: ['{folder()}/targets*.json'], refresh_interval: 2s}}]\n"
           f"remote_write: [{{url: '{sink.url}'}}]\n")
    write_targets([{"targets": [exporter.address], "labels": {"rack": "r1"}}])
    wait_until(lambda: sink.find("scripted_counter", rack="r1"), 15, "a target of the file")
    write_targets([{"targets": [exporter.address], "labels": {"rack": "r2"}}])
    wait_until(lambda: sink.find("scripted_counter", rack="r2"), 15, "its new label")
    wait_until(lambda: is_stale(values(sink, "scripted_counter", rack="r1")[-1]), 15, "the old series ends")
    write_targets([])
    wait_until(lambda: is_stale(values(sink, "up", rack="r2")[-1]), 15, "up ends, too, when its target goes")


def test_limits():
    for job, text in (("  sample_limit: 3\n", "a 1\nb 2\nc 3\nd 4\n"), ("  body_size_limit: 20B\n", "a 1\n" * 10)):
        sink = RecordingSink()
        sluice = scrape(sink, page(text).address, job)
        wait_until(lambda: values(sink, "up")[-1] == 0, what=f"up is 0 with {job}")
        assert not sink.find("a"), "what exceeds a limit is not forwarded"
        error = sluice.data("/api/v1/targets")["activeTargets"][0]["lastError"]
        assert "limit" in error or "exceed" in error, error
        sluice.stop()


def test_labels_and_relabeling():
    text = 'm{job="own",zone="z1",drop="me"} 1\nunwanted 2\n'
    sink, kept = RecordingSink(), RecordingSink()
    exporter = page(text)
    job = """  metric_relabel_configs:
  - {source_labels: [__name__], regex: unwanted, action: drop}
  - {regex: drop, action: labeldrop}
  - {source_labels: [zone], regex: 'z(.)', target_label: number, replacement: '$1'}
  relabel_configs:
  - {source_labels: [__address__], regex: '.*:(.*)', target_label: port}
"""
    scrape(sink, exporter.address, job)
    port = exporter.address.split(":")[1]
    labels, _ = wait_until(lambda: only(sink.find("m")))
    assert dict(labels) == {"__name__": "m", "job": "x", "exported_job": "own", "zone": "z1", "number": "1",
                            "env": "test", "instance": exporter.address, "port": port}, labels
    assert not sink.find("unwanted")
    Sluice(f"global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: x\n  honor_labels: true\n"
           f"  static_configs: [{{targets: ['{exporter.address}']}}]\n"
           f"remote_write: [{{url: '{kept.url}'}}]\n", name="honor")
    labels, _ = wait_until(lambda: only(kept.find("m")))
    assert dict(labels)["job"] == "own" and "exported_job" not in dict(labels), labels


class Guarded(Fake):
    """Says what it was asked with, and refuses what is not `wanted`."""

    def __init__(self, wanted):
        self.wanted, self.paths = wanted, []
        super().__init__()

    def answer(self, handler, _):
        self.paths.append(handler.path)
        if handler.headers.get("Authorization") != self.wanted:
            return handler.reply(401, b"no\n")
        return handler.reply(200, b"guarded 1\n", Content_Type="text/plain")


def test_authorization_and_params():
    token = write_file("token", "s3cret\n")
    basic = "Basic " + base64.b64encode(b"user:pass word").decode()
    for job, wanted in (("  basic_auth: {username: user, password: pass word}\n", basic),
                        ("  authorization: {credentials: s3cret}\n", "Bearer s3cret"),
                        (f"  authorization: {{type: Token, credentials_file: '{token}'}}\n", "Token s3cret"),
                        (f"  bearer_token_file: '{token}'\n", "Bearer s3cret")):
        target, sink = Guarded(wanted), RecordingSink()
        sluice = scrape(sink, target.address,
                        job + "  scrape_interval: 500ms\n  metrics_path: /probe\n  params: {module: [http_2xx], t: ['a b']}\n")
        wait_until(lambda: sink.find("guarded"), 10, f"a scrape with {job}")
        path, _, query = target.paths[0].partition("?")
        assert path == "/probe" and sorted(query.replace("%20", "+").split("&")) == ["module=http_2xx", "t=a+b"], query
        shown = sluice.data("/api/v1/status/config")["yaml"] + sluice.log() + sluice.get("/metrics").text
        assert "s3cret" not in shown and "pass word" not in shown, "a secret is shown"
        sluice.stop()


def test_offset_is_stable():
    """The place of a target in the interval is the same after a restart."""
    exporter, sink = ScriptedExporter(series=1), RecordingSink()
    sluice = scrape(sink, exporter.address)
    wait_until(lambda: exporter.n >= 3)
    sluice.stop()
    n = exporter.n
    time.sleep(0.37)
    sluice.start().wait_ready()
    wait_until(lambda: exporter.n >= n + 3 and len(values(sink, "up")) >= n + 3)
    places = [t % 1000 for t, _ in only(sink.find("up"))[1]]
    near = [sum(min((a - b) % 1000, (b - a) % 1000) < 100 for b in places) for a in places]
    assert max(near) >= len(places) - 1, f"{places}: on a busy machine one scrape may be late"


def test_pages_of_targets_keep_their_filter():
    targets = ", ".join(f"'127.0.0.1:1/{i}'" for i in range(201))
    sluice = Sluice(f"scrape_configs:\n- job_name: x\n  static_configs: [{{targets: [{targets}]}}]\n")
    search = {"show_only_unhealthy": "true", "label_search": '{job="x"}', "endpoint_search": "h.t+p"}
    html = sluice.get("/targets", search, headers={"Accept": "text/html"}).text
    assert "1 to 200 of 201" in html, html
    link = re.search(r"<a href='([^']*)'>next", html)[1].replace("&amp;", "&")
    assert dict(urllib.parse.parse_qsl(link[1:])) == {"page": "2", **search}, link
    assert "201 to 201 of 201" in sluice.get("/targets" + link, headers={"Accept": "text/html"}).text


def test_lines_of_windows():
    """Read where vmagent's defaults hold; Prometheus refuses them."""
    target = page("# TYPE a gauge\r\na{x=\"1\"} 1\r\nb 2\r\n").address
    text = (f"global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: x\n  static_configs: [{{targets: ['{target}']}}]\n"
            "recent: {}\n")
    lenient, strict = Sluice(text, config_flag="--promscrape.config"), Sluice(text)
    for query in ("a{x='1'}", "b", "up == 1"):
        wait_until(lambda: lenient.query(query), what=query)
    wait_until(lambda: strict.query("up == 0"), what="the page is refused")


def test_lines_of_windows_in_pieces():
    """A carriage return at the end of a piece of the response belongs to the line feed that begins the next one; one
    within a line is part of it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            client, _ = listener.accept()
            with client:
                client.recv(65536)
                client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\n")
                for piece in (b"a 1\r", b"\nb{x=\"y\r\r", b"z\"} 2\r\n", b"c 3\r", b"\n", b"d 4\r"):
                    client.sendall(piece)
                    time.sleep(0.05)

    threading.Thread(target=serve, daemon=True).start()
    target = f"127.0.0.1:{listener.getsockname()[1]}"
    sluice = Sluice(f"global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: x\n"
                    f"  static_configs: [{{targets: ['{target}']}}]\nrecent: {{}}\n", config_flag="--promscrape.config")
    for query in ("a", 'b{x="y\\r\\rz"}', "c", "d", "up == 1", "scrape_response_size_bytes == 26"):
        wait_until(lambda: sluice.query(query), what=query)
    listener.close()


def test_failures_are_logged_in_a_file():
    """Each failed scrape is a line of the job's file or that of global; a reload opens them again. Series that return after
    failures do not count as added."""
    exporter, sink, paths = ScriptedExporter(series=3), RecordingSink(), {name: f"{folder()}/{name}.log" for name in ("own", "common")}
    config = (f"global: {{scrape_interval: 500ms, scrape_failure_log_file: common.log, extra_scrape_metrics: true}}\nscrape_configs:\n"
              f"- {{job_name: own, scrape_failure_log_file: {paths['own']}, static_configs: [{{targets: ['{exporter.address}']}}]}}\n"
              f"- {{job_name: common, sample_limit: 7, extra_scrape_metrics: false, static_configs: [{{targets: ['{exporter.address}']}}]}}\n"
              f"- {{job_name: small, body_size_limit: 10B, static_configs: [{{targets: ['{exporter.address}']}}]}}\n"
              f"remote_write: [{{url: '{sink.url}'}}]\n")
    sluice = Sluice(config)
    wait_until(lambda: len(sink.find("up")) == 3)

    def lines(name):
        with open(paths[name], encoding="utf-8") as f:
            return [json.loads(line) for line in f]
    exporter.status = 500
    wait_until(lambda: len(lines("own")) >= 2 and {line["job_name"] for line in lines("common")} == {"common", "small"})
    first = lines("own")[0]
    assert first["level"] == "ERROR" and first["job_name"] == "own" and first["target"] == f"http://{exporter.address}/metrics", first
    assert first["msg"] == "server returned HTTP status 500 Internal Server Error" and first["time"].startswith("20"), first
    assert any("body size limit exceeded" in line["msg"] for line in lines("common"))
    os.rename(paths["own"], paths["own"] + ".1")
    assert sluice.post("/-/reload", b"").status == 200
    wait_until(lambda: os.path.exists(paths["own"]) and lines("own"))
    exporter.status = 200
    wait_until(lambda: values(sink, "up", job="own")[-1] == 1)
    assert sum(values(sink, "scrape_series_added", job="own")) == 6  # of the first scrape
    assert {v for v in values(sink, "scrape_body_size_bytes", job="small")} == {-1, 0}
    assert set(values(sink, "scrape_sample_limit", job="own")) == {0}
    assert not sink.find("scrape_sample_limit", job="common")


def test_a_connection_for_each_scrape():
    """By the keys of a job, and by vmagent's flags for all jobs."""
    def connections(keys, *flags):
        exporter = ScriptedExporter()
        Sluice("scrape_configs:\n- {job_name: x, scrape_interval: 200ms, static_configs: "
               f"[{{targets: ['{exporter.address}']}}]{keys}}}\n", *flags)
        wait_until(lambda: exporter.n >= 3, 20, "three scrapes")
        with exporter.lock:
            asked = exporter.asked[:3]
        return [(a.get("Connection"), a.get("Accept-Encoding")) for a in asked]
    assert connections("") == [(None, "gzip")] * 3
    assert connections(", enable_compression: false") == [(None, None)] * 3
    assert connections(", disable_keepalive: true, disable_compression: true") == [("close", None)] * 3
    assert connections("", "-promscrape.disableKeepAlive", "-promscrape.disableCompression") == [("close", None)] * 3


def test_an_empty_response_is_no_failure():
    """Its series end, in OpenMetrics, too, where everything else needs `# EOF`. The feature flag writes the extra metrics."""
    exporter, sink = ScriptedExporter(page=lambda n, ms: "m 1\n# EOF\n" if n < 2 else ""), RecordingSink()
    exporter.content_type = "application/openmetrics-text; version=1.0.0"
    Sluice(f"global: {{scrape_interval: 300ms}}\nscrape_configs:\n- {{job_name: x, static_configs: [{{targets: ['{exporter.address}']}}]}}\n"
           f"- {{job_name: plain, extra_scrape_metrics: false, static_configs: [{{targets: ['127.0.0.1:1']}}]}}\n"
           f"remote_write: [{{url: '{sink.url}'}}]\n", "--dialect=prometheus", "--enable-feature=extra-scrape-metrics")
    wait_until(lambda: len(values(sink, "up", job="x")) >= 5 and sink.find("up", job="plain"))
    assert [is_stale(v) for v in values(sink, "m")] == [False, False, True] and set(values(sink, "up", job="x")) == {1}
    assert values(sink, "scrape_body_size_bytes", job="x")[:3] == [10, 10, 0] and not sink.find("scrape_body_size_bytes", job="plain")


def test_unix_sockets():
    """The label __unix_socket__ is where a target listens, whatever its address is; a target without it is another one."""
    path, sink, exporter = f"{folder()}/s", RecordingSink(), ScriptedExporter(page=lambda n, ms: "over_tcp 1\n")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    heads = []

    def serve():
        while True:
            connection = listener.accept()[0]
            with connection:
                heads.append(connection.recv(65536).decode())
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nover_us 1")
    threading.Thread(target=serve, daemon=True).start()
    sluice = Sluice(f"global: {{scrape_interval: 300ms}}\nscrape_configs:\n- job_name: x\n  static_configs:\n"
                    f"  - {{targets: ['{exporter.address}'], labels: {{__unix_socket__: '{path}'}}}}\n  - {{targets: ['{exporter.address}']}}\n"
                    f"  - {{targets: ['long'], labels: {{__unix_socket__: '{'x' * 108}'}}}}\n"
                    f"- job_name: none\n  static_configs: [{{targets: ['h:1'], labels: {{__unix_socket__: /nowhere}}}}]\n"
                    f"remote_write: [{{url: '{sink.url}'}}]\n")
    wait_until(lambda: sink.find("over_us") and sink.find("over_tcp") and sink.find("up", job="none"))
    assert heads[0].startswith("GET /metrics HTTP/1.1\r\n") and f"Host: {exporter.address}" in heads[0], heads[0]
    assert dict(only(sink.find("over_us"))[0])["instance"] == exporter.address
    targets = {t["scrapePool"]: t for t in sluice.data("/api/v1/targets")["activeTargets"]}
    assert "No such file" in targets["none"]["lastError"], targets["none"]
    assert "more than 107 bytes" in sluice.get("/targets").text
