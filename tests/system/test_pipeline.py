# SPDX-License-Identifier: Apache-2.0
"""What is done to series on their way: as a real vmagent does it with the same flags."""
import random
import re
import time
import struct

from lib import *

VALUES = [0.0, 1.0, -1.0, 0.1, 12.5, 0.05, 1.005, 2.675, 1e21, 123456789012345.0, 1e300, 1.7976931348623157e308, 5e-324, 1e-310,
          4.35, 99999.95, 999999.5, 1e6, 1234567.891, 9007199254740993.0, 18446744073709551615.0, 9.3e18, 3.6e16, 1 / 3, 2 / 3,
          float("inf"), float("-inf")]
STALE = struct.unpack("<d", struct.pack("<Q", 0x7ff0000000000002))[0]


def some_values():
    some = random.Random(11)
    values = VALUES + [some.uniform(-1, 1) * 10 ** some.randrange(-15, 18) for _ in range(400)]
    values += [some.randrange(-10 ** some.randrange(1, 17), 10 ** 17) / 10 ** some.randrange(0, 9) for _ in range(400)]
    return values + [STALE]


def bits(v):
    """vmagent sends -0 as 0."""
    return struct.pack("<d", v if v else 0.0)


METRICS = r"^((?:vm_rows_ignored_total|vmagent_hourly_series_limit|vmagent_daily_series_limit|vmagent_remotewrite_global_relabel)\S*) (\S+)"


def received(program, sinks, series, arrived):
    """[{labels: [(t, bits of v)]} for each sink] after these series were pushed; program.metrics: those of the pipeline."""
    assert push(f"{program.url}/api/v1/write", series).status in (200, 204)
    wait_until(lambda: all(arrived(sink.samples()) for sink in sinks), 20, f"{program.name}: samples at the sinks")
    program.metrics = dict(re.findall(METRICS, program.get("/metrics").text, re.M))
    program.stop()
    got = [{labels: sorted((t, bits(v)) for t, v in samples) for labels, samples in sink.samples().items()} for sink in sinks]
    for sink in sinks:
        with sink.lock:
            sink.accepted, sink.arrived, sink.decoded = [], {}, 0
    return got


def like_vmagent(series, flags, arrived, n_sinks=1):
    """What sluice and vmagent send; both are started with these flags, and the same sinks."""
    sinks = [RecordingSink(in_order=False) for _ in range(n_sinks)]
    to = [f"-remoteWrite.url={sink.url}" for sink in sinks]
    common = [*to, *flags, "-remoteWrite.flushInterval=100ms"]
    programs = VMAgent("scrape_configs: []\n", *common, "-remoteWrite.forcePromProto"), Sluice(None, *common)
    theirs, ours = (received(program, sinks, series, arrived) for program in programs)
    shown = {name: (programs[1].metrics.get(name), value) for name, value in programs[0].metrics.items() if value != "0"}
    assert all(float(a or "nan") == float(b) for a, b in shown.values()), shown
    return ours, theirs


def test_rounding():
    """vmagent changes values in place, so that two URLs get them rounded by the settings of both: it has one here."""
    values, start = some_values(), now_ms() - 3600000
    series = [({"__name__": "m"}, [(start + i, v) for i, v in enumerate(values)])]
    for flags in (["-remoteWrite.significantFigures=3"], ["-remoteWrite.significantFigures=17"], ["-remoteWrite.roundDigits=2"],
                  ["-remoteWrite.roundDigits=-3"], ["-remoteWrite.significantFigures=6", "-remoteWrite.roundDigits=1"]):
        ours, theirs = like_vmagent(series, flags, lambda got: sum(map(len, got.values())) >= len(values))
        pairs = zip(*(next(iter(x[0].values())) for x in (ours, theirs)))
        wrong = [(values[t - start], a, b) for ((t, a), (_, b)) in pairs if a != b]
        assert not wrong, f"{flags}: {len(wrong)} of {len(values)}: {wrong[:5]}"
    sinks = [RecordingSink(), RecordingSink()]
    sluice = Sluice(None, *[f"-remoteWrite.url={sink.url}" for sink in sinks], "-remoteWrite.significantFigures=,2",
                    "-remoteWrite.roundDigits=1,", "-remoteWrite.flushInterval=100ms", name="two")
    a, b = received(sluice, sinks, [({"__name__": "m"}, [(start, 123.456)])], len)
    assert [v for samples in (*a.values(), *b.values()) for _, v in samples] == [bits(123.5), bits(120.0)]


def test_limits():
    """The last sample belongs to a series that no limit excludes: when it has arrived, everything has."""
    start = now_ms() - 3600000
    series = [({"__name__": f"m{i % 3}", "i": str(i), "job": "x" * (1 + i % 40), **{f"l{k}": "v" for k in range(i % 12)},
                "a" * (1 + i % 30): "y"}, [(start, float(i)), (start + 1, 1.0)]) for i in range(100)]
    last = [(series[0][0], [(start + 5, 1.0)])]
    for flags in (["-maxLabelsPerTimeseries=9"], ["-maxLabelNameLen=20"], ["-maxLabelValueLen=25"],
                  ["-maxLabelsPerTimeseries=11", "-maxLabelNameLen=25", "-maxLabelValueLen=30"],
                  ["-remoteWrite.maxHourlySeries=30"], ["-remoteWrite.maxDailySeries=50", "-remoteWrite.maxHourlySeries=-1"],
                  ["-remoteWrite.maxHourlySeries=60", "-remoteWrite.maxDailySeries=20", "-maxLabelsPerTimeseries=11"]):
        ours, theirs = like_vmagent(series + last, flags,
                                    lambda got: any(len(samples) >= 3 for samples in got.values()))
        assert ours == theirs, f"{flags}: {set(ours[0]) ^ set(theirs[0])}"
        assert 20 <= len(ours[0]) < 100, f"{flags}: {len(ours[0])}"


def test_series_are_counted():
    start = now_ms() - 3600000
    series = [({"__name__": "m", "i": str(i)}, [(start, float(i))]) for i in range(1000)]
    ours, theirs = like_vmagent(series, ["-remoteWrite.maxHourlySeries=-1", "-remoteWrite.maxDailySeries=-1"], lambda got: len(got) >= 1000)
    assert ours == theirs


def test_limits_of_destinations_survive_a_reload():
    """Each destination has its own; a reload that changes something else does not begin to count again."""
    sinks, start = [RecordingSink(), RecordingSink()], now_ms() - 3600000
    config = f"""
remote_write:
- {{name: a, url: '{sinks[0].url}', limits: {{max_daily_series: 3}}}}
- {{name: b, url: '{sinks[1].url}', limits: {{max_labels: 1}}}}
"""
    sluice = Sluice(config, "-remoteWrite.flushInterval=100ms")
    for round in range(2):
        series = [({"__name__": f"m{round}_{i}"}, [(start + round, 1.0)]) for i in range(2)] + [
            ({"__name__": "m0_0", "extra": "x"}, [(start + round, 1.0)])] * (round == 0) + [({"__name__": "m0_1"}, [(start + 5 + round, 1.0)])]
        assert push(f"{sluice.url}/api/v1/write", series).status == 204
        write_file("sluice.yml", config + "global: {evaluation_interval: 7s}\n")
        assert sluice.post("/-/reload").status == 200
    wait_until(lambda: all(any(t == start + 6 for samples in sink.samples().values() for t, _ in samples) for sink in sinks), 20)
    names = [sorted(dict(labels)["__name__"] + dict(labels).get("extra", "") for labels in sink.samples()) for sink in sinks]
    assert names == [["m0_0", "m0_0x", "m0_1"], ["m0_0", "m0_1", "m1_0", "m1_1"]], names


def test_one_replica_of_each_cluster():
    """As Mimir's HA tracker: the first replica is elected, also over a reload, until it is silent for the failover time."""
    sink, start = RecordingSink(), now_ms() - 3600000
    config = f"remote_write: [{{name: sink, url: '{sink.url}'}}]\npipeline: {{ha_dedup: {{failover_timeout: %s, update_timeout: 0}}}}\n"
    sluice = Sluice(config % "10m", "-remoteWrite.flushInterval=100ms")

    def send(replica, t, cluster="c"):
        labels = {"__name__": "m", "cluster": cluster, "__replica__": replica}
        series = [({"__name__": "other", "t": str(t)}, [(start + t, 0.0)])] * (replica == "") + [
            ({k: v for k, v in labels.items() if v}, [(start + t, float(ord((replica or "x")[-1])))])]
        return push(f"{sluice.url}/api/v1/write", series).status

    assert [send("a", 1), send("b", 2), send("a", 3), send("b", 4, "d"), send("a", 5, "d"), send("", 6)] == [204, 202, 204, 204, 202, 204]
    write_file("sluice.yml", config % "11m" + "global: {evaluation_interval: 7s}\n")
    assert sluice.post("/-/reload").status == 200
    assert [send("b", 7), send("a", 8)] == [202, 204]
    write_file("sluice.yml", config % "1ms")
    assert sluice.post("/-/reload").status == 200
    wait_until(lambda: send("b", 9) == 204, 10, "replica b is elected")
    for i in range(100):  # names that come and go, as those of pods do
        send(f"pod-{i}", 1000 + i, "e")
    time.sleep(0.01)
    wait_until(lambda: send("pod-last", 2000, "e") == 204, 10, "one more replica is elected")
    write_file("sluice.yml", config % "10m")
    assert sluice.post("/-/reload").status == 200
    assert [send("a", 10), send("b", 11)] == [202, 204]
    wait_until(lambda: any(t == start + 11 for samples in sink.samples().values() for t, _ in samples), 20, "the last sample")
    got = {tuple(v for k, v in labels if k == "cluster"): {(t - start, v) for t, v in samples}
           for labels, samples in sink.find("m").items()}
    got.pop(("e",))
    assert got == {("c",): {(1, 97.0), (3, 97.0), (8, 97.0), (9, 98.0), (11, 98.0), (6, 120.0)}, ("d",): {(4, 98.0)}}, got
    assert all(dict(labels).get("__replica__") is None for labels in sink.samples())
    changes = dict(re.findall(r'^sluice_ha_elected_replica_changes_total\{cluster="(.)"\} (\d+)', sluice.get("/metrics").text, re.M))
    assert int(changes.pop("e")) > 1 and changes == {"c": "2", "d": "1"}, changes


def test_each_stage_counts_its_samples():
    """What comes in passes, is dropped or absorbed; what a stage emits comes into the next ones."""
    sinks = [RecordingSink(in_order=False) for _ in range(2)]
    common = write_file("common.yml", '- {source_labels: [__name__], regex: dropped, action: drop}\n')
    own = write_file("own.yml", '- {source_labels: [i], regex: "[0-4]", action: drop}\n')
    aggregation = write_file("aggregation.yml", "- {match: summed, interval: 1s, outputs: [sum_samples]}\n")
    sluice = Sluice(None, *(f"-remoteWrite.url={sink.url}" for sink in sinks), f"-remoteWrite.relabelConfig={common}",
                    f"-remoteWrite.urlRelabelConfig={own}", "-remoteWrite.urlRelabelConfig=", f"-streamAggr.config={aggregation}",
                    "-maxLabelsPerTimeseries=3", "-remoteWrite.flushInterval=100ms")
    now = now_ms()
    series = [({"__name__": name, "i": str(i), **more}, [(now, 1.0), (now + 1, 2.0)])
              for name, more in (("plain", {}), ("dropped", {}), ("summed", {}), ("long", {"a": "1", "b": "2"})) for i in range(10)]
    assert push(f"{sluice.url}/api/v1/write", series).status == 204

    def counts(stage, url=None):
        found = re.findall(r'^sluice_pipeline_samples_total\{stage="(\w+)",result="(\w+)",url="([^"]*)"\} (\d+)$', sluice.get("/metrics").text, re.M)
        return {result: int(n) for of, result, at, n in found if of == stage and at == (url or "")}
    wait_until(lambda: counts("stream_aggregation").get("emitted") == 10 and len(sinks[1].samples()) == 20, 20, "sums at the sinks")
    nothing = {"passed": 0, "dropped": 0, "absorbed": 0, "emitted": 0}
    assert counts("relabel") == {**nothing, "passed": 60, "dropped": 20}, counts("relabel")
    assert counts("label_limits") == {**nothing, "passed": 40, "dropped": 20}, counts("label_limits")
    assert counts("stream_aggregation") == {**nothing, "passed": 20, "absorbed": 20, "emitted": 10}, counts("stream_aggregation")
    assert counts("relabel", "1:secret-url") == {**nothing, "passed": 15, "dropped": 15}, sluice.get("/metrics").text
    assert len(sinks[0].samples()) == 10
