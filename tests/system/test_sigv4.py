# SPDX-License-Identifier: Apache-2.0
"""Requests signed for AWS, with keys from each source that the SDKs know, and headers for proxies. Amazon is a fake that
verifies signatures by its own code: the manual of AWS IAM, "Create a signed AWS API request"."""
import hashlib
import hmac
import json
import subprocess
import time
import urllib.parse

import fakes
from lib import *
from test_discovery import NameServer, asks_only
from test_group_discovery import vector
from test_oauth2 import Issuer, Keeper
from test_upstream import FakePrometheus


def signature(secret, scope, names, request, body):
    """Of a request as it arrived, with these signed headers, for the scope DATE/REGION/SERVICE/aws4_request."""
    path, _, query = request.path.partition("?")
    pairs = sorted((urllib.parse.quote(k, safe="-._~"), urllib.parse.quote(v, safe="-._~"))
                   for k, v in urllib.parse.parse_qsl(query, keep_blank_values=True))
    canonical = "\n".join([request.command, urllib.parse.quote(path, safe="/-._~"), "&".join(f"{k}={v}" for k, v in pairs),
                           *(f"{n}:{' '.join(request.headers[n].split())}" for n in names), "", ";".join(names),
                           hashlib.sha256(body).hexdigest()])
    text = "\n".join(["AWS4-HMAC-SHA256", request.headers["X-Amz-Date"], scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    return hmac.new(key, text.encode(), "sha256").hexdigest()


class Amazon(fakes.Fake):
    """Receives writes (/write), and is STS (/sts), the metadata service (/latest) and the server of containers (/keys).
    keys: access key to (secret, session token); used: (path, access key, scope) of each request with a good signature."""

    def __init__(self):
        self.keys, self.used, self.asked, self.expires_s, self.refused = {}, [], [], 3600, []
        super().__init__()
        self.url = f"http://{self.address}"

    def verify(self, request, body):
        kind, _, rest = request.headers.get("Authorization", "").partition(" ")
        fields = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
        if kind != "AWS4-HMAC-SHA256":
            return None
        access, scope = fields["Credential"].split("/", 1)
        secret, token = self.keys[access]
        names = fields["SignedHeaders"].split(";")
        assert {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names)
        assert request.headers.get("X-Amz-Security-Token", "") == token and ("x-amz-security-token" in names) == (token != "")
        sent = time.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ")
        assert abs(time.mktime(sent) - time.mktime(time.gmtime())) < 300
        if signature(secret, scope, names, request, body) != fields["Signature"]:
            self.refused.append((request.path, fields))
            return None
        self.used.append((request.path.split("?")[0], access, scope.split("/", 1)[1]))
        return access

    def issue(self, access):
        self.keys[access] = (f"secret/of+{access}", f"session==/{access}")
        return {"AccessKeyId": access, "SecretAccessKey": self.keys[access][0], "Token": self.keys[access][1], "Code": "Success",
                "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.expires_s))}

    def answer(self, request, body):
        path, form = request.path, dict(urllib.parse.parse_qsl(body.decode("latin-1")))
        if path == "/latest/api/token":
            return request.reply(200 if request.command == "PUT" else 405, b"metadata-token")
        if path.startswith("/latest/") and request.headers.get("X-aws-ec2-metadata-token") != "metadata-token":
            return request.reply(401)
        if path == "/latest/meta-data/iam/security-credentials/":
            return request.reply(200, b"machine-role\n")
        if path == "/latest/meta-data/iam/security-credentials/machine-role":
            return request.reply(200, json.dumps(self.issue("AKMACHINE")).encode())
        if path == "/latest/meta-data/placement/region":
            return request.reply(200, b"eu-north-1")
        if path == "/keys":
            return request.reply(200, json.dumps(self.issue("AKCONTAINER")).encode())
        access = self.verify(request, body)
        if path == "/sts":
            self.asked.append((access, form))
            if access is None and form["Action"] == "AssumeRole":
                return request.reply(403, b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>not &lt;you&gt;</Message>"
                                          b"</Error></ErrorResponse>")
            keys = self.issue("AK" + form["RoleArn"].split("/")[-1].upper())
            return request.reply(200, ("<AssumeRoleResponse><AssumeRoleResult><Credentials>" + "".join(
                f"<{tag}>{keys[name]}</{tag}>" for tag, name in (("AccessKeyId",) * 2, ("SecretAccessKey",) * 2,
                                                                 ("SessionToken", "Token"), ("Expiration",) * 2))
                + "</Credentials></AssumeRoleResult></AssumeRoleResponse>").encode())
        return request.reply(204 if access else 403)

    def writes(self, access):
        return [scope for path, key, scope in self.used if key == access and path == "/write"]


def config(exporter, *destinations):
    return (f"scrape_configs: [{{job_name: j, scrape_interval: 300ms, static_configs: [{{targets: ['{exporter.address}']}}]}}]\n"
            "remote_write:\n" + "".join(f"- {{name: d{i}, url: '{url}', {options}}}\n" for i, (url, options) in enumerate(destinations)))


def environment(**more):
    """Nothing of this machine."""
    return {"HOME": folder(), "AWS_EC2_METADATA_DISABLED": "true", **more}


def test_keys_come_from_every_source():
    amazon, exporter = Amazon(), ScriptedExporter()
    write = amazon.url + "/write?b=2&a=%2Fx&a=%20y"
    amazon.keys |= {"AKSET": ("set/secret", ""), "AKFILE": ("file+secret", ""), "AKENV": ("env-secret", "env-session")}
    write_file("credentials", "[other]\naws_access_key_id = AKFILE\naws_secret_access_key = file+secret\n")
    write_file("config", "[profile other]\nregion = eu-west-1\n[profile chained]\nrole_arn = arn:aws:iam::1:role/chained\n"
                         "source_profile = other\n[default]\nregion = r3\n")
    write_file("identity", "web.identity.token\n")
    files = {"AWS_SHARED_CREDENTIALS_FILE": f"{folder()}/credentials", "AWS_CONFIG_FILE": f"{folder()}/config",
             "AWS_ENDPOINT_URL_STS": amazon.url + "/sts"}
    one = Sluice(config(exporter,
                        (write, "sigv4: {region: us-east-1, access_key: AKSET, secret_key: set/secret}"),
                        (write, "sigv4: {profile: other}"),
                        (write, "sigv4: {profile: chained, service_name: other-service}"),
                        (write, "sigv4: {region: us-east-2, role_arn: 'arn:aws:iam::1:role/assumed', external_id: ext, profile: other}"),
                        (write, "sigv4: {}")),
                 env=environment(**files, AWS_ACCESS_KEY_ID="AKENV", AWS_SECRET_ACCESS_KEY="env-secret",
                                 AWS_SESSION_TOKEN="env-session", AWS_REGION="ap-south-1"))
    others = [Sluice(config(exporter, (write, "sigv4: {}")), name=name, env=environment(**{**files, **env})) for name, env in (
        ("web", {"AWS_WEB_IDENTITY_TOKEN_FILE": f"{folder()}/identity", "AWS_ROLE_ARN": "arn:aws:iam::1:role/web"}),
        ("container", {"AWS_CONTAINER_CREDENTIALS_FULL_URI": amazon.url + "/keys", "AWS_DEFAULT_REGION": "r2"}),
        ("machine", {"AWS_EC2_METADATA_DISABLED": "", "AWS_EC2_METADATA_SERVICE_ENDPOINT": amazon.url,
                     "AWS_CONFIG_FILE": f"{folder()}/none"}))]
    for access, scope in (("AKSET", "us-east-1/aps"), ("AKFILE", "ap-south-1/aps"), ("AKCHAINED", "ap-south-1/other-service"),
                          ("AKASSUMED", "us-east-2/aps"), ("AKENV", "ap-south-1/aps"), ("AKWEB", "r3/aps"),
                          ("AKCONTAINER", "r2/aps"), ("AKMACHINE", "eu-north-1/aps")):
        wait_until(lambda: len(amazon.writes(access)) > 1, 30, access)
        assert set(amazon.writes(access)) == {f"{scope}/aws4_request"}, amazon.writes(access)
    assert not amazon.refused
    asked = {form["RoleArn"].split("/")[-1]: (access, form) for access, form in amazon.asked}
    assert len(amazon.asked) == 3 and asked["assumed"][0] == asked["chained"][0] == "AKFILE", amazon.asked
    assert asked["assumed"][1]["ExternalId"] == "ext" and asked["web"][0] is None
    assert asked["web"][1]["WebIdentityToken"] == "web.identity.token"
    shown = "".join(s.log() + s.get("/config").text for s in [one, *others])
    assert "secret/" not in shown and "session=" not in shown and "set/secret" not in shown and "access_key: AKSET" in shown


def test_a_name_with_several_addresses():
    """Requests go to addresses; the signature has the name, as the Host header."""
    amazon = Amazon()
    amazon.keys["AKSET"] = ("set/secret", "")
    sluice = Sluice(config(ScriptedExporter(), (f"http://web.test:{amazon.port}/write", "round_robin_dns: true, sigv4: "
                                                "{region: r, access_key: AKSET, secret_key: set/secret}")),
                    env=environment(), start=False)
    asks_only(sluice, NameServer({("web.test", "A"): ["127.0.0.1"]}).address).wait_ready()
    wait_until(lambda: len(amazon.writes("AKSET")) > 1, 20, "signed requests")
    assert not amazon.refused


def test_failures_are_named_and_queries_signed():
    amazon, exporter, server = Amazon(), ScriptedExporter(), FakePrometheus(vector(1))
    amazon.keys["AKSET"] = ("set/secret", "")
    groups = lambda address, keys: (
        f"server_groups: [{{name: west, remote_read: false, static_configs: [{{targets: ['{address}']}}], "
        f"http_client: {{sigv4: {{region: r, access_key: AKSET, {keys}}}}}}}]\n")
    sluice = Sluice(groups(server.address, f"secret_key: wrong-secret, role_arn: 'arn:aws:iam::1:role/a', sts_endpoint: '{amazon.url}/sts'"),
                    env=environment())
    query = {"query": "m{a=~'ü+ &%2F'}", "time": 1000}
    error = sluice.get("/api/v1/query", query).json()["error"]
    assert "sigv4: cannot assume the role arn:aws:iam::1:role/a at STS: HTTP 403: AccessDenied: not <you>" in error, error
    assert not server.queries() and "wrong-secret" not in error + sluice.log()
    assert sluice.reconfigure(groups(amazon.address, "secret_key: set/secret")).status == 200
    answer = sluice.get("/api/v1/query", query)
    wait_until(lambda: any(path in ("/api/v1/query", "/api/v1/export") for path, _, _ in amazon.used), 20, f"signed query; {answer.text} {amazon.used} {amazon.refused}")
    assert len(amazon.refused) == 1, "at STS, before the reload"
    none = sluice.reconfigure(config(exporter, (amazon.url + "/write", "sigv4: {region: r}")))
    assert none.status == 200
    wait_until(lambda: "sigv4: no AWS credentials: set access_key and secret_key" in sluice.log(), 20, "log line")
    bad = write_file("bad.yml", config(exporter, ("http://h/", "sigv4: {access_key: a}")))
    checked = subprocess.run([f"{ROOT}/{OUT}/sluice", "--dryRun", f"--config.file={bad}"], capture_output=True, text=True)
    assert "sigv4: access_key and secret_key must be set together" in checked.stderr, checked.stderr


class ConnectProxy(fakes.Fake):
    """Notes the headers of CONNECT and refuses it, and forwards nothing."""

    def __init__(self):
        self.seen = []
        super().__init__()
        fakes.Handler.do_CONNECT = lambda request: request.server.owner.answer(request, b"")

    def answer(self, request, body):
        self.seen.append((request.command, request.headers.get_all("X-To-Proxy"), request.headers["X-To-Server"]))
        return request.reply(502)


def test_headers_for_the_proxy_reach_only_it():
    proxy = ConnectProxy()
    job = ("{{job_name: {0}, scrape_interval: 300ms, scheme: {0}, proxy_url: 'http://{1}', proxy_connect_header: "
           "{{X-To-Proxy: [s3cret-1, s3cret-2]}}, headers: ['X-To-Server: 1'], static_configs: [{{targets: ['127.0.0.2:1']}}]}}")
    sluice = Sluice(f"scrape_configs: [{job.format('https', proxy.address)}, {job.format('http', proxy.address)}]\n")
    wait_until(lambda: {c for c, _, _ in proxy.seen} == {"CONNECT", "GET"}, 20, "requests")
    for command, to_proxy, to_server in proxy.seen:
        assert to_proxy == ["s3cret-1", "s3cret-2"] and to_server == (None if command == "CONNECT" else "1"), proxy.seen
    shown = sluice.get("/config").text
    assert "X-To-Proxy: [<secret>, <secret>]" in shown and "s3cret" not in shown


def test_flags_of_vmagent_sign_and_fetch_tokens():
    amazon, exporter, issuer, keeper = Amazon(), ScriptedExporter(), Issuer(), Keeper()
    amazon.keys["AKSET"] = ("set/secret", "")
    scrape = config(exporter).replace("remote_write:\n", "")
    sluice = Sluice(scrape, f"-remoteWrite.url={amazon.url}/write", f"-remoteWrite.url=http://{keeper.address}/write",
                    "-remoteWrite.aws.useSigv4=true,false", "-remoteWrite.aws.accessKey=AKSET", "-remoteWrite.aws.secretKey=set/secret",
                    "-remoteWrite.aws.region=r", "-remoteWrite.aws.roleARN=arn:aws:iam::1:role/flag",
                    "-remoteWrite.aws.service=s", f"-remoteWrite.aws.stsEndpoint={amazon.url}/sts",
                    "-remoteWrite.oauth2.clientID=,me", "-remoteWrite.oauth2.clientSecret=s3cret-value",
                    f"-remoteWrite.oauth2.tokenUrl=http://{issuer.address}/token", "-remoteWrite.oauth2.scopes=a;b c",
                    '-remoteWrite.oauth2.endpointParams={"audience": "x,y"}', config_flag="-promscrape.config")
    wait_until(lambda: amazon.writes("AKFLAG") and keeper.seen, 20, "writes")
    assert set(amazon.writes("AKFLAG")) == {"r/s/aws4_request"} and set(keeper.seen) == {"Bearer token-1"}
    assert issuer.asked[0][1] == {"grant_type": ["client_credentials"], "scope": ["a b c"], "audience": ["x,y"]}, issuer.asked
    shown = sluice.get("/flags").text + sluice.get("/metrics").text + sluice.log()
    assert "set/secret" not in shown and "s3cret-value" not in shown
