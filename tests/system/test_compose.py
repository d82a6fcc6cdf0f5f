# SPDX-License-Identifier: Apache-2.0
"""deploy/docker-compose.yml without a docker engine: each service's command line, started with the local programs.

What a container gives is put in its place: mounted files are copied with `service:port` turned into loopback
addresses, volumes become folders, each container's port becomes a free one. Grafana is not started; the files it
mounts are read.
"""
import json
import os
import re
import shlex
import subprocess

from lib import *

try:
    import yaml
except ImportError:
    yaml = None

# image or service: (program under build/peers/bin, its port, the flag for its address, arguments of the image)
IMAGES = {
    "prom/prometheus": ("prometheus", 9090, "--web.listen-address",
                        ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]),
    "victoriametrics/victoria-metrics": ("victoria-metrics", 8428, "-httpListenAddr", []),
    "prom/node-exporter": ("node_exporter", 9100, "--web.listen-address", []),
    "coreos/etcd": ("etcd", 2379, "--listen-client-urls", []),
    "sluice": (None, 8429, "--web.listen-address", None)}
READY = {"prometheus": "/-/ready", "victoria-metrics": "/health", "node_exporter": "/", "etcd": "/health", None: "/-/ready"}


def compose(folder="deploy"):
    if yaml is None:
        raise Skip("python3-yaml")
    with open(f"{ROOT}/{folder}/docker-compose.yml", encoding="utf-8") as f:
        return yaml.safe_load(f)


def image_of(service):
    """`repository` without registry and tag; what is built here is sluice."""
    if "build" in service:
        return "sluice"
    return re.sub(r":[^/]*$", "", service["image"]).removeprefix("docker.io/").removeprefix("quay.io/")


def arguments(words):
    return shlex.split(words) if isinstance(words, str) else [str(w) for w in words]


def dockerfile(word):
    """The JSON list of the last ENTRYPOINT or CMD of deploy/Dockerfile."""
    with open(f"{ROOT}/deploy/Dockerfile", encoding="utf-8") as f:
        found = re.findall(rf"^{word} (\[.*\])", f.read(), re.M)
    return json.loads(found[-1]) if found else []


class Stack:
    def __init__(self, services, files="deploy"):
        self.files = files
        self.services = {name: s for name, s in services.items() if image_of(s) in IMAGES}
        self.ports = {name: free_port() for name in self.services}

    def localize(self, text, name):
        """Addresses of services become loopback addresses; localhost means the container itself."""
        for other, service in self.services.items():
            usual = IMAGES[image_of(service)][1]
            hosts = f"{other}|localhost|127\\.0\\.0\\.1" if other == name else other
            text = re.sub(rf"(?<![\w.-])(?:{hosts}):{usual}\b", f"127.0.0.1:{self.ports[other]}", text)
        return text

    def mounts(self, name):
        """{path in the container: path here}."""
        out = {}
        for i, mount in enumerate(self.services[name].get("volumes", [])):
            source, target = mount.split(":")[:2] if isinstance(mount, str) else (mount["source"], mount["target"])
            if source.startswith("/"):
                out[target] = source
            elif source.startswith("."):
                with open(os.path.join(ROOT, self.files, source), encoding="utf-8") as f:
                    out[target] = write_file(f"{name}-{i}-{os.path.basename(source)}", self.localize(f.read(), name))
            else:
                out[target] = f"{folder()}/{name}-{source}"
                os.makedirs(out[target], exist_ok=True)
        return out

    def command(self, name):
        service = self.services[name]
        program, usual, listen, default = IMAGES[image_of(service)]
        if default is None:
            words = dockerfile("ENTRYPOINT")[1:] + arguments(service.get("command", dockerfile("CMD")))
        else:
            words = arguments(service.get("command", default))
        paths = {**{"/prometheus": f"{folder()}/{name}-tsdb"}, **self.mounts(name)}
        out = []
        for word in words:
            for inside, here in sorted(paths.items(), key=lambda p: -len(p[0])):
                word, n = re.subn(rf"(?<=[= ]){re.escape(inside)}(?=/|$)|^{re.escape(inside)}(?=/|$)",
                                  "" if here == "/" else here, word)
                if n:
                    word = word if not word.endswith("=") else word + "/"
                    break
            own = f"127.0.0.1:{self.ports[name]}"
            out.append(re.sub(rf"(?:0\.0\.0\.0)?(?<![\w.]):{usual}$", own, self.localize(word, name)))
        if not any(str(self.ports[name]) in w and "listen" in w.lower() for w in out):
            out.append(f"{listen}=127.0.0.1:{self.ports[name]}")
        if default is None and not any("tmpDataPath" in w for w in out):
            out.append(f"-remoteWrite.tmpDataPath={folder()}/{name}-queue")
        if program == "etcd":
            out = [word.replace("0.0.0.0:2379", f"127.0.0.1:{self.ports[name]}") for word in out if word != "etcd" and word != f"{listen}=127.0.0.1:{self.ports[name]}"]
            out.append(f"--listen-peer-urls=http://127.0.0.1:{free_port()}")
        if program == "victoria-metrics":
            out.append("-search.latencyOffset=0s")  # otherwise the newest 30 s are no answer yet
        return [f"{ROOT}/{OUT}/sluice" if program is None else peer(program)] + out

    def start(self, name):
        p = self.process(name)
        p.ready_path = READY[IMAGES[image_of(self.services[name])][0]]
        return p.wait_ready(60)

    def process(self, name):
        if image_of(self.services[name]) != "sluice":
            return HTTPProcess(name, self.command(name), self.ports[name])
        sluice = Sluice(None, name=name, port=self.ports[name], start=False, env=self.services[name].get("environment"))
        sluice.command = self.command(name)
        return sluice.start()


def test_images_have_versions_and_ports_are_local():
    for name, service in [*compose()["services"].items(), *compose("deploy/cluster")["services"].items()]:
        if "build" not in service:
            assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), f"{name}: {service['image']} is no fixed version"
            assert service["healthcheck"]["test"], f"{name} has no healthcheck"
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name} publishes {port}"
    with open(f"{ROOT}/deploy/Dockerfile", encoding="utf-8") as f:
        bases = re.findall(r"^FROM (\S+)", f.read(), re.M)
    assert bases and all(re.search(r":\d+\.\d+-slim$", base) for base in bases), bases


def test_health_check_of_the_image():
    with open(f"{ROOT}/deploy/Dockerfile", encoding="utf-8") as f:
        command = json.loads(re.search(r"^HEALTHCHECK .*\\\n +CMD (\[.*\])$", f.read(), re.M).group(1))
    sluice = Sluice("scrape_configs: []\n")

    def code():
        words = [word.replace("/8429", f"/{sluice.port}") for word in command]
        return subprocess.run(words, stderr=subprocess.DEVNULL, timeout=10).returncode
    assert code() == 0
    sluice.stop()
    assert code() != 0


def run_header(stack):
    """The commands in the head of docker-compose.yml: published ports are those of the stack, services exist."""
    with open(f"{ROOT}/deploy/docker-compose.yml", encoding="utf-8") as f:
        head = "".join(line for line in f if line.startswith("#"))
    ports = {IMAGES[image_of(s)][1]: stack.ports[name] for name, s in stack.services.items()}
    commands = re.findall(r"^# +(curl .*)$", head, re.M)
    assert len(commands) >= 5, head
    for command in commands:
        here = re.sub(r"localhost:(\d+)", lambda m: f"localhost:{ports[int(m.group(1))]}", command)

        def results():
            p = subprocess.run(["sh", "-c", here], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30, text=True)
            assert p.returncode == 0 and '"status":"success"' in p.stdout, f"{command}: {p.returncode} {p.stdout}{p.stderr}"
            data = json.loads(p.stdout)["data"]
            return data.get("result") or data.get("activeTargets")
        wait_until(results, 60, f"something from {command}", every=1)
    for command in re.findall(r"docker compose -f deploy/docker-compose.yml (\w+ ?\w*)", head):
        words = command.split()
        assert words[0] in ("up", "stop", "start") and set(words[1:]) <= {*stack.services, "then"}, command


@seconds(150)
def test_services_work_together():
    stack = Stack(compose()["services"])
    images = {image_of(s): name for name, s in stack.services.items()}
    assert set(images) == set(IMAGES) - {"coreos/etcd"}, f"services for {sorted(images)}"
    sluice = [stack.start(name) for name in sorted(stack.services, key=lambda n: n == images["sluice"])][-1]

    def all_up():
        up = {s["metric"]["job"]: s["value"][1] for s in sluice.query("up")["result"]}
        return len(up) >= 2 and set(up.values()) == {"1"}
    wait_until(all_up, 90, "every job of the stack is up, asked through sluice", every=1)
    assert sluice.query("node_load1")["result"], "node_exporter's series through sluice"
    run_header(stack)


def test_grafana_is_provisioned():
    services = compose()["services"]
    sluice = next(name for name, s in services.items() if image_of(s) == "sluice")
    grafana = next(s for s in services.values() if image_of(s).startswith("grafana/"))
    files = []
    for mount in grafana["volumes"]:
        source = mount.split(":")[0]
        if source.startswith("."):
            path = os.path.join(ROOT, "deploy", source)
            assert os.path.exists(path), f"{source} does not exist"
            files += [os.path.join(d, f) for d, _, names in os.walk(path) for f in names] or [path]
    texts = {}
    for path in files:
        with open(path, encoding="utf-8") as f:
            texts[path] = json.load(f) if path.endswith(".json") else yaml.safe_load(f)
    sources = [d for t in texts.values() for d in t.get("datasources", [])]
    assert any(d["type"] == "prometheus" and f"//{sluice}:8429" in d["url"] for d in sources), sources
    dashboards = [t for path, t in texts.items() if path.endswith(".json")]
    assert dashboards and all(t["panels"] and t["title"] for t in dashboards), "one dashboard"


@waits
def test_cluster_shares_the_targets():
    """deploy/cluster: three members, their etcd and a storage; each target is scraped by one member, and moves when it stops."""
    stack = Stack(compose("deploy/cluster")["services"], "deploy/cluster")
    stack.localize = lambda text, name: Stack.localize(stack, text.replace("http://${MEMBER}:8429", f"http://127.0.0.1:{stack.ports[name]}"), name)
    assert {"sluice-0", "sluice-1", "sluice-2", "etcd", "victoriametrics"} == set(stack.services)
    storage = [stack.start(name) for name in ("etcd", "victoriametrics")][1]
    members = {f"sluice-{i}": stack.start(f"sluice-{i}") for i in range(3)}
    targets = [f"127.0.0.1:{stack.ports[name]}" for name in (*members, "victoriametrics", "etcd")]

    def owners():
        return sorted(t["labels"]["instance"] for m in members.values() if m.alive()
                      for t in m.get("/api/v1/targets").json()["data"]["activeTargets"])
    wait_until(lambda: owners() == sorted(targets), 30, "an owner for each target")
    page = lambda: members["sluice-0"].get("/cluster").text
    wait_until(lambda: page().count("state=active") == 3, 30, "three active members")
    assert page().startswith("cluster demo, member sluice-0: active"), page()
    members["sluice-1"].stop()
    wait_until(lambda: owners() == sorted(targets), 30, "an owner for each target after one left")
    wait_until(lambda: len(storage.get("/api/v1/query", {"query": "up"}).json()["data"]["result"]) == len(targets), 40, "all targets at the storage")


def test_cluster_of_kubernetes():
    """Its configuration loads with the environment that the pod gets, and the resources fit each other."""
    if yaml is None:
        raise Skip("python3-yaml")
    with open(f"{ROOT}/deploy/cluster/kubernetes.yml", encoding="utf-8") as f:
        found = {(d["kind"], d["metadata"]["name"]): d for d in yaml.safe_load_all(f)}
    pods, service = found["StatefulSet", "sluice"]["spec"], found["Service", "sluice"]["spec"]
    container = pods["template"]["spec"]["containers"][0]
    assert service["selector"] == pods["selector"]["matchLabels"] == pods["template"]["metadata"]["labels"]
    assert pods["serviceName"] == "sluice" and service["clusterIP"] == "None" and pods["replicas"] == 3
    mounted = {v["name"] for v in pods["template"]["spec"]["volumes"]} | {c["metadata"]["name"] for c in pods["volumeClaimTemplates"]}
    assert {m["name"] for m in container["volumeMounts"]} == mounted
    path = write_file("sluice.yml", found["ConfigMap", "sluice"]["data"]["sluice.yml"])
    environment = {e["name"]: e.get("value", "sluice-0") for e in container["env"]}
    words = [w.replace("/etc/sluice/sluice.yml", path).replace("=:8429", "=127.0.0.1:0").replace("/var/lib/sluice", folder()) for w in container["args"]]
    p = subprocess.run([f"{ROOT}/{OUT}/sluice", *words, "--check-config"], env={**os.environ, **environment}, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, timeout=60)
    assert "sluice.yml is valid: 2 scrape jobs" in p.stdout, p.stdout
