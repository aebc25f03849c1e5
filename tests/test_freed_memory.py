"""Freed memory stays with the process: the system does not clear it again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PASSES = """
import resource, sys
from strata_labels.freed_memory import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
faults = []
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    layers = [bytearray(48 << 20) for _ in range(2)]
    del layers
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(faults[-1])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this setting")
def test_a_second_pass_takes_no_new_pages() -> None:
    kept, given_back = (
        int(subprocess.check_output([sys.executable, "-c", PASSES, how], text=True))
        for how in ("kept", "given back")
    )
    assert kept < 1000 < 20_000 < given_back
