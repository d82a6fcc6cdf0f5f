# SPDX-License-Identifier: Apache-2.0
"""What a misbehaving server costs the queries of a group with a healthy replica: their result is that of the replica,
within half again the usual time of the same query. A server that hangs costs the first one a check of 0.5 s, too, and one
that hangs every second time or for one kind of requests may cost two. Each request of `ask` is timed on a machine that
runs other tests: what one may cost beyond that is NOISE, and later requests count by their median."""
import json
import statistics
import time

import fakes
import remote_read
from lib import *
from misbehaving import *
from test_coverage import decided, scraping

USUAL = 0.04                     # seconds that a healthy server takes
NOISE, QUIET = (0.8, 0.2) if RELEASE else (3, 1)  # of one request, of the median of some
CHECKED = 0.55                   # CHECK_MIN_MS and LATE_MIN_MS
HANG = (hang_before_headers, hang_after_headers, slow_drip)
FILLS_MEMORY = 1.5               # seconds until 32 MiB are used
AT = {"start": START, "end": END}
KINDS = {"instant": ("query", {"time": END}), "range": ("query_range", {**AT, "step": STEP}), "series": ("series", AT),
         "labels": ("labels", AT), "values": ("label/i/values", AT), "read": ("read", {}),
         "export": ("query_range", {**AT, "step": STEP})}
ANY_BODY = {*HANG, reset_in_the_middle, truncated_json, error_with_200, unauthorized, html, redirect_loop, endless_blanks,
            endless_string, endless_unknown_key, ten_gigabytes}
MERGE, HEDGE, FIRST = ({"read_mode": mode, "push_down": "off"} for mode in ("merge", "hedge", "first_available"))


class Case:
    """A request of one kind, to a separate group."""

    def __init__(self, kind, servers, name, group):
        self.kind, self.name, self.servers = kind, name, servers
        more = {"kind": "victoriametrics"} if kind == "export" else {}
        self.tells = False # each result has an info that names the first server
        self.group = {**more, "name": name, "labels": {"case": name}, "remote_read": kind == "read", "timeout": "8s",
                      "static_configs": [{"targets": [s.address for s in servers]}], **group}

    def ask(self, sluice):
        """Seconds, and the result as text, without the name of the group."""
        path, params = KINDS[self.kind]
        began = time.monotonic()
        if self.kind == "read":
            answer = remote_read.read(sluice, [remote_read.read_query(
                [("__name__", "=", "m"), ("case", "=", self.name)], START * 1000, END * 1000)])
            took, data = time.monotonic() - began, None
            data = sorted(map(repr, remote_read.sampled(answer)[0]))
        else:
            key = "query" if path.startswith("query") else "match[]"
            answer = sluice.get(f"/api/v1/{path}", {key: f'm{{case="{self.name}"}}', **params})
            took = time.monotonic() - began
            assert answer.status == 200 and "warnings" not in answer.json(), (self.name, answer)
            infos = answer.json().get("infos", [])
            wanted = self.servers[0].address if self.tells else self.name
            assert all(wanted in info for info in infos) and (infos or not self.tells), (self.name, infos)
            data = answer.json()["data"]
        return took, json.dumps(data, sort_keys=True).replace(self.name, "NAME")


def check_costs(group, kinds, faults, **misbehaves):
    """misbehaves: of Misbehaving; one_kind: only requests of the kind that the case asks for."""
    one_kind, every = misbehaves.get("one_kind", False), misbehaves.get("every", 1)
    usual, cases = {}, []
    good = Healthy()
    good.usual = USUAL
    for kind in kinds:
        only = [kind if kind == "export" else KINDS[kind][0].rpartition("/")[2]] if one_kind else None
        usual[kind] = Case(kind, [good, Healthy()], f"usual-{kind}", group)
        usual[kind].servers[1].usual = USUAL
        cases += [Case(kind, [Misbehaving(fault, only, every), good], f"{kind}-{fault.__name__}", group) for fault in faults
                  if kind in ("instant", "range") or fault in ANY_BODY]
    sluice = Sluice(json.dumps({"server_groups": [c.group for c in [*cases, *usual.values()]]}), "--query.max-memory=32MiB")
    wait_until(lambda: sluice.metric("sluice_upstream_up") == 2 * len(cases) + 2 * len(usual))
    right = {kind: usual[kind].ask(sluice)[1] for kind in kinds}
    takes = {kind: statistics.median(usual[kind].ask(sluice)[0] for _ in range(5)) for kind in kinds}
    pauses = Pauses()
    for case in cases:
        fault, most, case.tells = case.servers[0].fault, 1.5 * takes[case.kind], every == 1
        once = CHECKED * (2 if one_kind or every > 1 else 1) if fault in HANG else \
            FILLS_MEMORY if fault == endless_new_series else 0
        began = time.monotonic()
        asked = [case.ask(sluice) for _ in range(4 if every == 1 else 8)]  # it takes some to know it for several kinds
        case.servers[0].ended.set()
        later = statistics.median(took for took, _ in asked[-3:])
        slack = pauses.slack(began)
        told = (case.name, [round(took, 2) for took, _ in asked], most, once, slack)
        assert all(data == right[case.kind] for _, data in asked), (told, [data for _, data in asked])
        assert max(took for took, _ in asked) <= most + once + NOISE + slack, told
        assert later <= most + QUIET + slack + (FILLS_MEMORY if fault == endless_new_series else 0), told
    if RELEASE:
        assert sluice.memory_kib()["VmHWM"] <= 100 << 10, sluice.memory_kib()


def test_instant_queries_of_replicas():
    check_costs(MERGE, ["instant"], FAULTS)


def test_range_queries_of_replicas():
    check_costs(MERGE, ["range"], FAULTS)


def test_lists_of_replicas():
    check_costs(MERGE, ["series", "labels", "values"], ANY_BODY)


def test_remote_read_of_replicas():
    check_costs(MERGE, ["read"], ANY_BODY)


def test_exports_of_replicas():
    check_costs(MERGE, ["export"], ANY_BODY)


def test_replicas_of_known_coverage():
    check_costs({}, ["range", "labels", "read"], [*HANG, html, reset_in_the_middle, endless_blanks])


def test_hedged_replicas():
    check_costs(HEDGE, ["instant", "range", "labels", "read"], [*HANG, html, reset_in_the_middle, endless_blanks])


def test_the_first_replica():
    check_costs(FIRST, ["range", "labels", "read"], [*HANG, html, reset_in_the_middle, endless_blanks])


def test_one_kind_of_requests():
    check_costs(MERGE, KINDS, HANG, one_kind=True)


def test_every_second_request():
    check_costs(MERGE, ["range", "labels", "read"], [*HANG, error_with_200, endless_blanks], every=2)


def test_every_second_request_of_one_kind():
    check_costs(FIRST, ["range", "labels", "read"], [*HANG, error_with_200, reset_in_the_middle], one_kind=True, every=2)


class Skewed(Healthy):
    """Scrapes by a clock that is wrong, and tells it as its Date."""

    def __init__(self, clock):
        self.clock = clock
        super().__init__()
        self.usual = USUAL


def test_replicas_whose_clocks_are_wrong():
    good, usual, cases = Healthy(), Healthy(), []
    good.usual = usual.usual = USUAL
    modes = {"merge": MERGE, "hedge": HEDGE, "first": FIRST, "pushed": {"read_mode": "first_available"}}
    for clock in (-300, -30, 45, 300):
        kinds = [("merge", kind) for kind in KINDS] + [(mode, kind) for mode in modes for kind in ("instant", "range")]
        cases += [Case(kind, [Skewed(clock), good], f"{mode}-{kind}-{clock}", modes[mode])
                  for mode, kind in dict.fromkeys(kinds)]
    alone = Case("range", [Skewed(60)], "alone", MERGE)
    right = {kind: Case(kind, [usual], f"right-{kind}", MERGE) for kind in KINDS}
    sluice = Sluice(json.dumps({"server_groups": [c.group for c in [*cases, alone, *right.values()]]}))
    wait_until(lambda: sluice.metric("sluice_upstream_up") == 2 * len(cases) + 1 + len(right))
    wanted, pauses = {kind: case.ask(sluice)[1] for kind, case in right.items()}, Pauses()
    takes = {kind: statistics.median(case.ask(sluice)[0] for _ in range(5)) for kind, case in right.items()}
    for case in cases:
        case.tells = True
        began = time.monotonic()
        asked = [case.ask(sluice) for _ in range(3)]
        slack = pauses.slack(time.monotonic() - began)
        assert all(data == wanted[case.kind] for _, data in asked), (case.name, asked, wanted[case.kind])
        later = statistics.median(took for took, _ in asked)
        assert later <= 1.5 * takes[case.kind] + QUIET + slack, (case.name, asked, takes)
    alone.tells = True
    assert alone.ask(sluice)[1] != wanted["range"]  # whose clock is wrong cannot be told
    first = cases[0].servers[0]
    assert -302 < sluice.metric("sluice_upstream_clock_offset_seconds", first.address) <= -298
    first.clock = 0
    wait_until(lambda: sluice.metric("sluice_upstream_clock_offset_seconds", first.address) == 0)
    cases[0].tells = False
    assert cases[0].ask(sluice)[1] == wanted[cases[0].kind]


class Forwarding(fakes.Fake):
    """Passes requests on to a server; while it `keeps` some, those whose body has this text have no response."""

    def __init__(self, server):
        self.behind, self.keeps, self.kept = server, None, 0
        super().__init__()

    def answer(self, asked, body):
        if self.keeps and self.keeps in body:
            self.kept += 1
            time.sleep(10)
            asked.close_connection = True
            return None
        kind = {"Content-Type": asked.headers["Content-Type"]} if body else None
        answer = request(self.behind.url + asked.path, data=body or None, headers=kind, method=asked.command)
        return asked.reply(answer.status, answer.body, Content_Type="application/json")


def test_one_query_hangs_at_a_complete_replica():
    """Its checks pass, so that only what coverage shows of the other one tells that nothing is lost without it."""
    exporter = ScriptedExporter()
    config = scraping(("node", (exporter,)))
    a, b = (Prometheus(config, name=name) for name in "ab")
    before = Forwarding(a)
    servers = {"name": "west", "remote_read": False, "timeout": "8s", "static_configs": [{"targets": [before.address, b.address]}]}
    sluice = Sluice(json.dumps({"server_groups": [servers]}))
    wait_until(lambda: all(len(p.raw("up").popitem()[1]) > 6 for p in (a, b)))
    at, pauses = time.time(), Pauses()
    wait_until(lambda: decided(sluice, "scripted_counter", at - 6, at) == [True, True], 60, every=0.5)
    for query, path in (("scripted_counter[3s]", "query"), ("sum(rate(scripted_counter[3s]))", "query"),
                        ("max_over_time(scripted_counter[3s])", "query_range")):
        form = {"query": query, "time": at} if path == "query" else {"query": query, "start": at - 2, "end": at, "step": 1}
        right = sluice.data(f"/api/v1/{path}", form)
        before.keeps, before.kept, began = b"scripted_counter", 0, time.monotonic()
        answer = sluice.get(f"/api/v1/{path}", form)
        took, before.keeps = time.monotonic() - began, None
        assert answer.status == 200 and before.kept, (query, answer, before.kept)
        assert took < 1.5 + NOISE + pauses.slack(time.monotonic() - took), (query, took)
        assert any("the response is late" in info and before.address in info for info in answer.json()["infos"]), answer
        assert len(answer.json()["data"]["result"]) == len(right["result"]) > 0, (query, answer, right)
