# SPDX-License-Identifier: Apache-2.0
"""Which replica of a group is complete, with real servers that scrape, stop, lag and relabel."""
import time

from fakes import ScriptedExporter
from lib import *
from test_upstream import group, groups

JOB = """  - job_name: {job}
    {more}
    static_configs: [{{targets: [{targets}]}}]
"""


def scraping(*jobs, rules=""):
    """A configuration that scrapes every second."""
    text = "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
    if rules:
        text += f"rule_files: [{write_file('rules.yml', rules)}]\n"
    text += "scrape_configs:\n"
    for job, targets, *more in jobs:
        text += JOB.format(job=job, targets=", ".join(f"'{t.address}'" for t in targets), more=more[0] if more else "")
    return text


def status(sluice, selector=None, start=None, end=None):
    params = [("match[]", selector)] if selector else []
    params += [(k, v) for k, v in (("start", start), ("end", end)) if v is not None]
    return sluice.data("/api/v1/status/coverage", params)["groups"][0]


def decided(sluice, selector, start, end=None):
    """By replica, whether it is complete; or why nothing is known."""
    decision = status(sluice, selector, start, end)["selectors"][0]
    return decision.get("unknown") or [replica["complete"] for replica in decision["replicas"]]


def await_decision(sluice, wanted, selector, start=None, end=None, timeout=60):
    """`start` None: the last three seconds."""
    last = []

    def is_so():
        last[:] = [decided(sluice, selector, start if start is not None else time.time() - 3, end)]
        return last[0] == wanted
    try:
        wait_until(is_so, timeout, every=0.3)
    except AssertionError:
        raise AssertionError(f"{selector}: {last[0]}, not {wanted}; {status(sluice, selector, start, end)}") from None


def replicas(config_a, config_b, *more, **server):
    a = Prometheus(config_a, name="a", **server)
    b = Prometheus(config_b, name="b", **server)
    sluice = Sluice(groups(group("west", a, b, **dict(more))))
    return a, b, sluice


def incomplete(sluice, selector, start, replica):
    return status(sluice, selector, start)["selectors"][0]["replicas"][replica]["incomplete"]


def missed_a_scrape(server, since, until):
    """The server itself, on a busy machine; or a reading of its samples came before one of its slow scrapes ended: a sample
    is overdue after 1.1 intervals."""
    durations = server.raw("scrape_duration_seconds")
    if any(since < t / 1000 < until and v > 0.05 for samples in durations.values() for t, v in samples):
        return True
    for samples in server.raw("up").values():
        inside = [(t / 1000, v) for t, v in samples if since < t / 1000 < until]
        times = [since, *(t for t, _ in inside), until]
        if any(v == 0 for _, v in inside) or any(y - x > 1.05 for x, y in zip(times, times[1:])):
            return True
    return False


def stop_and_check(a, b, one, two, sluice):
    """The begin of the time in which a has a gap and b has none; None: a busy machine made other gaps."""
    before = [replica["gaps"] for replica in status(sluice)["replicas"]]
    begin = time.time() - 2
    stopped = begin
    try:
        a.stop()
        stopped = time.time()
        time.sleep(3)
        # a cannot be reached: b alone is what there is
        await_decision(sluice, [False, True], "scripted_counter", begin)
        a.start()
        a.wait_ready()
        await_decision(sluice, [True, True], "scripted_counter", timeout=40)
        back = time.time()
        await_decision(sluice, [False, True], "scripted_counter", begin)
        await_decision(sluice, [True, True], "scripted_counter", begin, stopped - 2)
        for gap in incomplete(sluice, "scripted_counter", begin, 0):
            assert stopped - 4 < gap["from"] and gap["to"] < back, (gap, stopped, back)
        gaps = status(sluice)
        assert [replica["gaps"] for replica in gaps["replicas"]] == [before[0] + 2, before[1]], gaps
        assert {g["target"]["instance"] for g in gaps["lastGaps"]} == {one.address, two.address}, gaps
    except AssertionError:
        if not a.alive():
            a.start()
        a.wait_ready()
        if not missed_a_scrape(b, begin - 2, time.time() - 1) and not missed_a_scrape(a, begin - 2, stopped - 1):
            raise
        return None
    return begin


def own_times(n, ms):
    """Series whose timestamps are never those of the scrape, which may be answered within its millisecond."""
    return f"scripted_counter {n}\nscripted_stamped_counter {n} {ms - 500}\n"


@waits
@seconds(300)
def test_a_stopped_server_has_a_gap():
    one, two = ScriptedExporter(page=own_times), ScriptedExporter(page=own_times)
    rules = "groups: [{name: g, rules: [{record: 'job:scripted:sum', expr: sum by (job) (scripted_counter)},\n" \
            "                           {record: recorded, expr: scripted_counter}]}]"
    config = scraping(("node", (one, two)), rules=rules)
    a, b, sluice = replicas(config, config)
    await_decision(sluice, [True, True], "scripted_counter")
    kinds = {"job:scripted:sum": "the metric has series that are not scraped from a target",     # a rule
             "recorded": "the metric has series that are not scraped from a target",             # with the target's labels
             "scripted_stamped_counter": "the metric has series that are not scraped from a target",
             '{job="node"}': "the selector names no metric"}
    for selector, why in kinds.items():
        await_decision(sluice, why, selector)
    begin = None
    while begin is None: # until the machine is not too busy for servers that scrape every second
        begin = stop_and_check(a, b, one, two, sluice)
    # a reload keeps what is known
    readings = 'sluice_upstream_coverage_readings_total{group="west"}'
    before = sluice.metrics()[readings]
    assert sluice.post("/-/reload").status == 200
    assert decided(sluice, "scripted_counter", begin) == [False, True]
    assert before > 5 and sluice.metrics()[readings] >= before
    assert f'sluice_upstream_coverage_targets{{group="west",url="{a.url}"}}' in sluice.metrics()


@waits
def test_what_one_server_does_not_have():
    shared, cut, trimmed = ScriptedExporter(), ScriptedExporter(), ScriptedExporter()
    drop = "metric_relabel_configs: [{source_labels: [id], regex: '3', action: drop}]"
    a, b, sluice = replicas(scraping(("shared", (shared,)), ("trimmed", (trimmed,), drop)),
                            scraping(("shared", (shared, cut)), ("trimmed", (trimmed,))))
    both = 'scripted_counter{job="shared",instance="%s"}'
    await_decision(sluice, [False, True], 'scripted_counter{job="trimmed"}')
    await_decision(sluice, [False, True], both % cut.address)
    # a lacks series of the metric, whatever its targets are
    await_decision(sluice, [False, True], both % shared.address)
    # up has a series for each target, and b has one more
    await_decision(sluice, [False, True], f'up{{instance="{cut.address}"}}')


@waits
def test_pushed_and_federated_series_are_not_of_targets():
    target = ScriptedExporter()
    config = scraping(("node", (target,)))
    a, b, sluice = replicas(config, config)
    await_decision(sluice, [True, True], "scripted_counter")
    for server in (a, b): # with the labels of the target
        now = now_ms()
        push(server.write_url, [({"__name__": "pushed", "job": "node", "instance": target.address}, [(now, 1.0)]),
                                ({"__name__": "lonely", "job": "push"}, [(now, 1.0)])])
    elsewhere = "the metric has series that are not scraped from a target"
    time.sleep(1)
    await_decision(sluice, elsewhere, "pushed", timeout=70)
    await_decision(sluice, elsewhere, "lonely")
    trusting = Sluice(groups(group("west", a, b, trust_untargeted=True)), name="trusting")
    await_decision(trusting, [True, True], "pushed")
    await_decision(trusting, [True, True], '{job="push"}')


@waits
def test_victoriametrics_that_agents_fill():
    target = ScriptedExporter()
    a, b = VictoriaMetrics(name="a"), VictoriaMetrics(name="b")
    job = "scrape_configs: [{job_name: node, scrape_interval: 1s, static_configs: [{targets: ['%s']}]}]\n" % target.address
    agents = [Sluice(job + f"remote_write: [{{url: '{server.write_url}', name: out}}]\n",
                     "--remoteWrite.flushInterval=500ms", name=f"agent-{name}")
              for name, server in (("a", a), ("b", b))]
    sluice = Sluice(groups(group("west", a, b, trust_untargeted=True)))
    await_decision(sluice, [True, True], "scripted_counter")
    wait_until(lambda: status(sluice)["replicas"][1]["targets"] == 1, 20)
    before = status(sluice)["replicas"][1]["gaps"] # none, unless the machine is busy
    agents[1].kill9()
    # what VictoriaMetrics shows may be half a minute late: only then the gap counts up to now
    wait_until(lambda: status(sluice)["replicas"][1]["gaps"] > before, 60, every=0.3)
    await_decision(sluice, [True, False], "scripted_counter")


def check_counting(servers):
    """`up` has no gap. The first replica is the one that is asked, until the counts show what it lacks."""
    now = int(time.time()) // 15 * 15
    times, lost = range(now - 900, now + 480, 15), range(now - 480, now - 300)
    for server in servers:
        for instance in ("1", "2"):
            labels = {"job": "node", "instance": instance}
            lacks = lost if server is servers[0] and instance == "1" else ()
            series = [({"__name__": "up", **labels}, [(1000 * t, 1.0) for t in times]),
                      ({"__name__": "scrape_samples_post_metric_relabeling", **labels}, [(1000 * t, 1.0) for t in times]),
                      ({"__name__": "m", **labels}, [(1000 * t, float(t)) for t in times if t not in lacks])]
            assert push(server.write_url, series).status in (200, 204)
        if isinstance(server, VictoriaMetrics):
            server.flush()
    sluice = Sluice(f"server_groups: [{{name: west, static_configs: [{{targets: ['{servers[0].address}', "
                    f"'{servers[1].address}']}}]}}]\n")
    at = now - 150

    def count(instance):
        result = sluice.query(f'count_over_time(m{{instance="{instance}"}}[10m])', at)["result"]
        return result[0]["value"][1], decided(sluice, f'm{{instance="{instance}"}}', at - 600, at)
    wait_until(lambda: count("1") == ("40", [False, True]), 60, every=0.5)
    assert count("2") == ("40", [True, True])
    assert sluice.metric("sluice_upstream_coverage_distrusted", servers[0].address) == 1
    assert sluice.metric("sluice_upstream_coverage_distrusted", servers[1].address) == 0
    assert "has fewer samples than its scrapes" in sluice.log() and servers[0].address in sluice.log()


def test_samples_lost_after_their_scrapes_are_found_by_counting():
    check_counting([Prometheus("", name=name) for name in "ab"])


def test_samples_lost_by_victoriametrics_are_found_by_counting():
    check_counting([VictoriaMetrics(name=name) for name in "ab"])
