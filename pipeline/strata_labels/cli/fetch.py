"""`strata fetch`: a data set's official metadata and images, verified."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strata_labels.cli.completion import complete_sources
from strata_labels.cli.embed import DaskOption, Keep, KeepOption, SideOption, WorkersOption
from strata_labels.cli.options import ResultFile, write_result
from strata_labels.errors import InputError, Problem, RetryError, refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from strata_labels.sources import ImageArchive, Source


def fetch(
    source: Annotated[
        str,
        typer.Argument(
            help="The data set: gldv2, sop or inat2018.", autocompletion=complete_sources
        ),
    ],
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
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="List what would be fetched; fetch nothing."),
    ] = False,
    json: ResultFile = None,
) -> None:
    """Download a data set's official metadata, verified.

    Interrupted downloads resume; files appear whole or not at all.

    With --images, its archives of images too: each is read once and dropped, and the wanted images
    stay in WORKSPACE/images.
    """
    from strata_labels.build import Workspace, counts_text, fetch_images
    from strata_labels.orchestration import archive_workers
    from strata_labels.sources import SOURCES, fetch_metadata, find_archives

    known = complete_sources("")
    if source not in known:
        fix = f"Take one of {', '.join(known)}."
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
    fix = f"Take some of {', '.join(module.IMAGE_SPLITS) or 'no split'}."
    wrong = [split for split in splits if split not in module.IMAGE_SPLITS]
    refuse(Problem("--images", f"no such split of {source}:", fix, value=one) for one in wrong)
    if images:
        published = module.image_archives(splits)
        archives = find_archives(base_url or module.BASE_URL, published)
        archives = [archive for archive in archives if _chosen(archive.name, shards)]
    folder = workspace / "metadata"
    if dry_run:
        write_result(json, _print_plan(module, folder, base_url or "", archives))
        return
    fetched = fetch_metadata(module, folder, base_url or "")
    numbers: dict[str, Any] = {
        "files": [
            {"name": one.path.name, "bytes": one.size, "sha256": one.sha256, "kept": one.kept}
            for one in fetched
        ]
    }
    given = f"--metadata {folder}"
    failure = ""
    if images:
        home = Workspace(workspace.resolve())
        with archive_workers(workers, dask) as read:
            counts, failure = fetch_images(
                home, module, archives, splits, images_per_item, keep, image_size, read
            )
        print(f"archives: {counts_text(counts)}", flush=True)
        numbers["archives"] = counts
        given += f" --images {workspace / 'images'}"
    print(f"Metadata in {folder}. Next: strata build TREE {workspace} {given}")
    write_result(json, numbers)
    if failure:
        raise RetryError(failure)


def _print_plan(
    source: Source, folder: Path, base_url: str, archives: Sequence[ImageArchive]
) -> dict[str, Any]:
    """Prints what a fetch into a folder would download, and the disk's room; returns the same."""
    import shutil

    from rich.filesize import decimal

    from strata_labels.sources import archive_sizes, plan_fetch

    needed, unknown = 0, False
    files = plan_fetch(source, folder, base_url)
    numbers: dict[str, Any] = {
        "files": [
            {
                "name": f.name,
                "address": f.address,
                "bytes": f.size,
                "kept": f.is_there,
                "have": f.have,
            }
            for f in files
        ]
    }
    for file in files:
        if file.is_there:
            said = "is there"
        elif file.size is None:
            said = "is not on the server"
        else:
            said = decimal(file.size) if file.size else "size not known"
            said += f", {decimal(file.have)} of it there" if file.have else ""
            needed += max(0, file.size - file.have)
            unknown |= not file.size
        print(f"{file.name}: {said}   {file.address}")
    if archives:
        sizes = archive_sizes(archives)
        print(f"archives of images: {len(sizes)} of {len(archives)}, {decimal(sum(sizes))}")
        numbers["archives"] = {"found": len(sizes), "of": len(archives), "bytes": sum(sizes)}
    free = shutil.disk_usage(next(place for place in folder.absolute().parents if place.exists()))
    least = "at least " if unknown else ""
    print(f"to fetch: {least}{decimal(needed)}; {decimal(free.free)} are free")
    print("Nothing was fetched.")
    return numbers | {"bytes_to_fetch": needed, "bytes_free": free.free}


def _chosen(name: str, shards: str | None) -> bool:
    """Whether an archive is in a range such as 0-9, or 3, or 0-9,20."""
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
