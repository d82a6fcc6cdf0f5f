# SPDX-License-Identifier: Apache-2.0
"""A Docker daemon and a swarm's manager that tell what a test gave them. The members are those of the responses at
https://docs.docker.com/reference/api/engine/ (ContainerList, NetworkList, ServiceList, TaskList, NodeList), with invented values."""
import json
import re
import socketserver
import threading
import urllib.parse

import fakes


class FakeDocker(fakes.Fake):
    """lists: {"containers/json": [...], "networks": [...]}; asked: (path, filters) of sluice's requests."""

    def __init__(self, lists, path=None):
        self.lists, self.status, self.cut, self.asked, self.logins = lists, 200, False, [], set()
        if path is None:
            super().__init__()
            return
        self.lock = threading.Lock()
        self.server = SocketServer(path, SocketHandler)
        self.server.owner = self
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, request, body):
        path, _, query = request.path.partition("?")
        path = re.sub(r"^/v1\.\d+", "", path).lstrip("/")
        if path == "_ping":
            return request.reply(200, b"OK", Api_Version="1.45", Content_Type="text/plain")
        if request.headers.get("User-Agent", "").startswith("sluice"):
            with self.lock:
                filters = urllib.parse.parse_qs(query).get("filters")
                self.asked.append((path, filters and json.loads(filters[0])))
                self.logins.add(request.headers.get("Authorization"))
        text = json.dumps(self.lists[path]).encode()
        if self.cut:
            request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text[:len(text) // 2])
            request.close_connection = True
            return None
        return request.reply(self.status, text if self.status == 200 else b'{"message":"scripted"}', Content_Type="application/json")


class SocketServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def __init__(self, path, handler):
        self.sockets = set()
        super().__init__(path, handler)

    def process_request(self, request, client_address):
        self.sockets.add(request)
        super().process_request(request, client_address)

    handle_error, stop = fakes.Server.handle_error, fakes.Server.stop


class SocketHandler(fakes.Handler):
    disable_nagle_algorithm = False


def network(id, name, **labels):
    return {"Name": name, "Id": id, "Created": "2026-01-02T03:04:05Z", "Scope": "local", "Driver": "bridge", "EnableIPv6": False, "Internal": name == "inner",
            "Attachable": False, "Ingress": name == "ingress", "ConfigOnly": False, "Containers": {}, "Options": {}, "Labels": labels or None}


def attached(id, v4="", v6=""):
    return {"IPAMConfig": None, "Links": None, "Aliases": None, "NetworkID": id, "EndpointID": "e" + id, "Gateway": "", "IPAddress": v4, "IPPrefixLen": 16,
            "IPv6Gateway": "", "GlobalIPv6Address": v6, "GlobalIPv6PrefixLen": 0, "MacAddress": "02:42:ac:13:00:02", "DriverOpts": None}


def container(id, name, networks, ports=(), mode="shop", names=None, **labels):
    return {"Id": id, "Names": [f"/{name}"] if names is None else names, "Image": f"registry.example/{name}:1", "ImageID": f"sha256:{id}00", "Command": "run",
            "Created": 1700000000, "Ports": list(ports), "Labels": labels, "State": "running", "Status": "Up 2 minutes", "HostConfig": {"NetworkMode": mode},
            "NetworkSettings": {"Networks": networks}, "Mounts": []}


def port(private, public=None, kind="tcp", ip="0.0.0.0"):
    return {"PrivatePort": private, "Type": kind, **({"PublicPort": public, "IP": ip} if public else {})}


def docker():
    return {"networks": [network("n1", "shop", **{"com.example/team": "a", "x": "y"}), network("n2", "inner"), network("n0", "host")],
            "containers/json": [
                container("c1", "web", {"shop": attached("n1", "127.20.0.2"), "inner": attached("n2", "127.21.0.2")},
                          [port(9100), port(9200, 32768), port(53, kind="udp"), port(9201, 32769, ip="::")], **{"com.docker.compose.project": "demo", "a-b": "1"}),
                container("c2", "db", {"inner": attached("n2", "127.21.0.3"), "shop": attached("n1", "127.20.0.3")}, [port(53, kind="udp")]),
                container("c4", "node", {"host": attached("n0")}, mode="host"),
                container("c5", "sidecar", {}, [port(9400)], mode="container:c6"), container("c6", "middle", {}, mode="container:c2"),
                container("c7", "lonely", {}, mode="none"), container("c8", "nameless", {"shop": attached("n1", "127.20.0.8")}, names=[])]}


def without_v4():
    return container("c3", "six", {"gone": attached("n9", v6="fd00::3")}, [port(9300)])


def swarm():
    def ports(*list_of):
        return [{"Protocol": kind, "TargetPort": target, "PublishedPort": published, "PublishMode": "ingress", **({"Name": name} if name else {})}
                for kind, target, published, name in list_of]

    def service(id, name, mode, vips, list_of, template, **more):
        return {"ID": id, "Version": {"Index": 41}, "CreatedAt": "2026-01-02T03:04:05Z", "UpdatedAt": "2026-01-02T03:04:05Z",
                "Spec": {"Name": name, "Labels": {"com.docker.stack.namespace": "mon", "team": name}, "TaskTemplate": template, "Mode": mode},
                "Endpoint": {"Spec": {"Mode": "vip"}, "Ports": list_of, "VirtualIPs": [{"NetworkID": n, "Addr": addr} for n, addr in vips]}, **more}

    def node(id, role, addr, state, **more):
        return {"ID": id, "Version": {"Index": 9}, "Spec": {"Role": role, "Availability": "active", "Labels": {"rack.no": "7"}},
                "Description": {"Hostname": "host-" + id, "Platform": {"Architecture": "x86_64", "OS": "linux"}, "Resources": {}, "Engine": {"EngineVersion": "26.1.4"}},
                "Status": {"State": state, "Addr": addr}, **more}

    def task(id, service, node, slot, addresses, published=(), **more):
        return {"ID": id, "Version": {"Index": 11}, "Labels": {}, "Spec": {"ContainerSpec": {"Image": "i", "Labels": {"build": id}}}, "ServiceID": service, **slot,
                "NodeID": node, "DesiredState": "running", "Status": {"State": "running", "ContainerStatus": {"ContainerID": "k" + id, "PID": 7},
                                                                      "PortStatus": {"Ports": list(published)}},
                "NetworksAttachments": [{"Network": {"ID": n, "Spec": {}}, "Addresses": [address]} for n, address in addresses], **more}

    web = {"ContainerSpec": {"Image": "registry.example/web:1", "Hostname": "web.local", "Labels": {"l": "1"}}}
    return {"networks": [network("n1", "shop", x="y"), network("n2", "ingress")],
            "services": [service("s1", "web", {"Replicated": {"Replicas": 2}}, [("n2", "127.22.0.5/24"), ("n1", "127.23.0.5/24")],
                                 ports(("tcp", 9090, 30001, "metrics"), ("udp", 53, 30002, None), ("tcp", 9091, 30003, None)), web, UpdateStatus={"State": "completed"}),
                         service("s2", "agent", {"Global": {}}, [("n1", "127.23.0.6/24")], [], {"PluginSpec": {"Name": "p"}, "Runtime": "plugin"})],
            "nodes": [node("a", "manager", "127.24.0.1", "ready", ManagerStatus={"Leader": True, "Reachability": "reachable", "Addr": "127.24.0.1:2377"}),
                      node("b", "manager", "127.24.0.2", "down", ManagerStatus={"Leader": False, "Reachability": "unreachable", "Addr": "127.24.0.2:2377"}),
                      node("c", "worker", "127.24.0.3", "ready")],
            "tasks": [task("t1", "s1", "a", {"Slot": 1}, [("n2", "127.22.0.7/24"), ("n1", "127.23.0.7/24")]),
                      task("t2", "s2", "c", {}, [("n1", "127.23.0.8/24")], ports(("tcp", 80, 30080, None), ("udp", 81, 30081, None))),
                      task("t3", "none", "none", {"Slot": 3}, [("n9", "fd00::9/64")])]}
