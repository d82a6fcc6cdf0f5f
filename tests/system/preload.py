# SPDX-License-Identifier: Apache-2.0
"""Libraries for LD_PRELOAD, compiled for the test that needs one."""
import os
import subprocess
import tempfile

from lib import Skip


class Preload:
    """NAME.c of this directory; `path` is the library while this object lives."""

    def __init__(self, name):
        self._directory = tempfile.TemporaryDirectory()  # LD_PRELOAD takes no path with a blank
        self.path = f"{self._directory.name}/{name}.so"
        source = f"{os.path.dirname(os.path.abspath(__file__))}/{name}.c"
        if subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", self.path, source, "-ldl"]).returncode:
            raise Skip("a C compiler")
        self.env = {"LD_PRELOAD": self.path, "ASAN_OPTIONS": "verify_asan_link_order=0"}
