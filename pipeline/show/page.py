"""The tree as one plain HTML file: open it, fold it, search it; no server, no network."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import pandas as pd

from pipeline.files import write_text

_EXAMPLES = 6


@dataclass
class _Branch:
    name: str
    qid: str
    total: int
    accepted: int
    children: list[_Branch] = field(default_factory=list)
    examples: list[dict[str, str]] = field(default_factory=list)


def render_page(
    path: Path,
    items: pd.DataFrame,
    nodes: pd.DataFrame,
    assignments: pd.DataFrame,
    levels: tuple[str, ...],
    title: str,
) -> None:
    """Writes the foldable tree with counts and examples.

    Args:
        path: HTML file to write, whole or not at all.
        items: table `items` (addresses of the examples).
        nodes: table `nodes` (Wikidata ids).
        assignments: table `assignments`.
        levels: names of the levels, the item's first.
        title: heading of the page.
    """
    labelled = assignments[assignments["level1_id"].notna()]
    labelled = labelled.merge(items[["item_id", "source_url"]], on="item_id", how="left")
    qids = dict(zip(nodes["node_id"], nodes["qid"].fillna(""), strict=True))
    top = len(levels) - 1
    aside = assignments.loc[assignments["level1_id"].isna(), "status"].value_counts().sort_index()
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.show", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("tree.html.j2").render(
        title=title,
        levels=[name.replace("_", " ") for name in levels],
        branches=_branches(labelled, top, qids),
        total=len(assignments),
        labelled=len(labelled),
        accepted=int(labelled["accepted"].sum()),
        aside=[(str(key).replace("_", " "), int(count)) for key, count in aside.items()],
    )
    write_text(path, text)


def _branches(rows: pd.DataFrame, level: int, qids: dict[str, str]) -> list[_Branch]:
    found = []
    for node_id, below in rows.groupby(f"level{level}_id", sort=True):
        branch = _Branch(
            name=str(below[f"level{level}_name"].iloc[0]),
            qid=qids.get(str(node_id), ""),
            total=len(below),
            accepted=int(below["accepted"].sum()),
        )
        if level > 1:
            branch.children = _branches(below, level - 1, qids)
        else:
            best = below.sort_values(["confidence", "item_id"], ascending=[False, True])
            branch.examples = [
                {"name": str(row.name_), "address": str(row.source_url or "")}
                for row in best.rename(columns={"name": "name_"}).head(_EXAMPLES).itertuples()
            ]
        found.append(branch)
    return sorted(found, key=lambda branch: (-branch.total, branch.name))
