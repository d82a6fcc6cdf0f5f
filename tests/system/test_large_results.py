# SPDX-License-Identifier: Apache-2.0
"""Results of queries that are sent in parts while they are rendered."""
import gzip
import http.client
import json
import random
import socket
import time
import urllib.parse

from lib import *

SERIES, STEPS = 250, 3600


def loaded(*flags):
    """A sluice with an hour of series of random values, and the path of a query whose result has some 25 MB."""
    sluice = Sluice("recent: {retention: 0}\n", *flags)
    end, chance = int(time.time()) // 60 * 60, random.Random(1)
    for at in range(0, SERIES, 50):
        batch = [({"__name__": "big", "i": f"{i:04}"}, [((end - 15 * k) * 1000, chance.random()) for k in range(240, -1, -1)])
                 for i in range(at, at + 50)]
        assert push(f"{sluice.url}/api/v1/write", batch).status == 204
    return sluice, lambda query, **more: "/api/v1/query_range?" + urllib.parse.urlencode(
        {"query": query, "start": end - STEPS + 1, "end": end, "step": 1, **more})


def ask(sluice, path, method="GET", **headers):
    h = http.client.HTTPConnection("127.0.0.1", sluice.port, timeout=60)
    h.request(method, path, headers=headers)
    response = h.getresponse()
    return response, response.read()


def test_large_results_are_sent_in_parts():
    sluice, path = loaded("--query.max-memory=40MiB")
    before = sluice.memory_kib()["VmHWM"]
    response, body = ask(sluice, path("big", stats="1"))
    assert response.status == 200 and response.headers["Transfer-Encoding"] == "chunked", dict(response.headers)
    assert "Content-Length" not in response.headers and len(body) > 24e6, len(body)
    data = json.loads(body)["data"]
    assert [s["metric"]["i"] for s in data["result"]] == [f"{i:04}" for i in range(SERIES)]
    assert all(len(s["values"]) == STEPS for s in data["result"]) and data["stats"]["samples"]["totalQueryableSamples"] > 0
    if RELEASE: # values of all points, and some parts of the text
        assert sluice.memory_kib()["VmHWM"] - before < 60 << 10, sluice.memory_kib()

    packed_response, packed = ask(sluice, path("big"), **{"Accept-Encoding": "gzip"})
    assert packed_response.headers["Content-Encoding"] == "gzip" and len(packed) < len(body) / 3
    assert json.loads(gzip.decompress(packed))["data"]["result"] == data["result"]

    for i in (0, 17, SERIES - 1): # each as it is in a small response, which has a length
        response, one = ask(sluice, path(f'big{{i="{i:04}"}}'))
        assert response.headers["Content-Length"] == str(len(one)), dict(response.headers)
        assert json.loads(one)["data"]["result"] == [data["result"][i]]
    response, _ = ask(sluice, path('big{i=~"0[01].."}'), method="HEAD")
    assert response.status == 200 and "Transfer-Encoding" not in response.headers, dict(response.headers)


def raw_request(sluice, path, version):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 15)
    s.connect(("127.0.0.1", sluice.port))
    s.settimeout(20)
    s.sendall(f"GET {path} {version}\r\nHost: x\r\n\r\n".encode())
    return s


def receive(s):
    got = b""
    while piece := s.recv(1 << 20):
        got += piece
    return got


def test_old_clients_get_complete_responses():
    """HTTP/1.0 has no end of a response in parts, so that one that was cut would look complete."""
    sluice, path = loaded()
    with raw_request(sluice, path('big{i=~"0[01].."}'), "HTTP/1.0") as s:
        head, body = receive(s).split(b"\r\n\r\n", 1)
        assert b"chunked" not in head and f"Content-Length: {len(body)}".encode() in head, head
        assert len(json.loads(body)["data"]["result"]) == 200


def test_a_slow_client_misses_the_end():
    """It reads for longer than --query.timeout: the response is cut, which it notices, and the worker is free again."""
    sluice, path = loaded("--query.timeout=1s", "--query.max-concurrency=1")
    with raw_request(sluice, path("big"), "HTTP/1.1") as s:
        time.sleep(2)
        got = receive(s)
        head = got.split(b"\r\n\r\n")[0]
        assert got.startswith(b"HTTP/1.1 200") and b"chunked" in head and not got.endswith(b"0\r\n\r\n"), (head, got[-100:])
        assert b'"status":"error"' not in got, "an error within a result"
    began = time.monotonic()
    assert sluice.query("count(big)")["result"][0]["value"][1] == str(SERIES)
    assert time.monotonic() - began < 2
