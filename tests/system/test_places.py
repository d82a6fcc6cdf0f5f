# SPDX-License-Identifier: Apache-2.0
"""Destinations whose URL stands for several addresses: dns+, srv+ and round_robin_dns."""
from lib import *
from test_discovery import NameServer, asks_only

NAME = "_write._tcp.web.test"


class Place(RecordingSink):
    """On a port that another address has, too."""

    def __init__(self, host="127.0.0.1", port=0):
        self.host = host
        self.port_wanted = port
        super().__init__(port=port)

    def hosts(self):
        return {headers["Host"] for _, _, headers, _ in self.requests}


def two_addresses():
    for _ in range(20):
        first = Place("127.0.0.1")
        try:
            return first, Place("127.0.0.2", first.port)
        except OSError:
            first.stop()
    raise AssertionError("no port is free on both addresses")


def pushes(sluice, n, begin=0):
    """n pushes of a sample of another series each."""
    now = now_ms()
    for i in range(begin, begin + n):
        assert push(f"{sluice.url}/api/v1/write", [({"__name__": "m", "i": str(i)}, [(now, i)])]).status == 204


def numbers(*places):
    return sorted(int(v) for place in places for s in place.samples().values() for _, v in s)


def start(url, names, more=""):
    config = f"remote_write: [{{name: web, url: '{url}', protocol: snappy{more}, queue_config: {{shards: 2}}}}]\n"
    sluice = Sluice(config, "--lanes=1", start=False)
    asks_only(sluice, names.address).wait_ready()
    return sluice


def test_hosts_of_srv_records():
    """Both get requests; when one is down the other gets all; a reload to other records moves all to their host."""
    sinks = [RecordingSink() for _ in range(3)]
    names = NameServer({(NAME, "SRV"): [("a.test", sinks[0].port), ("b.test", sinks[1].port)],
                        ("a.test", "A"): ["127.0.0.1"], ("b.test", "A"): ["127.0.0.1"],
                        ("_other._tcp.test", "SRV"): [("a.test", sinks[2].port)]})
    sluice = start(f"http://srv+{NAME}/api/v1/write", names)
    pushes(sluice, 20)
    wait_until(lambda: numbers(*sinks) == list(range(20)), 20, "20 samples, each once")
    assert all(len(sink.requests) > 3 for sink in sinks[:2]), [len(sink.requests) for sink in sinks]
    assert {headers["Host"] for _, _, headers, _ in sinks[0].requests} == {f"a.test:{sinks[0].port}"}
    sinks[0].stop()
    pushes(sluice, 20, 20)
    wait_until(lambda: numbers(*sinks) == list(range(40)), 20, "40 samples, each once")
    assert sluice.metric("vmagent_remotewrite_samples_dropped_total", 'url="web"') == 0
    with open(sluice.config_path, encoding="utf-8") as f:
        config = f.read().replace(NAME, "_other._tcp.test")
    assert sluice.reconfigure(config).status == 200
    pushes(sluice, 5, 40)
    wait_until(lambda: numbers(sinks[2]) == list(range(40, 45)), 20, "the other record's host")


def test_addresses_of_a_name():
    """dns+ and round_robin_dns: both addresses get requests for the name that the URL has."""
    names = NameServer({("web.test", "A"): ["127.0.0.1", "127.0.0.2"]})
    for more, prefix in ((", round_robin_dns: true", ""), ("", "dns+")):
        first, second = two_addresses()
        sluice = start(f"http://{prefix}web.test:{first.port}/api/v1/write?x=1", names, more)
        pushes(sluice, 20)
        wait_until(lambda: numbers(first, second) == list(range(20)), 20, "20 samples, each once")
        assert len(first.requests) > 3 and len(second.requests) > 3, (len(first.requests), len(second.requests))
        assert first.hosts() == second.hosts() == {f"web.test:{first.port}"}, first.hosts()
        sluice.stop()


def test_a_reload_to_one_address():
    """The request to an address of the old URL fails when the destination has the new one, which gets its samples; the
    error shows neither."""
    old, new = RecordingSink(), RecordingSink()
    old.hang, old.drop = 3600, True
    sluice = start(f"http://dns+web.test:{old.port}/api/v1/write", NameServer({("web.test", "A"): ["127.0.0.1"]}))
    pushes(sluice, 3)
    wait_until(lambda: old.arrivals, 20, "a request")
    with open(sluice.config_path, encoding="utf-8") as f:
        config = f.read().replace(f"dns+web.test:{old.port}", new.address)
    assert sluice.reconfigure(config).status == 200
    old.stop()
    wait_until(lambda: numbers(new) == [0, 1, 2], 20, "the samples")
    wait_until(lambda: "closed the connection" in sluice.log(), 20, "the error")
    assert f"127.0.0.1:{old.port}" not in sluice.log() and new.address not in sluice.log()


@waits
def test_a_name_without_addresses():
    """The samples wait, the error names the host, and they arrive when it has an address."""
    sink, names = RecordingSink(), NameServer({("other.test", "A"): []})
    sluice = start(f"http://dns+web.test:{sink.port}/api/v1/write", names)
    pushes(sluice, 3)
    wait_until(lambda: "no address of web.test: " in sluice.log(), 20, "the error")
    names.records["web.test", "A"] = ["127.0.0.1"]
    wait_until(lambda: numbers(sink) == [0, 1, 2], 30, "the samples")
