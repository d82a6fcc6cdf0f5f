# SPDX-License-Identifier: Apache-2.0
"""Tokens of OAuth 2.0 for scrapes, remote write and queries, beside a real Prometheus with the same configuration."""
import json
import subprocess
import urllib.parse

import fakes
from lib import *
from test_group_discovery import vector
from test_upstream import FakePrometheus


class Issuer(fakes.Fake):
    """Issues token-1, token-2, ...; asked: (authorization, form)."""

    def __init__(self):
        self.asked, self.status, self.lifetime = [], 200, 3600
        super().__init__()

    def answer(self, request, body):
        self.asked.append((request.headers["Authorization"], urllib.parse.parse_qs(body.decode())))
        return request.reply(self.status, json.dumps({"access_token": f"token-{len(self.asked)}", "token_type": "Bearer",
                                                      "expires_in": self.lifetime}).encode(), Content_Type="application/json")


class Keeper(fakes.Fake):
    """Accepts anything and notes the Authorization header of each request."""

    def __init__(self):
        self.seen = []
        super().__init__()

    def answer(self, request, body):
        self.seen.append(request.headers["Authorization"])
        return request.reply(200, b"m 1\n", Content_Type="text/plain")


def oauth2(issuer, secret="client_secret: s3cret-value"):
    return (f"oauth2: {{client_id: 'me:x', {secret}, token_url: 'http://{issuer.address}/token', scopes: [a, b c], "
            "endpoint_params: {audience: 'x&y'}}")


def test_scrapes_have_the_token_that_prometheus_has():
    issuers, keepers = [Issuer(), Issuer()], [Keeper(), Keeper()]
    configs = [f"scrape_configs: [{{job_name: j, scrape_interval: 1s, static_configs: [{{targets: ['{k.address}']}}], {oauth2(i)}}}]\n"
               for i, k in zip(issuers, keepers)]
    Sluice(configs[0])
    Prometheus(configs[1])
    for issuer, keeper in zip(issuers, keepers):
        wait_until(lambda: len(keeper.seen) >= 2)
        assert keeper.seen[:2] == ["Bearer token-1"] * 2 and len(issuer.asked) == 1, (keeper.seen, issuer.asked)
    assert issuers[0].asked == issuers[1].asked, (issuers[0].asked, issuers[1].asked)


def test_one_token_serves_jobs_destinations_and_servers_over_reloads():
    issuer, target, sink, server = Issuer(), Keeper(), Keeper(), FakePrometheus(vector(1))
    secret = write_file("secret", "s3cret-value\n")
    shared = oauth2(issuer, f"client_secret_file: '{secret}'")
    config = f"""
scrape_configs: [{{job_name: j, scrape_interval: 300ms, static_configs: [{{targets: ['{target.address}']}}], {shared}}}]
remote_write: [{{url: 'http://{sink.address}/write', {shared}}}]
server_groups: [{{name: west, remote_read: false, static_configs: [{{targets: ['{server.address}']}}], http_client: {{{shared}}}}}]
"""
    sluice = Sluice(config)
    wait_until(lambda: len(target.seen) > 2 and sink.seen)
    sluice.query("m", 1000)
    assert sluice.post("/-/reload").status == 200
    seen = len(target.seen)
    wait_until(lambda: len(target.seen) > seen + 1)
    assert set(target.seen) == set(sink.seen) == {"Bearer token-1"} and len(issuer.asked) == 1, (issuer.asked, sink.seen)
    shown = sluice.get("/config").text + sluice.log() + sluice.get("/api/v1/status/config").text
    assert "s3cret" not in shown and "token-1" not in shown and f"http://{issuer.address}/token" in shown

    issuer.status = 401
    put_file(secret, "s3cret-other\n")
    wait_until(lambda: len(issuer.asked) > 2)
    errors = lambda: [t["lastError"] for t in sluice.data("/api/v1/targets")["activeTargets"]]
    assert errors() == [""], "the token is valid although it cannot be renewed"
    issuer.status = 200
    wait_until(lambda: target.seen[-1] not in ("Bearer token-1", None), 10)
    assert "s3cret-other" in str(issuer.asked[-1]) or issuer.asked[-1][0].startswith("Basic ")


def test_a_refused_client_is_named():
    issuer, server = Issuer(), FakePrometheus(vector(1))
    issuer.status = 403
    sluice = Sluice(f"server_groups: [{{name: west, remote_read: false, static_configs: [{{targets: ['{server.address}']}}], "
                    f"http_client: {{{oauth2(issuer)}}}}}]\n")
    answer = sluice.get("/api/v1/query", {"query": "m", "time": 1000})
    error = answer.json()["error"]
    assert answer.status == 502 and f"oauth2: cannot get a token from http://{issuer.address}/token: HTTP 403" in error, answer
    assert "s3cret" not in error + sluice.log() and not server.queries()
    issuer.status = 200
    wait_until(lambda: sluice.get("/api/v1/query", {"query": "m", "time": 1000}).status == 200, 5)


class Azure(fakes.Fake):
    """Issues tokens as Microsoft Entra ID and as the metadata service do. asked: (path, form, headers)."""

    def __init__(self):
        self.asked = []
        super().__init__()

    def answer(self, request, body):
        form = dict(urllib.parse.parse_qsl(body.decode() or request.path.partition("?")[2]))
        self.asked.append((request.path.partition("?")[0], form, request.headers))
        token = json.dumps({"access_token": f"azure-{len(self.asked)}", "token_type": "Bearer", "expires_in": "3599"})
        return request.reply(200, token.encode(), Content_Type="application/json")


def test_tokens_of_azure():
    azure, sinks, exporter = Azure(), [Keeper() for _ in range(4)], ScriptedExporter()
    write_file("assertion", "service.account.token\n")
    ways = ["oauth: {client_id: me, client_secret: s3cret-value, tenant_id: home}, scope: 'api://x/.default'",
            f"workload_identity: {{client_id: pod, tenant_id: home, token_file_path: '{folder()}/assertion'}}, cloud: AzureChina",
            "managed_identity: {client_id: vm}", "managed_identity: {}"]
    config = (f"scrape_configs: [{{job_name: j, scrape_interval: 300ms, static_configs: [{{targets: ['{exporter.address}']}}]}}]\n"
              "remote_write:\n" + "".join(f"- {{name: d{i}, url: 'http://{sinks[i].address}/w', azuread: {{{way}}}}}\n"
                                          for i, way in enumerate(ways)))
    host = f"http://{azure.address}"
    sluice = Sluice(config, env={"AZURE_AUTHORITY_HOST": host + "/", "AZURE_POD_IDENTITY_AUTHORITY_HOST": host})
    wait_until(lambda: all(len(sink.seen) > 1 for sink in sinks), 20, "writes")
    assert len({line for sink in sinks for line in sink.seen}) == 4 == len(azure.asked), [sink.seen for sink in sinks]
    assert all(line.startswith("Bearer azure-") for sink in sinks for line in sink.seen)
    by_client = {form.get("client_id"): (path, form, headers) for path, form, headers in azure.asked}
    path, form, headers = by_client["me"]
    assert path == "/home/oauth2/v2.0/token" and form["client_secret"] == "s3cret-value" and form["scope"] == "api://x/.default"
    assert headers["Authorization"] is None
    path, form, _ = by_client["pod"]
    assert form["client_assertion"] == "service.account.token" and form["scope"] == "https://monitor.azure.cn//.default"
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" and "client_secret" not in form
    for client in ("vm", None):
        path, form, headers = by_client[client]
        assert path == "/metadata/identity/oauth2/token" and headers["Metadata"] == "true", (path, form)
        assert form["resource"] == "https://monitor.azure.com/" and form["api-version"] == "2018-02-01", form
    shown = sluice.log() + sluice.get("/config").text
    assert "s3cret" not in shown and "azure-1" not in shown and "service.account" not in shown
    bad = write_file("bad.yml", "remote_write: [{url: 'http://h/', azuread: {scope: x}}]\n")
    checked = subprocess.run([f"{ROOT}/{OUT}/sluice", "--dryRun", f"--config.file={bad}"], capture_output=True, text=True)
    assert "azuread: set one of managed_identity, oauth and workload_identity" in checked.stderr, checked.stderr
