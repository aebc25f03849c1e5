"""Runs the command `strata` in this process, for the tests of whole builds."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from strata_labels import messages
from strata_labels.build import BuildSettings
from strata_labels.cli import main

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "hierarchies" / "sample"

Strata = Callable[..., subprocess.CompletedProcess[str]]


class PrefectServer(NamedTuple):
    """A Prefect server that several tests share: each names its workspaces unlike the others.

    Attributes:
        environment: of a process that uses it.
        database: what it has kept.
    """

    environment: dict[str, str]
    database: Path


def strata_environment(home: Path) -> dict[str, str]:
    """The environment of a newcomer: an empty home, no hub, no real data."""
    own = ("PREFECT_", "XDG_CACHE_HOME")
    keep = {key: value for key, value in os.environ.items() if not key.startswith(own)}
    return {**keep, "HOME": str(home), "HF_HUB_OFFLINE": "1"}


def run_strata(
    *words: object, folder: Path | None = None, home: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs `strata` with the given words through its entry point, without a process of its own.

    An error that the command does not catch is raised here.

    Args:
        words: subcommand, arguments and options.
        folder: the folder to run in.
        home: the home folder of a newcomer, see `strata_environment`.
    """
    arguments = ["strata", *map(str, words)]
    environment = dict(os.environ) if home is None else strata_environment(home)
    out, err, code = io.StringIO(), io.StringIO(), None
    with (
        contextlib.chdir(folder or Path.cwd()),
        mock.patch.dict(os.environ, environment, clear=True),
        mock.patch.object(sys, "argv", arguments),
        mock.patch.object(messages, "_verbosity", 0),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    assert code is not None, "the command did not end through its entry point"
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def strata_output(*words: object, code: int | tuple[int, ...] = (0, 3)) -> str:
    """Runs `strata`, which has to end with a status; returns what it prints, errors last."""
    run = run_strata(*words)
    codes = (code,) if isinstance(code, int) else code
    assert run.returncode in codes, f"status {run.returncode}\n{run.stdout}\n{run.stderr}"
    return str(run.stdout + run.stderr)


def changed(settings: BuildSettings, **values: object) -> BuildSettings:
    """The settings with some values changed, validated anew."""
    return BuildSettings.model_validate(settings.model_dump() | values)


def data_files(workspace: Path) -> dict[str, bytes]:
    """The files that must not depend on when and how a build ran, by name."""
    names = [workspace / "review.csv", *workspace.glob("tables/*.parquet")]
    names += [path for path in workspace.glob("export/**/*") if path.is_file()]
    return {str(path.relative_to(workspace)): path.read_bytes() for path in sorted(names)}
