# SPDX-License-Identifier: Apache-2.0
"""OpenTelemetry's protocol: JSON, names for Prometheus, and what is rejected in part."""
import json
import random

import otlp
import wire
from fakes import RecordingSink
from lib import *
from otlp_json import as_json
from test_ingest import OTLP, OTLP_CASES, RESOURCE, SCOPE, T, Case, by_case, compare, send

JSON = {"Content-Type": "application/json; charset=utf-8"}
PROTOBUF = {"Content-Type": "application/x-protobuf"}
UNITS = ["", "By", "s", "1", "%", "ms", "By/s", "{packets}", "{packets}/s", "m/h", "widgets/y", "KiBy/d", "a b", "/s", "s/", " s / m ", "Cel", "x/{y}", "total", "1/s"]
NAMES = ["http.server.duration", "system_total", "total.bytes", "a-b c:d/e", "_x", "1st", "bytes_per_second", "ratio", "ä.b", "seconds.total.seconds", "..", "UPPER__x"]
ATTRIBUTES = {"a.b": "1", "_one": "2", "__two": "3", "9nine": "4", "ä-ö": "5", "plain": "6", "k8s.pod/name": "7", "_": "8", "x y": "9"}


def named_bodies():
    for number, name in enumerate(NAMES):
        metrics = []
        for i, unit in enumerate(UNITS):
            point = otlp.number(i, T, unit=str(i), **(ATTRIBUTES if i == 0 else {}))
            metrics += [otlp.metric(name, 5, otlp.field(1, point), unit=unit), otlp.metric(name, 7, otlp.field(1, otlp.number(i, T, unit=f"c{i}")) + otlp.field(2, 2) + otlp.field(3, 1), unit=unit)]
        metrics += [otlp.total(name, otlp.number(1, T, kind="up.down"), monotonic=False), otlp.histogram(name, T, [1, 2], [1.0], 3.0), otlp.summary(name, T, 1, 2.0, {0.5: 1.0})]
        yield otlp.request(*metrics, resource=ATTRIBUTES if number % 2 else None, scope=("sc", "v", {"a.b": "s", "_u": "v"}))


def test_names_for_prometheus_as_vmagent_makes_them():
    cases = [Case(OTLP, body, headers=PROTOBUF) for body in named_bodies()]
    for case in cases:  # a name that is empty is invalid
        case.body = case.body if b"\x0a\x02.." not in case.body else otlp.request()
    compare(cases, "-opentelemetry.usePrometheusNaming")
    compare(cases[:4], "-opentelemetry.usePrometheusNaming", "-opentelemetry.labelNameUnderscoreSanitization=false")
    compare(cases[:4], "-opentelemetry.convertMetricNamesToPrometheus")


def test_json_is_read_as_protobuf():
    """All bodies in both encodings; JSON in all of its forms."""
    dice = random.Random(2)
    bodies = [case.body for case in OTLP_CASES if case.body and case.headers == PROTOBUF and case.own is None and len(case.body) > 10]
    bodies = [b for b in bodies if wire_valid(b)] + list(named_bodies()) + [otlp.request(
        otlp.histogram("all", T, [1, 2, 3], [1.0, 2.5], 12.5, a="b"), otlp.summary("s", T, 10, 20.5, {0.5: 3.0, 0.99: float("inf")}),
        otlp.total("neg", otlp.number(-5, T), otlp.number(float("nan"), T + 1)), resource=RESOURCE, scope=SCOPE)]
    sink = RecordingSink()
    sluice = Sluice("scrape_configs: []", f"-remoteWrite.url={sink.url}", "--dialect=vmagent")
    before, number = now_ms(), 0
    for body in bodies:
        for form in (body, as_json(body), as_json(body, dice)):
            case = Case(OTLP, form, headers=PROTOBUF if form is body else JSON)
            assert send(sluice, case, number).status == 200, (number, form)
            number += 1
    wait_until(lambda: len(by_case(sink, before)) == number, 30)
    found = by_case(sink, before)
    for i in range(0, number, 3):
        assert found[i] == found[i + 1] == found[i + 2], (i, bodies[i // 3], found[i], found[i + 1], found[i + 2])


def wire_valid(body):
    try:
        return bool(as_json(body))
    except (ValueError, IndexError, TypeError):
        return False


def test_invalid_json_of_opentelemetry():
    sluice = Sluice("recent: {retention: 1h}\n")

    def post(text):
        return sluice.post(OTLP, text.encode() if isinstance(text, str) else text, headers=JSON)
    point = '{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","%s":{"dataPoints":[%s]}}]}]}]}'
    for bad in ("", "[]", "5", "null", "{", '{"resourceMetrics":{}}', '{"resourceMetrics":[5]}', point % ("gauge", "5"),
                point % ("gauge", '{"timeUnixNano":"x"}'), point % ("gauge", '{"timeUnixNano":1.5}'), point % ("gauge", '{"asDouble":true}'),
                point % ("gauge", '{"asInt":"1.5"}'), point % ("sum", '{"attributes":{"a":"b"}}'), point % ("gauge", '{"attributes":[{"key":5}]}'),
                point % ("gauge", '{"attributes":[{"key":"a","value":{"bytesValue":"?"}}]}'), point % ("histogram", '{"bucketCounts":5}'),
                '{"resourceMetrics":[]} x', "[" * 10000, '{"a":' * 10000, point % ("gauge", '{"attributes":[{"key":"a","value":' + '{"arrayValue":{"values":[' * 40)):
        answer = post(bad)
        assert answer.status == 400 and answer.text, (bad[:200], answer)
    for good in ("{}", '{"resourceMetrics":null}', '{"resourceMetrics":[]}', '{"unknown":[{}]}', point % ("gauge", "")):
        answer = post(good)
        assert (answer.status, answer.text, answer.headers["Content-Type"]) == (200, "{}", "application/json"), (good, answer)
    dice = random.Random(4)
    whole = as_json(otlp.request(otlp.histogram("h", T, [1, 2], [1.0], 3.0, a="b"), otlp.exponential("e", T, 2, 1, (0, [1, 300])), resource=RESOURCE, scope=SCOPE))
    for n in range(0, len(whole), 3):
        assert post(whole[:n]).status == 400, n
        changed = bytearray(whole)
        changed[dice.randrange(len(changed))] = dice.randrange(256)
        assert post(bytes(changed)).status in (200, 400), n


def test_rejected_data_points_are_reported():
    sluice = Sluice("recent: {retention: 1h}\n")
    t = now_ms()
    body = otlp.request(otlp.histogram("bad", t, [1, 2, 3], [1.0]), otlp.gauge("good", otlp.number(1, t)), otlp.gauge("", otlp.number(1, t)))
    answer = sluice.post(OTLP, as_json(body), headers=JSON).json()
    assert answer["partialSuccess"]["rejectedDataPoints"] == "2" and "metric `bad`" in answer["partialSuccess"]["errorMessage"], answer
    answer = sluice.post(OTLP, body, headers=PROTOBUF)
    partial = dict(wire.fields(dict(wire.fields(answer.body))[1]))
    assert answer.headers["Content-Type"] == PROTOBUF["Content-Type"] and partial[1] == 2 and b"metric `bad`" in partial[2], answer
    assert sluice.post(OTLP, otlp.request(otlp.gauge("good", otlp.number(1, t + 1))), headers=PROTOBUF).body == b""


DELTAS = "--enable-feature=otlp-deltatocumulative"


def delta_sum(name, value, t, start=None, **labels):
    point = otlp.number(value, t, **labels) + (otlp.fixed(2, start * 10**6) if start else b"")
    return otlp.metric(name, 7, otlp.field(1, point) + otlp.field(2, 1) + otlp.field(3, 1))


def test_deltas_become_sums():
    """Over all connections; a request that is repeated counts once, an older point is rejected."""
    prometheus = Prometheus("", "--enable-feature=native-histograms")
    sluice = Sluice(f"remote_write: [{{url: '{prometheus.write_url}', send_native_histograms: true}}]", DELTAS)
    t = now_ms() - 60000

    def post(*metrics, headers=PROTOBUF, **more):
        answer = sluice.post(OTLP, otlp.request(*metrics, **more), headers=headers)
        assert answer.status == 200, answer
        return answer.body

    def delta_histogram(t, counts, bounds, total, **labels):
        return otlp.histogram("h", t, counts, bounds, total, temporality=1, **labels)

    def delta_exponential(t, *shape, **more):
        body = otlp.exponential("e", t, *shape, **more)
        return body[:-1] + b"\x01"  # its temporality
    labels = {"a": "1", "b": "2"}
    for i in range(5):
        metrics = [delta_sum("d", i + 1, t + i * 1000, t - 1000, **dict(sorted(labels.items(), reverse=i % 2))), delta_sum("f", .25, t + i * 1000),
                   delta_histogram(t + i * 1000, [1, 2, 3], [1.0, 2.0], 1.5, k="v"),
                   delta_exponential(t + i * 1000, 3 - i % 2, 1, (4, [1, 2]), value_sum=2.0), otlp.total("c", otlp.number(7 + i, t + i * 1000))]
        for _ in range(2):
            post(*metrics, resource={"r": "s"})
    assert b"older than the last one" in post(delta_sum("d", 100, t, **labels), resource={"r": "s"})
    assert b"older than the last one" in post(delta_sum("d", 100, t + 9000, t - 5000, **labels), resource={"r": "s"})
    post(delta_sum("d", 3, t + 5000, **labels), resource={"r": "other"})
    post(delta_histogram(t + 5000, [5, 6], [1.0], 1.0, k="v"), delta_sum("f", 0.0, t + 5000), resource={"r": "s"})
    post(otlp.metric("f", 7, otlp.field(1, otlp.number(5.0, t + 6000, flags=1)) + otlp.field(2, 1)), delta_sum("f", 1.0, t + 7000), resource={"r": "s"})

    def values(query):
        data = prometheus.query(f"{query}[5m]", time=(t + 30000) / 1000)["result"]
        return [float(v) for s in data for _, v in s["values"]]
    wait_until(lambda: len(values('{"f",r="s"}')) == 7, 30, "the sums")
    assert values('{"d",r="s"}') == [1, 3, 6, 10, 15] and values('{"d",r="other"}') == [3]
    assert values('{"f",r="s"}') == [.25, .5, .75, 1.0, 1.25, 1.25, 2.25] and values("c") == [7, 8, 9, 10, 11]
    assert values('h_bucket{le="1.0"}') + values('h_bucket{le="1"}') == [1, 2, 3, 4, 5, 5]
    assert values("h_count") == [6, 12, 18, 24, 30, 11] and values("h_sum") == [1.5, 3, 4.5, 6, 7.5, 1]
    assert values('h_bucket{le="+Inf"}') == [6, 12, 18, 24, 30, 11]
    h = prometheus.query("e[5m]", time=(t + 30000) / 1000)["result"][0]["histograms"]
    assert [(float(v["count"]), float(v["sum"])) for _, v in h] == [(4 * i, 2.0 * i) for i in range(1, 6)], h
    counts = {(round(float(low), 6), round(float(high), 6)): float(n) for _, low, high, n in h[-1][1]["buckets"]}
    wide = 2 ** .25
    assert counts == {(0, 0): 5, **{(round(wide ** i, 6), round(wide ** (i + 1), 6)): n for i, n in ((2, 9), (4, 2), (5, 4))}}, counts


def test_deltas_of_an_invalid_body_are_not_added():
    sink = RecordingSink()
    t = now_ms()
    sluice = Sluice("scrape_configs: []", f"-remoteWrite.url={sink.url}", DELTAS)
    body = otlp.request(delta_sum("d", 1, t))
    assert sluice.post(OTLP, body, headers=PROTOBUF).status == 200
    assert sluice.post(OTLP, otlp.request(delta_sum("d", 50, t + 1)) + b"\xff", headers=PROTOBUF).status == 400
    assert sluice.post(OTLP, otlp.request(delta_sum("d", 2, t + 2)), headers=PROTOBUF).status == 200
    wait_until(lambda: sum(sink.find("d").values(), []) == [(t, 1.0), (t + 2, 3.0)], 30)


def test_deltas_are_stored_as_they_are_by_default():
    sink = RecordingSink()
    t = now_ms()
    sluice = Sluice("scrape_configs: []", f"-remoteWrite.url={sink.url}")
    for i in range(3):
        assert sluice.post(OTLP, otlp.request(delta_sum("d", 5, t + i)), headers=PROTOBUF).status == 200
    wait_until(lambda: sum(sink.find("d").values(), []) == [(t + i, 5.0) for i in range(3)], 30)


PROMETHEUS_OTLP = "/api/v1/otlp/v1/metrics"
# (name, unit, kind): the name that Prometheus' translation with UnderscoreEscapingWithSuffixes gives
TRANSLATED = {
    ("simple_metric", "", "gauge"): "simple_metric", ("metric@with#special$chars", "", "gauge"): "metric_with_special_chars", ("123metric", "", "gauge"): "_123metric",
    ("metric@@##$$name", "", "gauge"): "metric_name", ("requests", "", "counter"): "requests_total", ("cpu_usage", "1", "gauge"): "cpu_usage_ratio",
    ("items", "1", "counter"): "items_total", ("response_time", "ms", "gauge"): "response_time_milliseconds", ("memory_usage", "By", "gauge"): "memory_usage_bytes",
    ("requests", "1/s", "gauge"): "requests_per_second", ("throughput", "By/s", "gauge"): "throughput_bytes_per_second", ("custom_metric", "custom_unit", "gauge"): "custom_metric_custom_unit",
    ("custom_metric", "{custom}", "gauge"): "custom_metric", ("custom_metric", "By/{custom}", "gauge"): "custom_metric_bytes", ("requests_total", "", "counter"): "requests_total",
    ("cpu_usage_ratio", "1", "gauge"): "cpu_usage_ratio", ("response_time_seconds", "s", "gauge"): "response_time_seconds", ("total.of.total", "s", "counter"): "of_seconds_total",
    ("level", "1", "updown"): "level", ("a:b.c", "%", "gauge"): "a:b_c_percent", ("ä.ö__x", " s / m ", "gauge"): "x_seconds_per_minute", ("x", "a b", "gauge"): "x_a_b"}


def one_named(i, name, unit, kind):
    point = otlp.number(1, T, i=str(i))
    data = otlp.field(1, point) + (b"" if kind == "gauge" else otlp.field(2, 2) + (otlp.field(3, 1) if kind == "counter" else b""))
    return otlp.metric(name, 5 if kind == "gauge" else 7, data, unit=unit)


def test_path_of_prometheus():
    """Series as Prometheus' receiver makes them by default; flags of vmagent have no effect there."""
    sink = RecordingSink()
    sluice = Sluice("scrape_configs: []", f"-remoteWrite.url={sink.url}", "-opentelemetry.promoteScopeMetadata=true")

    def post(*metrics, **more):
        return sluice.post(PROMETHEUS_OTLP, otlp.request(*metrics, **more), headers=PROTOBUF)
    answer = post(*(one_named(i, *key) for i, key in enumerate(TRANSLATED)))
    assert answer.status == 200 and not answer.body, answer
    wait_until(lambda: len(sink.samples()) == len(TRANSLATED), 30)
    found = {int(dict(k)["i"]): dict(k)["__name__"] for k in sink.samples()}
    assert found == dict(enumerate(TRANSLATED.values())), [(k, found[i], v) for i, (k, v) in enumerate(TRANSLATED.items()) if found[i] != v]
    attributes = {"a.b": "1", "a_b": "2", "_one": "3", "__two": "4", "9n": "5", "ä": "6", "job": "own", "list": ["x", 7], "map": {"k": {"l": True}}, "__name__": "ignored"}
    resource = {"service.name": "svc", "service.namespace": "ns", "service.instance.id": "i1", "host.name": "h", "n": 5, "a-b": "x", "a.b": "y"}
    assert post(otlp.gauge("attrs", otlp.number(1, T, **attributes), otlp.number(2, T + 400000)), resource=resource, scope=SCOPE).body == b""
    assert post(otlp.gauge("alone", otlp.number(1, T)), resource={"service.name": "s2"}).body == b""
    assert post(otlp.gauge("nobody", otlp.number(1, T)), resource={"host.name": "h"}).body == b""
    assert post(otlp.histogram("hist", T, [1, 2, 3], [1.0, 2500000.0], 12.5), otlp.summary("summ", T, 10, 20.5, {0.5: 3.0}), otlp.histogram("nosum", T, [3], [])).body == b""
    answer = post(otlp.total("delta", otlp.number(1, T), temporality=1), otlp.total("unspecified", otlp.number(1, T), temporality=0), otlp.gauge("beside", otlp.number(1, T)))
    assert dict(wire.fields(dict(wire.fields(answer.body))[1]))[1] == 2 and b"otlp-deltatocumulative" in answer.body, answer
    own = {"job": "ns/svc", "instance": "i1"}
    expected = [
        ({"__name__": "attrs", "a_b": "1;2", "key_one": "3", "__two": "4", "key_9n": "5", "key_": "6", "list": '["x",7]', "map": '{"k":{"l":true}}', **own}, [(T, 1.0)]),
        ({"__name__": "attrs", **own}, [(T + 400000, 2.0)]),
        ({"__name__": "target_info", "host_name": "h", "n": "5", "a_b": "x;y", **own}, [(T, 1.0), (T + 150000, 1.0), (T + 300000, 1.0), (T + 400000, 1.0)]),
        ({"__name__": "alone", "job": "s2"}, [(T, 1.0)]), ({"__name__": "nobody"}, [(T, 1.0)]), ({"__name__": "beside"}, [(T, 1.0)]),
        *[({"__name__": "hist_bucket", "le": le}, [(T, v)]) for le, v in (("1", 1.0), ("2500000", 3.0), ("+Inf", 6.0))],
        ({"__name__": "hist_count"}, [(T, 6.0)]), ({"__name__": "hist_sum"}, [(T, 12.5)]), ({"__name__": "nosum_count"}, [(T, 3.0)]), ({"__name__": "nosum_bucket", "le": "+Inf"}, [(T, 3.0)]),
        ({"__name__": "summ_count"}, [(T, 10.0)]), ({"__name__": "summ_sum"}, [(T, 20.5)]), ({"__name__": "summ", "quantile": "0.5"}, [(T, 3.0)])]
    wanted = {tuple(sorted(labels.items())): samples for labels, samples in expected}

    def stored():
        return {k: sorted(v) for k, v in sink.samples().items() if "i" not in dict(k)}
    wait_until(lambda: len(stored()) >= len(wanted), 30)
    assert stored() == wanted, [(k, stored().get(k), v) for k, v in wanted.items() if stored().get(k) != v] + [k for k in stored() if k not in wanted]
    assert sluice.post(PROMETHEUS_OTLP, as_json(otlp.request(otlp.gauge("js.on", otlp.number(1, T), unit="s"))), headers=JSON).text == "{}"
    wait_until(lambda: sink.find("js_on_seconds"), 30)
    assert sluice.post(PROMETHEUS_OTLP, b"\xff", headers=PROTOBUF).status == 400


def test_attributes_that_become_one_label_have_a_limit():
    """Also if what two of them make together is of any length at it."""
    sluice = Sluice("scrape_configs: []")
    half = 1 << 19
    for more in range(-16, 17):
        labels = {"a!": "x" * half, "a-": "y" * (half + more), "a.": "z" * 1000}
        answer = sluice.post(PROMETHEUS_OTLP, otlp.request(otlp.gauge("g", otlp.number(1, T, **labels))), headers=PROTOBUF)
        assert b"attributes are longer than 1048576 bytes" in answer.body, (more, answer.status, answer.body[:200])


# Of each strategy: (name, unit, kind) and the name that github.com/prometheus/otlptranslator makes of it
STRATEGIES = {
    "NoUTF8EscapingWithSuffixes": {
        ("a.b", "s", "gauge"): "a.b_seconds", ("requests.total", "", "counter"): "requests_total", ("x", "1", "gauge"): "x_ratio", ("x.ratio", "1", "gauge"): "x_ratio",
        ("t", "By/s", "gauge"): "t_bytes_per_second", ("t.per_second", "1/s", "gauge"): "t_per_second", ("a.seconds", "s", "counter"): "a.seconds_total",
        ("ä/x", "{p}", "counter"): "ä/x_total", ("total", "", "counter"): "total_total", ("level", "1", "updown"): "level"},
    "UnderscoreEscapingWithoutSuffixes": {
        ("a.b", "s", "counter"): "a_b", ("__x..y@", "", "gauge"): "__x_y", ("1st", "1", "gauge"): "_1st", ("a:b", "By", "gauge"): "a:b"},
    "NoTranslation": {("a.b", "s", "counter"): "a.b", ("ä x", "1", "gauge"): "ä x"}}


def otlp_stored(section, *requests):
    """What `otlp: section` makes of them, without what is refused."""
    sink = RecordingSink()
    sluice = Sluice(f"scrape_configs: []\notlp: {section}\n", f"-remoteWrite.url={sink.url}", name="otlp")
    for number, body in enumerate((*requests, otlp.request(otlp.gauge("end", otlp.number(1, T))))):
        assert sluice.post(PROMETHEUS_OTLP, body, headers=PROTOBUF).status == 200, number
    wait_until(lambda: sink.find("end"), 30)
    sluice.stop()
    return sink


def test_section_otlp_names():
    for strategy, names in STRATEGIES.items():
        sink = otlp_stored(f"{{translation_strategy: {strategy}}}", otlp.request(
            *(one_named(i, *key) for i, key in enumerate(names)), otlp.gauge("labels", otlp.number(1, T, **{"a.b": "1", "_c": "2"}))))
        found = {int(dict(k)["i"]): dict(k)["__name__"] for k in sink.samples() if "i" in dict(k)}
        assert found == dict(enumerate(names.values())), (strategy, [(k, found.get(i), v) for i, (k, v) in enumerate(names.items()) if found.get(i) != v])
        (labels,) = sink.find("labels")
        escaped = strategy.startswith("Underscore")
        assert dict(labels) == {"__name__": "labels", **({"a_b": "1", "key_c": "2"} if escaped else {"a.b": "1", "_c": "2"})}, labels


def test_section_otlp_labels():
    resource = {"service.name": "svc", "service.instance.id": "i", "host.name": "h", "k8s.pod": "p", "own": "resource"}
    body = otlp.request(otlp.gauge("m", otlp.number(1, T, own="point")), resource=resource, scope=("lib", "1.2", {"a.b": "x"}))
    only = otlp.request(otlp.gauge("only", otlp.number(1, T)), resource={"service.name": "svc", "service.instance.id": "i"})
    own = {"__name__": "m", "job": "svc", "instance": "i", "own": "point"}
    info = {"__name__": "target_info", "job": "svc", "instance": "i", "host_name": "h", "k8s_pod": "p", "own": "resource"}

    def stored(section):
        sink = otlp_stored(section, body, only)
        targets = sink.find("target_info")
        assert len(targets) <= 1, targets
        return [dict(k) for name in ("m", "target_info") for k in sink.find(name)]
    assert stored("{}") == [own, info]
    assert stored("{promote_resource_attributes: [host.name, own, absent]}") == [{**own, "host_name": "h"}, info]
    assert stored("{promote_all_resource_attributes: true, ignore_resource_attributes: [k8s.pod, service.name]}") == \
        [{**own, "host_name": "h", "service_instance_id": "i"}, info]
    assert stored("{keep_identifying_resource_attributes: true}") == [own, {**info, "service_name": "svc", "service_instance_id": "i"}]
    assert stored("{promote_scope_metadata: true}") == [{**own, "otel_scope_name": "lib", "otel_scope_version": "1.2", "otel_scope_a_b": "x"}, info]
    assert stored("{label_name_underscore_sanitization: false, promote_all_resource_attributes: true, translation_strategy: NoTranslation}")[0] == \
        {**own, "host.name": "h", "k8s.pod": "p", "service.name": "svc", "service.instance.id": "i"}


def test_section_otlp_histograms():
    bounds = [1.0, 2.5, 10.0]
    sluice = Sluice("recent: {retention: 1h}\notlp: {convert_histograms_to_nhcb: true}\n")
    now = now_ms()
    body = otlp.request(otlp.histogram("h", now, [1, 0, 3, 2], bounds, 12.5, a="b"), otlp.histogram("nosum", now, [3, 4], [1.0]))
    assert sluice.post(PROMETHEUS_OTLP, body, headers=PROTOBUF).status == 200
    wait_until(lambda: sluice.query("h")["result"], 30)
    (found,) = sluice.query("h")["result"]
    assert found["metric"] == {"__name__": "h", "a": "b"} and found["histogram"][1]["count"] == "6" and found["histogram"][1]["sum"] == "12.5", found
    assert [(b[1], b[2], b[3]) for b in found["histogram"][1]["buckets"]] == [("-Inf", "1", "1"), ("2.5", "10", "3"), ("10", "+Inf", "2")], found
    assert not sluice.query("h_bucket")["result"]
    assert sluice.query("histogram_count(nosum)")["result"][0]["value"][1] == "7"
    bad = sluice.post(PROMETHEUS_OTLP, otlp.request(otlp.histogram("bad", now, [1, 1, 1], [2.0, 1.0])), headers=PROTOBUF)
    assert bad.status == 200 and b"order" in bad.body, bad
    for bounds in ([2.0, 1.0], [1.0, 1.0], [float("nan"), 1.0], [1.0, float("nan")]):  # empty buckets, whose counts say nothing
        bad = sluice.post(PROMETHEUS_OTLP, otlp.request(otlp.histogram("bad", now, [0, 0, 1], bounds)), headers=PROTOBUF)
        assert bad.status == 200 and b"order" in bad.body, (bounds, bad)


def test_attributes_of_a_resource_are_utf8():
    """Those that are labels of its series: their data points are rejected, others are stored."""
    for name, section in (("host.name", "{promote_resource_attributes: [host.name]}"), ("service.name", "{}")):
        broken = otlp.field(1, name) + otlp.field(2, otlp.field(1, b"\xff"))
        body = otlp.field(1, otlp.field(1, otlp.field(1, broken)) + otlp.field(2, otlp.field(2, otlp.gauge("broken", otlp.number(1, T)))))
        sink = otlp_stored(section, body)
        assert not sink.find("broken") and not sink.find("target_info"), (name, sink.samples())


def test_section_otlp_is_checked():
    for section, error in (("{promote_all_resource_attributes: true, promote_resource_attributes: [a]}", "cannot both be set"),
                           ("{ignore_resource_attributes: [a]}", "requires promote_all_resource_attributes"),
                           ("{promote_resource_attributes: [a, ' a']}", "occurs twice"), ("{promote_resource_attributes: ['']}", "empty"),
                           ("{translation_strategy: None}", "translation_strategy")):
        sluice = Sluice(f"otlp: {section}\n", start=False)
        sluice.start()
        assert sluice.wait_exit() != 0 and error in sluice.log(), (section, sluice.log())


def many_of(n):
    """A histogram with n bounds, one that is added up beside it, and a summary with n quantiles."""
    counts = [(i * 7) % 5 for i in range(n + 1)]
    return [otlp.histogram("many", T, counts, [i / 2 for i in range(n)], 12.5, n=str(n)),
            otlp.summary("quantiles", T, 10, 20.5, {i / n: float(i) for i in range(n)}), otlp.gauge("behind", otlp.number(n, T))]


def test_points_of_many_series():
    """They are reported in steps, between which other requests have their turns; the series are the same."""
    compare([Case(OTLP, otlp.request(*many_of(n), resource=RESOURCE), headers=PROTOBUF) for n in (1, 255, 256, 257, 511, 512, 1000)])
    sink = RecordingSink()
    sluice = Sluice("scrape_configs: []", f"-remoteWrite.url={sink.url}", "--enable-feature=otlp-deltatocumulative")
    for start in (T, T + 1000):
        delta = otlp.histogram("delta", start + 1000, [1] * 601, [float(i) for i in range(600)], 2.0, temporality=1)
        assert sluice.post(PROMETHEUS_OTLP, otlp.request(delta, resource=RESOURCE), headers=PROTOBUF).body == b""
    wait_until(lambda: len(sink.find("delta_bucket")) == 601 and all(len(v) == 2 for v in sink.find("delta_bucket").values()), 30)
    found = {dict(k)["le"]: v for k, v in sink.find("delta_bucket").items()}
    assert found["0"] == [(T + 1000, 1.0), (T + 2000, 2.0)] and found["599"] == [(T + 1000, 600.0), (T + 2000, 1200.0)], found["599"]
    assert found["+Inf"] == [(T + 1000, 601.0), (T + 2000, 1202.0)], found["+Inf"]


def test_points_in_steps_are_read_once():
    """Its cost is linear, whatever a point has besides its quantiles."""
    point = otlp.fixed(3, T * 10**6) + otlp.field(15, 0) * 2_000_000
    sluice = Sluice("scrape_configs: []", "-remoteWrite.url=http://127.0.0.1:1")
    before = sluice.cpu_seconds()
    assert sluice.post(OTLP, otlp.request(otlp.metric("m", 11, otlp.field(1, point))), headers=PROTOBUF, timeout=100).status == 200
    assert sluice.cpu_seconds() - before < 10
