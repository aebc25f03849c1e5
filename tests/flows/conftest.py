"""Builds of the embedded sample by the real command, shared by the tests of the flow."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "hierarchies" / "sample"

Strata = Callable[..., subprocess.CompletedProcess[str]]


def strata_environment(home: Path) -> dict[str, str]:
    """The environment of a newcomer: an empty home, no hub, no real data."""
    keep = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    return {**keep, "HOME": str(home), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home folder for all commands of the session, so that the encoder is joined once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def strata(home: Path) -> Strata:
    """Runs `strata` with the given words; returns the finished process."""

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flows.commands", *map(str, words)],
            capture_output=True,
            text=True,
            cwd=home,
            env=strata_environment(home),
        )

    return run


@pytest.fixture(scope="session")
def sample_words() -> list[str]:
    """The words of a build of the embedded sample, TREE and WORKSPACE left out."""
    entities = str(SAMPLE / "entities.jsonl")
    return ["--metadata", str(SAMPLE), "--entities", entities, "--encoder", "registry"]


@pytest.fixture(scope="session")
def sample_build(
    strata: Strata, sample_words: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A finished build of the embedded sample. Copy its folder before changing anything."""
    workspace = tmp_path_factory.mktemp("sample") / "ws"
    return workspace, strata("build", "gldv2-h", workspace, *sample_words)


def data_files(workspace: Path) -> dict[str, bytes]:
    """The files that must not depend on when and how a build ran, by name."""
    names = [workspace / "review.csv", *workspace.glob("tables/*.parquet")]
    names += [path for path in workspace.glob("export/**/*") if path.is_file()]
    return {str(path.relative_to(workspace)): path.read_bytes() for path in sorted(names)}
