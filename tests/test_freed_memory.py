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
    def printed(code: str, *words: str) -> int:
        return int(subprocess.check_output([sys.executable, "-c", code, *words], text=True))

    if not printed("import ctypes; print(ctypes.CDLL(None).mallopt(-3, 2**28))"):
        pytest.skip("this glibc refuses so large a limit")
    kept, given_back = printed(PASSES, "kept"), printed(PASSES, "given back")
    assert 10 * kept < given_back  # pages may be of any size
