# SPDX-License-Identifier: Apache-2.0
"""Makes a persistent queue: make_queue.py PATH/TO/vmagent DIRECTORY (README.md)."""
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request

program, folder = sys.argv[1:]
SERIES, PUSHES, FIRST_MS = 30, 22, 1700000000000
accept = 0


class Sink(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        global accept
        self.rfile.read(int(self.headers["Content-Length"]))
        ok = accept > 0
        accept -= ok
        self.send_response(204 if ok else 503)
        self.end_headers()
    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
threading.Thread(target=server.serve_forever, daemon=True).start()


def ask(path, data=None):
    return urllib.request.urlopen(f"http://127.0.0.1:18429{path}", data).read()


def run():
    # the URL's host does not exist: requests go through the proxy, which is the sink
    agent = subprocess.Popen([
        program, "-remoteWrite.url=http://storage.example:8428/api/v1/write?token=x", f"-remoteWrite.proxyURL=http://127.0.0.1:{server.server_port}",
        f"-remoteWrite.tmpDataPath={folder}", "-httpListenAddr=127.0.0.1:18429", "-remoteWrite.queues=1",
        "-remoteWrite.flushInterval=100ms"], stderr=subprocess.DEVNULL)
    while True:
        try:
            ask("/health")
            return agent
        except OSError:
            time.sleep(0.1)


def stop(agent):
    agent.terminate()
    agent.wait()
    queues = f"{folder}/persistent-queue"
    with open(f"{queues}/{os.listdir(queues)[0]}/metainfo.json", encoding="utf-8") as f:
        print(json.load(f))


shutil.rmtree(folder, ignore_errors=True)
agent = run()
for k in range(PUSHES):
    ask("/api/v1/import/prometheus",
        "".join(f'old_total{{series="{s}"}} {k} {FIRST_MS + k * 1000}\n' for s in range(SERIES)).encode())
    time.sleep(0.5)
stop(agent)
accept = 4
agent = run()
while accept > 0:
    time.sleep(0.1)
time.sleep(1)
stop(agent)
