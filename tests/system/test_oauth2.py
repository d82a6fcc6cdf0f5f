# SPDX-License-Identifier: Apache-2.0
"""Tokens of OAuth 2.0 for scrapes, remote write and queries, beside a real Prometheus with the same configuration."""
import json
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
