# SPDX-License-Identifier: Apache-2.0
"""TLS of listeners: versions, cipher suites, client certificates, reloads, and clients that are slow with it."""
import http.client
import os
import re
import signal
import socket
import subprocess
import time

from lib import *
from secure import *

# Of "secret", with cost 10.
SLOW = "$2y$10$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5sa2u"

SERVER = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"
MUTUAL = SERVER + "  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n"


def authority():
    ca = Authority()
    ca.issue("server")
    return ca


def shaken(sluice, *options):
    """Whether openssl completes a handshake, and its output."""
    p = subprocess.run(["openssl", "s_client", "-connect", sluice.address, "-CAfile", f"{folder()}/ca.pem", *options],
                       input=b"", capture_output=True, timeout=20)
    text = (p.stdout + p.stderr).decode(errors="replace")
    return "Cipher is (NONE)" not in text and "Cipher is" in text and "alert" not in text, text


def serial(sluice, ca):
    """Of the certificate that is served."""
    with socket.create_connection(("127.0.0.1", sluice.port), timeout=10) as s:
        with ca.context().wrap_socket(s, server_hostname="127.0.0.1") as tls:
            return tls.getpeercert()["serialNumber"]


def test_old_versions_and_weak_ciphers_are_refused():
    ca = Authority()
    ca.issue("server", key=RSA)
    sluice = secured(SERVER, context=ca.context())
    for options in (("-tls1_2",), ("-tls1_3",), ("-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"),
                    ("-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"), ("-groups", "P-256"), ("-groups", "X25519")):
        ok, text = shaken(sluice, *options)
        assert ok, (options, text)
    for options in (("-tls1", "-cipher", "ALL:@SECLEVEL=0"), ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
                    ("-tls1_2", "-cipher", "AES128-GCM-SHA256"), ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA:@SECLEVEL=0"),
                    ("-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"), ("-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"),
                    ("-tls1_2", "-cipher", "NULL:eNULL:@SECLEVEL=0")):
        ok, text = shaken(sluice, *options)
        assert not ok, (options, text)


def test_versions_suites_and_curves_can_be_chosen():
    ca = Authority()
    ca.issue("server", key=RSA)
    sluice = secured(SERVER + "  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "
                     "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n  curve_preferences: [CurveP384]\n", context=ca.context())
    ok, text = shaken(sluice)
    assert ok and "ECDHE-RSA-AES256-GCM-SHA384" in text and "TLSv1.2" in text, text
    for options in (("-tls1_3",), ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"), ("-groups", "P-256")):
        ok, text = shaken(sluice, *options)
        assert not ok, (options, text)
    put_file(sluice.web_path, SERVER + "  min_version: TLS13\n")
    assert fetch(sluice, "/-/reload", ca.context(), data=b"").status == 200
    assert shaken(sluice, "-tls1_3")[0]
    assert not shaken(sluice, "-tls1_2")[0]


def test_client_certificates():
    """Signed by another CA, without the right name, for another purpose, or none: no response of any kind."""
    ca, stranger = authority(), Authority("stranger")
    ca.issue("client", "DNS:scraper.local", "clientAuth")
    ca.issue("address", "IP:192.0.2.7", "clientAuth")
    ca.issue("unlisted", "DNS:other.local", "clientAuth")
    stranger.issue("foreign", "DNS:scraper.local", "clientAuth")
    sluice = secured(MUTUAL + "  client_allowed_sans: [scraper.local, 192.0.2.7]\n", context=ca.context("client"))
    assert fetch(sluice, "/-/healthy", ca.context("address")).status == 200
    for client in (None, "unlisted", "foreign", "server"):
        assert refused(sluice, "/-/healthy", ca.context(client)), client
    plain = fetch(sluice, "/-/healthy")
    assert plain.status == 400 and plain.text == "this listener expects TLS: use https in the URL", plain
    assert sluice_metric(sluice, ca.context("client"), "sluice_http_tls_unused_total") >= 5


def sluice_metric(sluice, context, name):
    return float(re.search(rf"^{re.escape(name)} (\S+)$", fetch(sluice, "/metrics", context).text, re.M)[1])


def test_certificates_that_are_not_verified():
    """The kinds that ask for a certificate without verifying it, and that verify only one that is there."""
    ca, stranger = authority(), Authority("stranger")
    ca.issue("client", "DNS:a", "clientAuth")
    stranger.issue("foreign", "DNS:a", "clientAuth")
    served = {"RequestClientCert": [None, "foreign", "client"], "RequireAnyClientCert": ["foreign", "client"],
              "RequireClientCert": ["foreign", "client"], "VerifyClientCertIfGiven": [None, "client"],
              "RequireAndVerifyClientCert": ["client"]}
    sluice = secured(SERVER, context=ca.context())
    for kind, clients in served.items():
        put_file(sluice.web_path, SERVER + f"  client_ca_file: ca.pem\n  client_auth_type: {kind}\n")
        os.kill(sluice.p.pid, signal.SIGHUP)
        probe = clients[-1]
        absent = next((c for c in (None, "foreign", "client") if c not in clients), "none")
        def in_force():
            assert fetch(sluice, "/-/healthy", ca.context(probe)).status == 200
            return absent == "none" and "reload" in sluice.log() or refused(sluice, "/-/healthy", ca.context(absent))
        if kind != "RequestClientCert":
            wait_until(in_force, 15, kind)
        for client in (None, "foreign", "client"):
            if client in clients:
                assert fetch(sluice, "/-/healthy", ca.context(client)).status == 200, (kind, client)
            else:
                assert refused(sluice, "/-/healthy", ca.context(client)), (kind, client)


def test_names_of_certificates_that_are_not_verified():
    """client_allowed_sans holds for each kind that asks for a certificate, and for certificates that are there."""
    ca, stranger = authority(), Authority("stranger")
    stranger.issue("named", "DNS:scraper.local", "clientAuth")
    stranger.issue("unnamed", "DNS:other.local", "clientAuth")
    for kind, served in (("RequireAnyClientCert", ["named"]), ("RequestClientCert", ["named", None])):
        sluice = secured(SERVER + f"  client_auth_type: {kind}\n  client_allowed_sans: [scraper.local]\n", context=ca.context("named"))
        for client in ("named", "unnamed", None):
            if client in served:
                assert fetch(sluice, "/-/healthy", ca.context(client)).status == 200, (kind, client)
            else:
                assert refused(sluice, "/-/healthy", ca.context(client)), (kind, client)
        sluice.stop()


def test_replaced_certificates_are_served():
    """Without a signal, in about two seconds; a connection that is open goes on, and a broken file changes nothing."""
    ca = authority()
    sluice = secured(SERVER, context=ca.context())
    first = serial(sluice, ca)
    connection = http.client.HTTPSConnection("127.0.0.1", sluice.port, timeout=10, context=ca.context())
    connection.request("GET", "/-/healthy")
    assert connection.getresponse().read()
    ca.issue("server")
    second = wait_until(lambda: serial(sluice, ca) != first and serial(sluice, ca), 15, "the new certificate")
    put_file(f"{folder()}/server.pem", "no certificate")
    wait_until(lambda: "cannot reload certificates" in sluice.log(), 15, "the broken certificate is reported")
    assert serial(sluice, ca) == second
    error = re.search("cannot reload certificates.*", sluice.log())[0]
    assert "web.yml:2: tls_server_config.cert_file: server.pem: no certificate in PEM form" in error, error
    ca.issue("server")
    wait_until(lambda: serial(sluice, ca) not in (first, second), 15, "the third certificate")
    connection.request("GET", "/-/healthy")
    assert connection.getresponse().read()
    expiry = sluice_metric(sluice, ca.context(), rf'sluice_http_tls_certificate_expiry_timestamp_seconds{{address="{sluice.address}"}}')
    assert 47 * 3600 < expiry - time.time() < 49 * 3600, expiry
    assert sluice_metric(sluice, ca.context(), "sluice_http_access_reload_errors_total") == 1


def test_tls_can_be_turned_on_and_off():
    ca = authority()
    sluice = secured("{}")
    put_file(sluice.web_path, SERVER)
    wait_until(lambda: fetch(sluice, "/-/healthy", ca.context()).status == 200, 15, "TLS")
    put_file(sluice.web_path, "{}")
    wait_until(lambda: fetch(sluice, "/-/healthy").status == 200, 15, "no TLS")


def test_wrong_configurations_are_named():
    """File, line, key and value; the same at a reload, which changes nothing."""
    ca = authority()
    ca.issue("other")
    write_file("empty.pem", "")
    openssl("genrsa", "-aes128", "-passout", "pass:x", "-out", "encrypted.key", "2048")
    wrong = [
        ("tls_server_config:\n  key_file: server.key\n", "web.yml:1: tls_server_config.cert_file: is required"),
        ("tls_server_config:\n  cert_file: server.pem\n", "web.yml:1: tls_server_config.key_file: is required"),
        ("tls_server_config:\n  cert_file: no.pem\n  key_file: server.key\n", "web.yml:2: tls_server_config.cert_file: "),
        ("tls_server_config:\n  cert_file: empty.pem\n  key_file: server.key\n", "tls_server_config.cert_file: empty.pem: no certificate"),
        ("tls_server_config:\n  cert_file: server.pem\n  key_file: other.key\n", "web.yml:3: tls_server_config.key_file: other.key: the key does not belong"),
        ("tls_server_config:\n  cert_file: server.pem\n  key_file: encrypted.key\n", "encrypted.key: the key is encrypted"),
        (SERVER + "  min_version: TLS14\n", "web.yml:4: tls_server_config.min_version: \"TLS14\""),
        (SERVER + "  min_version: TLS13\n  max_version: TLS12\n", "tls_server_config.max_version: must not be below min_version"),
        (SERVER + "  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]\n", "web.yml:4: tls_server_config.cipher_suites: \"TLS_RSA_WITH_RC4_128_SHA\" is unknown or insecure"),
        (SERVER + "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n  max_version: TLS12\n", "none of the cipher suites fits the key"),
        (SERVER + "  curve_preferences: [CurveP192]\n", "tls_server_config.curve_preferences: \"CurveP192\" is none of"),
        (SERVER + "  client_auth_type: Always\n", "tls_server_config.client_auth_type: \"Always\""),
        (SERVER + "  client_ca_file: ca.pem\n", "client_auth_type: is required with client_ca_file"),
        (SERVER + "  client_auth_type: RequireAndVerifyClientCert\n", "web.yml:4: tls_server_config.client_auth_type: \"RequireAndVerifyClientCert\" requires client_ca_file"),
        (SERVER + "  client_allowed_sans: [a]\n", "web.yml:4: tls_server_config.client_allowed_sans: requires"),
        (SERVER + "  client_auth_type: RequestClientCert\n  client_allowed_sans: []\n", "web.yml:5: tls_server_config.client_allowed_sans: is empty"),
        (SERVER + "  surprise: 1\n", "web.yml:4: tls_server_config: unknown key \"surprise\""),
        ("basic_auth_users:\n  alice: secret\n", "web.yml:2: basic_auth_users: alice: not a bcrypt hash"),
        ("http_server_config:\n  headers:\n    X-Other: a\n", "web.yml:3: http_server_config.headers: header \"X-Other\" cannot be set"),
        ("http_server_config:\n  headers:\n    X-Frame-Options: allow\n", "X-Frame-Options: \"allow\" is not one of deny, sameorigin"),
        ("rate_limit: {interval: 1s}\n", "rate_limit.burst: must be at least 1"),
    ]
    for web, error in wrong[::4] + wrong[16:17]:
        log = start_error(web=web)
        assert error in log, (web, log)
    log = start_error(web="basic_auth_users: {}\ntls_server_config: {surprise: 1, min_version: TLS9}\nother: 1\n")
    for error in ("web.yml:2: tls_server_config: unknown key", "\"TLS9\"", "web.yml:3: "):
        assert error in log, (error, log)
    sluice = secured(SERVER, context=ca.context())
    for web, error in wrong:
        put_file(sluice.web_path, web)
        answer = fetch(sluice, "/-/reload", ca.context(), data=b"")
        assert answer.status >= 400 and error in answer.text, (web, answer)
        assert "secret" not in answer.text
    put_file(sluice.web_path, SERVER)
    assert fetch(sluice, "/-/reload", ca.context(), data=b"").status == 200
    assert "cannot read" in start_error("--web.config.file=nowhere.yml") or "nowhere.yml" in start_error("--web.config.file=nowhere.yml")


def test_large_bodies_both_ways():
    """A push and a result of megabytes over TLS are those over HTTP, also when the password of the first request is
    verified while its body is on the way, and when curl waits for 100 Continue."""
    ca = authority()
    plain = free_port()
    sluice = Sluice("", f"-httpListenAddr=127.0.0.1:{plain}", "-tls=true,false", "-tlsCertFile=server.pem", "-tlsKeyFile=server.key",
                    f"--web.config.file={write_file('web.yml', 'basic_auth_users: {alice: ' + repr(SLOW) + '}')}", ready=False)
    wait_until(lambda: fetch(sluice, "/-/ready", ca.context()).status == 401, 30, "ready")
    user, now, text = ("alice", "secret"), now_ms(), os.urandom(30).hex()
    body = wire.snappy_compress(wire.write_request(
        [({"__name__": "m", "i": f"{i}-{text}{i * 7919 % 100003}"}, [(now, float(i))]) for i in range(40000)]))
    assert len(body) > 1 << 20, len(body)
    write_file("body", "")
    with open(f"{folder()}/body", "wb") as f:
        f.write(body)
    said = subprocess.run(["curl", "-sS", "--cacert", "ca.pem", "-u", "alice:secret", "--data-binary", "@body", "-H",
                           "Content-Type: application/x-protobuf", "-H", "Content-Encoding: snappy", "-H", "Expect: 100-continue",
                           "-o", "/dev/null", "-w", "%{http_code}", f"https://{sluice.address}/api/v1/write"], cwd=folder(),
                          capture_output=True, text=True, timeout=60)
    assert said.stdout == "204", said
    answers = [fetch(sluice, f"/api/v1/query?query=m&time={now / 1000}", context, user, port=port, timeout=60).body
               for context, port in ((ca.context(), sluice.port), (None, plain))]
    assert answers[0] == answers[1] and len(answers[0]) > 4 << 20, [len(a) for a in answers]


def test_a_crowd_of_idle_handshakes_costs_nothing():
    """Clients that connect and send nothing, half a ClientHello, or noise: others are served, memory stays."""
    ca = authority()
    exporter = ScriptedExporter()
    sluice = secured(SERVER, f"global: {{scrape_interval: 200ms}}\nscrape_configs:\n- job_name: a\n"
                     f"  static_configs: [{{targets: ['{exporter.address}']}}]\n", context=ca.context())
    fetch(sluice, "/metrics", ca.context())
    before, n = sluice.memory_kib()["VmRSS"], exporter.n
    idle = []
    for i in range(600):
        s = socket.create_connection(("127.0.0.1", sluice.port))
        s.sendall((b"", b"\x16\x03\x01\x02\x00" + b"\x01" * 40, b"\x16\x03\x01")[i % 3])
        idle.append(s)
    began = time.monotonic()
    for _ in range(20):
        assert fetch(sluice, "/-/ready", ca.context()).status == 200
    assert time.monotonic() - began < 10
    wait_until(lambda: exporter.n > n + 5, 10, "scrapes go on")
    grown = sluice.memory_kib()["VmRSS"] - before
    for s in idle:
        s.close()
    noise = socket.create_connection(("127.0.0.1", sluice.port), timeout=10)
    noise.sendall(b"\x16\x03\x01\x00\x05hello")
    try:
        assert noise.recv(100) == b""
    except ConnectionResetError:
        pass
    wait_until(lambda: sluice_metric(sluice, ca.context(), "sluice_http_tls_unused_total") >= 601, 15)
    if RELEASE:
        assert grown < 3000, f"600 idle handshakes: {grown} KiB"


def test_a_hundred_reloads_leave_nothing():
    ca = authority()
    users = f"basic_auth_users: {{alice: '{SECRET}'}}\n"
    sluice = secured(MUTUAL.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven") + users, context=ca.context(),
                     user=("alice", "secret"))
    def used():
        return len(os.listdir(f"/proc/{sluice.p.pid}/fd")), sluice.memory_kib()["VmRSS"]
    def reload(i):
        put_file(sluice.web_path, MUTUAL.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven") + users
                 + f"# {i}\n")
        assert fetch(sluice, "/-/reload", ca.context(), ("alice", "secret"), data=b"").status == 200
    for i in range(20):
        reload(i)
    fds, rss = used()
    for i in range(100):
        reload(i)
    wait_until(lambda: used()[0] <= fds + 2, 15, "no descriptor is left open")
    if RELEASE:
        assert used()[1] < rss + 1500, (rss, used())


def test_old_targets():
    """TLS 1.0 and 1.1 towards targets: if the configuration asks for it, and not otherwise; and max_version."""
    authority()
    write_file("metrics", "old_metric 7\n")
    ports, jobs = {}, ""
    for version, names in (("tls1", ("TLS10",)), ("tls1_1", ("TLS10", "TLS11")), ("tls1_2", ("TLS12", ""))):
        ports[version] = free_port()
        Process(version, ["openssl", "s_server", f"-{version}", "-accept", f"127.0.0.1:{ports[version]}", "-cert", "server.pem",
                          "-key", "server.key", "-cipher", "ALL:@SECLEVEL=0", "-WWW"])
        for name in (*names, "TLS13" if version == "tls1_2" else "TLS12", *(("TLS10 to TLS11",) if version != "tls1" else ())):
            minimum = f", min_version: {name.replace(' to ', ', max_version: ')}" if name else ""
            jobs += (f"- {{job_name: '{version} {name}', scheme: https, tls_config: {{ca_file: ca.pem{minimum}}}, "
                     f"static_configs: [{{targets: ['127.0.0.1:{ports[version]}']}}]}}\n")
    sluice = Sluice(f"global: {{scrape_interval: 1s}}\nscrape_configs:\n{jobs}recent: {{}}\n")
    def up():
        return {s["metric"]["job"]: s["value"][1] for s in sluice.query("up")["result"]}
    wanted = {"tls1 TLS10": "1", "tls1 TLS12": "0", "tls1_1 TLS10": "1", "tls1_1 TLS11": "1", "tls1_1 TLS12": "0",
              "tls1_2 TLS12": "1", "tls1_2 ": "1", "tls1_2 TLS13": "0", "tls1_1 TLS10 to TLS11": "1", "tls1_2 TLS10 to TLS11": "0"}
    def errors():
        return {t["labels"]["job"]: t["lastError"] for t in sluice.data("/api/v1/targets")["activeTargets"]}
    def as_wanted():
        assert up() == wanted, (up(), errors())
        return True
    wait_until(as_wanted, 30)
    wait_until(lambda: "version" in errors()["tls1 TLS12"], 30, "the reason")
