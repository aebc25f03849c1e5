"""`strata review`: the review page."""

from __future__ import annotations

import getpass
import subprocess
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strata_labels.cli.options import BuiltWorkspace, ResultFile
from strata_labels.cli.result import finish, open_workspace, warn_of_cut_decisions
from strata_labels.cli.review_server import address_of, serve_curators
from strata_labels.errors import InputError, Problem

if TYPE_CHECKING:
    from strata_labels.build import Workspace
    from strata_labels.review.page import ReviewSetup


def review(
    folder: BuiltWorkspace,
    file: Annotated[
        Path | None,
        typer.Argument(help="With --sheet: also write the sheet here, .csv or .xlsx (Excel)."),
    ] = None,
    reviewer: Annotated[
        str | None, typer.Option(help="Your name in the ledger; else your login's.")
    ] = None,
    double: Annotated[
        str | None,
        typer.Option(
            help="Decide this share of what others have decided, without seeing it: 10% or 0.1. "
            "With --serve: two curators are asked this share of the open items, the most "
            "doubtful ones."
        ),
    ] = None,
    audit: Annotated[
        int,
        typer.Option(min=0, help="Also ask about this many rows that were accepted automatically."),
    ] = 0,
    grid: Annotated[
        int,
        typer.Option(min=1, max=50, help="Look-alikes in a grid, at most; 1: rows one by one."),
    ] = 10,
    blind: Annotated[bool, typer.Option("--blind", help="Hide what is proposed.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 0,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the page's address.")
    ] = False,
    online_images: Annotated[
        bool,
        typer.Option(
            "--online-images",
            help="Show pictures that are not on this machine from upload.wikimedia.org.",
        ),
    ] = False,
    sheet: Annotated[
        bool, typer.Option("--sheet", help="No page: rebuild tree and sheet from the ledger.")
    ] = False,
    serve: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Serve the page to the curators of --curators; the tree is rebuilt later, "
            "with --sheet.",
        ),
    ] = None,
    curators: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Names them: a TOML table for each.")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(help="Where the curators reach the page, if a proxy stands before it."),
    ] = None,
    proxy: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Believe this proxy where a request comes from."),
    ] = None,
    json: ResultFile = None,
) -> None:
    """Decide the open rows on a local page, or write a sheet.

    Tree and exports are rebuilt afterwards.
    """
    from strata_labels.build import Workspace, ledgers, rebuild, write_review_sheet
    from strata_labels.review import draw_audit

    if file and not sheet:
        fix = "Write --sheet in front of it, or leave it out."
        raise InputError(Problem("FILE", "a sheet without --sheet:", fix, value=str(file)))
    if serve is not None or curators is not None:
        alone: list[tuple[str, object]] = [("--reviewer", reviewer), ("--sheet", sheet)]
        alone += [("--port", port), ("--audit", audit), ("--json", json)]
        others = [name for name, value in alone if value]
        place = address_of(serve, curators, url, proxy, others)
        assert curators is not None
        twice = _share(double) if double is not None else 0.0
        workspace = Workspace(folder.resolve())
        warn_of_cut_decisions(workspace)
        setup = replace(review_setup(workspace, online_images), group_size=grid)
        serve_curators(workspace, setup, place, curators, blind, twice)
        return
    if url is not None or proxy is not None:
        fix = "Add --serve HOST:PORT and --curators FILE, or leave it out."
        raise InputError(Problem("--url, --proxy", "are for a served page", fix))
    workspace = open_workspace(folder)
    warn_of_cut_decisions(workspace)
    share = _share(double) if double is not None else 0.0
    drawn, recorded = 0, 0
    if audit:
        drawn = draw_audit(workspace.folder, audit, ledgers(workspace.last_settings()))
        print(f"{drawn} accepted rows drawn for the audit", flush=True)
    if not sheet:
        who = reviewer or getpass.getuser()
        setup = replace(review_setup(workspace, online_images), group_size=grid)
        recorded = _page(workspace, setup, who, blind, share, port, not no_browser)
    if sheet or recorded or drawn:
        rebuild(workspace)
    if file:
        print(f"{write_review_sheet(workspace, file):,} open rows written to {file}", flush=True)
    finish(workspace, json)


def _share(text: str) -> float:
    """A share of rows, `10%` or `0.1`, above 0 and at most 1."""
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        fix = "Give a share above 0 and up to 100%, as 10% or 0.1."
        raise InputError(Problem("--double", "no share of rows:", fix, value=text))
    return share


def _page(
    workspace: Workspace,
    setup: ReviewSetup,
    reviewer: str,
    blind: bool,
    double: float,
    port: int,
    browser: bool,
) -> int:
    """Serves the page until it is ended; returns how many decisions were recorded."""
    from strata_labels.review.page import Desk, open_page

    with learning(workspace) as learn:
        desk = Desk(replace(setup, learn=learn), reviewer, blind, double)
        with open_page(desk, port) as page:
            print(f"Review page: {page.address}", flush=True)
            print("It is for this machine only. Ctrl-C ends it.", flush=True)
            if browser:
                webbrowser.open(page.address)
            page.run()
    print(f"\n{desk.recorded} lines added to {desk.setup.ledgers[-1]}", flush=True)
    return desk.recorded


_LEARN = """\
import os
os.nice(10)  # whoever answers comes first
from strata_labels.cli import main
from strata_labels.cli.process import end_with_parent
end_with_parent()
main()
"""


@contextmanager
def learning(workspace: Workspace) -> Iterator[Callable[[], None]]:
    """Gives a function that proposes anew, in a process of its own, so that the page keeps
    answering. At the end that process is ended, and no further one starts: a rebuild follows.
    """
    command = [sys.executable, "-c", _LEARN, "propose", str(workspace.folder)]
    lock, running, ended = threading.Lock(), list[subprocess.Popen[bytes]](), threading.Event()

    def learn() -> None:
        with lock:
            if ended.is_set():
                return
            # The rebuild at the end repeats its messages; Ctrl-C must end the page only.
            quiet = subprocess.DEVNULL
            running[:] = [
                subprocess.Popen(
                    command,
                    start_new_session=True,
                    stdin=subprocess.PIPE,  # its end tells the process that this one is gone
                    stdout=quiet,
                    stderr=quiet,
                )
            ]
        running[0].wait()

    try:
        yield learn
    finally:
        with lock:
            ended.set()
        for process in running:
            process.terminate()
            process.wait()


def review_setup(workspace: Workspace, online_images: bool = False) -> ReviewSetup:
    """What the page has to know of a workspace.

    Args:
        workspace: a finished build.
        online_images: pictures without a file may come from Wikimedia's server.

    Raises:
        InputError: the folder holds no build; the metadata has no addresses of images.
    """
    from strata_labels.build import ledgers, picture_finder
    from strata_labels.review.page import ReviewSetup
    from strata_labels.sources import THUMBNAIL_SERVER

    settings = workspace.last_settings()
    return ReviewSetup(
        folder=workspace.folder,
        ledgers=ledgers(settings),
        levels=settings.hierarchy.levels,
        title=settings.hierarchy.title,
        target=settings.hierarchy.target,
        vectors=[workspace.vectors / name for name in ("names.npy", "images.npy")],
        find_image=picture_finder(workspace, settings.image_root),
        online_server=THUMBNAIL_SERVER if online_images else "",
        online_images=_addresses(workspace, settings.metadata) if online_images else {},
    )


def _addresses(workspace: Workspace, metadata: Path) -> dict[str, str]:
    from strata_labels.sources import thumbnail_addresses
    from strata_labels.tables import load

    images = load(workspace.folder, "items")["image_ids"]
    found = thumbnail_addresses(metadata, {image for some in images for image in some})
    if not found:
        what = "no address of an image on upload.wikimedia.org in the CSV files of"
        fix = "Put a file with the columns id and url there, such as train.csv, or leave it out."
        raise InputError(Problem("--online-images", what, fix, value=str(metadata)))
    return found
