"""Archives of images read by several processes, on this machine or others, through Dask."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import dask
from distributed import (
    Client,
    Future,
    KilledWorker,
    LocalCluster,
    Worker,
    WorkerPlugin,
    as_completed,
)
from distributed.comm import connect
from distributed.security import Security
from distributed.utils import get_mp_context
from tornado.ioloop import PeriodicCallback

from strata_labels.build import (
    ArchiveContent,
    ReadUnits,
    Unit,
    read_here,
    read_unit,
    usable_cores,
)
from strata_labels.errors import InputError, Problem, RetryError

_PACKAGE = "strata-labels"
_SECONDS = 10.0
# A worker that starts on a busy machine takes longer than a scheduler takes to answer.
_SECONDS_FOR_A_WORKER = 60.0
_MILLISECONDS = 2000.0
_TRIES = 3
# What a worker needs. It is imported once, and every worker starts as a copy of that process.
_IMPORTED = ["distributed", "open_clip", "strata_labels.build"]


@contextmanager
def archive_workers(workers: int, address: str | None) -> Iterator[ReadUnits]:
    """Gives what reads archives in several processes.

    Args:
        workers: processes on this machine, each with its own GPU where there are some; 1 for this
            process, without Dask.
        address: see `dask_client`.

    Raises:
        InputError, RetryError: see `dask_client`.
    """
    if workers == 1 and not address:
        yield lambda units, wanted: read_here(
            [replace(unit, threads=usable_cores()) for unit in units], wanted
        )
        return
    with dask_client(workers, address) as (client, adapted):
        yield lambda units, wanted: read_with_dask(
            client,
            lambda unit, shared: client.submit(read_unit, adapted(unit), shared, pure=False),
            units,
            wanted,
        )


@contextmanager
def dask_client(
    workers: int, address: str | None
) -> Iterator[tuple[Client, Callable[[Unit], Unit]]]:
    """Gives a client of a Dask scheduler, and what adapts a unit of work to its workers.

    Args:
        workers: processes on this machine, each with its own GPU where there are some.
        address: of a running scheduler whose workers do it instead; they need no shared disk.

    Raises:
        InputError: no address; workers of another version.
        RetryError: no scheduler there, or no worker.
    """
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    # One thread of a worker fetches the next archive while the other encodes.
    local: dict[str, Any] = {
        "threads_per_worker": 2,
        "dashboard_address": None,
        "memory_limit": 0,
        "silence_logs": logging.CRITICAL,
    }
    # What was lost is tried again by `read_with_dask`. A worker with a GPU decodes in processes of
    # its own, which daemons may not have.
    settings = {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.worker.daemon": False,
        "distributed.worker.multiprocessing-method": "forkserver",
    }
    with dask.config.set(settings):
        if address:
            with _client(address) as client:
                yield client, lambda unit: replace(unit, scratch=None, images=None)
            return
        threads = max(1, usable_cores() // workers)  # Dask's workers set it to one thread
        get_mp_context()  # Dask names modules of its own the first time, in place of ours
        multiprocessing.get_context("forkserver").set_forkserver_preload(_IMPORTED)
        with LocalCluster(n_workers=workers, **local) as cluster, Client(cluster) as client:
            client.register_plugin(_OneGpu())
            # Dask gives up a process that is slow to start again after it died.
            replacing = PeriodicCallback(lambda: cluster.scale(workers), _MILLISECONDS)
            cluster.loop.add_callback(replacing.start)
            try:
                yield client, lambda unit: replace(unit, threads=threads)
            finally:
                cluster.loop.add_callback(replacing.stop)


def _client(address: str) -> Client:
    # Asked first, since a client that cannot connect may block for ever when it is deleted.
    try:
        asyncio.run(_answer(address))
    except OSError as error:
        raise RetryError(f"No Dask scheduler answers at {address} ({error}).") from None
    except ValueError as error:
        fix = "Give it as HOST:PORT or tcp://HOST:PORT."
        raise InputError(Problem("--dask", f"no address ({error}):", fix, value=address)) from None
    client = Client(address)
    try:
        client.wait_for_workers(1, timeout=_SECONDS_FOR_A_WORKER)
    except TimeoutError:
        client.close()
        raise RetryError(f"The Dask scheduler at {address} has no worker.") from None
    here = version(_PACKAGE)
    # A function of the standard library, since workers may lack the package.
    there = client.run(version, _PACKAGE, on_error="return")
    others = {worker: found for worker, found in there.items() if found != here}
    if others:
        client.close()
        fix = f"Install {_PACKAGE} {here} there."
        raise InputError(
            Problem("--dask", f"has another {_PACKAGE} ({found!s}):", fix, value=worker)
            for worker, found in sorted(others.items())
        )
    return client


async def _answer(address: str) -> None:
    """Raises OSError or ValueError if no scheduler can be reached there."""
    comm = await connect(address, _SECONDS, **Security().get_connection_args("client"))
    await comm.close()


def read_with_dask(
    client: Client,
    submit: Callable[[Unit, Future], Future],
    units: Sequence[Unit],
    wanted: frozenset[str],
) -> Iterator[ArchiveContent]:
    """Yields what the workers read, in any order; names archives whose workers died.

    A worker that dies takes all its archives along, also those that it had not begun. Each is tried
    again alone, which tells those that kill workers from the rest.

    Args:
        client: of the workers.
        submit: gives a unit to them, with a future of the wanted references.
        units: the work.
        wanted: references of the wanted images.
    """
    left = list(units)
    for number in range(_TRIES):
        groups = [[unit] for unit in left] if number else [left]
        if not left:
            return
        left = []
        for group in groups:
            left += yield from _read_once(client, submit, group, wanted)
    for unit in left:
        yield ArchiveContent(unit.archive.name, failed=f"its worker died, {_TRIES} times")


def _read_once(
    client: Client,
    submit: Callable[[Unit, Future], Future],
    units: Sequence[Unit],
    wanted: frozenset[str],
) -> Generator[ArchiveContent, None, list[Unit]]:
    """Yields what could be read; returns the units whose workers died."""
    # A task and not scattered data: it can be made again where its worker is lost.
    shared: Future = client.submit(frozenset, sorted(wanted), pure=False)
    futures = {submit(unit, shared): unit for unit in units}
    lost = []
    try:
        for future in as_completed(list(futures)):
            unit = futures.pop(future)
            found = None
            try:
                found = future.result()
            except KilledWorker:
                lost.append(unit)
            # Before the caller writes it: what is held is read again if its worker dies.
            future.release()
            if found is not None:
                yield found
    finally:
        client.cancel(list(futures))
    return lost


class _OneGpu(WorkerPlugin):
    """Gives each worker of this machine a GPU of its own, before torch looks for one."""

    name = "one-gpu"
    idempotent = True

    def setup(self, worker: Worker) -> None:
        import torch

        count = torch.cuda.device_count()
        if count > 1:
            os.environ["CUDA_VISIBLE_DEVICES"] = str(int(worker.name) % count)
