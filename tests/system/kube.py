# SPDX-License-Identifier: Apache-2.0
"""A Kubernetes API server as far as discovery needs it, and objects in the shapes that its API documents.

Lists and watches as https://kubernetes.io/docs/reference/using-api/api-concepts/ has them: resourceVersion, limit and
continue, bookmarks, "410 Gone". Objects as https://kubernetes.io/docs/reference/kubernetes-api/ documents them.
"""
import json
import re
import threading
import time
import urllib.parse

import fakes

GROUPS = {"/api/v1": "v1", "/apis/discovery.k8s.io/v1": "discovery.k8s.io/v1", "/apis/networking.k8s.io/v1": "networking.k8s.io/v1",
          "/apis/apps/v1": "apps/v1", "/apis/batch/v1": "batch/v1"}
KINDS = {"nodes": "Node", "namespaces": "Namespace", "pods": "Pod", "services": "Service", "endpoints": "Endpoints",
         "endpointslices": "EndpointSlice", "ingresses": "Ingress", "replicasets": "ReplicaSet", "jobs": "Job"}


def status(code, reason, message):
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code}


class FakeKube(fakes.Fake):
    """put() and delete() change objects. asked: (program, path, parameters) of each request.

    To misbehave: refuse (a function of program, path and parameters that returns (code, reason, headers) or None), compact()
    (versions before now are too old), cut() (ends all watches in the middle of an event), silent (new requests get no answer),
    page (objects in a page at most), bookmark() (to all watches), raw (the same that returns the bytes of a body).
    """

    def __init__(self):
        self.version, self.oldest, self.events = 100, 0, []
        self.objects = {resource: {} for resource in KINDS}
        self.raw, self.asked, self.page, self.refuse, self.cuts, self.silent, self.watching = None, [], 1000, None, 0, False, 0
        self.lists, self.tokens = {}, 0  # continue token to what is left of a list
        self.changed = threading.Condition()
        super().__init__()

    # ---- objects ----

    def put(self, resource, *objects):
        with self.changed:
            for o in objects:
                self._put(resource, o)
            self.changed.notify_all()

    def _put(self, resource, o):
        meta = o["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        self.version += 1
        meta["resourceVersion"] = str(self.version)
        meta.setdefault("managedFields", [{"manager": "kubelet", "operation": "Update", "fieldsV1": {"f:metadata": {"f:labels": {}}}}])
        kind = "MODIFIED" if key in self.objects[resource] else "ADDED"
        text = json.dumps(o)
        before = self.objects[resource].get(key)
        self.objects[resource][key] = json.loads(text)
        self.events.append((self.version, resource, kind, json.loads(text), before))

    def delete(self, resource, name, namespace=""):
        with self.changed:
            o = self.objects[resource].pop((namespace, name))
            self.version += 1
            o["metadata"]["resourceVersion"] = str(self.version)
            self.events.append((self.version, resource, "DELETED", o, o))
            self.changed.notify_all()

    def compact(self):
        with self.changed:
            self.oldest, self.lists = self.version + 1, {}
            self.version += 1

    def cut(self):
        with self.changed:
            self.cuts += 1
            self.changed.notify_all()

    def bookmark(self):
        with self.changed:
            self.version += 1
            self.events.append((self.version, None, "BOOKMARK", None, None))
            self.changed.notify_all()

    # ---- requests ----

    def requests(self, program, resource=None, **parameters):
        with self.changed:
            return [(path, p) for who, path, p in self.asked
                    if who == program and (resource is None or path.endswith("/" + resource))
                    and all(p.get(k) == v for k, v in parameters.items())]

    def answer(self, request, body):
        path, _, query = request.path.partition("?")
        p = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        program = request.headers.get("User-Agent", "").split("/")[0].lower()
        with self.changed:
            self.asked.append((program, path, p))
            refused = self.refuse and self.refuse(program, path, p)
            raw = self.raw and self.raw(program, path, p)
        while self.silent:
            time.sleep(0.1)
        if raw is not None:
            return request.reply(200, raw, Content_Type="application/json")
        if refused:
            code, reason, headers = refused
            return self.reply(request, code, status(code, reason, f"scripted: {reason}"), **headers)
        m = re.fullmatch(r"(/apis?(?:/[a-z0-9.]+)?/v1)(?:/namespaces/([^/]+))?/([a-z]+)", path)
        if m is None or m[1] not in GROUPS or m[3] not in KINDS:
            return self.reply(request, 404, status(404, "NotFound", "the server could not find the requested resource"))
        if "sendInitialEvents" in p:
            return self.reply(request, 422, status(422, "Invalid", "sendInitialEvents is forbidden"))
        wanted = lambda o: self.selected(o, m[2], p)
        return self.watch(request, m[1], m[3], p, wanted) if p.get("watch") in ("1", "true") else self.list(request, m[1], m[3], p, wanted)

    @staticmethod
    def reply(request, code, doc, **headers):
        return request.reply(code, json.dumps(doc).encode(), Content_Type="application/json", **headers)

    @staticmethod
    def selected(o, namespace, p):
        if namespace and o["metadata"].get("namespace") != namespace:
            return False
        for term in filter(None, p.get("labelSelector", "").split(",")):
            name, _, value = term.partition("=")
            if not name.endswith("!") and o["metadata"].get("labels", {}).get(name) != value.lstrip("="):
                return False
        for term in filter(None, p.get("fieldSelector", "").split(",")):
            name, _, value = term.partition("=")
            at = o
            for part in name.split("."):
                at = at.get(part, {})
            if at != value:
                return False
        return True

    def list(self, request, group, resource, p, wanted):
        with self.changed:
            if "continue" in p:
                if p["continue"] not in self.lists:
                    return self.reply(request, 410, status(410, "Expired", "The provided continue parameter is too old"))
                version, items = self.lists.pop(p["continue"])
            else:
                version, items = self.version, [o for o in self.objects[resource].values() if wanted(o)]
            n = min(self.page, int(p["limit"])) if p.get("limit") else len(items)
            meta, rest = {"resourceVersion": str(version)}, items[n:]
            if rest:
                self.tokens += 1
                token = f"token{self.tokens}"
                self.lists[token] = (version, rest)
                meta.update({"continue": token, "remainingItemCount": len(rest)})
            doc = {"kind": KINDS[resource] + "List", "apiVersion": GROUPS[group], "metadata": meta, "items": items[:n]}
        return self.reply(request, 200, doc)

    def watch(self, request, group, resource, p, wanted):
        version, cuts, end = int(p["resourceVersion"] or 0), self.cuts, time.monotonic() + float(p.get("timeoutSeconds", 300))
        kind, api = KINDS[resource], GROUPS[group]
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()

        def send(doc, cut=False):
            text = json.dumps(doc).encode() + b"\n"
            request.wfile.write(b"%x\r\n%s" % (len(text), text[:len(text) // 2] if cut else text + b"\r\n"))
            request.wfile.flush()

        if version < self.oldest:
            send({"type": "ERROR", "object": status(410, "Expired", f"too old resource version: {version} ({self.oldest})")})
            request.wfile.write(b"0\r\n\r\n")
            return
        with self.changed:
            self.watching += 1
        try:
            at = 0
            while time.monotonic() < end and self.server:
                with self.changed:
                    if len(self.events) == at and self.cuts == cuts:
                        self.changed.wait(0.5)
                    new, at = self.events[at:], len(self.events)
                for v, of, what, o, before in new:
                    if v <= version:
                        continue
                    if what == "BOOKMARK" and p.get("allowWatchBookmarks"):
                        send({"type": "BOOKMARK", "object": {"kind": kind, "apiVersion": api, "metadata": {"resourceVersion": str(v), "creationTimestamp": None}}})
                    if of != resource:
                        continue
                    was = before is not None and wanted(before)
                    if what != "DELETED" and wanted(o):
                        send({"type": "MODIFIED" if was else "ADDED", "object": {"kind": kind, "apiVersion": api, **o}})
                    elif was:
                        send({"type": "DELETED", "object": {"kind": kind, "apiVersion": api, **o}})
                if self.cuts != cuts:
                    send({"type": "ADDED", "object": {"metadata": {"name": "cut"}}}, cut=True)
                    request.close_connection = True
                    return
            request.wfile.write(b"0\r\n\r\n")
        finally:
            with self.changed:
                self.watching -= 1


# ---- objects ----

def meta(name, namespace=None, labels=None, annotations=None, **more):
    out = {"name": name, "uid": f"uid-{name}", "creationTimestamp": "2026-01-02T03:04:05Z", **more}
    if namespace:
        out["namespace"] = namespace
    if labels:
        out["labels"] = labels
    if annotations:
        out["annotations"] = annotations
    return out


def node(name, ip="127.10.0.1", labels=None, annotations=None, addresses=None, **spec):
    return {"metadata": meta(name, labels={"kubernetes.io/hostname": name, **(labels or {})}, annotations=annotations),
            "spec": {"podCIDR": "127.11.0.0/24", "providerID": f"aws:///eu-west-1a/i-{name}", **spec},
            "status": {"capacity": {"cpu": "4", "memory": "16Gi"},
                       "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-02T03:04:05Z", "reason": "KubeletReady"},
                                      {"type": "MemoryPressure", "status": "False", "lastHeartbeatTime": "2026-01-02T03:04:05Z"}],
                       "addresses": addresses or [{"type": "InternalIP", "address": ip}, {"type": "Hostname", "address": name},
                                                  {"type": "InternalIP", "address": "fd00::1"}],
                       "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}, "nodeInfo": {"kubeletVersion": "v1.33.0"}}}


def namespace(name, labels=None, annotations=None):
    return {"metadata": meta(name, labels={"kubernetes.io/metadata.name": name, **(labels or {})}, annotations=annotations),
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}


def container(name, *ports, image="quay.io/app:1"):
    return {"name": name, "image": image, "resources": {}, "terminationMessagePath": "/dev/termination-log",
            "ports": [{"name": n, "containerPort": port, "protocol": protocol} if n else {"containerPort": port, "protocol": protocol}
                      for n, port, protocol in ports]} if ports else {"name": name, "image": image, "resources": {}}


def pod(name, ns="default", ip="127.11.0.5", on="node1", containers=(), init=(), labels=None, annotations=None, phase="Running", ready="True", owner=None):
    own = [{"apiVersion": "apps/v1", "kind": owner[0], "name": owner[1], "uid": "u", "controller": True, "blockOwnerDeletion": True}] if owner else None
    state = lambda cs: [{"name": c["name"], "ready": True, "restartCount": 0, "image": c["image"], "containerID": f"containerd://{name}-{c['name']}",
                         "state": {"running": {"startedAt": "2026-01-02T03:04:05Z"}}} for c in cs]
    return {"metadata": meta(name, ns, labels, annotations, **({"ownerReferences": own} if own else {})),
            "spec": {"nodeName": on, "restartPolicy": "Always", "containers": list(containers), "initContainers": list(init),
                     "volumes": [{"name": "v", "emptyDir": {}}]},
            "status": {"phase": phase, "hostIP": "127.10.0.1", **({"podIP": ip, "podIPs": [{"ip": ip}]} if ip else {}),
                       "conditions": [{"type": "PodScheduled", "status": "True"}] + ([{"type": "Ready", "status": ready}] if ready else []),
                       "containerStatuses": state(containers), "initContainerStatuses": state(init), "qosClass": "BestEffort"}}


def service(name, *ports, ns="default", kind="ClusterIP", labels=None, annotations=None, **spec):
    return {"metadata": meta(name, ns, labels, annotations),
            "spec": {"type": kind, "sessionAffinity": "None", **({} if kind == "ExternalName" else {"clusterIP": "127.12.0.7", "clusterIPs": ["127.12.0.7"]}),
                     "ports": [{"name": n, "port": port, "protocol": "TCP", "targetPort": port} for n, port in ports], **spec},
            "status": {"loadBalancer": {}}}


def ref(name, ns="default", kind="Pod"):
    return {"kind": kind, "name": name, "uid": f"uid-{name}", **({"namespace": ns} if ns else {})}


def endpoints(name, *subsets, ns="default", labels=None, annotations=None):
    return {"metadata": meta(name, ns, labels, annotations), "subsets": list(subsets)}


def endpointslice(name, of, *ends, ports=(("web", 8080),), ns="default", kind="IPv4", labels=None):
    return {"addressType": kind, "metadata": meta(name, ns, {"kubernetes.io/service-name": of, **(labels or {})}), "endpoints": list(ends),
            "ports": [{"name": n, "port": port, "protocol": "TCP"} for n, port in ports]}


def ingress(name, *rules, ns="default", tls=(), cls=None, labels=None, annotations=None):
    return {"metadata": meta(name, ns, labels, annotations),
            "spec": {**({"ingressClassName": cls} if cls else {}), "tls": [{"hosts": list(tls), "secretName": "s"}] if tls else [],
                     "rules": [{"host": host, **({"http": {"paths": [{"path": path, "pathType": "Prefix", "backend": {}} if path else {"pathType": "Prefix", "backend": {}}
                                                                     for path in paths]}} if paths is not None else {})} for host, paths in rules]},
            "status": {"loadBalancer": {}}}
