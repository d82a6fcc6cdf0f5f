# SPDX-License-Identifier: Apache-2.0
"""Samples never go round: a destination that leads back to the sluice that sent them is refused."""
import socket
import subprocess
import threading
import time

from lib import *


def remote_write(*destinations):
    """Of (name, port) or (name, port, job): only series of that job."""
    out = "remote_write:\n"
    for name, port, *job in destinations:
        rules = f", write_relabel_configs: [{{source_labels: [job], regex: {job[0]}, action: keep}}]" if job else ""
        out += f"- {{name: {name}, url: 'http://127.0.0.1:{port}/api/v1/write'{rules}, queue_config: {{max_backoff: 1s}}}}\n"
    return out


def write(sluice, name, job="a"):
    answer = push(f"{sluice.url}/api/v1/write", [({"__name__": name, "job": job}, [(int(time.time() * 1000), 1)])])
    assert answer.status == 204, answer


def arrivals(sink, name):
    return [samples for labels, samples in sink.samples().items() if ("__name__", name) in labels]


def test_own_address_is_an_error_of_the_configuration():
    port = free_port()
    for host in ("127.0.0.1", "localhost"):
        path = write_file("own.yml", f"remote_write: [{{name: ring, url: 'http://{host}:{port}/api/v1/write'}}]\n")
        for flags in (["--check-config"], []):
            p = subprocess.run([f"{ROOT}/{OUT}/sluice", f"--config.file={path}", f"--web.listen-address=127.0.0.1:{port}",
                                f"--storage.agent.path={folder()}/data", *flags], capture_output=True, text=True, timeout=20)
            assert p.returncode == 1 and 'remote_write "ring": url is the address of this program' in p.stderr, p


def relay(port):
    """A port that leads to another one: as a load balancer hides who is behind."""
    listener = socket.create_server(("127.0.0.1", 0))

    def copy(source, to):
        try:
            while data := source.recv(65536):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def serve():
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(("127.0.0.1", port))
            for pair in ((client, server), (server, client)):
                threading.Thread(target=copy, args=pair, daemon=True).start()
    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


def test_a_destination_that_is_sluice_itself():
    port, sink = free_port(), RecordingSink()
    sluice = Sluice(remote_write(("ring", relay(port)), ("sink", sink.port)), port=port)
    write(sluice, "m")
    wait_until(lambda: sluice.metric("sluice_write_loops_total") > 2, 20, "samples that come back")
    wait_until(lambda: arrivals(sink, "m"))
    assert sluice.metric("vmagent_remotewrite_requests_total", 'url="ring",status_code="508"') > 0
    assert sluice.metric("vmagent_remotewrite_packets_dropped_total", 'url="ring"') == 0
    assert "samples that this process sent have come back" in sluice.log()
    assert "sends the samples back: remove it" in sluice.log()
    assert [len(samples) for samples in arrivals(sink, "m")] == [1], sink.samples()


def test_a_circle_of_sluices():
    """The second one is refused by the first, which it would send its samples back to. Nobody loses any."""
    ports, sink = [free_port() for _ in range(3)], RecordingSink()
    first, second, third = [
        Sluice(remote_write(*to), port=port, name=f"sluice{port}")
        for port, to in zip(ports, ([("next", ports[1]), ("sink", sink.port)], [("next", ports[2])], [("next", ports[0])]))]
    write(first, "m")
    wait_until(lambda: first.metric("sluice_write_loops_total") > 0, 20, "samples that come back")
    wait_until(lambda: third.metric("vm_persistentqueue_bytes_pending", 'name="next"') > 0, 20, "the circle's end")
    assert "sends the samples back: remove it" in third.log()
    assert first.metric("vmagent_remotewrite_requests_total", 'url="next",status_code="2XX"') > 0
    assert [len(samples) for samples in arrivals(sink, "m")] == [1], sink.samples()
    assert third.metric("vmagent_remotewrite_packets_dropped_total") == 0


def test_sluices_that_send_each_other_their_own():
    """Relabel rules keep apart what goes where: no sample goes round."""
    ports, sinks = [free_port() for _ in range(2)], [RecordingSink(), RecordingSink()]
    first = Sluice(remote_write(("other", ports[1], "a"), ("sink", sinks[0].port)), port=ports[0], name="first")
    second = Sluice(remote_write(("other", ports[0], "b"), ("sink", sinks[1].port)), port=ports[1], name="second")
    for i in range(3):
        write(first, f"m{i}", "a")
        write(second, f"n{i}", "b")
        wait_until(lambda: all(arrivals(sink, name) for sink in sinks for name in (f"m{i}", f"n{i}")), 20, "samples in both")
    for sluice in (first, second):
        assert sluice.metric("sluice_write_loops_total") == 0
    assert all(len(s) == 1 for sink in sinks for name in ("m0", "n0") for s in arrivals(sink, name))
