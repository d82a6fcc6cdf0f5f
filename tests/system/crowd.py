# SPDX-License-Identifier: Apache-2.0
"""Many clients that ask at the same time."""
import asyncio
import collections
import resource
import time
import urllib.parse

from lib import *

SERIES, SAMPLES = 2000, 150


def push_heavy(sluice):
    """Five minutes of 2,000 series; the time of the newest sample, Unix seconds."""
    now = int(time.time())
    for part in range(10):
        series = [({"__name__": f"m{i % 10}", "a": str(i), "b": str(i % 7)},
                   [((now - 2 * k) * 1000, float(SAMPLES - k)) for k in reversed(range(SAMPLES))])
                  for i in range(part, SERIES, 10)]
        assert push(f"{sluice.url}/api/v1/write", series).status == 204
    return now


def heavy_queries(now):
    """Paths of a query that computes over all of it at each of 300 steps, and of one whose result has 12 MB."""
    more = {"start": now - 300, "end": now, "step": 1, "timeout": "15s"}
    return ["/api/v1/query_range?" + urllib.parse.urlencode({"query": query, **more})
            for query in ('sum by (b) (rate({__name__=~"m.*"}[5m]))', 'rate({__name__=~"m.*"}[5m])')]


def ask_at_once(sluice, paths, clients, seconds):
    """Each client asks for one of the paths again until the seconds are over, but once at least: {status: number of
    responses}."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, clients + 500)), hard))
    return asyncio.run(ask_all(sluice.port, paths, clients, time.monotonic() + seconds))


async def ask_all(port, paths, clients, end):
    statuses = collections.Counter()
    await asyncio.gather(*[ask_until(port, paths[i % len(paths)], end, statuses) for i in range(clients)])
    return dict(statuses)


async def ask_until(port, path, end, statuses):
    while True:
        statuses[await ask(port, path)] += 1
        if time.monotonic() >= end:
            return


async def ask(port, path):
    """The status. A refusal must say when to come again; a query that began and timed out says that it did."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        body = (await reader.read(1 << 16)).decode(errors="replace")
        while await reader.read(1 << 16):
            pass
    finally:
        writer.close()
    status = int(head.split()[1])
    assert status not in (429, 503) or "\r\nretry-after: " in head.lower() or '"errorType":"timeout"' in body, head + body
    return status
