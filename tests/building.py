"""Runs the command `strata` in a process of its own, for the tests of whole builds."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from strata_labels.build import BuildSettings

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "hierarchies" / "sample"

Strata = Callable[..., subprocess.CompletedProcess[str]]


def strata_environment(home: Path) -> dict[str, str]:
    """The environment of a newcomer: an empty home, no hub, no real data."""
    keep = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    return {**keep, "HOME": str(home), "HF_HUB_OFFLINE": "1"}


def changed(settings: BuildSettings, **values: object) -> BuildSettings:
    """The settings with some values changed, validated anew."""
    return BuildSettings.model_validate(settings.model_dump() | values)


def data_files(workspace: Path) -> dict[str, bytes]:
    """The files that must not depend on when and how a build ran, by name."""
    names = [workspace / "review.csv", *workspace.glob("tables/*.parquet")]
    names += [path for path in workspace.glob("export/**/*") if path.is_file()]
    return {str(path.relative_to(workspace)): path.read_bytes() for path in sorted(names)}
