# SPDX-License-Identifier: Apache-2.0
"""A cluster of 50,000 pods: a change costs what it concerns, and memory is bounded."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
from kube import *
from lib import *

PODS, NODES, EVENTS = 50000, 500, 300


def big_pod(i, **labels):
    return pod(f"pod-{i}", f"ns{i % 50}", f"127.{20 + i // 65536}.{i // 256 % 256}.{i % 256}", f"node{i % NODES}",
               [container("app", ("web", 8080, "TCP"))], owner=("ReplicaSet", f"app{i % 100}-{i:06x}"),
               labels={"app.kubernetes.io/name": f"app{i % 100}", "app.kubernetes.io/instance": f"app{i % 100}-x", "pod-template-hash": f"{i:08x}", "tier": "web", **labels},
               annotations={"prometheus.io/scrape": "true", "prometheus.io/port": "8080", "checksum/config": "a" * 64})


@seconds(300)
def test_a_change_among_50000_pods():
    kube = FakeKube()
    kube.put("pods", *(big_pod(i) for i in range(PODS)))
    kube.put("nodes", *(node(f"node{i}") for i in range(NODES)))
    kube.events.clear()
    sluice = Sluice(f"""
scrape_configs:
- job_name: pods
  scrape_interval: 24h
  kubernetes_sd_configs: [{{api_server: 'http://{kube.address}', role: pod, attach_metadata: {{node: true}}}}]
  relabel_configs:
  - {{source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape], regex: 'true', action: keep}}
  - {{action: labelmap, regex: __meta_kubernetes_pod_label_(.+)}}
  - {{source_labels: [__meta_kubernetes_pod_name], target_label: pod}}
""", "--log.level=error", "-promscrape.kubernetesSDCheckInterval=100ms")

    def cpu():
        with open(f"/proc/{sluice.p.pid}/stat", encoding="utf-8") as f:
            fields = f.read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def megabytes():
        with open(f"/proc/{sluice.p.pid}/status", encoding="utf-8") as f:
            return next(int(line.split()[1]) / 1024 for line in f if line.startswith("VmRSS"))
    found = lambda: sluice.metric("prometheus_sd_discovered_targets", 'config="pods"')
    updated = lambda: sluice.metric("prometheus_sd_kubernetes_events_total", 'role="pod"', 'event="update"')
    wait_until(lambda: found() == PODS, 120)
    first, memory = cpu(), megabytes()
    for i in range(EVENTS):
        kube.put("pods", big_pod(i, rev="2"))
        time.sleep(0.01)
    wait_until(lambda: updated() >= EVENTS)
    time.sleep(1)
    each = (cpu() - first) / EVENTS
    print(f"{first:.2f} s of CPU and {memory:.0f} MB for {PODS} pods; {each * 1e6:.0f} us of CPU for a change, {megabytes():.0f} MB after {EVENTS}")
    assert each < first / PODS * 50, "a change costs as much as 50 pods at the start"
    assert memory < PODS * 0.008 and megabytes() < memory * 1.1 + 10
    kube.put("nodes", node("node7", labels={"z": "1"}))
    wait_until(lambda: found() == PODS)
