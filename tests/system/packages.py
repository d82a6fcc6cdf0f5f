# SPDX-License-Identifier: Apache-2.0
"""Debian packages that are not installed, but unpacked beside the peers."""
import fcntl
import os
import shutil
import subprocess

from lib import ROOT, Skip


def unpack(package):
    """The directory of the package's files."""
    to = f"{ROOT}/build/peers/{package}"
    with open(f"{to}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(to):
            shutil.rmtree(f"{to}.part", ignore_errors=True)
            os.makedirs(f"{to}.part")
            got = subprocess.run(f"apt-get -q download {package} && dpkg -x ./*.deb . && rm ./*.deb", shell=True, cwd=f"{to}.part",
                                 capture_output=True, text=True, timeout=100)
            if got.returncode:
                raise Skip(f"{package} (apt-get download: {got.stderr[-200:]})")
            os.rename(f"{to}.part", to)
    return to


def unpack_program(package, program, *test):
    """test: flags with which the program ends at once."""
    to = unpack(package)
    if subprocess.run([f"{to}/{program}", *test], capture_output=True, timeout=20).returncode:
        raise Skip(f"{package} does not start here")
    return to
