"""Archives of images as Prefect tasks on a Dask cluster, one task for each archive.

Import it only to run a flow: it imports Prefect.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from distributed import Future
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect_dask import DaskTaskRunner

from strata_labels.build import (
    EMBED,
    ArchiveContent,
    Unit,
    Workspace,
    counts_text,
    embed_archives,
    read_unit,
    rebuild,
)
from strata_labels.errors import RetryError
from strata_labels.orchestration.artifacts import publish_progress
from strata_labels.orchestration.tasks import as_task
from strata_labels.orchestration.workers import dask_client, read_with_dask
from strata_labels.progress import listen


@task(task_run_name="{unit.archive.name}", tags=["strata-archive"], cache_policy=NO_CACHE)
def read_archive(unit: Unit, wanted: frozenset[str]) -> ArchiveContent:
    """Reads one archive of images."""
    return read_unit(unit, wanted)


def embed_images(
    folder: Path,
    shards: str,
    keep: str = "wanted",
    image_size: int = 512,
    workers: int = 1,
    dask: str | None = None,
) -> None:
    """Encodes the images of a built workspace from archives, inside a flow.

    Args:
        folder: a workspace that a build has filled.
        shards, keep, image_size: see `strata embed`.
        workers, dask: see `dask_client`.

    Raises:
        InputError: see `embed_archives` and `dask_client`.
        RetryError: an archive could not be read; what could be read is there.
    """
    workspace = Workspace(folder.resolve())
    with (
        dask_client(workers, dask) as (client, adapted),
        DaskTaskRunner(address=client.scheduler_info()["address"]) as runner,
        listen(publish_progress()),
    ):

        def submit(unit: Unit, wanted: Future) -> Future:
            given = {"unit": adapted(unit), "wanted": wanted}
            return runner.client.submit(read_archive, parameters=given)

        def read(units: Sequence[Unit], wanted: frozenset[str]) -> Iterator[ArchiveContent]:
            return read_with_dask(runner.client, submit, units, wanted)

        counts, failure = embed_archives(workspace, shards, keep, image_size, read)
    print(f"archives: {counts_text(counts)}")
    rebuild(workspace, [EMBED], as_task)
    if failure:
        raise RetryError(failure)
