"""Another kernel of the linear algebra library gives the same tables, exports and sheet."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from building import data_files, strata_environment

#: The plainest kernels; `sample_build` uses those that the libraries choose for this machine.
PLAINEST = {"OPENBLAS_CORETYPE": "Prescott", "MKL_CBWR": "COMPATIBLE"}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="kernels are of one processor family")
def test_two_kernels_give_the_same_bytes(
    sample_build: tuple[Path, subprocess.CompletedProcess[str]],
    sample_words: list[str],
    home: Path,
    tmp_path: Path,
) -> None:
    one, other = sample_build[0], tmp_path / "ws"
    done = subprocess.run(
        [sys.executable, "-m", "strata_labels.cli", "build", "gldv2-h", other, *sample_words],
        capture_output=True, text=True, env={**os.environ, **strata_environment(home), **PLAINEST},
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    vectors = [np.load(folder / "vectors" / "names.npy") for folder in (one, other)]
    if np.array_equal(*vectors):
        pytest.skip("this machine has one kernel only")
    first, second = data_files(one), data_files(other)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
