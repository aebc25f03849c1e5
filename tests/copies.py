"""Runs functions and commands in copies of a process that has imported what they need.

To import that takes longer than most of them run. A copy can be killed like any other process.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import sys
import tempfile
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


def run_in_two(function: Callable[..., object], *arguments: Any) -> None:
    """Calls a function in two copies, in the environment that torchrun gives to two processes.

    Raises:
        AssertionError: one of them failed; with what both have printed.
    """
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "said"
        said.touch()
        copies = [started(_run_ranked, rank, port, said, function, *arguments) for rank in range(2)]
        while any(copy.is_alive() for copy in copies):
            if any(copy.exitcode for copy in copies):  # the other one would wait for it
                for copy in copies:
                    copy.kill()
            time.sleep(0.02)
        assert [copy.exitcode for copy in copies] == [0, 0], said.read_text()


def _run_ranked(
    rank: int, port: str, said: Path, function: Callable[..., object], *arguments: Any
) -> None:
    import torch

    _print_to(said)
    torch.set_num_threads(1)
    os.environ |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_PORT": port}
    function(*arguments)


def free_ports(number: int) -> list[str]:
    """Ports that nothing listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [str(each.getsockname()[1]) for each in sockets]


def started_command(words: list[str], environment: Mapping[str, str], said: Path) -> BaseProcess:
    """A copy that runs `strata`; what it prints goes to the file `said`."""
    said.touch()
    return started(_run_command, words, dict(environment), said)


def _run_command(words: list[str], environment: dict[str, str], said: Path) -> None:
    _print_to(said)
    os.environ.clear()
    os.environ.update(environment)
    if threads := environment.get("OMP_NUM_THREADS"):  # was read when torch was imported
        import torch

        torch.set_num_threads(int(threads))
    sys.argv = ["strata", *words]
    from strata_labels.cli import main

    main()


def _print_to(said: Path) -> None:
    descriptor = os.open(said, os.O_WRONLY | os.O_APPEND)
    for number in (1, 2):
        os.dup2(descriptor, number)


def wait_until(copy: BaseProcess, there: Callable[[], bool]) -> None:
    """Waits for something that a copy does before it ends."""
    while not there():
        assert copy.is_alive(), f"ended with {copy.exitcode}"
        time.sleep(0.002)
