"""`strata simulate-review`: how many decisions a tree takes, answered from known labels."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from strata_labels.messages import say


def simulate_review(
    truth: Annotated[
        Path, typer.Option(help="Known labels in the released GLDv2 columns; blank ones ignored.")
    ],
    json: Annotated[
        Path,
        typer.Option(dir_okay=False, help="Write decisions per 1,000 items and the curve here."),
    ],
    encoder: Annotated[
        str | None, typer.Option(help="registry, MODEL/TAG, MODEL/CHECKPOINT or local-dir:DIR.")
    ] = None,
    target: Annotated[
        list[float] | None,
        typer.Option(help="Agreement to reach; may be repeated. Else 0.95 and 0.99."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Leave ledger and assignments in this new folder."),
    ] = None,
    page: Annotated[
        int, typer.Option(min=1, max=10, help="Look-alikes seen at a time; 1: row by row.")
    ] = 10,
    tree: Annotated[
        str | None, typer.Option(help="The tree whose vocabulary and lexicon are used.")
    ] = None,
) -> None:
    """Simulate a review, to plan how many decisions it takes.

    A decision is one answer, and one line of the ledger: to one row, or to all rows of a page
    that are the same.
    """
    from strata_labels.build import simulate_review as simulate
    from strata_labels.files import write_json
    from strata_labels.hierarchy import load_hierarchy, tree_with_vocabulary

    tree = tree or tree_with_vocabulary()
    targets = sorted(set(target or [0.95, 0.99]))
    with tempfile.TemporaryDirectory() as spare:
        folder = (out or Path(spare) / "simulated").resolve()
        result = simulate(
            truth.resolve(),
            folder,
            tree,
            load_hierarchy(tree).encoder if encoder is None else encoder,
            targets,
            page,
            say,
        )
    write_json(json, result)
    print()
    for goal in targets:
        count = result["decisions_per_1000"][str(goal)]
        shown = "not reached" if count is None else f"{count:,.0f} decisions per 1,000 items"
        print(f"  {goal:.0%} agreement: {shown}")
    if out:
        print(f"  ledger and assignments: {folder}")
