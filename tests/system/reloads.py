# SPDX-License-Identifier: Apache-2.0
"""Reloads under load: scrapes, pushes, queries and /metrics go on while each reload changes one of jobs, targets, relabel
rules, destinations, server groups, in turn, and each time also the certificate of a listener and its users.

No client with a user that stays is refused, over HTTP or TLS. Afterwards every sample that an exporter served and every sample of an acknowledged push is in the sink exactly once; no
counter of /metrics went backwards, also one that disappeared and came back; and descriptors and memory are as they were
one cycle of configurations before.
"""
import collections
import os
import re
import shutil
import signal
import ssl
import threading
import time

from lib import *
from secure import OTHER, SECRET, Authority, basic, fetch
from test_upstream import FakePrometheus

CYCLE = 10       # reloads until the same configuration comes again
BETWEEN = 0.4    # seconds of load between two reloads
KIND = "kind: prometheus, remote_read: false"


class UserOfSluice(Sluice):
    """Each request has the password of a user that stays."""
    headers = basic("steady", "secret")

    def get(self, path, params=None, headers=None, **more):
        return super().get(path, params, headers={**self.headers, **(headers or {})}, **more)

    def post(self, path, data=b"", headers=None, **more):
        return super().post(path, data, headers={**self.headers, **(headers or {})}, **more)


class Load:
    """sluice with all that surrounds it; config(n) is the configuration after n reloads."""

    def __init__(self):
        self.exporters = [ScriptedExporter(series=20) for _ in range(4)]
        self.sink, self.guest = RecordingSink(), RecordingSink(zstd=True)
        self.storages = [FakePrometheus(), FakePrometheus()]
        self.ca, self.tls_port = Authority(), free_port()
        for name in ("first", "second"):
            self.ca.issue(name)
        self.change_access(0)
        self.context = self.ca.context()
        port = free_port()
        self.sluice = UserOfSluice(self.config(0), f"--web.listen-address=127.0.0.1:{self.tls_port}", "-tls=false,true",
                                   f"-tlsCertFile=,{folder()}/server.pem", f"-tlsKeyFile=,{folder()}/server.key",
                                   f"--web.config.file={folder()}/web.yml", port=port)
        self.n, self.pushed, self.errors, self.ended = 0, [], [], threading.Event()
        self.counters, self.polls = {}, 0
        self.figures = []  # (descriptors, resident KiB) after each reload
        self.removals = []  # (ms before, ms after) of each reload that changes jobs or targets

    def config(self, n):
        jobs, targets, rules, destinations, groups = ((n + 4 - k) // 5 % 2 for k in range(5))
        steady, first, second, extra = (e.address for e in self.exporters)
        relabel = "metric_relabel_configs: [{target_label: rule, replacement: second}]" if rules else ""
        more_job = f"""
- job_name: extra
  static_configs: [{{targets: ['{extra}']}}]""" if jobs else ""
        more_destination = f"""
- {{name: guest, url: '{self.guest.url}', write_relabel_configs: [{{target_label: guest, replacement: '1'}}]}}""" if destinations else ""
        return f"""global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
- job_name: steady
  static_configs: [{{targets: ['{steady}']}}]
  {relabel}
- job_name: changing
  static_configs: [{{targets: ['{second if targets else first}']}}]{more_job}
remote_write:
- {{name: main, url: '{self.sink.url}', queue_config: {{shards: {3 if destinations else 1}}}}}{more_destination}
recent: {{like: main, budget: 8MiB}}
server_groups:
- {{name: west, static_configs: [{{targets: ['{self.storages[groups].address}']}}], {KIND}, written_by: main}}
- {{name: east, static_configs: [{{targets: ['{self.storages[0].address}']}}], {KIND}, {"timeout: 9s, " if groups else ""}labels: {{site: east}}}}
"""

    def change_access(self, n):
        """Another certificate, and another user beside the one that stays."""
        for kind in ("pem", "key"):
            shutil.copy(f"{folder()}/{('first', 'second')[n % 2]}.{kind}", f"{folder()}/server.{kind}.new")
            os.rename(f"{folder()}/server.{kind}.new", f"{folder()}/server.{kind}")
        put_file(f"{folder()}/web.yml", f"basic_auth_users:\n  steady: {SECRET}\n  user{n % 2}: {OTHER}\n")

    def check_access(self):
        """The certificate and the user are those of the last reload."""
        with open(f"{folder()}/server.pem", encoding="utf-8") as f:
            wanted = f.read().strip()

        def status(n):
            return fetch(self.sluice, "/-/healthy", self.context, (f"user{n % 2}", "other"), port=self.tls_port).status
        wait_until(lambda: ssl.get_server_certificate(("127.0.0.1", self.tls_port)).strip() == wanted, what="the certificate")
        wait_until(lambda: (status(self.n), status(self.n + 1)) == (200, 401), what="the users")

    # What goes on meanwhile.

    def request_over_tls(self):
        answer = fetch(self.sluice, "/api/v1/query?query=1", self.context, ("steady", "secret"), port=self.tls_port, timeout=30)
        assert answer.status == 200, answer
        time.sleep(0.02)

    def push_one(self):
        now = now_ms()
        series = [({"__name__": "pushed", "i": str(i)}, [(now, len(self.pushed))]) for i in range(20)]
        answer = push(f"{self.sluice.url}/api/v1/write", series, headers=self.sluice.headers)
        assert answer.status in (200, 204), answer
        self.pushed.append(now)
        time.sleep(0.02)

    def query_one(self):
        for expr in ("rate(scripted_counter[1m])", 'up{site="east"}', "count(pushed)"):
            answer = self.sluice.get("/api/v1/query", {"query": expr})
            assert answer.status == 200, answer
        time.sleep(0.02)

    def poll(self):
        """Fails when a counter is smaller than it was at any poll before."""
        for series, value in counters(self.sluice.get("/metrics").text).items():
            before = self.counters.get(series, value)
            assert value >= before, f"{series} went backwards: {before}, then {value}; {self.n} reloads"
            self.counters[series] = value
        self.polls += 1
        time.sleep(0.05)

    def repeat(self, job):
        try:
            while not self.ended.is_set():
                job()
        except Exception as e:  # shown by run()
            self.errors.append(e)

    # Reloads.

    def reload(self):
        self.n += 1
        self.change_access(self.n)
        os.rename(write_file("next.yml", self.config(self.n)), self.sluice.config_path)
        began = now_ms()
        if self.n % 3:
            answer = self.sluice.post("/-/reload")
            assert answer.status == 200, answer
        else:
            before = self.sluice.data("/api/v1/status/config")
            self.sluice.p.send_signal(signal.SIGHUP)
            wait_until(lambda: self.sluice.data("/api/v1/status/config") != before, 10)
        if self.n % 5 in (1, 2):
            self.removals.append((began, now_ms()))
        time.sleep(BETWEEN)
        self.figures.append((len(os.listdir(f"/proc/{self.sluice.p.pid}/fd")), self.sluice.memory_kib()["VmRSS"]))

    def run(self, reloads):
        threads = [threading.Thread(target=self.repeat, args=(job,))
                   for job in (self.push_one, self.query_one, self.poll, self.request_over_tls)]
        for t in threads:
            t.start()
        try:
            while len(self.figures) < reloads and not self.errors:
                self.reload()
        finally:
            self.ended.set()
            for t in threads:
                t.join()
        if self.errors:
            raise self.errors[0]
        self.ended.clear()
        self.poll()
        self.check_access()

    # What has arrived.

    def served(self):
        """{(exporter's address, ms, n)} of all pages."""
        return {(e.address, ms, n) for e in self.exporters for n, ms, _ in list(e.served)}

    def excused(self, page):
        """A page that was on its way when a reload removed its target: nobody waits for it any more."""
        address, ms, _ = page
        return address != self.exporters[0].address and any(a - 100 <= ms <= b for a, b in self.removals)

    def arrived(self, name):
        """{id: Counter of (exporter's address, n)}, whatever other labels there are; without stale markers."""
        found = collections.defaultdict(collections.Counter)
        for labels, samples in self.sink.find(name).items():
            labels = dict(labels)
            found[labels["id"]].update((labels["instance"], int(v)) for _, v in samples if not is_stale(v))
        return found

    def missing(self):
        pages = {(address, n): (address, ms, n) for address, ms, n in self.served()}
        lost = [f"{name}{{id={i}}}: {pages[page]}" for name in ("scripted_counter", "scripted_stamped_counter")
                for i in map(str, range(20)) for page in pages.keys() - self.arrived(name)[i].keys()
                if not self.excused(pages[page])]
        return lost + [f"push {i} {ms}" for i in map(str, range(20)) for ms in
                       set(self.pushed) - {t for _, s in self.sink.find("pushed", i=i).items() for t, _ in s}]

    def check_samples(self):
        for e in self.exporters:
            e.status = 503
        try:
            wait_until(lambda: not self.missing(), 20)
        except AssertionError:
            raise AssertionError(f"served or acknowledged, and not in the sink: {self.missing()[:10]}")
        twice = [(name, i, page, count) for name in ("scripted_counter", "scripted_stamped_counter")
                 for i, pages in self.arrived(name).items() for page, count in pages.items() if count > 1]
        assert not twice, f"{len(twice)} samples came more than once: {twice[:5]}"
        for labels, samples in self.sink.find("pushed").items():
            times = [t for t, _ in samples]
            assert times == sorted(set(times)), f"{labels}: twice or out of order"
        assert self.pushed and self.polls > len(self.figures) / 2
        assert all(e.n > 0 for e in self.exporters), [e.n for e in self.exporters]

    def check_figures(self, last):
        """Over the `last` reloads: each of a cycle at the begin beside the one of the same configuration at the end. What
        queues and connections have open at a moment varies; what leaks is there in each of them."""
        part = self.figures[-last:]
        pairs = list(zip(part[:CYCLE], part[-CYCLE:]))
        descriptors = sorted(b - a for (a, _), (b, _) in pairs)
        memory = sorted(b - a for (_, a), (_, b) in pairs)
        print(f"{self.n} reloads, {len(self.served())} pages, {len(self.pushed)} pushes, {len(self.counters)} counters "
              f"in {self.polls} polls; over {last - CYCLE} reloads descriptors {descriptors}, resident KiB {memory}")
        assert descriptors[CYCLE // 5] <= 2, f"descriptors: {[n for n, _ in part]}"
        if RELEASE:
            assert memory[CYCLE // 2] <= 1024, f"resident KiB: {[kib for _, kib in part]}"


def counters(text):
    """{series: value} of those that must not go backwards."""
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)", text, re.M))
    found = {}
    for series, name, value in re.findall(r"^(([^#\s{]+)(?:\{.*\})?) (\S+)$", text, re.M):
        family = re.sub(r"_(bucket|sum|count)$", "", name)
        kind = kinds.get(name) or kinds.get(family) or ("counter" if name.endswith("_total") else "gauge")
        quantile = kind == "summary" and name == family
        if kind != "gauge" and not quantile:
            found[series] = float(value)
    return found
