"""Runs functions and commands in copies of a process that has imported what they need.

To import that takes longer than most of them run. A copy can be killed like any other process.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
# One process is copied by all, also for the workers of Dask.
_CONTEXT.set_forkserver_preload(["distributed", "open_clip", "strata_labels.build"])


def started(function: Callable[..., object], *arguments: Any) -> BaseProcess:
    """A copy that calls a function, which it imports by its name."""
    copy = _CONTEXT.Process(target=function, args=arguments)
    copy.start()
    return copy


def started_command(words: list[str], environment: Mapping[str, str], said: Path) -> BaseProcess:
    """A copy that runs `strata`; what it prints goes to the file `said`."""
    said.touch()
    return started(_run_command, words, dict(environment), said)


def _run_command(words: list[str], environment: dict[str, str], said: Path) -> None:
    descriptor = os.open(said, os.O_WRONLY | os.O_APPEND)
    for number in (1, 2):
        os.dup2(descriptor, number)
    os.environ.clear()
    os.environ.update(environment)
    if threads := environment.get("OMP_NUM_THREADS"):  # was read when torch was imported
        import torch

        torch.set_num_threads(int(threads))
    sys.argv = ["strata", *words]
    from strata_labels.cli import main

    main()


def wait_until(copy: BaseProcess, there: Callable[[], bool]) -> None:
    """Waits for something that a copy does before it ends."""
    while not there():
        assert copy.is_alive(), f"ended with {copy.exitcode}"
        time.sleep(0.002)
