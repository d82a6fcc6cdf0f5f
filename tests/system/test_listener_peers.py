# SPDX-License-Identifier: Apache-2.0
"""Real peers as clients of a listener with TLS, client certificates and users."""
import subprocess
import urllib.parse

import wire
from lib import *
from secure import *

WEB = f"""
tls_server_config:
  cert_file: server.pem
  key_file: server.key
  client_ca_file: ca.pem
  client_auth_type: RequireAndVerifyClientCert
  client_allowed_sans: [peer.local]
basic_auth_users:
  alice: {SECRET}
"""
CLIENT = "tls_config: {ca_file: ca.pem, cert_file: peer.pem, key_file: peer.key}\n"
WRONG_CLIENT = "tls_config: {ca_file: ca.pem}\n"
USER = "basic_auth: {username: alice, password: secret}\n"
ALICE = ("alice", "secret")


def secured_by_all():
    ca = Authority()
    ca.issue("server")
    ca.issue("peer", "DNS:peer.local", "clientAuth")
    context = ca.context("peer")
    return secured(WEB, context=context, user=ALICE), context


def found(sluice, context, expr):
    answer = fetch(sluice, "/api/v1/query?" + urllib.parse.urlencode({"query": expr}), context, ALICE)
    return answer.json()["data"]["result"]


def job(name, sluice, client, user):
    return (f"- job_name: {name}\n  scheme: https\n  static_configs: [{{targets: ['{sluice.address}']}}]\n"
            f"  {client}  {user}")


def test_prometheus_scrapes_writes_and_reads():
    sluice, context = secured_by_all()
    url = f"https://{sluice.address}/api/v1"
    prometheus = Prometheus(
        "global: {scrape_interval: 500ms, external_labels: {from: prometheus}}\nscrape_configs:\n"
        + job("good", sluice, CLIENT, USER) + job("no_certificate", sluice, WRONG_CLIENT, USER)
        + job("no_user", sluice, CLIENT, "honor_labels: true\n") + job("wrong_password", sluice, CLIENT, USER.replace("secret", "x"))
        + f"remote_write:\n- url: {url}/write\n  {CLIENT}  {USER}"
        + f"remote_read:\n- url: {url}/read\n  read_recent: true\n  {CLIENT}  {USER}", "--storage.remote.flush-deadline=1s")
    def up():
        return {s["metric"]["job"]: s["value"][1] for s in prometheus.query("up")["result"]}
    wait_until(lambda: up() == {"good": "1", "no_certificate": "0", "no_user": "0", "wrong_password": "0"}, 30, "scrapes")
    errors = {t["labels"]["job"]: t["lastError"] for t in prometheus.data("/api/v1/targets")["activeTargets"]}
    assert errors["no_user"] == errors["wrong_password"] == "server returned HTTP status 401 Unauthorized", errors
    wait_until(lambda: found(sluice, context, 'up{job="good", from="prometheus"}'), 30, "remote write")
    now = now_ms()
    body = wire.snappy_compress(wire.write_request([({"__name__": "only_here", "from": "prometheus"}, [(now, 7.0)])]))
    assert fetch(sluice, "/api/v1/write", context, ALICE, data=body, headers={"Content-Type": "application/x-protobuf",
                                                                           "Content-Encoding": "snappy"}).status == 204
    wait_until(lambda: prometheus.query("only_here")["result"][0]["value"][1] == "7", 30, "remote read")


def test_vmagent_scrapes_and_writes():
    sluice, context = secured_by_all()
    flags = ["-remoteWrite.tlsCAFile=ca.pem", "-remoteWrite.tlsCertFile=peer.pem", "-remoteWrite.tlsKeyFile=peer.key",
             "-remoteWrite.basicAuth.username=alice", "-remoteWrite.basicAuth.password=secret"]
    vmagent = VMAgent("global: {scrape_interval: 500ms}\nscrape_configs:\n" + job("good", sluice, CLIENT, USER)
                      + job("wrong_password", sluice, CLIENT, USER.replace("secret", "x")),
                      f"-remoteWrite.url=https://{sluice.address}/api/v1/write", "-remoteWrite.label=from=vmagent", *flags)
    def up():
        return {s["metric"]["job"]: s["value"][1] for s in found(sluice, context, 'up{from="vmagent"}')}
    wait_until(lambda: up() == {"good": "1", "wrong_password": "0"}, 30, "scrapes and remote write")
    assert vmagent.alive()


def test_a_sluice_writes_to_another():
    sluice, context = secured_by_all()
    sender = Sluice("global: {scrape_interval: 500ms}\nscrape_configs:\n" + job("good", sluice, CLIENT, USER)
                    + f"remote_write:\n- url: https://{sluice.address}/api/v1/write\n  {CLIENT}  {USER}"
                    "  write_relabel_configs: [{target_label: from, replacement: sluice}]\n", name="sender")
    wait_until(lambda: found(sluice, context, 'up{job="good", from="sluice"} == 1'), 30, "scrapes and remote write")
    assert sender.alive()


def test_curl():
    """Refusals show by the alert of TLS or the status alone, and say nothing else."""
    sluice, context = secured_by_all()
    stranger = Authority("stranger")
    stranger.issue("foreign", "DNS:peer.local", "clientAuth")
    def curl(*options, password="secret", client="peer"):
        certificate = ["--cert", f"{client}.pem", "--key", f"{client}.key"] if client else []
        p = subprocess.run(["curl", "-sS", "--noproxy", "*", "--cacert", "ca.pem", *certificate, "-u", f"alice:{password}", "-w", "%{http_code}",
                            *options, f"https://127.0.0.1:{sluice.port}/api/v1/query?query=1"], capture_output=True, text=True,
                           cwd=folder(), timeout=30)
        return p.returncode, p.stdout, p.stderr
    code, text, errors = curl()
    assert code == 0 and text.startswith('{"status":"success"') and text.endswith("200"), (text, errors)
    assert curl(password="guess")[1] == "Unauthorized\n401"
    assert curl("-u", "mallory:secret")[1] == "Unauthorized\n401"
    for client in (None, "foreign", "server"):
        code, text, errors = curl(client=client)
        assert code != 0 and text == "000", (client, text, errors)
        assert "alice" not in errors and "peer.local" not in errors and "ca.pem" not in errors, errors
    for options in (("--tls-max", "1.1", "--tlsv1.0", "--ciphers", "DEFAULT:@SECLEVEL=0"), ("--tls-max", "1.2", "--ciphers", "AES128-SHA")):
        code, text, errors = curl(*options)
        assert code == 35 and text == "000", (options, code, text, errors)
    assert fetch(sluice, "/-/healthy", context, ALICE).status == 200
