# SPDX-License-Identifier: Apache-2.0
"""Malformed requests and request smuggling: a 4xx or a closed connection, and nothing of what follows is served.

Each request is sent with another one behind it, which a program in front of us may have taken for its body. A response
to that second request, which asks for a path that does not exist, has its own status: 404 with its path.
"""
import random
import re
import socket
import time

from lib import *

SECOND = b"POST /smuggled HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
PUSH = b"\xff"  # no valid push


def talk(sluice, data):
    """All that is received until the connection is closed; the end of the stream is sent with the request."""
    with socket.create_connection(("127.0.0.1", sluice.port), timeout=20) as s:
        received = b""
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while piece := s.recv(1 << 16):
                received += piece
        except TimeoutError:
            return b"it hangs"
        except OSError:  # it was closed before all was sent
            pass
        return received


def statuses(received):
    """The library writes the head of its own refusals twice, and closes the connection."""
    head = received.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    if received.startswith(head * 2) and b"\r\nConnection: close\r\n" in head:
        received = received[len(head):]
    return [int(s) for s in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


def lines(*items):
    return b"\r\n".join(items) + b"\r\n\r\n"


def insert(request, at, line):
    """The line among the headers: first, in the middle, or last."""
    head, body = request.split(b"\r\n\r\n", 1)
    headers = head.split(b"\r\n")
    headers.insert({"first": 1, "middle": 2, "last": len(headers)}[at], line)
    return b"\r\n".join(headers) + b"\r\n\r\n" + body


GET = lines(b"GET /-/healthy HTTP/1.1", b"Host: x", b"Accept: */*")
POST = lines(b"POST /api/v1/write HTTP/1.1", b"Host: x", b"Content-Length: 1") + PUSH
CHUNKED = lines(b"POST /api/v1/write HTTP/1.1", b"Host: x", b"Transfer-Encoding: chunked") + b"1\r\n" + PUSH + b"\r\n0\r\n\r\n"
OLD = lines(b"GET /-/healthy HTTP/1.0", b"Host: x", b"Connection: keep-alive")

# Wrong in every request.
WRONG_LINES = [
    b"Host: y", b"host: x", b"HOST:x", b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: identity, chunked",
    b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked;q=1", b"Transfer-Encoding: \"chunked\"",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding: chunked\x0b", b"Transfer-Encoding: chunk\x00ed",
    b"Transfer-Encoding: chunked\r\nContent-Length: 1", b"Content-Length: 1\r\nTransfer-Encoding: chunked",
    b"Content-Length: 1\r\nContent-Length: 1", b"Content-Length: 1\r\nContent-Length: 2", b"Content-Length: 1, 1",
    b"Content-Length: 1,2", b"Content-Length: +1", b"Content-Length: -1", b"Content-Length: 0x1", b"Content-Length: 1 1",
    b"Content-Length: 1e1", b"Content-Length: one", b"Content-Length: 18446744073709551617",
    b"Content-Length: 99999999999999999999999999", b"Content-Length: \xd9\xa1", b"Content-Length: 1.0", b"Content-Length: 1;",
    b"Content-Length : 1", b"Transfer-Encoding : chunked", b"Host : y", b"X-A : b", b"X-A\t: b", b" X-A: b", b"\tX-A: b",
    b" Transfer-Encoding: chunked", b"\tContent-Length: 1", b"X-A: b\r\n folded", b"X-A: b\r\n\tTransfer-Encoding: chunked",
    b"X-A: b\r\n \r\n c", b"no colon", b": empty name", b":", b"X A: b", b"X(A): b", b"X\"A: b", b"X[A]: b", b"X{A}: b",
    b"X=A: b", b"X?A: b", b"X@A: b", b"X\\A: b", b"X/A: b", b"X,A: b", b"X;A: b", b"X<A>: b", b"X\xc3\xa4: b",
    b"X-A: b\rX-B: c", b"X-A: b\r\rX-B: c", b"X-A: b\nX-B: c", b"X-A: b\n\nGET /smuggled HTTP/1.1", b"X-A: b\r\r\nX-B: c",
    b"\rX-A: b", b"\nX-A: b", b"X-A: b\r", b"X-A: \rTransfer-Encoding: chunked", b"X-A: \nTransfer-Encoding: chunked",
    b"X-A:\r", b"X-A:b\x00", b"X-A\x00: b", b"\x00X-A: b", b"X-A: b\x00c", b"Host\x00: y",
]

HOSTS = [b"Host: a b", b"Host: a,b", b"Host: a/b", b"Host: a@b", b"Host: a?b", b"Host: a#b", b"Host: a<b", b"Host: a\\b",
         b"Host: a\"b", b"Host: a\tb", b"Host: {a}", b"Host: a\x00b", b"Host: a|b", b"Host: ^a", b"Host: a`"]

REQUEST_LINES = [
    b"GET", b"GET ", b"GET /", b" GET /-/healthy HTTP/1.1", b"GET  /-/healthy HTTP/1.1", b"GET /-/healthy  HTTP/1.1",
    b"GET\t/-/healthy HTTP/1.1", b"GET /-/healthy\tHTTP/1.1", b"GET /-/healthy HTTP/1.1 ", b"GET /-/healthy HTTP/1.1 x",
    b"GET /-/heal thy HTTP/1.1", b"GET /-/healthy HTTP/1.1\r", b"GET /-/healthy HTTP/1.1\rHost: y", b"GET /-/healthy\r HTTP/1.1",
    b"GET /-/healthy\x00 HTTP/1.1", b"GET\x00 /-/healthy HTTP/1.1", b"GET /-/healthy HTTP/1.1\x00", b"G\x00ET /-/healthy HTTP/1.1",
    b"GET /-/healthy HTTP", b"GET /-/healthy HTTP/", b"GET /-/healthy HTTP/1", b"GET /-/healthy HTTP/1.", b"GET /-/healthy HTTP/.1",
    b"GET /-/healthy HTTP/1.1.1", b"GET /-/healthy HTTP/11", b"GET /-/healthy HTTP/a.b", b"GET /-/healthy HTTP/-1.1",
    b"GET /-/healthy HTTP/01.1", b"GET /-/healthy HTTP/1.01", b"GET /-/healthy http/1.1", b"GET /-/healthy Http/1.1",
    b"GET /-/healthy XTTP/1.1", b"GET /-/healthy HTTPS/1.1", b"GET /-/healthy HTTP /1.1", b"GET /-/healthy HTTP/1 .1",
    b"GET /-/healthy", b"GET -/healthy HTTP/1.1", b"GET HTTP/1.1", b"/-/healthy HTTP/1.1", b"(GET) /-/healthy HTTP/1.1",
    b"GET: /-/healthy HTTP/1.1", b"G\xcbT /-/healthy HTTP/1.1", b"GET\x0b/-/healthy HTTP/1.1",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"SSH-2.0-OpenSSH_9.6",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2", b"\r\r\r\rGET /-/healthy HTTP/1.1", b"\x00GET /-/healthy HTTP/1.1", b"*1",
]

CHUNKS = [b"-1\r\nx\r\n0\r\n\r\n", b"+1\r\nx\r\n0\r\n\r\n", b"0x1\r\nx\r\n0\r\n\r\n", b"g\r\nx\r\n0\r\n\r\n", b"\r\nx\r\n0\r\n\r\n",
          b"1 1\r\nx\r\n0\r\n\r\n", b"1\r\nxy\r\n0\r\n\r\n", b"2\r\nx\r\n0\r\n\r\n", b"1\r\nx0\r\n\r\n", b"ffffffffffffffff1\r\nx\r\n0\r\n\r\n",
          b"fffffffffffffffff\r\nx\r\n", b"7fffffffffffffff\r\nx\r\n", b"ffffffffffffffff\r\nx\r\n", b"100000000\r\nx\r\n0\r\n\r\n",
          b"1\x00\r\nx\r\n0\r\n\r\n", b"1,1\r\nx\r\n0\r\n\r\n", b"1.0\r\nx\r\n0\r\n\r\n", b"\xd9\xa1\r\nx\r\n0\r\n\r\n", b"one\r\nx\r\n0\r\n\r\n",
          b"1;a=\"\r\nx\r\n", b"1" * 2000 + b"\r\nx\r\n0\r\n\r\n", b"1;" + b"a" * 40000 + b"\r\nx\r\n0\r\n\r\n", b"x", b"1", b"1\r\n"]

# Chunks that the library accepts although their lines end otherwise: what follows must not be served.
LENIENT_CHUNKS = [b"1\nx\r\n0\r\n\r\n", b"1\r\nx\n0\r\n\r\n", b"1\nx\n0\n\n", b"1 \r\nx\r\n0\r\n\r\n", b"1\r\nx\r\n0\n\n", b"01\r\nx\r\n00\r\n\r\n",
                  b"1;a\nb\r\nx\r\n0\r\n\r\n", b"1\r\nx\r\n0\r\nA: b\r\n\r\n", b"1\r\nx\r\n0\r\nContent-Length: 9\r\n\r\n"]


def corpus():
    """{name: bytes} of requests that must be refused, and of which nothing behind may be served."""
    found = {}
    for base_name, base in (("get", GET), ("post", POST), ("chunked", CHUNKED), ("old", OLD)):
        for line in WRONG_LINES:
            for at in ("first", "middle", "last"):
                found[f"{base_name} {at} {line!r}"] = insert(base, at, line)
        for c in [*range(1, 9), *range(11, 32), 127]:
            if c != 13:
                for what, line in (("name", b"X-%c: b"), ("value", b"X-A: b%cc"), ("end", b"X-A: b%c")):
                    found[f"{base_name} control {c} {what}"] = insert(base, "middle", line % c)
        for host in HOSTS:
            found[f"{base_name} {host!r}"] = base.replace(b"Host: x", host)
        for end in (b"\n", b"\r", b"\n\r", b"\r\r\n"):
            found[f"{base_name} line end {end!r}"] = base.replace(b"\r\n", end, base.count(b"\r\n"))
            found[f"{base_name} one line end {end!r}"] = base.replace(b"\r\n", end, 1)
    for line in REQUEST_LINES:
        for rest in (b"\r\nHost: x\r\n\r\n", b"\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"):
            found[f"line {line!r} {len(rest)}"] = line + rest
    for name, base in (("get", GET), ("post", POST), ("chunked", CHUNKED)):
        found[f"{name} without a host"] = base.replace(b"Host: x\r\n", b"")
    for method in (b"GET", b"POST"):
        for chunks in CHUNKS:
            found[f"{method} chunks {chunks[:40]!r}"] = (
                method + b" /api/v1/query HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
    for size in (40000, 70000, 200000):
        found[f"header of {size}"] = insert(GET, "last", b"X-A: " + b"a" * size)
        found[f"name of {size}"] = insert(GET, "last", b"X" * size + b": a")
        found[f"URI of {size}"] = b"GET /" + b"a" * size + b" HTTP/1.1\r\nHost: x\r\n\r\n"
        found[f"headers of {size}"] = insert(GET, "last", b"\r\n".join(b"X-%d: b" % i for i in range(size // 8)))
    found["body beyond its limit"] = lines(b"POST /-/reload HTTP/1.1", b"Host: x", b"Content-Length: 99999999") + b"x" * 100
    return found


def test_a_thousand_malformed_requests():
    sluice = Sluice("recent: {}\n", "--lanes=1")
    requests, wrong = corpus(), []
    assert len(requests) >= 1000, len(requests)
    for name, data in requests.items():
        received = talk(sluice, data + SECOND)
        got = statuses(received)
        if len(got) > 1 or any(not 400 <= status < 500 for status in got) or b"smuggled" in received:
            wrong.append(f"{name}: {got}")
        elif received and not received.startswith(b"HTTP/1.1 4"):
            wrong.append(f"{name}: {received[:60]}")
    assert not wrong, f"{len(wrong)} of {len(requests)}:\n" + "\n".join(wrong[:60])
    unchanged(sluice)


def test_chunks_with_other_line_ends():
    """Accepted or not: the connection ends, so that nothing behind them is a request."""
    sluice = Sluice("recent: {}\n", "--lanes=1")
    for path in (b"/api/v1/write", b"/api/v1/query", b"/no/such/path"):
        for chunks in LENIENT_CHUNKS:
            received = talk(sluice, b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + SECOND)
            assert len(statuses(received)) <= 1 and b"smuggled" not in received, (path, chunks, received)
            assert not received or b"\r\nConnection: close\r\n" in received, (path, chunks, received)
    unchanged(sluice)


def test_unknown_codings_and_versions():
    """Well-formed, but of another world."""
    sluice = Sluice("", "--lanes=1")
    for data in (*[insert(base, "last", b"Transfer-Encoding: " + coding) for base in (GET, POST, CHUNKED, OLD)
                   for coding in (b"deflate", b"identity", b"gzip", b"xchunked")], GET.replace(b"HTTP/1.1", b"HTTP/2.0"),
                 GET.replace(b"HTTP/1.1", b"HTTP/3.0"), GET.replace(b"HTTP/1.1", b"HTTP/0.9"),
                 GET.replace(b"GET /-/healthy HTTP/1.1", b"PRI * HTTP/2.0")):
        received = talk(sluice, data + SECOND)
        assert statuses(received) in ([400], []) and b"smuggled" not in received, received
    unchanged(sluice)


def test_requests_with_random_damage():
    """Whatever it becomes: no 5xx, no crash, and responses of HTTP."""
    sluice = Sluice("recent: {}\n", "--lanes=1")
    r = random.Random(11)
    bases, parts = [GET, POST, CHUNKED, OLD], [b"\r", b"\n", b"\r\n", b"\0", b" ", b"\t", b":", b"0", b"\xff", b"Host: y\r\n", b";",
                                               b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n\r\n", b"%", b"?"]
    for _ in range(500):
        data = bytearray(r.choice(bases) + r.choice(bases))
        for _ in range(r.randrange(1, 6)):
            at, how = r.randrange(len(data)), r.randrange(3)
            if how == 0:
                data[at:at] = r.choice(parts)
            elif how == 1:
                del data[at:at + r.randrange(1, 9)]
            else:
                data[at] = r.randrange(256)
        received = talk(sluice, bytes(data))
        assert not received or received.startswith(b"HTTP/1.1 "), (data, received)
        assert all(status < 500 for status in statuses(received)), (bytes(data), received)
    unchanged(sluice)


def unchanged(sluice):
    """Nothing has been changed or left behind: no reload, no push, no connection."""
    wait_until(lambda: sluice.metric("sluice_http_connections") == 1, 20, "no connection remains")
    assert sluice.metric("vmagent_rows_inserted_total") == 0
    assert sluice.get("/-/healthy").status == 200
    assert "reload" not in sluice.log()
