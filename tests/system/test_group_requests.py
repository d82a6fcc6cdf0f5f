# SPDX-License-Identifier: Apache-2.0
"""What every request to a server of a group has, whatever is requested: credentials, headers, parameters, matchers."""
import base64
import ssl
import time
import urllib.parse

import remote_read
from lib import *
from secure import Authority
from test_proxy_headers import REQUESTS
from test_upstream import FakePrometheus, group, groups


class Recorder(FakePrometheus):
    """seen: (path, parameters of the URL, headers) of every request."""

    def __init__(self):
        self.seen = []
        super().__init__()

    def answer(self, request, body):
        path, _, query = request.path.partition("?")
        self.seen.append((path, urllib.parse.parse_qs(query), request.headers))
        if path.startswith("/api/v1/status/config"):
            self.body = {"status": "success", "data": {"yaml": "global: {}"}}
        else:
            self.body = {"status": "success", "data": {} if path.endswith("metadata") else []}
        return super().answer(request, body)


def test_credentials_headers_and_parameters_of_every_request():
    fake = Recorder()
    secret = write_file("token", "from-file\n")
    basic = "Basic " + base64.b64encode(b"u:p").decode()
    for i, (client, wanted) in enumerate((
            ({"basic_auth": {"username": "u", "password": "p"}}, basic),
            ({"basic_auth": {"username": "u", "password_file": write_file("password", "p\n")}}, basic),
            ({"bearer_token": "t"}, "Bearer t"), ({"bearer_token_file": secret}, "Bearer from-file"),
            ({"authorization": {"type": "Custom", "credentials": "t"}}, "Custom t"),
            ({"authorization": {"credentials_file": secret}}, "Bearer from-file"))):
        fake.seen.clear()
        s = Sluice(groups(group("g", fake, http_client=client, http_headers={"X-Scope-OrgID": "a"}, query_params={"nocache": "1"})),
                   name=f"client-{i}")
        paths = set()
        for path, form in REQUESTS:
            s.get(path, form)
        wait_until(lambda: fake.seen)
        for path, params, headers in list(fake.seen):
            paths.add(path)
            assert headers["Authorization"] == wanted, (client, path, headers)
            assert headers["X-Scope-OrgID"] == "a" and params.get("nocache") == ["1"], (path, params, headers)
        assert {"/api/v1/read", "/api/v1/query", "/api/v1/query_range", "/api/v1/series", "/api/v1/labels", "/api/v1/metadata",
                "/api/v1/query_exemplars", "/api/v1/label/job/values", "/api/v1/status/buildinfo"} <= paths, paths
        shown = s.get("/api/v1/status/config").text + s.log()
        assert "from-file" not in shown and "Custom t" not in shown and '"p"' not in shown, shown
        s.stop()


EVERY_PATH = {"/api/v1/" + path for path in ("read", "query", "query_range", "series", "labels", "metadata", "query_exemplars",
                                             "label/job/values", "status/buildinfo")}


def check_every_request(sluice, fake, prefix=""):
    for path, form in REQUESTS:
        sluice.get(path, form)
    wait_until(lambda: {prefix + path for path in EVERY_PATH} <= {path for path, _, _ in fake.seen}, what="every kind of request")
    assert all(path.startswith(prefix + "/api/v1/") for path, _, _ in fake.seen), fake.seen


def test_every_request_goes_through_the_proxy():
    """Nobody else knows the name of the server."""
    proxy = Recorder()
    sluice = Sluice("server_groups:\n- static_configs: [{targets: ['store.invalid:9090']}]\n  remote_read: true\n"
                    f"  http_client: {{proxy_url: 'http://{proxy.address}', basic_auth: {{username: u, password: p}}}}\n")
    check_every_request(sluice, proxy, "http://store.invalid:9090")
    assert all("Authorization" in headers for _, _, headers in proxy.seen), [dict(h) for _, _, h in proxy.seen]


def test_every_request_has_the_certificate_of_the_group():
    ca, stranger, fake = Authority(), Authority("other"), Recorder()
    ca.issue("store", san="DNS:store.test")
    ca.issue("client", usage="clientAuth")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder()}/store.pem", f"{folder()}/store.key")
    context.load_verify_locations(ca.pem)
    context.verify_mode = ssl.CERT_REQUIRED
    fake.server.socket = context.wrap_socket(fake.server.socket, server_side=True)
    text = f"server_groups:\n- scheme: https\n  static_configs: [{{targets: ['{fake.address}']}}]\n  remote_read: true\n" \
           f"  http_client: {{tls_config: {{ca_file: {ca.pem}, cert_file: client.pem, key_file: client.key, server_name: store.test}}}}\n"
    check_every_request(Sluice(text, name="trusted"), fake)
    for wrong, words in ((text.replace(ca.pem, stranger.pem), "certificate"), (text.replace(", server_name: store.test", ""), "certificate"),
                         (text.replace(" cert_file: client.pem, key_file: client.key,", ""), fake.address)):
        fake.seen.clear()
        answer = Sluice(wrong, name=f"refused-{len(wrong)}").get("/api/v1/query", {"query": "up"})
        assert answer.status == 502 and fake.address in answer.text and words in answer.text and not fake.seen, (wrong, answer)


def test_every_request_maps_the_status_of_the_server():
    """And passes Retry-After on. Reports are complete without a server, with a warning."""
    fake = FakePrometheus()
    fake.body = {"status": "error", "error": "boom"}
    sluice = Sluice(groups(group("west", fake, remote_read=False)))
    wait_until(lambda: sluice.metric("sluice_upstream_up") == 1)
    reports = ("rules", "alerts", "targets", "scrape_pools", "status/tsdb", "targets/metadata", "alertmanagers")
    for theirs, ours in ((400, 502), (401, 502), (403, 502), (404, 502), (408, 504), (422, 422), (429, 429), (500, 502), (502, 502), (503, 503),
                         (504, 504)):
        fake.status, fake.headers = theirs, {"Retry_After": 11} if theirs in (429, 503) else {}
        answers = [(path, sluice.get(path, form)) for path, form in REQUESTS]
        read = remote_read.read_query([("__name__", "=", "up")], 1000, 2000)
        answers.append(("read", remote_read.read(sluice, [read])))
        for path, answer in answers:
            assert answer.status == ours and '"west"' in answer.text.replace('\\"', '"') and fake.address in answer.text, (theirs, path, answer)
            assert answer.headers.get("Retry-After") == ("11" if fake.headers else None), (theirs, path, answer.headers)
        for path in reports if theirs in (429, 500) else ():
            answer = sluice.get(f"/api/v1/{path}")
            assert answer.status == 200 and fake.address in answer.json()["warnings"][0] and answer.json()["isPartial"], (path, answer)


def test_prefer_max_of_the_same_scrape():
    """Also of instant queries, and of the first sample of a range: promxy uses it for neither."""
    now = int(time.time()) // 60 * 60
    servers = [Prometheus("", name=name) for name in "ab"]
    for server, value in zip(servers, (5.0, 9.0)):
        assert push(server.write_url, [({"__name__": "m"}, [(1000 * t, value) for t in range(now - 300, now, 15)])]).status == 204
    s = Sluice(groups(group("g", *servers, prefer_max=True)))
    assert s.query("m", now - 15)["result"][0]["value"][1] == "9"
    values = [v for _, v in s.query_range("m", now - 300, now - 15, 15)["result"][0]["values"]]
    assert set(values) == {"9"} and len(values) == 20, values
    assert s.query("sum_over_time(m[1m])", now - 15)["result"][0]["value"][1] == "36"
