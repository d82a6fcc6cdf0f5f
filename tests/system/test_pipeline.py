# SPDX-License-Identifier: Apache-2.0
"""What is done to series on their way: as a real vmagent does it with the same flags."""
import random
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


def received(program, sinks, series, arrived):
    """[{labels: [(t, bits of v)]} for each sink] after these series were pushed."""
    assert push(f"{program.url}/api/v1/write", series).status in (200, 204)
    wait_until(lambda: all(arrived(sink.samples()) for sink in sinks), 20, f"{program.name}: samples at the sinks")
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
    theirs = received(VMAgent("scrape_configs: []\n", *common, "-remoteWrite.forcePromProto"), sinks, series, arrived)
    ours = received(Sluice(None, *common), sinks, series, arrived)
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
