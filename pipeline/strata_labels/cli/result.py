"""How a command that built something ends: summary, paths, exit status."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from strata_labels.build import Workspace


def finish(workspace: Workspace, json: Path | None = None) -> None:
    """Prints the last build's summary and paths; exits with 3 if review rows are open."""
    from strata_labels.errors import InputError, Problem
    from strata_labels.files import write_json
    from strata_labels.show import summary_lines

    record = workspace.last_run()
    if "numbers" not in record:
        fix = "Run the same `strata build` again; finished work is kept."
        raise InputError(Problem(workspace.folder, "its build was stopped", fix))
    numbers, agreed = record["numbers"], record["agreement"]
    if json:
        reviewers = record.get("reviewers")  # a build of an earlier version has none
        write_json(json, {"numbers": numbers, "agreement": agreed, "reviewers": reviewers})
    print()
    print("\n".join(summary_lines(record["title"], numbers, agreed)))
    print()
    places = {
        "tree": workspace.page,
        "picture": workspace.picture,
        "card": workspace.card,
        "tables": workspace.tables,
        "exports": workspace.export,
        "review": workspace.sheet,
    }
    for name, path in places.items():
        print(f"  {name:<9} {_short(path)}")
    if numbers["open_rows"]:
        print(
            f"\nFill in `decision` in {_short(workspace.sheet)}, "
            f"then run: strata apply {_short(workspace.folder)}"
        )
        raise typer.Exit(3)


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
