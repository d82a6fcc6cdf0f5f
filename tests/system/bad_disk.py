# SPDX-License-Identifier: Apache-2.0
"""A disk that fails or hangs, and a mount that hangs (bad_disk.c, so it needs a compiler)."""
import os

from lib import folder
from preload import Preload


class BadDisk:
    """bad_disk.c for the queues of a Sluice that is started with data_folder= and env= of this; part: only for those
    whose names begin so. The directory `mount` is for other files."""

    def __init__(self, part=""):
        self.data_folder, self.path = f"{folder()}/disk", f"{folder()}/faults"
        self.mount = f"{folder()}/mount"
        os.makedirs(self.mount, exist_ok=True)
        self.library = Preload("bad_disk")
        self.env = {**self.library.env, "BAD_DISK": self.path, "BAD_MOUNT_DIR": self.mount,
                    "BAD_DISK_DIR": f"{self.data_folder}/{part}" if part else self.data_folder}
        self.set("")

    def set(self, faults):
        with open(f"{self.path}.new", "w", encoding="utf-8") as f:
            f.write(faults)
        os.rename(f"{self.path}.new", self.path)
