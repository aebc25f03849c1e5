"""Tables of named landmarks with missing and wrong labels, and builds of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from strata_labels.build import BuildSettings, Workspace, build_tree
from strata_labels.tables import load

STARTS = ("Ad", "Be", "Co", "Da", "El", "Fin", "Gar", "Hol", "Im", "Jun")
ENDS = ("orf", "burg", "heim", "ing", "stadt", "wald")
PLACES = [start + end for start in STARTS for end in ENDS]
GROUP = {"lake": "water", "river": "water", "church": "building", "tower": "building"}


#: Labelled landmarks that `landmarks(wrong=True)` gives another kind.
WRONG = {"lake4": "church", "church6": "lake", "tower8": "river", "river10": "tower"}


def landmarks(wrong: bool = False) -> pd.DataFrame:
    """Named landmarks of four kinds in two groups; each fourth one lacks its labels."""
    rows = []
    for kind, group in GROUP.items():
        for n, place in enumerate(PLACES):
            labels = (kind, group) if n % 4 != 1 else ("", "")
            rows.append((f"{kind}{n}", f"{kind.title()} of {place}", *labels))
    table = pd.DataFrame(rows, columns=["id", "name", "kind", "group"]).set_index("id")
    for item, kind in WRONG.items() if wrong else ():
        table.loc[item, ["kind", "group"]] = [kind, GROUP[kind]]
    return table


def build(folder: Path, table: pd.DataFrame | str, **more: object) -> Workspace:
    """Builds a table in a workspace of its own, or again in that of an earlier call."""
    folder.mkdir(exist_ok=True)
    path = folder / "items.csv"
    path.write_text(table if isinstance(table, str) else table.to_csv())
    place = Workspace(folder / "ws")
    given = {"decisions": place.ledger, "encoder": "", "metadata": path, **more}
    build_tree(place, BuildSettings(tree="table", **given))  # type: ignore[arg-type]
    return place


def found(place: Workspace) -> pd.DataFrame:
    """The assignments by the table's own ids."""
    table = load(place.folder, "assignments")
    return table.set_index(table["item_id"].str.rpartition("/")[2])
