"""Fixtures shared by all rooms' tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from building import SAMPLE, Strata, strata_environment
from hypothesis import settings

# The same examples in every run, so that green stays green; `--hypothesis-profile=search` looks on.
settings.register_profile("same", derandomize=True)
settings.register_profile("search", derandomize=False)
settings.load_profile("same")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The real data beside the checkout; tests that need it are skipped where it is not."""
    folder = Path(os.environ.get("STRATA_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    return folder


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home folder for all commands of the session, so that the encoder is joined once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def strata(home: Path) -> Strata:
    """Runs `strata` with the given words; returns the finished process."""

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "strata_labels.cli", *map(str, words)],
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
