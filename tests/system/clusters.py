# SPDX-License-Identifier: Apache-2.0
"""Sluices that share targets through a real etcd, and the samples of all of them, counted slot by slot."""
import collections
import os
import signal
import time

from lib import *

TARGETS = 60
INTERVAL_MS = 2000
LEASE_S = 3
HANDOVER_MS = 1000

CONFIG = """
global: {{scrape_interval: {interval}ms, scrape_timeout: {timeout}ms}}
cluster:
  id: {id}
  address: {address}
  lease: {lease}s
  handover: {handover}ms
{more}
  etcd: {{endpoints: ['http://127.0.0.1:{etcd}']}}
scrape_configs:
- job_name: shared
  static_configs:
{targets}
remote_write:
- url: {sink}
  queue_config: {{batch_send_deadline: 100ms}}
  write_relabel_configs: [{{source_labels: [__name__], regex: 'up|going_.*', action: keep}}]
{sections}
"""


class Cluster:
    def __init__(self, targets=TARGETS, lease=LEASE_S, more="", interval_ms=INTERVAL_MS, sink_url=None, sections="", page=None):
        self.etcd, self.sink, self.exporter = Etcd(), RecordingSink(), ScriptedExporter(series=1, page=page)
        self.sections, self.sink_url = sections, sink_url or self.sink.url
        self.targets, self.lease, self.more, self.interval, self.members = targets, lease, more, interval_ms, {}

    def start(self, name, etcd=None, address=None, sink_url=None, **more):
        """etcd: the port at which this member reaches it. address: of a link at which the others reach it, a function of the
        member's port. sink_url: its destination, if it has another one."""
        port = free_port()
        targets = "\n".join(f"  - {{targets: ['{self.exporter.address}'], labels: {{n: '{i}'}}}}" for i in range(self.targets))
        reached_at = address(port) if address else f"127.0.0.1:{port}"
        config = CONFIG.format(id=name, address=f"http://{reached_at}", lease=self.lease, handover=HANDOVER_MS,
                               etcd=etcd or self.etcd.port, interval=self.interval, timeout=self.interval - 100, targets=targets,
                               sink=sink_url or self.sink_url, sections=self.sections, more=self.more.format(id=name, **more))
        self.members[name] = Sluice(config, name=name, port=port)
        return self.members[name]

    def start_all(self, names):
        """Members that share the targets, for some time."""
        for name in names:
            self.start(name)
        self.settle(*names)
        time.sleep(2.5)

    def settle(self, *names):
        """These, and only these, are active and share the targets."""
        self.wait_active(*names, timeout=60)
        self.wait_owned(*names, timeout=60)

    def slots_until_now(self, since):
        until = self.now()
        self.wait_slots(until)
        return self.slots(since, until)

    def view(self, name):
        return self.members[name].data("/api/v1/cluster")

    def wait_active(self, *names, timeout=30):
        """All members see these, and only these, as active."""
        def settled():
            for m in self.members.values():
                if m.alive() and sorted(x["id"] for x in m.data("/api/v1/cluster")["members"] if x["state"] == "active") != sorted(names):
                    return False
            return True
        wait_until(settled, timeout, f"active members {names}")

    def owned(self, name):
        """The targets whose samples this member sends."""
        return {t["labels"]["n"] for t in self.members[name].get("/api/v1/targets").json()["data"]["activeTargets"] if not t.get("standby")}

    def standbys(self, name):
        """The targets whose scrapes it keeps for another member."""
        return {t["labels"]["n"] for t in self.members[name].get("/api/v1/targets").json()["data"]["activeTargets"] if t.get("standby")}

    def wait_owned(self, *names, timeout=20):
        """Each target has one owner among these members."""
        def settled():
            owned = [n for name in names for n in self.owned(name)]
            return len(owned) == self.targets and len(set(owned)) == self.targets
        wait_until(settled, timeout, "one owner for each target")

    def slots(self, since, until):
        """Missing and double samples of `up`, and stale markers, of all targets whose slots lie in this time."""
        return self.count_slots(self.sink.find("up"), since, until)

    def count_slots(self, found, since, until):
        """The same for {labels: [(t, v)]}; most_missing: of one target."""
        missing = double = stale = self.most_missing = 0
        assert len(found) == self.targets, len(found)
        for samples in found.values():
            # A scrape that begins late has its own time as its timestamp; slots are counted from the target's usual one.
            phase = collections.Counter(t % self.interval for t, v in samples).most_common(1)[0][0] + self.interval // 2
            times = collections.Counter((t + self.interval - phase) // self.interval for t, v in samples if not is_stale(v))
            slots = range((since + self.interval - phase) // self.interval + 1, (until + self.interval - phase) // self.interval)
            stale += sum(is_stale(v) for t, v in samples)
            double += sum(max(times[slot] - 1, 0) for slot in slots)
            here = sum(times[slot] == 0 for slot in slots)
            missing += here
            self.most_missing = max(self.most_missing, here)
        return missing, double, stale

    def now(self):
        return int(time.time() * 1000)

    def wait_slots(self, until):
        """All that was scraped before this time has arrived."""
        wait_until(lambda: self.now() > until + self.interval + 500, 30, "the end of the time")


def signal_to(process, name):
    os.kill(process.p.pid, getattr(signal, name))
