# SPDX-License-Identifier: Apache-2.0
"""The two ends of sluice that a test controls: a target that tells a script, a storage that remembers everything."""
import gzip
import http.server
import itertools
import json
import socket
import struct
import threading
import time

import wire

# /api/v1/status/buildinfo of a Prometheus: sluice recognizes it by this, and reads by remote_read if it may.
PROMETHEUS_BUILD = {"version": "3.5.3", "revision": "x", "goVersion": "y"}
PROMETHEUS_BUILDINFO = json.dumps({"status": "success", "data": PROMETHEUS_BUILD}).encode()


class Server(http.server.ThreadingHTTPServer):
    """HTTP/1.1 on a free loopback port, in threads of this process."""
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, owner, port):
        self.owner, self.sockets = owner, set()
        super().__init__((owner.host, port), Handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def process_request(self, request, client_address):
        self.sockets.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self.sockets.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address):
        pass  # a peer that goes away is part of the tests

    def stop(self):
        """Closes the port and cuts every connection."""
        self.shutdown()
        self.server_close()
        for s in list(self.sockets):
            try:
                s.shutdown(2)
            except OSError:
                pass


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    connections = itertools.count()

    def setup(self):
        super().setup()
        self.connection_number = next(self.connections)

    def log_message(self, *args):
        pass

    def date_time_string(self, timestamp=None):
        return super().date_time_string((time.time() if timestamp is None else timestamp) + self.server.owner.clock)

    def do_GET(self):
        self.server.owner.answer(self, b"")

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if getattr(self.server.owner, "reset", False):
            self.rfile.read(length // 2)
            self.server.owner.resets += 1
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()  # with unread bytes and without lingering: RST
            return
        self.server.owner.answer(self, self.rfile.read(length))

    do_PUT = do_POST

    def reply(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Fake:
    """Starts at once on a free port; stop() and start() take it off the network and put it back. clock: seconds that its
    clock is ahead."""

    host, clock = "127.0.0.1", 0

    def __init__(self, port=0):
        self.lock = threading.Lock()
        self.server = Server(self, port)
        self.port = self.server.server_address[1]
        self.address = f"{self.host}:{self.port}"

    def stop(self):
        if self.server:
            self.server.stop()
        self.server = None

    def start(self):
        self.server = Server(self, self.port)


class ScriptedExporter(Fake):
    """A target whose n-th page is page(n, Unix ms); by default `series` counters whose value is n, once without a
    timestamp (scripted_counter) and once with the time of the answer (scripted_stamped_counter).

    served: (n, ms, text) of every page that was given; asked: the request headers. content_type: of its pages; None: no
    header. To misbehave: status, delay (seconds), body (bytes to send
    instead), gzip (compress when asked), gzip_cut (without the end of what was compressed), cut (close in the middle).
    """

    def __init__(self, series=10, page=None):
        self.page, self.series, self.n, self.served = page or self.counters, series, 0, []
        self.status, self.delay, self.body, self.gzip, self.gzip_cut, self.cut = 200, 0, None, False, False, False
        self.content_type, self.asked = "text/plain; version=0.0.4; charset=utf-8", []
        super().__init__()

    def counters(self, n, ms):
        lines = ["# HELP scripted_counter Number of this page.", "# TYPE scripted_counter counter"]
        lines += [f'scripted_counter{{id="{i}"}} {n}' for i in range(self.series)]
        lines += ["# TYPE scripted_stamped_counter counter"]
        lines += [f'scripted_stamped_counter{{id="{i}"}} {n} {ms}' for i in range(self.series)]
        return "\n".join(lines) + "\n"

    def answer(self, request, _):
        if self.delay:
            time.sleep(self.delay)
        if self.status != 200:
            return request.reply(self.status, b"scripted\n")
        with self.lock:
            n, ms = self.n, int(time.time() * 1000)
            self.n += 1
            self.asked.append(dict(request.headers))
            text = self.page(n, ms)
            self.served.append((n, ms, text))
        body = text.encode() if self.body is None else self.body
        headers = {"Content_Type": self.content_type} if self.content_type else {}
        if self.gzip and "gzip" in request.headers.get("Accept-Encoding", ""):
            body, headers["Content_Encoding"] = gzip.compress(body), "gzip"
            body = body[:len(body) * 2 // 3] if self.gzip_cut else body
        if self.cut:
            request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:len(body) // 2])
            request.close_connection = True
            return None
        return request.reply(200, body, **headers)

    def numbers(self):
        with self.lock:
            return [n for n, _, _ in self.served]


class RecordingSink(Fake):
    """A remote-write 1.0 receiver that keeps every sample it accepted, in order of arrival.

    With victoriametrics its responses have the header by which VictoriaMetrics is recognized. To misbehave: status (with retry_after), hang (seconds before the answer), drop (read, then close without an
    answer), reset (read half of the body, then reset the connection; resets counts), lose_answer (accept, then close).
    zstd bodies get 415 unless zstd=True. requests: (monotonic seconds, status, headers, bytes on the wire) of each.
    arrivals: [number of the connection, index in `accepted` or None, whether the answer was lost] of each, in the order
    in which they came. What cannot be decoded fails the test at the next look. in_order: False for what vmagent sends,
    whose labels are not sorted.
    """

    def __init__(self, zstd=False, port=0, in_order=True):
        self.in_order = in_order
        self.zstd, self.status, self.retry_after, self.hang = zstd, 204, None, 0
        self.drop = self.lose_answer = self.reset = False
        self.victoriametrics = False
        self.arrivals, self.resets = [], 0
        self.requests, self.accepted, self.damaged, self.decoded = [], [], [], 0
        self.arrived = {}
        super().__init__(port)
        self.url = f"http://{self.address}/api/v1/write"

    def answer(self, request, body):
        drop = self.drop  # a request that hangs is dropped even if the fault ends meanwhile
        arrival = [request.connection_number, None, False]
        with self.lock:
            self.arrivals.append(arrival)
        time.sleep(self.hang)
        status, zipped = self.status, request.headers.get("Content-Encoding", "")
        if zipped == "zstd" and not self.zstd:
            status = 415
        with self.lock:
            drop = drop or self.drop
            self.requests.append((time.monotonic(), None if drop else status, dict(request.headers), len(body)))
            lost = drop or self.lose_answer
            if not drop and status // 100 == 2:
                arrival[1:] = len(self.accepted), lost
                self.accepted.append((zipped, body))
        if lost:
            request.close_connection = True
            return None
        extra = {"Retry_After": self.retry_after} if self.retry_after is not None else {}
        if self.victoriametrics:
            extra["X_Server_Hostname"] = "vm"
        return request.reply(status, b"" if status == 204 else b"scripted answer\n", **extra)

    def samples(self):
        """{labels as a sorted tuple of pairs: [(t, v), ...]} in order of arrival."""
        with self.lock:
            for zipped, body in self.accepted[self.decoded:]:
                try:
                    plain = wire.zstd_decompress(body) if zipped == "zstd" else wire.snappy_decompress(body)
                    for labels, samples in (wire.parse_write_request(plain) if self.in_order
                                            else wire.parse_write_request(plain, in_order=False)):
                        self.arrived.setdefault(tuple(sorted(labels.items())), []).extend(samples)
                except (ValueError, IndexError, KeyError) as e:
                    self.damaged.append(str(e))
            self.decoded = len(self.accepted)
            assert not self.damaged, f"damaged bodies: {self.damaged[:5]}"
            return {labels: list(samples) for labels, samples in self.arrived.items()}

    def find(self, name, **labels):
        """The same for the series of this name that have these labels."""
        want = {"__name__": name, **labels}
        return {key: s for key, s in self.samples().items() if want.items() <= dict(key).items()}
