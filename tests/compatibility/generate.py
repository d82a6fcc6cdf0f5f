#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints docs/compatibility.md: every flag and endpoint of vmagent, Prometheus and promxy, and what sluice does with it.

The names are data: NAME.flags from `--help` of the real programs (a test compares them with the installed ones),
NAME.endpoints from their routes. What sluice does is read from its own tables, by `--print-docs` and `--print-routes`; the
tests are found by looking for the flag or path in them.
"""
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PEERS = (("vmagent", "vmagent 1.145", "from-vmagent.md"), ("prometheus", "Prometheus 3.5, also in agent mode",
         "from-prometheus-agent.md"), ("promxy", "promxy 0.0.95", "from-promxy.md"))
CLASSES = {"error": "planned; an error unless `--accept-inert={}`: {}", "warning": "ignored, a warning: {1}",
           "accepted": "ignored: {1}", "later": "planned; ignored: {1}"}
# Tests that read all names from the programs, so that each would be found there.
GENERAL = {"test_no_flag_of_a_peer_is_unknown", "test_every_field_and_flag_of_promxy_has_a_row", "test_documents"}


mistakes = []


def expect(condition, text):
    if not condition and text not in mistakes:
        mistakes.append(text)


def lines(name):
    with open(f"{HERE}/{name}", encoding="utf-8") as f:
        return [line.rstrip("\n") for line in f if line.strip() and not line.startswith("#")]


def run(program, *args):
    return subprocess.run([program, *args], capture_output=True, text=True, check=True).stdout


def cells(text):
    for line in text.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("| ").split(" | ")]


class Tables:
    """The flags and routes of sluice."""

    def __init__(self, program):
        flags = run(program, "--print-docs").split("### top level")[0]
        acting, ignored = flags.split("| ignored flag |")
        self.rows, self.ignored = {}, {}
        for row in re.findall(r"^\| `([^`]+)` \| ([^|]*) \|", acting, re.M):
            names = [row[0]] + re.findall(r"`([^`]+)`", row[1])
            self.rows.update({name: names for name in names})
        for name, kind, why in re.findall(r"^\| `([^`]+)` \| (\w+) \| (.*?) ?\|$", ignored, re.M):
            self.ignored[name] = (kind, why)
        self.routes = {}
        for line in run(program, "--print-routes").splitlines():
            methods, path = line.rsplit(" ", 1)
            self.routes.setdefault(path, set()).update(methods.replace(",", " ").split())


def functions(path, text):
    """(name, body) of the tests of a file; what is outside of them belongs to the first one."""
    pattern = r"^def (test_\w+)" if path.endswith(".py") else r"^static void (test_\w+)\("
    found = list(re.finditer(pattern, text, re.M))
    for n, at in enumerate(found):
        begin = at.start() if n else 0
        yield at.group(1), text[begin:found[n + 1].start() if n + 1 < len(found) else len(text)]


def all_tests():
    """[(name as it is run, body)], those of the running program first."""
    found = []
    for folder in ("tests/system", "tests/torture", "tests/unit"):
        for where, folders, files in os.walk(f"{ROOT}/{folder}"):
            folders.sort()
            for file in sorted(files):
                if not re.fullmatch(r"test_\w+\.py|\w+_test\.c", file):
                    continue
                with open(f"{where}/{file}", encoding="utf-8") as f:
                    text = f.read()
                unit = os.path.relpath(where, f"{ROOT}/tests") + "/" if file.endswith(".c") else ""
                module = unit + file.rsplit(".", 1)[0]
                found += [(f"{module}.{name}", body) for name, body in functions(file, text) if name not in GENERAL]
    return found


def tests_named():
    """{first cell of a row: test} of the page as it is: a test stays there as long as it is one."""
    try:
        with open(f"{ROOT}/docs/compatibility.md", encoding="utf-8") as f:
            return {row[0]: row[-1].strip("` ") for row in map(lambda line: [cell.strip() for cell in line.strip("| \n").split(" | ")],
                                                              f) if len(row) == 3}
    except OSError:
        return {}


def nearest(found, name, before):
    """That of the page, or else the one whose name has most of the words of the flag or path, and of these the shortest."""
    if before in (test for test, _ in found):
        return before
    words = set(re.findall(r"[a-z]{3,}", re.sub(r"([A-Z])", r" \1", name).lower()))
    rank = lambda test: (-len(words & set(re.findall(r"[a-z]{3,}", test[0]))), test[0].startswith("unit"), len(test[1]))
    return min(found, key=rank)[0] if found else ""


def tests_by_flag(tests):
    """{flag: the tests that have it on a command line}"""
    found = {}
    for test in tests:
        for name in set(re.findall(r"(?<![\w-])--?(?:no-)?([\w.-]+)", test[1])):
            found.setdefault(name, []).append(test)
    return found


def test_of_flag(by_flag, names, before):
    return nearest([test for name in names for test in by_flag.get(name, [])], names[0], before)


def test_of_path(tests, path, before):
    """With a quote, host or variable before it, and no further part."""
    pattern = re.compile(r"(?<=[\"'}\d])" + re.escape(path).replace(r"\*", r"[^/\s]+") + r"(?![\w/-])")
    begin = path.partition("*")[0]
    return nearest([test for test in tests if begin in test[1] and pattern.search(test[1])], path, before)


def flag_state(tables, name):
    if name in tables.rows:
        return "acts" if tables.rows[name][0] == name else f"acts, as `{tables.rows[name][0]}`"
    if name not in tables.ignored:
        return "unknown"
    kind, why = tables.ignored[name]
    expect(why, f"--{name} is ignored without a reason")
    return CLASSES["later" if kind == "accepted" and "not supported yet" in why else kind].format(name, why)


def flag_table(tables, by_flag, named, peer):
    print("| flag | here | a test that sets it |\n|---|---|---|")
    for name in lines(f"{peer}.flags"):
        if name in ("help-long",):
            continue
        state = flag_state(tables, name)
        test = test_of_flag(by_flag, tables.rows[name], named.get(f"`{name}`")) if state.startswith("acts") else ""
        expect(state != "unknown", f"--{name} of {peer} is unknown")
        expect(test or not state.startswith("acts"), f"--{name} acts, and no test sets it")
        print(f"| `{name}` | {state} | {f'`{test}`' if test else ''} |")


def endpoint_table(tables, tests, named, peer):
    print("| endpoint | here | a test that requests it |\n|---|---|---|")
    for line in lines(f"{peer}.endpoints"):
        methods, _, rest = line.partition(" ")
        path, _, why = (part.strip() for part in rest.partition("|"))
        served = tables.routes.get(path.removeprefix("/prometheus"), set())  # an alias of all paths
        missing = sorted(set(methods.split(",")) - served)
        state = "acts" if served and not missing else why or f"not by {' and '.join(missing)}" if served else why
        expect(state, f"{peer}.endpoints: {path} is not served, and there is no reason")
        expect(missing or not why, f"{peer}.endpoints: {path} is served: remove the reason")
        cell = f"{methods.replace(',', ', ')} `{path.replace('*', 'NAME')}`"
        test = test_of_path(tests, path, named.get(cell)) if state == "acts" else ""
        expect(test or state != "acts", f"{path} is served, and no test requests it")
        print(f"| {cell} | {state} | {f'`{test}`' if test else ''} |")


def main():
    tables, tests, named = Tables(sys.argv[1]), all_tests(), tests_named()
    by_flag = tests_by_flag(tests)
    print("# Compatibility\n")
    print("Every flag and endpoint of vmagent, Prometheus and promxy, and what sluice does with it. `make compatibility` "
          "generates this page from the tables of flags and routes that the program uses; a test checks that it is current. "
          "Keys of the files are in [configuration.md](configuration.md#keys-of-the-file).\n")
    print("* *acts*: as there; the page for each program has the differences.\n"
          "* *planned*: not supported yet; what is unsafe to ignore is an error at the start.\n"
          "* *ignored*: without effect, for the reason that follows.\n")
    for peer, title, page in PEERS:
        print(f"## {title}\n\nSee [{page}]({page}).\n\n### Flags of {peer}\n")
        flag_table(tables, by_flag, named, peer)
        print(f"\n### Endpoints of {peer}\n")
        endpoint_table(tables, tests, named, peer)
        print()
    sys.exit("\n".join(mistakes) if mistakes else 0)


if __name__ == "__main__":
    main()
