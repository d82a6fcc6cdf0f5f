# SPDX-License-Identifier: Apache-2.0
"""A disk that fails or hangs, and a mount that hangs (bad_disk.c, so it needs a compiler)."""
import os
import subprocess
import tempfile

from lib import Skip, folder


class BadDisk:
    """bad_disk.c for the queues of a Sluice that is started with data_folder= and env= of this; part: only for those
    whose names begin so. The directory `mount` is for other files."""

    def __init__(self, part=""):
        self.data_folder, self.path = f"{folder()}/disk", f"{folder()}/faults"
        self.mount = f"{folder()}/mount"
        os.makedirs(self.mount, exist_ok=True)
        self.library = tempfile.TemporaryDirectory() # LD_PRELOAD takes no path with a blank
        library = f"{self.library.name}/bad_disk.so"
        here = os.path.dirname(os.path.abspath(__file__))
        if subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, f"{here}/bad_disk.c", "-ldl"]).returncode:
            raise Skip("a C compiler")
        self.env = {"LD_PRELOAD": library, "BAD_DISK": self.path, "ASAN_OPTIONS": "verify_asan_link_order=0",
                    "BAD_MOUNT_DIR": self.mount, "BAD_DISK_DIR": f"{self.data_folder}/{part}" if part else self.data_folder}
        self.set("")

    def set(self, faults):
        with open(f"{self.path}.new", "w", encoding="utf-8") as f:
            f.write(faults)
        os.rename(f"{self.path}.new", self.path)
