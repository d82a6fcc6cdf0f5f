# SPDX-License-Identifier: Apache-2.0
"""What the tests of the running program are written with.

A test is a function test_*() in tests/system/test_*.py; `raise Skip("what is missing")` skips it, @seconds(300) gives
it more than two minutes, @waits runs it beside the others, two of these at a time until the others are done, and @alone
after all others on an idle machine. Whatever it starts is stopped when it ends, and sluice must then leave with code 0
(a sanitizer's report is a failure). Its files lie in folder(), which stays when it fails. run_checks() counts parts of a
test one by one.
"""
import base64
import contextlib
import gzip
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import wire
from fakes import Fake, RecordingSink, ScriptedExporter
from wire import STALE, is_stale

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OUT = os.environ.get("OUT", "build/release")
RELEASE = os.path.basename(OUT) == "release"  # no sanitizer
PEERS = f"{ROOT}/build/peers/bin"
__all__ = ["ROOT", "OUT", "RELEASE", "Skip", "seconds", "waits", "alone", "folder", "write_file", "put_file", "free_port",
           "run_checks", "wait_until",
           "request", "push", "same_answer", "now_ms", "FLUSH_MS", "SLACK_MS", "flushed_before", "scripted_config", "mount_disk",
           "Process", "HTTPProcess", "Etcd", "Sluice", "Prometheus", "VictoriaMetrics", "NodeExporter", "VMAgent",
           "Fake", "ScriptedExporter", "RecordingSink", "STALE", "is_stale", "wire", "release_build", "peer",
           "lane_turns", "Pauses"]


class Skip(Exception):
    """What the test needs and this machine lacks."""


def seconds(n):
    def mark(test):
        test.seconds = n
        return test
    return mark


def waits(test):
    test.waits = True
    return test


def alone(test):
    test.alone = True
    return test


# The running test.

_test = {"folder": None, "processes": [], "ports": set(), "mounts": []}


def begin(name, limit):
    """limit: seconds after which the test fails where it is."""
    def too_long(*_):
        raise AssertionError(f"still running after {limit} s")
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(limit)
    _test["folder"] = f"{ROOT}/build/tests/{name}"
    shutil.rmtree(_test["folder"], ignore_errors=True)
    os.makedirs(_test["folder"])


def end(keep):
    """Stops everything, sluice first. keep: the test failed; its files stay, and the ends of the logs of sluice and of
    what died are shown. False when a sluice did not leave as it should."""
    signal.alarm(0)
    clean = True
    for p in sorted(_test["processes"], key=lambda p: not isinstance(p, Sluice)):
        if keep and (isinstance(p, Sluice) or not p.alive()):
            print(f"{p.name}.log ends:\n{p.log()[-2000:]}")
        try:
            p.stop()
        except AssertionError as why:
            print(why)
            clean = False
    for p in _test["processes"]:
        if isinstance(p, Sluice):
            p.forget_positions()
    for path in _test["mounts"]:
        subprocess.run(["umount", "-l", path], check=False)
    if clean and not keep:
        shutil.rmtree(_test["folder"], ignore_errors=True)
    return clean


@contextlib.contextmanager
def script(name, limit):
    """For programs that tests/run does not run: what they start is stopped when the block ends. A Skip is printed and goes no
    further."""
    begin(name, limit)
    try:
        yield
    except Skip as why:
        print(f"skipped: needs {why}")
    finally:
        end(keep=False)


def folder():
    return _test["folder"]


def write_file(name, text):
    path = f"{folder()}/{name}"
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def put_file(path, text):
    """Replaces a file at once, as programs should that write target files."""
    with open(f"{path}.new", "w", encoding="utf-8") as f:
        f.write(text)
    os.rename(f"{path}.new", path)


class Pauses:
    """Measures how late a thread is that sleeps and then computes for a moment: on a busy machine, anything may take so
    much longer at each step. A bound of time that is to hold there, too, is `bound + pauses.slack()`. That does not hide
    a fault: what waits for one does not keep this thread from running."""
    STEPS = 3  # of most actions: two processes wake, and one of them twice
    SLEEP, COMPUTE = 0.04, 0.002  # seconds

    def __init__(self):
        self.late = [] # (monotonic seconds, seconds)
        threading.Thread(target=self.measure, daemon=True).start()

    def measure(self):
        while True:
            began = time.monotonic()
            time.sleep(self.SLEEP)
            spent = time.thread_time()
            while time.thread_time() - spent < self.COMPUTE:
                pass
            now = time.monotonic()
            self.late.append((now, now - began - self.SLEEP - self.COMPUTE))

    def slack(self, since=0):
        """Of pauses that ended after `since`."""
        return self.STEPS * max((late for at, late in self.late if at > since), default=0)


def release_build():
    """Figures of time and memory mean something only without a sanitizer."""
    if not RELEASE:
        raise Skip("a release build")


def free_port():
    """Free now, and not given to this test before. Below the range that the kernel gives to connections."""
    while True:
        port = 10000 + int.from_bytes(os.urandom(2), "little") % 22000
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _test["ports"]:
            _test["ports"].add(port)
            return port


def run_checks(checks):
    """Runs each of {name: function} and prints its result: the runner counts them as separate tests."""
    failed = 0
    for name, check in checks.items():
        try:
            check()
            print(f"ok {name}", flush=True)
        except Exception as e:  # pylint: disable=broad-exception-caught
            failed += 1
            print(f"not ok {name}: {type(e).__name__}: {str(e)[:600]}", flush=True)
    assert not failed, f"{failed} of {len(checks)} checks failed"


def wait_until(condition, timeout=20, what="", every=0.05):
    """The first true value of condition(); an exception counts as not yet. Fails with the last one seen."""
    deadline, last = time.monotonic() + timeout, None
    while True:
        try:
            last = condition()
            if last:
                return last
        except (AssertionError, OSError, KeyError, IndexError, ValueError) as e:
            last = e
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what or condition.__name__} (last: {last!r})")
        time.sleep(every)


# HTTP.

class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode(errors="replace")

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.text[:400]!r}"


def request(url, params=None, data=None, headers=None, method=None, timeout=30):
    """Any status is an answer. A dict as data is sent as a form, and lists in either give a name several times."""
    if params:
        url += ("&" if "?" in url else "?") + urllib.parse.urlencode(params, doseq=True)
    if isinstance(data, dict):
        data = urllib.parse.urlencode(data, doseq=True).encode()
    r = urllib.request.Request(url, data=data, headers=headers or {}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(r, timeout=timeout) as a:
            answer = Answer(a.status, a.headers, a.read())
    except urllib.error.HTTPError as a:
        answer = Answer(a.code, a.headers, a.read())
    if answer.headers.get("Content-Encoding") == "gzip":
        answer.body = gzip.decompress(answer.body)
    return answer


def push(url, series, headers=None, **more):
    """Sends [(labels, [(ms, value), ...])] by remote write 1.0."""
    return request(url, data=wire.snappy_compress(wire.write_request(series)), headers={
        "Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
        "X-Prometheus-Remote-Write-Version": "0.1.0", **(headers or {})}, **more)


def number(text):
    return float(text.replace("Inf", "inf"))


def close(a, b):
    x, y = number(a), number(b)
    return x == y or (x != x and y != y) or abs(x - y) <= 1e-9 * max(abs(x), abs(y))


def points(series):
    return [series["value"]] if "value" in series else series.get("values", [])


def same_answer(ours, theirs, what=""):
    """Two `data` of /query or /query_range: same type, same series in whatever order, same times, values to 1e-9."""
    assert ours["resultType"] == theirs["resultType"], f"{what}: {ours['resultType']} {theirs['resultType']}"
    if ours["resultType"] in ("scalar", "string"):
        assert ours["result"] == theirs["result"], f"{what}: {ours['result']} {theirs['result']}"
        return
    a = {json.dumps(s["metric"], sort_keys=True): points(s) for s in ours["result"]}
    b = {json.dumps(s["metric"], sort_keys=True): points(s) for s in theirs["result"]}
    assert len(a) == len(ours["result"]), f"{what}: a label set twice"
    assert a.keys() == b.keys(), f"{what}: series only here {sorted(a.keys() - b.keys())[:5]}, " \
                                 f"only there {sorted(b.keys() - a.keys())[:5]}"
    for labels, mine in a.items():
        wanted = b[labels]
        assert [t for t, _ in mine] == [t for t, _ in wanted], \
            f"{what}: {labels}: times only here {sorted({t for t, _ in mine} - {t for t, _ in wanted})[:9]}, " \
            f"only there {sorted({t for t, _ in wanted} - {t for t, _ in mine})[:9]}"
        for (t, x), (_, y) in zip(mine, wanted):
            assert close(x, y), f"{what}: {labels} at {t}: {x}, wanted {y}"


# Faults.

FLUSH_MS = 1000  # samples younger than the flush interval may be lost by kill -9
SLACK_MS = 500   # a scrape of 100 series on a busy machine, and the write of the sealed block


def now_ms():
    return int(time.time() * 1000)


def flushed_before(kills, ms):
    """Whether no kill (Unix ms) excuses the loss of a sample of this time."""
    return not any(-SLACK_MS <= kill - ms <= FLUSH_MS + SLACK_MS for kill in kills)


def scripted_config(exporter, sink, interval_ms=500, destination="", queue=""):
    """A configuration that scrapes the exporter into the sink; destination and queue: further keys, as `key: value`."""
    queue = ", ".join(filter(None, ["min_backoff: 100ms, max_backoff: 1s", queue]))
    keys = ", ".join(filter(None, [f"name: sink, url: '{sink.url}'", destination, f"queue_config: {{{queue}}}"]))
    return (f"global: {{scrape_interval: {interval_ms}ms}}\n"
            f"scrape_configs:\n- job_name: scripted\n  scrape_timeout: {interval_ms * 4 // 5}ms\n"
            f"  static_configs: [{{targets: ['{exporter.address}']}}]\nremote_write:\n- {{{keys}}}\n")


def mount_disk(path, size):
    """A tmpfs of this size; unmounted when the test ends."""
    os.makedirs(path, exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], capture_output=True).returncode:
        raise Skip("mounting a tmpfs (run as root)")
    _test["mounts"].append(path)


# Programs.

class Process:
    """A program with its log file folder()/NAME.log; start() after stop() or kill9() starts the same command."""

    def __init__(self, name, command, start=True, env=None):
        self.name, self.command, self.env, self.p = name, command, env, None
        self.log_path = f"{folder()}/{name}.log"
        _test["processes"].append(self)
        if start:
            self.start()

    def start(self):
        with open(self.log_path, "ab") as log:
            self.p = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder(),
                                      env={**os.environ, **self.env} if self.env else None)
        return self

    def alive(self):
        return self.p is not None and self.p.poll() is None

    def memory_kib(self):
        """{"VmRSS": n, "VmHWM": n, ...}"""
        with open(f"/proc/{self.p.pid}/status", encoding="utf-8") as f:
            return {name: int(kib) for name, kib in re.findall(r"^(\w+):\s+(\d+) kB", f.read(), re.M)}

    def cpu_seconds(self):
        """Of all threads since the start, by the kernel's clock of this process."""
        return time.clock_gettime(~self.p.pid << 3 | 2)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait_exit(self, timeout=10):
        return self.p.wait(timeout)

    def stop(self, timeout=20):
        """SIGTERM, and SIGKILL when that is not enough. Its exit code."""
        if not self.alive():
            return self.p and self.p.returncode
        self.p.send_signal(signal.SIGTERM)
        try:
            return self.p.wait(timeout)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()
            raise AssertionError(f"{self.name} did not stop within {timeout} s")

    def kill9(self):
        assert self.alive(), f"{self.name} is not running"
        self.p.kill()
        return self.p.wait()


class HTTPProcess(Process):
    """One that serves HTTP on 127.0.0.1:port."""
    ready_path = "/-/ready"

    def __init__(self, name, command, port, start=True, env=None):
        self.port, self.address, self.url = port, f"127.0.0.1:{port}", f"http://127.0.0.1:{port}"
        super().__init__(name, command, start, env)

    def start(self):
        super().start()
        return self

    def wait_ready(self, timeout=30):
        def ready():
            if not self.alive():
                raise SystemExit(f"{self.name} ended with {self.p.returncode}")
            return self.get(self.ready_path).status == 200
        wait_until(ready, timeout, f"{self.name} ready")
        return self

    def get(self, path, params=None, **more):
        return request(self.url + path, params, **more)

    def post(self, path, data=b"", **more):
        return request(self.url + path, data=data, method="POST", **more)

    def data(self, path, params=None):
        """The `data` of a successful API answer."""
        answer = self.get(path, params)
        assert answer.status == 200, f"{self.name} {path} {params}: {answer}"
        return answer.json()["data"]

    def query(self, expr, time=None, **more):
        return self.data("/api/v1/query", {"query": expr, **({"time": time} if time is not None else {}), **more})

    def query_range(self, expr, start, end, step, **more):
        return self.data("/api/v1/query_range", {"query": expr, "start": start, "end": end, "step": step, **more})

    def raw(self, selector, window="1h", time=None):
        """{labels as sorted pairs: [(ms, value)]} of a range selector, newest sample of the window last."""
        result = self.query(f"{selector}[{window}]", time)["result"]
        return {tuple(sorted(s["metric"].items())): [(round(t * 1000), number(v)) for t, v in s["values"]]
                for s in result}

    def metrics(self):
        """{series text: value} of its own /metrics."""
        found = re.findall(r"^([^#\s][^{\s]*(?:\{.*\})?) (\S+)", self.get("/metrics").text, re.M)
        return {name: number(value) for name, value in found}

    def metric(self, name, *parts):
        """The sum over the series of this name whose text has all the parts."""
        return sum(v for text, v in self.metrics().items()
                   if text.split("{")[0] == name and all(part in text for part in parts))


class Sluice(HTTPProcess):
    """$OUT/sluice with this configuration (None: no file at all) and these further flags. Its queue lies in `data`."""

    def __init__(self, config="", *flags, name="sluice", port=None, config_flag="--config.file",
                 listen_flag="--web.listen-address", start=True, ready=True, env=None, data_folder=None):
        port = port or free_port()
        self.program = f"{ROOT}/{OUT}/sluice"
        if not os.path.exists(self.program):
            raise Skip(f"{OUT}/sluice (make)")
        self.data_folder = data_folder or f"{folder()}/{name}-{port}-data"
        command = [self.program, f"{listen_flag}=127.0.0.1:{port}"]
        if config is not None:
            self.config_path = write_file(f"{name}.yml", config)
            command.append(f"{config_flag}={self.config_path}")
            if config_flag == "--config.file":
                command.append("--web.enable-lifecycle")
        if not any("tmpDataPath" in flag for flag in flags):
            command.append(f"-remoteWrite.tmpDataPath={self.data_folder}")
        if os.environ.get("LANES"):
            command.append(f"--lanes={os.environ['LANES']}")
        super().__init__(name, command + list(flags), port, start, env)
        if start and ready:
            self.wait_ready()

    def stop(self, timeout=30):
        running = self.alive()
        code = super().stop(timeout)
        assert not running or code == 0, f"{self.name} left with {code}; its log ends:\n{self.log()[-6000:]}"
        return code

    def forget_positions(self):
        """Deletes the shared memory that one leaves which was killed and not started again."""
        with contextlib.suppress(OSError), open(f"{self.data_folder}/lock", encoding="utf-8") as f:
            for number in re.findall(r"^positions (\w+)$", f.read(), re.M):
                os.remove(f"/dev/shm/sluice-{number}")

    def reconfigure(self, config):
        """A new file, and the answer to a reload."""
        with open(self.config_path, "w", encoding="utf-8") as f:
            f.write(config)
        return self.post("/-/reload")


def peer(name):
    path = f"{PEERS}/{name}"
    if not os.access(path, os.X_OK):
        raise Skip(f"{name} (tests/peers.sh could not get it)")
    return path


class Prometheus(HTTPProcess):
    """Takes remote writes, in order only unless out_of_order says how late a sample may be; old=True is Debian 12's."""

    def __init__(self, config="", *flags, name="prometheus", old=False, out_of_order=None, start=True):
        port = free_port()
        if out_of_order:
            config += f"\nstorage: {{tsdb: {{out_of_order_time_window: {out_of_order}}}}}\n"
        path = write_file(f"{name}.yml", config)
        super().__init__(name, [peer("prometheus-old" if old else "prometheus"), f"--config.file={path}",
                                f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={folder()}/{name}-data",
                                "--web.enable-remote-write-receiver", "--web.enable-lifecycle", *flags], port, start)
        self.write_url = f"{self.url}/api/v1/write"
        if start:
            self.wait_ready(60)


class VictoriaMetrics(HTTPProcess):
    ready_path = "/health"

    def __init__(self, *flags, name="victoria-metrics", old=False):
        port = free_port()
        super().__init__(name, [peer("victoria-metrics-old" if old else "victoria-metrics"),
                                f"-httpListenAddr=127.0.0.1:{port}", f"-storageDataPath={folder()}/{name}-data",
                                "-retentionPeriod=100y", "-search.latencyOffset=0s", *flags], port)
        self.write_url = f"{self.url}/api/v1/write"
        self.wait_ready(60)

    def flush(self):
        """New series are found by queries at once, instead of after up to ten seconds."""
        self.get("/internal/force_flush")

    def data(self, path, params=None):
        self.flush()
        return super().data(path, params)

    def raw(self, selector, window="1h", time=None):
        """As for Prometheus, but by export: every stored sample, duplicates too."""
        self.flush()
        found = {}
        for line in self.get("/api/v1/export", {"match[]": selector}).text.splitlines():
            s = json.loads(line)
            values = [float("nan") if v is None else float(v) for v in s["values"]]
            found.setdefault(tuple(sorted(s["metric"].items())), []).extend(zip(s["timestamps"], values))
        return {labels: sorted(samples) for labels, samples in found.items()}


class Etcd(HTTPProcess):
    """One member, with an empty data folder unless it is started again."""

    def __init__(self, *flags, name="etcd"):
        port, peers = free_port(), free_port()
        self.data_folder = f"{folder()}/{name}-data"
        super().__init__(name, [peer("etcd"), "--name=test", f"--data-dir={self.data_folder}", f"--listen-client-urls=http://127.0.0.1:{port}",
                                f"--advertise-client-urls=http://127.0.0.1:{port}", f"--listen-peer-urls=http://127.0.0.1:{peers}",
                                f"--initial-advertise-peer-urls=http://127.0.0.1:{peers}", "--unsafe-no-fsync",
                                f"--initial-cluster=test=http://127.0.0.1:{peers}", "--log-level=warn", *flags], port)
        self.wait_ready()

    def wait_ready(self, timeout=30):
        wait_until(lambda: self.get("/health").status == 200, timeout, "etcd")

    def wipe(self):
        """Another etcd with the same name and nothing in it."""
        self.kill9()
        shutil.rmtree(self.data_folder)
        self.start()
        self.wait_ready()

    def call(self, path, body):
        answer = self.post(path, json.dumps(body).encode())
        assert answer.status == 200, answer
        return answer.json()

    def keys(self, prefix=""):
        """{key: value} of all keys that begin so."""
        code = lambda text: base64.b64encode(text.encode()).decode()
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else "\0"
        found = self.call("/v3/kv/range", {"key": code(prefix or "\0"), "range_end": code(end)}).get("kvs", [])
        return {base64.b64decode(kv["key"]).decode(): base64.b64decode(kv.get("value", "")).decode() for kv in found}

    def put(self, key, value):
        code = lambda text: base64.b64encode(text.encode()).decode()
        return self.call("/v3/kv/put", {"key": code(key), "value": code(value)})

    def delete(self, key):
        return self.call("/v3/kv/deleterange", {"key": base64.b64encode(key.encode()).decode()})


class NodeExporter(HTTPProcess):
    ready_path = "/"

    def __init__(self, *flags, name="node_exporter"):
        port = free_port()
        super().__init__(name, [peer("node_exporter"), f"--web.listen-address=127.0.0.1:{port}", *flags], port)
        self.wait_ready()


class VMAgent(HTTPProcess):
    ready_path = "/health"

    def __init__(self, config, *flags, name="vmagent", old=False):
        port = free_port()
        path = write_file(f"{name}.yml", config)
        super().__init__(name, [peer("vmagent-old" if old else "vmagent"), f"-promscrape.config={path}",
                                f"-httpListenAddr=127.0.0.1:{port}", f"-remoteWrite.tmpDataPath={folder()}/{name}-data",
                                *flags], port)
        self.wait_ready()


def lane_turns(sluice):
    """[(upper bound in seconds, turns)] of the histogram, not cumulated."""
    out, before = [], 0
    for bound, count in re.findall(r'^sluice_lane_turn_seconds_bucket\{le="([^"]+)"\} (\d+)', sluice.get("/metrics").text, re.M):
        out.append((float(bound), int(count) - before))
        before = int(count)
    return out
