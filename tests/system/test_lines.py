# SPDX-License-Identifier: Apache-2.0
"""Listeners of lines (Graphite, InfluxDB, OpenTSDB over TCP and UDP) beside the real vmagent: equal series at the destination."""
import json
import random
import re
import socket
import struct
import threading
import time

import wire
from fakes import RecordingSink
from lib import *
from test_ingest import NOW, normal, without_empty_and_repeated

S = 1700000000  # seconds

GRAPHITE = ["@ 1", "@ 1 -1", "@ 1 0", f"@  1  {S}", f"@\t1\t{S}", f"@;b=c;d=e 2.5 {S}", "@;b 1", "@;=c 1", "@;b= 1", ";b=c 1", "@ nan 17",
            "@ +Inf", "@ inf", "@ abc", "@ 1 abc", "@", f"@ 1 {S} x", f"@ 1 {S}.7", f"@ 1 {S}\r", "@ 1 1.7e9", " @ 1", "@ 0x10", f"@ 1e3 {S}",
            f"@ 1 {S} ", f"@.Ü-x/y 1 {S}", "@=b 1", f"@;b=c=d 1 {S}", f"@ 1 {S}000", "@ -5 -100", "@ 1_000 5", "@ 1 99999999999", "@;; 1 5",
            "@;b=c d 5", "@ 5.", "@ .5", "@ -", "@ 1 -", "", "   ", "@..b...c 1 5", "@-b/c;d.e-f=g..h 1 5", f"@ 1 {2**32}"]
TELNET = ["put @ 17 1 b=c d=e", f"put @  {S}  1  b=c", f"put @ {S}123 1 b=c", "put @ now 1 b=c", f"put @ {S} x b=c", f"put @ {S} 1", f"put @ {S} 1 b",
          f"put @ {S} 1 b= c=d", f"put @ {S} 1 =x", "put @ 0 1 b=c", "put @ -1 1 b=c", f"put @ {S}.5 1 b=c", f"put @ {S} nan b=c",
          f"put @ {S} 1 b=c\r", f"put @ {2**32} 1 b=c", f"put @ {2**32 - 1} 1 b=c", f"put\t@\t{S}\t1\tb=c", "put", "put @", "put @ 1 "]
INFLUX = [f"@,host=a usage=1.5,idle=2i {S}000000000", "@ f=1", "@ f", "@ f=1 17", f"@ v=1 {S}\nbad\n@fine v=2 {S}", "@ f=1,g", "@ f=1,", "@ f=1,=2"]
PUT = [f'{{"metric":"@","timestamp":{S},"value":1,"tags":{{"b":"c"}}}}', f'[{{"metric":"@","timestamp":{S}123,"value":"2.5","tags":{{}}}},{{"metric":"@x","value":1}}]',
       '{"metric":"@","timestamp":"17","value":"x"}', '{"metric":"@","timestamp":"17","value":"5"}', '{"value":1}', '{"metric":"@","timestamp":17}',
       '{"metric":"@","value":1,"tags":[]}', '{"metric":"@","value":1,"tags":{"b":5}}', '{"metric":"@","value":1,"tags":{"b":{"c":[1]},"d":"e"},"x":[{"y":1}]}',
       '{"metric":"@","value":1,"tags":{"":"x","y":""}}', "5", "null", "[]", "{}", '[5,{"metric":"@","timestamp":17,"value":1},[1]]', "",
       '{"metric":"@","value":null}', '{"metric":"@","timestamp":null,"value":1}', '{"metric":"@","timestamp":-5,"value":1}',
       '{"metric":"@","timestamp":17.9,"value":"nan"}', '{"metric":5,"value":1}', '{"tags":{"b":"c"},"value":1,"metric":"@","timestamp":17}',
       '{"metric":"@","metric":"other","timestamp":17,"value":1}', '{"metric":"@","value":1} x', '{"metric":"@\\u00e4 b","timestamp":17,"value":1,"tags":{"x y":"\\"z"}}',
       '{"metric":"@","timestamp":17,"value":1,"tags":null}', '[{"metric":"@","value":1}']


def cuts(text, first):
    return [text[:n] for n in range(first, len(text))]


def repeated_points(seed):
    """The same series again and again, in some order, with other numbers, and now and then with another text."""
    dice = random.Random(seed)
    numbers = ["1", "1.5", "-2", "1e3", "0", "123456.75", '"7"', "null"]
    order = dice.choice(['{"metric":"@%s","timestamp":%d,"value":%s,"tags":{"b":"c","d":"%s"}}', '{"value":%3$s,"tags":{"d":"%4$s"},"metric":"@%1$s","timestamp":%2$d}',
                         '{ "metric" : "@%s" , "timestamp" : %d , "value" : %s , "tags" : {"d" : "%s"} , "timestamp" : 5}'])
    points = []
    for i in range(40):
        name, value = "abc"[i % 3], dice.choice(numbers if i % 5 == 4 else numbers[:3])
        fields = (name, S + i, value, name)
        points.append(re.sub(r"%(\d)\$[sd]", lambda m: str(fields[int(m[1]) - 1]), order) if "$" in order else order % fields)
        if dice.random() < 0.1:
            points.append(dice.choice([points[-1].replace("metric", "metrics"), points[-1].replace('"c"', '"e"'), points[-1].replace(',"v', ' ,"v')]))
    return "[" + dice.choice([",", " , ", ",\n"]).join(points) + "]"


CASES = ([("graphite", b) for b in GRAPHITE + cuts(f"@.b;c=d 12.5 {S}\n", 1)] + [("opentsdb", b) for b in TELNET + cuts(f"put @ {S} 1.5 b=c d=e\n", 4)] +
         [("influx", b) for b in INFLUX + cuts(f"@,a=b f=1.5,g=2i {S}\n", 1)] + [("udp", b) for b in GRAPHITE] +
         [("http", b) for b in PUT + [repeated_points(i) for i in range(16)] + cuts(f'[{{"metric":"@","timestamp":{S},"value":1,"tags":{{"b":"c"}}}}]', 1)])


class Lines:
    """An agent with all listeners, and its sink."""

    def __init__(self, kind, *flags, config="scrape_configs: []", sink=None, interval="50ms"):
        self.sink = sink or RecordingSink()
        self.ports = {name: free_port() for name in ("graphite", "influx", "opentsdb", "http")}
        self.ports["udp"] = self.ports["graphite"]
        flags = [f"-remoteWrite.url={self.sink.url}"] * ("remote_write" not in config) + [f"-remoteWrite.flushInterval={interval}", *flags] + [
            f"{flag}=127.0.0.1:{self.ports[name]}" for name, flag in (
                ("graphite", "-graphiteListenAddr"), ("influx", "-influxListenAddr"), ("opentsdb", "-opentsdbListenAddr"),
                ("http", "-opentsdbHTTPListenAddr"))]
        self.agent = (VMAgent(config, *flags, "-remoteWrite.forcePromProto") if kind == "vmagent" else
                      Sluice(config, *flags, "--dialect=vmagent"))

    def connect(self, name):
        return socket.create_connection(("127.0.0.1", self.ports[name]), timeout=20)

    def send(self, name, body):
        """The status, or None."""
        if name == "http":
            return request(f"http://127.0.0.1:{self.ports['http']}/api/put", data=body, method="POST").status
        if name == "udp":
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.sendto(body, ("127.0.0.1", self.ports["udp"]))
            return None
        with self.connect(name) as s:
            s.sendall(body)
            s.shutdown(socket.SHUT_WR)
            s.recv(1)  # the end: all of it is read
        return None

    def counter(self, name, kind, net=None):
        return self.agent.metric(name, f'type="{kind}"' + (f',name="write",net="{net}"' if net else ""))


def is_closed(s):
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True


def names(sink, before):
    """{number of the case: {(rest of the name, labels): samples}}."""
    out = {}
    for labels, samples in sink.samples().items():
        labels = dict(labels)
        found = re.match(r"case(\d+)_(.*)", labels.pop("__name__"), re.S)
        if found:
            out.setdefault(int(found[1]), {})[(found[2], tuple(sorted(labels.items())))] = sorted(
                ((NOW if before - 60000 < t < before + 600000 else t, normal(v)) for t, v in samples), key=str)
    return out


def compare_lines(cases, *flags):
    theirs, ours = Lines("vmagent", *flags), Lines("sluice", *flags)
    before, last = now_ms(), len(cases)
    statuses = []
    for number, (kind, body) in enumerate(cases):
        sent = [x.send(kind, body.replace("@", f"case{number}_").encode()) for x in (theirs, ours)]
        if sent[0] != sent[1]:
            statuses.append((number, kind, body, *sent))
    assert not statuses, statuses
    strict, wire.parse_write_request = wire.parse_write_request, without_empty_and_repeated
    try:
        for x in (theirs, ours):
            x.send("graphite", f"case{last}_ 1".encode())
        for _ in range(400):
            wanted, found = names(theirs.sink, before), names(ours.sink, before)
            wrong = [(n, cases[n], "sluice", found.get(n, {}), "vmagent", wanted.get(n, {})) for n in range(last)
                     if found.get(n, {}) != wanted.get(n, {})]
            if last in wanted and last in found and not wrong:
                break
            time.sleep(0.05)
        else:
            raise AssertionError("\n".join(map(str, wrong)))
    finally:
        wire.parse_write_request = strict
    for name in "vm_ingestserver_requests_total", "vm_ingestserver_request_errors_total":
        for kind, net in (("graphite", "tcp"), ("graphite", "udp"), ("influx", "tcp"), ("influx", "udp"), ("opentsdb", "tcp"), ("opentsdb", "udp"),
                          ("opentsdbhttp", "tcp")):
            got = ours.counter(name, kind, net), re.search(
                rf'^{name}{{type="{kind}", name="write", net="{net}"}} (\d+)', theirs.agent.get("/metrics").text, re.M)[1]
            assert int(got[0]) == int(got[1]), (name, kind, net, got)
    for kind in "graphite", "opentsdb", "opentsdbhttp":
        for name in "vmagent_rows_inserted_total", "vm_protoparser_rows_read_total":
            assert ours.counter(name, kind) == theirs.agent.metric(name, f'type="{kind}"'), (name, kind)
    for x in (theirs, ours):
        x.agent.stop()


def test_lines_as_vmagent_reads_them():
    compare_lines(CASES)


def test_known_points_are_still_json():
    ours = Lines("sluice")
    for value, status in ("1", 204), ("01", 400), ("1.", 400), ("+1", 400), (".5", 400), ("1.e5", 400), ("-2.5e1", 204):
        for time in str(S), "0" + str(S):
            body = f'[{{"metric":"m","timestamp":{time},"value":{value},"tags":{{"b":"c"}}}}]'.encode()
            assert ours.send("http", body) == (status if time == str(S) else 400), body


def test_flags_of_line_formats_act_as_in_vmagent():
    compare_lines([c for c in CASES[::3]] + [("graphite", "@a.日本é;é=1 1 5")], "-graphite.sanitizeMetricName", "-graphiteTrimTimestamp=7s", "-opentsdbTrimTimestamp=7s",
                  "-opentsdbhttpTrimTimestamp=7s")


def test_lines_that_come_slowly_and_lines_that_are_too_long():
    lines = Lines("sluice")
    slow = [lines.connect("graphite") for _ in range(20)]
    text = "".join(f"slow;n=%d {i} {S + i}\n" for i in range(3)).encode()
    for i in range(0, len(text) + 2, 7):  # cut within names, numbers and ends of lines
        for n, s in enumerate(slow):
            s.sendall((text % (n, n, n))[i:i + 7])
    wait_until(lambda: sum(map(len, lines.sink.find("slow").values())) == 60)
    assert all(samples == [((S + i) * 1000, float(i)) for i in range(3)] for samples in lines.sink.find("slow").values())
    slow[0].sendall(b"incomplete 5 17")
    with lines.connect("graphite") as s:
        s.sendall(b"fits" + b"x" * 262100 + f" 1 {S}\nafter 1 {S}\n".encode())
        wait_until(lambda: lines.sink.find("after"))
        s.sendall(b"x" * (256 << 10) + b"xx")
        assert is_closed(s) and lines.counter("vm_ingestserver_request_errors_total", "graphite", "tcp") == 1
    with lines.connect("influx") as s:
        s.sendall(b"before f=1\n" + b"x" * (256 << 10) + b"xx")
        assert is_closed(s)
    wait_until(lambda: lines.sink.find("before_f"))
    slow[0].close()  # ends the stream: what it has sent is its last line
    wait_until(lambda: lines.sink.find("incomplete"))
    reset = slow[1]
    reset.sendall(b"reset 1 17\nnot_complete 1 17")
    wait_until(lambda: lines.sink.find("reset"))
    reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    reset.close()
    wait_until(lambda: lines.counter("vm_ingestserver_request_errors_total", "graphite", "tcp") == 2)
    assert not lines.sink.find("not_complete")
    wait_until(lambda: lines.sink.find("before_f"))


def test_proxied_connections_and_http_among_telnet():
    lines = Lines("sluice", "-opentsdbListenAddr.useProxyProtocol", "-graphiteListenAddr.useProxyProtocol", "-influxListenAddr.useProxyProtocol",
                  "-opentsdbHTTPListenAddr.useProxyProtocol", "-opentsdbhttp.maxInsertRequestSize=200")
    header = b"PROXY TCP4 192.0.2.7 192.0.2.9 40000 443\r\n"

    def post(path, body):
        return b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (path, len(body)) + body

    def put(name, more=b""):
        return post(b"/api/put", json.dumps({"metric": name, "timestamp": S, "value": 1}).encode() + more)

    for listener, text, status in (("opentsdb", b"put over_telnet 17 1 a=b\nbad\n", None), ("graphite", b"over_graphite 1 17\n", None),
                                   ("influx", b"over_influx f=1 17\n", None), ("opentsdb", put("over_http"), 204), ("http", put("over_other"), 204),
                                   ("http", put("long", b" " * 200), 413), ("http", post(b"/api/v1/import/prometheus", b"import 1\n"), 204),
                                   ("http", post(b"/api/v1/query?query=1", b""), 404), ("opentsdb", post(b"/-/reload", b""), 404)):
        with lines.connect(listener) as s:
            for i in range(0, len(header) + len(text), 9):
                s.sendall((header + text)[i:i + 9])
                time.sleep(0.001)
            if status:
                assert s.recv(100).startswith(b"HTTP/1.1 %d" % status), (listener, text)
    for name in "over_telnet", "over_http", "over_graphite", "over_influx_f", "over_other", "import":
        wait_until(lambda name=name: lines.sink.find(name))
    wait_until(lambda: "client=192.0.2.7:40000" in lines.agent.log())
    with lines.connect("graphite") as s:
        s.sendall(b"no_header 1 17\n")
        assert is_closed(s)
    assert not lines.sink.find("no_header")


def test_bursts_of_datagrams_and_of_connections_arrive_completely():
    lines = Lines("sluice")
    def burst(k):
        with lines.connect("graphite") as s:
            s.sendall("".join(f"tcp;k={k};n={n % 100} {n} {S + n}\n" for n in range(5000)).encode())
    threads = [threading.Thread(target=burst, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for n in range(0, 3000, 30):  # no more than fits into the kernel's buffer at once
            for i in range(n, n + 30):
                s.sendto(f"udp {i} {S + i}\nudp2 {i} {S + i}".encode(), ("127.0.0.1", lines.ports["udp"]))
            wait_until(lambda n=n: lines.counter("vm_ingestserver_requests_total", "graphite", "udp") >= n + 30, every=0.002)
    for t in threads:
        t.join()
    wait_until(lambda: sum(map(len, lines.sink.find("tcp").values())) >= 40000, 60)
    wait_until(lambda: sum(len(v) for name in ("udp", "udp2") for v in lines.sink.find(name).values()) >= 6000)
    for labels, samples in lines.sink.find("tcp").items():
        n = int(dict(labels)["n"])
        assert samples == [((S + i) * 1000, float(i)) for i in range(n, 5000, 100)], (labels, len(samples))
    assert [v for _, v in lines.sink.find("udp").popitem()[1]] == list(map(float, range(3000)))


def test_a_stop_stores_what_was_received():
    lines = Lines("sluice", interval="10m")
    clients = [lines.connect("graphite") for _ in range(30)]
    for n, s in enumerate(clients):
        s.sendall(f"stopped;n={n} 1 {S}\ncut 1 17".encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(f"stopped_udp 1 {S}".encode(), ("127.0.0.1", lines.ports["udp"]))
    lines.agent.stop()
    assert len(lines.sink.find("stopped")) == 30 and lines.sink.find("stopped_udp") and not lines.sink.find("cut")


def test_a_full_queue_lets_clients_of_lines_wait():
    """They are read on when the queue has room again, and nothing is lost or doubled."""
    sink = RecordingSink(zstd=True)
    sink.status = 503
    lines = Lines("sluice", sink=sink, config=f"""
remote_write:
- {{url: "{sink.url}", on_full: push_back, durability: memory, max_memory_bytes: 256KiB, queue_config: {{min_backoff: 50ms, max_backoff: 50ms}}}}
""")
    total = 60000
    padding = "x" * 200
    text = "".join(f"waits;n={n % 500};padding={padding} {n} {S + n}\n" for n in range(total)).encode()
    with lines.connect("graphite") as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 10)
        sender = threading.Thread(target=s.sendall, args=(text,))
        sender.start()
        wait_until(lambda: lines.counter("vmagent_rows_inserted_total", "graphite") > 1000)
        for _ in range(200):
            taken = lines.counter("vmagent_rows_inserted_total", "graphite")
            time.sleep(0.1)
            if lines.counter("vmagent_rows_inserted_total", "graphite") == taken:
                break
        assert sender.is_alive() and taken < total, taken
        sink.status = 204
        sender.join()
    wait_until(lambda: sum(map(len, sink.find("waits").values())) >= total, 60)
    for labels, samples in sink.find("waits").items():
        n = int(dict(labels)["n"])
        assert samples == [((S + i) * 1000, float(i)) for i in range(n, total, 500)], (labels, len(samples))


def test_silent_connections_give_way_when_places_run_out():
    lines = Lines("sluice", "--web.max-connections=8", "--lanes=1")
    clients = [lines.connect("graphite") for _ in range(8)]
    for n, s in enumerate(clients):
        s.sendall(f"first;n={n} 1 {S}\n".encode())
        wait_until(lambda n=n: len(lines.sink.find("first")) == n + 1)
    clients[0].sendall(f"again 1 {S}\n".encode())
    wait_until(lambda: lines.sink.find("again"))
    with lines.connect("graphite") as s:
        s.sendall(f"ninth 1 {S}\n".encode())
        wait_until(lambda: lines.sink.find("ninth"))
        assert is_closed(clients[1]) and lines.agent.metric("sluice_line_connections_evicted_total") == 1
        clients[0].sendall(f"last 1 {S}\n".encode())
        wait_until(lambda: lines.sink.find("last"))


def test_a_datagram_with_a_long_line_ends_no_socket():
    lines = Lines("sluice", "-influx.maxLineSize=1KiB")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"long," + b"t=" + b"x" * 3000 + b" f=1", ("127.0.0.1", lines.ports["influx"]))
        def later():
            s.sendto(b"later f=1", ("127.0.0.1", lines.ports["influx"]))
            return lines.sink.find("later_f")
        wait_until(later, 20, "a sample of a later datagram")


def test_a_stream_that_never_pauses_leaves_its_place_to_others():
    lines, ends = Lines("sluice", "-maxConcurrentInserts=1", "-insert.maxQueueDuration=3s", "--lanes=1"), threading.Event()
    block = "".join(f"endless{i} 1 {S}\n" for i in range(5000)).encode()

    def send(name):
        with lines.connect(name) as s:
            s.settimeout(1)
            while not ends.is_set():
                try:
                    s.sendall(block)
                except OSError:
                    return
    senders = [threading.Thread(target=send, args=("graphite",)) for _ in range(2)]
    for t in senders:
        t.start()
    wait_until(lambda: lines.counter("vmagent_rows_inserted_total", "graphite") > 10000, 20, "rows of the streams")
    answers = [request(f"{lines.agent.url}/api/v1/import/prometheus", data=b"pushed 1\n", method="POST").status for _ in range(3)]
    ends.set()
    for t in senders:
        t.join()
    assert answers == [204] * 3, answers
