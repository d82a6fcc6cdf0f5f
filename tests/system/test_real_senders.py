# SPDX-License-Identifier: Apache-2.0
"""Programs that push, as they are in the field: what they have arrives at the destination, no less and no more."""
import glob
import json
import os
import re
import socket
import time

from fakes import RecordingSink, ScriptedExporter
from lib import *
from packages import unpack_program


class Agent(HTTPProcess):
    """Prometheus as an agent; or, with `storage`, as a server that has what it sends."""

    def __init__(self, name, target, write_url, message="prometheus.WriteRequest", storage=False, **external):
        port = free_port()
        path = write_file(f"{name}.yml", f"""
global: {{scrape_interval: 1s, external_labels: {json.dumps(external)}}}
scrape_configs: [{{job_name: x, static_configs: [{{targets: ['{target}']}}]}}]
remote_write: [{{url: '{write_url}', protobuf_message: {message}, queue_config: {{batch_send_deadline: 200ms}}}}]
""")
        data = [f"--storage.tsdb.path={folder()}/{name}-data"] if storage else ["--agent", f"--storage.agent.path={folder()}/{name}-data"]
        super().__init__(name, [peer("prometheus"), f"--config.file={path}", f"--web.listen-address=127.0.0.1:{port}", *data], port)
        self.wait_ready(60)


def relay(sink, config="", *flags, name="sluice"):
    return Sluice(config, f"-remoteWrite.url={sink.url}", "-remoteWrite.flushInterval=50ms", *flags, name=name)


def plain(samples, until):
    """NaN equals itself, and later samples are left out."""
    return {k: found for k, v in samples.items() if (found := sorted((t, str(x)) for t, x in v if t <= until))}


def arrive(sink, wanted, until, what):
    wait_until(lambda: plain(sink.samples(), until) == wanted, 30, what)


def test_prometheus_with_both_messages():
    node, running = NodeExporter(), []
    for message in "prometheus.WriteRequest", "io.prometheus.write.v2.Request":
        sink = RecordingSink()
        sluice = relay(sink, name=f"sluice-{message[:2]}")
        sender = Agent(f"sender-{message[:2]}", node.address, f"{sluice.url}/api/v1/write", message, storage=True)
        running.append((message, sink, sluice, sender))
    for message, sink, sluice, sender in running:
        wait_until(lambda: sender.query("count_over_time(up[1m])")["result"] and int(
            sender.query("count_over_time(up[1m])")["result"][0]["value"][1]) >= 4, 30, "some scrapes")
        until = now_ms() - 500
        wanted = plain(sender.raw('{job="x"}'), until)
        assert len(wanted) > 200 and sum(map(len, wanted.values())) > 800
        arrive(sink, wanted, until, f"what Prometheus has, sent as {message}")
        assert (sluice.metric("sluice_write2_requests_total") > 0) == (message[:2] == "io")
        sender.kill9()  # on a busy machine it stops late


def test_vmagent_sends_the_same_to_a_sink():
    """By VictoriaMetrics' own compression, which it negotiates, and by Prometheus'."""
    node, running = NodeExporter(), []
    for flag in "-remoteWrite.forceVMProto", "-remoteWrite.forcePromProto":
        direct, sink = RecordingSink(zstd=True, in_order=False), RecordingSink()
        sluice = relay(sink, name=f"sluice-{flag[18:]}")
        VMAgent(f"global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: x, static_configs: [{{targets: ['{node.address}']}}]}}]\n",
                f"-remoteWrite.url={direct.url}", f"-remoteWrite.url={sluice.url}/api/v1/write", flag, "-remoteWrite.flushInterval=200ms",
                name=f"vmagent-{flag[18:]}")
        running.append((flag, direct, sink))
    for flag, direct, sink in running:
        wait_until(lambda: sum(map(len, direct.find("up").values())) >= 4, 30, "some scrapes")
        until = max(t for v in direct.find("up").values() for t, _ in v) - 1
        wanted = plain(direct.samples(), until)
        assert len(wanted) > 200
        arrive(sink, wanted, until, f"what vmagent sends with {flag}")


@waits
def test_agents_as_replicas_of_which_one_dies():
    exporter, sink = ScriptedExporter(series=20), RecordingSink()
    sluice = relay(sink, "pipeline: {ha_dedup: {failover_timeout: 6s, update_timeout: 500ms}}\n")
    agents = {who: Agent(f"replica-{who}", exporter.address, f"{sluice.url}/api/v1/write", message, cluster="c", __replica__=who, who=who)
              for who, message in (("a", "prometheus.WriteRequest"), ("b", "io.prometheus.write.v2.Request"))}

    def times(who):
        return sorted({t for v in sink.find("scripted_counter", who=who).values() for t, _ in v})

    wait_until(lambda: len(times("a")) >= 4 or len(times("b")) >= 4, 30, "samples of the elected replica")
    elected, other = ("a", "b") if times("a") else ("b", "a")
    time.sleep(1)
    assert not times(other), "samples of one replica only"
    assert sluice.metric("sluice_ha_deduped_samples_total", 'cluster="c"') > 0
    agents[elected].kill9()
    wait_until(lambda: len(times(other)) >= 3, 40, "the other replica is elected")
    assert sluice.metric("sluice_ha_elected_replica_changes_total", 'cluster="c"') == 2
    assert times(elected)[-1] < times(other)[0], "none of both at a time"
    assert not any("__replica__" in dict(labels) for labels in sink.samples())
    agents[elected].start()
    agents[elected].wait_ready(60)
    count = len(times(other))
    wait_until(lambda: len(times(other)) >= count + 3, 30, "the elected one stays when the first has returned")
    assert sluice.metric("sluice_ha_elected_replica_changes_total", 'cluster="c"') == 2


def test_collectd_over_graphite_opentsdb_and_influx():
    """Its three plugins for line protocols send what it writes to CSV files."""
    home, sink = unpack_program("collectd-core", "usr/sbin/collectd", "-h"), RecordingSink()
    ports = {k: free_port() for k in ("graphite", "opentsdb", "influx")}
    relay(sink, "", *(f"-{k}ListenAddr=127.0.0.1:{port}" for k, port in ports.items()), "--dialect=vmagent")
    data = f"{folder()}/collectd"
    plugins = "csv", "write_graphite", "write_tsdb", "write_influxdb_udp", "load", "uptime", "contextswitch", "memory"
    path = write_file("collectd.conf", f"""
Hostname "host"
FQDNLookup false
BaseDir "{data}"
PIDFile "{data}/pid"
PluginDir "{home}/usr/lib/collectd"
TypesDB "{home}/usr/share/collectd/types.db"
Interval 1
{"".join(f"LoadPlugin {p}{chr(10)}" for p in plugins)}
<Plugin csv>
  DataDir "{data}/csv"
  StoreRates false
</Plugin>
<Plugin write_graphite>
  <Node "x">
    Host "127.0.0.1"
    Port "{ports['graphite']}"
    Prefix "graphite."
    StoreRates false
  </Node>
</Plugin>
<Plugin write_tsdb>
  <Node>
    Host "127.0.0.1"
    Port "{ports['opentsdb']}"
    HostTags "via=opentsdb"
    StoreRates false
  </Node>
</Plugin>
<Plugin write_influxdb_udp>
  Server "127.0.0.1" "{ports['influx']}"
  StoreRates false
</Plugin>
""")
    os.makedirs(data)
    sender = Process("collectd", [f"{home}/usr/sbin/collectd", "-f", "-C", os.path.basename(path)])  # it splits paths at blanks

    def has():
        """{(file, column): [values in order]} of its record."""
        out = {}
        for file in glob.glob(f"{data}/csv/host/*/*"):
            rows = [line.split(",") for line in open(file, encoding="utf-8").read().splitlines()]
            for i, name in enumerate(rows[0][1:], 1):
                out[(re.sub(r"-\d{4}-\d\d-\d\d$", "", os.path.relpath(file, f"{data}/csv/host")), name)] = [float(r[i]) for r in rows[1:]]
        return out

    wait_until(lambda: len(has()) >= 8 and all(len(v) >= 4 for v in has().values()), 40, "a record of collectd")
    sender.stop()
    wanted = has()

    def found(select):
        return [[x for _, x in sorted(samples)] for labels, samples in sink.samples().items() if select(dict(labels))]

    def same(got):
        """Each series of the record has one with its values; collectd drops what it cannot send at the end."""
        return len(got) == len(wanted) and all(any(len(v) >= 3 and all(abs(a - b) <= 1e-5 * abs(a) + 1e-5 for a, b in zip(values, v)) for v in got)
                                               for values in wanted.values())

    for protocol, select in (("graphite", lambda k: k["__name__"].startswith("graphite.")), ("opentsdb", lambda k: k.get("via") == "opentsdb"),
                             ("influx", lambda k: not k["__name__"].startswith("graphite.") and "via" not in k)):
        wait_until(lambda: same(found(select)), 20, f"what collectd has recorded, over {protocol}")


BATCH = 100  # lines


def test_carbon_relay_over_an_outage():
    """Graphite's relay queues what it cannot send: it arrives when sluice has returned, once. The protocol has no
    acknowledgements: the batch with which the relay notices the outage may be lost, or sent after others."""
    home = unpack_program("carbon-c-relay", "usr/bin/carbon-c-relay", "-v")
    port, entry, sink = free_port(), free_port(), RecordingSink()
    sluice = relay(sink, "", f"-graphiteListenAddr=127.0.0.1:{port}", "--dialect=vmagent")
    path = write_file("relay.conf", f"cluster out forward 127.0.0.1:{port} proto tcp; match * send to out stop;\n"
                                    f"listen type linemode 127.0.0.1:{entry} proto tcp;\n")
    sender = Process("carbon-c-relay", [f"{home}/usr/bin/carbon-c-relay", "-f", path, "-q", "100000", "-b", str(BATCH), "-w", "1"])
    start = int(time.time()) - 1000

    def send(seconds):
        with socket.create_connection(("127.0.0.1", entry)) as s:
            s.sendall("".join(f"relay.m{i}.x;k=v {t * 100 + i}.5 {start + t}\n" for t in seconds for i in range(50)).encode())

    def arrived(i):
        return [v for _, v in sink.find(f"relay.m{i}.x", k="v").get((("__name__", f"relay.m{i}.x"), ("k", "v")), [])]

    wait_until(lambda: "listening on" in sender.log(), 20, "the relay listens")
    send(range(100))
    wait_until(lambda: all(len(arrived(i)) == 100 for i in range(50)), 30, "the samples before the outage")
    sluice.stop()
    send(range(100, 200))
    sluice.start()
    sluice.wait_ready()
    wait_until(lambda: sum(len(arrived(i)) for i in range(50)) >= 50 * 200 - 2 * BATCH, 60, "those of the outage")
    for i in range(50):
        values = arrived(i)
        assert values[:100] == [t * 100 + i + 0.5 for t in range(100)] and len(values) == len(set(values)), (i, values)
    sender.stop()


def test_netdata_over_graphite_and_opentsdb():
    """Both of its exporters send the same values."""
    home, sink = unpack_program("netdata-core", "usr/sbin/netdata", "-v"), RecordingSink(in_order=False)
    ports = {k: free_port() for k in ("graphite", "opentsdbHTTP")}
    sluice = relay(sink, "", *(f"-{k}ListenAddr=127.0.0.1:{port}" for k, port in ports.items()), "--dialect=vmagent")
    data = f"{folder()}/netdata"
    for part in ("etc", "cache", "lib", "log"):
        os.makedirs(f"{data}/{part}")
    exporter = "    enabled = yes\n    data source = as collected\n    update every = 1\n    hostname = host\n    send names instead of ids = no\n"
    with open(f"{data}/etc/exporting.conf", "w", encoding="utf-8") as f:
        f.write(f"[exporting:global]\n    enabled = yes\n    update every = 1\n"
                f"[graphite:g]\n{exporter}    destination = 127.0.0.1:{ports['graphite']}\n    prefix = g\n"
                f"[opentsdb:http:o]\n{exporter}    destination = 127.0.0.1:{ports['opentsdbHTTP']}\n    prefix = o\n")
    path = write_file("netdata.conf", f"""
[global]
    run as user = {os.environ.get("USER") or "root"}
[directories]
    config = {data}/etc
    stock config = {home}/usr/lib/netdata/conf.d
    web = {home}/usr/share/netdata/web
    cache = {data}/cache
    lib = {data}/lib
    log = {data}/log
    plugins = "{data}/etc"
[db]
    mode = ram
[web]
    mode = none
[ml]
    enabled = no
[health]
    enabled = no
[statsd]
    enabled = no
""")
    sender = Process("netdata", [f"{home}/usr/sbin/netdata", "-D", "-c", path, "-P", f"{data}/pid", "-i", "127.0.0.1"])

    def of(prefix):
        """{rest of the name: {t in s: value}}"""
        out = {}
        for labels, samples in sink.samples().items():
            name = dict(labels)["__name__"]
            if name.startswith(prefix):
                out.setdefault(name[len(prefix):], {}).update((t // 1000, v) for t, v in samples)
        return out

    def common():
        ours, theirs = of("g.host."), of("o.")
        return [(name, t, v, theirs[name][t]) for name in ours for t, v in ours[name].items() if t in theirs.get(name, {})]
    wait_until(lambda: len(common()) > 100, 60, "samples of both exporters")
    sender.stop()
    pairs = common()
    assert len({name for name, *_ in pairs}) > 10, len(pairs)
    different = [p for p in pairs if abs(p[2] - p[3]) > 1e-6 * abs(p[2])]
    assert not different, different[:5]
    assert not sluice.metric("vm_rows_invalid_total", 'type="graphite"') and not sluice.metric("vm_rows_invalid_total", 'type="opentsdbhttp"')
