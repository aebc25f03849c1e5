"""`strata history`: who decided what on an item, when, on which evidence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strata_labels.cli.options import BuiltWorkspace, ResultFile, write_result
from strata_labels.cli.result import open_workspace, warn_of_cut_decisions

if TYPE_CHECKING:
    import pandas as pd


def history(
    item: Annotated[str, typer.Argument(help="Id of an item or a node.")],
    folder: BuiltWorkspace = Path(),
    json: ResultFile = None,
) -> None:
    """List who decided what on an item or node, and when.

    Each decision is shown with the evidence that its reviewer saw.
    """
    from strata_labels.build import item_history

    workspace = open_workspace(folder)
    found = item_history(workspace, item)
    warn_of_cut_decisions(workspace)
    print(f"{found.subject}  {found.name}")
    print(f"  now: {found.path or 'without a place'} ({found.state or 'not in the data'})")
    if found.evidence:
        print(f"  evidence now: {' '.join(found.evidence)}")
    _print_decisions("Decisions on it", found.own)
    _print_decisions("Decisions on what it hangs below, or was proposed to", found.above)
    tables = {"own": found.own.to_dict("records"), "above": found.above.to_dict("records")}
    write_result(json, found.__dict__ | tables)


def _print_decisions(title: str, decisions: pd.DataFrame) -> None:
    print(f"\n{title}:" if len(decisions) else f"\n{title}: none")
    for row in decisions.to_dict("records"):
        target = f" {row['target']}" if row["target"] else ""
        who = f"{row['reviewer']}: {row['decision']}{target} on {row['row_id']}"
        print(f"  {row['decided_at']}  {who}")
        print(f"    {row['fate']}  [{row['file']}, row {row['row']}]")
        if row["note"]:
            print(f"    note: {row['note']}")
        if row["seen"]:
            print(f"    saw: {row['seen']}")
