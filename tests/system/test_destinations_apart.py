# SPDX-License-Identifier: Apache-2.0
"""One destination refuses, one hangs, one is slow: the delay of another one does not grow, and memory stays in its bound."""
import time

from crash_rounds import Pusher, Targets
from lib import *

DELAY_S = 2    # of the healthy destination: flush interval, slot, request
MEMORY_KIB = 4 << 10 # max_memory_bytes of each destination


class TimedSink(RecordingSink):
    """Notes the delay of each request, by its first series: seconds since the sample."""

    def __init__(self):
        self.delays = []
        super().__init__(zstd=True)

    def answer(self, request, body):
        plain = wire.zstd_decompress(body) if request.headers.get("Content-Encoding") == "zstd" else wire.snappy_decompress(body)
        first = next((series for number, series in wire.fields(plain) if number == 1), b"")
        times = [wire.parse_sample(sample)[0] for number, sample in wire.fields(first) if number == 2]
        with self.lock:
            self.arrivals.append(None)
            self.delays.extend((time.monotonic(), (now_ms() - ms) / 1000) for ms in times[:1])
        return request.reply(204)


def deliver_beside_faults(seconds_of_fault, targets=5, series=100):
    pauses = Pauses()
    healthy, refusing, hanging, slow = TimedSink(), RecordingSink(zstd=True), RecordingSink(zstd=True), RecordingSink(zstd=True)
    sinks = {"healthy": healthy, "refusing": refusing, "hanging": hanging, "slow": slow}
    scraped = Targets(targets, series)
    entries = "".join(f"- {{name: {name}, url: '{sink.url}', max_memory_bytes: {MEMORY_KIB}KiB, queue_config: {{max_backoff: 1s}}}}\n"
                      for name, sink in sinks.items())
    sluice = Sluice(scraped.scrape_configs(500) + "remote_write:\n" + entries)
    pusher = Pusher(sluice.url)
    pusher.start()
    wait_until(lambda: all(len(sink.arrivals) > 2 for sink in (refusing, hanging, slow)) and len(healthy.delays) > 4)
    before, began = sluice.memory_kib()["RssAnon"], time.monotonic()
    refusing.stop()
    hanging.hang, hanging.drop, slow.hang = 3600, True, 5
    while time.monotonic() - began < seconds_of_fault:
        time.sleep(0.5)
        growth = sluice.memory_kib()["RssAnon"] - before
        assert growth < 3 * MEMORY_KIB + (16 << 10), f"{growth} KiB more for three queues"
    pending = {name: sluice.metric("vmagent_remotewrite_pending_data_bytes", f'url="{name}"') for name in sinks}
    assert all(pending[name] > 0 for name in ("refusing", "hanging", "slow")), f"the faults did not happen: {pending}"
    pusher.ended, scraped.status = True, 503
    pusher.join()
    with healthy.lock:
        delays = [delay for at, delay in healthy.delays if at > began]
    assert len(delays) > seconds_of_fault, "blocks of the healthy destination"
    assert max(delays) < DELAY_S + pauses.slack(began), f"delays up to {max(delays):.1f} s, pauses {pauses.slack(began):.1f} s"
    vars(hanging).update(hang=0, drop=False)
    slow.hang = 0
    refusing.start()
    return sluice, pusher, sinks, f"delay of the healthy destination at most {max(delays):.2f} s, {growth} KiB more memory"


@waits
def test_the_others_are_not_delayed():
    sluice, *_ = deliver_beside_faults(6)
    sluice.kill9()  # a stop would wait for the destinations
