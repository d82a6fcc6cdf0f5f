# SPDX-License-Identifier: Apache-2.0
"""Clients that break off in every state of a login and a handshake, while TLS and users change under them."""
import os
import random
import signal
import socket
import ssl
import threading
import time

from lib import *
from secure import *

TLS = "tls_server_config: {cert_file: server.pem, key_file: server.key, client_ca_file: ca.pem, client_auth_type: VerifyClientCertIfGiven}\n"
# Of "secret", with cost 10: logins wait for a while.
USERS = "basic_auth_users: {alice: $2y$10$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5sa2u}\n"
ALICE = ("alice", "secret")


def hello():
    """A ClientHello as Python's ssl sends it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("no hello")


class Crowd:
    """Clients in threads, each doing one thing again and again; what they see does not matter."""

    def __init__(self, sluice, ca, random_seed):
        self.sluice, self.ca, self.stop, self.random = sluice, ca, threading.Event(), random.Random(random_seed)
        self.hello, self.rounds, self.threads = hello(), 0, []

    def begin(self, *clients):
        for client in clients:
            self.threads.append(threading.Thread(target=self.repeat, args=(client,)))
            self.threads[-1].start()

    def repeat(self, client):
        while not self.stop.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self.sluice.port), timeout=5) as s:
                    client(s)
            except OSError:
                time.sleep(0.01)
            self.rounds += 1

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join()

    def cut_hello(self, s):
        s.sendall(self.hello[:self.random.randrange(len(self.hello) + 1)])
        time.sleep(self.random.random() / 50)

    def damaged_hello(self, s):
        data = bytearray(self.hello)
        for _ in range(self.random.randrange(1, 8)):
            data[self.random.randrange(9, len(data))] = self.random.randrange(256)
        s.sendall(data)
        s.settimeout(0.2)
        s.recv(4000)

    def hello_in_pieces(self, s):
        for at in range(0, len(self.hello), 100):
            s.sendall(self.hello[at:at + 100])
            time.sleep(0.002)
        s.settimeout(0.5)
        s.recv(4000)
        s.sendall(self.random.randbytes(300))

    def noise(self, s):
        s.sendall(self.random.randbytes(self.random.randrange(1, 3000)) + b"\r\n\r\n")

    def secured(self, s):
        try:
            return self.ca.context().wrap_socket(s, server_hostname="127.0.0.1")
        except (ssl.SSLError, OSError):
            return s

    def request(self, password, body):
        headers = "".join(f"{k}: {v}\r\n" for k, v in basic("alice", password).items())
        return (f"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n{headers}"
                f"Content-Length: {len(body)}\r\n\r\n{body}").encode()

    def login_cut(self, s):
        """Leaves while the password is verified, in the head, the body, or behind it."""
        s = self.secured(s)
        data = self.request(f"guess{self.random.random()}", "query=1" + "&x=y" * self.random.randrange(2000))
        s.sendall(data[:self.random.randrange(len(data) + 1)])
        time.sleep(self.random.random() / 20)
        s.close()

    def login(self, s):
        s = self.secured(s)
        for password in ("secret", "secret", "wrong"):
            s.sendall(self.request(password, "query=1"))
            s.settimeout(1)
            s.recv(4000)


def test_clients_that_break_off_anywhere():
    ca = Authority()
    ca.issue("server")
    sluice = secured(TLS + USERS, context=ca.context(), user=ALICE)
    crowd = Crowd(sluice, ca, 1)
    crowd.begin(crowd.cut_hello, crowd.damaged_hello, crowd.hello_in_pieces, crowd.noise, crowd.login_cut, crowd.login_cut,
                crowd.login)
    until, i = time.monotonic() + 5, 0
    while time.monotonic() < until:
        i += 1
        put_file(sluice.web_path, (TLS if i % 3 else "") + (USERS if i % 4 else "") + f"# {i}\n")
        os.kill(sluice.p.pid, 1)
        time.sleep(0.15)
    put_file(sluice.web_path, TLS + USERS)
    os.kill(sluice.p.pid, 1)
    crowd.end()
    wait_until(lambda: fetch(sluice, "/-/ready", ca.context(), ALICE).status == 200, 30, "it serves as before")
    assert refused(sluice, "/-/ready", ca.context("server"), ALICE), "a certificate for servers is none for clients"
    wait_until(lambda: len(os.listdir(f"/proc/{sluice.p.pid}/fd")) < 60, 20, "connections are closed")
    assert crowd.rounds > 100, crowd.rounds


def test_a_burst_of_handshakes_keeps_turns_short():
    """150 clients whose ClientHellos arrive together at one lane: each costs a signature, and its turn is over."""
    release_build()
    ca = Authority()
    ca.issue("server", key=RSA)
    sluice = secured("tls_server_config: {cert_file: server.pem, key_file: server.key}\n", "", "--lanes=1", context=ca.context())
    def longer_than(seconds):
        return sum(turns for bound, turns in lane_turns(sluice) if bound > seconds)
    sluice.get = lambda path: fetch(sluice, path, ca.context())
    before, message, clients = longer_than(0.02), hello(), []
    for _ in range(150):
        clients.append(socket.create_connection(("127.0.0.1", sluice.port), timeout=20))
        clients[-1].sendall(message[:-1])
    time.sleep(0.2)
    sluice.p.send_signal(signal.SIGSTOP)
    for s in clients:
        s.sendall(message[-1:])
    sluice.p.send_signal(signal.SIGCONT)
    for s in clients:
        assert s.recv(5)[0] == 0x16, "a ServerHello"
        s.close()
    assert longer_than(0.02) == before, lane_turns(sluice)


def test_a_stop_while_logins_and_handshakes_wait():
    """The fixture demands exit code 0 and, under a sanitizer, no report."""
    ca = Authority()
    ca.issue("server")
    for seed in range(3):
        sluice = secured(TLS + USERS, context=ca.context(), user=ALICE, name=f"sluice{seed}")
        crowd = Crowd(sluice, ca, seed)
        crowd.begin(crowd.cut_hello, crowd.login_cut, crowd.login_cut, crowd.login, crowd.hello_in_pieces)
        time.sleep(0.5)
        began = time.monotonic()
        sluice.stop()
        took = time.monotonic() - began
        crowd.end()
        assert took < 15, took
