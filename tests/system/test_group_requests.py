# SPDX-License-Identifier: Apache-2.0
"""What every request to a server of a group has, whatever is requested: credentials, headers, parameters, matchers."""
import base64
import time
import urllib.parse

from lib import *
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
