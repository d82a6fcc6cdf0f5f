# SPDX-License-Identifier: Apache-2.0
"""kubernetes_sd_configs, beside a real Prometheus and vmagent at the same API server."""
from kube import *
from lib import *
from test_discovery import targets

ROLES = ("node", "pod", "service", "endpoints", "endpointslice", "ingress")
# Labels of newer releases than the peers'.
NEWER = ("__meta_kubernetes_node_condition_",)
WEB, ADMIN = ("web", 8080, "TCP"), ("admin", 9090, "TCP")


def jobs(kube, *lines):
    """A job of each (name, more of the kubernetes_sd_config)."""
    return "scrape_configs:\n" + "".join(
        f"- job_name: {name}\n  scrape_interval: 1m\n  kubernetes_sd_configs: [{{api_server: 'http://{kube.address}', {more}}}]\n"
        for name, more in lines)


def same(ours, theirs, job, n, ignored=()):
    """Discovered labels, and labels; `ignored`: beginnings of labels that the peer has not, or otherwise."""
    def found(program):
        return sorted(tuple(tuple((k, v) for k, v in labels if not k.startswith(tuple(ignored))) for labels in t)
                      for t in targets(program, job))
    try:
        wait_until(lambda: len(found(theirs)) == n and found(ours) == found(theirs), 20)
    except AssertionError:
        a, b = found(ours), found(theirs)
        more = [dict(set(x[0] + x[1]) - set(y[0] + y[1])) for x, y in zip(a, b)]
        less = [dict(set(y[0] + y[1]) - set(x[0] + x[1])) for x, y in zip(a, b)]
        raise AssertionError(f"{job}: {len(a)} and {len(b)} targets, of {n}; only ours: {more}; only theirs: {less}") from None


@waits
def test_nodes_and_pods_are_those_of_prometheus():
    kube = FakeKube()
    kube.page = 2
    kube.put("nodes", node("node1", "127.10.0.1", {"zone": "a", "a.b/c-d": "x"}, {"csi/id": "{\"a\": 1}"}), node("node2", "127.10.0.2"),
             node("dns", addresses=[{"type": "ExternalDNS", "address": "dns.example"}, {"type": "Hostname", "address": "dns"}]),
             node("v6", addresses=[{"type": "InternalIP", "address": "fd00::7"}]))
    kube.put("namespaces", namespace("default", {"team": "x"}), namespace("other"))
    kube.put("pods", pod("a", containers=[container("app", WEB, ADMIN), container("side")], init=[container("setup", ("", 7, "UDP"))],
                         labels={"app.kubernetes.io/name": "a", "empty": ""}, annotations={"prometheus.io/scrape": "true"},
                         owner=("ReplicaSet", "a-12")),
             pod("b", "other", "fd00::5", "node2", [container("app", WEB)], phase="Pending", ready=None),
             pod("noip", ip=None, containers=[container("app", WEB)]), pod("done", ip="127.11.0.9", containers=[container("app", WEB)], phase="Succeeded", ready="False"))
    config = jobs(kube, ("node", "role: node"), ("pod", "role: pod"), ("meta", "role: pod, attach_metadata: {node: true}"),
                  ("one", "role: pod, namespaces: {names: [other]}"),
                  ("picked", "role: pod, selectors: [{role: pod, label: 'empty=', field: 'spec.nodeName=node1'}]"))
    theirs, ours = Prometheus(config), Sluice(config)
    n = {"node": 4, "pod": 6, "meta": 6, "one": 1, "picked": 4}
    assert {job: len(targets(ours, job)) for job in n} == n, "the start does not wait for the targets"
    for job in n:
        same(ours, theirs, job, n[job], NEWER)


def discovered(program, job, label):
    """The values of a discovered label, in order."""
    return sorted(dict(meta).get(label, "") for meta, _ in targets(program, job))


def pods(sluice, job="pod"):
    return discovered(sluice, job, "__meta_kubernetes_pod_name")


@waits
def test_a_watch_survives_what_api_servers_do():
    kube = FakeKube()
    kube.page = 3
    names = []

    def one(name, **more):
        names.append(name)
        return pod(name, ip=f"127.11.1.{names.index(name)}", containers=[container("app", WEB)], **more)
    kube.put("pods", *(one(f"p{i}") for i in range(8)))
    expired = []

    def expire_once(program, path, p):
        if "continue" in p and not expired:
            expired.append(1)
            return 410, "Expired", {}
        return None
    kube.refuse = expire_once
    sluice = Sluice(jobs(kube, ("pod", "role: pod"), ("same", "role: pod"), ("slow", "role: pod, attach_metadata: {node: true}")),
                    "-promscrape.kubernetesSDCheckInterval=100ms")
    assert pods(sluice) == pods(sluice, "same") == [f"p{i}" for i in range(8)]
    lists = kube.requests("sluice", "pods", watch=None)
    assert [p.get("continue", "")[:5] for _, p in lists] == ["", "token", "", "token", "token"], lists
    assert [p.get("resourceVersion") for _, p in lists] == ["0", None, None, None, None], "after 410 the newest state is listed"
    wait_until(lambda: kube.watching == 2, what="one watch of pods for three jobs, one of nodes")

    kube.put("pods", one("p0", labels={"v": "2"}), one("new"))
    kube.delete("pods", "p7", "default")
    wait_until(lambda: pods(sluice) == ["new"] + [f"p{i}" for i in range(7)])

    # A watch that is cut in the middle of an event goes on where it was.
    before = len(kube.requests("sluice", "pods", watch=None))
    kube.cut()
    kube.put("pods", one("while-cut"))
    wait_until(lambda: "while-cut" in pods(sluice))
    assert len(kube.requests("sluice", "pods", watch=None)) == before, "a list is not needed"
    assert "cut" not in pods(sluice)

    # A bookmark brings a version that is not too old yet.
    wait_until(lambda: kube.watching == 2)
    kube.bookmark()
    version = str(kube.version)
    kube.cut()
    wait_until(lambda: kube.requests("sluice", "pods", watch="1", resourceVersion=version), what="a watch begins at the bookmark")

    # What was removed while the version expired is found by a new list.
    kube.silent = True
    kube.cut()
    kube.delete("pods", "p1", "default")
    kube.compact()
    kube.silent = False
    wait_until(lambda: "p1" not in pods(sluice), what="a list after 410")
    assert len(pods(sluice)) == 8

    # A server that throttles is left alone for as long as it says; the targets stay.
    kube.refuse = lambda *_: (429, "TooManyRequests", {"Retry_After": "2"})
    failures = sluice.metric("prometheus_sd_kubernetes_failures_total")
    kube.cut()
    wait_until(lambda: sluice.log().count("HTTP 429: scripted: TooManyRequests") == 2)
    assert sluice.metric("sluice_sd_failing_sources", 'config="pod"') == 1
    asked = len(kube.requests("sluice"))
    assert len(pods(sluice)) == 8
    kube.refuse = lambda *_: (403, "Forbidden", {})
    wait_until(lambda: "HTTP 403: scripted: Forbidden" in sluice.log(), what="the next request, after Retry-After")
    assert len(kube.requests("sluice")) - asked <= 4
    kube.refuse = None
    wait_until(lambda: sluice.metric("sluice_sd_failing_sources", 'config="pod"') == 0, 40)
    assert sluice.metric("prometheus_sd_kubernetes_failures_total") >= failures + 4
    kube.put("pods", one("after"))
    wait_until(lambda: "after" in pods(sluice))

    # A reload keeps the watch, also for a job of another name.
    before = len(kube.requests("sluice", "pods"))
    sluice.reconfigure(jobs(kube, ("renamed", "role: pod")))
    wait_until(lambda: len(pods(sluice, "renamed")) == 9)
    assert len(kube.requests("sluice", "pods")) == before
    assert sluice.metric("prometheus_sd_kubernetes_events_total", 'role="pod"', 'event="add"') >= 9
