# SPDX-License-Identifier: Apache-2.0
"""sluice config-sync and config-check: the arguments of grafana-agentctl, and what they change in a real etcd."""
import os
import subprocess

from lib import *
from secure import *
from test_agent_service import FLUSH, MEMBER, instance, member, stored

import yaml


def run(command, *words, code=0, env=None):
    p = subprocess.run([f"{ROOT}/{OUT}/sluice", command, *words], capture_output=True, text=True, timeout=60,
                       env={**os.environ, **(env or {})})
    assert p.returncode == code, f"{words}: {p.returncode}\n{p.stdout}{p.stderr}"
    return p.stdout + p.stderr


def directory(name, **files):
    path = f"{folder()}/{name}"
    os.makedirs(path, exist_ok=True)
    for file, text in files.items():
        with open(f"{path}/{file.replace('__', '.')}", "w", encoding="utf-8") as f:
            f.write(text)
    return path


def test_sync():
    etcd = Etcd()
    a = member(etcd, "a")
    one, two = instance("one", ["t:1"]), instance("two", ["t:2"]) + f"remote_write: [{{url: 'http://u:pw@h/w', {FLUSH}}}]\n"
    path = directory("instances", one__yaml=one, two__yml=two, readme__txt="no: [instance", **{"with space__yaml": "{}"})
    os.makedirs(f"{path}/sub.yaml")
    to = ["--addr", a.url]

    # nothing changes in a dry run
    text = run("config-sync", path, *to, "--dry-run")
    assert text == "create one\ncreate two\ncreate with space\n" and stored(etcd) == {}, text
    text = run("config-sync", path, "-a", a.url)
    assert text == "created one\ncreated two\ncreated with space\n", text
    assert {k: yaml.safe_load(v) for k, v in stored(etcd).items()} == {
        "one": {"name": "one", **yaml.safe_load(one)}, "two": {"name": "two", **yaml.safe_load(two)},
        "with space": {"name": "with space"}}

    # what differs, without secrets
    text = run("config-sync", f"-a={a.url}", "-d", path)
    assert text == "".join(f"keep {name} (secrets are not compared)\n" for name in ("one", "two", "with space")), text
    changed = directory("changed", one__yaml=one.replace("t:1", "t:9") + "min_wal_time: 6m\n", two__yaml=two)
    text = run("config-sync", changed, *to, "-d")
    lines = text.splitlines()
    assert lines[0] == "replace one" and any(l.startswith("  - ") and "t:1" in l for l in lines), text
    assert any(l.startswith("  + ") and "t:9" in l for l in lines) and "keep two" in text and "pw" not in text, text
    assert "with space is not in the directory; --prune deletes it" in text, text
    assert "delete with space" in run("config-sync", changed, *to, "-d", "--prune")
    assert "t:1" in stored(etcd)["one"]

    # others stay without --prune
    text = run("config-sync", changed, *to)
    assert text == "replaced one\nreplaced two\n1 instance is not in the directory; --prune deletes it\n", text
    assert set(stored(etcd)) == {"one", "two", "with space"} and "t:9" in stored(etcd)["one"]
    assert "deleted with space" in run("config-sync", changed, *to, "--prune")
    assert set(stored(etcd)) == {"one", "two"}

    # an empty directory deletes nothing by accident
    empty = directory("empty")
    assert "--allow-empty" in run("config-sync", empty, *to, "--prune", code=1)
    assert set(stored(etcd)) == {"one", "two"}
    assert "2 instances are not in the directory" in run("config-sync", empty, *to)
    run("config-sync", empty, *to, "--prune", "--allow-empty")
    assert stored(etcd) == {}


def test_errors():
    etcd = Etcd()
    a = member(etcd, "a", flags=())
    # a file that cannot be read: nothing is stored
    bad = directory("bad", a__yaml=instance("a", ["t"]), b__yaml="scrape_configs: [")
    assert "b.yaml:" in run("config-sync", bad, "-a", a.url, code=1) and stored(etcd) == {}
    unknown = directory("unknown", a__yaml=instance("a", ["t"]), b__yaml="unknown_key: 1")
    assert "unknown_key" in run("config-sync", unknown, "-a", a.url, code=1) and stored(etcd) == {}
    # one that the server refuses: the others are
    refused = directory("refused", a__yaml=instance("a", ["t"]), b__yaml="min_wal_time: 5h", c__yaml=instance("c", ["t"]))
    text = run("config-sync", refused, "-a", a.url, code=1)
    assert "b: " in text and "min_wal_time must be less than max_wal_time" in text, text
    assert set(stored(etcd)) == {"a", "c"}
    # a server that shows no instances
    assert "cannot be compared" in run("config-sync", refused, "-a", a.url, "-d")
    twice = directory("twice", a__yaml="{}", a__yml="{}")
    assert 'two files make an instance "a"' in run("config-sync", twice, "-a", a.url, code=1)
    plain = Sluice("recent: {}", name="plain")
    assert "no config store running" in run("config-sync", refused, "-a", plain.url, code=1)
    assert "refused" in run("config-sync", refused, "-a", f"http://127.0.0.1:{free_port()}", code=1).lower()
    for words in ((), ("--what", "x", refused), (refused, "more"), ("--addr",), (f"{folder()}/none",)):
        run("config-sync", *words, code=1)
    assert "--prune" in run("config-sync", "--help")


def test_auth_key():
    etcd, key = Etcd(), write_file("key", "k&y\n")
    a = member(etcd, "a", flags=("--config.enable-read-api", "--reloadAuthKey=k&y", "--configAuthKey=k&y"))
    path = directory("instances", one__yaml=instance("one", ["t"]))
    assert "401" in run("config-sync", path, "-a", a.url, code=1) and stored(etcd) == {}
    assert "created one" in run("config-sync", path, "-a", a.url, f"--auth-key-file={key}")
    assert "keep one" in run("config-sync", path, "-a", a.url, "--auth-key-file", key, "-d")
    assert "k&y" not in a.log()


def test_tls_and_passwords():
    etcd, ca = Etcd(), Authority()
    ca.issue("server")
    ca.issue("client", usage="clientAuth")
    right, wrong = write_file("password", "secret\n"), write_file("wrong", "x\n")
    port = free_port()
    web = "tls_server_config: {cert_file: server.pem, key_file: server.key, client_ca_file: ca.pem, " \
          "client_auth_type: RequireAndVerifyClientCert}\n"
    secured(web + f"basic_auth_users: {{sync: '{SECRET}'}}\n",
            MEMBER.format(etcd=etcd.port, id="a", port=port, remote_write="", more=""), context=ca.context("client"),
            user=("sync", "secret"), port=port)
    path = directory("instances", one__yaml=instance("one", ["t"]))
    tls = ["--ca-file", ca.pem, f"--cert-file={folder()}/client.pem", f"--key-file={folder()}/client.key"]
    url = ["-a", f"https://127.0.0.1:{port}"]
    run("config-sync", path, *url, *tls[:1], tls[1], "--username", "sync", "--password-file", right, code=1)
    assert "401" in run("config-sync", path, *url, *tls, "--username=sync", "--password-file", wrong, code=1)
    assert "401" in run("config-sync", path, *url, *tls, "--bearer-token-file", wrong, code=1)
    run("config-sync", path, *url, *tls, "--server-name=other", "--username=sync", f"--password-file={right}", code=1)
    assert stored(etcd) == {}
    assert "created one" in run("config-sync", path, *url, *tls, "--username", "sync", "--password-file", right)
    assert "replaced one" in run("config-sync", path, *url, *tls[2:], "--insecure-skip-verify", "--username", "sync",
                                 "--password-file", right)


def test_check():
    good = write_file("agent.yaml", "metrics: {configs: [{name: ${NAME}, scrape_configs: [{job_name: j}]}]}")
    assert run("config-check", "-e", good, env={"NAME": "x"}) == "config valid\n"
    assert run("config-check", good, "--expand-env", env={"NAME": "x"}) == "config valid\n"
    bad = write_file("bad.yaml", "metrics: {configs: [{name: a}, {name: a}]}")
    assert run("config-check", bad, code=1).startswith("failed to load config: ")
    assert "No such file" in run("config-check", f"{folder()}/none.yaml", code=1)
    for words in ((), (good, bad), ("--what", good)):
        run("config-check", *words, code=1)
