# SPDX-License-Identifier: Apache-2.0
"""make install and make uninstall: paths with blanks, the unit's paths, and the configuration that is installed."""
import os
import subprocess

from lib import *


def make(target, root, *variables):
    p = subprocess.run(["make", "-C", ROOT, target, f"DESTDIR={root}", *variables],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert p.returncode == 0, p.stdout
    return p.stdout


def files(root):
    return sorted(os.path.relpath(os.path.join(d, name), root) for d, _, names in os.walk(root) for name in names)


def test_install_and_uninstall():
    release_build()
    root = f"{folder()}/a b"
    paths = ("PREFIX=/opt/sluice", "SYSCONFDIR=/opt/etc")
    make("install", root, *paths)
    unit = "opt/sluice/lib/systemd/system/sluice.service"
    assert files(root) == ["opt/etc/sluice/sluice.yml", "opt/sluice/bin/sluice", unit], files(root)
    with open(f"{root}/{unit}", encoding="utf-8") as f:
        text = f.read()
    assert "ExecStart=/opt/sluice/bin/sluice --config.file=/opt/etc/sluice/sluice.yml " in text, text
    assert "/usr/local" not in text and "=/etc/" not in text and ":/etc/" not in text, text

    own = f"{root}/opt/etc/sluice/sluice.yml"
    with open(own, "a", encoding="utf-8") as f:
        f.write("# mine\n")
    whole = os.path.getsize(f"{root}/opt/sluice/bin/sluice")
    make("install-strip", root, *paths)
    with open(own, encoding="utf-8") as f:
        assert f.read().endswith("# mine\n"), "an installed configuration is kept"
    assert os.path.getsize(f"{root}/opt/sluice/bin/sluice") < whole / 2, "install-strip strips"
    make("uninstall", root, *paths)
    assert files(root) == ["opt/etc/sluice/sluice.yml"], "the configuration stays"


def test_installed_configuration_sends_nothing():
    """It scrapes the program itself, has no destination and no warning, and answers queries."""
    with open(f"{ROOT}/deploy/sluice.yml", encoding="utf-8") as f:
        text = f.read()
    port = free_port()
    sluice = Sluice(text.replace("localhost:8429", f"127.0.0.1:{port}").replace("scrape_interval: 15s", "scrape_interval: 1s"),
                    port=port)
    wait_until(lambda: sluice.query("up")["result"])
    assert "level=warn" not in sluice.log(), sluice.log()
    assert sluice.metric("vmagent_remotewrite_queues") == 0, "no destination"
