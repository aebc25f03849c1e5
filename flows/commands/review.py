"""`strata review`: decide what is open, on a local page."""

from __future__ import annotations

import getpass
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.result import finish

if TYPE_CHECKING:
    from pipeline.build import Workspace
    from pipeline.review.page import Material


def review(
    workspace: Annotated[Path, typer.Argument(help="A folder that `strata build` has filled.")],
    reviewer: Annotated[
        str | None, typer.Option(help="Your name in the ledger [default: your login's].")
    ] = None,
    blind: Annotated[bool, typer.Option("--blind", help="Hide what is proposed.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 0,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the page's address.")
    ] = False,
    sheet: Annotated[
        bool, typer.Option("--sheet", help="No page: write tree and sheet from the ledger of now.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Write the numbers here at the end.")] = None,
) -> None:
    """Decide the open rows on a local page; write tree and sheet again when it is closed."""
    from pipeline.build import Workspace, rerun

    place = Workspace(workspace.resolve())
    recorded = 0
    if not sheet:
        recorded = _page(place, reviewer or getpass.getuser(), blind, port, not no_browser)
    if sheet or recorded:
        for line in rerun(place, ["settle", "show"]):
            print(line, flush=True)
    finish(place, json)


def _page(place: Workspace, reviewer: str, blind: bool, port: int, browser: bool) -> int:
    """Serves the page until it is ended; returns how many decisions were recorded."""
    from pipeline.review.page import Desk, open_page

    desk = Desk(material(place), reviewer, blind)
    with open_page(desk, port) as page:
        print(f"Review page: {page.address}", flush=True)
        print("It is for this machine only. Ctrl-C ends it.", flush=True)
        if browser:
            webbrowser.open(page.address)
        page.run()
    print(f"\n{desk.recorded} rows added to {desk.material.ledgers[-1]}", flush=True)
    return desk.recorded


def material(place: Workspace) -> Material:
    """Where the page finds the things of a workspace.

    Raises:
        InputError: the folder holds no build.
    """
    from pipeline.build import ledgers
    from pipeline.embedding import image_files
    from pipeline.review.page import Material

    settings = place.last_settings()
    root = settings.image_root

    def find(image: str) -> Path | None:
        found = image_files(root, [image], 1) if root else []
        return found[0] if found else None

    return Material(
        folder=place.folder,
        ledgers=ledgers(settings),
        levels=settings.hierarchy.levels,
        title=settings.hierarchy.title,
        target=settings.hierarchy.target,
        vectors=[place.vectors / name for name in ("names.npy", "images.npy")],
        find_image=find if root else None,
    )
