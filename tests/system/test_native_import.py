# SPDX-License-Identifier: Apache-2.0
"""VictoriaMetrics' native format, beside the real vmagent."""
import json
import random

from lib import *
from native import CONST, DELTA, DELTA2, DELTA_CONST, ZSTD_DELTA, ZSTD_DELTA2, block, body, name, record
from test_export_blocks import load
from test_ingest import T, Case, compare

NATIVE = "/api/v1/import/native"
TIMES = [T, T + 15000, T + 30001, T + 45000]


def case(*records, own=None, **more):
    return Case(NATIVE, body(*records, **more), own)


def one(*args, **more):
    return case((name("m", a="b"), block(*args, **more)))


def stored(values, times=TIMES, **labels):
    return {tuple(sorted({"__name__": "m", "a": "b", **labels}.items())): list(zip(times, values))}


GOOD = (name("m", a="b"), block(TIMES, [1, 2, 3, 5]))
CASES = [case(GOOD), case(), case(GOOD, GOOD), case(GOOD, (name("n"), block([T], [7], (CONST, CONST)))),
         case(GOOD, window=(T + 1, T + 30001)), case(GOOD, window=(T + 45001, T + 99999), own=(204, {})), case(GOOD, window=(5, 4), own=(204, {})),
         one(TIMES, [9, -3, 2 ** 60, -2 ** 60]), one(TIMES, [9, 10, 12, 20], (DELTA2, DELTA2)), one(TIMES, [4] * 4, (DELTA, CONST)),
         one(TIMES[:1] + [T + 5], [4, 5], (DELTA_CONST, DELTA_CONST)), one([T] * 3, [3, 2, 1], (CONST, DELTA_CONST)),
         *[one(TIMES, [15, -7, 123456789, 0], exponent=e) for e in (-330, -309, -308, -20, -1, 1, 15, 22, 300, 308, 309)],
         one(TIMES, [2 ** 63 - 1, -2 ** 63, 2 ** 63 - 2, 5][::-1]),
         case((name("m\0\1\2", **{"k\1": "\0v\2", "ä": "\u20ac"}), block(TIMES, [1, 2, 3, 4]))),
         *[one(sorted(random.Random(p).randrange(T, T + 99999) for _ in range(9)), [random.Random(p).randrange(999) for _ in range(9)], precision=p) for p in (1, 8, 63)],
         one([T, T + 50, T + 20, T + 90, T + 80], [1, 2, 3, 4, 5], precision=60, high=T + 70), one([T + 5, T + 50, T + 20], [1, 2, 3], precision=60, low=T),
         one(TIMES, [1, 2, 3, 4], precision=0), one(TIMES, [1, 2, 3, 4], precision=65),
         one(TIMES, [1, 2, 3, 4], rows=0), one(TIMES, [1, 2, 3, 4], rows=3), one(TIMES, [1, 2, 3, 4], rows=5), one([T] * 3, [1] * 3, (CONST, CONST), rows=16384),
         one([T] * 3, [1] * 3, (CONST, CONST), rows=16385), one(TIMES, [1] * 4, (DELTA, 0)), one(TIMES, [1] * 4, (7, CONST)),
         one(TIMES, [1, 2, 3, 4], (ZSTD_DELTA, DELTA)), one(TIMES, [1, 2, 3, 4], (DELTA, ZSTD_DELTA2)),
         one([T, T + 50, T + 20], [1, 2, 3]), one(TIMES, [1, 2, 3, 4], low=T + 5), one(TIMES, [1, 2, 3, 4], high=T + 5),
         one(TIMES, [1, 2, 3, 4], exponent=40000), one(TIMES, [1, 2, 3, 4], exponent=-40000),
         case(GOOD, (b"m", GOOD[1])), case(GOOD, (b"m\1a\1", GOOD[1])), case(GOOD, (b"m\0" + b"7\1", GOOD[1])), case(GOOD, (b"m\0\1", GOOD[1])),
         case(GOOD, (GOOD[0], GOOD[1] + b"x"), (name("after"), GOOD[1])), case(GOOD, (GOOD[0], b"")),
         case((name("", a="b"), GOOD[1]), own=(400, {})), case((name("m", a=""), GOOD[1])),
         case((name("m", x="own"), GOOD[1])), Case(NATIVE, b""), Case(NATIVE, b"short"), Case(NATIVE, body(GOOD) + b"\0"),
         Case(NATIVE, body(GOOD) + record(*GOOD)[:-3]), Case(NATIVE, body(GOOD) + b"\0\0\0\3mm\1"), Case("/prometheus" + NATIVE, body(GOOD), extra_label=["a=forced", "c=d"]),
         Case(NATIVE, body(GOOD) + b"\0\x11\0\0" + b"x" * 30, own=(413, stored([1, 2, 3, 5])))]


def test_native_blocks_as_vmagent_reads_them():
    compare(CASES)


def test_everything_that_victoriametrics_exports():
    """All packings, and more samples than a block has. (Values lose digits when a storage makes other blocks of them.)"""
    now, vm = now_ms() // 15000 * 15 - 60, VictoriaMetrics()
    load(vm, now)

    def exported(**window):
        return vm.get("/api/v1/export/native", {"match[]": '{k!=""}', **window}).body
    wait_until(lambda: len(vm.get("/api/v1/export", {"match[]": '{k!=""}'}).text.splitlines()) == 48)
    compare([Case(NATIVE, exported()), Case(NATIVE, exported(start=now - 1000, end=now - 100), extra_label="x=y")])
    target = VictoriaMetrics(name="target")
    sluice = Sluice(f"remote_write: [{{url: '{target.write_url}'}}]")
    assert sluice.post(NATIVE, exported()).status == 204

    def series(v):
        v.flush()
        lines = map(json.loads, v.get("/api/v1/export", {"match[]": '{k!=""}'}).text.splitlines())
        return sorted((json.dumps(s["metric"], sort_keys=True), sorted(s["timestamps"])) for s in lines)
    wait_until(lambda: series(target) == series(vm), 30, "what was exported")


def test_damaged_native_bodies():
    """Truncated at every byte, and with changed bytes."""
    sluice = Sluice("recent: {retention: 1h}\n")
    dice = random.Random(11)
    whole = body(GOOD, (name("n", k="v"), block(TIMES, [9, 10, 12, 20], (DELTA2, DELTA2))))
    for n in range(len(whole)):
        assert sluice.post(NATIVE, whole[:n]).status == (204 if n in (16, len(body(GOOD))) else 400), n
        changed = bytearray(whole)
        changed[dice.randrange(len(changed))] = dice.randrange(256)
        assert sluice.post(NATIVE, bytes(changed)).status in (204, 400, 413), n
    answer = sluice.post(NATIVE, body(GOOD, (GOOD[0], b"x"), GOOD))
    assert answer.status == 400 and "record 3" in answer.text and "valid ones are stored" in answer.text, answer
    assert sluice.metric("vmagent_http_request_errors_total", 'path="/api/v1/import/native"') > 100
