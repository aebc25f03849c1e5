"""`strata fetch`: a data set's official metadata and images, verified."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from strata_labels.cli.embed import DaskOption, Keep, KeepOption, SideOption, WorkersOption


def fetch(
    source: Annotated[str, typer.Argument(help="The data set: gldv2, sop or inat2018.")],
    workspace: Annotated[Path, typer.Argument(help="Its metadata goes to WORKSPACE/metadata.")],
    base_url: Annotated[str | None, typer.Option(help="A mirror of the official address.")] = None,
    images: Annotated[
        str | None,
        typer.Option(metavar="SPLITS", help="Also images of these splits, such as train,index."),
    ] = None,
    shards: Annotated[
        str | None,
        typer.Option(metavar="RANGE", help="With --images: only some archives, such as 0-9."),
    ] = None,
    images_per_item: Annotated[
        int, typer.Option(min=1, help="With --images: of each item so many, the first ones.")
    ] = 8,
    keep: KeepOption = Keep.wanted,
    image_size: SideOption = 512,
    workers: WorkersOption = 1,
    dask: DaskOption = None,
) -> None:
    """Download a data set's metadata: resumed, checksummed, whole or not at all.

    With --images, its archives of images too: each is read once and dropped, and the wanted images
    stay in WORKSPACE/images.
    """
    from strata_labels.build import Workspace, counts_text, fetch_images
    from strata_labels.errors import InputError, Problem, RetryError
    from strata_labels.orchestration import archive_workers
    from strata_labels.sources import SOURCES, find_archives

    if source not in SOURCES:
        fix = f"Take one of {', '.join(sorted(SOURCES))}."
        raise InputError(Problem("SOURCE", "no such data set:", fix, value=source))
    if images and keep == Keep.none:
        fix = "Give wanted or all; to encode without keeping, use `strata embed --shards`."
        raise InputError(Problem("--keep", "nothing would be kept:", fix, value=keep.value))
    if shards and not images:
        fix = "Give --images with the splits too."
        raise InputError(Problem("--shards", "says which archives of images:", fix, value=shards))
    module = SOURCES[source]
    splits = tuple(split.strip() for split in images.split(",")) if images else ()
    archives = []
    if wrong := [split for split in splits if split not in module.IMAGE_SPLITS]:
        fix = f"Take some of {', '.join(module.IMAGE_SPLITS) or 'no split'}."
        raise InputError(
            Problem("--images", f"no such split of {source}:", fix, value=split) for split in wrong
        )
    if images:
        published = module.image_archives(splits)
        archives = find_archives(base_url or module.BASE_URL, published)
        archives = [archive for archive in archives if _chosen(archive.name, shards)]
    folder = workspace / "metadata"
    address = {"base_url": base_url} if base_url else {}
    module.fetch(folder, **address)
    given = f"--metadata {folder}"
    failure = ""
    if images:
        home = Workspace(workspace.resolve())
        with archive_workers(workers, dask) as read:
            counts, failure = fetch_images(
                home, module, archives, splits, images_per_item, keep, image_size, read
            )
        print(f"archives: {counts_text(counts)}", flush=True)
        given += f" --images {workspace / 'images'}"
    print(f"Metadata in {folder}. Next: strata build TREE {workspace} {given}")
    if failure:
        raise RetryError(failure)


def _chosen(name: str, shards: str | None) -> bool:
    """Whether an archive is in a range such as 0-9, or 3, or 0-9,20."""
    from strata_labels.errors import InputError, Problem

    if not shards:
        return True
    numbers = set()
    for part in shards.split(","):
        found = re.fullmatch(r"\s*([0-9]{1,6})(?:-([0-9]{1,6}))?\s*", part)
        if not found:
            fix = "Write it as 0-9 or 0-9,20."
            raise InputError(Problem("--shards", "no range of archives:", fix, value=shards))
        numbers |= set(range(int(found[1]), int(found[2] or found[1]) + 1))
    number = re.search(r"([0-9]+)\.[a-z.]+$", name)
    return number is not None and int(number[1]) in numbers
