# SPDX-License-Identifier: Apache-2.0
"""Users of listeners, headers, and vmagent's flags for both."""
import http.client
import re
import socket
import threading
import time

import wire
from lib import *
from secure import *

USERS = f"basic_auth_users:\n  alice: {SECRET}\n"
ALICE = ("alice", "secret")


def post_chunked(sluice, path, headers=None):
    """The response to a form with query=1, as text."""
    more = "".join(f"{k}: {v}\r\n" for k, v in (headers or {}).items())
    with socket.create_connection(("127.0.0.1", sluice.port), timeout=10) as s:
        s.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n{more}"
                  "Content-Type: application/x-www-form-urlencoded\r\n\r\n7\r\nquery=1\r\n0\r\n\r\n".encode())
        return s.recv(4000).decode()


def passwords(sluice, user=ALICE):
    return float(re.search(r"^sluice_http_passwords_verified_total (\S+)$", fetch(sluice, "/metrics", user=user).text, re.M)[1])


def test_users():
    """Every endpoint needs one; a refusal is the same whatever is wrong, and tells nothing."""
    sluice = secured(USERS, user=ALICE)
    refusals = [fetch(sluice, path, user=user, headers=headers, data=data)
                for path in ("/", "/metrics", "/-/healthy", "/no/such/path", "/api/v1/query?query=up", "/health")
                for user, headers in ((None, {}), (("alice", "wrong"), {}), (("mallory", "secret"), {}),
                                      (None, {"Authorization": "Bearer secret"}))
                for data in (None, b"x" * 100000)]
    for answer in refusals:
        assert (answer.status, answer.text) == (401, "Unauthorized\n"), answer
        assert answer.headers["WWW-Authenticate"].startswith("Basic "), answer.headers
        assert "Location" not in answer.headers
    for path in ("/api/v1/query?query=1", "/api/v1/write", "/-/reload", "/no/such/path"):
        assert post_chunked(sluice, path).startswith("HTTP/1.1 401 Unauthorized\r\n"), path
    assert post_chunked(sluice, "/api/v1/query?query=1", basic(*ALICE)).startswith("HTTP/1.1 200 ")
    assert fetch(sluice, "/no/such/path", user=ALICE).status == 404
    assert fetch(sluice, "/api/v1/query?query=up", user=ALICE).status == 200
    now = now_ms()
    body = wire.snappy_compress(wire.write_request([({"__name__": "m"}, [(now, 1.0)])]))
    push_headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
    assert fetch(sluice, "/api/v1/write", user=("alice", "guess"), data=body, headers=push_headers).status == 401
    assert fetch(sluice, "/api/v1/write", user=ALICE, data=body, headers=push_headers).status == 204


def test_the_access_log_has_the_user():
    """Only one whose password was right, in all formats."""
    for format, known, unknown in (("combined", "127.0.0.1 - alice [", "127.0.0.1 - - ["), ("json", '"user":"alice"', '"user":""'),
                                   ("logfmt", 'user="alice"', 'user=""')):
        sluice = secured(USERS, "", f"--web.access-log={folder()}/{format}.log", f"--web.access-log-format={format}", user=ALICE,
                         name=format)
        fetch(sluice, "/known", user=ALICE)
        fetch(sluice, "/unknown", user=("mallory", "secret"))
        def lines(path):
            with open(f"{folder()}/{format}.log", encoding="utf-8") as f:
                return [line for line in f if path in line]
        wait_until(lambda: lines("/unknown"), 10, "the log")
        assert known in lines("/known")[0] and unknown in lines("/unknown")[0], lines("known")
        assert "mallory" not in "".join(lines(""))


def test_a_password_is_verified_once():
    """However many connections send it at the same time, with a body or without, and after a reload."""
    sluice = secured(USERS, user=ALICE)
    before = passwords(sluice)
    assert before == 1
    fetch(sluice, "/-/reload", user=ALICE, data=b"")
    statuses = []
    def client():
        for data in (None, b"", b"query=up"):
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            statuses.append(fetch(sluice, "/api/v1/query?query=1", user=ALICE, data=data, headers=headers).status)
    threads = [threading.Thread(target=client) for _ in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert statuses == [200] * 60, statuses
    assert passwords(sluice) == before


def test_wrong_passwords_do_not_hold_others():
    """A crowd that guesses, at a cost of 40 ms and more each: known users are served at once."""
    sluice = secured(USERS + "  bob: $2y$10$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5sa2u\n", user=ALICE)
    stop, statuses = threading.Event(), []
    def guess(i):
        while not stop.is_set():
            statuses.append(fetch(sluice, "/", user=("bob", f"{i}-{len(statuses)}")).status)
    threads = [threading.Thread(target=guess, args=(i,)) for i in range(16)]
    for t in threads:
        t.start()
    began = time.monotonic()
    for _ in range(50):
        assert fetch(sluice, "/-/healthy", user=ALICE).status == 200
    took = time.monotonic() - began
    wait_until(lambda: 503 in statuses and 401 in statuses, 20)
    stop.set()
    for t in threads:
        t.join()
    assert set(statuses) <= {401, 503}, set(statuses)
    assert took < 10, took


def test_users_change_with_the_file():
    sluice = secured(USERS, user=ALICE)
    put_file(sluice.web_path, f"basic_auth_users:\n  alice: {OTHER}\n  bob: {SECRET}\n")
    wait_until(lambda: fetch(sluice, "/", user=("bob", "secret")).status == 200, 15, "the new user")
    assert fetch(sluice, "/", user=ALICE).status == 401
    assert fetch(sluice, "/", user=("alice", "other")).status == 200
    connection = http.client.HTTPConnection("127.0.0.1", sluice.port, timeout=10)
    def status():
        connection.request("GET", "/", headers=basic("bob", "secret"))
        answer = connection.getresponse()
        answer.read()
        return answer.status
    assert status() == 200
    put_file(sluice.web_path, USERS)
    wait_until(lambda: status() == 401, 15, "also on connections that are open")


def test_headers():
    sluice = secured("http_server_config:\n  http2: true\n  headers:\n    Strict-Transport-Security: max-age=31536000\n"
                     "    X-Frame-Options: sameorigin\n    Content-Security-Policy: \"default-src 'none'\"\n"
                     "    X-XSS-Protection: ''\n")
    page, api = fetch(sluice, "/targets"), fetch(sluice, "/api/v1/query?query=1")
    for answer in (page, api, fetch(sluice, "/no")):
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert answer.headers.get_all("X-Frame-Options") == ["sameorigin"]
        assert answer.headers.get_all("Content-Security-Policy") == ["default-src 'none'"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "X-XSS-Protection" not in answer.headers


def test_flags_of_vmagent():
    """Each address has its own certificate; one user for all; /health and endpoints with a key are open."""
    ca, other = Authority(), Authority("other")
    ca.issue("one")
    other.issue("two")
    ca.issue("client", "DNS:a", "clientAuth")
    ports = [free_port() for _ in range(3)]
    write_file("password", "pass:word\n")
    sluice = Sluice("", "-httpListenAddr=" + ",".join(f"127.0.0.1:{p}" for p in ports[1:]), "-tls=true,true,false",
                    "-tlsCertFile=one.pem,two.pem,", "-tlsKeyFile=one.key,two.key,", "-mtls=false,true", "-mtlsCAFile=,ca.pem",
                    "-tlsMinVersion=TLS13", "-httpAuth.username=alice", f"-httpAuth.password=file://{folder()}/password",
                    "-metricsAuthKey=key", "-http.header.hsts=max-age=1", "-http.header.frameOptions=SAMEORIGIN",
                    "-http.header.csp=default-src 'none'", port=ports[0], config_flag="--promscrape.config", ready=False)
    user = ("alice", "pass:word")
    wait_until(lambda: fetch(sluice, "/-/ready", ca.context(), user).status == 200, 30, "ready")
    trusts_two = other.context("client")
    answers = [fetch(sluice, "/api/v1/query?query=1", context, user, port=port)
               for context, port in zip((ca.context(), trusts_two, None), ports)]
    assert [a.status for a in answers] == [200] * 3, answers
    assert {a.headers["Content-Security-Policy"] for a in answers} == {"default-src 'none'"}
    assert answers[0].headers["Strict-Transport-Security"] == "max-age=1" and answers[0].headers["X-Frame-Options"] == "SAMEORIGIN"
    assert refused(sluice, "/", other.context(), user, port=ports[1])
    for path, status in (("/", 401), ("/-/healthy", 401), ("/health", 200), ("/ping", 204), ("/metrics?authKey=key", 200),
                         ("/metrics", 401)):
        assert fetch(sluice, path, port=ports[2]).status == status, path
    assert fetch(sluice, "/", port=ports[2], user=("alice", "pass:wor")).status == 401
    flags = fetch(sluice, "/flags", port=ports[2], user=user).text
    assert "pass:word" not in flags and "file://" not in flags
    write_file("password", "another\n")
    wait_until(lambda: fetch(sluice, "/", port=ports[2], user=("alice", "another")).status == 200, 15, "the new password")


def test_wrong_flags_are_named():
    Authority().issue("one")
    for flags, error in [
            (("-tls",), "--tlsCertFile: is required with --tls"),
            (("-tls", "-tlsCertFile=one.pem"), "--tlsKeyFile: is required with --tls"),
            (("-tls", "-tlsCertFile=no.pem", "-tlsKeyFile=one.key"), "--tlsCertFile: no.pem: No such file"),
            (("-tls", "-tlsCertFile=one.pem", "-tlsKeyFile=ca.key"), "--tlsKeyFile: the key does not belong"),
            (("-tls=maybe",), "--tls: "),
            (("-tls", "-tlsCertFile=one.pem", "-tlsKeyFile=one.key", "-tlsMinVersion=SSL3"), "--tlsMinVersion: \"SSL3\""),
            (("-tls", "-tlsCertFile=one.pem", "-tlsKeyFile=one.key", "-tlsCipherSuites=RC4"), "--tlsCipherSuites: \"RC4\""),
            (("-tls", "-mtls", "-tlsCertFile=one.pem", "-tlsKeyFile=one.key"), "--mtlsCAFile: is required with --mtls"),
            (("-mtls",), "--mtls: requires --tls"),
            (("-httpAuth.password=x",), "--httpAuth.password: requires --httpAuth.username"),
            (("-httpAuth.username=x",), "--httpAuth.username: requires --httpAuth.password"),
            (("-httpAuth.username=x", "-httpAuth.password=file://nowhere"), "--httpAuth.password: nowhere: No such file"),
            (("-httpAuth.username=x", "-httpAuth.password=http://127.0.0.1:1/b"), "--httpAuth.password: GET http://127.0.0.1:1/b: ")]:
        log = start_error(*flags)
        assert error in log, (flags, log)


def test_secrets_of_listeners_appear_nowhere():
    ca = Authority()
    ca.issue("server")
    with open(f"{folder()}/server.key", encoding="utf-8") as f:
        key = f.read()
    inline = "".join(f"    {line}\n" for line in key.splitlines())
    config = f"tls_server_config:\n  cert_file: server.pem\n  key: |\n{inline}"
    sluice = Sluice(config, f"--web.config.file={write_file('web.yml', USERS)}", "-httpAuth.username=bob",
                    "-httpAuth.password=flag-secret", "--log.level=debug", ready=False)
    for user in (("bob", "flag-secret"), ALICE):
        wait_until(lambda: fetch(sluice, "/-/ready", ca.context(), user).status == 200, 30, "ready")
    paths = ("/config", "/flags", "/metrics", "/api/v1/status/config", "/api/v1/status/flags", "/targets", "/")
    shown = [sluice.log()] + [fetch(sluice, path, ca.context(), ALICE).text for path in paths]
    put_file(sluice.config_path, config.replace(key.splitlines()[1], "broken"))
    shown.append(fetch(sluice, "/-/reload", ca.context(), ALICE, data=b"").text + sluice.log())
    for text in shown:
        assert "flag-secret" not in text and key.splitlines()[1] not in text and key.splitlines()[2] not in text, text
        assert SECRET not in text and "Basic YWx" not in text, text
    assert "key: <secret>" in shown[1], shown[1]


def test_promxys_section():
    """tls_server_config in the main file, with paths from its directory."""
    ca = Authority()
    ca.issue("server")
    sluice = Sluice("tls_server_config: {cert_file: server.pem, key_file: server.key}\n", ready=False)
    wait_until(lambda: fetch(sluice, "/-/ready", ca.context()).status == 200, 30, "ready")
    log = start_error(config="tls_server_config: {cert_file: server.pem, key_file: ca.key}\n")
    assert "sluice.yml:1: tls_server_config.key_file: ca.key: the key does not belong" in log, log
    log = start_error(config="tls_server_config: {cert_file: server.pem, key_file: server.key}\n",
                      web="tls_server_config: {cert_file: server.pem, key_file: server.key}\n")
    assert "TLS is set twice" in log, log


def test_a_destination_over_tls_that_is_the_program_itself():
    Authority().issue("one")
    port = free_port()
    flags = ["-tls", "-tlsCertFile=one.pem", "-tlsKeyFile=one.key", f"-remoteWrite.url=https://127.0.0.1:{port}/api/v1/write"]
    sluice = Sluice("", *flags, port=port, ready=False)
    assert sluice.wait_exit(20) == 1 and "url is the address of this program" in sluice.log(), sluice.log()


CLASSES = f"""
basic_auth_users: {{reader: {SECRET}, writer: {SECRET}, admin: {SECRET}}}
route_classes:
  query: {{users: [reader, admin]}}
  push: {{users: [writer]}}
  admin: {{users: [admin]}}
  health: {{open: true}}
"""
OF_CLASSES = {"query": "/api/v1/query?query=1", "push": "/api/v1/write?get_vm_proto_version=1", "admin": "/api/v1/status/runtimeinfo", "page": "/targets",
              "health": "/-/healthy"}


def test_users_of_classes():
    """Each user may use its endpoints only; a class that is not named is for all users."""
    sluice = secured(CLASSES, "recent: {}\n")
    allowed = {"reader": {"query", "page", "health"}, "writer": {"push", "page", "health"},
               "admin": {"query", "admin", "page", "health"}, None: {"health"}}
    for user, classes in allowed.items():
        for name, path in OF_CLASSES.items():
            answer = fetch(sluice, path, user=user and (user, "secret"))
            wanted = 200 if name in classes else 403 if user else 401
            assert answer.status == wanted, (user, name, answer)
            assert fetch(sluice, path, user=(user or "reader", "wrong")).status == (200 if name == "health" else 401), (user, name)
    answer = fetch(sluice, "/metrics", user=("writer", "secret"))
    assert (answer.status, answer.text) == (403, "this user may not use this endpoint\n")
    assert post_chunked(sluice, "/api/v1/query?query=1", basic("writer", "secret")).startswith("HTTP/1.1 403 ")
    assert fetch(sluice, "/-/quit", user=("reader", "secret"), data=b"").status == 403
    put_file(sluice.web_path, CLASSES.replace("push: {users: [writer]}", "push: {users: [reader]}"))
    wait_until(lambda: fetch(sluice, OF_CLASSES["push"], user=("reader", "secret")).status == 200, 15, "with the file")
    assert fetch(sluice, OF_CLASSES["push"], user=("writer", "secret")).status == 403
    for classes, error in (("push: {users: [nobody]}", 'web.yml:2: route_classes.push: "nobody" is not in basic_auth_users'),
                           ("push: {users: [alice], open: true}", "route_classes.push: open excludes users"),
                           ("write: {open: true}", "write")):
        assert error in start_error("--dryRun", web=f"{USERS.replace(chr(10), '')[:18]} {{alice: {SECRET}}}\nroute_classes: {{{classes}}}\n")
    assert "route_classes.push: requires basic_auth_users" in start_error("--dryRun", web="route_classes: {push: {open: true}}\n")


def test_classes_of_listeners():
    """An address serves the classes that are named for it, and health checks; the others do not exist there."""
    second, third = free_port(), free_port()
    sluice = Sluice("recent: {}\n", f"--web.listen-address=127.0.0.1:{second},127.0.0.1:{third}",
                    "--web.listen-classes=query+page,push,")
    served = {sluice.port: {"query", "page", "health"}, second: {"push", "health"}, third: set(OF_CLASSES)}
    for port, classes in served.items():
        for name, path in OF_CLASSES.items():
            answer = fetch(sluice, path, port=port)
            assert answer.status == (200 if name in classes else 404), (port, name, answer)
            if name not in classes:
                assert answer.text == "404 page not found\n"
    assert fetch(sluice, "/-/reload", port=second, data=b"").status == 404
    assert "--web.listen-classes: \"reads\" is none of query, push, admin, page, health" in start_error("--web.listen-classes=reads")
