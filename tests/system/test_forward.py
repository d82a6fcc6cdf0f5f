# SPDX-License-Identifier: Apache-2.0
"""Scrape and forward to several storages; one is away for a while; each has every sample exactly once."""
import time

from lib import *

JOBS = """
global: {{scrape_interval: 500ms, external_labels: {{dc: lab}}}}
scrape_configs:
- job_name: scripted
  static_configs: [{{targets: ['{exporter.address}']}}]
"""
NODE = """
- job_name: node
  static_configs: [{{targets: ['{node.address}']}}]
"""


def remote_write(**storages):
    return "remote_write:\n" + "".join(f"- {{name: {name}, url: '{s.write_url}'}}\n" for name, s in storages.items())


def series_of(storage, name, exporter):
    """{labels: live samples}: stale markers are another test's."""
    found = storage.raw(name)
    assert len(found) == exporter.series, found.keys()
    assert all(("dc", "lab") in labels and ("job", "scripted") in labels for labels in found), found.keys()
    return {labels: [(t, v) for t, v in samples if v == v] for labels, samples in found.items()}


def is_whole(storage, exporter):
    """Each page's values are there once; those with a timestamp at that time, the others at the time of the scrape."""
    served = [(ms, n) for n, ms, _ in exporter.served]
    for labels, samples in series_of(storage, "scripted_stamped_counter", exporter).items():
        assert samples == served, f"{storage.name} {dict(labels)}, of {len(served)} pages: missing " \
            f"{sorted(set(served) - set(samples))}, strange {sorted(set(samples) - set(served))}, {len(samples)} in all"
    for labels, samples in series_of(storage, "scripted_counter", exporter).items():
        values = [v for _, v in samples]
        assert values == [n for _, n in served], f"{storage.name} {dict(labels)}, of {len(served)} pages: {values}"
        off = [(t, ms) for (t, _), (ms, _) in zip(samples, served) if not ms - 500 <= t <= ms + 50]
        assert not off, f"{storage.name} {dict(labels)}: scrape times off: {off}"
    return True


def check_whole(storage, exporter):
    wait_until(lambda: is_whole(storage, exporter), 60, f"{storage.name} is whole", every=0.2)


@seconds(180)
def test_outage_of_one_storage():
    exporter, node = ScriptedExporter(), NodeExporter()
    victoria, prometheus = VictoriaMetrics(), Prometheus()
    sluice = Sluice((JOBS + NODE).format(exporter=exporter, node=node) +
                    remote_write(victoria=victoria, prometheus=prometheus))
    wait_until(lambda: len(exporter.served) > 15, 25, "16 scrapes")
    before = len(exporter.served)

    prometheus.stop()
    wait_until(lambda: len(exporter.served) - before > 10, 20, "an outage of 11 scrapes")
    assert not prometheus.alive(), "no outage happened"
    after = len(exporter.served)
    prometheus.start().wait_ready()
    wait_until(lambda: len(exporter.served) - after > 3, 15, "scrapes after the outage")
    exporter.status = 503

    check_whole(victoria, exporter)
    check_whole(prometheus, exporter)
    plain = [series_of(storage, "scripted_counter", exporter) for storage in (victoria, prometheus)]
    assert plain[0] == plain[1], "the same scrape has two times"
    assert "out of order" not in prometheus.log().lower()
    count = 'count(last_over_time({job="node"}[2m]))'
    assert victoria.query(count)["result"][0]["value"][1] == prometheus.query(count)["result"][0]["value"][1]
    sluice.stop()


@seconds(150)
def test_receivers_of_2022():
    """Debian 12's own: no zstd, strict order. Both are away for a while, one after the other."""
    exporter = ScriptedExporter()
    victoria, prometheus = VictoriaMetrics(old=True), Prometheus(old=True)
    Sluice(JOBS.format(exporter=exporter) + remote_write(victoria=victoria, prometheus=prometheus))
    wait_until(lambda: len(exporter.served) > 5)
    for storage in (victoria, prometheus):
        time.sleep(0.5)  # between two requests: one whose answer is lost comes twice, and this server keeps both
        storage.stop()
        during = len(exporter.served)
        wait_until(lambda: len(exporter.served) > during + 4, 15, "an outage of five scrapes")
        storage.start().wait_ready()
    time.sleep(3)
    exporter.status = 503
    check_whole(victoria, exporter)
    check_whole(prometheus, exporter)
    assert "out of order" not in prometheus.log().lower()


def test_stop_and_start_lose_nothing():
    """A clean stop in the middle of an outage leaves everything on disk; the next start sends it."""
    exporter, sink = ScriptedExporter(series=20), RecordingSink()
    sluice = Sluice(JOBS.format(exporter=exporter) + f"remote_write:\n- {{name: sink, url: '{sink.url}'}}\n")
    wait_until(lambda: len(sink.find("scripted_counter")) == 20, what="samples arrive")
    sink.status = 503
    during = len(exporter.served)
    wait_until(lambda: len(exporter.served) >= during + 4)
    sluice.stop()
    stopped = len(exporter.served)
    sink.status = 204
    sluice.start().wait_ready()
    wait_until(lambda: len(exporter.served) > stopped)
    exporter.status = 503
    pages = [(ms, float(n)) for n, ms, _ in exporter.served]

    def whole():
        found = sink.find("scripted_stamped_counter")
        return len(found) == 20 and all(set(s) >= set(pages) for s in found.values())
    wait_until(whole, 30, f"all {len(pages)} pages in the sink")
    for samples in sink.find("scripted_stamped_counter").values():
        assert [s for s in samples if s[1] == s[1]] == pages, "in order, and each once"


def test_retry_after_and_drops():
    """503 and 429 are tried again, and Retry-After is kept; 400 is dropped and counted."""
    exporter, sink = ScriptedExporter(series=2), RecordingSink()
    sink.status, sink.retry_after = 429, 3
    sluice = Sluice(JOBS.format(exporter=exporter) + f"remote_write:\n- {{name: sink, url: '{sink.url}'}}\n")
    wait_until(lambda: sink.requests, what="a request")
    time.sleep(2)
    times = [t for t, *_ in sink.requests]
    assert len(times) <= 8, f"{len(times)} requests while Retry-After: 3 was in force, at most one a shard"
    sink.status, sink.retry_after = 204, None
    wait_until(lambda: sink.find("scripted_stamped_counter"), 15, "the samples after the wait")
    arrived = [v for _, v in next(iter(sink.find("scripted_stamped_counter").values()))]
    assert arrived[0] == 0, f"what was answered with 429 was lost: {arrived}"

    sink.status = 400
    refused = exporter.n
    wait_until(lambda: sink.requests[-1][1] == 400 and exporter.n > refused + 4)
    sink.status = 204
    recovered = exporter.n
    wait_until(lambda: exporter.n > recovered + 2)
    arrived = [v for _, v in next(iter(sink.find("scripted_stamped_counter").values()))]
    assert any(n not in arrived for n in range(recovered)), "a block answered with 400 was sent again"
    assert sluice.metric("vmagent_remotewrite_packets_dropped_total") > 0


def test_rate_limits_drop_where_set():
    """retry_on_http_429: false, as Prometheus has it by default."""
    sink = RecordingSink()
    sink.status = 429
    sluice = Sluice(f"remote_write: [{{name: d, url: '{sink.url}', queue_config: {{retry_on_http_429: false}}}}]\n")
    assert push(f"{sluice.url}/api/v1/write", [({"__name__": "m", "n": "1"}, [(now_ms(), 1.0)])]).status == 204
    wait_until(lambda: sluice.metric("sluice_remotewrite_samples_dropped_total", 'reason="rejected"') == 1)
    sink.status = 204
    assert push(f"{sluice.url}/api/v1/write", [({"__name__": "m", "n": "2"}, [(now_ms(), 2.0)])]).status == 204
    wait_until(lambda: sluice.metric("vm_persistentqueue_bytes_pending") == 0 and sink.accepted)
    assert len(sink.accepted) == 1


def test_metadata_is_repeated():
    """Each send_interval, the shortest of those that get it; a destination without metadata does not count."""
    exporter, sinks = ScriptedExporter(), [RecordingSink() for _ in range(2)]
    config = (f"scrape_configs: [{{job_name: j, scrape_interval: 300ms, static_configs: [{{targets: ['{exporter.address}']}}]}}]\n"
              "remote_write:\n"
              f"- {{name: a, url: '{sinks[0].url}', protocol: snappy, metadata_config: {{send_interval: 2s}}}}\n"
              f"- {{name: b, url: '{sinks[1].url}', protocol: snappy, metadata_config: {{send: false, send_interval: 1s}}}}\n")
    Sluice(config)

    def times(sink):
        with sink.lock:
            return [at for (at, *_), (_, body) in zip(sink.requests, sink.accepted)
                    if b"Number of this page." in wire.snappy_decompress(body)]
    wait_until(lambda: len(times(sinks[0])) >= 4, 30, "metadata again and again")
    apart = [b - a for a, b in zip(times(sinks[0])[1:], times(sinks[0])[2:])]
    assert min(apart) > 1.5, apart
    assert sinks[1].accepted and not times(sinks[1])


def test_one_rejected_sample_costs_no_other():
    """Prometheus rolls a request back when one sample of it is too far in the future."""
    prometheus = Prometheus()
    sluice = Sluice(f"remote_write: [{{name: p, url: '{prometheus.write_url}', queue_config: {{shards: 1}}}}]\n")
    now = int(time.time() * 1000)
    for n in range(3):
        series = [({"__name__": "good", "i": str(i)}, [(now + n, n)]) for i in range(100)]
        series.insert(50, ({"__name__": "future"}, [(now + 3600000 + n, n)]))
        push(f"{sluice.url}/api/v1/write", series)
    wait_until(lambda: len(prometheus.raw("good")) == 100, what="100 series")
    wait_until(lambda: all(len(samples) == 3 for samples in prometheus.raw("good").values()), what="3 samples of each")
    assert not prometheus.raw("future")
    dropped = wait_until(lambda: sluice.metric("sluice_remotewrite_samples_dropped_total", 'reason="rejected"'))
    assert dropped == 3, dropped
    wait_until(lambda: 'example=future' in sluice.log(), what="the dropped series in the log")


def test_a_reload_answers_when_it_is_in_force():
    """What is pushed right after the answer goes where the new file says; before it nothing takes samples."""
    sink = RecordingSink()
    nowhere = "server_groups: [{static_configs: [{targets: ['127.0.0.1:1']}]}]"
    somewhere = f"remote_write: [{{name: sink, url: '{sink.url}'}}]"
    sluice = Sluice(nowhere)
    for n in range(30):
        assert sluice.reconfigure(nowhere).status == 200
        assert push(f"{sluice.url}/api/v1/write", [({"__name__": "pushed"}, [(1000 + n, n)])]).status == 404
        assert sluice.reconfigure(somewhere).status == 200
        answer = push(f"{sluice.url}/api/v1/write", [({"__name__": "pushed"}, [(1000 + n, n)])])
        assert answer.status == 204, (n, answer)
    def arrived():  # a request that a reload ends is made again
        return [list(dict.fromkeys(v for _, v in samples)) for samples in sink.find("pushed").values()]
    wait_until(lambda: arrived() == [list(range(30))], 20, "all 30 samples")


def test_pushes_are_taken_from_the_first_moment():
    """From the line on that says ready, with a destination that pushes back."""
    sink = RecordingSink()
    for n in range(5):
        sluice = Sluice(f"remote_write: [{{name: sink, url: '{sink.url}', on_full: push_back}}]", name=f"sluice{n}", ready=False)
        while "msg=ready" not in sluice.log():
            time.sleep(0.001)
        answer = push(f"{sluice.url}/api/v1/write", [({"__name__": "pushed"}, [(1000 + n, n)])])
        assert answer.status == 204, answer
        sluice.stop()


def test_queue_of_a_removed_destination_is_told():
    """In the log of the start, in the metrics, and until its directory is gone or its destination is back."""
    sink = RecordingSink()
    sink.status = 503
    config = f"remote_write:\n- {{name: gone, url: '{sink.url}'}}\n"
    sluice = Sluice(config)
    assert push(sluice.url + "/api/v1/write", [({"__name__": "kept"}, [(int(time.time() * 1000), 1)])]).status == 204
    wait_until(lambda: sluice.metric("vm_persistentqueue_bytes_pending") > 0)
    sluice.kill9()
    with open(sluice.config_path, "w", encoding="utf-8") as f:
        f.write("{}\n")
    sluice.start().wait_ready()

    def shown():
        return [(k, v) for k, v in sluice.metrics().items() if k.startswith("sluice_queue_orphaned_bytes")]

    orphans = wait_until(shown)
    assert len(orphans) == 1 and 'path="gone-' in orphans[0][0] and orphans[0][1] > 0, orphans
    assert sluice.log().count("queue directory of a destination that is not configured") == 1, sluice.log()
    sink.status = 204
    assert sluice.reconfigure(config).status == 200
    wait_until(lambda: sink.find("kept"))
    wait_until(lambda: not shown())
