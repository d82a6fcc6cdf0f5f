# SPDX-License-Identifier: Apache-2.0
"""sluice config print, diff and convert."""
import os
import shlex
import subprocess

from lib import *

SLUICE = f"{ROOT}/{OUT}/sluice"


def command(*words, code=0):
    run = subprocess.run([SLUICE, "config", *words], capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode == code, f"{words}: {run.returncode}\n{run.stdout}\n{run.stderr}"
    return run.stdout if code != 1 or run.stdout else run.stderr


def printed(*flags):
    """The YAML of `print`, without the flags."""
    return "\n".join(line for line in command("print", *flags).splitlines() if not line.startswith("#"))


def converted(*flags):
    """What `convert` makes of the flags, as the flags that it says to start with."""
    text = command("convert", *flags)
    start = next(line for line in text.splitlines() if line.startswith("# sluice "))
    path = write_file("converted/sluice.yml" if os.path.isdir(f"{folder()}/converted") else "sluice.yml", text)
    return [word.replace("sluice.yml", path) for word in shlex.split(start[2:])[1:]], text


def check_same(*flags):
    os.makedirs(f"{folder()}/converted", exist_ok=True)
    again, text = converted(*flags)
    assert printed(*again) == printed(*flags)
    assert command("diff", *flags, "--", *again) == "no difference\n"
    return text


VMAGENT = """
global: {scrape_interval: 15s, external_labels: {cluster: home}}
scrape_configs:
- job_name: node
  basic_auth: {username: me, password_file: secrets/pw}
  static_configs: [{targets: ['localhost:9100'], labels: {__param_token: 'hunter1'}}]
  params: {token: [hunter2]}
  metric_relabel_configs: [{if: '{__name__=~"go_.*"}', action: drop}, {action: keep_metrics, regex: [a, b]}]
  http_headers: {X-A: {files: [header], secrets: [hunter3]}}
- {job_name: sd, file_sd_configs: [{files: ['targets/*.yml']}], tls_config: {ca_file: ca.pem}}
"""


def test_vmagent_flags_become_one_file():
    config = write_file("vm.yml", VMAGENT)
    rules = write_file("rules.yml", "- {source_labels: [a], target_label: b, regex: 'x(.*)', replacement: '${1}-{{c}}'}\n")
    flags = [f"-promscrape.config={config}", "-remoteWrite.url=http://me:hunter4@127.0.0.1:1/w?token=hunter5",
             "-remoteWrite.url=https://127.0.0.1:2/w", "-remoteWrite.basicAuth.username=,u", "-remoteWrite.basicAuth.password=,hunter6",
             "-remoteWrite.headers=X-A: hunter7^^X-B: c", f"-remoteWrite.urlRelabelConfig={rules}", "-remoteWrite.queues=3,4",
             "-remoteWrite.label=dc=eu", "-remoteWrite.disableOnDiskQueue=true,false", "-remoteWrite.forceVMProto=false,true",
             "-remoteWrite.maxDiskUsagePerURL=1GB", "-remoteWrite.proxyURL=http://p:hunter8@127.0.0.1:3", "-remoteWrite.maxRowsPerBlock=77",
             f"-remoteWrite.tlsCAFile={folder()}/ca.pem", "-remoteWrite.tlsInsecureSkipVerify=true", "-remoteWrite.sendTimeout=7s",
             "-httpListenAddr=127.0.0.1:9999", "-promscrape.maxScrapeSize=3MB", "-remoteWrite.flushInterval=3s", "-loggerTimezone=UTC"]
    text = check_same(*flags)
    assert f"password_file: {folder()}/secrets/pw" in text and f"- {folder()}/targets/*.yml" in text and "shards: 3" in text
    assert "# Without effect: --loggerTimezone" in text and "--web.listen-address=127.0.0.1:9999" in text
    for n in range(1, 9):
        assert f"hunter{n}" in text, n
    shown = command("print", *flags)
    assert "hunter" not in shown and "dialect vmagent" in shown and "scrape_timeout: 10s" in shown, shown
    assert "--httpListenAddr=" not in shown and "--web.listen-address=127.0.0.1:9999   (set)" in shown


def test_flags_of_destinations_and_discovery():
    """What each of them changes."""
    config = write_file("sd.yml", """
scrape_configs: [{job_name: a, http_sd_configs: [{url: 'http://127.0.0.1:1/'}], dns_sd_configs: [{names: [x]}], file_sd_configs: [{files: [y]}]}]
""")
    with_url = ("-remoteWrite.url=http://127.0.0.1:1/w",)
    without_disk = with_url + ("-remoteWrite.disableOnDiskQueue",)
    for flags, line in (
            (("-promscrape.dnsSDCheckInterval=7s",), "refresh_interval: 7s"),
            (("-promscrape.httpSDCheckInterval=8s",), "refresh_interval: 8s"),
            (("-promscrape.fileSDCheckInterval=9s",), "refresh_interval: 9s"),
            (with_url + ("-remoteWrite.basicAuth.usernameFile=/u", "-remoteWrite.basicAuth.passwordFile=/p"), "password_file: /p"),
            (with_url + ("-remoteWrite.basicAuth.usernameFile=/u", "-remoteWrite.basicAuth.passwordFile=/p"), "username_file: /u"),
            (with_url + ("-remoteWrite.bearerTokenFile=/t",), "bearer_token_file: /t"),
            (with_url + ("-remoteWrite.tlsServerName=name.example",), "server_name: name.example"),
            (with_url + ("-remoteWrite.retryMinInterval=40ms",), "min_backoff: 40ms"),
            (with_url + ("-remoteWrite.retryMaxInterval=77s",), "max_backoff: 1m17s"),
            (with_url + ("-remoteWrite.rateLimit=7KiB",), "rate_limit: 7KiB"),
            (with_url + ("-remoteWrite.disableMetadata",), "send_metadata: false"),
            (without_disk, "on_full: push_back"),
            (without_disk + ("-remoteWrite.dropSamplesOnOverload",), "on_full: drop_oldest"),
            (with_url + ("-remoteWrite.oauth2.clientID=a", "-remoteWrite.oauth2.clientSecretFile=/s",
                         "-remoteWrite.oauth2.tokenUrl=http://127.0.0.1:1/"), "client_secret_file: /s")):
        assert line in [text.strip(" -") for text in printed(config, *flags).splitlines()], f"{flags}: {line}"
        without = without_disk if len(flags) > 2 and flags[:2] == without_disk else with_url if flags[0] == with_url[0] else ()
        assert line not in printed(config, *without), line


def test_rules_of_all_and_of_one_destination():
    """Those of a flag follow those of the file; vmagent drops labels that begin with __ after each list."""
    config = write_file("c.yml", "pipeline: {relabel_configs: [{target_label: __first, replacement: x}]}\n")
    common = write_file("common.yml", "- {source_labels: [__first], target_label: common}\n")
    own = write_file("own.yml", "- {source_labels: [common], target_label: own}\n")
    flags = ("--dialect=vmagent", "-remoteWrite.url=http://127.0.0.1:1/w", f"-remoteWrite.relabelConfig={common}",
             f"-remoteWrite.urlRelabelConfig={own}")
    _, text = converted(*flags)
    assert "labeldrop" not in text and text.index("pipeline:") < text.index("target_label: common"), text
    assert text.index("remote_write:") < text.index("write_relabel_configs:") < text.index("target_label: own"), text
    _, text = converted(config, *flags)
    assert text.count("labeldrop") == 1 and text.index("target_label: __first") < text.index("labeldrop") < text.index("target_label: common"), text


def test_files_of_jobs_are_included():
    write_file("more.yml", "- {job_name: two, static_configs: [{targets: [a]}], bearer_token_file: token}\n")
    config = write_file("c.yml", "scrape_config_files: ['mor*.yml']\nscrape_configs: [{job_name: one}]\n")
    os.makedirs(f"{folder()}/converted")
    again, text = converted(config)
    assert "scrape_config_files" not in text and "job_name: two" in text and f"bearer_token_file: {folder()}/token" in text
    assert command("diff", config, "--", *again) == "no difference\n"


def test_variables_of_files_stay_variables():
    """%{NAME} in files of vmagent keeps secrets out of them, and out of the converted file; whatever the values need in YAML."""
    config = write_file("vm.yml", """
global: {scrape_interval: '%{SLUICE_TIME}', external_labels: {a: "%{SLUICE_A}-x"}}
scrape_configs:
- job_name: %{SLUICE_A}
  sample_limit: %{SLUICE_N}
  basic_auth: {username: '%{SLUICE_A}%{SLUICE_N}', password: "%{SLUICE_APOSTROPHE}"}
  tls_config: {ca_file: '%{SLUICE_A}/ca.pem', cert_file: c, key_file: '/%{SLUICE_A}'}
  params: {both: [%{SLUICE_BOTH}], quote: ['%{SLUICE_QUOTE}']}
  static_configs: %{SLUICE_LIST}
""")
    os.environ.update({"SLUICE_TIME": "7s", "SLUICE_A": "secret1", "SLUICE_N": "5", "SLUICE_APOSTROPHE": "secret2'", "SLUICE_QUOTE": 'secret3"\\',
                       "SLUICE_BOTH": '"in the clear: \'\\""', "SLUICE_LIST": "[{targets: ['a:1']}]"})
    text = check_same(f"-promscrape.config={config}", "-remoteWrite.url=http://127.0.0.1:1/")
    assert "secret" not in text, text
    for part in ("job_name: '%{SLUICE_A}'\n", "sample_limit: %{SLUICE_N}\n", "username: '%{SLUICE_A}%{SLUICE_N}'", 'password: "%{SLUICE_APOSTROPHE}"',
                 f"ca_file: '{folder()}/%{{SLUICE_A}}/ca.pem'", "key_file: '/%{SLUICE_A}'", "'%{SLUICE_QUOTE}'", "- a:1\n", "in the clear"):
        assert part in text, f"{part}\n{text}"
    assert "Secrets are in the clear, but for environment variables of files." in text
    assert "Secrets are in the clear. " in command("convert", write_file("plain.yml", "scrape_configs: []"), "--dialect=promxy")


def test_promxy_and_prometheus_files_become_one_file():
    promxy = write_file("promxy.yml", """
promxy:
  server_groups:
  - static_configs: [{targets: ['127.0.0.1:1', '127.0.0.1:2']}]
    labels: {dc: a}
    anti_affinity: 10s
    http_client: {basic_auth: {username: u, password: hunter1}, tls_config: {ca_file: ca.pem}}
""")
    text = check_same(f"--config={promxy}", "--bind-addr=127.0.0.1:8082", "--query.max-samples=123")
    assert "promxy:" not in text and "--dialect=promxy" in text and f"ca_file: {folder()}/ca.pem" in text
    prometheus = write_file("prometheus.yml", """
global: {external_labels: {site: '${HOME}', at: $USER}, evaluation_interval: 30s}
rule_files: [rules.yml]
alerting: {alertmanagers: [{static_configs: [{targets: ['127.0.0.1:9093']}]}]}
scrape_configs:
- {job_name: a, scrape_interval: 5s, http_sd_configs: [{url: 'http://127.0.0.1:1/sd'}], relabel_configs: [{action: hashmod, modulus: 2, source_labels: [x], target_label: y}]}
remote_write:
- {name: one, url: 'http://127.0.0.1:2/w', queue_config: {max_shards: 7}, write_relabel_configs: [{regex: x, action: labeldrop}]}
recent: {like: one}
""")
    text = check_same(f"--config.file={prometheus}", "--dialect=prometheus", "--web.enable-lifecycle")
    assert "max_shards: 7" in text and "rule_files" in text and "${HOME}" in text
    expanded = write_file("expanded.yml", "scrape_configs: [{job_name: '$$HOME-${HOME}', metrics_path: '${HOME}'}]\n")
    text = check_same(expanded, "--config.expand-env", "--dialect=promxy")
    assert f"metrics_path: {os.environ['HOME']}" in text and f"$HOME-{os.environ['HOME']}" in text and "expand-env" not in text, text


def test_differences():
    first = write_file("a.yml", """
global: {scrape_interval: 15s}
scrape_configs:
- {job_name: same, basic_auth: {username: u, password: hunter1}}
- {job_name: gone}
remote_write: [{url: 'http://127.0.0.1:1/w?token=hunter1', name: x}]
""")
    second = write_file("b.yml", """
scrape_configs:
- {job_name: new}
- {job_name: same, basic_auth: {username: u, password: hunter2}, metrics_path: /m, scrape_interval: 15s}
global: {scrape_interval: 30s, scrape_timeout: 10s}
remote_write: [{url: 'http://127.0.0.1:1/w?token=hunter2', name: x}]
""")
    text = command("diff", first, second, code=1)
    for line in ("global.scrape_interval: 15s -> 30s", "scrape_configs[same].metrics_path: /metrics -> /m",
                 "scrape_configs[same].basic_auth.password: differs in a part that is not shown",
                 "scrape_configs[gone]: only in the first", "scrape_configs[new]: only in the second",
                 "remote_write[x].url: differs in a part that is not shown"):
        assert line in text.splitlines(), f"{line}\n{text}"
    assert "hunter" not in text and "scrape_timeout" not in text.split("only in")[0]
    assert "scrape_configs[same].scrape_interval" not in text
    text = command("diff", first, "--query.timeout=3m", "--", f"--config.file={first}", "--dialect=vmagent", code=1)
    assert "dialect: sluice -> vmagent" in text and "flag --query.timeout: 3m -> 2m" in text, text
    assert command("diff", first, first) == "no difference\n"


def test_mistakes():
    """All errors of a configuration, as at a start, and none of its secrets."""
    bad = write_file("bad.yml", "global: {scrape_interval: x}\nscrape_configs: [{job_nam: a, password: hunter1}]\nx: 1\n")
    for verb in ("print", "convert"):
        text = command(verb, bad, code=1)
        assert all(part in text for part in (":1: global.scrape_interval", ":2: ", ":3: ")) and "hunter" not in text, text
    assert "sluice config print FLAGS" in command("--help")
    command("nonsense", "x", code=2)
    command("diff", bad, code=2)
    assert "unknown flag --no-such-flag" in command("print", "--no-such-flag", code=1)
    assert "--config.file requires a value" in command("print", "--config.file", code=1)
    assert "/dev/zero: the file exceeds the limit of 32 MiB" in command("print", "/dev/zero", code=1)
    good = write_file("good.yml", "scrape_configs: [{job_name: a}]\n")
    assert "more than 1024 flags" in command("print", good, *["--log.level=info"] * 1023, "--log.level=x", code=1)


def test_grafana_agent():
    """Configs with the same destinations become one; the result loads, and says what is not in it."""
    agent = write_file("agent.yaml", """
server: {http_listen_port: 12345, http_listen_address: 127.0.0.1}
integrations: {node_exporter: {enabled: true}}
metrics:
  wal_directory: /tmp/wal
  global:
    scrape_interval: 20s
    external_labels: {site: lab}
    remote_write: [{url: 'http://127.0.0.1:1/w', basic_auth: {username: u, password_file: pw}}]
  configs:
  - {name: default, scrape_configs: [{job_name: a, static_configs: [{targets: [x]}]}, {job_name: b}]}
  - {name: other, scrape_configs: [{job_name: a}]}
  - {name: third, scrape_configs: [{job_name: c}], remote_write: [{url: 'http://127.0.0.1:2/w', name: own}]}
""")
    again, text = converted(agent)
    assert "--web.listen-address=127.0.0.1:12345" in again and "--storage.agent.path=/tmp/wal" in again, again
    assert "# Not converted: integrations" in text and "# The configs had different destinations" in text, text
    yaml = printed(*again)
    for part in ("job_name: a\n", "job_name: b\n", "job_name: other/a\n", "job_name: c\n", "name: default-1\n", "name: own\n",
                 "scrape_interval: 20s", "site: lab", f"password_file: {folder()}/pw"):
        assert part in yaml, f"{part}\n{yaml}"
    assert yaml.count("- url:") == 2


def test_lists_in_place_of_mappings_in_a_file_of_grafana_agent():
    """They stay as they are, and the result does not load."""
    for part in ("global: [1, 2]", "configs: [{scrape_configs: [[1], [2]]}]", "configs: [{remote_write: [[1], x]}]"):
        path = write_file("lists.yaml", command("convert", write_file("agent.yaml", f"metrics: {{{part}}}\n")))
        if "global" not in part:
            assert ":" in command("print", path, code=1)


def test_flags_with_a_choice_are_shown_as_they_are():
    """The value of the flag itself, also where a dialect has more names than the flag."""
    path = write_file("c.yml", "scrape_configs: []\n")
    for dialect in ("sluice", "vmagent", "prometheus", "promxy"):
        text = command("print", path, f"--dialect={dialect}", "--web.access-log-format=json")
        assert f"#   --dialect={dialect}   (set)\n" in text and "#   --web.access-log-format=json   (set)\n" in text, text
        assert "#   --web.access-log-format=combined\n" in command("print", path, f"--dialect={dialect}")


def test_output_that_cannot_be_written():
    """A full disk, and a reader that ends early: a message and a failure, for everything that prints."""
    full = f"{ROOT}/tests/configurations/shop.yml"
    for words in (["config", "print", full], ["config", "convert", full], ["config", "diff", full, full],
                  ["promql", "parse", "up"], ["promql", "--help"], ["queue", "--help"], ["config", "--help"], ["--help"],
                  ["--version"], ["--print-docs"], ["--print-routes"], ["--dryRun", f"--config.file={full}"]):
        for output in ("/dev/full", "a closed pipe"):
            if output == "/dev/full":
                out = os.open(output, os.O_WRONLY)
            else:
                reader, out = os.pipe()
                os.close(reader)
            run = subprocess.run([SLUICE, *words], stdout=out, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
            os.close(out)
            assert run.returncode == 1, (words, output, run)
            why = "No space left on device" if output == "/dev/full" else "Broken pipe"
            assert f"sluice: the output is incomplete: {why}\n" in run.stderr or \
                "sluice: the output is incomplete: a write to stdout failed\n" in run.stderr, (words, output, run.stderr)
