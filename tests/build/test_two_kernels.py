"""Two kernels of the linear algebra library give the same tables, exports and sheet."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from building import SAMPLE, data_files, strata_environment

KERNELS = {"Haswell": "AVX2", "Prescott": "COMPATIBLE"}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="kernels are of one processor family")
def test_two_kernels_give_the_same_bytes(tmp_path: Path, home: Path) -> None:
    for kernel, instructions in KERNELS.items():
        environment = {"OPENBLAS_CORETYPE": kernel, "MKL_CBWR": instructions}
        done = subprocess.run(
            [sys.executable, "-m", "strata_labels.cli", "build", "gldv2-h", kernel, "--metadata",
             str(SAMPLE), "--entities", str(SAMPLE / "entities.jsonl"), "--encoder", "registry"],
            capture_output=True, text=True, cwd=tmp_path,
            env={**os.environ, **strata_environment(home), **environment},
        )  # fmt: skip
        assert done.returncode == 3, done.stderr
    one, other = (tmp_path / kernel for kernel in KERNELS)
    vectors = [np.load(folder / "vectors" / "names.npy") for folder in (one, other)]
    if np.array_equal(*vectors):
        pytest.skip("this machine has one kernel only")
    first, second = data_files(one), data_files(other)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
