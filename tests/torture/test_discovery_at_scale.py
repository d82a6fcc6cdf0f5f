# SPDX-License-Identifier: Apache-2.0
"""50,000 targets of one source, of which one changes with each read: what a read costs, by kind. Prints a line for each kind,
and for a reload that changes nothing. KINDS=docker,file chooses."""
import json
import os
import sys
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
import fakes
from lib import *

N, CHANGES, INTERVAL = int(os.environ.get("TARGETS", 50000)), 4, 2


def address(i):
    return f"127.{20 + i // 65536}.{i // 256 % 256}.{i % 256}"


def labels(i):
    return {f"label-{k}": f"value-{i}-{k}" for k in range(4)}


class Canned(fakes.Fake):
    """answers: {path: bytes, or a function of the query's and form's parameters that returns them}; reads: of the path that is last in a read."""

    def __init__(self):
        self.answers, self.reads, self.last = {}, 0, None
        super().__init__()

    def answer(self, request, body):
        path, _, query = request.path.partition("?")
        form = dict(urllib.parse.parse_qsl(query + "&" + body.decode("latin-1")))
        found = self.answers.get(path, b"[]")
        found = found(form) if callable(found) else found
        while path == self.last and form.get("index") == str(self.reads + 1):
            time.sleep(0.02)
            found = self.answers[path]
        self.reads += path == self.last
        return request.reply(200, found, Content_Type="application/json", X_Consul_Index=self.reads + 1, X_Nomad_Index=self.reads + 1)


class Kind:
    """put(n) makes the server list n targets; conf: the section of the job."""
    env = {}

    def __init__(self):
        self.server = Canned()
        self.items = [self.item(i) for i in range(N)]
        self.parts = [json.dumps(i).encode() for i in self.items] if self.items and not isinstance(self.items[0], bytes) else self.items

    def put(self, n):
        while len(self.parts) < n:
            self.parts.append(self.encoded(len(self.parts)))
        self.server.answers[self.path], self.server.last = self.body(self.parts), self.path

    def encoded(self, i):
        item = self.item(i)
        return item if isinstance(item, bytes) else json.dumps(item).encode()

    def body(self, parts):
        return b"[" + b",".join(parts) + b"]"


class Http(Kind):
    path = "/list"

    def item(self, i):
        return {"targets": [f"{address(i)}:9100"], "labels": {f"__meta_{k.replace('-', '_')}": v for k, v in labels(i).items()}}

    def conf(self):
        return f"http_sd_configs: [{{url: 'http://{self.server.address}/list', refresh_interval: {INTERVAL}s}}]"


class File(Http):
    def put(self, n):
        super().put(n)
        with open(f"{folder()}/new", "wb") as f:
            f.write(self.server.answers["/list"])
        os.rename(f"{folder()}/new", f"{folder()}/targets.json")
        self.server.reads += 1

    def conf(self):
        return f"file_sd_configs: [{{files: ['{folder()}/targets.json'], refresh_interval: {INTERVAL}s}}]"


class Docker(Kind):
    path = "/containers/json"

    def item(self, i):
        return {"Id": f"c{i:012x}", "Names": [f"/web-{i}"], "Image": "registry.example/web:1", "ImageID": "sha256:c100", "Command": "run", "Created": 1700000000,
                "Ports": [{"PrivatePort": 9100, "Type": "tcp"}], "Labels": labels(i), "State": "running", "Status": "Up 2 minutes",
                "HostConfig": {"NetworkMode": "shop"}, "NetworkSettings": {"Networks": {"shop": {"NetworkID": "n1", "IPAddress": address(i)}}}, "Mounts": []}

    def conf(self):
        self.server.answers["/networks"] = json.dumps([{"Name": "shop", "Id": "n1", "Scope": "local", "Labels": {"a": "b"}}]).encode()
        return f"docker_sd_configs: [{{host: 'http://{self.server.address}', refresh_interval: {INTERVAL}s}}]"


class Dockerswarm(Kind):
    path = "/nodes"

    def item(self, i):
        return {"ID": f"n{i}", "Version": {"Index": 9}, "Spec": {"Role": "worker", "Availability": "active", "Labels": labels(i)},
                "Description": {"Hostname": f"host-{i}", "Platform": {"Architecture": "x86_64", "OS": "linux"}, "Engine": {"EngineVersion": "26.1.4"}},
                "Status": {"State": "ready", "Addr": address(i)}}

    def conf(self):
        return f"dockerswarm_sd_configs: [{{host: 'http://{self.server.address}', role: nodes, refresh_interval: {INTERVAL}s}}]"


class Eureka(Kind):
    path = "/eureka/apps"

    def item(self, i):
        return {"instanceId": f"i{i}", "hostName": address(i), "app": "APP", "ipAddr": address(i), "status": "UP", "port": {"$": 9100, "@enabled": "true"},
                "securePort": {"$": 443, "@enabled": "false"}, "countryId": 1, "dataCenterInfo": {"name": "MyOwn"}, "metadata": labels(i),
                "homePageUrl": f"http://{address(i)}/", "vipAddress": "app"}

    def body(self, parts):
        return b'{"applications": {"application": [{"name": "APP", "instance": [' + b",".join(parts) + b"]}]}}"

    def conf(self):
        return f"eureka_sd_configs: [{{server: 'http://{self.server.address}/eureka', refresh_interval: {INTERVAL}s}}]"


class Consulagent(Kind):
    path = "/v1/agent/services"

    def item(self, i):
        return f'"s{i}": '.encode() + json.dumps({"ID": f"s{i}", "Service": "web", "Tags": ["a", "b=c"], "Address": address(i), "Port": 9100,
                                                  "Datacenter": "dc1", "Meta": labels(i)}).encode()

    def body(self, parts):
        return b"{" + b",".join(parts) + b"}"

    def conf(self):
        self.server.answers |= {"/v1/agent/self": b'{"Config": {"Datacenter": "dc1", "NodeName": "n1"}, "Member": {"Addr": "127.0.0.1"}}', "/v1/agent/checks": b"{}"}
        return f"consulagent_sd_configs: [{{server: '{self.server.address}', refresh_interval: {INTERVAL}s}}]"


class Consul(Kind):
    path = "/v1/health/service/web"

    def item(self, i):
        return {"Node": {"ID": f"n{i}", "Node": f"node{i}", "Address": address(i), "Datacenter": "dc1", "Meta": {"instance-type": "t2.medium"}, "TaggedAddresses": {"lan": address(i)}},
                "Service": {"ID": f"web{i}", "Service": "web", "Tags": ["a"], "Address": address(i), "Port": 9100, "Meta": labels(i)}, "Checks": [{"Status": "passing"}]}

    def conf(self):
        self.server.answers |= {"/v1/agent/self": b'{"Config": {"Datacenter": "dc1"}}'}
        return f"consul_sd_configs: [{{server: '{self.server.address}', services: [web], refresh_interval: {INTERVAL}s}}]"


class Nomad(Kind):
    path = "/v1/service/web"

    def item(self, i):
        return {"ID": f"_nomad-task-web-{i}", "ServiceName": "web", "Namespace": "default", "NodeID": "7406e90b", "Datacenter": "dc1", "JobID": "j", "AllocID": f"a{i}",
                "Tags": [f"value-{i}-{k}" for k in range(4)], "Address": address(i), "Port": 9100}

    def conf(self):
        self.server.answers["/v1/services"] = b'[{"Namespace": "default", "Services": [{"ServiceName": "web", "Tags": []}]}]'
        return f"nomad_sd_configs: [{{server: 'http://{self.server.address}', refresh_interval: {INTERVAL}s}}]"


class Ec2(Kind):
    path, page = "/", 1000
    env = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true"}

    def item(self, i):
        tags = "".join(f"<item><key>{k}</key><value>{v}</value></item>" for k, v in labels(i).items())
        return (f"<item><ownerId>1</ownerId><instancesSet><item><instanceId>i-{i}</instanceId><imageId>ami-1</imageId><instanceState><name>running</name></instanceState>"
                f"<privateDnsName>i-{i}.internal</privateDnsName><instanceType>t3.micro</instanceType><placement><availabilityZone>eu-west-1a</availabilityZone></placement>"
                f"<privateIpAddress>{address(i)}</privateIpAddress><vpcId>vpc-1</vpcId><subnetId>subnet-1</subnetId><architecture>x86_64</architecture>"
                f"<tagSet>{tags}</tagSet></item></instancesSet></item>").encode()

    def body(self, parts):
        def page(form):
            if form["Action"] == "DescribeAvailabilityZones":
                return b"<DescribeAvailabilityZonesResponse></DescribeAvailabilityZonesResponse>"
            at = int(form.get("NextToken", 0))
            token = f"<nextToken>{at + self.page}</nextToken>" if at + self.page < len(parts) else ""
            self.server.reads -= token != ""
            return b"<DescribeInstancesResponse><reservationSet>" + b"".join(parts[at:at + self.page]) + f"</reservationSet>{token}</DescribeInstancesResponse>".encode()
        return page

    def conf(self):
        return f"ec2_sd_configs: [{{endpoint: 'http://{self.server.address}', region: eu-west-1, refresh_interval: {INTERVAL}s}}]"


KINDS = {"http": Http, "file": File, "docker": Docker, "dockerswarm": Dockerswarm, "eureka": Eureka, "consulagent": Consulagent, "consul": Consul, "nomad": Nomad, "ec2": Ec2}


def seconds_of(sluice):
    """CPU time of the main thread and of all."""
    def of(path):
        with open(path, encoding="utf-8") as f:
            return int(f.read().split()[0]) / 1e9
    tasks = f"/proc/{sluice.p.pid}/task"
    return of(f"{tasks}/{sluice.p.pid}/schedstat"), sum(of(f"{tasks}/{t}/schedstat") for t in os.listdir(tasks))


def measure(name):
    kind = KINDS[name]()
    kind.put(N)
    sluice = Sluice(f"scrape_configs:\n- job_name: j\n  scrape_interval: 24h\n  {kind.conf()}\n  relabel_configs: [{{action: labelmap, regex: '__meta_(.+)'}}]\n",
                    "--log.level=error", env=kind.env)
    found = lambda: sluice.metric("prometheus_sd_discovered_targets", 'config="j"')
    wait_until(lambda: found() == N, 120, lambda: f"{name}: {found()} targets")
    time.sleep(2 * INTERVAL)
    first = seconds_of(sluice)
    reads, before = kind.server.reads, first
    for i in range(1, CHANGES + 1):
        kind.put(N + i)
        wait_until(lambda: found() == N + i, 60, lambda: f"{name}: {found()} targets")
    reads, after = kind.server.reads - reads, seconds_of(sluice)
    main, cpu = ((after[i] - before[i]) / reads * 1000 for i in (0, 1))
    reloads, before = 3, seconds_of(sluice)
    for _ in range(reloads):
        assert sluice.post("/-/reload").status == 200
    after = seconds_of(sluice)
    print(f"{name}: first read {first[0]:.2f} s of the main thread, {first[1]:.2f} s in all; a read with one change {main:.0f} ms, {cpu:.0f} ms ({reads} reads); "
          f"a reload {(after[0] - before[0]) / reloads * 1000:.0f} ms of the main thread", flush=True)
    sluice.stop()
    kind.server.stop()
    return main, first[0] * 1000


@seconds(900)
def test_one_change_among_many():
    costly = []
    for name in os.environ.get("KINDS", ",".join(KINDS)).split(","):
        main, first = measure(name)
        if main > first / 3:
            costly.append(f"{name}: a read with one change takes {main:.0f} ms of the main thread, the first one {first:.0f} ms")
    assert not costly, "; ".join(costly)
