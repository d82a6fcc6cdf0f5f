# SPDX-License-Identifier: Apache-2.0
"""make_queue.py SLUICE OUT: a queue directory of two destinations in OUT, written by this program. README.md tells more."""
import hashlib
import os
import shutil
import sys
import time

sys.path.insert(0, f"{os.path.dirname(os.path.abspath(__file__))}/../../system")
import lib
from lib import *

lib.begin("make_queue", 300)
SERIES, T0 = 30, 1700000000000
first, second = RecordingSink(), RecordingSink(zstd=True)
CONFIG = """
global: {{external_labels: {{site: old}}}}
remote_write:
- name: first
  url: '{first}'
  max_disk_bytes: 768KiB
  queue_config: {{shards: 3, min_backoff: 30ms, max_backoff: 1s}}
- url: 'http://storage.example:8428/api/v1/write?token=x'
  proxy_url: 'http://{second}'
  write_relabel_configs: [{{action: labeldrop, regex: filler}}]
  queue_config: {{shards: {shards}, min_backoff: 30ms, max_backoff: 1s}}
"""
FILLER = ["".join(hashlib.sha256(f"{i} {j}".encode()).hexdigest() for j in range(20)) for i in range(SERIES)]
pushes = 0


def config(shards):
    return CONFIG.format(first=first.url, second=second.address, shards=shards)


def push_all(count):
    global pushes
    for _ in range(count):
        sample = (T0 + pushes * 1000, float(pushes))
        answer = push(f"{sluice.url}/api/v1/write", [
            ({"__name__": "old_total", "series": str(i), "filler": FILLER[i]}, [sample]) for i in range(SERIES)])
        assert answer.status == 204, answer
        pushes += 1
        time.sleep(0.1)


def wait_arrived(sink, n):
    wait_until(lambda: sum(len(samples) for samples in sink.find("old_total").values()) == SERIES * n)


sluice = Sluice(config(2), start=False)
sluice.command = [sys.argv[1]] + [word for word in sluice.command[1:] if word != "--web.enable-lifecycle"]
sluice.start().wait_ready()
push_all(1)
wait_arrived(first, 1)
wait_arrived(second, 1)
push_all(2)
wait_arrived(first, 3)
wait_arrived(second, 3)
second.status = 503
push_all(4)
wait_arrived(first, 7)
first.status = 503
push_all(3)
sluice.stop()
write_file("sluice.yml", config(3))
sluice.start().wait_ready()
push_all(12)
sluice.stop()
shutil.copytree(sluice.data_folder, sys.argv[2])
lib.end(False)
