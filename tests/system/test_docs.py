# SPDX-License-Identifier: Apache-2.0
"""What the documents say, held to the sources and to the running program."""
import fnmatch
import glob
import json
import os
import re
import shutil
import subprocess

from lib import *
from secure import Authority

LAYERS = ("base", "model", "promql", "writer", "scraper", "gateway")


def read(path):
    with open(f"{ROOT}/{path}", encoding="utf-8") as f:
        return f.read()


def sources():
    """{path: text} of all layers."""
    paths = [os.path.relpath(path, ROOT) for layer in LAYERS
             for path in glob.glob(f"{ROOT}/{layer}/**/*.[ch]", recursive=True)]
    return {path: read(path) for path in paths}


def documents():
    return {path: text for path, text in pages().items() if path != "SECURITY.md"}


def metric_rows():
    """name, type, labels, meaning"""
    return [[cells[0].strip("`"), *cells[1:]] for cells in rows(read("docs/metrics.md")) if len(cells) == 4]


def rows(text):
    """The cells of every table row but the headings and the lines below them."""
    lines = text.splitlines()
    for i, line in enumerate(lines):
        heading = i + 1 < len(lines) and lines[i + 1].startswith("|---")
        if line.startswith("| ") and not heading:
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def run(*flags):
    """Exit code and output of a call of the program that ends by itself."""
    program = f"{ROOT}/{OUT}/sluice"
    if not os.path.exists(program):
        raise Skip(f"{OUT}/sluice (make)")
    p = subprocess.run([program, *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30, cwd=folder())
    return p.returncode, p.stdout.decode()


# Names.

def test_functions_named_in_documents_exist():
    code = "\n".join(sources().values())
    defined = set(re.findall(r"^[a-z][^\n;={}#]*?\b([a-z]\w*)\(", code, re.M)) | {"main"}
    for name, text in documents().items():
        named = re.findall(r"`([a-z]\w*)\(\)`", text)
        missing = sorted({f for f in named if f not in defined})
        assert not missing, f"{name} names functions that there are not: {missing}"
    assert len(re.findall(r"`[a-z]\w*\(\)`", read("docs/architecture.md"))) > 40, "it follows the code by name"


def test_files_named_in_documents_exist():
    for name, text in documents().items():
        named = re.findall(rf"`((?:{'|'.join(LAYERS)}|tests|deploy|docs)/[\w./-]*)`", text)
        missing = [path for path in named if not os.path.exists(f"{ROOT}/{path}")]
        assert not missing, f"{name} names files that there are not: {missing}"


def test_messages_named_in_operations_exist():
    """The symptoms of docs/operations.md in code spans, with `...` for what varies, are texts of the sources."""
    code = re.sub(r'"\s*\n\s*"', "", "\n".join(sources().values())).replace('\\"', '"')
    symptoms = [span for cells in rows(read("docs/operations.md")) for span in re.findall(r"`([^`]*)`", cells[0])
                if " " in span and not span.startswith("sluice")]
    for span in symptoms:
        text = re.sub(r'^msg="|"$', "", span)
        for part in filter(None, (part.strip(' ";?') for part in text.split("..."))):
            assert part in code, f"docs/operations.md: {span}: no source has {part!r}"
    assert len(symptoms) > 20, symptoms


def test_every_alert_is_in_operations():
    alerts = re.findall(r"- alert: (\w+)", read("deploy/alerts.yml"))
    told = re.findall(r"^\| `(Sluice\w+)` \|", read("docs/operations.md"), re.M)
    assert told == alerts and len(alerts) >= 8, f"alerts.yml {alerts}, operations.md {told}"


def anchors(text):
    """Those that GitHub gives to the headings of a page."""
    found = {}
    for heading in re.findall(r"^#+ +(.*?)\s*$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
    return {slug if n == 0 else f"{slug}-{n}" for slug, last in found.items() for n in range(last + 1)}


def pages():
    """{path: text} of every page, by its path in the repository."""
    paths = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "tests/README.md"]
    return {path: read(path) for path in paths + [os.path.relpath(p, ROOT) for p in glob.glob(f"{ROOT}/docs/*.md")]}


def broken_links(texts):
    """Relative links whose file or heading does not exist."""
    broken = []
    for path, text in texts.items():
        for link in re.findall(r"\]\(((?!\w+:)[^)\s]+)\)", text):
            file, _, anchor = link.partition("#")
            target = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
            if not os.path.exists(f"{ROOT}/{target}"):
                broken.append(f"{path}: {link}: no such file")
            elif anchor and anchor not in anchors(texts.get(target) or read(target)):
                broken.append(f"{path}: {link}: no such heading")
    return broken


def test_links_between_pages_resolve():
    texts = pages()
    assert not broken_links(texts), "\n".join(broken_links(texts))
    linked = {os.path.basename(link) for link in re.findall(r"\]\(([\w-]+\.md)", texts["docs/README.md"])}
    missing = {os.path.basename(path) for path in texts if path.startswith("docs/")} - linked - {"README.md"}
    assert not missing, f"docs/README.md has no link to {sorted(missing)}"
    assert len(broken_links({"docs/x.md": "[a](missing.md) [b](metrics.md#nowhere) [c](#here)\n"})) == 3


def test_every_lock_is_in_the_architecture():
    code = sources()
    have = {path for path, text in code.items() if path.endswith(".c") and path != "base/os/thread.c"
            and re.search(r"\bmutex_init\(|PTHREAD_MUTEX_INITIALIZER", text)}
    table = re.search(r"^\| lock in .*?\n\n", read("docs/architecture.md"), re.M | re.S).group()
    told = {path for cells in rows(table) for path in re.findall(r"`([\w/]+\.c)`", cells[0])}
    assert told == have, f"only in the sources {sorted(have - told)}, only in the page {sorted(told - have)}"


def test_every_directory_is_in_the_architecture():
    """The table of directories has a row for each that holds sources, and none for another."""
    table = re.search(r"^\| directory .*?\n\n", read("docs/architecture.md"), re.M | re.S).group()
    told = {cells[0].strip("`").rstrip("/") for cells in rows(table)}
    have = {os.path.dirname(path) for path in sources()}
    assert told == have, f"only in the tree {sorted(have - told)}, only in the page {sorted(told - have)}"
    for cells in rows(table):
        for file in re.findall(r"`(\w+\.[ch])`", cells[1]):
            assert os.path.exists(f"{ROOT}/{cells[0].strip('`')}/{file}"), f"{cells[0]} has no {file}"


def test_every_thread_is_in_the_architecture():
    """By the name that top -H shows; `N` stands for a number."""
    names = {"main"}
    for text in (text for path, text in sources().items() if path != "base/os/thread.c"):
        calls = re.findall(r"thread_start\((\w+|\"[^\"]+\"),", re.sub(r"/\*.*?\*/", "", text, flags=re.S))
        names |= {call.strip('"') for call in calls if call[0] == '"'}
        names |= set(re.findall(r'struct file_thread_conf\)?(?: \w+ =)? ?\{\.name = "([^"]+)"', text))
        if any(call == "name" for call in calls):
            formats = set(re.findall(r'snprintf\(name, sizeof name, "([^"]+)"', text))
            if "%s %u" in formats: # workers: a class's name and a number
                formats |= {f"{worker} %u" for worker in re.findall(r'\[WORKER_\w+\] = \{"(\w+)"', text)}
            names |= {name.replace("%u", "N") for name in formats - {"%s %u"}}
    table = re.search(r"^\| thread \|.*?\n\n", read("docs/architecture.md"), re.M | re.S).group()
    told = {re.sub(r"`| \(.*", "", cells[0]) for cells in rows(table)}
    assert told == names and len(names) > 6, f"only in the sources {names - told}, only in the page {told - names}"


def test_readme():
    text = read("README.md")
    make = read("Makefile")
    targets = set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.M))
    assert {"run", "test", "demo", "help"} <= targets, targets
    for target in targets:
        assert re.search(rf"^{target}:", make, re.M), f"README.md names make {target}"


def test_tests_named_in_documents_exist():
    """`make unit T=NAME` and its siblings select at least one test."""
    paths = {"unit": glob.glob(f"{ROOT}/tests/unit/*/*_test.c"), "fuzz": glob.glob(f"{ROOT}/tests/fuzz/*.c"),
             "system": glob.glob(f"{ROOT}/tests/system/test_*.py"), "torture": glob.glob(f"{ROOT}/tests/torture/*.py")}
    found = [(page, *named) for page, text in pages().items()
             for named in re.findall(r"make (?:\w+=\w+ )*(unit|system|fuzz|torture) T=([\w.]+)", text)]
    for page, kind, name in found:
        assert name == "NAME" or any(name.split(".")[0] in path.split("/tests/")[1] for path in paths[kind]), \
            f"{page}: make {kind} T={name} selects nothing"
    assert len(found) > 20, found


# Words of everyday language that have a term in the documentation of Prometheus and VictoriaMetrics, and the term.
STRINGS_AND_PAGES = {
    r"folders?": "directory", r"(passed|stepped) over": "skipped", r"stands? twice": "duplicate",
    r"unless said": "default",
    r"(is|are) (told|said)": "set, reported", r"for good": "permanently", r"whoever": "name the subject",
    r"just now": "now", r"damaged": "corrupted", r"unpack(s|ed)?|packed": "decompressed, compressed",
    r"looks? at|looked at": "checks, reads"}
STRINGS_ONLY = {
    r"longest|smallest|most|least": "maximum, minimum", r"answer(s|ed|ing)?": "response, result",
    r"ask(s|ed|ing)?": "request, query", r"broken": "invalid", r"under way": "in flight", r"goes on": "continues",
    r"nobody|nowhere": "name the subject", r"room": "space", r"given": "set, specified", r"whole": "complete"}
# Of Prometheus, of peers, and terms: `at least 1`, `a whole number`.
ALLOWED = re.compile(r"at (least|most)|whole number|too big (un)?packed request")


def strange_words(text, words):
    return [f"{m.group()!r}: write {instead}" for word, instead in words.items()
            for m in re.finditer(rf"\b({word})\b", ALLOWED.sub("", text), re.I)]


def sentences():
    """(path, text) of every string literal of the program that has a blank and is no HTML or CSS."""
    for path, text in sources().items():
        code = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
        for literal in re.findall(r'"(?:[^"\\\n]|\\.)*"(?:\s*"(?:[^"\\\n]|\\.)*")*', code):
            literal = re.sub(r'"\s*"', "", literal)
            if " " in literal and not re.search(r"<\w+|\{[\w-]+:", literal):
                yield path, re.sub(r'\\"[^"\\]*\\"', "", literal)  # without quoted names


def test_texts_use_the_terms_of_the_field():
    """Help, errors, log lines, metrics and pages: see "Text" in CONTRIBUTING.md."""
    found = [f"{path}: {text}: {word}" for path, text in sentences()
             for word in strange_words(text, {**STRINGS_AND_PAGES, **STRINGS_ONLY})]
    deployed = [os.path.relpath(path, ROOT) for pattern in ("*.yml", "*.service", "*/*/*.json")
                for path in glob.glob(f"{ROOT}/deploy/{pattern}")]
    files = {**pages(), **{path: read(path) for path in deployed}}
    found += [f"{path}: {word}" for path, text in files.items() for word in strange_words(text, STRINGS_AND_PAGES)]
    assert not found, "\n".join(found)
    assert len(list(sentences())) > 1000
    assert len(strange_words("Longest delay; the folder is looked at", {**STRINGS_AND_PAGES, **STRINGS_ONLY})) == 3


# The file and the flags.

def test_every_meta_label_is_documented():
    page, found = read("docs/discovery.md"), set()
    for path in glob.glob(f"{ROOT}/model/discovery/**/*.c", recursive=True):
        text = read(os.path.relpath(path, ROOT))
        prefix = re.search(r'#define META "(\w+)"', text)
        text = re.sub(r'(?<!define )META "', f'"{prefix[1]}', text) if prefix else text
        found |= {label.rstrip("_") for label in re.findall(r'"(__meta_\w+)"', text)}
    assert len(found) > 60 and not [label for label in found if label not in page], found


def test_configuration_is_what_the_program_prints():
    """To mend it: put what `sluice --print-docs` prints in place of the tables."""
    code, printed = run("--print-docs")
    assert code == 0, printed
    flags, keys = printed.split("### top level", 1)
    flags, ignored = flags.split("| ignored flag |", 1)
    page = read("docs/configuration.md")
    for part in (flags.strip(), ("| ignored flag |" + ignored).strip(), ("### top level" + keys).strip()):
        if part not in page:
            stale = [line for line in part.splitlines() if line not in page.splitlines()]
            raise AssertionError("docs/configuration.md lacks:\n" + "\n".join(stale[:20] or ["(the order differs)"]))
    tables = page.split("\n## Flags\n", 1)[1]
    told = {line for line in tables.splitlines() if line.startswith("| `")} - set(printed.splitlines())
    assert not told, f"rows that the program does not print: {sorted(told)}"


# Compatibility.

COMPATIBILITY = f"{ROOT}/tests/compatibility"


def test_compatibility_is_current():
    """To mend it: make compatibility."""
    run = subprocess.run([f"{COMPATIBILITY}/generate.py", f"{ROOT}/{OUT}/sluice"], capture_output=True, text=True,
                         check=False)
    assert run.returncode == 0, run.stderr
    page = read("docs/compatibility.md")
    stale = [line for line in run.stdout.splitlines() if line not in page.splitlines()]
    assert run.stdout == page, "docs/compatibility.md is not current:\n" + "\n".join(stale[:20] or ["(lines too many)"])


def test_lists_of_flags_are_those_of_the_peers():
    """Of the releases that the tests run: each flag of vmagent and Prometheus is in the list."""
    for name, pattern in (("vmagent", r"^  -([\w.]+)"), ("prometheus", r"^ +(?:-\w, )?--(?:\[no-\])?([\w.-]*\w)")):
        run = subprocess.run([peer(name), "--help"], capture_output=True, text=True, check=False)
        with open(f"{COMPATIBILITY}/{name}.flags", encoding="utf-8") as f:
            listed = set(f.read().split())
        found = set(re.findall(pattern, run.stdout + run.stderr, re.M))
        assert len(found) > 50 and found <= listed, f"{name}: {sorted(found - listed)}"


def test_version():
    code, printed = run("--version")
    assert code == 0 and printed.startswith("sluice "), printed


# Flags that pages name though sluice has none of them: of other programs, and of `sluice promql`, `queue` and `audit`.
FOREIGN_FLAGS = {"no-x", "server.http.address", "help", "file", "time", "start", "end", "step", "print-docs",
                 "print-routes", "nBC", "all", "url", "entry", "group", "match", "since", "window", "delay", "limit",
                 *(f"cluster.{name}" for name in ("enabled", "name", "node-name", "advertise-address", "join-addresses",
                                                  "discover-peers", "wait-for-size", "wait-timeout", "rejoin-interval",
                                                  "max-join-peers"))}  # the last ones are Alloy's


def test_flags_named_in_documents_exist():
    """Of sluice or of a peer that is accepted; NAME* stands for all that begin so."""
    code, printed = run("--print-docs")
    assert code == 0, printed
    known = {name for cells in rows(printed.split("### top level")[0]) for cell in cells[:2]
             for name in re.findall(r"`([\w.-]+)`", cell)} | FOREIGN_FLAGS
    known |= set(re.findall(r"(?<= )--([\w-]+)", run("config-sync", "--help")[1]))
    for page, text in pages().items():
        if page == "CHANGELOG.md":
            continue
        for span in re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)):
            if span.startswith(("make", "curl", "docker", "sudo", "GET")):
                continue
            for flag in re.findall(r"(?:^|(?<= ))--?(?:no-)?([A-Za-z][\w.*-]+)", span):
                assert fnmatch.filter(known, flag), f"{page}: {span}: no flag {flag}"


def test_refused_in_migrations_is_refused():
    """Tables below `What is refused`: for each flag or key one that it stands for is an error, and none acts."""
    _, printed = run("--print-docs")
    flags, keys = printed.split("### top level", 1)
    ignored = {cells[0].strip("`"): cells[1] for cells in rows(flags.split("| ignored flag |")[1])}
    acting = {name for cells in rows(flags.split("| ignored flag |")[0]) for name in re.findall(r"`([\w.-]+)`",
                                                                                              cells[0] + cells[1])}
    refused = {cells[0].strip("`") for cells in rows(keys) if "an error without" in cells[-1]}
    n = 0
    for page in ("from-vmagent.md", "from-promxy.md"):
        section = read(f"docs/{page}").split("## What is refused")[1].split("\n## ")[0]
        for span in (span for cells in rows(section) for span in re.findall(r"`([^`]+)`", cells[0])):
            name, n = span.lstrip("-"), n + 1
            if span.startswith("-"):
                classes = {ignored[flag] for flag in fnmatch.filter(ignored, name)}
                assert "error" in classes and not fnmatch.filter(acting, name), f"{page}: {span}: {classes}"
            else:
                assert fnmatch.filter(refused, name), f"{page}: {span} is no error"
    assert n > 2, n


PROMXY_FIELDS = """static_configs name scheme path_prefix labels relabel_configs metrics_relabel_configs inject_matchers
label_filter relative_time_range absolute_time_range anti_affinity anti_affinity_dynamic prefer_max remote_read
remote_read_path query_params http_headers timeout max_idle_conns max_idle_conns_per_host idle_conn_timeout ignore_error
downgrade_error align_query_range_with_step native_histogram http_client.dial_timeout http_client.tls_config
http_client.proxy_url http_client.basic_auth http_client.authorization http_client.bearer_token
http_client.bearer_token_file http_client.oauth2 http_client.sigv4 http_client.follow_redirects http_client.enable_http2
http_client.http_headers""".split()
PROMXY_FLAGS = """config check-config version bind-addr log-level log-format log-max-form-prefix access-log-destination
metrics-path proxy-headers web.config.file web.cors.origin web.read-timeout web.external-url web.route-prefix
web.enable-lifecycle query.timeout query.max-samples query.lookback-delta query.max-concurrency storage.path
storage.tsdb.path remote-read.max-concurrency alertmanager.notification-queue-capacity rules.alert.for-outage-tolerance
rules.alert.for-grace-period rules.alert.resend-delay rules.alertbackfill http.shutdown-delay
http.shutdown-timeout""".split()


def test_every_field_and_flag_of_promxy_has_a_row():
    """It says of each whether it acts, is ignored or is an error, as the program does."""
    _, printed = run("--print-docs")
    flags, keys = printed.split("### top level", 1)
    sections = {name: {cells[0].strip("`"): cells[-1] for cells in rows(keys.split(f"### {name}\n")[1].split("\n### ")[0])}
                for name in ("server_group", "http_client")}
    inert = {cells[0].strip("`"): cells[1] for cells in rows(flags.split("| ignored flag |")[1])}
    page = read("docs/from-promxy.md")
    for title, names in (("Fields", PROMXY_FIELDS), ("Flags", ["--" + name for name in PROMXY_FLAGS])):
        told = {span: cells[1] for cells in rows(page.split(f"## {title}\n")[1].split("\n## ")[0])
                for span in re.findall(r"`([^`]+)`", cells[0])}
        assert set(names) <= set(told), f"{title}: no row for {sorted(set(names) - set(told))}"
        for name in names:
            section, key = ("http_client", name[12:]) if name.startswith("http_client.") else ("server_group", name)
            meaning = inert.get(name[2:], "") if title == "Flags" else sections[section][key]
            error = "an error" in meaning or meaning.startswith("error")
            ignored = "gnored" in meaning or "Accepted" in meaning or meaning.startswith(("accepted", "warning"))
            assert told[name].startswith("an error") == error, f"{name}: {told[name]}, but {meaning}"
            assert error or told[name].startswith("ignored") == ignored, f"{name}: {told[name]}, but {meaning}"


def test_metrics_named_in_documents_exist():
    """NAME* stands for all that begin so. Metrics of Prometheus' own remote write are named beside ours."""
    known = {name for name, *_ in metric_rows()}
    known |= {f"{name}_{part}" for name in known for part in ("bucket", "sum", "count")}
    for page, text in pages().items():
        if page == "CHANGELOG.md":
            continue
        text, lacking, rest = text.partition(" find nothing for\n")
        text += re.sub(r"^\* .*?: ", "", rest, flags=re.M) if lacking else ""
        for name in re.findall(r"\b((?:sluice|vm|vmagent|prometheus|process)_[a-z0-9]+_[a-z0-9_]*\*?)", text):
            assert fnmatch.filter(known, name) or name.startswith("prometheus_remote_storage_"), f"{page} names {name}"


def examples():
    """(where, text) of every fenced YAML that says which file it is."""
    for name, text in documents().items():
        for block in re.findall(r"^```yaml\n(.*?)^```", text, re.M | re.S):
            if re.match(r"# [\w.-]+\.ya?ml\n", block):
                yield name, block


def test_examples_of_documents_load():
    found = list(examples())
    assert len(found) >= 3, found
    for i, (name, text) in enumerate(found):
        if text.startswith("# web.yml\n"):
            ca = Authority()
            ca.issue("server")
            flags = [f"--web.config.file={write_file('web.yml', text)}", "--config.file=" + write_file("empty.yml", "{}")]
        else:
            flags = [f"--config.file={write_file(f'{i}.yml', text)}"]
        code, said = run(*flags, "--check-config")
        assert code == 0 and "is valid" in said, f"{name}: {said}\n{text}"


def test_deployed_configurations_load():
    for name in ("quickstart.yml", "sluice.yml", "example.yml", "compose.yml"):
        code, said = run(f"--config.file={ROOT}/deploy/{name}", "--check-config")
        assert code == 0 and "is valid" in said, f"deploy/{name}: {said}"
        warnings = [line for line in said.splitlines() if "warning" in line and "no file matches" not in line]
        assert not warnings, f"deploy/{name}: {warnings}"  # the files of targets are the user's


def test_commented_examples_load():
    """What example.yml and sluice.yml have in comments may be uncommented."""
    text = read("deploy/example.yml")
    for start in ("  # - job_name: shop", "  # - name: paris"):
        at = text.index(start)
        end = re.compile(r"\n(?!  #)").search(text, at).start()
        text = text[:at] + re.sub(r"^  # ?", "  ", text[at:end], flags=re.M) + text[end:]
    text = re.sub(r"^ +Added to every series.*\n", "", text, flags=re.M)
    code, said = run(f"--config.file={write_file('example.yml', text)}", "--check-config")
    assert code == 0 and "3 scrape jobs, 2 destinations, 2 server groups" in said, said
    text = read("deploy/sluice.yml")
    body = re.sub(r"^( *)# (?=[a-z_]+:|  |- )", r"\1", text[text.index("global:"):], flags=re.M)
    code, said = run(f"--config.file={write_file('sluice.yml', body)}", "--check-config")
    assert code == 0 and "2 scrape jobs, 2 destinations, 1 server group" in said, f"{said}\n{body}"


def test_unit_starts_the_program_as_it_wants_it():
    """The flags of the systemd unit and of the Dockerfile are the program's."""
    start = re.search(r"^ExecStart=/usr/local/bin/sluice (.*)$", read("deploy/sluice.service"), re.M).group(1).split()
    start = [word.replace("/etc/sluice", f"{ROOT}/deploy") for word in start]
    code, said = run(*start, "--check-config")
    assert code == 0, said
    image = re.search(r'^CMD \[(.*)\]', read("deploy/Dockerfile"), re.M).group(1)
    flags = [word.strip('" ').replace("/etc/sluice", f"{ROOT}/deploy") for word in image.split(",")]
    code, said = run(*flags, "--check-config")
    assert code == 0, said


def test_image_has_the_libraries_that_are_linked_or_loaded():
    """Those that the program names itself; what they need in turn comes with their packages."""
    for tool in ("readelf", "ldd", "dpkg", "/sbin/ldconfig"):
        if shutil.which(tool) is None:
            raise Skip(tool)
    program = f"{ROOT}/{OUT}/sluice"
    release_build()
    linked = subprocess.run(["readelf", "-d", program], stdout=subprocess.PIPE, check=True, text=True).stdout
    where = subprocess.run(["ldd", program], stdout=subprocess.PIPE, check=True, text=True).stdout
    where = dict(re.findall(r"(\S+) => (\S+)", where))
    loaded = re.search(r'#define LIBCURL_FILE "(.*)"', read("base/http/curl_library.c")).group(1)
    cache = subprocess.run(["/sbin/ldconfig", "-p"], stdout=subprocess.PIPE, check=True, text=True).stdout
    where[loaded] = re.search(rf"^\s*{re.escape(loaded)} .*=> (\S+)$", cache, re.M).group(1)
    image = set(re.findall(r"[\w.+-]+", read("deploy/Dockerfile").split("FROM")[-1]))
    image |= {"libc6", "libstdc++6", "libgcc-s1"}  # of every Debian, or with one of the others
    for library in [loaded] + re.findall(r"\(NEEDED\).*\[(.*)\]", linked):
        found = subprocess.run(["dpkg", "-S", f"*/{os.path.basename(os.path.realpath(where[library]))}"],
                               stdout=subprocess.PIPE, text=True).stdout
        packages = set(re.findall(r"^([\w.+-]+)(?::\w+)?: ", found, re.M))
        assert packages & image, f"deploy/Dockerfile installs no package that has {library}: {sorted(packages)}"


def test_dashboard_asks_for_what_there_is():
    sluice = Sluice(read("deploy/quickstart.yml"))
    documented = {name for name, *_ in metric_rows()}
    with open(f"{ROOT}/deploy/grafana/dashboards/sluice.json", encoding="utf-8") as f:
        dashboard = json.load(f)
    asked = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    assert len(asked) >= 10, asked
    for expr in asked:
        plain = expr.replace("$job", ".*").replace("$__rate_interval", "1m")
        answer = sluice.get("/api/v1/query", {"query": plain})
        assert answer.status == 200, f"{expr}: {answer}"
        names = re.findall(r"\w+(?=\{)", plain)
        names = {n if n in documented else re.sub(r"_(bucket|sum|count)$", "", n) for n in names}
        assert names and names <= documented, f"{expr}: no such metrics: {sorted(names - documented)}"


# What is served.

def routes():
    """{(methods, path)} of the program."""
    code, printed = run("--print-routes")
    assert code == 0, printed
    return {(frozenset(methods.split(", ")), path.replace("*", "NAME"))
            for methods, path in (line.rsplit(" ", 1) for line in printed.splitlines())}


def test_http_api_has_every_route():
    told = set()
    for cells in rows(read("docs/http-api.md")):
        if len(cells) == 4 and re.match(r"`/", cells[1]):
            told.add((frozenset(cells[0].split(", ")), cells[1].strip("`")))
    have = routes()
    assert len(have) > 30, have
    show = lambda some: sorted(f"{'/'.join(sorted(m))} {path}" for m, path in some)
    assert told == have, f"only in the program {show(have - told)}, only in the page {show(told - have)}"


def parameters():
    """{path: names} of docs/http-api.md; values of a parameter are in parentheses."""
    told = {}
    for cells in rows(read("docs/http-api.md")):
        if len(cells) == 4 and re.match(r"`/", cells[1]) and not cells[2].startswith("body"):
            names = set(re.findall(r"`([^`]+)`", re.sub(r"\([^)]*\)", "", cells[2])))
            told.setdefault(cells[1].strip("`"), set()).update(names)
    told["/api/v1/explain"] = told["/api/v1/query_range"]
    return told


# An invalid value of each parameter that has some, and parameters of any text.
INVALID = {"query": "sum(", "time": "x", "start": "x", "end": "x", "step": "x", "timeout": "x", "lookback_delta": "x", "limit": "x",
           "explain": "x", "match[]": "m{", "limit_per_metric": "x", "match_target": "m{", "type": "x", "exclude_alerts": "x",
           "group_limit": "x", "group_next_token": "x", "group": "none", "since": "x", "window": "x", "delay": "x", "labels": "[", "scope": "x"}
TEXTS = {"job", "relabel_configs", "extra_label", "timestamp", "format", "precision", "db", "stats", "metric", "state", "scrapePool", "rule_name[]", "rule_group[]", "file[]", "get_vm_proto_version", "id", "q", "page",
         "show_only_unhealthy", "endpoint_search", "label_search", "show_original_labels"}
VALID = {"query": "1", "start": 0, "end": 60, "step": 15, "match[]": "m", "scrapePool": "x", "labels": "{}"}


def test_http_api_has_every_parameter():
    """Names in the sources and in the page are the same, and each endpoint refuses an invalid value of each of its parameters."""
    told = parameters()
    gateway = "".join(text for path, text in sources().items() if path.startswith("gateway/") and path.endswith(".c"))
    found = set(re.findall(r'(?:form_get|form_count|form_nth|rules_listed|param_[a-z]+|has_param)\([^;"]*"([\w\[\]]+)"', gateway))
    everywhere = {"partial_response", "deny_partial_response", "authKey"}  # beside the table
    names = set().union(*told.values())
    assert found - everywhere <= names, f"only in the sources: {found - everywhere - names}"
    assert names <= INVALID.keys() | TEXTS, f"say what is invalid: {names - INVALID.keys() - TEXTS}"
    assert names - TEXTS <= found, f"only in the page: {names - TEXTS - found}"
    sluice = Sluice("recent: {retention: 0}\nscrape_configs: [{job_name: x}]\n")
    for path, own in told.items():
        if not path.startswith("/api/v1/"):
            continue
        valid = {k: v for k, v in VALID.items() if k in own}
        for name in own & INVALID.keys():
            answer = sluice.get(path.replace("NAME", "job"), {**valid, name: INVALID[name]})
            assert answer.status == 400, f"{path} {name}={INVALID[name]}: {answer}"
        # An audit needs a group, and owners a cluster: test_audit.py, test_cluster_targets.py
        if own and path not in ("/api/v1/write", "/api/v1/status/audit", "/api/v1/cluster/owners"):
            answer = sluice.get(path.replace("NAME", "job"), valid)
            assert answer.status in (200, 204, 405), f"{path} {valid}: {answer}"


def test_http_api_tells_every_error():
    table = re.findall(r'\[ERR_\w+\] = \{(\d+), "(\w+)"\}', read("base/err.c"))
    told = {(cells[0], cells[1].strip("`")) for cells in rows(read("docs/http-api.md")) if cells[0].isdigit()}
    missing = [pair for pair in table if pair not in told and pair != ("415", "bad_data")]  # that one pushes alone have
    assert len(table) > 10 and not missing, missing


METRICS_CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
- job_name: scripted
  static_configs: [{{targets: ['{exporter}']}}]
remote_write:
- {{name: sink, url: '{sink}'}}
recent: {{like: sink}}
pipeline: {{ha_dedup: {{}}, limits: {{max_hourly_series: -1, max_daily_series: -1}}}}
server_groups:
- {{name: storage, written_by: sink, static_configs: [{{targets: ['{exporter}']}}]}}
"""


def test_every_metric_is_documented():
    exporter, sink = ScriptedExporter(series=1), RecordingSink()
    sluice = Sluice(METRICS_CONFIG.format(exporter=exporter.address, sink=sink.url))
    wait_until(lambda: sluice.metric("vmagent_remotewrite_requests_total") > 0, 20, "a request to the destination")
    page = sluice.get("/metrics").text
    service = "metrics: {scraping_service: {enabled: true, kvstore: {store: etcd, etcd: {endpoints: ['127.0.0.1:9']}}}}"
    member = Sluice(service, name="member")
    page += "".join(line + "\n" for line in member.get("/metrics").text.splitlines()
                    if re.search("sluice_cluster_|sluice_agent_|agent_metrics_", line))
    have = dict(re.findall(r"^# TYPE (\S+) (\S+)$", page, re.M))
    told = {}
    labels = {}
    for name, kind, keys, _ in metric_rows():
        told[name] = kind
        labels[name] = set(filter(None, re.split(r",\s*", keys)))
    assert told == have, f"not in the page {sorted(have.items() - told.items())}, " \
                         f"not exported {sorted(told.items() - have.items())}"
    help_texts = dict(re.findall(r"^# HELP (\S+) (.*)$", page, re.M))
    for name, _, _, meaning in metric_rows():
        assert meaning.startswith(help_texts[name]), f"docs/metrics.md: {name}: begin with its HELP: {help_texts[name]}"
    assert len(told) == len(metric_rows()), "a metric has two rows"
    for name, inside in re.findall(r"^(\w+)\{(.*)\} ", page, re.M):
        family = re.sub(r"_(bucket|sum|count)$", "", name) if name not in have else name
        keys = set(re.findall(r'(\w+)="', inside)) - {"le"}
        assert keys == labels[family], f"{name} has the labels {sorted(keys)}"


def test_metrics_page_is_well_formed():
    """Each family once, its series together, as a strict reader wants it."""
    sluice = Sluice(METRICS_CONFIG.format(exporter="127.0.0.1:9", sink="http://127.0.0.1:9/"))
    seen, current = set(), None
    for line in sluice.get("/metrics").text.splitlines():
        kind = re.match(r"# (HELP|TYPE) (\S+)", line)
        name = kind.group(2) if kind else re.match(r"[^\s{]+", line).group()
        family = name if kind or name == current else re.sub(r"_(bucket|sum|count)$", "", name)
        if family != current:
            assert family not in seen, f"the family {family} stands in two places"
            seen.add(family)
            current = family


# What is on disk.

QUEUE_CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
- job_name: x
  static_configs: [{{targets: ['{exporter}']}}]
remote_write:
- {{name: gone, url: 'http://127.0.0.1:9/', protocol: snappy}}
"""


def test_queue_lies_as_the_write_path_tells():
    """Files of a destination that is down, read by the table of docs/write-path.md alone."""
    page = read("docs/write-path.md")
    table = [cells for cells in rows(page) if len(cells) == 3 and cells[0].isdigit()]
    offsets = [int(cells[0]) for cells in table]
    sizes = [int(cells[1]) for cells in table[:-1]]
    assert offsets == [sum(sizes[:i]) for i in range(len(table))] and offsets[-1] == 64, "the table has no gap"
    exporter = ScriptedExporter(series=5)
    sluice = Sluice(QUEUE_CONFIG.format(exporter=exporter.address))
    wait_until(lambda: len(exporter.served) >= 4, 20, "four scrapes")
    sluice.stop()
    segments = [path for path in glob.glob(f"{sluice.data_folder}/*/*/*/*.seg") if os.path.getsize(path)]
    assert 1 <= len(segments) <= 2, "joint blocks are in the lane's first shard, others in the target's"
    assert os.path.exists(f"{sluice.data_folder}/lock")
    samples, joint = [], 0
    for segment in segments:
        assert re.fullmatch(r"gone-[0-9a-f]{16}/g\d{4}-s\d+/\d\d/[0-9a-f]{16}\.seg",
                            os.path.relpath(segment, sluice.data_folder)), segment
        assert os.path.exists(f"{os.path.dirname(segment)}/position")
        with open(segment, "rb") as f:
            data = f.read()
        number = lambda i: int.from_bytes(data[at + offsets[i]:at + offsets[i] + sizes[i]], "little")
        at, before = 0, None
        while at < len(data) and data[at:at + 4] == b"SLQ2":
            length, seq, oldest, newest, count, raw, message, codec, lanes, zero = (number(i) for i in (1, *range(3, 12)))
            assert before is None or seq > before, f"sequence numbers {before} and {seq}"
            assert (message, codec, zero) == (1, 1, 0), "WriteRequest, snappy"
            joint += lanes > 0
            assert lanes <= 256, lanes
            body = wire.snappy_decompress(data[at + 64:at + 64 + length])
            assert raw == len(body), f"{len(body)} bytes, {raw} told"
            times = [t for _, series in wire.parse_write_request(body) for t, _ in series]
            assert (count, oldest, newest) == (len(times), min(times), max(times)) if times else count == 0
            samples += times
            before, at = seq, at + 64 + length
        assert at == len(data), f"{at} of {len(data)} bytes"
    assert joint > 0 and len(samples) >= 4 * 5, f"{joint} joint blocks, {len(samples)} samples"
