"""`strata embed`: names and images to vectors, on a workspace that was built before.

By the workspace's encoder into its store, or by a trained model into a folder of their own.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strata_labels.cli.options import BuiltWorkspace, ResultFile, write_result
from strata_labels.errors import InputError, Problem, RetryError, refuse

if TYPE_CHECKING:
    from strata_labels.build import ArchivePlan, Workspace


class Keep(StrEnum):
    """Which images of an archive stay on disk, reduced."""

    wanted = "wanted"
    all = "all"
    none = "none"


#: Options that `strata fetch` has too.
KeepOption = Annotated[
    Keep, typer.Option(help="Images to keep in WORKSPACE/images: the wanted ones, all, or none.")
]
SideOption = Annotated[
    int, typer.Option(min=32, help="Shorter side of kept images, in pixels; larger are reduced.")
]
WorkersOption = Annotated[
    int, typer.Option(min=1, help="Processes on this machine that read archives (Dask).")
]
DaskOption = Annotated[
    str | None,
    typer.Option(help="A running Dask scheduler whose workers read archives; no shared disk."),
]


def embed(
    folder: BuiltWorkspace,
    shards: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|URL",
            help="Image archives (tar, tar.gz, zip): a folder, one archive, or the address of one "
            "or of the data set's server.",
        ),
    ] = None,
    keep: KeepOption = Keep.wanted,
    image_size: SideOption = 512,
    workers: WorkersOption = 1,
    dask: DaskOption = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say what --shards would take.")
    ] = False,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of a training: its model embeds the images, for `build --vectors` and "
            "`compare`.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="With --model: folder of the vectors, made if absent."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="With --model: root of the images; else the build's.")
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="With --model of a head: its encoder, if its files were moved."),
    ] = None,
    json: ResultFile = None,
) -> None:
    """Encode names and images once, and keep the vectors.

    With --model, a trained model encodes the images into --out instead.
    """
    from dataclasses import asdict

    from strata_labels.build import (
        EMBED,
        Workspace,
        counts_text,
        embed_archives,
        plan_archives,
        rebuild,
    )
    from strata_labels.orchestration import archive_workers

    workspace = Workspace(folder.resolve())
    failure = ""
    numbers: dict[str, Any] = {}
    if model:
        if shards or out is None:
            option, what = ("--shards", "not with --model") if shards else ("--out", "missing")
            fix = "Embed the archives first, with --keep wanted." if shards else "Give it."
            raise InputError(Problem(option, what, fix))
        counts = _embed_with_model(workspace, model, out, images, encoder)
        write_result(json, {"model": counts})
        return
    given = {"--out": out, "--images": images, "--encoder": encoder}
    fix = "Give --model too, or leave it out."
    refuse(Problem(one, "is of --model", fix) for one, value in given.items() if value is not None)
    if plan:
        if not shards:
            fix = "Give --shards too."
            raise InputError(Problem("--plan", "says what --shards would take", fix))
        found = plan_archives(workspace, shards, keep, image_size, workers)
        print("\n".join(_plan_lines(found, workers)))
        write_result(json, {"plan": asdict(found)})
        return
    if shards:
        with archive_workers(workers, dask) as read:
            counts, failure = embed_archives(workspace, shards, keep, image_size, read)
        print(f"archives: {counts_text(counts)}", flush=True)
        numbers["archives"] = counts
    rebuild(workspace, [EMBED])
    numbers["embed"] = workspace.stage_counts(EMBED.name)
    write_result(json, numbers)
    if failure:
        raise RetryError(failure)


def _embed_with_model(
    workspace: Workspace, model: Path, out: Path, images: Path | None, encoder: str | None
) -> dict[str, int]:
    from strata_labels.build import counts_text
    from strata_labels.embedding import VectorStore
    from strata_labels.training import embed_items, load_model

    settings = workspace.last_settings()
    kept = workspace.images if workspace.images.is_dir() else None
    root = images or settings.image_root or kept
    if root is None:
        fix = "Give the folder that the images' paths start from."
        raise InputError(Problem("--images", "the workspace was built without images", fix))
    counts = embed_items(
        load_model(model),
        workspace.folder,
        root,
        out,
        settings.images_per_landmark,
        VectorStore(workspace.vector_store),
        encoder,
    )
    print(f"embed: {counts_text(counts)}")
    print(f"Vectors in {out}: for `strata build --vectors {out}` and `strata compare`")
    return counts


def _plan_lines(plan: ArchivePlan, workers: int) -> list[str]:
    from rich.filesize import decimal

    rate = plan.images_per_second
    processes = f"{workers} process{'es' if workers > 1 else ''}"
    fetching = []
    if plan.is_remote:
        hours = plan.bytes * 8 / 1e8 / 3600
        fetching = [f"hours of fetching  {hours:.2f} at 100 Mbit/s, while images are encoded"]
    return [
        f"archives to read   {plan.archives:,}",
        f"bytes of them      {decimal(plan.bytes)}",
        f"images to encode   {plan.images:,}",
        f"disk, at most      {decimal(plan.disk)} ({decimal(plan.free)} are free)",
        *fetching,
        f"hours of encoding  {plan.images / rate / 3600:.2f} ({rate:,.1f} images/s on this machine "
        f"with {processes})",
    ]
