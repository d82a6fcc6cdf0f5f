# SPDX-License-Identifier: Apache-2.0
"""What 0.1.0 left behind (tests/upgrade/0.1.0) is taken over: its queue is delivered once and in order, its configurations
mean the same."""
import difflib
import glob
import json
import os
import re
import shutil
import struct
import tarfile

from lib import *

OLD = f"{ROOT}/tests/upgrade/0.1.0"
SERIES, PUSHES, FIRST_MS = 30, 22, 1700000000000
CONFIG = """
global: {{external_labels: {{site: old}}}}
remote_write:
- name: first
  url: '{first}'
  max_disk_bytes: 768KiB
  queue_config: {{shards: {shards}, min_backoff: 30ms, max_backoff: 1s}}
- url: 'http://storage.example:8428/api/v1/write?token=x'
  proxy_url: 'http://{second}'
  write_relabel_configs: [{{action: labeldrop, regex: filler}}]
  queue_config: {{shards: {shards}, min_backoff: 30ms, max_backoff: 1s}}
"""
# Differences to what 0.1.0 made of the same files, with the reason. A new key that is off needs none.
# Nor do keys without effect, which are not shown any more.
NO_EFFECT = re.compile(r"\s*(enable_http2|retry_on_http_429|capacity|(max|min)_shards|max_samples_per_send|"
                       r"batch_send_deadline): .*")
OFF = re.compile(r"\s*\w+: (\{\}|\[\]|\"\"|''|0|0s|false|null)")
CHANGES = {
    "    written_by: primary": "a group may be filled by several destinations: shown as a list",
    "    written_by:": "likewise",
    "    written_by: ''": "likewise, and empty",
    "      - primary": "likewise",
    "          - targets/*.yml": "relative paths are shown as they are used, from the file's directory on",
    "          - targets/*.json": "relative paths are shown as they are used, from the file's directory on",
    f"          - {OLD}/targets/*.yml": "likewise",
    f"          - {OLD}/targets/*.json": "likewise",
    "      max_samples_per_send: 10000": "acts, and has another default",
    "      max_block_bytes: 8MiB": "a new key, with its default",
    "    failover_after: 30s": "a new key, with its default",
    "    failover_hold: 5m": "likewise",
    "      max_samples_per_send: 1000": "acts, and is shown after other keys that act now",
    "    push_down: verified": "a new key, with its default",
    "    compression: auto": "likewise",
    "    partial_response: auto": "likewise",
    "  scrape_slot: auto": "likewise",
    "    drain: auto": "likewise",
    "    max_quarantine_bytes: 16MiB": "likewise",
    "    protobuf_message: prometheus.WriteRequest": "acts, and is shown",
    "    send_exemplars: true": "acts, and is shown",
    "    send_native_histograms: true": "likewise",
    "    metadata_config:": "likewise",
    "      send: true": "likewise",
    "      send_interval: 10m": "likewise",
    "  metric_name_escaping_scheme: allow-utf-8": "likewise",
    "    metric_name_escaping_scheme: allow-utf-8": "likewise",
    "    label_filter:": "likewise: its keys follow, and are off",
    "    relative_time_range:": "likewise",
    "    absolute_time_range:": "likewise",
    "  metric_name_validation_scheme: utf8": "likewise",
    "    metric_name_validation_scheme: utf8": "likewise",
    "    keep_dropped_targets: 10000": "likewise",
    "    stream_parse: true": "acts, and is shown",
    "    proxy_tls_config:": "likewise: its keys follow, and are off",
    "      proxy_tls_config:": "likewise",
    "    balance: first": "a new key, with its default",
    "otlp:": "new keys, with their defaults",
    "  translation_strategy: UnderscoreEscapingWithSuffixes": "likewise",
    "  label_name_underscore_sanitization: true": "likewise",
    "pipeline:": "new keys, with their defaults",
    "  limits:": "likewise",
    "    limits:": "likewise",
    "    round_digits: 100": "likewise",
    "    track_timestamps_staleness: true": "acts, and is shown: what vmagent does by default",
}


def samples_by_series(sink):
    """{number of the series: [(ms, value)] in order of arrival}."""
    return {int(dict(labels)["series"]): samples for labels, samples in sink.find("old_total").items()}


def positions(data_folder):
    """{path: sequence number before which everything is delivered}, of files that have the format's size and a sum."""
    found = {}
    for path in glob.glob(f"{data_folder}/*/*/*/position"):
        with open(path, "rb") as f:
            text = f.read()
        assert len(text) == 48, f"{path}: {len(text)} bytes"
        slots = [text[at:at + 24] for at in (0, 24) if text[at:at + 4] == b"SLP1"]
        found[path] = max([struct.unpack_from("<Q", slot, 8)[0] for slot in slots], default=0)
    return found


def take_over(shards):
    """Every sample that waited arrives once and in order; after the next start nothing comes again."""
    first, second = RecordingSink(), RecordingSink(zstd=True)
    data = f"{folder()}/data{shards}"
    with tarfile.open(f"{OLD}/queue.tar.xz") as queue:
        queue.extractall(data)
    config = CONFIG.format(first=first.url, second=second.address, shards=shards)
    sluice = Sluice(config, name=f"taken{shards}", data_folder=data)
    wanted = {sink: [(FIRST_MS + k * 1000, float(k)) for k in range(delivered, PUSHES)]
              for sink, delivered in ((first, 7), (second, 3))}

    def complete():
        return all(sum(map(len, samples_by_series(sink).values())) >= SERIES * len(w) for sink, w in wanted.items())
    wait_until(complete, 20, "what waited in the old queue")
    wait_until(lambda: sluice.metric("vmagent_remotewrite_pending_data_bytes") == 0)
    now = now_ms()
    assert push(f"{sluice.url}/api/v1/write", [({"__name__": "new_total"}, [(now, 1.0)])]).status == 204
    wait_until(lambda: all(sink.find("new_total") for sink in wanted))
    assert sluice.metric("sluice_queue_bad_records_total") == 0
    assert "level=error" not in sluice.log(), sluice.log()
    sluice.stop()
    at = positions(data)
    assert len(at) == 2 * shards and sum(n > 0 for n in at.values()) >= 2, at
    assert len(glob.glob(f"{data}/*")) == 3, f"a destination got a new queue: {os.listdir(data)}"

    sluice.start().wait_ready()
    wait_until(lambda: sluice.metric("vmagent_remotewrite_pending_data_bytes") == 0)
    sluice.stop()
    for sink, w in wanted.items():
        got = samples_by_series(sink)
        assert sorted(got) == list(range(SERIES))
        for number, samples in got.items():
            assert samples == w, f"series {number}: {samples}, wanted {w}"
        assert all(dict(labels)["site"] == "old" for labels in sink.find("old_total"))
        assert [s for samples in sink.find("new_total").values() for s in samples] == [(now, 1.0)]


def test_queue_of_0_1_0():
    take_over(shards=3)


def test_queue_of_0_1_0_with_other_shards():
    take_over(shards=4)


def vmagent_blocks(folder):
    """Samples by series, in the order of the blocks after the reader's position, by the format's description."""
    with open(f"{folder}/metainfo.json", encoding="utf-8") as f:
        meta = json.load(f)
    with open(f"{folder}/0000000000000000", "rb") as f:
        chunk = f.read()
    assert len(chunk) == meta["WriterOffset"] and 0 < meta["ReaderOffset"] < len(chunk)
    at, found, blocks = meta["ReaderOffset"], {}, 0
    while at < len(chunk):
        length = int.from_bytes(chunk[at:at + 8], "big")
        body = chunk[at + 8:at + 8 + length]
        raw = wire.zstd_decompress(body) if body[:4] == b"\x28\xb5\x2f\xfd" else wire.snappy_decompress(body)
        for labels, samples in wire.parse_write_request(raw):
            found.setdefault(int(dict(labels)["series"]), []).extend(samples)
        at, blocks = at + 8 + length, blocks + 1
    return found, blocks


def take_over_vmagent(version, shards):
    data = f"{folder()}/data-{version}-{shards}"
    shutil.copytree(f"{ROOT}/tests/upgrade/vmagent/{version}", data)
    queues = f"{data}/persistent-queue"
    queue, other = glob.glob(f"{queues}/1_*")[0], "2_00000000000000AB"  # of a URL that is no destination
    wanted, blocks = vmagent_blocks(queue)
    shutil.copytree(queue, f"{queues}/{other}")
    assert blocks >= 5 and len(wanted) == SERIES, f"{blocks} blocks of {len(wanted)} series"
    sink = RecordingSink(zstd=True)
    config = f"""
remote_write:
- url: 'http://storage.example:8428/api/v1/write?token=y'
  proxy_url: 'http://{sink.address}'
  queue_config: {{shards: {shards}, min_backoff: 30ms, max_backoff: 1s}}
"""
    sluice = Sluice(config, name=f"vmagent{version}-{shards}", data_folder=data)
    now = now_ms()
    assert push(f"{sluice.url}/api/v1/write", [({"__name__": "new_total"}, [(now, 1.0)])]).status == 204
    wait_until(lambda: sink.find("new_total"), 20, "the new sample")
    assert samples_by_series(sink) == wanted, "older blocks are sent first, once and in order"
    assert os.listdir(queues) == [other]
    size = os.path.getsize(f"{queues}/{other}/0000000000000000")
    wait_until(lambda: sluice.metric("sluice_queue_orphaned_bytes", f"persistent-queue/{other}") == size)
    assert "took over a persistent queue of vmagent" in sluice.log() and "level=error" not in sluice.log(), sluice.log()
    sluice.stop()
    sluice.start().wait_ready()
    wait_until(lambda: sluice.metric("vmagent_remotewrite_pending_data_bytes") == 0)
    sluice.stop()
    assert samples_by_series(sink) == wanted and len(sink.find("new_total")) == 1


def test_queue_of_vmagent_1_79():
    take_over_vmagent("1.79.5", shards=3)


def test_queue_of_vmagent_1_145():
    take_over_vmagent("1.145.0", shards=3)


def test_queue_of_vmagent_in_one_shard():
    """The only shard continues where the chunk file ends."""
    take_over_vmagent("1.145.0", shards=1)


def test_configurations_of_0_1_0():
    with open(f"{OLD}/starts.json", encoding="utf-8") as f:
        starts = json.load(f)
    unused = set(CHANGES)
    for name, flags in starts.items():
        port = free_port()
        sluice = Sluice(None, name=name, port=port, start=False)
        places = {"FILES": OLD, "DATA": sluice.data_folder, "PORT": str(port)}
        for place, value in places.items():
            flags = [flag.replace(place, value) for flag in flags]
        sluice.command = [sluice.program] + flags
        sluice.start().wait_ready()
        with open(f"{OLD}/{name}.expected.yml", encoding="utf-8") as f:
            before = f.read().splitlines()
        now = sluice.data("/api/v1/status/config")["yaml"].splitlines()
        changed = [line[2:] for line in difflib.ndiff(before, now)
                   if line[:2] == "- " and not NO_EFFECT.fullmatch(line[2:]) or line[:2] == "+ " and not OFF.fullmatch(line[2:])]
        unknown = [line for line in changed if line not in CHANGES]
        assert not unknown, f"{name}: differs from 0.1.0 without a reason in CHANGES: {unknown}"
        unused -= set(changed)
        with open(f"{OLD}/{name}.targets.json", encoding="utf-8") as f:
            wanted = json.load(f)
        targets = sluice.data("/api/v1/targets")["activeTargets"]
        got = sorted([{"labels": t["labels"], "url": t["scrapeUrl"], "pool": t["scrapePool"],
                       "interval": t["scrapeInterval"], "timeout": t["scrapeTimeout"]} for t in targets], key=str)
        assert got == wanted, f"{name}: targets {got}, wanted {wanted}"
        sluice.stop()
    assert not unused, f"CHANGES names what is no change: {unused}"
