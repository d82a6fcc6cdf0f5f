# SPDX-License-Identifier: Apache-2.0
"""Files on a mount that hangs, at the start and later: only the jobs and destinations that need them wait."""
import json
import time

from bad_disk import BadDisk
from lib import *

HANG = 5  # seconds after which sluice goes on without the files


def targets(path, *exporters):
    put_file(path, json.dumps([{"targets": [f"127.0.0.1:{e.port}" for e in exporters]}]))


def config(mount, *jobs, more=""):
    """Jobs whose target files are on the mount, or not, by name: {name: files}."""
    return ("global: {scrape_interval: 200ms, scrape_timeout: 200ms}\nscrape_configs:\n"
            + "".join(f"- {{job_name: {name}, file_sd_configs: [{{files: {files}, refresh_interval: 1s}}]}}\n"
                      for name, files in jobs) + more)


def hung(sluice, job):
    return sluice.metric("sluice_sd_hung_patterns", f'config="{job}"')


def quick(do, within, what):
    began = time.monotonic()
    result = do()
    assert time.monotonic() - began < within, f"{what}: {time.monotonic() - began:.1f} s"
    return result


def stop(sluice, within):
    sluice.p.terminate()
    code = quick(lambda: sluice.wait_exit(30), within, "a stop")
    assert code == 0, (code, sluice.log()[-2000:])


def scrapes(exporter, n=3):
    before = exporter.n
    wait_until(lambda: exporter.n >= before + n, 5, "scrapes")


@waits
@seconds(60)
def test_target_files_hang_at_the_start():
    disk = BadDisk()
    good, both, late = ScriptedExporter(), ScriptedExporter(), ScriptedExporter()
    targets(f"{folder()}/good.json", good)
    targets(f"{folder()}/both.json", both)
    targets(f"{disk.mount}/late.json", late)
    sluice = Sluice(config(disk.mount, ("good", f"['{folder()}/good.json']"),
                           ("both", f"['{disk.mount}/*.json', '{folder()}/both.json']")),
                    env=disk.env, start=False)
    disk.set("mount")
    sluice.start()
    quick(sluice.wait_ready, HANG + 4, "ready")
    scrapes(good)
    scrapes(both)
    assert late.n == 0 and hung(sluice, "both") == 1 and hung(sluice, "good") == 0
    line = [l for l in sluice.log().splitlines() if "target files do not respond" in l]
    assert len(line) == 1 and "job=both" in line[0] and f"{disk.mount}/" in line[0], line
    assert quick(lambda: sluice.post("/-/reload"), 2, "a reload").status == 200
    time.sleep(1.5)  # it would be read again
    assert sluice.log().count("target files do not respond") == 1, sluice.log()
    quick(lambda: sluice.get("/targets"), 1, "/targets")

    disk.set("")
    wait_until(lambda: hung(sluice, "both") == 0, 5, "the mount responds")
    scrapes(late)
    assert sluice.log().count("target files respond again") == 1
    disk.set("mount")
    stop(sluice, 4)
    disk.set("")


@waits
@seconds(60)
def test_target_files_begin_to_hang():
    disk = BadDisk()
    old, new, good = ScriptedExporter(), ScriptedExporter(), ScriptedExporter()
    targets(f"{disk.mount}/t.json", old)
    targets(f"{folder()}/good.json", good)
    text = config(disk.mount, ("remote", f"['{disk.mount}/t.json']"), ("good", f"['{folder()}/good.json']"))
    sluice = Sluice(text, env=disk.env)
    scrapes(old)
    disk.set("mount")
    targets(f"{disk.mount}/t.json", new)
    wait_until(lambda: hung(sluice, "remote") == 1, HANG + 5, "the hang is noticed")
    scrapes(old)  # targets stay
    targets(f"{folder()}/good.json", good, new)
    scrapes(new)  # those of another job change
    stop(sluice, 4)
    disk.set("")


@waits
@seconds(90)
def test_job_files_hang_at_the_start():
    disk = BadDisk()
    good, late = ScriptedExporter(), ScriptedExporter()
    put_file(f"{disk.mount}/job.yml", f"- {{job_name: late, static_configs: [{{targets: ['{late.address}']}}]}}\n")
    sluice = Sluice("global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
                    f"scrape_config_files: ['{disk.mount}/*.yml', '{disk.mount}/a.yml', '{folder()}/none*.yml']\n"
                    f"scrape_configs: [{{job_name: good, static_configs: [{{targets: ['{good.address}']}}]}}]\n",
                    env=disk.env, start=False)
    disk.set("mount")
    sluice.start()
    quick(sluice.wait_ready, HANG + 4, "ready")
    scrapes(good)
    assert late.n == 0
    assert f"scrape_config_files: {disk.mount}/*.yml does not respond" in sluice.log(), sluice.log()
    hangs = "cannot read the configuration: a file does not respond"
    wait_until(lambda: hangs in sluice.log(), 2 * HANG + 5, "the load hangs")
    for _ in range(3):
        answer = quick(lambda: sluice.post("/-/reload"), 1, "a reload")
        assert answer.status == 500 and f"{disk.mount}/*.yml does not respond" in answer.text, answer
    assert sluice.log().count(hangs) == 1, sluice.log()
    disk.set("")
    scrapes(late)
    assert sluice.metric("vm_promscrape_config_last_reload_successful") == 1
    disk.set("mount")
    stop(sluice, 4)
    disk.set("")


def pages(sink, relabeled):
    """Values of the samples that the rules have changed, or of the others."""
    return [v for labels, samples in sink.find("page").items() for _, v in samples
            if v == v and (("relabeled", "yes") in labels) == relabeled]


def push_status(sluice):
    return push(f"{sluice.url}/api/v1/write", [({"__name__": "pushed"}, [(now_ms(), 1.0)])]).status


@waits
@seconds(90)
def test_relabel_files_hang_at_the_start():
    """A destination whose rules cannot be read sends what its queue has, and gets no sample that they have not changed."""
    disk = BadDisk()
    exporter, a, b = ScriptedExporter(page=lambda n, ms: f"page {n}\n"), RecordingSink(), RecordingSink()
    rules = f"{disk.mount}/rules.yml"
    put_file(rules, "[{target_label: relabeled, replacement: 'yes'}]\n")
    sluice = Sluice("global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
                    f"scrape_configs: [{{job_name: s, static_configs: [{{targets: ['{exporter.address}']}}]}}]\n",
                    f"-remoteWrite.url={a.url}", f"-remoteWrite.urlRelabelConfig={rules}",
                    f"-remoteWrite.url={b.url}", "-remoteWrite.urlRelabelConfig=", env=disk.env, start=False)
    a.status = 503
    sluice.start()
    sluice.wait_ready()
    wait_until(lambda: len(pages(b, False)) > 5, 10, "pages in the queue of a")
    sluice.stop()

    disk.set("mount")
    a.status = 204
    sluice.start()
    quick(sluice.wait_ready, HANG + 4, "ready")
    started, n = exporter.n, len(pages(b, False))
    wait_until(lambda: len(pages(a, True)) > 5 and len(pages(b, False)) > n + 3, 10, "a gets its queue, b all samples")
    assert max(pages(a, True)) <= started, "a sample was relabeled by rules that cannot be read"
    line = [l for l in sluice.log().splitlines() if "file of relabeling rules does not respond" in l]
    assert len(line) == 1 and "level=error" in line[0] and "name=1:secret-url" in line[0] and rules in line[0], line
    assert push_status(sluice) == 503
    wait_until(lambda: "cannot read the configuration: a file does not respond" in sluice.log(), 2 * HANG, "the load hangs")
    answer = quick(lambda: sluice.post("/-/reload"), 1, "a reload")
    assert answer.status == 500 and f"{rules} does not respond" in answer.text, answer

    disk.set("")
    wait_until(lambda: pages(a, True) and max(pages(a, True)) > started + 3, 10, "a gets new samples")
    assert pages(a, False) == [] and sluice.log().count("relabeling rules are read") == 1
    wait_until(lambda: push_status(sluice) == 204, 5, "pushes")
    disk.set("mount")
    stop(sluice, 4)
    disk.set("")


@waits
@seconds(60)
def test_common_relabel_file_hangs_at_the_start():
    disk = BadDisk()
    good, a, b = ScriptedExporter(), RecordingSink(), RecordingSink()
    rules = f"{disk.mount}/rules.yml"
    put_file(rules, "[]\n")
    sluice = Sluice("global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
                    f"scrape_configs: [{{job_name: good, static_configs: [{{targets: ['{good.address}']}}]}}]\n",
                    f"-remoteWrite.url={a.url}", f"-remoteWrite.url={b.url}", f"-remoteWrite.relabelConfig={rules}",
                    env=disk.env, start=False)
    disk.set("mount")
    sluice.start()
    quick(sluice.wait_ready, HANG + 4, "ready")
    scrapes(good)
    assert sluice.log().count("file of relabeling rules does not respond") == 2, sluice.log()
    assert not a.find("up") and not b.find("up")
    disk.set("")
    wait_until(lambda: a.find("up") and b.find("up"), HANG + 10, "the destinations get samples")
    sluice.stop()


@waits
@seconds(60)
def test_the_configuration_hangs_at_the_start():
    disk = BadDisk()
    good = ScriptedExporter()
    put_file(f"{disk.mount}/web.yml", "{}\n")
    arguments = [f"--web.config.file={disk.mount}/web.yml"]
    sluice = Sluice("global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
                    f"scrape_configs: [{{job_name: good, static_configs: [{{targets: ['{good.address}']}}]}}]\n",
                    *arguments, env=disk.env, start=False)
    disk.set("mount")
    sluice.start()
    wait_until(lambda: "a file does not respond; starting when it does" in sluice.log(), 2 * HANG + 5, "the log line")
    wait_until(lambda: f"{disk.mount}/web.yml" in sluice.log(), what="the log line")
    sluice.p.terminate()
    assert quick(lambda: sluice.wait_exit(30), 2, "a stop") != 0
    sluice.start()
    time.sleep(1)
    disk.set("")
    sluice.wait_ready()
    scrapes(good)


@waits
@seconds(60)
def test_the_check_of_the_configuration_hangs():
    """With -promscrape.configCheckInterval: checks hang soon after the start."""
    disk = BadDisk()
    first, second = ScriptedExporter(), ScriptedExporter()

    def put_config(exporter):
        put_file(f"{disk.mount}/c.yml", "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
                 f"scrape_configs: [{{job_name: s, static_configs: [{{targets: ['{exporter.address}']}}]}}]\n")

    put_config(first)
    sluice = Sluice(None, f"--config.file={disk.mount}/c.yml", "-promscrape.configCheckInterval=1s",
                    "--web.enable-lifecycle", env=disk.env, start=False)
    sluice.start()
    quick(sluice.wait_ready, 4, "ready")
    disk.set("stat")
    scrapes(first)
    wait_until(lambda: "cannot read the configuration: a file does not respond" in sluice.log(), 2 * HANG + 5, "the hang")
    put_config(second)
    disk.set("")
    scrapes(second)  # what was changed meanwhile
    put_config(first)
    wait_until(lambda: sluice.log().count("configuration reloaded") >= 2, 5, "the change is noticed")
    scrapes(first)
    disk.set("mount")
    stop(sluice, 4)
    disk.set("")
