# SPDX-License-Identifier: Apache-2.0
"""Prometheus without an out-of-order window rejects nothing: over outages, restarts, other numbers of lanes and shards; and
with kill -9 no sample is missing."""
import http.client
import re

from crash_rounds import PUSHED, Pusher, Targets
from lib import *

REJECTED = ("prometheus_tsdb_out_of_order_samples_total", "prometheus_tsdb_too_old_samples_total",
            "prometheus_tsdb_out_of_bound_samples_total")


class Gateway(Fake):
    """Forwards writes to a server, or responds with `status`."""

    def __init__(self, server):
        self.server_address, self.status, self.codes = server.address, 0, []
        super().__init__()

    def answer(self, request, body):
        if self.status:
            return request.reply(self.status)
        connection = http.client.HTTPConnection(self.server_address)
        connection.request("POST", request.path, body, {name: text for name, text in request.headers.items()
                                                         if name not in ("Host", "Content-Length")})
        response = connection.getresponse()
        text = response.read()
        with self.lock:
            self.codes.append(response.status)
        return request.reply(response.status, text)


class Delivery:
    """Scrapes and pushes that arrive in a Prometheus."""

    def __init__(self, targets=8, series=50, shards=8):
        self.prometheus = Prometheus(name="strict")
        self.gateway, self.targets = Gateway(self.prometheus), Targets(targets, series)
        self.sluice = Sluice(self.config(shards))
        self.pusher, self.kills, self.stops = Pusher(self.sluice.url), [], []
        self.pusher.start()

    def config(self, shards):
        return (self.targets.scrape_configs(300) + f"remote_write: [{{name: strict, url: 'http://{self.gateway.address}/api/v1/write', "
                f"queue_config: {{shards: {shards}, min_backoff: 30ms, max_backoff: 200ms}}}}]\n")

    def arrive(self):
        sent = len(self.gateway.codes)
        wait_until(lambda: len(self.gateway.codes) > sent + 1, 30, "blocks arrive")

    def outage(self, shards=None):
        """Until several flushes wait in the queue; with another number of shards from then on."""
        self.gateway.status = 503
        pages = len(self.targets.served[0])
        wait_until(lambda: len(self.targets.served[0]) > pages + 8, 30, "scrapes in the outage")
        assert shards is None or self.sluice.reconfigure(self.config(shards)).status == 200

    def restart(self, lanes=None, kill=False):
        if kill:
            assert self.sluice.kill9() == -9
            self.kills.append(now_ms())
        else:
            self.stops.append(now_ms())
            self.sluice.stop()
        if lanes:
            self.sluice.command = [c for c in self.sluice.command if not c.startswith("--lanes")] + [f"--lanes={lanes}"]
        self.sluice.start().wait_ready()

    def recover(self):
        self.gateway.status = 0
        self.arrive()

    def end(self):
        """All that was scraped and acknowledged is there, but for what a kill may cost."""
        self.gateway.status, self.targets.status, self.pusher.ended = 0, 503, True
        self.pusher.join()
        self.sluice.stop()  # flushes
        self.sluice.start().wait_ready()
        wait_until(lambda: self.sluice.metric("vmagent_remotewrite_pending_data_bytes") == 0, 30, "all is delivered")
        stored = {}
        for labels, samples in self.prometheus.raw('{__name__=~"stamped|pushed"}').items():
            stored[dict(labels).get("target", ""), int(dict(labels)["id"])] = set(samples)
        failed = [ms for samples in self.prometheus.raw("up").values() for ms, up in samples if up == 0]
        for target, served in enumerate(self.targets.served):
            for series in range(self.targets.series):
                lost = [(ms, n) for n, ms in served.items() if (ms, float(n)) not in stored[str(target), series] and
                        flushed_before(self.kills, ms) and not any(-SLACK_MS <= ms - t <= 600 for t in failed) and
                        not any(abs(ms - t) < SLACK_MS for t in self.stops)] # a stop cancels scrapes in flight
                assert not lost, f"target {target}, series {series}: lost {lost[:5]}, kills at {self.kills}"
        for series in range(PUSHED):
            lost = [n for n in self.pusher.acknowledged if (self.pusher.sent[n], float(n)) not in stored["", series]]
            assert not lost, f"acknowledged, and lost: {lost[:5]}"
        assert len(self.pusher.acknowledged) > 20 and len(self.targets.served[0]) > 5
        self.sluice.stop()

    def check_nothing_rejected(self):
        for name in REJECTED:
            assert self.prometheus.metric(name) == 0, f"{name} is {self.prometheus.metric(name)}"
        assert set(self.gateway.codes) <= {204, 415}, f"responses: {set(self.gateway.codes)}"  # 415: to zstd
        assert not re.search("out.of.order|duplicate sample", self.prometheus.log(), re.I), self.prometheus.log()[-2000:]
        assert self.sluice.metric("sluice_remotewrite_samples_dropped_total") == 0


@waits
def test_prometheus_rejects_nothing():
    delivery = Delivery()
    delivery.arrive()
    delivery.outage()
    delivery.restart(lanes=1)
    delivery.recover()
    delivery.restart(lanes=3)
    delivery.outage(shards=3)
    delivery.recover()
    delivery.restart(lanes=2)
    delivery.arrive()
    delivery.restart()
    delivery.arrive()
    delivery.check_nothing_rejected()
    delivery.end()


@waits
def test_nothing_is_missing_after_kills():
    delivery = Delivery(shards=4)
    delivery.arrive()
    delivery.restart(lanes=1, kill=True)
    delivery.outage(shards=7)
    delivery.restart(lanes=3, kill=True)
    delivery.recover()
    delivery.restart(kill=True)
    delivery.arrive()
    delivery.end()
