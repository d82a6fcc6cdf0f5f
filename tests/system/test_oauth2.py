# SPDX-License-Identifier: Apache-2.0
"""Tokens of OAuth 2.0 for scrapes, remote write and queries, beside a real Prometheus with the same configuration."""
import base64
import hashlib
import json
import os
import subprocess
import time
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
    assert "azuread: set one of managed_identity, oauth, workload_identity, certificate and sdk" in checked.stderr, checked.stderr


# ---- assertions that an RSA key signs ----

def rsa_key(name):
    """A new key: paths of the private and the public one."""
    private, public = write_file(f"{name}.pem", ""), write_file(f"{name}.pub", "")
    for command in (["genrsa", "-out", private, "2048"], ["rsa", "-in", private, "-pubout", "-out", public]):
        subprocess.run(["openssl", *command], check=True, capture_output=True)
    return private, public


def unpack_jwt(token, public, digest="sha256", options=()):
    """Header and claims of a token, whose signature openssl verifies."""
    parts = [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split(".")]
    with open(f"{folder()}/signature", "wb") as f:
        f.write(parts[2])
    checked = subprocess.run(["openssl", "dgst", f"-{digest}", "-verify", public, *options, "-signature", f.name],
                             input=token.rpartition(".")[0].encode(), capture_output=True)
    assert checked.returncode == 0, checked
    return json.loads(parts[0]), json.loads(parts[1])


JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def assert_times(claims):
    assert claims.pop("exp") == claims["iat"] + 600 and abs(claims.pop("iat") - time.time()) < 100
    assert len(claims.pop("jti")) == 32


def scrape_of(exporter):
    return f"scrape_configs: [{{job_name: j, scrape_interval: 300ms, static_configs: [{{targets: ['{exporter.address}']}}]}}]\n"


def test_assertions_by_a_key():
    """RFC 7523 with Prometheus' keys; the key is not shown, and a wrong one is an error that does not show it."""
    issuer, sinks, (private, public) = Issuer(), [Keeper() for _ in range(3)], rsa_key("client")
    url = f"http://{issuer.address}/token"
    with open(private, encoding="utf-8") as f:
        inline = json.dumps(f.read())
    wrong = write_file("wrong.pem", "-----BEGIN RSA PRIVATE KEY-----\nbm8gc2VjcmV0\n-----END RSA PRIVATE KEY-----\n")
    grant = f"client_id: me, token_url: '{url}', grant_type: '{JWT_GRANT}'"
    ways = [f"{grant}, client_certificate_key_file: '{private}', scopes: [a, b]",
            f"{grant}, client_certificate_key: {inline}, client_certificate_key_id: k1, signature_algorithm: RS512, iss: them, "
            "audience: x, claims: {sub: other, team: core}",
            f"{grant}, client_certificate_key_file: '{wrong}'"]
    exporter = ScriptedExporter()
    sluice = Sluice(scrape_of(exporter) + "remote_write:\n" + "".join(
        f"- {{name: d{i}, url: 'http://{sinks[i].address}/w', oauth2: {{{way}}}}}\n" for i, way in enumerate(ways)))
    wait_until(lambda: len(sinks[0].seen) > 1 and len(sinks[1].seen) > 1, 20, "writes")
    assert {line[:13] for sink in sinks for line in sink.seen} == {"Bearer token-"} and len(issuer.asked) == 2, issuer.asked
    found = {}
    for authorization, form in issuer.asked:
        assert authorization is None and form["grant_type"] == [JWT_GRANT] and set(form) == {"grant_type", "assertion"}, form
        token, = form["assertion"]
        digest = "sha512" if json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))["alg"] == "RS512" else "sha256"
        header, claims = unpack_jwt(token, public, digest)
        assert_times(claims)
        found[header["alg"]] = header, claims
    assert found == {"RS256": ({"alg": "RS256", "typ": "JWT"}, {"iss": "me", "sub": "me", "aud": url, "scope": "a b"}),
                     "RS512": ({"alg": "RS512", "kid": "k1", "typ": "JWT"},
                               {"iss": "them", "aud": "x", "sub": "other", "team": "core"})}, found
    wait_until(lambda: "the key is not in PEM format" in sluice.log(), 20, "the error about the wrong key")
    shown = sluice.log() + sluice.get("/config").text
    assert "PRIVATE" not in shown and "bm8gc2VjcmV0" not in shown and not sinks[2].seen
    bad = write_file("bad.yml", f"remote_write: [{{url: 'http://h/', oauth2: {{{grant}}}}}]\n")
    checked = subprocess.run([sluice.program, "--check-config", f"--config.file={bad}"], capture_output=True, text=True)
    assert "requires client_certificate_key or client_certificate_key_file" in checked.stderr, checked.stderr


# ---- certificates of Azure ----

def certificate(name):
    """A new self-signed certificate with its key, in one file: its path, the public key's, and the certificate in DER."""
    private, public = rsa_key(name)
    made = subprocess.run(["openssl", "req", "-x509", "-new", "-key", private, "-subj", f"/CN={name}", "-days", "2"],
                          check=True, capture_output=True, text=True).stdout
    der = subprocess.run(["openssl", "x509", "-outform", "DER"], input=made.encode(), check=True, capture_output=True).stdout
    with open(private) as f:
        return write_file(f"{name}.both", f.read() + made), public, der, made


PSS = ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32")


def check_assertion(form, host, public, der, with_chain=False):
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", form
    assert form["grant_type"] == "client_credentials" and "client_secret" not in form and form["scope"], form
    header, claims = unpack_jwt(form["client_assertion"], public, options=PSS)
    digest = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")
    chain = {"x5c": [base64.b64encode(der).decode()]} if with_chain else {}
    assert header == {"alg": "PS256", "typ": "JWT", "x5t#S256": digest} | chain, header
    assert claims.pop("exp") == claims["nbf"] + 600 and abs(claims.pop("nbf") - time.time()) < 100
    assert len(claims.pop("jti")) == 32
    assert claims == {"aud": f"{host}/home/oauth2/v2.0/token", "iss": form["client_id"], "sub": form["client_id"]}, claims


def test_certificates_of_azure():
    """In one file, in two, and as PKCS#12 with a password; one that is replaced, and a key that is another's."""
    azure, sinks, exporter = Azure(), [Keeper() for _ in range(5)], ScriptedExporter()
    both, public, der, pem = certificate("both")
    alone = write_file("alone.pem", pem)
    packed = f"{folder()}/packed.pfx"
    subprocess.run(["openssl", "pkcs12", "-export", "-in", both, "-out", packed, "-passout", "pass:s3cret-word"], check=True)
    other = certificate("other")
    login = "tenant_id: home, certificate_path"
    ways = [f"{{client_id: one, {login}: '{both}', send_certificate_chain: true}}",
            f"{{client_id: two, {login}: '{alone}', certificate_key_path: '{folder()}/both.pem'}}",
            f"{{client_id: packed, {login}: '{packed}', certificate_password: s3cret-word}}",
            f"{{client_id: wrong, {login}: '{alone}', certificate_key_path: '{folder()}/other.pem'}}",
            f"{{client_id: locked, {login}: '{packed}', certificate_password: s3cret-other}}"]
    config = scrape_of(exporter) + "remote_write:\n" + "".join(
        f"- {{name: d{i}, url: 'http://{sinks[i].address}/w', azuread: {{certificate: {way}}}}}\n" for i, way in enumerate(ways))
    host = f"http://{azure.address}"
    sluice = Sluice(config, env={"AZURE_AUTHORITY_HOST": host})
    wait_until(lambda: all(len(sink.seen) > 1 for sink in sinks[:3]), 20, "writes")
    by_client = {form["client_id"]: form for _, form, _ in azure.asked}
    assert sorted(by_client) == ["one", "packed", "two"]
    for client, form in by_client.items():
        check_assertion(form, host, public, der, with_chain=client == "one")
    wait_until(lambda: "the file has no certificate of the key" in sluice.log(), 20, "the error about the wrong key")
    wait_until(lambda: "nor PKCS#12 with this password" in sluice.log(), 20, "the error about the password")
    azure.asked.clear()
    os.replace(other[0], both)
    wait_until(lambda: azure.asked, 20, "a token by the new certificate")
    check_assertion(azure.asked[0][1], host, other[1], other[2], with_chain=True)
    shown = sluice.log() + sluice.get("/config").text
    assert "s3cret" not in shown and "PRIVATE" not in shown and not sinks[3].seen and not sinks[4].seen


def test_credentials_of_azures_sdks():
    """What the environment has decides, in the order of the SDKs."""
    azure, exporter = Azure(), ScriptedExporter()
    both, public, der, _ = certificate("both")
    host, token = f"http://{azure.address}", write_file("token", "service.account.token\n")
    client = {"AZURE_CLIENT_ID": "me", "AZURE_TENANT_ID": "home"}

    def form_of(env, sdk="{}"):
        azure.asked.clear()
        sink = Keeper()
        sluice = Sluice(scrape_of(exporter) + f"remote_write: [{{url: 'http://{sink.address}/w', azuread: {{sdk: {sdk}}}}}]\n",
                        env=env | {"AZURE_AUTHORITY_HOST": host, "AZURE_POD_IDENTITY_AUTHORITY_HOST": host})
        wait_until(lambda: sink.seen, 20, "a write")
        sluice.stop()
        return azure.asked[0]

    secret = {"AZURE_CLIENT_SECRET": "s3cret-value"}
    by_certificate = {"AZURE_CLIENT_CERTIFICATE_PATH": both, "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN": "true"}
    pod = {"AZURE_FEDERATED_TOKEN_FILE": token}
    path, form, _ = form_of(client | secret | by_certificate | pod, "{tenant_id: other}")
    assert path == "/home/oauth2/v2.0/token" and form["client_secret"] == "s3cret-value", (path, form)
    _, form, _ = form_of(client | by_certificate | pod)
    check_assertion(form, host, public, der, with_chain=True)
    path, form, _ = form_of(client | pod, "{tenant_id: other}")
    assert path == "/other/oauth2/v2.0/token" and form["client_assertion"] == "service.account.token", (path, form)
    path, form, headers = form_of({"AZURE_CLIENT_ID": "me"})
    assert path == "/metadata/identity/oauth2/token" and form["client_id"] == "me" and headers["Metadata"] == "true", form


class Google(fakes.Fake):
    """Issues tokens as Google does; asked: (path, form, headers). With `repeats`, an error repeats the request instead."""

    def __init__(self):
        self.asked, self.repeats = [], False
        super().__init__()

    def answer(self, request, body):
        form = dict(urllib.parse.parse_qsl(body.decode() or request.path.partition("?")[2]))
        self.asked.append((request.path.partition("?")[0], form, request.headers))
        if self.repeats:
            error = {"error": "invalid_grant", "error_description": body.decode()}
            return request.reply(400, json.dumps(error).encode(), Content_Type="application/json")
        token = json.dumps({"access_token": f"google-{len(self.asked)}", "token_type": "Bearer", "expires_in": 3599})
        return request.reply(200, token.encode(), Content_Type="application/json")


def test_tokens_of_google():
    """By a service account's key, by a user's login as the default, and by the machine's account without a file."""
    google, sink, exporter, (private, public) = Google(), Keeper(), ScriptedExporter(), rsa_key("service")
    url = f"http://{google.address}/token"
    with open(private, encoding="utf-8") as f:
        account = {"type": "service_account", "client_email": "me@project", "private_key_id": "id1", "private_key": f.read(),
                   "token_uri": url}
    user = {"type": "authorized_user", "client_id": "c", "client_secret": "s3cret-value", "refresh_token": "r3fresh",
            "token_uri": url}
    files = write_file("account.json", json.dumps(account)), write_file("user.json", json.dumps(user))
    way = f"- {{name: %s, url: 'http://{sink.address}/w', google_iam: {{%s}}}}\n"
    config = scrape_of(exporter) + "remote_write:\n" + way % ("d0", f"credentials_file: '{files[0]}'") + way % ("d1", "")
    env = {"HOME": folder(), "GCE_METADATA_HOST": google.address}
    sluice = Sluice(config, env={**env, "GOOGLE_APPLICATION_CREDENTIALS": files[1]})
    wait_until(lambda: len(set(sink.seen)) == 2, 20, "writes with both tokens")
    forms = {form["grant_type"]: (path, form) for path, form, _ in google.asked}
    assert len(google.asked) == 2 and all(path == "/token" for path, _ in forms.values()), google.asked
    header, claims = unpack_jwt(forms[JWT_GRANT][1]["assertion"], public)
    assert_times(claims)
    assert header == {"alg": "RS256", "kid": "id1", "typ": "JWT"} and claims == {
        "iss": "me@project", "aud": url, "scope": "https://www.googleapis.com/auth/monitoring.write"}, (header, claims)
    assert forms["refresh_token"][1] == {"grant_type": "refresh_token", "client_id": "c", "client_secret": "s3cret-value",
                                         "refresh_token": "r3fresh"}
    shown = sluice.log() + sluice.get("/config").text
    assert "PRIVATE" not in shown and "s3cret" not in shown and "google-1" not in shown
    sluice.stop()
    sluice = Sluice(scrape_of(exporter) + "remote_write:\n" + way % ("d2", ""), env=env, name="machine")
    wait_until(lambda: "Bearer google-3" in sink.seen, 20, "the machine's token")
    path, form, headers = google.asked[2]
    assert path == "/computeMetadata/v1/instance/service-accounts/default/token" and headers["Metadata-Flavor"] == "Google"
    assert form == {"scopes": "https://www.googleapis.com/auth/monitoring.write"}, form
    sluice.stop()
    google.repeats = True
    sluice = Sluice(scrape_of(exporter) + "remote_write:\n" + way % ("d3", f"credentials_file: '{files[1]}'"), name="refused")
    wait_until(lambda: "invalid_grant" in sluice.log(), 20, "the error")
    assert "s3cret" not in sluice.log() and "r3fresh" not in sluice.log(), sluice.log()
