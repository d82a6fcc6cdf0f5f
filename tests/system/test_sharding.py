# SPDX-License-Identifier: Apache-2.0
"""Series are distributed over destinations: as by a real vmagent with the same flags, and independent of their order."""
import random
import time

from lib import *

RULES = "- {source_labels: [a], regex: 'x(.*)5', target_label: zzteam, replacement: 'five$1'}\n" \
        "- {action: labeldrop, regex: secret}\n"


def make_series(n):
    some = random.Random(5)
    return [({"__name__": f"m{some.randrange(7)}", "a": f"x{i}", "instance": f"host{some.randrange(20)}:9100",
              "secret": str(some.random()), "zone": some.choice("abc")}, [(now_ms(), float(i))]) for i in range(n)]


def placement(sinks, n, copies):
    """{value, which is the number of the series: positions of the sinks that got it}, when all have arrived."""
    def found():
        got = {}
        for i, sink in enumerate(sinks):
            for samples in sink.samples().values():
                for _, v in samples:
                    got.setdefault(v, set()).add(i)
        return got
    wait_until(lambda: sum(map(len, found().values())) >= n * copies, 20, f"{n} series, {copies} times")
    return found()


def of_vmagent(sinks, series, flags, copies):
    agent = VMAgent("scrape_configs: []\n", *[f"-remoteWrite.url={sink.url}?token=t{i}" for i, sink in enumerate(sinks)], *flags,
                    "-remoteWrite.forcePromProto", "-remoteWrite.flushInterval=100ms")
    assert push(f"{agent.url}/api/v1/write", series).status == 204
    got = placement(sinks, len(series), copies)
    agent.stop()
    return got


def of_sluice(sinks, series, flags, copies, name):
    sluice = Sluice(None, *[f"-remoteWrite.url={sink.url}?token=t{i}" for i, sink in enumerate(sinks)], *flags,
                    "-remoteWrite.flushInterval=100ms", name=name)
    assert push(f"{sluice.url}/api/v1/write", series).status == 204
    got = placement(sinks, len(series), copies)
    sluice.stop()
    return got


def test_placement_is_vmagents():
    n = 300
    rules = write_file("rules.yml", RULES)
    cases = {"all labels": ([], 1), "two replicas": (["-remoteWrite.shardByURLReplicas=2"], 2),
             "some labels": (["-remoteWrite.shardByURL.labels=instance,__name__"], 1),
             "all but some": (["-remoteWrite.shardByURL.ignoreLabels=a,secret", "-remoteWrite.shardByURLReplicas=2"], 2),
             "after the rules": ([f"-remoteWrite.relabelConfig={rules}", "-remoteWrite.label=zzz=later"], 1),
             "more replicas than URLs": (["-remoteWrite.shardByURLReplicas=9"], 4)}
    sinks, series = [RecordingSink() for _ in range(4)], make_series(n)
    for name, (flags, copies) in cases.items():
        got = []
        for run in (of_vmagent, of_sluice):
            for sink in sinks:
                with sink.lock:
                    sink.accepted, sink.arrived, sink.decoded = [], {}, 0
            more = (f"sluice-{len(name)}",) if run is of_sluice else ()
            got.append(run(sinks, series, ["-remoteWrite.shardByURL", *flags], copies, *more))
        wanted, ours = got
        different = [v for v in wanted if wanted[v] != ours.get(v)]
        assert not different and len(ours) == n, f"{name}: {len(different)} of {n}: {different[:5]}"
        shares = [sum(i in to for to in ours.values()) for i in range(4)]
        assert min(shares) > 0, f"{name}: {shares}"


def rendezvous(names, sinks, series, replicas):
    config = "shard: {hash: rendezvous, replicas: %d}\nremote_write:\n" % replicas
    for name in names:
        config += f"- {{name: {name}, url: '{sinks[name].url}'}}\n"
    for sink in sinks.values():
        with sink.lock:
            sink.accepted, sink.arrived, sink.decoded = [], {}, 0
    sluice = Sluice(config, name="-".join(names) + str(replicas))
    assert push(f"{sluice.url}/api/v1/write", series).status == 204
    got = placement([sinks[name] for name in names], len(series), replicas)
    sluice.stop()
    return {v: {names[i] for i in to} for v, to in got.items()}


def test_rendezvous_is_independent_of_the_order():
    names, n = ["a", "b", "c", "d"], 400
    sinks, series = {name: RecordingSink() for name in names}, make_series(n)
    for replicas in (1, 2):
        first = rendezvous(names, sinks, series, replicas)
        assert rendezvous(["c", "a", "d", "b"], sinks, series, replicas) == first
        fewer = rendezvous(["c", "a", "b"], sinks, series, replicas)
        for v, to in first.items():
            assert len(fewer[v]) == replicas and to - {"d"} <= fewer[v], "only series of the removed one move"
        shares = {name: sum(name in to for to in first.values()) for name in names}
        assert all(n * replicas / 8 < share < n * replicas / 2 for share in shares.values()), shares


def asked(sluice, query, at):
    """The result, and the groups that were asked for it. The placement of samples is known from 5 minutes after the start on."""
    answer = sluice.get("/api/v1/query", {"query": query, "time": at, "explain": 1, "lookback_delta": 60}).json()
    groups, skipped = ({r["group"] for r in answer["data"]["explain"][key]} for key in ("requests", "skipped"))
    assert not groups & skipped and all("(shard)" in s["reason"] for s in answer["data"]["explain"]["skipped"]), answer
    return answer["data"]["result"], groups


def check_selectors_ask_their_shards(servers, metric, shard, copies):
    names = "abc"
    config = f"shard: {shard}\nremote_write:\n" + "".join(
        f"- {{name: {n}, url: '{p.write_url}'}}\n" for n, p in zip(names, servers)) + "server_groups:\n" + "".join(
        f"- {{name: {n}, written_by: [{n}], {'overlap: merge, ' if copies > 1 else ''}static_configs: [{{targets: ['{p.address}']}}]}}\n"
        for n, p in zip(names, servers))
    sluice = Sluice(config, "-remoteWrite.flushInterval=100ms", name=f"shards-{metric}")
    later = now_ms() // 1000 + 540 # Prometheus refuses samples 10 minutes ahead
    series = [({"__name__": metric, "instance": f"i{i}", "job": f"j{i % 2}"}, [((later - k) * 1000, float(i)) for k in (900, 20, 10)])
              for i in range(20)] + [({"__name__": metric, "job": "alone"}, [((later - 10) * 1000, 99.0)])]
    assert push(f"{sluice.url}/api/v1/write", series).status == 204
    wait_until(lambda: sum(len(p.query(metric, later)["result"]) for p in servers) == copies * len(series), what="all series")
    holders, skipped = set(), sluice.metric("sluice_upstream_shards_skipped_total")
    for i in range(20):
        for selector in (f'{metric}{{instance="i{i}",job="j{i % 2}"}}', f'sum({metric}{{instance="i{i}",job=~"j.*",job="j{i % 2}"}})'):
            result, groups = asked(sluice, selector, later)
            assert [s["value"][1] for s in result] == [str(i)] and len(groups) == copies, (selector, result, groups)
            holders |= groups
    assert holders == set(names) and sluice.metric("sluice_upstream_shards_skipped_total") > skipped
    both = {"match[]": f'{metric}{{instance="i3",job="j1"}}', "start": later - 60, "end": later}
    assert sluice.data("/api/v1/label/instance/values", both) == ["i3"]
    result, groups = asked(sluice, f'{metric}{{instance="",job="alone"}}', later)
    assert len(result) == 1 and len(groups) == copies, (result, groups)
    for everywhere, n in ((metric, 21), (f'{metric}{{instance=~"i3",job="j1"}}', 1), (f'{metric}{{instance="i3"}}', 1), (f'{metric}{{job="j0"}}', 10),
                          (f'{metric}{{instance="i3",job="j1"}} offset 25m', 0), (f'max_over_time({metric}{{instance="i3",job="j1"}}[25m])', 1)):
        result, groups = asked(sluice, everywhere, later)
        assert len(result) == n and groups == set(names), (everywhere, result, groups)
    assert asked(sluice, f'{metric}{{instance="i3",job="j1"}} @ {later - 895}', later)[1] == set(names)


def test_selectors_ask_their_shards():
    """Selectors that fix all labels of `shard` are read from the destinations that get their series, in times in which these
    labels place them."""
    servers = [Prometheus(name=name) for name in "abc"]
    check_selectors_ask_their_shards(servers, "vmagents", "{labels: [job, instance]}", 1)
    check_selectors_ask_their_shards(servers, "rendezvous", "{hash: rendezvous, labels: [job, instance]}", 1)
    check_selectors_ask_their_shards(servers, "copies", "{labels: [instance, job, job], replicas: 2}", 2)


def test_a_reload_that_places_otherwise_is_remembered():
    servers = [Prometheus(name=name) for name in "ab"]

    def config(labels):
        return f"shard: {{labels: [{labels}]}}\nremote_write:\n" + "".join(
            f"- {{name: {n}, url: '{p.write_url}'}}\n" for n, p in zip("ab", servers)) + "server_groups:\n" + "".join(
            f"- {{name: {n}, written_by: [{n}], static_configs: [{{targets: ['{p.address}']}}]}}\n" for n, p in zip("ab", servers))
    sluice = Sluice(config("job, instance"))
    known = int(time.time()) + 1 + 300  # of samples from then on; the query needs those of a minute before it

    def groups_asked():
        return len(asked(sluice, 'm{instance="i",job="j",zone="z"}', known + 60)[1])
    assert groups_asked() == 1
    wait_until(lambda: time.time() > known - 300 + 1)
    assert sluice.reconfigure(config("instance, job, job") + "recent: {}\n").status == 200 and groups_asked() == 1
    assert sluice.reconfigure(config("instance, job, zone")).status == 200 and groups_asked() == 2
    assert sluice.reconfigure(config("instance, job")).status == 200 and groups_asked() == 2


def test_labels_that_change_after_the_placement_do_not_place():
    """In a destination, or in a group."""
    servers = [Prometheus(name=name) for name in "ab"]
    for metric, of_destination, of_group, shown in (
            ("m1", "write_relabel_configs: [{source_labels: [instance], target_label: instance, regex: 'i(.*)', replacement: 'x$1'}]", "", "x"),
            ("m2", "", "metrics_relabel_configs: [{action: uppercase, source_label: instance, target_label: instance}]", "I")):
        sluice = Sluice("shard: {labels: [instance]}\nremote_write:\n" + "".join(
            f"- {{name: {n}, url: '{p.write_url}', {of_destination}}}\n" for n, p in zip("ab", servers)) + "server_groups:\n" + "".join(
            f"- {{name: {n}, written_by: [{n}], {of_group and of_group + ', '}static_configs: [{{targets: ['{p.address}']}}]}}\n"
            for n, p in zip("ab", servers)), "-remoteWrite.flushInterval=100ms", name=metric)
        later = now_ms() // 1000 + 540
        series = [({"__name__": metric, "instance": f"i{i}"}, [(later * 1000, 1.0)]) for i in range(9)]
        assert push(f"{sluice.url}/api/v1/write", series).status == 204
        wait_until(lambda: sum(len(p.query(metric, later)["result"]) for p in servers) == 9)
        for i in range(9):
            result, groups = asked(sluice, f'{metric}{{instance="{shown}{i}"}}', later)
            assert len(result) == 1 and groups == {"a", "b"}, (i, result, groups)


def test_contradictions_are_errors():
    for flags, config, message in (
            (["-remoteWrite.shardByURL", "-remoteWrite.shardByURL.labels=a", "-remoteWrite.shardByURL.ignoreLabels=b"], "",
             "exclude each other"),
            (["-remoteWrite.shardByURL"], "shard: {replicas: 2}\n", "exclude each other"),
            ([], "shard: {labels: [a], ignore_labels: [b]}\n", "labels and ignore_labels exclude each other"),
            ([], "shard: {hash: modulo}\n", "hash")):
        sluice = Sluice(config + "remote_write: [{url: 'http://127.0.0.1:1/'}]\n", *flags, start=False,
                        name=f"wrong{len(flags)}{len(config)}")
        sluice.start()
        wait_until(lambda: not sluice.alive())
        assert message in sluice.log(), sluice.log()
