# SPDX-License-Identifier: Apache-2.0
"""Listen addresses of all kinds: IPv6, several, Unix sockets, and sockets and messages of systemd."""
import http.client
import os
import signal
import socket
import stat

from lib import *
from secure import *

ACTIVATE = """
import os, socket, sys
sockets = []
for port in sys.argv[1].split(","):
    s = socket.socket()
    s.bind(("127.0.0.1", int(port)))
    s.listen()
    sockets.append(s)
unix = socket.socket(socket.AF_UNIX)
unix.bind("passed.sock")
unix.listen()
for i, s in enumerate(sockets + [unix]):
    os.dup2(s.fileno(), 50 + i)
for i in range(len(sockets) + 1):
    os.dup2(50 + i, 3 + i)
    os.set_inheritable(3 + i, True)
os.environ.update(LISTEN_FDS=str(len(sockets) + 1), LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


def over_unix(path, request_path="/-/ready", user=None):
    connection = http.client.HTTPConnection("localhost", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(10)
    os.chdir(folder())
    connection.sock.connect(path)
    connection.request("GET", request_path, headers=basic(*user) if user else {})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_several_addresses_of_both_families():
    ports = [free_port() for _ in range(2)]
    sluice = Sluice("", f"--web.listen-address=[::1]:{ports[0]}", f"--web.listen-address=localhost:{ports[1]}")
    assert request(f"http://[::1]:{ports[0]}/-/ready").status == 200
    assert request(f"http://localhost:{ports[1]}/-/ready").status == 200
    assert sluice.get("/-/ready").status == 200


def test_unix_sockets():
    """With users but without TLS; a socket that a killed program left is replaced, one in use is not."""
    ca = Authority()
    ca.issue("server")
    web = f"tls_server_config: {{cert_file: server.pem, key_file: server.key}}\nbasic_auth_users: {{alice: '{SECRET}'}}\n"
    user = ("alice", "secret")
    sluice = secured(web, "", "--web.listen-address=unix:s.sock", context=ca.context(), user=user)
    assert over_unix("s.sock", user=user)[0] == 200
    assert over_unix("s.sock") == (401, "Unauthorized\n")
    wait_until(lambda: "address=unix:s.sock" in sluice.log(), what="the line of the start")
    other = Sluice("", "--web.listen-address=unix:s.sock", name="other", ready=False)
    assert other.wait_exit(20) == 1 and "cannot listen on unix:s.sock: Address already in use" in other.log(), other.log()
    assert over_unix("s.sock", user=user)[0] == 200
    sluice.kill9()
    assert stat.S_ISSOCK(os.stat(f"{folder()}/s.sock").st_mode)
    sluice.start()
    wait_until(lambda: over_unix("s.sock", user=user)[0] == 200, 30, "the socket is replaced")
    sluice.stop()
    assert not os.path.exists(f"{folder()}/s.sock")
    write_file("no.sock", "a file")
    log = start_error("--web.listen-address=unix:no.sock")
    assert "cannot listen on unix:no.sock: Address already in use" in log, log
    assert os.path.exists(f"{folder()}/no.sock")
    log = start_error("--web.listen-address=unix:" + "x" * 108)
    assert "a path of at most 107 bytes" in log, log


def test_socket_activation():
    """Connections that arrive before the program are served; without sockets the start fails."""
    ports = [free_port() for _ in range(2)]
    sluice = Sluice("", "--web.systemd-socket", ready=False, start=False)
    sluice.command = ["python3", "-c", ACTIVATE, ",".join(map(str, ports))] + sluice.command
    sluice.start()
    wait_until(lambda: request(f"http://127.0.0.1:{ports[0]}/-/ready").status == 200, 30, "ready")
    assert request(f"http://127.0.0.1:{ports[1]}/-/ready").status == 200
    assert over_unix("passed.sock")[0] == 200
    assert refused(sluice, "/-/ready"), "the address of the flag is not used"
    sluice.stop()
    assert os.path.exists(f"{folder()}/passed.sock"), "systemd's socket is not the program's to remove"
    log = start_error("--web.systemd-socket")
    assert "--web.systemd-socket: systemd passed no sockets" in log, log


def test_messages_to_systemd():
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(f"{folder()}/notify")
    notify.settimeout(20)
    sluice = Sluice("", env={"NOTIFY_SOCKET": f"{folder()}/notify"})
    assert notify.recv(1000) == b"READY=1"
    os.kill(sluice.p.pid, signal.SIGHUP)
    assert notify.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    assert notify.recv(1000) == b"READY=1"
    assert sluice.reconfigure("surprise: 1\n").status >= 400
    assert notify.recv(1000).startswith(b"RELOADING=1\n")
    assert notify.recv(1000) == b"READY=1"
    sluice.stop()
    assert notify.recv(1000) == b"STOPPING=1"
