# SPDX-License-Identifier: Apache-2.0
"""What agents of Datadog send, beside the real vmagent."""
import gzip
import json
import random
import zlib

import datadog
from datadog import dogsketch, sketch
from lib import *
from test_ingest import NOW, T, Case, compare

V1, V2, SKETCHES = "/datadog/api/v1/series", "/datadog/api/v2/series", "/datadog/api/beta/sketches"
S = T // 1000
PROTOBUF = {"Content-Type": "application/x-protobuf"}


def one(**members):
    return json.dumps({"series": [members]})


def named(name, **labels):
    return tuple(sorted({"__name__": name, **labels}.items()))


NAMES = ["a.b", "a-b", "_a", "a_._b", "a._._b", "a..b", "1a", "a  b", "a__b", "ä.ö", "a.", ".a", "a.-b", "-", "_", "A.B_c9", "a_", "a/b:c"]
CASES = [
    Case(V1, one(metric="system.load.1", host="h1", device="d1", points=[[S, 1.5], [S + 1, -2]], tags=["env:prod", "plain", "a:b:c"], interval=20, type="rate")),
    Case(V1 + "/", one(metric="m", points=[[S, 1]])),
    Case("/datadog//api/v1/series", one(metric="m", points=[[S, 1]])),
    Case(V1, one(metric="m", points=[[0, 1], [-5, 2]])),
    Case(V1, one(metric="m", points=[[S + 0.5, 1], [S + 0.0009, 2]])),
    Case(V1, one(metric="m", points=[[S, 1, 7], [S + 1]])),
    Case(V1, one(metric="m", points=[[]]), own=(202, {named("m"): [(NOW, 0.0)]})),
    Case(V1, one(metric="m", points=[]), own=(202, {})),
    Case(V1, one(metric="m"), own=(202, {})),
    Case(V1, one(points=[[S, 1]]), own=(202, {})),
    Case(V1, json.dumps({"series": [{"metric": f"n.{i}", "points": [[S + i, i]]} for i in range(20)]})),
    Case(V1, one(points=[[S, 1e300], [S + 1, 1e-300]], tags=["t:1"], host="late", metric="members.in.any.order")),
    Case(V1, one(METRIC="m", Points=[[S, 1]], HOST="h")),
    Case(V1, one(metric="m", host=None, device=None, tags=None, points=[[S, None]])),
    Case(V1, one(metric="m", points=None), own=(202, {})),
    Case(V1, one(metric="m", host="h", tags=["host:other", "device:own"], points=[[S, 1]])),
    Case(V1, one(metric="m", tags=["", ":x", "a:", "b"], points=[[S, 1]]), own=(202, {named("m", b="no_label_value"): [(T, 1.0)]})),
    Case(V1, one(metric="m", tags=["e:1", "e:2"], points=[[S, 1]])),
    Case(V1, one(metric="m", other={"deep": [1, {"series": []}]}, points=[[S, 1]])),
    Case(V1, one(metric="m", points=[[S, 1]]), extra_label=["x=y", "host=forced"]),
    Case(V1, one(metric="m", host="ä\u20ac", tags=["k\u00e4:v\n"], points=[[S, 1]])),
    Case(V1, '{"series":[]}'), Case(V1, "{}"), Case(V1, ""), Case(V1, "[]"), Case(V1, "null", own=(400, {})), Case(V1, '{"series":[{"metric":"m"'),
    Case(V1, '{"series":{}}'), Case(V1, one(metric=5, points=[[S, 1]])), Case(V1, one(metric="m", points=[["x", 1]])),
    Case(V1, one(metric="m", points=[[S, "1"]])), Case(V1, one(metric="m", points=[5])), Case(V1, one(metric="m", tags="a:b", points=[[S, 1]])),
    Case(V1, one(metric="m", tags=[1], points=[[S, 1]])), Case(V1, '{"series":[]} x'), Case(V1, '{"series":[{"metric":"m","points":[[NaN,1]]}]}'),
    Case(V1, zlib.compress(one(metric="m", points=[[S, 1]]).encode()), headers={"Content-Encoding": "deflate"}),
    Case(V1, gzip.compress(one(metric="m", points=[[S, 1]]).encode()), headers={"Content-Encoding": "gzip"}),
    Case(V1, b"plain", headers={"Content-Encoding": "gzip"}),
    Case(V2, one(metric="system.load.1", points=[{"timestamp": S, "value": 0.7}, {"value": 2, "timestamp": S + 1}],
                 resources=[{"name": "dummyhost", "type": "host"}, {"name": "r", "type": "rack"}], source_type_name="src",
                 tags=["env:test", "plain", "host:t"], type=3, unit="u", interval=5, metadata={"origin": {}})),
    Case(V2 + "/", one(metric="m", points=[{"timestamp": 0, "value": 1}, {"value": 2}, {"timestamp": -1, "value": 3}])),
    Case(V2, one(metric="m", points=[{"timestamp": S}])),
    Case(V2, one(metric="m", points=[{"timestamp": S + 0.5, "value": 1}])),
    Case(V2, one(metric="m", points=[{"timestamp": str(S), "value": 1}])),
    Case(V2, one(metric="m", points=[{"timestamp": S, "value": "1"}])),
    Case(V2, one(metric="m", points=[[S, 1]])),
    Case(V2, one(metric="m", resources=[{"name": "x"}, {"type": "y"}], points=[{"timestamp": S, "value": 1}]), own=(202, {named("m"): [(T, 1.0)]})),
    Case(V2, one(metric="m", resources=[{"name": "x", "type": "t"}], tags=["t:y"], points=[{"timestamp": S, "value": 1}]), extra_label="e=f"),
    Case(V2, b""), Case(V2, b"{"), Case(V2, one(metric="m", points=[{"timestamp": S, "value": 1}]), headers={"Content-Type": "application/json"}),
    Case(V2, datadog.series("a.b-c", [(S, 1.5), (S + 1, float("inf"))], ["env:x", "y"], [("host", "h")], "src"), headers=PROTOBUF),
    Case(V2, datadog.series("m", [(0, 1.5), (-3, 2.0)]) + datadog.series("n", [(S, 2.0)]), headers=PROTOBUF,
         own=(202, {named("m"): [(NOW, 1.5), (NOW, 2.0)], named("n"): [(T, 2.0)]})),
    Case(V2, datadog.series("", [(S, 2.0)]) + datadog.series("n", [(S, 2.0)]), headers=PROTOBUF, own=(202, {named("n"): [(T, 2.0)]})),
    Case(V2, datadog.series("m", []), headers=PROTOBUF, own=(202, {})), Case(V2, b"", headers=PROTOBUF), Case(V2, b"\xff\xff", headers=PROTOBUF),
    Case(V2, datadog.series("m", [(S, 2.0)])[:-1], headers=PROTOBUF),
    Case(SKETCHES, sketch("dist.a-b", dogsketch(S, [1338, 1400, 1500], [1, 5, 4], 1.0, 9.5, 40.0), dogsketch(S + 1, [1], [1], 1, 1, 1), host="h", tags=["env:x", "y"]), headers=PROTOBUF),
    Case(SKETCHES, sketch("m", dogsketch(S, [-1400, -1338, 0, 1338], [3, 2, 5, 9], -3.0, 1.0, 0.5), tags=["host:t"]) + sketch("n", dogsketch(S, [], [])), headers=PROTOBUF),
    Case(SKETCHES, sketch("m", dogsketch(S, [1, 2], [1], 1, 2, 3, count=5)), headers=PROTOBUF),
    Case(SKETCHES, sketch("m", dogsketch(S, [32767, -32767], [1, 1], 1, 2, 3)), headers=PROTOBUF),
    Case(SKETCHES, sketch("m", dogsketch(S, [5, 6], [1, 1], 1, 2, 3, count=100)), headers=PROTOBUF),
    Case(SKETCHES, sketch("m"), headers=PROTOBUF, own=(202, {})), Case(SKETCHES, b""), Case(SKETCHES, b"\x0a\x05ab"), Case(SKETCHES + "/", sketch("m", dogsketch(S, [9], [1]))),
] + [Case(V1, one(metric=name, points=[[S, 1]])) for name in NAMES]


def test_datadog_as_vmagent_reads_it():
    compare(CASES)
    compare([Case(V1, one(metric=name, points=[[S, 1]])) for name in NAMES] + [
        Case(V2, datadog.series("a-b", [(S, 1.0)]), headers=PROTOBUF), Case(SKETCHES, sketch("a b", dogsketch(S, [9], [1]))),
        Case(V1, one(metric="x" * 500, points=[[S, 1]]), own=(413, {})), Case(SKETCHES, sketch("x" * 500, dogsketch(S, [9], [1])), own=(413, {}))],
        "-datadog.sanitizeMetricName=false", "-datadog.maxInsertRequestSize=400")


def test_answers_to_agents_of_datadog():
    theirs = VMAgent("scrape_configs: []", "-remoteWrite.url=http://127.0.0.1:9/")
    ours = Sluice("scrape_configs: []")
    for method, path, body in [("GET", "/datadog/api/v1/validate", None), ("GET", "/datadog/api/v1/validate/", None),
                               ("POST", "/datadog/api/v1/check_run", b"[]"), ("POST", "/datadog/api/v1/check_run/", b"[]"),
                               ("POST", "/datadog/api/v1/metadata", b"{}"), ("POST", "/datadog/intake", b"{}"), ("POST", "/datadog/intake/", b"{}"),
                               ("POST", V1, b'{"series":[]}'), ("POST", V2, b'{"series":[]}'), ("POST", SKETCHES, b"")]:
        got, expected = (request(agent.url + path, {"api_key": "k"}, body, method=method) for agent in (ours, theirs))
        assert (got.status, got.text) == (expected.status, expected.text), (path, got, expected)
        assert not expected.text or got.headers["Content-Type"] == expected.headers["Content-Type"], path


def test_damaged_bodies_of_datadog():
    """Truncated at every byte, and with changed bytes; and a series longer than a batch, whose labels follow its points."""
    sluice = Sluice("recent: {retention: 1h}\n")
    dice = random.Random(7)
    bodies = [(V1, json.dumps({"series": [{"metric": "m", "host": "h", "tags": ["a:b"], "points": [[S, 1], [S, 2.5]]}]}).encode(), None),
              (V2, json.dumps({"series": [{"metric": "m", "resources": [{"type": "t", "name": "n"}], "points": [{"timestamp": S, "value": 1}]}]}).encode(), None),
              (V2, datadog.series("m", [(S, 1.5)], ["a:b"], [("host", "h")], "src"), PROTOBUF),
              (SKETCHES, sketch("m", dogsketch(S, [1, 300], [1, 200]), host="h", tags=["a:b"]), PROTOBUF)]
    for path, whole, headers in bodies:
        for n in range(len(whole)):
            assert sluice.post(path, whole[:n], headers=headers).status in (202, 400), (path, n)
            changed = bytearray(whole)
            changed[dice.randrange(len(changed))] = dice.randrange(256)
            assert sluice.post(path, bytes(changed), headers=headers).status in (202, 400), (path, n)
    points = [[now_ms() // 1000 - 3000 + i / 10, i] for i in range(20000)]
    long = '{"series":[{"points":%s,"tags":["k:v"],"metric":"long"}]}' % json.dumps(points)
    assert sluice.post(V1, long.encode()).status == 202
    assert float(sluice.query('count_over_time(long{k="v"}[1h])')["result"][0]["value"][1]) == len(points)
