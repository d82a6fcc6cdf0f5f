# SPDX-License-Identifier: Apache-2.0
"""A secret in every place that takes one, and no place that shows one.

The peers are one server that repeats each request, as a proxy in debug mode does: in the body of an error, in an error
or a warning of the Prometheus API, on a page that cannot be parsed.
"""
import html
import json
import os
import re
import subprocess
import time
import urllib.parse

import lib
from fakes import Fake
from lib import Sluice, request, wait_until, write_file
from test_config_sources import Texts

KEY = "-----BEGIN PRIVATE KEY-----\\n%s\\n-----END PRIVATE KEY-----\\n"


class Echo(Fake):
    """What it answers depends on the first part of the path."""

    def answer(self, request, body):
        text = f"{request.command} {request.path} HTTP/1.1\r\n{request.headers}{body.decode(errors='replace')}"
        text += urllib.parse.unquote_plus(request.path)
        kind = urllib.parse.urlsplit(request.path).path.split("/")[1]
        if kind == "page":
            lines = text.replace("\n", " ").replace("\r", "")
            return request.reply(200, f"{lines[:300]}\n".encode(), Content_Type="text/plain")
        if kind == "error":
            return request.reply(422, json.dumps({"status": "error", "errorType": "x", "error": text}).encode())
        if kind == "warning":
            warned = {"status": "success", "data": {"resultType": "vector", "result": []}, "warnings": [text]}
            if not request.path.split("?")[0].endswith(("/query", "/query_range")):
                warned["data"] = []
            return request.reply(200, json.dumps(warned).encode())
        if kind == "html":
            return request.reply(502, f"<pre>{html.escape(text)}</pre>".encode())
        return request.reply(400 if kind == "reject" else 500, text.encode())


class Secrets:
    def __init__(self, environment):
        self.environment, self.given, self.texts = environment, {}, Texts()

    def text(self, where):
        """Some have characters that are escaped on their way."""
        odd = ["", "/+", "&", "\"", "%"][len(self.given) % 5] if where.startswith("odd") else ""
        self.given[where] = f"S{len(self.given):02d}{odd}{os.urandom(6).hex()}"
        return self.given[where]

    def __call__(self, where):
        """In the vmagent dialect it comes from the environment."""
        text = self.text(where)
        if not self.environment:
            return text
        name = f"SLUICE_TEST_{len(self.given)}"
        os.environ[name] = text
        return f"%{{{name}}}"

    def quoted(self, where):
        """For the query or the login of a URL."""
        return urllib.parse.quote(self.text(f"odd {where}"), safe="")

    def file(self, where):
        return write_file(f"secret{len(self.given)}", self.text(where) + "\n")

    def url(self, where, text):
        """Of a text, with a login and a parameter."""
        path = f"/{len(self.given)}?token={self.quoted(where + ' query')}"
        self.texts.texts[path] = text
        return f"http://tu:{self.quoted(where + ' login')}@{self.texts.address}{path}"

    def last(self):
        """As it was quoted."""
        return urllib.parse.quote(list(self.given.values())[-1], safe="")

    def in_text(self, text):
        forms = {where: (s[:12], s, urllib.parse.quote(s, safe=""), html.escape(s), json.dumps(s)[1:-1])
                 for where, s in self.given.items()}
        return [where for where, all_forms in forms.items() if any(f in text for f in all_forms)]


def target_file(s, echo):
    """One to be scraped, and two that cannot be."""
    return write_file("targets.yml", f"""
- targets: ['http://u:{s.quoted("file login")}@{echo}/page?token={s.quoted("file query")}']
  labels: {{__param_secret: '{s.text("file label")}'}}
- targets: ['http://u:{s.quoted("bad port")}@{echo}bad/x', 'u:{s.quoted("bad login")}@a b']
""")


def configuration(s, echo):
    target = f"static_configs: [{{targets: ['{echo}']}}]"
    more = f"- {{job_name: further, bearer_token: '{s('further bearer')}', {target}}}"
    return f"""
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_config_files: ['{s.url("further jobs", more)}']
scrape_configs:
- {{job_name: token_url, bearer_token_file: '{s.url("token", s.text("token of a URL"))}', {target}}}
- {{job_name: lost_url, basic_auth: {{username: u, password_file: 'http://u:{s.quoted("lost login")}@127.0.0.1:1/x?key={s.quoted("lost query")}'}}, {target}}}
- {{job_name: ca_url, scheme: https, tls_config: {{ca_file: '{s.url("ca", s.text("text of a ca"))}'}}, {target}}}
- {{job_name: header_url, http_headers: {{X-U: {{files: ['{s.url("header", s.text("header of a URL"))}']}}}}, {target}}}
- {{job_name: basic, basic_auth: {{username: someone, password: '{s("scrape password")}'}}, {target}}}
- {{job_name: bearer, bearer_token: '{s("scrape bearer")}', {target}}}
- {{job_name: bearer_file, bearer_token_file: '{s.file("scrape bearer file")}', {target}}}
- {{job_name: credentials, authorization: {{credentials: '{s("scrape credentials")}'}}, {target}}}
- {{job_name: files, basic_auth: {{username: u, password_file: '{s.file("scrape password file")}'}}, {target}}}
- job_name: headers
  headers: ['X-Api-Key: {s("scrape headers")}', 'Authorization: Token {s("header with a scheme")}']
  http_headers:
    X-Other:
      values: ['{s("http_headers values")}']
      secrets: ['{s("http_headers secrets")}']
      files: ['{s.file("http_headers files")}']
  {target}
- {{job_name: params, metrics_path: /page, params: {{token: ['{s("params")}'], x: [y]}}, {target}}}
- job_name: labels
  static_configs: [{{targets: ['{echo}'], labels: {{__param_api_key: '{s("__param label")}'}}}}]
- job_name: userinfo
  static_configs:
  - targets: ['http://user:{s.quoted("target login")}@{echo}/page?api_key={s.quoted("target query")}',
              'http://{s.quoted("target user")}@{echo}/x', '{s.quoted("bare login")}:x@{echo}']
- {{job_name: proxy, proxy_url: 'http://pu:{s.quoted("scrape proxy")}@{echo}', {target}}}
- {{job_name: odd_proxy, proxy_url: 'ftp://pu:{s.quoted("ftp proxy")}@{echo}', {target}}}
- {{job_name: bad_proxy, proxy_url: 'http://pu:{s.quoted("bad proxy")}@{echo}:bad', {target}}}
- {{job_name: files_sd, file_sd_configs: [{{files: ['{target_file(s, echo)}']}}]}}
- {{job_name: twice, static_configs: [{{targets: ['u:{s.quoted("twice")}@{echo}', 'u:{s.last()}@{echo}']}}]}}
- {{job_name: oauth2, oauth2: {{client_id: a, client_secret: '{s("oauth2")}', token_url: 'http://{echo}'}}, {target}}}
- job_name: tls
  scheme: https
  tls_config: {{key: "{KEY % s("tls key")}", cert: "x", insecure_skip_verify: true}}
  {target}
remote_write:
- url: http://user:{s.quoted("write login")}@{echo}/w?token={s.quoted("write query")}
  headers: ['X-Scope: {s("write headers")}']
- {{name: two, url: 'http://{echo}/reject', basic_auth: {{username: u, password: '{s("write password")}'}}}}
- name: three
  url: http://{echo}/html
  proxy_url: http://pu:{s.quoted("write proxy")}@{echo}
  bearer_token: '{s("write bearer")}'
server_groups:
""" + "".join(f"""
- name: {kind}
  static_configs: [{{targets: ['me:{s.quoted(kind + " login")}@{echo}']}}]
  path_prefix: /{kind}
  downgrade_error: true
  remote_read: false
  kind: prometheus
  query_params: {{apikey: ['{s(kind + " query_params")}']}}
  http_headers: {{X-K: {{secrets: ['{s(kind + " group header")}'], files: ['{s.file(kind + " group header file")}']}}}}
  http_client:
    authorization: {{credentials: '{s(kind + " group credentials")}'}}
    http_headers: {{X-L: {{values: ['{s(kind + " client header")}']}}}}
""" for kind in ("error", "warning", "html", "text"))


def flags(s, echo):
    return [f"-remoteWrite.url=http://fu:{s.quoted('flag login')}@{echo}/f?password={s.quoted('flag query')}",
            "-remoteWrite.basicAuth.username=u", f"-remoteWrite.basicAuth.password={s('flag password')}",
            f"-remoteWrite.headers=X-F: {s('flag headers')}^^X-G: {s('flag header 2')}",
            f"-remoteWrite.proxyURL=http://p:{s.quoted('flag proxy')}@{echo}",
            f"-pushmetrics.url=http://u:{s('pushmetrics')}@127.0.0.1:1/",
            f"-remoteWrite.oauth2.clientSecret={s('flag oauth2')}",
            "--accept-inert=remoteWrite.oauth2.clientSecret", "--log.level=debug",
            f"-remoteWrite.urlRelabelConfig=,{s.url('rules', '[]')}", "-envflag.enable", "-envflag.prefix=SLUICE_TEST_",
            "-remoteWrite.retryMinInterval=50ms"]


def broken(config):
    """Files that a reload refuses, each for another reason."""
    yield config + "broken: [\n"
    for old, new in (("scrape_interval: 1s", "scrape_interval: nonsense"), ("http://user:", "htp://user:"),
                     ("http://user:", "http://us er:"), ("bearer_token: ", "bearer_tokn: "),
                     ("bearer_token: '", "bearer_token: {x: '"), ("'X-Api-Key: ", "'X-Api-Key "),
                     ("'X-Api-Key: ", "'X-Api-Key=="), ("password: '", "password: *"),
                     ("password: '", "password: |\n\n  "), ("['me:", "['http://me:"), ("['me:", "['m e:"),
                     ("apikey: [", "apikey: [["), ("basic_auth: {username: u, password: ", "basic_auth: {x: "),
                     ("credentials: ", "credentials_file: /x, credentials: "), ("token: [", "token: {a: [")):
        assert old in config, old
        yield config.replace(old, new)


def readings(sluice):
    """(what, text) of everything that can be asked for, read from the table of routes."""
    with open(f"{lib.ROOT}/gateway/routes.c", encoding="utf-8") as f:
        paths = re.findall(r'\{(?:READ|FORM|HTTP_GET)\b[^"]*"([^"]+)"', f.read())
    assert len(paths) > 30
    now = time.time()
    more = {"query": "up", "match[]": "up", "start": now - 60, "end": now, "step": 15, "state": "any"}
    for path in paths:
        if path == "/-/reload":
            continue
        for accept in ("text/html", "*/*"):
            a = sluice.get(path.replace("*", "instance"), more, headers={"Accept": accept})
            yield f"{path} ({accept})", a.text + str(a.headers)
    for name in ("error", "warning", "html", "text"):
        yield f"query of {name}", sluice.get("/api/v1/query", {"query": f"x_{name}[5m]"}).text


def check_only(sluice, *more):
    run = subprocess.run(sluice.command + ["--check-config", *more], capture_output=True, text=True, timeout=60, check=False)
    return run.stdout + run.stderr


def command(sluice, *words):
    """`sluice config ...` with the flags of the program."""
    run = subprocess.run([sluice.program, "config", *words], capture_output=True, text=True, timeout=60, check=False)
    return run.stdout + run.stderr


def of_commands(s, sluice, config):
    """What is printed of the configuration, and of its difference from one with other secrets."""
    flags = sluice.command[1:]
    old, new = s.text("a changed password"), s.text("a changed login")
    other = write_file("other.yml", config.replace("password: '", f"password: '{old}").replace("http://user:", f"http://user:{new}"))
    others = [flag for flag in flags if not flag.startswith((f"--config.file={sluice.config_path}", "-promscrape.config="))]
    name = "-promscrape.config" if s.environment else "--config.file"
    yield "config print", command(sluice, "print", *flags)
    yield "config diff", command(sluice, "diff", *flags, "--", f"{name}={other}", *others)
    yield "--check-reachability", check_only(sluice, "--check-reachability")


def check(s, config, echo, *more, **how):
    os.environ["SLUICE_TEST_remoteWrite_bearerToken"] = ","  # of no destination, but with the flag it is read
    os.environ["SLUICE_TEST_pprofAuthKey"] = s.text("a key in the environment")
    sluice = Sluice(config, *flags(s, echo), *more, **how)
    wait_until(lambda: sluice.metric("vmagent_remotewrite_errors_total") >= 4, what="failed writes")
    if not s.environment:  # with the flags of vmagent an invalid line is skipped
        wait_until(lambda: "line 1: " in sluice.get("/targets").text, what="a page that cannot be parsed")
    list(readings(sluice))  # the servers' last errors are known from now on
    seen = dict(readings(sluice))
    for name, words in (("error", "HTTP 422"), ("warning", "POST /warning/api"), ("html", "<pre>"), ("text", "HTTP 500")):
        notes = json.loads(seen[f"query of {name}"])["warnings"]
        assert any("<secret>" in n and words in n for n in notes), notes
    assert seen["/targets (*/*)"].count("<secret>") > 5, seen["/targets (*/*)"]
    assert len(re.findall(r'\tname=.*last_error=".*"\n', seen["/targets (*/*)"])) == 4  # a line each
    seen.update(of_commands(s, sluice, config))
    assert "differs in a part that is not shown" in seen["config diff"] and "bearer_token: <secret>" in seen["config print"]
    assert "error: " in seen["--check-reachability"], seen["--check-reachability"]
    for i, text in enumerate(broken(config)):
        answer = sluice.reconfigure(text)
        assert answer.status == 500, f"{i}: {answer}"
        seen[f"reload {i}"] = answer.text
        seen[f"--check-config {i}"] = check_only(sluice)
        seen[f"config print {i}"] = command(sluice, "print", *sluice.command[1:])
        seen[f"messages of reload {i}"] = sluice.get("/-/reload/status").text
        if i == 0:
            seen.update((f"{what} after a failed reload", t) for what, t in readings(sluice))
    assert sluice.reconfigure(config).status == 200
    sluice.kill9()  # a stop would wait for the servers
    seen["the log"] = sluice.log()
    for where, folders, files in os.walk(sluice.data_folder):
        seen[f"names in {where}"] = " ".join(folders + files)
        for f in files:
            with open(f"{where}/{f}", "rb") as opened:
                seen[f"bytes of {where}/{f}"] = opened.read().decode("latin-1")
    leaks = {what: found for what, text in seen.items() for found in [s.in_text(text)] if found}
    assert not leaks, f"{len(leaks)} of {len(seen)} places: " + "; ".join(f"{k}: {v}" for k, v in leaks.items())
    return seen


def test_secrets_appear_nowhere():
    echo = Echo()
    s = Secrets(environment=False)
    seen = check(s, configuration(s, echo.address), echo.address)
    assert "username: someone" in seen["/config (*/*)"]  # as in Prometheus, user names are shown
    assert "user:" not in seen["/config (*/*)"]
    assert "url: 4:secret-url" in seen["/config (*/*)"] and "/w?token=xxxxx" in seen["/config (*/*)"]
    assert "name=4:secret-url, url=secret-url," in seen["/targets (*/*)"], seen["/targets (*/*)"]
    assert 'vmagent_remotewrite_queues{url="4:secret-url"}' in seen["/metrics (*/*)"]
    assert " name=4:secret-url " in seen["the log"]


def test_secrets_from_the_environment_appear_nowhere():
    echo = Echo()
    s = Secrets(environment=True)
    seen = check(s, configuration(s, echo.address), echo.address, "-remoteWrite.showURL",
                 config_flag="-promscrape.config")
    url = f"http://xxxxx:xxxxx@{echo.address}/f?password=xxxxx"
    assert f"url: {url}" in seen["/config (*/*)"] and f"name={url}, url={url}," in seen["/targets (*/*)"]
    assert f'vmagent_remotewrite_queues{{url="{url}"}}' in seen["/metrics (*/*)"]
