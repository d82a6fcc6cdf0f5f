# SPDX-License-Identifier: Apache-2.0
"""/federate in every format and escaping, beside Prometheus, and scraped by a real one with its native histograms."""
import re

from lib import *
from test_remote_read import prometheus_with, write_histograms, histogram
from wire import fields, read_varint

PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
ACCEPTS = ["", "*/*", "text/plain", "text/plain;version=0.0.4", "text/plain;version=1.0.0", "application/openmetrics-text;version=1.0.0",
           PROTOBUF, f"{PROTOBUF};q=0.5,text/plain", f"text/plain;version=0.0.4;q=0.3,{PROTOBUF};q=0.7", f"text/plain;version=1.0.0, {PROTOBUF}",
           "text/html;q=0.9,*/*;q=0.1", "application/json", PROTOBUF.replace("delimited", "other"), PROTOBUF.replace(";", " ; ")]
ESCAPINGS = ["", "allow-utf-8", "underscores", "dots", "values", "nonsense"]


def families(body):
    """{(name, type): [metrics as sorted fields]} of delimited protobuf."""
    out, at = {}, 0
    while at < len(body):
        n, at = read_varint(body, at)
        parts = list(fields(body[at:at + n]))
        at += n
        head = dict(parts)
        metrics = sorted(repr(sorted((k, sorted(fields(v)) if isinstance(v, bytes) else v) for k, v in fields(m)))
                         for number, m in parts if number == 4)
        key = (head[1].decode(), head[3])
        assert key not in out, f"{key} twice"
        out[key] = metrics
    return out


def text_lines(text):
    """Sorted, with the labels of each in one order: Prometheus appends external labels."""
    def labels_sorted(line):
        head, brace, rest = line.partition("{")
        inside, _, tail = rest.rpartition("}")
        pairs = re.findall(r'(?:[^,="]+=|"(?:[^"\\\\]|\\\\.)*"=?)*"(?:[^"\\\\]|\\\\.)*"', inside)
        return f"{head}{{{sorted(pairs)}}}{tail}" if brace else line
    return sorted(labels_sorted(line) for line in text.splitlines())


def test_formats():
    external = "global: {external_labels: {region: eu, a: x}}\n"
    prometheus, sluice = prometheus_with(external), Sluice(external + "recent: {retention: 0}\n")
    now = now_ms() - 2000
    series = [({"__name__": name, "instance": "i", **labels}, [(now, v)]) for name, labels, v in (
        ("plain", {"a": "1"}, 1), ("plain", {"b": "<&>\"\\\n"}, 1e-7), ("no_instance", {}, float("inf")), ("a:b", {"c:d": "x"}, -0.5),
        ("dotted.name", {"label.dot": "é", "under_score": "1"}, float("nan")), ("ünï-cödé", {"läbel": "ü", "1x": "y"}, 1e300),
        ("9digit", {"job": "j"}, 12345678), ("under_score", {"region": "own"}, 0))]
    series[2][0].pop("instance")
    for server in (prometheus, sluice):
        assert push(f"{server.url}/api/v1/write", series).status == 204
        # equal ones: Prometheus 3.5 shows the last histogram for all
        write_histograms(f"{server.url}/api/v1/write", [({"__name__": "latency", "job": "a"}, [histogram(now, 3)]),
                                                        ({"__name__": "plain", "job": "h"}, [histogram(now, 3)])])
    for accept in ACCEPTS:
        for escaping in ESCAPINGS:
            asked = ",".join(e + (f";escaping={escaping}" if escaping else "") for e in accept.split(",")) if accept else ""
            ours, theirs = (s.get("/federate", {"match[]": ['{__name__!=""}', "plain"]}, headers={"Accept": asked})
                            for s in (sluice, prometheus))
            assert (ours.status, ours.headers["Content-Type"]) == (theirs.status, theirs.headers["Content-Type"]), \
                f"{asked}: {ours.headers['Content-Type']}, Prometheus: {theirs.headers['Content-Type']}"
            if "protobuf" in theirs.headers["Content-Type"]:
                assert families(ours.body) == families(theirs.body), f"{asked}:\n{families(ours.body)}\n{families(theirs.body)}"
            else:
                assert text_lines(ours.text) == text_lines(theirs.text), f"{asked}:\n{ours.text}\n{theirs.text}"


def test_a_prometheus_scrapes_it():
    """Floats and native histograms of a federated sluice, by a real scraper."""
    sluice = Sluice("recent: {retention: 0}\n")
    now = now_ms()
    assert push(f"{sluice.url}/api/v1/write", [({"__name__": "load.average", "job": "a"}, [(now, 7)])]).status == 204
    write_histograms(f"{sluice.url}/api/v1/write", [({"__name__": "latency", "job": "a"}, [histogram(now, 3)])])
    scraper = prometheus_with("scrape_configs:\n- job_name: federate\n  honor_labels: true\n  scrape_interval: 1s\n"
                              f"  metrics_path: /federate\n  params: {{'match[]': ['{{job=\"a\"}}']}}\n"
                              f"  static_configs: [{{targets: ['{sluice.address}']}}]\n")
    found = wait_until(lambda: scraper.query('latency{job="a"}')["result"], what="the histogram")
    assert found[0]["metric"] == {"__name__": "latency", "job": "a"} and found[0]["histogram"][1]["count"] == "14", found
    assert scraper.query("load_average")["result"][0]["value"][1] == "7"  # Prometheus 3.5 accepts protobuf with underscores
