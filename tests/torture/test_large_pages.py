# SPDX-License-Identifier: Apache-2.0
"""A page of MIB (500) MiB by stream_parse, of which half a million series are sent: see tests/system/test_stream_parse.py."""
import os

from lib import *
from test_stream_parse import run_long_page

MIB = int(os.environ.get("MIB", "500"))


@seconds(1800)
def test_a_huge_page():
    run_long_page(MIB << 20, 60, 100)
