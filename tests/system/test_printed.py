# SPDX-License-Identifier: Apache-2.0
"""Every command and URL that the program, its documents and its example files print works when it is copied."""
import glob
import os
import pty
import re
import shlex
import subprocess

from lib import *

QUICKSTART = f"{ROOT}/deploy/quickstart.yml"
EXPORTER = "scrape_configs:\n- {{job_name: x, static_configs: [{{targets: ['{0}']}}]}}\n"
DESTINATION = "remote_write:\n- {url: 'http://127.0.0.1:9/write'}\n"
GROUP = "server_groups:\n- {{static_configs: [{{targets: ['{0}']}}]}}\n"


def on_terminal(sluice):
    """Starts it with a terminal as stdout; what it prints there until it has printed a whole greeting."""
    ours, theirs = pty.openpty()
    with open(sluice.log_path, "ab") as log:
        sluice.p = subprocess.Popen(sluice.command, stdout=theirs, stderr=log, stdin=subprocess.DEVNULL, cwd=folder())
    os.close(theirs)
    os.set_blocking(ours, False)
    sluice.wait_ready()
    wait_until(lambda: "msg=ready" in sluice.log() or '"msg":"ready"' in sluice.log(), 10, "the ready line")
    try:
        return os.read(ours, 65536).decode().replace("\r", "")
    except BlockingIOError:
        return ""
    finally:
        os.close(ours)


def copied(text, port="8429"):
    """(curl commands, URLs of sluice's pages) of a text. A command ends with its line or its backticks."""
    commands = [c.split("`")[0].strip() for c in re.findall(r"\bcurl -[^\n]*", text) if f":{port}" in c]
    commands = [re.sub(r"(?<=[\w/'])\. .*$", "", c) for c in commands]
    urls = [u for u in re.findall(rf"http://[\w.]+:{port}[^\s'\"`)|,;]*", re.sub(r"\bcurl -[^\n]*", "", text))]
    return commands, [u.rstrip(".") for u in urls]


PUSHES = re.compile("/api/v1/import|/influx(/|$)|/opentelemetry/")


def run_copied(text, port="8429", here=None):
    """Runs what copied() finds against port `here`. How many there were."""
    commands, urls = copied(text, port)
    for command in commands:
        p = subprocess.run(["sh", "-c", command.replace(f":{port}", f":{here or port}")], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=30, text=True)
        assert p.returncode == 0, f"{command}: {p.returncode} {p.stderr}"
        if PUSHES.search(command):  # 204
            assert not p.stdout, f"{command}: {p.stdout}"
            continue
        assert p.stdout or "-X POST" in command, f"{command}: prints nothing"
        assert "/api/v1/" not in command or '"status":"success"' in p.stdout, f"{command}: {p.stdout}"
    for url in urls:
        url = url.replace(f":{port}", f":{here or port}")
        if url.endswith("/api/v1/write"):
            answer = push(url, [({"__name__": "m"}, [(now_ms(), 1.0)])])
        elif PUSHES.search(url):  # clients of InfluxDB are given the beginning of the path
            answer = request(url + ("/write" if url.endswith("/influx") else ""), data=b"", method="POST")
        else:
            answer = request(url)
        assert answer.status // 100 == 2, f"{url}: {answer}"
    return len(commands) + len(urls)


def greeting(config, *flags):
    sluice = Sluice(config, *flags, name=f"sluice-{free_port()}", start=False)
    text = on_terminal(sluice)
    return sluice, text


def test_greeting_is_true_for_the_configuration():
    exporter = ScriptedExporter(series=1)
    job = EXPORTER.format(exporter.address)
    for config, queries, others in ((job, 1, "newest samples in memory"), (DESTINATION, 0, "add server_groups, or `rec"),
                                    (job + DESTINATION, 0, "Forwarding: 1 remote write destination\n"),
                                    (DESTINATION + "recent: {}\n", 1, "Scraping: no jobs; add scrape_configs"),
                                    (GROUP.format(exporter.address), 1, "Queries: 1 server group\n"), ("{}", 1, "no")):
        sluice, text = greeting(config)
        commands, urls = copied(text, sluice.port)
        assert len(commands) == queries and len(urls) == 3 and others in text, f"{config}: {text}"
        if config != GROUP.format(exporter.address): # the exporter is no Prometheus
            run_copied(text, sluice.port)
        answer = sluice.get("/api/v1/query?query=up")
        assert queries or "add server_groups or `recent: {}`" in answer.text, answer
        sluice.stop()


def test_greeting_with_a_route_prefix():
    sluice = Sluice("{}", "--web.route-prefix=/sluice", start=False)
    sluice.ready_path = "/sluice/-/ready"
    text = on_terminal(sluice)
    assert run_copied(text, sluice.port) == 4 and "/sluice/targets" in text, text


def test_greeting_is_for_people():
    """Nothing on stdout but on a terminal, and never beside JSON; the ready line has the same facts."""
    sluice = Sluice(DESTINATION, "--log.format=json", start=False)
    assert on_terminal(sluice) == ""
    ready = next(line for line in sluice.log().splitlines() if '"ready"' in line)
    assert '"destinations":1' in ready and '"server_groups":0' in ready and '"recent":false' in ready, ready
    plain = Sluice(DESTINATION, name="plain")
    lines = wait_until(lambda: "msg=ready" in plain.log() and plain.log(), 10, "the ready line").splitlines()
    assert all(line.startswith("time=") for line in lines), lines


def test_commands_of_documents():
    """Commands and URLs in sentences and comments; those in fenced sh blocks are run by the tests of each page below."""
    with open(QUICKSTART, encoding="utf-8") as f:
        quickstart = f.read()
    port = free_port()
    sluice = Sluice(quickstart.replace("8429", str(port)), port=port)
    found = 0
    for path in [*DOCUMENTS, *glob.glob(f"{ROOT}/deploy/*.yml"), f"{ROOT}/deploy/sluice.service"]:
        if path.endswith("compose.yml"):
            continue # test_compose runs those of docker-compose.yml against the stack
        with open(path, encoding="utf-8") as f:
            text = f.read()
        text = re.sub(r"^```(?:sh|yaml)\n.*?^```", "", text, flags=re.M | re.S)
        text = re.sub(r"http://sluice:8429", "http://localhost:8429", text)
        text = re.sub(r"^ *(?:- )?url: .*$", "", text, flags=re.M)
        found += run_copied(text, "8429", sluice.port)
    assert found >= 5, found


# Worked examples: the fenced blocks of a page, from the top to the bottom, in one directory.

DOCUMENTS = [f"{ROOT}/{name}" for name in ("README.md", "CONTRIBUTING.md", "tests/README.md")]
DOCUMENTS += sorted(glob.glob(f"{ROOT}/docs/*.md"))
ENDS = r"--?(?:check-config|dryRun|version|help)\b|^sluice promql "
PORTS = r"(?<=:)(8429|8082|8428|9090|9091|9100)\b"


class WorkedExample:
    """A yaml block that begins with `# NAME.yml` is written as that file. Of an sh block, `sluice ...` is checked or
    started (a second one replaces the first), `curl ...` must succeed within 20 s, and any other command is run, except
    those that concern the machine or take minutes: what they name must exist."""

    def __init__(self):
        self.ports = {"8429": free_port()}
        self.ports["8082"] = self.ports["8429"]
        self.sluice, self.storages, self.n = None, [], 0

    def with_ports(self, text):
        """The peer that usually listens on a port is started when a page names it."""
        def port(m):
            if m.group() not in self.ports:
                self.ports[m.group()] = self.start_peer(m.group()).port
            return str(self.ports[m.group()])
        text = re.sub(r"(?<=scrape_interval: )\d+m?s\b", "1s", text)
        return re.sub(PORTS, port, text)

    def start_peer(self, port):
        if port == "9100":
            return NodeExporter()
        if port == "8428":
            self.storages.append(VictoriaMetrics())
            return self.storages[0]
        return Prometheus(self.with_ports("global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: node\n"
                                          "  static_configs: [{targets: ['localhost:9100']}]\n"), name=f"prometheus-{port}")

    def run(self, text):
        for language, body in re.findall(r"^```(yaml|sh)\n(.*?)^```", text, re.M | re.S):
            if language == "yaml":
                name = re.match(r"# ([\w./-]+\.ya?ml)\n", body)
                if name:
                    write_file(name.group(1), self.with_ports(body))
                continue
            for line in body.replace("\\\n", " ").splitlines():
                line = re.sub(r"\s+#.*", "", line).strip()
                if line and not line.startswith("#"):
                    self.n += 1
                    self.command(line)
        if self.sluice:
            self.sluice.stop()

    def command(self, line):
        word = line.split()[0]
        if word == "make":
            with open(f"{ROOT}/Makefile", encoding="utf-8") as f:
                make = f.read()
            for target in re.findall(r"(?<= )[a-z][a-z-]*(?= |$)", line):
                assert re.search(rf"^{target}( [\w-]+)*:", make, re.M), f"{line}: no such target"
        elif word in ("sudo", "docker", "systemctl", "journalctl"):
            for path in re.findall(r"deploy/[\w./-]+", line):
                assert os.path.exists(f"{ROOT}/{path}"), f"{line}: no {path}"
        elif word == "sluice" and not re.search(ENDS, line):
            self.start(self.with_ports(line))
        elif word == "curl" or "| curl" in line:
            wait_until(lambda: self.shell(line), 20, line, every=0.3)
        else:
            self.shell(line)

    def shell(self, line):
        line = re.sub(r"^sluice\b", shlex.quote(f"{ROOT}/{OUT}/sluice"), self.with_ports(line))
        for storage in self.storages:
            storage.flush()
        p = subprocess.run(["sh", "-c", line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30, text=True,
                           cwd=folder())
        assert p.returncode == 0, f"{line}: {p.returncode} {p.stdout} {p.stderr}"
        if "curl" in line and "/api/v1/" in line:
            assert '"status":"success"' in p.stdout and '"result":[]' not in p.stdout, f"{line}: {p.stdout}"
        return True

    def start(self, line):
        if self.sluice:
            self.sluice.stop()
        port = self.ports["8429"]
        self.sluice = Sluice(None, port=port, name=f"sluice-{self.n}", start=False)
        flags = line.split()[1:]
        if not any("isten" in flag or "bind-addr" in flag for flag in flags):
            flags.append(f"--web.listen-address=127.0.0.1:{port}")
        self.sluice.command = [self.sluice.program] + flags
        self.sluice.start().wait_ready()


def page_test(path):
    def test():
        with open(path, encoding="utf-8") as f:
            text = f.read()
        example = WorkedExample()
        example.run(text)
        assert example.n == 0 or "```sh" in text
    return test


for document in DOCUMENTS:
    with open(document, encoding="utf-8") as document_file:
        if "```sh\n" in document_file.read():
            slug = os.path.relpath(document, ROOT)[:-len(".md")]
            globals()["test_page_" + re.sub(r"\W", "_", slug)] = page_test(document)


def test_links_of_pages():
    """What the index and the pages link to is there."""
    sluice = Sluice(EXPORTER.format(ScriptedExporter(series=1).address))
    html = {"Accept": "text/html"}
    seen, todo = set(), ["/", "/targets"]
    while todo:
        path = todo.pop()
        seen.add(path)
        answer = sluice.get(path, headers=html)
        assert answer.status == 200, f"{path}: {answer}"
        if "text/html" in answer.headers["Content-Type"]:
            links = [link.replace("&amp;", "&") for link in re.findall(r"href=[\"']([/?][^\"']*)", answer.text)]
            links = [path.split("?")[0] + link if link.startswith("?") else link for link in links]
            todo += [link for link in dict.fromkeys(links) if link not in seen and link not in todo]
    assert len(seen) >= 8, seen
    text = sluice.get("/").text
    for path in re.findall(r"^(/\S*)", text, re.M):
        answer = sluice.post(path) if path == "/-/reload" else sluice.get(path)
        assert answer.status == 200, f"{path}: {answer}"
