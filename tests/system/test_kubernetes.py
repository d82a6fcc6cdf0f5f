# SPDX-License-Identifier: Apache-2.0
"""kubernetes_sd_configs, beside a real Prometheus and vmagent at the same API server."""
import re
import ssl

from kube import *
from lib import *
from secure import Authority
from test_discovery import targets
from test_group_discovery import shown

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
        more = [set(x[0]) - set(y[0]) for x, y in zip(a, b)] if len(a) == len(b) else [dict(x[0])["__address__"] for x in a]
        less = [set(y[0]) - set(x[0]) for x, y in zip(a, b)] if len(a) == len(b) else [dict(x[0])["__address__"] for x in b]
        raise AssertionError(f"{job}: {len(a)} and {len(b)} targets, of {n}; only ours: {more}; only theirs: {less}") from None


def cluster():
    """Objects of every kind, with what is rare in them."""
    kube = FakeKube()
    kube.page = 2
    kube.put("nodes", node("node1", "127.10.0.1", {"zone": "a", "a.b/c-d": "x"}, {"csi/id": "{\"a\": 1}"}), node("node2", "127.10.0.2"),
             node("dns", addresses=[{"type": "ExternalDNS", "address": "dns.example"}, {"type": "Hostname", "address": "dns"}]),
             node("v6", addresses=[{"type": "InternalIP", "address": "fd00::7"}]))
    kube.put("namespaces", namespace("default", {"team": "x"}), namespace("other", annotations={"owner/of": "it"}))
    kube.put("pods", pod("a", containers=[container("app", WEB, ADMIN), container("side")], init=[container("setup", ("", 7, "UDP"))],
                         labels={"app.kubernetes.io/name": "a", "empty": ""}, annotations={"prometheus.io/scrape": "true"},
                         owner=("ReplicaSet", "a-12")),
             pod("b", "other", "fd00::5", "node2", [container("app", WEB)], phase="Pending", ready=None),
             pod("noip", ip=None, containers=[container("app", WEB)]), pod("job", ip="127.11.0.9", containers=[container("app", ADMIN)], ready="False", owner=("Job", "j-1")))
    kube.put("services", service("web", ("http", 80), ("admin", 9090), labels={"app": "web"}, annotations={"prometheus.io/scrape": "true"}),
             service("out", ("x", 443), ns="other", kind="ExternalName", externalName="out.example"),
             service("lb", ("x", 1), kind="LoadBalancer", loadBalancerIP="127.13.0.1"), service("none"))
    kube.put("endpoints", endpoints(
        "web", {"addresses": [{"ip": "127.11.0.5", "nodeName": "node1", "hostname": "a-0", "targetRef": ref("a")}, {"ip": "127.11.0.77", "nodeName": "node2"}],
                "notReadyAddresses": [{"ip": "127.11.0.9", "nodeName": "node1", "targetRef": ref("job")}, {"ip": "127.10.0.1", "targetRef": ref("node1", None, "Node")}],
                "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}, {"port": 7, "protocol": "UDP"}]},
        {"addresses": [{"ip": "127.11.0.6", "targetRef": ref("gone")}], "ports": [{"port": 1, "protocol": "TCP"}]}, labels={"of": "web"}),
        endpoints("alone", {"addresses": [{"ip": "fd00::5", "targetRef": ref("b", "other")}], "ports": [{"name": "web", "port": 8080, "protocol": "TCP"}]},
                  ns="other", annotations={"an": "x"}), endpoints("empty"))
    ready = {"ready": True, "serving": True, "terminating": False}
    kube.put("endpointslices", endpointslice(
        "web-1", "web", {"addresses": ["127.11.0.5"], "conditions": ready, "hostname": "a-0", "nodeName": "node1", "zone": "z1", "targetRef": ref("a")},
        {"addresses": ["127.11.0.9", "127.11.0.10"], "conditions": {"ready": False, "serving": True, "terminating": True}, "targetRef": ref("job"),
         "deprecatedTopology": {"kubernetes.io/hostname": "node1"}},
        {"addresses": ["127.10.0.1"], "conditions": ready, "targetRef": ref("node1", None, "Node")}, ports=[("http", 8080), ("metrics", 9)], labels={"of": "web"}),
        endpointslice("v6", "none", {"addresses": ["fd00::5"], "conditions": ready, "targetRef": ref("b", "other")}, ns="other", kind="IPv6"),
        endpointslice("empty", "web", ports=[]))
    kube.put("ingresses", ingress("shop", ("shop.example", ["/", "/cart", ""]), ("a.shop.example", None), ("b.a.shop.example", ["/x"]), tls=["shop.example", "*.shop.example"],
                                  cls="nginx", labels={"app": "shop"}, annotations={"nginx/x": "y"}), ingress("plain", ("plain.example", ["/p"]), ns="other"))
    kube.put("replicasets", {"metadata": meta("a-12", "default", ownerReferences=[{"kind": "Deployment", "name": "a", "controller": True}])})
    kube.put("jobs", {"metadata": meta("j-1", "default", ownerReferences=[{"kind": "CronJob", "name": "j", "controller": True}])})
    return kube


@waits
def test_targets_are_those_of_prometheus():
    kube = cluster()
    config = jobs(kube, *((role, f"role: {role}") for role in ROLES), ("podnode", "role: pod, attach_metadata: {node: true}"),
                  ("endnode", "role: endpoints, attach_metadata: {node: true}"), ("slicenode", "role: endpointslice, attach_metadata: {node: true}"),
                  ("one", "role: pod, namespaces: {names: [other]}"), ("two", "role: endpoints, namespaces: {names: [other, default]}"),
                  ("picked", "role: pod, selectors: [{role: pod, label: 'empty=', field: 'spec.nodeName=node1'}]"))
    theirs, ours = Prometheus(config), Sluice(config)
    n = {"node": 4, "pod": 6, "service": 4, "endpoints": 12, "endpointslice": 12, "ingress": 4, "podnode": 6, "endnode": 12, "slicenode": 12,
         "one": 1, "two": 12, "picked": 4}
    assert {job: len(targets(ours, job)) for job in n} == n, "the start does not wait for the targets"
    for job in n:
        same(ours, theirs, job, n[job], NEWER)


# What it has of pods only, or not at all.
VMAGENT_LACKS = re.compile("__meta_kubernetes_(endpointslice_endpoint_(zone|topology_.*)|service_loadbalancer_ip|node_condition_.*)")
# Labels that vmagent has of services at endpoints too, of endpoints, namespaces and nodes at the other ports of their pods, and of
# conditions that are absent.
VMAGENTS = re.compile("__meta_kubernetes_(service_(type|cluster_ip|external_name)|endpoints?_.*|endpointslice_.*|namespace_.*|node_.*)|__vm_.*")


@waits
def test_targets_are_those_of_vmagent():
    kube = cluster()
    jobs_of = [(role, f"role: {role}") for role in ROLES] + [
        ("attached", "role: pod, attach_metadata: {node: true, namespace: true}"), ("endall", "role: endpoints, attach_metadata: {node: true, namespace: true}"),
        ("svcns", "role: service, attach_metadata: {namespace: true}"), ("ingns", "role: ingress, attach_metadata: {namespace: true}"),
        ("old", "role: endpointslices, namespaces: {names: [default]}"), ("picked", "role: service, selectors: [{role: service, label: app=web}]")]
    config = jobs(kube, *jobs_of)
    theirs = VMAgent(config, "-promscrape.kubernetesSDCheckInterval=1s", "-remoteWrite.url=http://127.0.0.1:1/")
    ours = Sluice(config, config_flag="-promscrape.config")

    def found(program, job):
        """By address; without init containers of endpoints, which vmagent has only if they go on."""
        out = {}
        for meta, _ in targets(program, job):
            meta = {k: v for k, v in meta if k.startswith(("__meta", "__address__"))}
            if meta.get("__meta_kubernetes_pod_container_init") == "true" and job not in ("pod", "attached"):
                meta = {k: v for k, v in meta.items() if "_pod_container_" not in k}
                if not any(k in meta for k in ("__meta_kubernetes_endpoint_ready", "__meta_kubernetes_endpointslice_port")):
                    continue
            out.setdefault(meta["__address__"], []).append(meta)
        return {address: sorted(all_of, key=str) for address, all_of in out.items()}

    for job, _ in jobs_of:
        try:
            wait_until(lambda: found(theirs, job).keys() == found(ours, job).keys())
        except AssertionError:
            raise AssertionError(f"{job}: {sorted(found(ours, job))} is not {sorted(found(theirs, job))}") from None
        mine, other = found(ours, job), found(theirs, job)
        for address, all_of in mine.items():
            assert len(all_of) == len(other[address]), (job, address)
            for a, b in zip(all_of, other[address]):
                lacks = {k: (v, b.get(k)) for k, v in a.items() if b.get(k) != v and not VMAGENT_LACKS.fullmatch(k)
                         and not (job == "endall" and "_node_" in k and "__meta_kubernetes_pod_name" not in a)}
                more = {k: v for k, v in b.items() if v and k not in a and not VMAGENTS.fullmatch(k)}
                assert not lacks and not more, f"{job} {address}: only ours {lacks}, only vmagent's {more}"


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
    wait_until(lambda: discovered(sluice, "pod", "__meta_kubernetes_pod_label_v").count("2") == 1)

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
    wait_until(lambda: kube.watching == 2)
    kube.silent = True
    kube.cut()
    wait_until(lambda: kube.watching == 0, what="no watch has the event")
    kube.delete("pods", "p1", "default")
    kube.compact()
    kube.silent = False
    wait_until(lambda: "p1" not in pods(sluice), what="a list after 410")
    assert len(pods(sluice)) == 8

    # A server that throttles is left alone for as long as it says; the targets stay.
    kube.refuse = lambda *_: (429, "TooManyRequests", {"Retry_After": "1"})
    failures = sluice.metric("prometheus_sd_kubernetes_failures_total")
    kube.cut()
    wait_until(lambda: sluice.log().count("HTTP 429: scripted: TooManyRequests") == 2)
    assert sluice.metric("sluice_sd_failing_sources", 'config="pod"') == 1
    asked = len(kube.requests("sluice"))
    assert len(pods(sluice)) == 8
    kube.refuse = lambda *_: (403, "Forbidden", {})
    wait_until(lambda: sluice.log().count("HTTP 403: scripted: Forbidden") == 2, what="the next requests, after Retry-After")
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


@waits
def test_servers_that_end_watches_are_not_asked_without_pause():
    kube = FakeKube()
    kube.put("pods", pod("a", containers=[container("app", WEB)]))
    too_new = {**status(504, "Timeout", "Too large resource version: 9, current: 1"), "details": {"causes": [{"reason": "ResourceVersionTooLarge"}]}}
    expired = json.dumps({"type": "ERROR", "object": status(410, "Expired", "too old")}).encode()
    answers, began, answer = [(504, too_new), (200, {"type": "ERROR", "object": too_new})], [], kube.answer
    kube.answer = lambda request, body: kube.reply(request, *answers.pop(0)) if answers and "watch=1" in request.path else answer(request, body)
    lists = lambda: len(kube.requests("sluice", "pods", watch=None))
    sluice = Sluice(jobs(kube, ("pod", "role: pod")), "-promscrape.kubernetesSDCheckInterval=50ms")
    wait_until(lambda: kube.watching == 1 and not answers, what="a list after a version that the server does not have yet, as after a restore")
    assert lists() == 3

    # A version that expires at once, again and again.
    kube.raw = lambda program, path, p: expired if "watch" in p else None
    failures = sluice.metric("prometheus_sd_kubernetes_failures_total")
    before = lists()
    kube.cut()
    wait_until(lambda: sluice.metric("prometheus_sd_kubernetes_failures_total") >= failures + 2, what="pauses")
    n = lists() - before
    assert n <= sluice.metric("prometheus_sd_kubernetes_failures_total") - failures + 2

    # A watch that ends with its first event, again and again.
    event = json.dumps({"type": "ADDED", "object": pod("b", ip="127.11.0.6", containers=[container("app", WEB)])}).encode()
    kube.raw = lambda program, path, p: (began.append(time.monotonic()) or event) if "watch" in p else None
    wait_until(lambda: len(began) >= 3)
    assert began[2] - began[0] > 0.5, began
    wait_until(lambda: pods(sluice) == ["a", "b"])


@waits
def test_parts_share_targets():
    """Pods with one address are one target, as long as one of them is there; limits and dropped targets are those of all pods."""
    kube = FakeKube()
    one = lambda name, ip, **more: pod(name, ip=ip, containers=[container("app", WEB)], **more)
    kube.put("pods", one("a", "127.11.2.1"), one("b", "127.11.2.2"), one("skip", "127.11.2.3", labels={"skip": "yes"}), one("bad", "127.11.2.4 "))
    config = jobs(kube, ("pod", "role: pod")) + """  target_limit: 3
  relabel_configs:
  - {source_labels: [__meta_kubernetes_pod_label_skip], regex: 'yes', action: drop}
  - {source_labels: [__meta_kubernetes_pod_label_kind], target_label: kind}
"""
    sluice = Sluice(config, "-promscrape.kubernetesSDCheckInterval=50ms")
    addresses = lambda: sorted(dict(labels)["instance"] for _, labels in targets(sluice, "pod"))
    dropped = lambda: sorted(t["discoveredLabels"]["__meta_kubernetes_pod_name"] for t in sluice.data("/api/v1/targets")["droppedTargets"])
    exceeded = lambda: sluice.metric("prometheus_target_scrape_pool_exceeded_target_limit_total")
    assert addresses() == ["127.11.2.1:8080", "127.11.2.2:8080"] and "skip" in dropped(), (addresses(), dropped())

    kube.put("pods", one("c", "127.11.2.1"), one("d", "127.11.2.5"), one("skip2", "127.11.2.6", labels={"skip": "yes"}))
    wait_until(lambda: addresses() == [f"127.11.2.{i}:8080" for i in (1, 2, 5)])
    assert "duplicate target; scraping it once" in sluice.log() and exceeded() == 0
    wait_until(lambda: {"skip", "skip2"} <= set(dropped()))
    kube.delete("pods", "a", "default")
    kube.delete("pods", "skip", "default")
    wait_until(lambda: "skip" not in dropped())
    assert addresses() == [f"127.11.2.{i}:8080" for i in (1, 2, 5)], "c has the address of a"
    kube.put("pods", one("c", "127.11.2.7"))
    wait_until(lambda: addresses() == [f"127.11.2.{i}:8080" for i in (2, 5, 7)])

    kube.put("pods", one("e", "127.11.2.8"))
    wait_until(lambda: exceeded() > 0, what="four targets, of three")
    kube.delete("pods", "e", "default")
    wait_until(lambda: len(addresses()) == 3)
    before = exceeded()
    kube.put("pods", one("b", "127.11.2.2", labels={"kind": "new"}))
    wait_until(lambda: ["new" for _, labels in targets(sluice, "pod") if dict(labels).get("kind") == "new"])
    assert exceeded() == before and len(addresses()) == 3

    kube.put("pods", one("skip2", "127.11.2.6"))
    kube.delete("pods", "b", "default")
    wait_until(lambda: addresses() == [f"127.11.2.{i}:8080" for i in (5, 6, 7)] and dropped() in ([], ["bad"]))


@waits
def test_responses_that_are_no_lists_lose_no_target():
    kube = FakeKube()
    kube.put("pods", pod("a", containers=[container("app", WEB)]))
    sluice = Sluice(jobs(kube, ("pod", "role: pod")), "-promscrape.kubernetesSDCheckInterval=50ms")
    assert pods(sluice) == ["a"]
    good = pod("a", containers=[container("app", WEB)])
    bodies = [b"", b"[]", b"{", b"<html>", json.dumps(status(500, "x", "y")).encode(), json.dumps(good).encode(), b'{"metadata": {}, "items": []}',
              b'{"metadata": {"resourceVersion": "7"}, "items": {"a": 1}}', b'{"metadata": {"resourceVersion": "7"}, "items": [' + json.dumps(good).encode()]
    for i, body in enumerate(bodies):
        served = []
        kube.raw = lambda *_: served.append(1) or body
        failures = sluice.metric("prometheus_sd_kubernetes_failures_total")
        assert sluice.reconfigure(jobs(kube, ("pod", f"role: pod, selectors: [{{role: pod, label: 'x{i}!=y'}}]"))).status == 200
        wait_until(lambda: served and sluice.metric("prometheus_sd_kubernetes_failures_total") > failures, what=str(body))
        assert pods(sluice) == ["a"], body
    kube.raw = None
    kube.put("pods", pod("b", ip="127.11.0.6", containers=[container("app", WEB)]))
    wait_until(lambda: pods(sluice) == ["a", "b"])


@waits
def test_pages_without_an_end_lose_no_target():
    """A separate sluice: the log prints 10 lines a minute of a kind, and the test above uses them up."""
    kube = FakeKube()
    kube.put("pods", pod("a", containers=[container("app", WEB)]))
    sluice = Sluice(jobs(kube, ("pod", "role: pod")), "-promscrape.kubernetesSDCheckInterval=50ms")
    assert pods(sluice) == ["a"]
    served = []

    def endless(*_):
        served.append(1)
        return b'{"metadata": {"resourceVersion": "7", "continue": "c%d"}, "items": []}' % (len(served) % 2)
    kube.raw = endless
    assert sluice.reconfigure(jobs(kube, ("pod", "role: pod, selectors: [{role: pod, label: 'pages!=y'}]"))).status == 200
    wait_until(lambda: "the pages of the list lead back to an earlier one" in sluice.log(), what="pages without an end")
    assert pods(sluice) == ["a"] and len(served) < 20
    kube.raw = None
    kube.put("pods", pod("b", ip="127.11.0.6", containers=[container("app", WEB)]))
    wait_until(lambda: pods(sluice) == ["a", "b"])


@waits
def test_kubeconfig_and_groups_share_one_watch():
    """A job with a kubeconfig file and a server group: the same server and credentials, one connection."""
    kube = FakeKube()
    kube.put("pods", pod("p", ip="127.0.0.1", containers=[container("prometheus", ("web", 9, "TCP"))], labels={"app": "prometheus"}))
    seen = set()
    kube.refuse = lambda *_: None
    answer = kube.answer
    kube.answer = lambda request, body: (seen.add(request.headers.get("Authorization")), answer(request, body))[1]
    path = write_file("kubeconfig", f"current-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n"
                      f"clusters: [{{name: k, cluster: {{server: 'http://{kube.address}/'}}}}]\nusers: [{{name: u, user: {{token: secret}}}}]\n")
    sd = f"kubernetes_sd_configs: [{{role: pod, kubeconfig_file: '{path}'}}]"
    sluice = Sluice(f"scrape_configs:\n- {{job_name: a, {sd}}}\n- {{job_name: b, {sd}}}\nserver_groups:\n- {{name: g, remote_read: false, {sd}}}\n")
    assert pods(sluice, "a") == pods(sluice, "b") == ["p"]
    assert shown(sluice) == {"g": ["127.0.0.1:9"]}
    wait_until(lambda: kube.watching == 1)
    assert len(kube.requests("sluice", "pods", watch=None)) == 1 and seen == {"Bearer secret"}
    assert "secret" not in sluice.log() + sluice.get("/config").text


@waits
def test_jobs_of_a_cluster_scrape_what_prometheus_scrapes():
    """The jobs that clusters usually have (tests/configurations/kubernetes.yml), with pods and services that ask for every option."""
    kube = cluster()
    asks = {"prometheus.io/scrape": "true", "prometheus.io/port": "9102", "prometheus.io/path": "/stats", "prometheus.io/scheme": "https",
            "prometheus.io/param_format": "prometheus"}
    kube.put("pods", pod("asks", ip="127.11.0.20", containers=[container("app", WEB), container("side")], annotations=asks, labels={"app": "asks"}),
             pod("six", "other", "fd00::20", containers=[container("app", WEB)], annotations={"prometheus.io/scrape": "true", "prometheus.io/port": "1"}),
             pod("over", ip="127.11.0.21", containers=[container("app", WEB)], annotations=asks, phase="Succeeded"))
    kube.put("services", service("kubernetes", ("https", 443)), service("asks", ("http", 80), annotations={**asks, "prometheus.io/probe": "true"}, labels={"app": "asks"}),
             service("slow", ("http", 80), annotations={**asks, "prometheus.io/scrape_slow": "true"}))
    kube.put("endpoints", endpoints("kubernetes", {"addresses": [{"ip": "127.10.0.9"}], "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}]}),
             *(endpoints(name, {"addresses": [{"ip": "127.11.0.20", "nodeName": "node1", "targetRef": ref("asks")}], "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]})
               for name in ("asks", "slow")))
    kube.put("endpointslices", endpointslice("asks-1", "asks", {"addresses": ["127.11.0.20"], "nodeName": "node1", "conditions": {"ready": True}, "targetRef": ref("asks")}))
    with open(f"{ROOT}/tests/configurations/kubernetes.yml", encoding="utf-8") as f:
        text = re.sub(r"\{role: (\w+)\}", rf"{{role: \1, api_server: 'http://{kube.address}'}}", f.read())
    theirs, ours = Prometheus(text), Sluice(text, "--dialect=prometheus")

    def scraped(program):
        return sorted((t["scrapePool"].removeprefix("kubernetes-"), t["scrapeUrl"], tuple(sorted(t["labels"].items())))
                      for t in program.data("/api/v1/targets")["activeTargets"])
    try:
        wait_until(lambda: scraped(theirs) == scraped(ours))
    except AssertionError:
        a, b = set(scraped(ours)), set(scraped(theirs))
        raise AssertionError(f"only ours: {sorted(a - b)}; only Prometheus': {sorted(b - a)}") from None
    found = scraped(ours)
    assert {pool for pool, _, _ in found} == {"apiservers", "nodes", "nodes-cadvisor", "service-endpoints", "service-endpointslices", "services", "ingresses", "pods"}
    assert ("pods", "https://127.11.0.20:9102/stats?format=prometheus", (
        ("app", "asks"), ("instance", "127.11.0.20:9102"), ("job", "kubernetes-pods"), ("namespace", "default"), ("node", "node1"), ("pod", "asks"))) in found
    assert len(found) == 45, len(found)


@waits
def test_tls_and_a_token_that_is_replaced():
    """As in a pod: TLS with the cluster's CA, and a token file whose content changes; metadata is attached by flags."""
    kube = cluster()
    authority = Authority()
    authority.issue("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder()}/server.pem", f"{folder()}/server.key")
    get_request = kube.server.get_request

    def get_secure_request():
        connection, address = get_request()
        return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address
    kube.server.get_request = get_secure_request
    good, answer = ["one"], kube.answer

    def check(request, body):
        if request.headers.get("Authorization") != f"Bearer {good[0]}":
            return kube.reply(request, 401, status(401, "Unauthorized", "Unauthorized"))
        return answer(request, body)
    kube.answer = check
    token = write_file("token", "one")
    path = write_file("kubeconfig", f"current-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n"
                      f"clusters: [{{name: k, cluster: {{server: 'https://{kube.address}', certificate-authority: ca.pem}}}}]\nusers: [{{name: u, user: {{tokenFile: token}}}}]\n")
    sluice = Sluice(f"scrape_configs:\n- {{job_name: pod, kubernetes_sd_configs: [{{role: pod, kubeconfig_file: '{path}'}}]}}\n"
                    f"- {{job_name: own, kubernetes_sd_configs: [{{role: pod, kubeconfig_file: '{path}', attach_metadata: {{}}}}]}}\n",
                    "-promscrape.kubernetesSDCheckInterval=50ms", "-promscrape.kubernetes.attachNodeMetadataAll", "-promscrape.kubernetes.attachNamespaceMetadataAll")
    before = pods(sluice)
    assert len(before) == 6
    assert set(discovered(sluice, "pod", "__meta_kubernetes_node_name")) == {"node1", "node2"}
    assert "x" in discovered(sluice, "pod", "__meta_kubernetes_namespace_label_team")
    assert set(discovered(sluice, "own", "__meta_kubernetes_node_name") + discovered(sluice, "own", "__meta_kubernetes_namespace_label_team")) == {""}

    kube.put("pods", pod("late", ip="127.11.0.31", containers=[container("app", WEB)]))
    wait_until(lambda: "late" in pods(sluice), what="an event over TLS arrives at once")
    good[0] = "two"
    kube.cut()
    wait_until(lambda: "HTTP 401: Unauthorized" in sluice.log())
    write_file("token", "two")
    wait_until(lambda: sluice.metric("sluice_sd_failing_sources", 'config="pod"') == 0, 30)
    kube.put("pods", pod("later", ip="127.11.0.32", containers=[container("app", WEB)]))
    wait_until(lambda: "later" in pods(sluice))
    assert len(pods(sluice)) == 8 and "Bearer" not in sluice.log()
