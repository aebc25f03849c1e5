"""The tree as one plain HTML file: open it, fold it, search it; no server, no network."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import pandas as pd

from strata_labels.files import write_text

_EXAMPLES = 6


@dataclass
class _Branch:
    name: str
    qid: str
    total: int
    accepted: int
    changes: list[str] = field(default_factory=list)
    children: list[_Branch] = field(default_factory=list)
    examples: list[dict[str, str]] = field(default_factory=list)


def render_page(
    path: Path,
    items: pd.DataFrame,
    nodes: pd.DataFrame,
    assignments: pd.DataFrame,
    levels: tuple[str, ...],
    title: str,
    changes: pd.DataFrame | None = None,
) -> None:
    """Writes the foldable tree with counts and examples.

    Args:
        path: HTML file to write, whole or not at all.
        items: table `items` (addresses of the examples).
        nodes: table `nodes` (Wikidata ids).
        assignments: table `assignments`.
        levels: names of the levels, the item's first.
        title: heading of the page.
        changes: what changed since another tree (`change, level, node_id, before, after`), to be
            marked where it is, and listed where it is not there any more.
    """
    labelled = assignments[assignments["level1_id"].notna()]
    labelled = labelled.merge(items[["item_id", "source_url"]], on="item_id", how="left")
    qids = dict(zip(nodes["node_id"], nodes["qid"].fillna(""), strict=True))
    top = len(levels) - 1
    marks = _marks(changes, labelled)
    aside = assignments.loc[assignments["level1_id"].isna(), "status"].value_counts().sort_index()
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("strata_labels.show", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("tree.html.j2").render(
        title=title,
        levels=[name.replace("_", " ") for name in levels],
        branches=_branches(labelled, top, qids, marks),
        total=len(assignments),
        labelled=len(labelled),
        accepted=int(labelled["accepted"].sum()),
        counted=_counted(changes, levels),
        removed=_removed(changes),
        aside=[(str(key).replace("_", " "), int(count)) for key, count in aside.items()],
    )
    write_text(path, text)


def _marks(changes: pd.DataFrame | None, labelled: pd.DataFrame) -> dict[str, list[str]]:
    """What is said at each node: its own changes, and at level 1 the items that are new there."""
    found: dict[str, list[str]] = {}
    if changes is None:
        return found
    nodes = changes[(changes["level"] > 0) & (changes["change"] != "removed")]
    for row in nodes.to_dict("records"):
        before = f" from {row['before']}" if row["before"] else ""
        found.setdefault(row["node_id"], []).append(f"{row['change']}{before}")
    came = changes[(changes["level"] == 0) & changes["change"].isin(["added", "moved"])]
    counts = labelled["level1_id"][labelled["item_id"].isin(came["node_id"])].value_counts()
    for node, number in counts.items():
        found.setdefault(str(node), []).append(f"{number:,} items new here")
    return found


def _counted(changes: pd.DataFrame | None, levels: tuple[str, ...]) -> list[str]:
    """`class: 2 added, 1 removed`, the top level first; no line where nothing is compared."""
    if changes is None:
        return []
    lines = []
    for level in sorted(set(changes["level"]), reverse=True):
        counts = changes["change"][changes["level"] == level].value_counts().sort_index()
        told = ", ".join(f"{number:,} {change}" for change, number in counts.items())
        lines.append(f"{levels[level].replace('_', ' ')}: {told}")
    return lines or ["nothing"]


def _removed(changes: pd.DataFrame | None) -> list[str]:
    """Nodes that are not there any more, and where they hung."""
    if changes is None:
        return []
    gone = changes[(changes["level"] > 0) & (changes["change"] == "removed")]
    return [f"{row['node_id']} ({row['before']})" for row in gone.to_dict("records")]


def _branches(
    rows: pd.DataFrame, top: int, qids: dict[str, str], marks: dict[str, list[str]]
) -> list[_Branch]:
    """The top nodes with all below them, the largest first; one pass a level."""
    best = rows.sort_values(["confidence", "item_id"], ascending=[False, True])
    best = best[best.groupby("level1_id").cumcount() < _EXAMPLES]
    examples: dict[str, list[dict[str, str]]] = {}
    columns = [best[name].tolist() for name in ("level1_id", "name", "source_url")]
    for node, name, address in zip(*columns, strict=True):
        examples.setdefault(node, []).append({"name": str(name), "address": str(address or "")})
    below: dict[str, list[_Branch]] = {}
    for level in range(1, top + 1):
        parents = f"level{level + 1}_id" if level < top else None
        keys = [f"level{level}_id", *([parents] if parents else [])]
        counts = rows.groupby(keys, sort=True).agg(
            name=(f"level{level}_name", "first"),
            total=("item_id", "size"),
            accepted=("accepted", "sum"),
        )
        above: dict[str, list[_Branch]] = {}
        for key, name, total, accepted in counts.itertuples():
            node, parent = key if parents else (key, "")
            branch = _Branch(str(name), qids.get(node, ""), int(total), int(accepted))
            branch.children = below.get(node, [])
            branch.changes = marks.get(node, [])
            branch.examples = examples.get(node, []) if level == 1 else []
            above.setdefault(parent, []).append(branch)
        below = {
            parent: sorted(found, key=lambda branch: (-branch.total, branch.name))
            for parent, found in above.items()
        }
    return below.get("", [])
