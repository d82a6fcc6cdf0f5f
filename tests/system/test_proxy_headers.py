# SPDX-License-Identifier: Apache-2.0
"""--proxy-headers: the tenant of a request reaches the servers, whatever is requested, and what is known of one tenant's
samples is not applied to another's."""
import time

from lib import *
from test_upstream import FakePrometheus, group, groups, vector


class Tenants(FakePrometheus):
    """seen: (path, tenant, authorization) of every request. values: of each tenant."""

    def __init__(self, **values):
        self.seen, self.values = [], values
        super().__init__()

    def answer(self, request, body):
        tenant = request.headers.get("X-Scope-OrgID")
        path = request.path.split("?")[0]
        self.seen.append((path, tenant, request.headers.get("Authorization")))
        if path.endswith("/query") or path.endswith("/query_range"):
            self.body = vector(time.time(), self.values.get(tenant, 0), tenant=str(tenant))
        elif path.startswith("/api/v1/status"):
            self.body = {"status": "success", "data": {"yaml": "global: {}"}}
        else:
            self.body = {"status": "success", "data": {} if path.endswith("metadata") else []}
        return super().answer(request, body)


REQUESTS = [("/api/v1/query", {"query": "up"}), ("/api/v1/query_range", {"query": "up", "start": 100, "end": 200, "step": 10}),
            ("/api/v1/query", {"query": "up[1m]"}), ("/api/v1/series", {"match[]": "up"}), ("/api/v1/labels", {}),
            ("/api/v1/label/job/values", {}), ("/api/v1/metadata", {}), ("/api/v1/query_exemplars", {"query": "up", "start": 1, "end": 2}),
            ("/federate", {"match[]": "up"})]


def test_every_kind_of_request_has_the_headers_of_its_client():
    fake = Tenants()
    for read in (False, True):
        sluice = Sluice(groups(group("g", fake, remote_read=read)), "--proxy-headers=X-Scope-OrgID",
                        "--proxy-headers=X-Other,Authorization", name=f"read-{read}")
        for path, form in REQUESTS:
            fake.seen.clear()
            sluice.get(path, form, headers={"x-scope-orgid": "me", "Authorization": "Bearer of-me", "X-Third": "no"})
            asked = [x for x in fake.seen if not x[0].startswith("/api/v1/status")]
            assert asked and {x[1:] for x in asked} == {("me", "Bearer of-me")}, (path, fake.seen)
            fake.seen.clear()
            sluice.get(path, form)
            assert {x[1:] for x in fake.seen} == {(None, None)}, (path, fake.seen)
        assert "of-me" not in sluice.log()
        sluice.stop()


def test_headers_and_credentials_of_the_group_come_first():
    fake = Tenants()
    sluice = Sluice(groups(group("g", fake, http_headers={"x-scope-orgid": "group"}, http_client={"bearer_token": "secret"})),
                    "--proxy-headers=X-Scope-OrgID,Authorization", "--proxy-headers=X-Request-Id")
    sluice.get("/api/v1/query", {"query": "up"}, headers={"X-Scope-OrgID": "client", "Authorization": "Basic Zm9v"})
    assert {x[1:] for x in fake.seen} == {("group", "Bearer secret")}, fake.seen


def test_what_is_known_of_one_tenant_is_not_of_another():
    """Two Prometheus that hold copies: one complete replica is queried alone, but not for a request with a tenant."""
    began = int(time.time()) - 1200
    up = [({"__name__": name, "job": "j", "instance": "i"}, [(1000 * t, v) for t in range(began, began + 1200, 15)])
          for name, v in (("up", 1.0), ("scrape_samples_post_metric_relabeling", 1.0), ("m", 5.0))]
    servers = [Prometheus("", name=f"p{i}") for i in range(2)]
    for server in servers:
        assert push(server.write_url, up).status == 204
    targets = ", ".join(f"'{s.address}'" for s in servers)
    sluice = Sluice(f"server_groups: [{{name: g, static_configs: [{{targets: [{targets}]}}]}}]\n", "--proxy-headers=X-Scope-OrgID")
    form = {"query": "sum(m)", "time": began + 600}

    def plan(**headers):
        return sluice.get("/api/v1/explain", form, headers=headers).json()["data"]["plan"]
    wait_until(lambda: plan()[-1]["evaluated"] == "pushed", 60, "coverage is known")
    other = plan(**{"X-Scope-OrgID": "other"})
    assert other[-1]["evaluated"] != "pushed" and "--proxy-headers" in str(other), other
    raw = {"query": "m[5m]", "time": began + 600}
    assert len(sluice.data("/api/v1/explain", raw)["requests"]) == 1
    tenant = sluice.get("/api/v1/explain", raw, headers={"X-Scope-OrgID": "other"}).json()["data"]
    assert len(tenant["requests"]) == 2, tenant


def test_names_that_cannot_be_passed_on():
    for name, words in (("Content-Length", "belongs to a single request"), ("a b", "is not the name of a header"),
                        ("host", "belongs to a single request")):
        bad = Sluice("", f"--proxy-headers={name}", ready=False, name="bad")
        assert bad.wait_exit() != 0 and words in bad.log(), bad.log()


def test_promxy_reads_the_names_from_the_environment():
    fake = Tenants()
    sluice = Sluice("promxy:\n  " + groups(group("g", fake)).replace("\n", "\n  "), config_flag="--config",
                    listen_flag="--bind-addr", env={"PROXY_HEADERS": "X-Scope-OrgID"})
    sluice.get("/api/v1/query", {"query": "up"}, headers={"X-Scope-OrgID": "me"})
    assert {x[1] for x in fake.seen if x[0] == "/api/v1/query"} == {"me"}, fake.seen
