# SPDX-License-Identifier: Apache-2.0
"""Server groups in front of servers that hang, lie, or send what is no response: a healthy replica beside one gives its own
result, and without one the error names the server and tells what was wrong."""
import concurrent.futures
import json
import threading
import time

from lib import *
from misbehaving import *

TIMEOUT = 4  # seconds, of a request to a server
SLACK = 2 if RELEASE else 6

HUNG = "does not respond, nor to another query"  # a healthy one may seem so on a busy machine
SLOW = {fault for fault, (words, _) in FAULTS.items() if words == LATE}
MODES = {"merge": {"read_mode": "merge", "push_down": "off"}, "hedge": {"read_mode": "hedge", "push_down": "off"},
         "pushed": {"read_mode": "hedge"}, "first": {"read_mode": "first_available"}}  # the last two are pushed to
PUSHED = ("pushed", "first")


class Case:
    """One query over a group of a server with a fault, and with `beside` a healthy replica behind it."""

    def __init__(self, mode, bad, good, timeout=TIMEOUT):
        self.mode, self.bad, self.beside = mode, bad, good is not None
        self.name = f"{mode}-{bad.fault.__name__}-{'beside' if good else 'alone'}"
        servers = [s.address for s in (bad, good) if s]
        self.group = {"name": self.name, "labels": {"case": self.name}, "remote_read": False, **MODES[mode],
                      "static_configs": [{"targets": servers}], **({"timeout": f"{timeout}s"} if timeout else {})}
        self.servers = len(servers)

    def ask(self, sluice, **more):
        selector, began = f'm{{case="{self.name}"}}', time.monotonic()
        answer = sluice.get("/api/v1/query_range", {"query": f"sum({selector})" if self.mode in PUSHED else selector,
                                                    "start": START, "end": END, "step": STEP, **more})
        return answer, time.monotonic() - began

    def names_server(self, text):
        told = [FAULTS[self.bad.fault][0], "a check of the server fails"]  # which may find the fault first
        if self.bad.fault in (endless_samples, duplicate_times):  # either is seen first
            told += ["more points than", "out of order"]
        if self.beside or self.bad.fault in SLOW:
            told += [HUNG, "not queried for some time after failures", "the response is late"]
        return f'"{self.name}"' in text and self.bad.address in text and any(words in text for words in told)

    def check(self, answer, took, timeout=TIMEOUT):
        words, status = FAULTS[self.bad.fault]
        waits = timeout if self.bad.fault in SLOW else 0  # or less, if the same server was found to hang by another case
        if not self.beside:
            assert answer.status == status and self.names_server(answer.json()["error"]), (self.name, answer)
            known = HUNG in answer.json()["error"]
            assert (known or waits * 0.8 <= took) and took < waits + 2 * SLACK, (self.name, took, answer)
            return
        assert answer.status == 200, (self.name, answer)
        own = series_of(range(START, END + 1, STEP), self.mode in PUSHED)
        for s in own:
            s["metric"].update({"case": self.name} if self.mode not in PUSHED else {})
        same_answer(answer.json()["data"], result("matrix", own)["data"], self.name)
        infos = answer.json().get("infos", [])
        assert "warnings" not in answer.json() and len(infos) <= 1 and all(map(self.names_server, infos)), (self.name, infos)
        assert infos, self.name
        assert took < TIMEOUT - 0.5, (self.name, took, infos)  # check_costs measures it on a quieter machine


def start_sluice(cases, *flags):
    sluice = Sluice(json.dumps({"server_groups": [c.group for c in cases]}), *flags)
    wait_until(lambda: sluice.metric("sluice_upstream_up") == sum(c.servers for c in cases))
    return sluice


def check_mode(mode):
    good, bad = Healthy(), [Misbehaving(fault) for fault in FAULTS]
    cases = [Case(mode, b, g) for b in bad for g in (good, None)]
    sluice = start_sluice(cases, "--query.max-memory=16MiB")
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        for case, outcome in zip(cases, pool.map(lambda c: c.ask(sluice), cases)):
            case.check(*outcome)
    for b in bad:
        b.ended.set()
    if RELEASE:
        assert sluice.memory_kib()["VmHWM"] <= 100 << 10, sluice.memory_kib()
    if mode in PUSHED:
        assert sluice.metric("sluice_upstream_pushed_total") >= len(FAULTS) / 2


def test_merged_replicas():
    check_mode("merge")


def test_hedged_replicas():
    check_mode("hedge")


def test_pushed_to_hedged_replicas():
    check_mode("pushed")


def test_pushed_to_the_first_replica():
    check_mode("first")


class Changing(Healthy):
    """Responds to queries after `usual` seconds, and while it is `hung` not at all."""

    def __init__(self, usual):
        self.takes, self.hung, self.ended = usual, False, threading.Event()
        super().__init__()

    def evaluate(self, request, path, form, right):
        self.ended.wait(10 if self.hung else 0 if form["query"] == CHECK else self.takes)
        if not self.hung:
            request.reply(200, json.dumps(right).encode())


def check_costs(mode, usual, hedge):
    """The first query pays for one hedge, later ones for nothing until the server responds again."""
    first, second = servers = Changing(usual), Changing(usual)
    case = Case(mode, Misbehaving(hang_before_headers), None, None)
    case.group["static_configs"] = [{"targets": [s.address for s in servers]}]
    sluice = Sluice(json.dumps({"server_groups": [case.group]}))
    wait_until(lambda: sluice.metric("sluice_upstream_up") == 2)

    repeated = []

    def ask(most):
        times = []
        while not times or times[-1] > most and len(times) < 3 and not first.hung:
            answer, took = case.ask(sluice)
            times.append(took)
            assert answer.status == 200 and "warnings" not in answer.json(), answer
        assert times[-1] <= most, (mode, times, most)
        repeated.extend(times[1:])
        return answer.json()

    def state():
        return sluice.metric("sluice_upstream_breaker_state", first.address)

    for _ in range(3):
        right = ask(usual * 1.5 + SLACK / 5)
    assert "infos" not in right and state() == 0
    first.hung = True
    result = ask(usual * 1.5 + hedge + SLACK / 5)
    assert result["data"] == right["data"]
    assert first.address in str(result["infos"]), result
    if mode == "hedge":  # the other one was asked, and the check is made afterwards
        assert "the response is late" in str(result["infos"]), result
        wait_until(lambda: state() > 0)
    else:
        assert HUNG in str(result["infos"]), result
        assert state() > 0 and sluice.metric("sluice_upstream_hung_total") == 1
    assert ask(usual * 1.5 + SLACK / 5)["data"] == right["data"]
    assert "breaker=" in sluice.get("/targets").text and "breaker=closed" in sluice.get("/targets").text
    for path in ("/-/reload", "/-/healthy", "/-/ready"):  # depend on no server, nor does a start
        began = time.monotonic()
        assert (sluice.post if path == "/-/reload" else sluice.get)(path).status == 200
        assert time.monotonic() - began < SLACK / 2, path
    assert state() > 0  # a reload does not forget
    answered = sluice.metric("sluice_upstream_responses_total", second.address, 'code="200"')
    assert answered >= 2 and answered <= sluice.metric("sluice_upstream_request_duration_seconds_count", second.address)
    assert sluice.metric("sluice_upstream_replicas_missed_total", f'group="{case.name}"') == 2
    kind = "pushed" if mode == "first" else "raw"
    assert sluice.metric("sluice_upstream_fetches_total", case.name, f'kind="{kind}"') == 5 + len(repeated)
    assert sluice.metric("sluice_upstream_requests_in_flight") == 0
    first.hung = False
    first.ended.set()
    wait_until(lambda: state() == 0)
    first.ended.clear()
    assert "infos" not in ask(usual * 1.5 + SLACK / 5)


def test_a_hung_replica_costs_one_hedge():
    check_costs("merge", 0.2, 0.5)  # the check, since the response came after 0.2 s, and it is late after 0.1 s more


def test_a_hung_server_with_hedges_costs_one_hedge():
    check_costs("hedge", 0.2, 0.6)


def test_a_hung_first_server_costs_one_hedge():
    check_costs("first", 0.2, 1.1)


def test_a_group_that_hangs_fails_after_a_check():
    """Queries do not wait for their timeouts one after the other, and are served when it responds again."""
    server = Changing(0)
    case = Case("merge", Misbehaving(hang_before_headers), None, 2)
    case.group["static_configs"] = [{"targets": [server.address]}]
    sluice = Sluice(json.dumps({"server_groups": [case.group]}))
    right = case.ask(sluice)[0].json()["data"]
    server.hung = True
    answer, took = case.ask(sluice)
    assert answer.status == 504 and LATE in answer.json()["error"] and took >= 1.8, (answer, took)
    wait_until(lambda: HUNG in case.ask(sluice)[0].json()["error"])
    answer, took = case.ask(sluice)
    assert answer.status == 504 and server.address in answer.json()["error"] and took < 1.5, (answer, took)
    server.hung = False
    server.ended.set()
    wait_until(lambda: case.ask(sluice)[0].status == 200)
    assert case.ask(sluice)[0].json()["data"] == right


def test_without_a_timeout_of_the_group():
    """A server that hangs costs the query's timeout if there is no other, and the error names it."""
    bad = Misbehaving(hang_after_headers)
    cases = [Case("merge", bad, None, None), Case("pushed", bad, None, None)]
    sluice = start_sluice(cases)
    for case in cases:
        case.check(*case.ask(sluice, timeout="1s"), timeout=1)
    bad.ended.set()


def test_broken_utf8_is_not_passed_on():
    bad = Misbehaving(broken_utf8)
    sluice = start_sluice([Case("merge", bad, None)])
    labels = [s["metric"]["x"] for s in sluice.query_range("m", START, END, STEP)["result"]]
    assert labels == ["\ufffd\ufffd"] * 2, labels


class EndlessReading(Misbehaving):
    """Answers the expression by which the coverage of a metric is read without end, all other queries as a healthy server."""

    def evaluate(self, request, path, form, right):
        if not form["query"].startswith("label_replace"):
            return Healthy.evaluate(self, request, path, form, right)
        return super().evaluate(request, path, form, right)


def test_endless_response_to_a_reading_in_the_background():
    bad = EndlessReading(endless_samples)
    case = Case("merge", bad, Healthy())
    del case.group["push_down"]  # with "off" coverage is not read
    sluice = start_sluice([case], "--log.level=debug")
    assert sluice.query_range("m", START, END, STEP)["result"]
    wait_until(lambda: "cannot read the coverage of a server" in sluice.log(), timeout=30)
    bad.ended.set()
    wait_until(lambda: "more points than" in sluice.log() or "out of order" in sluice.log(), what="the log line")
