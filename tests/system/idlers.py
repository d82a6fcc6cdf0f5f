# SPDX-License-Identifier: Apache-2.0
"""Clients that hold connections without using them, in a separate process, so that they do not delay the test."""
from lib import *

PROGRAM = r'''
import heapq, random, resource, select, socket, sys, time
port, n_idle, n_slow = map(int, sys.argv[1:4])
again = float(sys.argv[4])
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
GET = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nX-Long: "
BODY = b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
PAGE = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
epoll, clients, closed = select.epoll(), {}, []

class Client:
    """kind: "silent", "served" (idle after a response), "head", "body", "page" (slow)."""
    def __init__(self, kind):
        self.kind = kind
        self.connect()
    def connect(self):
        self.s = socket.socket()
        if self.kind == "page":
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        self.s.connect(("127.0.0.1", port))
        self.s.setblocking(False)
        first = {"silent": b"", "served": GET, "head": HEAD[:5], "body": BODY, "page": PAGE}[self.kind]
        try:
            self.s.send(first)
        except OSError:
            pass
        self.at = 5
        clients[self.s.fileno()] = self
        epoll.register(self.s.fileno(), select.EPOLLRDHUP if self.kind == "page" else select.EPOLLIN | select.EPOLLRDHUP)
    def again(self):
        del clients[self.s.fileno()]
        self.s.close()
        heapq.heappush(closed, (time.monotonic() + again * random.uniform(0.5, 1.5), id(self), self))
    def readable(self):
        try:
            if self.kind == "page" or not self.s.recv(65536):
                self.again()
        except BlockingIOError:
            pass
        except OSError:
            self.again()
    def drip(self):
        try:
            if self.kind == "page":
                self.s.recv(1)
            elif self.kind == "body":
                self.s.send(b"x")
            else:
                self.s.send(HEAD[self.at:self.at + 1] or b"x")
                self.at += 1
        except BlockingIOError:
            pass
        except OSError:
            pass  # epoll tells that it was closed

def turn(timeout):
    for fd, _ in epoll.poll(timeout, 2000):
        if fd in clients:
            clients[fd].readable()

slow = []
for i in range(max(n_idle, n_slow)):
    if i < n_slow:
        slow.append(Client(("head", "body", "page")[i % 3]))
    if i < n_idle:
        Client("served" if i % 2 else "silent")
    if i % 50 == 0:
        turn(0)
print("ready", flush=True)
due = time.monotonic()
while True:
    turn(max(0, due - time.monotonic()))
    if time.monotonic() >= due:
        due += 0.5
        for client in slow:
            if client.s.fileno() >= 0:
                client.drip()
        while closed and closed[0][0] <= time.monotonic():
            heapq.heappop(closed)[2].connect()
'''


class Idlers:
    """n_idle connections, half of them after a response, and n_slow that send a head or body, or read a response, a byte
    each half second. Those that are closed connect again after half to one and a half times `again`, and up
    to half a second."""

    def __init__(self, sluice, n_idle, n_slow, name="idlers", again=0.0):
        program = write_file(f"{name}.py", PROGRAM)
        self.process = Process(name, ["python3", program, str(sluice.port), str(n_idle), str(n_slow), str(again)])
        wait_until(lambda: "ready" in self.process.log(), 120, "the connections are open")

    def stop(self):
        self.process.kill9()
