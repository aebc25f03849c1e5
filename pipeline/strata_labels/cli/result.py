"""How a command on a workspace ends: summary, paths, exit status, decisions that were cut short."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from strata_labels.cli.options import write_result
from strata_labels.errors import InputError, Problem
from strata_labels.messages import say, warn

if TYPE_CHECKING:
    from strata_labels.build import Workspace


def finish(
    workspace: Workspace, json: Path | None = None, show: Callable[[str], None] = say
) -> None:
    """Prints the last build's summary and paths; exits with 3 if review rows are open.

    Decisions that a crash cut short are listed on stderr, and in the JSON as `cut_decisions`.
    `show` prints a line; by default, `--quiet` leaves it out.
    """
    from strata_labels.show import summary_lines

    record = workspace.last_run()
    if "numbers" not in record:
        fix = "Run the same `strata build` again; finished work is kept."
        raise InputError(Problem(workspace.folder, "its build was stopped", fix))
    numbers, agreed = record["numbers"], record["agreement"]
    cut = warn_of_cut_decisions(workspace)
    numbers_of = {
        "numbers": numbers,
        "agreement": agreed,
        "reviewers": record.get("reviewers"),  # a build of an earlier version has none
        "cut_decisions": cut,
    }
    write_result(json, numbers_of)
    show("")
    show("\n".join(summary_lines(record["title"], numbers, agreed)))
    show("")
    paths = {
        "tree": workspace.page,
        "picture": workspace.picture,
        "card": workspace.card,
        "tables": workspace.tables,
        "exports": workspace.export,
        "review": workspace.sheet,
    }
    lists = {
        "unread": workspace.unread_images,
        "shared": workspace.shared_images,
        "decisions": workspace.not_applied,
    }
    paths |= {name: path for name, path in lists.items() if path.is_file()}
    for name, path in paths.items():
        show(f"  {name:<9} {_short(path)}")
    if numbers["open_rows"]:
        show(
            f"\nDecide the open rows: strata review {_short(workspace.folder)}\n"
            f"Or fill in `decision` in {_short(workspace.sheet)}, "
            f"then run: strata apply {_short(workspace.folder)}"
        )
        raise typer.Exit(3)


def open_workspace(folder: Path) -> Workspace:
    """The workspace in a folder, with all decisions of its ledger in its tables.

    A command that was stopped leaves decisions in the ledger alone, and so does one that takes
    decisions back; they are brought in first.
    While a review page is open on the ledger, its end does that.

    Raises:
        InputError: the folder holds no build; a path that the build was given is gone.
    """
    from strata_labels.build import Workspace, is_behind, rebuild
    from strata_labels.files import holder, remove_dead
    from strata_labels.review import lock_of

    workspace = Workspace(folder.resolve())
    remove_dead(workspace.lock)
    if is_behind(workspace):
        who = holder(lock_of(workspace.last_settings().decisions))
        what = f"{workspace.folder}: decisions of the ledger are not in the tables yet"
        if who:
            warn(f"{what}; {who} brings them in at its end.")
        else:
            warn(f"{what}; they are brought in now.")
            rebuild(workspace)
    return workspace


def warn_of_cut_decisions(workspace: Workspace) -> list[dict[str, Any]]:
    """Says on stderr which decisions a crash has cut short, until they are decided again.

    Returns:
        `file, row, text` of each; the row is None if it is not known.
    """
    from strata_labels.build import ledgers
    from strata_labels.review import cut_decisions

    found = cut_decisions(*ledgers(workspace.last_settings()))
    for problem in found:
        warn(f"warning: {problem}")
    return [{"file": str(p.where), "row": p.row, "text": p.value} for p in found]


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
