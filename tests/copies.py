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
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
# One process is copied by all, also for the workers of Dask.
_CONTEXT.set_forkserver_preload(["distributed", "open_clip", "strata_labels.build"])


@contextlib.contextmanager
def started(
    function: Callable[..., object], *arguments: Any, environment: Mapping[str, str] = os.environ
) -> Iterator[BaseProcess]:
    """A copy that calls a function, which it imports by its name; killed where the context ends.

    It computes with as many threads as this process.
    """
    import torch

    # What is copied has the environment and the threads of whoever started it first.
    around = (dict(environment), torch.get_num_threads())
    copy = _CONTEXT.Process(target=_run, args=(*around, function, *arguments))
    copy.start()
    try:
        yield copy
    finally:
        copy.kill()
        copy.join()


def _run(
    environment: dict[str, str], threads: int, function: Callable[..., object], *arguments: Any
) -> None:
    import torch

    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(threads)
    function(*arguments)


def run_in_two(function: Callable[..., object], *arguments: Any, limit: float = 300) -> None:
    """Calls a function in two copies, in the environment that torchrun gives to two processes.

    Unlike processes of torchrun, copies share the secret of string hashes, so both go through a
    set of strings in the same order, and the modules that were imported before they were made.

    Args:
        function: What both call; each computes with one thread.
        *arguments: For the function.
        limit: Seconds that they may take.

    Raises:
        AssertionError: one of them failed or took too long; with what both have printed.
    """
    (port,) = free_ports(1)
    shared = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    shared |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    deadline = time.monotonic() + limit
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        said = Path(folder) / "said"
        said.touch()
        copies = [
            stack.enter_context(
                started(
                    _run_ranked, said, function, *arguments,
                    environment={**shared, "RANK": rank, "LOCAL_RANK": rank},
                )
            )
            for rank in ("0", "1")
        ]  # fmt: skip
        while any(copy.is_alive() for copy in copies) and time.monotonic() < deadline:
            if any(copy.exitcode for copy in copies):  # the other one would wait for it
                break
            time.sleep(0.02)
        # None is the status of one that still runs.
        assert [copy.exitcode for copy in copies] == [0, 0], said.read_text()


def _run_ranked(said: Path, function: Callable[..., object], *arguments: Any) -> None:
    import torch

    _print_to(said)
    torch.set_num_threads(1)
    function(*arguments)


def free_ports(number: int) -> list[str]:
    """Ports that nothing listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [str(each.getsockname()[1]) for each in sockets]


def started_command(
    words: list[str], environment: Mapping[str, str], said: Path
) -> contextlib.AbstractContextManager[BaseProcess]:
    """A copy that runs `strata`; what it prints goes to the file `said`."""
    said.touch()
    return started(_run_command, words, said, environment=environment)


def _run_command(words: list[str], said: Path) -> None:
    _print_to(said)
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
