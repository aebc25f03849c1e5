"""What needs libraries that Strata does not install: Lightning's example, metrics beside peers'."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).with_name("uv")
LIBRARIES = ["pytorch-lightning==2.6.6", "torchmetrics==1.9.0", "lightning-utilities==0.15.3"]


def run(*command: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the libraries, and with all that this one has."""
    folder = tmp_path_factory.mktemp("libraries") / "environment"
    assert run(UV, "venv", "--quiet", "--python", sys.executable, folder).returncode == 0
    own = folder / "bin" / "python"
    installed = run(UV, "pip", "install", "--quiet", "--no-deps", "--python", own, *LIBRARIES)
    if installed.returncode:
        pytest.skip(f"the libraries cannot be installed here: {installed.stderr[-300:]}")
    site = run(own, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])").stdout
    paths = [sysconfig.get_paths()["purelib"], str(ROOT / "pipeline")]
    Path(site.strip(), "project.pth").write_text("\n".join(paths) + "\n")
    return own


def test_lightning_trains_by_the_example(python: Path) -> None:
    page = (ROOT / "docs" / "own-code.md").read_text()
    (code,) = re.findall(r"^## Lightning$.*?```python\n(.*?)```", page, re.M | re.S)
    done = run(python, "-c", code)
    assert done.returncode == 0, done.stderr


def test_no_metric_differs_from_the_public_libraries(python: Path) -> None:
    done = run(python, "-m", "benchmarks.peers", "--seeds", "1")
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[1:6] for line in done.stdout.splitlines()[2:]]
    assert len(rows) == 10
    assert all(int(number) > 100 and int(differ) == 0 for _, _, number, differ, _ in rows)
