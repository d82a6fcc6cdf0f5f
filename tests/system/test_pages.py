# SPDX-License-Identifier: Apache-2.0
"""The pages for people: HTML for a browser, plain text for other clients, without JavaScript."""
import html
import re
import subprocess

import wire
from lib import *

HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}


def html_page(sluice, path, params=None):
    answer = sluice.get(path, params, headers=HTML)
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/html"), f"{path}: {answer}"
    assert "<header>" in answer.text and "<script" not in answer.text, answer.text
    return answer.text


def test_configuration_and_flags_have_pages():
    sluice = Sluice("global: {external_labels: {site: 'a<b>&c'}}\n")
    text = html_page(sluice, "/config")
    assert "a&lt;b&gt;&amp;c" in text and "a<b>" not in text and "href='/targets'" in text, text
    text = html_page(sluice, "/flags")
    assert "<code>-config.file</code>" in text and sluice.config_path in text, text
    for path in ("/config", "/flags"):
        for headers in ({}, {"Accept": "*/*"}, {"Accept": "text/plain"}):
            answer = sluice.get(path, headers=headers)
            assert answer.headers["Content-Type"].startswith("text/plain") and "<header>" not in answer.text, answer
    assert "a<b>&c" in sluice.get("/config").text
    assert sluice.get("/metrics", headers=HTML).headers["Content-Type"].startswith("text/plain")


def test_an_invalid_filter_is_a_page_too():
    sluice = Sluice("scrape_configs: []\n")
    for query in ("page=<b>", "label_search=<b>", "endpoint_search=%28"):
        answer = sluice.get(f"/targets?{query}", headers=HTML)
        assert answer.status == 400 and "<header>" in answer.text and "<b>\"" not in answer.text, answer
        name = query.split("=")[0]
        assert name in answer.text and "<a href='?'>Show all targets</a>" in answer.text, answer
        plain = sluice.get(f"/targets?{query}")
        assert plain.status == 400 and name in plain.text and "<header>" not in plain.text, plain


def test_reload_button_shows_the_result():
    sluice = Sluice("scrape_configs: []\n")
    assert "action='/-/reload'" in html_page(sluice, "/")
    answer = sluice.post("/-/reload", headers=HTML)
    assert answer.status == 200 and "Configuration reloaded" in answer.text and "href='/'" in answer.text, answer
    assert sluice.post("/-/reload").body == b""
    write_file("sluice.yml", "no_such_<key>: 1\n")
    answer = sluice.post("/-/reload", headers=HTML)
    assert answer.status == 500 and "Reload failed" in answer.text and "no_such_&lt;key&gt;" in answer.text, answer
    assert sluice.post("/-/reload").text.startswith("failed to reload config: ")
    closed = Sluice("scrape_configs: []\n", "--web.enable-lifecycle=false", name="closed")
    assert "action='/-/reload'" not in html_page(closed, "/") and "SIGHUP" in html_page(closed, "/")


def test_service_discovery_tells_what_became_of_each_target():
    """Those that are scraped with both sets of labels, those that are dropped with the rule, and invalid ones with the reason."""
    many = ", ".join(f"'127.0.0.1:{n}'" for n in range(1, 451))
    sluice = Sluice(f"""
scrape_configs:
- job_name: few
  scrape_interval: 1m
  static_configs: [{{targets: ['127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:4', '<b>:3'], labels: {{__meta_x: "1 & 2"}}}}]
  relabel_configs:
  - {{source_labels: [__meta_x], target_label: x}}
  - {{source_labels: [__address__], regex: '.*:2', action: drop}}
  - {{source_labels: [__address__], regex: '.*:4', target_label: __scrape_interval__, replacement: never}}
- {{job_name: many, scrape_interval: 1m, static_configs: [{{targets: [{many}]}}], relabel_configs: [{{action: drop}}]}}
recent: {{}}
""")
    text = sluice.get("/service-discovery").text
    few = text[text.index('job="few"'):text.index('job="many"')]
    assert few.count("\tstate=") == 4 and "state=active, discovered={__address__=\"127.0.0.1:1\"" in few, few
    assert ', labels={instance="127.0.0.1:1", job="few", x="1 & 2"}\n' in few, few
    dropped = [line for line in few.splitlines() if "state=dropped" in line]
    assert len(dropped) == 1 and '127.0.0.1:2' in dropped[0] and 'reason="rule 2 of relabel_configs drops it"' in dropped[0], few
    assert few.index("state=invalid") < few.index("state=dropped") < few.index("state=active"), few
    assert text.count("rule 1 of relabel_configs drops it") == 450
    page = html_page(sluice, "/service-discovery")
    assert "1 to 200 of 454" in page and "450 dropped" not in page and "451 dropped</a>" in page and "&lt;b&gt;:3" in page and "<b>:3" not in page
    last = html_page(sluice, "/service-discovery?state=dropped&job=many&page=3")
    assert "401 to 450 of 450" in last and last.count("<tr><td") == 50, last
    assert html_page(sluice, "/service-discovery?q=X%3D%221+%26").count("<tr><td") == 4
    assert html_page(sluice, "/service-discovery?q=INSTANCE%3D%22127").count("<tr><td") == 1
    assert sluice.get("/service-discovery", {"page": "0"}).status == 400


def test_relabel_rules_step_by_step():
    """The steps and results of a real vmagent, of whose labels the HTML is removed."""
    rules = """
- {source_labels: [a, b], separator: '-', regex: '(.+)-(.+)', target_label: c, replacement: '$2/$1'}
- {action: labeldrop, regex: b}
- {if: '{a="x"}', action: uppercase, source_labels: [a], target_label: a}
- {action: keep_if_contains, target_label: c, source_labels: [a]}
- {target_label: __tmp, replacement: '{{a}}-i'}
"""
    theirs, ours = VMAgent("scrape_configs: []\n", "-remoteWrite.url=http://127.0.0.1:1/"), Sluice("recent: {}\n", "--dialect=vmagent")

    def steps(program, path, metric, text):
        data = program.get(path, {"metric": metric, "relabel_configs": text, "format": "json"}).json()
        plain = lambda labels: re.sub(r"\s|[{}]", "", html.unescape(re.sub("<[^>]*>", "", labels)))
        if data["status"] == "error":
            return data["status"]
        of_rules = [s for s in data["steps"] if ": " in s["rule"]]  # vmagent shows what follows the rules as steps, too
        return [(plain(s["inLabels"]), plain(s["outLabels"])) for s in of_rules], plain(data["resultingLabels"]) if "resultingLabels" in data else None
    for path in "/metric-relabel-debug", "/target-relabel-debug":
        for metric in ('{a="x",b="y",__address__="h:1"}', 'm{a="x"}', 'a="x", b="y/X"', "{a=x", '{a=~"x"}'):
            for text in (rules, "[]", "- {action: drop, if: '{a=\"x\"}'}", "- {action: nonsense}", "x: ["):
                wanted = steps(theirs, path, metric, text)
                got = steps(ours, path, metric, text)
                assert got == wanted or (wanted[1] is None and got[0] == wanted[0]), (path, metric, text, got, wanted)


def test_relabeling_of_a_target():
    """A link of /targets leads to the rules and labels of the target, which can be changed; text for curl."""
    sluice = Sluice("""
scrape_configs:
- job_name: j
  scrape_interval: 1m
  static_configs: [{targets: ['127.0.0.1:1']}]
  relabel_configs: [{source_labels: [__address__], target_label: <from>}, {source_labels: [__scheme__], target_label: scheme, regex: (ht)tp}]
  metric_relabel_configs: [{action: drop, source_labels: [job]}]
recent: {}
""".replace("<from>", "from"))
    link = re.search(r"href='(/target-relabel-debug\?id=\w+)'", html_page(sluice, "/targets"))[1]
    page = html_page(sluice, link)
    assert "target_label: from" in page and "__scheme__=&quot;http&quot;" in page and "<b class=up>from=&quot;127.0.0.1:1&quot;</b>" in page, page
    text = sluice.get(link).text
    assert "rule 1:\nsource_labels:\n" in text and 'result: {from="127.0.0.1:1", instance="127.0.0.1:1", job="j", scheme="ht"}\n' in text, text
    assert sluice.get(link.replace("target-", "metric-")).text.endswith("dropped\n\nresult: dropped\n")
    changed = request(sluice.url + link, data={"metric": '{a="1"}', "relabel_configs": "- {target_label: b, replacement: <script>}"}, headers=HTML)
    assert "b=&quot;&lt;script&gt;&quot;" in changed.text and "<script>" not in changed.text and changed.status == 200
    assert sluice.get("/target-relabel-debug?id=0").status == 404
    times_100 = f"- {{source_labels: [a], target_label: a, replacement: '{'$1' * 100}'}}\n"
    assert len(sluice.post("/metric-relabel-debug", {"metric": "{a='x'}", "relabel_configs": times_100 * 2}).text) > 10000
    for wrong, words in (({"metric": "{"}, "metric: "), ({"relabel_configs": "- {regex: '('}"}, "relabel_configs:1: "),
                         ({"relabel_configs": "a: b"}, "expected a list"), ({"relabel_configs": "- {target_label: x}\n" * 201}, "more than 200 rules"),
                         ({"metric": "{" + ",".join(f"a{i}='1'" for i in range(5000)) + "}"}, "more than 4096 labels"),
                         ({"metric": "{a='x'}", "relabel_configs": times_100 * 4}, "rule 4 makes labels of more than 1024 KiB"),
                         ({"metric": "{a='x'}", "relabel_configs": f"- {{source_labels: [{'a, ' * 3000}a], target_label: a}}\n" * 3}, "rule 2 makes")):
        answer = sluice.post("/metric-relabel-debug", wrong)
        assert answer.status in (400, 413) and words in answer.text, (wrong, answer)
        page = sluice.post("/metric-relabel-debug", wrong, headers=HTML)
        assert page.status == answer.status and "<textarea" in page.text


def test_the_response_of_a_target():
    """A link of /targets shows what the target sends to the request of a scrape, as vmagent does; what fails is an error."""
    exporter = ScriptedExporter(series=3)
    exporter.page = lambda n, ms: f"a{{b=\"<i>\"}} {n}\n"
    config = f"""
scrape_configs:
- job_name: j
  scrape_interval: 1h
  headers: ['X-Scope: a']
  authorization: {{credentials: hunter2}}
  params: {{p: [x]}}
  static_configs: [{{targets: ['{exporter.address}']}}]
"""
    sluice, vmagent = Sluice(config, "--dialect=vmagent"), VMAgent(config, "-remoteWrite.url=http://127.0.0.1:1/")
    for program, headers in (sluice, None), (vmagent, HTML):
        path = re.search(r"target_response\?id=\w+", program.get("/targets", headers=HTML).text)[0]
        exporter.asked.clear()
        answer = program.get("/" + path)
        asked = exporter.asked[-1]
        assert answer.status == 200 and re.fullmatch(r'a\{b="<i>"\} \d+\n', answer.text), answer
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8", answer.headers
        assert asked["Authorization"] == "Bearer hunter2" and asked["X-Scope"] == "a", asked
        assert "X-Prometheus-Scrape-Timeout-Seconds" in asked, asked
        exporter.status = 500
        assert program.get("/" + path).status in (400, 502)
        exporter.status = 200
    exporter.gzip = True
    path = "/" + re.search(r"target_response\?id=\w+", sluice.get("/targets", headers=HTML).text)[0]
    assert sluice.get(path, headers=HTML).text.startswith("a{b="), "compressed"
    exporter.status = 500
    answer = sluice.get(path)
    assert answer.status == 502 and "HTTP status 500" in answer.text and "hunter2" not in answer.text, answer
    for id, status in ("0", 404), ("x", 400), ("", 400), ("1" * 17, 400):
        assert sluice.get(f"/target_response?id={id}").status == status, id
        assert "<header>" in sluice.get(f"/target_response?id={id}", headers=HTML).text


def test_only_posts_change_state():
    """GET and HEAD of every path, also with a body: no reload, no end, no sample."""
    sluice = Sluice("scrape_configs: []\nrecent: {}\n", "--web.enable-lifecycle")
    routes = subprocess.run([sluice.program, "--print-routes"], capture_output=True, text=True, timeout=30, check=True).stdout
    paths = sorted({line.rsplit(" ", 1)[1].replace("*", "x") for line in routes.splitlines()})
    assert "/-/quit" in paths and "/api/v1/write" in paths and len(paths) > 60
    bodies = (wire.snappy_compress(wire.write_request([({"__name__": "m"}, [(now_ms(), 1.0)])])), b"m 1\n")
    statuses = {}
    for path in paths:
        for method in ("GET", "HEAD"):
            for body in bodies:
                statuses[method, path] = request(sluice.url + path, data=body, method=method).status
    for path in ("/-/reload", "/-/quit", "/api/v1/write", "/api/v1/push", "/api/v1/import/prometheus"):
        assert statuses["GET", path] == statuses["HEAD", path] == 405, (path, statuses)
    assert sluice.get("/-/ready").status == 200 and "reloaded" not in sluice.log()
    assert sluice.query("count({__name__!=''})")["result"] == [] and sluice.metric("vm_rows_inserted_total") == 0
    assert request(f"{sluice.url}/api/v1/write", {"get_vm_proto_version": "1"}).text == "1"


def test_targets_of_a_pure_proxy():
    """The text has destinations and server groups; a section without entries says which key adds them."""
    sluice = Sluice("server_groups:\n- name: far\n  static_configs: [{targets: ['127.0.0.1:1']}]\n"
                    "remote_write: [{url: 'http://127.0.0.1:1/w', name: long}]\n")
    text = sluice.get("/targets").text
    assert "remote write:\n\tname=long, url=" in text, text
    assert re.search(r', order="in order", full_in=-, free_bytes=\d+, samples_sent=', text), text
    assert "server groups:\n\tgroup=far, url=http://127.0.0.1:1" in text, text
    page = html_page(sluice, "/targets")
    assert "No destinations" not in page and "No server groups" not in page, page
    empty = Sluice("scrape_configs: []\n", name="empty")
    page = html_page(empty, "/targets")
    assert "<code>remote_write:" in page and "<code>server_groups:" in page, page
    assert empty.get("/targets").text == ""


def test_targets_page_leads_to_every_part():
    """Anchors, jobs on other pages, first and last page, the targets that are down."""
    targets = ", ".join(f"'127.0.0.1:1/{i}'" for i in range(401))
    up = ScriptedExporter(series=1)
    sluice = Sluice("global: {scrape_interval: 1s}\nscrape_configs:\n"
                    f"- job_name: many\n  static_configs: [{{targets: [{targets}]}}]\n"
                    f"- job_name: z<b>\n  static_configs: [{{targets: ['{up.address}']}}]\n")
    wait_until(lambda: ">401 down</a>" in html_page(sluice, "/targets"), what="all targets scraped")
    first = html_page(sluice, "/targets")
    for anchor in ("targets", "remote-write", "server-groups"):
        assert f"href='#{anchor}'" in first and f"id={anchor}>" in first, anchor
    links = {word: link.replace("&amp;", "&") for link, word in re.findall(r"<a href='(\?[^']*)'>([^<]*)</a>", first)}
    assert "first" not in links and "z&lt;b&gt; (1/1 up)" in links, links
    last = html_page(sluice, "/targets" + links["last"])
    assert "401 to 402 of 402" in last and ">first</a>" in last and ">last</a>" not in last, last
    page, anchor = links["z&lt;b&gt; (1/1 up)"].split("#")
    assert f"id={anchor}>" in html_page(sluice, "/targets" + page) and f"id={anchor}>" not in first, anchor
    assert "401 shown" in html_page(sluice, "/targets?state=down")
    beyond = html_page(sluice, "/targets?page=99")
    assert "0 to 402 of 402" in beyond and "<a href='?page=3&" in beyond, beyond


def test_targets_page_without_targets_says_what_to_do():
    sluice = Sluice("scrape_configs: []\n")
    assert "Add <code>scrape_configs</code>" in html_page(sluice, "/targets")
    sluice.reconfigure("scrape_configs:\n- job_name: x\n  static_configs: [{targets: []}]\n")
    wait_until(lambda: "The jobs have no targets" in html_page(sluice, "/targets"), what="a job without targets")
    sluice.reconfigure("scrape_configs:\n- job_name: x\n  static_configs: [{targets: ['127.0.0.1:1']}]\n")
    wait_until(lambda: "No target matches the filter. <a href='?'>" in html_page(sluice, "/targets?q=nowhere"),
               what="a filter without match")


def test_auth_keys():
    """As in vmagent: a parameter of the URL or of a form; without a key the endpoint is open."""
    keys = {"config": ["/config", "/api/v1/status/config", "/-/reload/status", "/api/v1/status/reload"],
            "flags": ["/flags", "/api/v1/status/flags"], "metrics": ["/metrics"], "reload": ["/-/reload"]}
    sluice = Sluice("{}", "-configAuthKey=key-of-config", "-flagsAuthKey=key-of-flags", "-metricsAuthKey=key-of-metrics",
                    "-reloadAuthKey=key-of-reload", name="keys")
    for name, paths in keys.items():
        for path in paths:
            send = sluice.post if name == "reload" else sluice.get
            answer = send(path)
            assert answer.status == 401 and answer.text == \
                f"Expected to receive non-empty authKey when -{name}AuthKey is set\n", answer
            answer = send(path + "?authKey=other")
            assert answer.status == 401 and answer.text == f"The provided authKey doesn't match -{name}AuthKey\n", answer
            assert send(path + f"?authKey=key-of-{name}").status == 200, path
    assert sluice.post("/-/reload", b"authKey=key-of-reload",
                       headers={"Content-Type": "application/x-www-form-urlencoded"}).status == 200
    assert "<form" not in html_page(sluice, "/") and sluice.get("/targets").status == 200
    shown = sluice.get("/flags?authKey=key-of-flags").text + sluice.log()
    assert "key-of" not in shown and '-metricsAuthKey="secret"' in shown, shown


def test_small_paths_of_vmagent():
    sluice = Sluice("recent: {}\n", "-memory.allowedPercent=2", name="tenth")
    answer = sluice.get("/favicon.ico")
    assert answer.status == 204 and answer.body == b"", answer
    assert push(f"{sluice.url}/api/v1/push", [({"__name__": "pushed"}, [(now_ms(), 1.0)])]).status == 204
    wait_until(lambda: sluice.query("pushed")["result"])
    limit = sluice.metric("sluice_query_memory_bytes_max")
    other = Sluice("recent: {}\n", "-memory.allowedPercent=4", name="fifth")
    assert 1.9 < other.metric("sluice_query_memory_bytes_max") / limit < 2.1, limit


def test_external_url():
    """As in Prometheus: the path begins the links, the rest replaces the host of targets on this machine."""
    port, exporter = free_port(), ScriptedExporter()
    config = f"""
scrape_configs:
- {{job_name: own, metrics_path: /metrics, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}
- {{job_name: near, static_configs: [{{targets: ['{exporter.address}']}}]}}
"""
    sluice = Sluice(config, "--web.external-url=https://metrics.example:8443/sluice/", "--web.route-prefix=/", port=port)
    assert "href='/sluice/targets'" in html_page(sluice, "/") and "action='/sluice/-/reload'" in html_page(sluice, "/")
    urls = {t["scrapePool"]: (t["scrapeUrl"], t["globalUrl"]) for t in sluice.data("/api/v1/targets")["activeTargets"]}
    assert urls["own"] == (f"http://127.0.0.1:{port}/metrics", "https://metrics.example:8443/metrics"), urls
    assert urls["near"][1] == f"http://metrics.example:{exporter.port}/metrics", urls
    sluice.stop()

    below = Sluice("{}", "--web.external-url=https://metrics.example/sluice", start=False, name="below")
    below.ready_path = "/sluice/-/ready"
    below.start().wait_ready()
    assert below.get("/targets").status == 404 and below.get("/sluice/targets").status == 200
    assert "href='/sluice/targets'" in below.get("/sluice/", headers=HTML).text
