# SPDX-License-Identifier: Apache-2.0
"""The harness against the real programs: what it decodes, what it pushes and what it records."""
import os
import random
import shutil
import subprocess
import time

from lib import *


def test_snappy_round_trip():
    r = random.Random(1)
    for n in (0, 1, 59, 60, 61, 1000, 70000):
        data = r.randbytes(n)
        assert wire.snappy_decompress(wire.snappy_compress(data)) == data
    # A literal of 4, copies with one and two bytes of offset that overlap what they write.
    assert wire.snappy_decompress(bytes([22, 3 << 2]) + b"abcd" + bytes([1 | 4 << 2, 4, 2 | 9 << 2, 2, 0])) \
        == b"abcdabcdabcdcdcdcdcdcd"


def test_write_request_round_trip():
    series = [({"__name__": "a", "b": "ü"}, [(1000, 1.5), (-5, float("inf"))]), ({"__name__": "z"}, [(7, STALE)])]
    back = wire.parse_write_request(wire.write_request(series))
    assert [labels for labels, _ in back] == [labels for labels, _ in series]
    assert back[0][1] == series[0][1]
    assert is_stale(back[1][1][0][1]) and not is_stale(float("nan"))


def test_sink_records_vmagent():
    """A peer that is known to work fills the sink: what comes out is what the exporter served."""
    exporter, sink = ScriptedExporter(series=3), RecordingSink()
    agent = VMAgent(f"global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: scripted\n  honor_timestamps: true\n"
                    f"  static_configs: [{{targets: ['{exporter.address}']}}]\n", f"-remoteWrite.url={sink.url}")
    wait_until(lambda: len(exporter.served) >= 4, what="four scrapes")
    agent.stop()
    found = sink.find("scripted_stamped_counter")
    assert len(found) == 3
    for samples in found.values():
        live = [s for s in samples if not is_stale(s[1])]
        assert live == [(ms, float(n)) for n, ms, _ in exporter.served], (live, exporter.served)


def test_sink_takes_zstd():
    exporter, sink = ScriptedExporter(series=1), RecordingSink(zstd=True)
    VMAgent(f"global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: scripted\n  honor_timestamps: true\n"
            f"  static_configs: [{{targets: ['{exporter.address}']}}]\n", f"-remoteWrite.url={sink.url}",
            "-remoteWrite.forceVMProto")
    wait_until(lambda: sink.find("scripted_counter"), what="a sample through zstd")
    assert sink.requests[-1][2]["Content-Encoding"] == "zstd"


def test_push_to_prometheus_and_victoria():
    now = int(time.time() * 1000) - 60000
    samples = [(now + i * 1000, i / 4) for i in range(20)]
    for storage in (Prometheus(), Prometheus(name="strict", old=True), VictoriaMetrics()):
        answer = push(storage.write_url, [({"__name__": "pushed", "job": "x"}, samples)])
        assert answer.status == 204, (storage.name, answer)
        got = wait_until(lambda: storage.raw("pushed"), what=f"{storage.name} has it")
        assert list(got.values()) == [samples], (storage.name, got)


def test_stopped_sink_refuses():
    sink = RecordingSink()
    sink.stop()
    try:
        push(sink.url, [])
        raise RuntimeError("a stopped sink answered")
    except OSError:
        pass
    sink.start()
    assert push(sink.url, []).status == 204
    sink.status, sink.retry_after = 503, 7
    answer = push(sink.url, [])
    assert answer.status == 503 and answer.headers["Retry-After"] == "7"
    assert os.path.isdir(folder())


ONCE = 'echo 1..1; test -e ran && echo "ok 1 - once" || echo "not ok 1 - once"; touch ran'


def results_of(name, programs):
    """What the runner prints at its end for unit test programs that are shell scripts."""
    tree = f"{folder()}/{name}"
    os.makedirs(f"{tree}/tests/unit/base")
    shutil.copy("tests/run", f"{tree}/tests/run")
    for program, text in programs.items():
        open(f"{tree}/tests/unit/base/{program}_test.c", "w").close()
        os.makedirs(f"{tree}/out/unit/base", exist_ok=True)
        with open(f"{tree}/out/unit/base/{program}_test", "w", encoding="utf-8") as script:
            script.write("#!/bin/sh\n" + text + "\n")
        os.chmod(script.name, 0o755)
    p = subprocess.run([f"{tree}/tests/run", "unit"], env={**os.environ, "OUT": "out"}, stdout=subprocess.PIPE, check=False)
    lines = p.stdout.decode().splitlines()
    return p.returncode, [line for line in lines if not line.startswith("  ")]


def test_what_failed_is_repeated_alone():
    good, bad = "echo 1..1; echo 'ok 1 - good'", "echo 1..1; echo 'not ok 1 - bad'"
    assert results_of("once", {"good": good, "once": ONCE}) == (0, ["unstable: base/once_test: not ok 1 - once", "2 passed, 0 failed, 0 skipped"])
    assert results_of("twice", {"bad": bad, "once": ONCE}) \
        == (1, ["unstable: base/once_test: not ok 1 - once", "failed: base/bad_test: not ok 1 - bad", "1 passed, 1 failed, 0 skipped"])
    many = {f"bad{i}": bad for i in range(5)} | {"once": ONCE}
    code, lines = results_of("many", many)
    assert (code, lines[-1]) == (1, "0 passed, 6 failed, 0 skipped"), "too many for the machine to be the reason"
