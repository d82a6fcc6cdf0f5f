# SPDX-License-Identifier: Apache-2.0
"""deploy/agent without a docker engine: Grafana Agent's scraping service on three members."""
import os
import subprocess

from lib import *
from test_compose import Stack, compose, dockerfile, yaml


@waits
def test_members_share_the_stored_instances():
    stack = Stack(compose("deploy/agent")["services"], "deploy/agent")
    own = lambda text, name: text.replace("http://${MEMBER}:8429", f"http://127.0.0.1:{stack.ports[name]}")
    stack.localize = lambda text, name: Stack.localize(stack, own(text, name), name)
    assert {"sluice-0", "sluice-1", "sluice-2", "etcd", "victoriametrics"} == set(stack.services)
    storage = [stack.start(name) for name in ("etcd", "victoriametrics")][1]
    members = {f"sluice-{i}": stack.start(f"sluice-{i}") for i in range(3)}
    mounted = stack.mounts("sluice-0")["/etc/sluice/instances/members.yml"]
    instances = f"{folder()}/instances"
    os.makedirs(instances)
    os.rename(mounted, f"{instances}/members.yml")
    wait_until(lambda: members["sluice-0"].get("/agent/api/v1/configs").status == 200, 20, "the keys are read")
    subprocess.run([f"{ROOT}/{OUT}/sluice", "config-sync", instances, "-a", members["sluice-0"].url], check=True, timeout=60)
    targets = sorted(f"127.0.0.1:{stack.ports[name]}" for name in (*members, "victoriametrics", "etcd"))

    def found():
        data = members["sluice-1"].get("/api/v1/targets", {"scope": "cluster"}).json()["data"]["activeTargets"]
        return sorted(t["labels"]["instance"] for t in data if len(t["members"]) == 1)
    wait_until(lambda: found() == targets, 40, "an owner for each target")
    wait_until(lambda: len(storage.get("/api/v1/query", {"query": "up"}).json()["data"]["result"]) == len(targets), 40, "all targets at the storage")


def test_manifests_of_the_agent():
    """Its configuration loads with the environment that the pod gets, and the resources fit each other."""
    if yaml is None:
        raise Skip("python3-yaml")
    with open(f"{ROOT}/deploy/agent/kubernetes.yml", encoding="utf-8") as f:
        found = {(d["kind"], d["metadata"]["name"]): d for d in yaml.safe_load_all(f)}
    pods, service = found["StatefulSet", "sluice"]["spec"], found["Service", "sluice"]["spec"]
    container = pods["template"]["spec"]["containers"][0]
    assert service["selector"] == pods["selector"]["matchLabels"] == pods["template"]["metadata"]["labels"]
    assert pods["serviceName"] == "sluice" and service["clusterIP"] == "None" and pods["replicas"] == 3
    mounted = {v["name"] for v in pods["template"]["spec"]["volumes"]} | {c["metadata"]["name"] for c in pods["volumeClaimTemplates"]}
    assert {m["name"] for m in container["volumeMounts"]} == mounted
    job = found["Job", "sluice-instances"]["spec"]["template"]["spec"]
    assert {m["name"] for m in job["containers"][0]["volumeMounts"]} == {v["name"] for v in job["volumes"]}
    assert job["containers"][0]["command"][:2] == [dockerfile("ENTRYPOINT")[0], "config-sync"]
    path = write_file("agent.yaml", found["ConfigMap", "sluice"]["data"]["agent.yaml"])
    words = [w.replace("/etc/sluice/agent.yaml", path).replace("=:8429", "=127.0.0.1:0").replace("/var/lib/sluice", folder()) for w in container["args"]]
    p = subprocess.run([f"{ROOT}/{OUT}/sluice", *words, "--check-config"], env={**os.environ, "POD": "sluice-0"}, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, timeout=60)
    assert p.returncode == 0 and "agent.yaml is valid" in p.stdout, p.stdout
    for name, text in found["ConfigMap", "sluice-instances"]["data"].items():
        subprocess.run([f"{ROOT}/{OUT}/sluice", "config-check", write_file(name, text)], check=True, timeout=60)
