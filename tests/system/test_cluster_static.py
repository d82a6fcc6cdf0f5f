# SPDX-License-Identifier: Apache-2.0
"""Scrapers that share the targets without coordination (-promscrape.cluster.*), with vmagent as a member, too."""
import collections
import re

from fakes import RecordingSink, ScriptedExporter
from lib import *

MEMBERS = 5
TARGETS = 60

# Labels that relabeling sets, changes, removes and sets again: their order is part of what is hashed.
CONFIG = """
global: {{scrape_interval: 90s}}
scrape_configs:
- job_name: plain
  static_configs:
  - targets: [{targets}]
    labels: {{zone: a, '__meta_ignored': x}}
- job_name: relabeled
  scrape_interval: 1500ms
  scrape_timeout: 1s
  metrics_path: /other
  params: {{module: [http, more], empty: []}}
  static_configs:
  - targets: [{targets}]
    labels: {{env: prod, drop_me: y}}
  relabel_configs:
  - {{source_labels: [__address__], regex: '(.*):(.*)', target_label: host, replacement: 'h$2'}}
  - {{source_labels: [env], target_label: aaa}}
  - {{action: labeldrop, regex: drop_.*}}
  - {{target_label: env, replacement: ''}}
  - {{action: labelmap, regex: '__param_(.*)', replacement: 'param_$1'}}
  - {{source_labels: [host], modulus: 3, action: hashmod, target_label: third}}
"""


def members_of(targets, flags, kinds):
    """{(job, address): members that scrape it}, from the targets that each member lists as active."""
    owners, elsewhere = collections.defaultdict(list), {}
    config = CONFIG.format(targets=", ".join(f"'{t}'" for t in targets))
    sink = RecordingSink()
    for number in range(MEMBERS):
        own = [f"-promscrape.cluster.membersCount={MEMBERS}", f"-promscrape.cluster.memberNum=pod-x-{number}",
               "-promscrape.cluster.memberLabel=member", f"-remoteWrite.url={sink.url}", *flags]
        kind = kinds[number % len(kinds)]
        agent = VMAgent(config, *own, name=f"vmagent-{number}") if kind == "vmagent" else Sluice(config, *own, "--dialect=vmagent", name=f"sluice-{number}")
        wait_until(lambda: agent.get("/ready").status == 200, 20, "the first discovery")
        active = lambda: agent.get("/api/v1/targets").json()["data"]["activeTargets"]
        if kind == "vmagent": # may be ready before it has targets, and count some before it lists them
            counted = lambda: [int(n) for n in re.findall(r"total targets: (\d+)", agent.log())]
            wait_until(lambda: counted() and len(active()) == counted()[-1], 20, "the targets of vmagent")
        for t in active():
            assert t["labels"]["member"] == f"pod-x-{number}", t
            owners[(t["labels"]["job"], t["discoveredLabels"]["__address__"])].append(number)
        if kind == "sluice": # the targets of others are no invalid ones
            found = agent.get("/service-discovery").text
            assert "state=dropped" in found and "state=invalid" not in found, found
            for line in found.splitlines():
                job = re.match('job="(.*)"', line) and line or job
                if "state=dropped" in line:
                    target = re.search('job="(.*)"', job)[1], re.search('__address__="(.*?)"', line)[1]
                    elsewhere[target] = [int(n) for n in re.search("scraped by member (.*)\"", line)[1].split(", ")]
            assert "another member" not in agent.get("/targets").text
        agent.stop()
    assert all(sorted(owners[target]) == sorted(numbers) for target, numbers in elsewhere.items()), (owners, elsewhere)
    return owners


ADDRESSES = [f"127.0.0.1:{10000 + i}" for i in range(TARGETS)]


def test_members_agree_with_vmagent():
    for flags, replicas in (["-promscrape.cluster.name=x"], 1), (["-promscrape.cluster.replicationFactor=2"], 2):
        theirs = members_of(ADDRESSES, flags, ["vmagent"])
        assert len(theirs) == 2 * TARGETS and all(len(m) == replicas for m in theirs.values()), theirs
        assert members_of(ADDRESSES, flags, ["sluice"]) == theirs
        assert members_of(ADDRESSES, flags, ["vmagent", "sluice"]) == theirs


def test_members_by_rendezvous_and_by_labels():
    owners = members_of(ADDRESSES, ["--cluster.hash=rendezvous", "-promscrape.cluster.replicationFactor=2"], ["sluice"])
    assert len(owners) == 2 * TARGETS and all(len(m) == 2 for m in owners.values()), owners
    together = members_of(ADDRESSES, ["-promscrape.cluster.shardByLabels=zone", "-promscrape.cluster.shardByLabels=aaa"], ["sluice"])
    assert len({tuple(m) for (job, _), m in together.items() if job == "plain"}) == 1, together
    assert len({tuple(m) for (job, _), m in together.items() if job == "relabeled"}) == 1, together


def xxh64(data):
    """Of seed 0, for data of any length (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md)."""
    p1, p2, p3, p4, p5 = 11400714785074694791, 14029467366897019727, 1609587929392839161, 9650029242287828579, 2870177450012600261
    mask = (1 << 64) - 1
    rotate = lambda x, n: (x << n | x >> 64 - n) & mask
    turn = lambda lane, word: rotate((lane + word * p2) & mask, 31) * p1 & mask
    words = lambda a, n: int.from_bytes(data[a:a + n], "little")
    at = 0
    if len(data) >= 32:
        lanes = [(p1 + p2) & mask, p2, 0, -p1 & mask]
        while at + 32 <= len(data):
            lanes = [turn(lane, words(at + 8 * k, 8)) for k, lane in enumerate(lanes)]
            at += 32
        h = sum(rotate(lane, n) for lane, n in zip(lanes, (1, 7, 12, 18))) & mask
        for lane in lanes:
            h = ((h ^ turn(0, lane)) * p1 + p4) & mask
    else:
        h = p5
    h = (h + len(data)) & mask
    while at + 8 <= len(data):
        h = (rotate(h ^ turn(0, words(at, 8)), 27) * p1 + p4) & mask
        at += 8
    if at + 4 <= len(data):
        h = (rotate(h ^ words(at, 4) * p1 & mask, 23) * p2 + p3) & mask
        at += 4
    for byte in data[at:]:
        h = rotate(h ^ byte * p5 & mask, 11) * p1 & mask
    h = (h ^ h >> 33) * p2 & mask
    h = (h ^ h >> 29) * p3 & mask
    return h ^ h >> 32


def test_replicas_scrape_at_the_times_of_vmagent():
    """Members of one cluster, and those of another, scrape a target at different times, which a hash determines."""
    assert xxh64(b"") == 0xef46db3751d8e999
    exporter = ScriptedExporter(series=1)
    config = f"""
scrape_configs:
- job_name: x
  scrape_interval: 4s
  static_configs: [{{targets: ['{exporter.address}']}}]
"""
    sinks = {}
    agents = []
    for kind in ("vmagent", "sluice"):
        for number, name in ((0, ""), (1, ""), (0, "other")):
            sink = sinks[(kind, number, name)] = RecordingSink()
            flags = ["-promscrape.cluster.membersCount=2", f"-promscrape.cluster.memberNum={number}", f"-promscrape.cluster.name={name}",
                     "-promscrape.cluster.replicationFactor=2", f"-remoteWrite.url={sink.url}", "-remoteWrite.forcePromProto"]
            own = f"{kind}-{number}{name}"
            agents.append(VMAgent(config, *flags, name=own) if kind == "vmagent" else Sluice(config, *flags, "--dialect=vmagent", name=own))
    expected = set()
    for (kind, number, name), sink in sinks.items():
        wait_until(lambda: sink.find("up"), 30, f"a scrape of {kind} {number}")
        first = next(iter(sink.find("up").values()))[0][0]
        key = f'clusterName={name}, clusterMemberID={number}, ScrapeURL=http://{exporter.address}/metrics, ' \
              f'Labels={{instance="{exporter.address}",job="x"}}'
        offset = (xxh64(key.encode()) * 4000 >> 64)
        if kind == "vmagent":  # not on the tick
            assert (first - offset) % 4000 < 2000, (number, name, first, offset)
        else:  # unless the machine is late
            wait_until(lambda: any((t - offset) % 4000 == 0 for samples in sink.find("up").values() for t, _ in samples), 40)
        expected.add(offset)
    assert len(expected) == 3


def test_storage_keeps_one_of_two_replicas():
    """Two of three members scrape each target and send it to one VictoriaMetrics, which keeps one sample an interval."""
    exporters, storage = [ScriptedExporter(series=1) for _ in range(6)], VictoriaMetrics("-dedup.minScrapeInterval=2s")
    config = ("scrape_configs:\n- {job_name: x, scrape_interval: 2s, static_configs: [{targets: ["
              + ", ".join(f"'{e.address}'" for e in exporters) + "]}]}\n")
    members = [Sluice(config, "-promscrape.cluster.membersCount=3", f"-promscrape.cluster.memberNum={number}",
                      "-promscrape.cluster.replicationFactor=2", f"-remoteWrite.url={storage.write_url}", "--dialect=vmagent",
                      name=f"sluice-{number}") for number in range(3)]
    assert sum(len(m.data("/api/v1/targets")["activeTargets"]) for m in members) == 2 * len(exporters)
    wait_until(lambda: all(e.n >= 10 for e in exporters), 60, "five intervals")
    for member in members:
        member.stop()
    kept = storage.raw('up{job="x"}')
    assert len(kept) == len(exporters), kept.keys()
    sent = sum(e.n for e in exporters)
    for labels, samples in kept.items():
        times = [t // 2000 if t % 2000 else t // 2000 - 1 for t, _ in samples]
        assert len(times) == len(set(times)) >= 4 and all(v == 1 for _, v in samples), (labels, samples)
    assert sum(len(samples) for samples in kept.values()) < 0.7 * sent, (kept, sent)


def test_invalid_members_are_refused():
    for number, why in (("5", "from 0 to 4"), ("x", "expected a number"), ("pod-", "expected a number")):
        sluice = Sluice("scrape_configs: []", "-promscrape.cluster.membersCount=5", f"-promscrape.cluster.memberNum={number}", ready=False)
        assert sluice.wait_exit() == 1
        assert f"--promscrape.cluster.memberNum={number}" in sluice.log() and why in sluice.log(), sluice.log()


def test_pages_link_to_the_members_that_scrape_a_target():
    config = CONFIG.format(targets=", ".join(f"'{t}'" for t in ADDRESSES))
    flags = [f"-promscrape.cluster.membersCount={MEMBERS}", "-promscrape.cluster.memberNum=1"]
    for template in "http://vmagent-%d:8429/targets?m=%d", "":
        sluice = Sluice(config, *flags, *([f"-promscrape.cluster.memberURLTemplate={template}"] if template else []))
        wait_until(lambda: "state=dropped" in sluice.get("/service-discovery").text, 20, "the first discovery")
        page = sluice.get("/service-discovery?state=dropped", headers={"Accept": "text/html"}).text
        members = set(re.findall('<a href="http://vmagent-(.):8429/targets\\?m=\\1">member \\1</a>', page))
        assert members == ({"0", "2", "3", "4"} if template else set()) and "scraped by member 3" in page, page
        sluice.stop()
