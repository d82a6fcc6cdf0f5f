# SPDX-License-Identifier: Apache-2.0
"""A destination and its backup, for tests of failovers."""
import os
import time

from lib import *

__all__ = ["Pair", "SERIES", "audited_pair", "audited_server", "check_complete", "has", "numbers", "outage_with_restarts",
           "query_through_an_outage", "windows_file", "windows_files"]

CONFIG = """
remote_write:
- name: main
  url: '{main}'
  protocol: snappy
  drain: {drain}
  queue_config: {{shards: 4, min_backoff: 30ms, max_backoff: 200ms}}
- name: spare
  url: '{spare}'
  backup_of: main
  protocol: snappy
  failover_after: {after}
  failover_hold: {hold}
  queue_config: {{min_backoff: 30ms, max_backoff: 200ms}}
"""
SERIES = 12  # on several shards and lanes


class Pair:
    """A sluice with a destination and its backup, and numbered pushes to it."""

    ahead_ms = 0  # of the samples

    def __init__(self, after="1s", hold="1s", drain="in_order", flags=(), storages=None, more=""):
        self.main, self.spare = storages or (RecordingSink(), RecordingSink())
        self.settings, self.more = {"after": after, "hold": hold, "drain": drain}, more
        self.sluice = Sluice(self.config(), "--remoteWrite.flushInterval=100ms", *flags, name="failover")
        self.pushed = 0

    def config(self):
        urls = {name: getattr(sink, "write_url", sink.url) for name, sink in (("main", self.main), ("spare", self.spare))}
        return CONFIG.format(**urls, **self.settings) + self.more

    def push(self):
        """The next sample of each series; acknowledged, so it may not be lost."""
        ms = now_ms() + self.ahead_ms
        self.last_ms = ms
        series = [({"__name__": "failover_test", "series": str(i)}, [(ms, float(self.pushed))]) for i in range(SERIES)]
        assert push(f"{self.sluice.url}/api/v1/write", series).status == 204
        self.pushed += 1

    def push_while(self, condition, timeout=30, what=""):
        def step():
            self.push()
            return condition()
        wait_until(step, timeout, what)

    def push_every(self, pause, seconds, condition=lambda: False):
        end = time.monotonic() + seconds
        while time.monotonic() < end and not condition():
            self.push()
            time.sleep(pause)

    def sending(self):
        return self.sluice.metric("sluice_failover_active", 'url="spare"') == 1

    def settled(self):
        """Neither destination has anything left to send."""
        return all(self.sluice.metric("vmagent_remotewrite_pending_data_bytes", f'url="{name}"') == 0
                   for name in ("main", "spare"))


def numbers(sink, series):
    return [v for s in sink.find("failover_test", series=str(series)).values() for _, v in s]


def windows_files(sluice):
    return [f"{folder}/{name}" for folder, _, names in os.walk(sluice.data_folder) for name in names
            if name.endswith(".failover")]


def windows_file(sluice):
    return windows_files(sluice)[0]


def has(sink, count):
    """Each series has this many different samples."""
    return all(len(set(numbers(sink, series))) == count for series in range(SERIES))


def check_complete(pair, sink, first, what):
    """All numbers from `first` on are there, each once, in order."""
    for series in range(SERIES):
        want, have = [float(n) for n in range(first, pair.pushed)], numbers(sink, series)
        assert have == want, f"{what}: series {series} has {have[:5]}..{have[-5:]}, not {first}..{pair.pushed - 1}"


def outage_with_restarts(drain, end):
    """Sluice ends before the backup sends, while it sends, and while the primary takes its backlog."""
    pair = Pair(hold="1500ms", drain=drain)
    pair.push()
    wait_until(lambda: has(pair.main, pair.pushed) and pair.settled(), 30)
    first, pair.main.status = pair.pushed, 503
    for _ in range(3):
        pair.push()

    def again():
        end(pair.sluice)
        pair.sluice.start().wait_ready()
    again()
    pair.push_while(pair.sending, what="the backup sends")
    for _ in range(5):
        pair.push()
    wait_until(lambda: has(pair.spare, pair.pushed - first), 30, "the backup has the outage")
    again()
    wait_until(pair.sending, 10, "the backup goes on where it was")
    for _ in range(5):
        pair.push()
    wait_until(lambda: has(pair.spare, pair.pushed - first), 30, "the backup has the outage")
    pair.main.status = 204
    pair.push()
    again()
    wait_until(pair.sending, 10, "the backup goes on where it was")
    pair.push_while(lambda: not pair.sending(), what="the backup stops")
    wait_until(pair.settled, 30, "nothing is left")
    assert pair.sluice.metric("sluice_failover_windows", 'url="spare"') == 1
    for series in range(SERIES):
        main, spare = numbers(pair.main, series), numbers(pair.spare, series)
        assert set(main) == set(range(pair.pushed)), f"series {series}: primary has {main}"
        assert sorted(set(spare)) == list(range(first, first + len(set(spare)))), f"series {series}: backup has {spare}"
        twice = len(main) + len(spare) - len(set(main)) - len(set(spare))
        assert twice <= 6, f"series {series} was sent twice beyond what was in flight: {main} {spare}"
    wait_until(lambda: "open" not in open(windows_file(pair.sluice)).read(), 10, "the end of the window is on disk")
    again()
    wait_until(lambda: pair.sluice.metric("sluice_failover_windows", 'url="spare"') == 1, 10)
    assert not pair.sending()
    pair.push()
    wait_until(lambda: pair.pushed - 1 in numbers(pair.main, 0) and pair.settled(), 30)
    assert pair.pushed - 1 not in numbers(pair.spare, 0), "the backup is silent after the outage"


GROUPS = """
server_groups:
- name: storage
  static_configs: [{{targets: ['{main}']}}]
  written_by: main
- name: backup
  static_configs: [{{targets: ['{spare}']}}]
  written_by: spare
"""


def audited_pair(more=""):
    """Beside two storages, which are server groups, with a recent store."""
    main, spare = VictoriaMetrics(name="main"), VictoriaMetrics(name="spare")
    groups = GROUPS.format(main=main.url[7:], spare=spare.url[7:]) + "recent: {like: main}\n"
    return Pair(storages=(main, spare), more=groups + more)


def audited_server(pair, group, **times):
    """The only server of a group, as an audit finds it."""
    answer = pair.sluice.get("/api/v1/status/audit", {"group": group, "match[]": "failover_test", **times})
    assert answer.status == 200, answer
    return answer.json()["data"]["servers"][0]


def check_lists_of_the_backup(sluice, begin_ms, end_ms):
    """Without and with times that the primary alone has; fail without times of the backup."""
    for begin, kind in ((begin_ms, "infos"), (begin_ms - 3600000, "warnings"), (None, "warnings")):
        times = {"end": end_ms / 1000, "match[]": "failover_test", **({"start": begin / 1000} if begin else {})}
        for path, wanted in (("labels", ["__name__", "series"]), ("label/series/values", sorted(str(i) for i in range(SERIES)))):
            answer = sluice.get(f"/api/v1/{path}", times).json()
            assert answer["data"] == wanted and any("its backup" in text for text in answer.get(kind, [])), (path, times, answer)
        answer = sluice.get("/api/v1/series", times).json()
        assert len(answer["data"]) == SERIES and any("its backup" in text for text in answer.get(kind, [])), answer
    for times in ({"end": begin_ms / 1000 - 3600}, {"end": end_ms / 1000, "deny_partial_response": "1"}):
        answer = sluice.get("/api/v1/labels", {"start": begin_ms / 1000 - 7200, **times})
        assert answer.status in (502, 503) and "storage" in answer.text, answer


def query_through_an_outage(main, spare, **settings):
    """The primary is down for writes and reads: what the backup has completely can be queried meanwhile, and everything
    afterwards. Samples of a minute after the last response may be in the primary only, so those of the outage are further
    ahead."""
    groups = GROUPS.format(main=main.url[7:], spare=spare.url[7:])
    pair = Pair(storages=(main, spare), more=groups, **settings)
    for _ in range(5):
        pair.push()
    wait_until(pair.settled, 30, "the first samples")
    before_ms, first = pair.last_ms, pair.pushed
    main.stop()
    pair.ahead_ms = 90000
    pair.push()
    begin_ms = pair.last_ms
    pair.push_while(pair.sending, what="the backup sends")
    for _ in range(5):
        pair.push()
    seconds = (pair.last_ms - begin_ms) / 1000 + 0.001

    def samples(window, at_ms, how=pair.sluice):
        for storage in (main, spare):
            if storage.alive() and hasattr(storage, "flush"):
                storage.flush()
        found = HTTPProcess.raw(how, "failover_test", f"{round(window * 1000)}ms", at_ms / 1000)
        return {dict(labels)["series"]: [v for _, v in values] for labels, values in found.items()}

    def everything(begin):
        return {str(i): [float(n) for n in range(begin, pair.pushed)] for i in range(SERIES)}
    wait_until(lambda: samples(seconds, pair.last_ms) == everything(first), 30, "all samples of the outage, by the backup")
    answer = pair.sluice.get("/api/v1/query", {"query": "sum(failover_test)", "time": pair.last_ms / 1000}).json()
    assert float(answer["data"]["result"][0]["value"][1]) == SERIES * (pair.pushed - 1), answer
    assert any("its backup" in text for text in answer.get("warnings", [])), "the lookback begins before the outage"
    check_lists_of_the_backup(pair.sluice, begin_ms, pair.last_ms)
    answer = pair.sluice.get("/api/v1/query", {"query": "failover_test", "time": before_ms / 1000})
    assert answer.status in (502, 503) and "storage" in answer.text, f"what only the primary has: {answer}"
    main.start()
    main.wait_ready(60)
    pair.push_while(lambda: not pair.sending(), 60, what="the backup stops")
    wait_until(pair.settled, 30, "nothing is left")
    window = (pair.last_ms - before_ms) / 1000 + 60
    wait_until(lambda: samples(window, pair.last_ms) == everything(0), 30, "all samples, by both")
    wait_until(lambda: samples(window, pair.last_ms, main) == everything(0), 30, "all samples in the primary")

    def asked(ms, query="sum(failover_test)"):
        requests = pair.sluice.data("/api/v1/explain", {"query": query, "time": ms / 1000})["requests"]
        return {r["group"] for r in requests}
    assert asked(pair.last_ms) == {"storage", "backup"}, "the backup is read for the time of the outage"
    assert asked(before_ms - 3600000) == {"storage"}, "the backup is not read for other times"
    pair.sluice.kill9()
    pair.sluice.start().wait_ready()
    wait_until(lambda: asked(before_ms - 3600000) == {"storage"}, 20, "the times are known after a restart")
    assert asked(pair.last_ms) == {"storage", "backup"}
    return pair
