# SPDX-License-Identifier: Apache-2.0
"""Healthy targets beside whatever misbehaves: are they scraped in time? A separate process serves them, so that
the test's threads do not delay them, and measures how late it wakes itself, as on a busy machine."""
from lib import *

PROGRAM = r'''
import asyncio, sys, time
port, series, arrivals = int(sys.argv[1]), int(sys.argv[2]), open(sys.argv[3], "w", buffering=1)
BODY = b"".join(b'm%d{b="%d"} 1\n' % (i, i % 7) for i in range(series))
REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY

async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            print(time.time(), head.split()[1].decode(), file=arrivals)
            writer.write(REPLY)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()

async def measure_pauses():
    while True:
        began = time.time()
        await asyncio.sleep(0.04)
        spent = time.thread_time()
        while time.thread_time() - spent < 0.002:
            pass
        now = time.time()
        if now - began > 0.1:
            print(now, "pause", now - began - 0.042, file=arrivals)

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=4096)
    print("ready", flush=True)
    await asyncio.gather(server.serve_forever(), measure_pauses())

asyncio.run(main())
'''


class SteadyTargets:
    """n targets, to be scraped each second; job() is their scrape_configs entry."""

    def __init__(self, n=20, series=50, name="steady"):
        self.n, self.name, self.port = n, name, free_port()
        self.arrivals = f"{folder()}/{name}-arrivals"
        program = write_file(f"{name}.py", PROGRAM)
        self.process = Process(name, ["python3", program, str(self.port), str(series), self.arrivals])
        wait_until(lambda: "ready" in self.process.log(), 20, "steady targets")

    def job(self):
        targets = ", ".join(f"'127.0.0.1:{self.port}/{i}'" for i in range(self.n))
        return (f"- {{job_name: {self.name}, scrape_interval: 1s, scrape_timeout: 900ms, "
                f"static_configs: [{{targets: [{targets}]}}]}}\n")

    def times(self):
        """{target: [Unix seconds of its scrapes]}"""
        found = {}
        with open(self.arrivals, encoding="ascii") as f:
            for line in f.read().splitlines():
                t, path, *more = line.split()
                if not more:
                    found.setdefault(path, []).append(float(t))
        return found

    def slack(self, since, until):
        """Seconds that the machine may add to a gap (Pauses)."""
        with open(self.arrivals, encoding="ascii") as f:
            lines = [line.split() for line in f.read().splitlines() if "pause" in line]
        return Pauses.STEPS * max((float(late) for t, _, late in lines if since - 1 <= float(t) <= until + 1), default=0)

    def wait(self):
        """Until each has been scraped twice."""
        wait_until(lambda: sum(len(t) > 1 for t in self.times().values()) == self.n, 20, "scrapes of steady targets")

    def between(self, since, until):
        """Pages served, pages that are missing (a gap of 3 s lacks two), and the longest gap in seconds, without what the
        machine may have added."""
        pages, missing, longest, slack = 0, 0, 0, self.slack(since, until)
        for times in self.times().values():
            served = [t for t in times if since <= t <= until]
            pages += len(served)
            edges = [max([t for t in times if t < since], default=since)] + served + \
                    [min([t for t in times if t > until], default=until)]
            gaps = [max(0, b - a - slack) for a, b in zip(edges, edges[1:])]
            missing += sum(max(0, round(gap) - 1) for gap in gaps)
            longest = max([longest] + gaps)
        return pages, missing, longest

    def must_be_in_time(self, what, since, until, figures=""):
        pages, missing, longest = self.between(since, until)
        print(f"{what}: {pages} pages of {self.n} targets in {until - since:.1f} s, {missing} missing, longest gap "
              f"{longest:.2f} s beside {self.slack(since, until):.2f} of the machine{figures}", flush=True)
        assert missing == 0 and longest < 1.5, f"{what}: {missing} pages are missing, longest gap {longest:.2f} s"
