"""The tree as one plain HTML file: open it, fold it, search it; no server, no network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd

from strata_labels.files import write_text
from strata_labels.show.numbers import HUMAN, doubted_labels, finest_level
from strata_labels.tables import LABELLED
from strata_labels.tree import LabelTree

_EXAMPLES = 6


@dataclass(frozen=True)
class _Branch:
    """A node on the page: `total` labelled items below it, `direct` of them right below.

    `doubted` is the number of items that came with a label of the node, or of one below it, and
    were opened for review because of that. Items hang right below a node of level 1, or of a
    higher one where their labels stop early.
    """

    name: str
    level: int
    qid: str
    total: int
    accepted: int
    doubted: int
    direct: int
    changes: list[str]
    examples: list[dict[str, str]]
    children: list[_Branch]


def render_page(
    path: Path,
    items: pd.DataFrame,
    nodes: pd.DataFrame,
    assignments: pd.DataFrame,
    levels: tuple[str, ...],
    title: str,
    changes: pd.DataFrame | None = None,
    label_issues: pd.DataFrame | None = None,
) -> None:
    """Writes the foldable tree with counts and examples.

    Args:
        path: HTML file to write, whole or not at all.
        items: table `items` (addresses of the examples).
        nodes: table `nodes`.
        assignments: table `assignments`.
        levels: names of the levels, the item's first.
        title: heading of the page.
        changes: what changed since another tree (`change, level, node_id, before, after`), to be
            marked at its node, and listed where the node is gone.
        label_issues: table `label_issues`, whose opened labels are counted at their nodes.
    """
    labelled = assignments[assignments["status"] == LABELLED]
    labelled = labelled.merge(items[["item_id", "source_url"]], on="item_id", how="left")
    labelled["finest"] = finest_level(labelled, len(levels))
    aside = assignments.loc[assignments["status"] != LABELLED, "status"].value_counts().sort_index()
    stopped = labelled.loc[labelled["finest"] > 1, "finest"].value_counts().sort_index()
    decided = labelled["accepted"] & (labelled["origin"] == HUMAN)
    doubts = {} if label_issues is None else doubted_labels(label_issues)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("strata_labels.show", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("tree.html.j2").render(
        title=title,
        levels=[name.replace("_", " ") for name in levels],
        branches=_branches(labelled, nodes, _marks(changes, labelled), doubts),
        total=len(assignments),
        labelled=len(labelled),
        automatic=int((labelled["accepted"] & ~decided).sum()),
        decided=int(decided.sum()),
        counted=_counted(changes, levels),
        removed=_removed(changes),
        aside=[(str(key).replace("_", " "), int(count)) for key, count in aside.items()],
        stopped=[(levels[int(str(n))].replace("_", " "), int(k)) for n, k in stopped.items()],
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
    counts = _hangs_on(labelled)[labelled["item_id"].isin(came["node_id"])].value_counts()
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
        parts = ", ".join(f"{number:,} {change}" for change, number in counts.items())
        lines.append(f"{levels[level].replace('_', ' ')}: {parts}")
    return lines or ["nothing"]


def _removed(changes: pd.DataFrame | None) -> list[str]:
    """Nodes that are not there any more, and where they hung."""
    if changes is None:
        return []
    gone = changes[(changes["level"] > 0) & (changes["change"] == "removed")]
    return [f"{row['node_id']} ({row['before']})" for row in gone.to_dict("records")]


def _hangs_on(labelled: pd.DataFrame) -> pd.Series:
    """The node right above each item: that of the finest level it has a label at; "" for none."""
    above = pd.Series("", labelled.index, dtype=object)
    for level in labelled["finest"].unique():
        if level:
            here = labelled["finest"] == level
            above = above.mask(here, labelled[f"level{level}_id"])
    return above


def _branches(
    labelled: pd.DataFrame,
    nodes: pd.DataFrame,
    marks: dict[str, list[str]],
    doubts: dict[str, int],
) -> list[_Branch]:
    """The top nodes with all below them, the largest first."""
    tree = LabelTree.from_nodes(nodes[nodes["level"] > 0])
    above = _hangs_on(labelled)
    direct = {str(node): int(n) for node, n in above[above != ""].value_counts().items()}
    sure = above[labelled["accepted"] & (above != "")].value_counts()
    total = tree.items_below(direct)
    doubted = tree.items_below(doubts)
    accepted = tree.items_below({str(node): int(n) for node, n in sure.items()})

    best = labelled.assign(above=above)
    best = best.sort_values(["confidence", "item_id"], ascending=[False, True])
    best = best[best.groupby("above").cumcount() < _EXAMPLES]
    examples: dict[str, list[dict[str, str]]] = {}
    columns = [best[name].tolist() for name in ("above", "name", "source_url")]
    for node, name, address in zip(*columns, strict=True):
        link = str(address or "")
        # A table of the user's own may hold any text; only web addresses become links.
        link = link if link.startswith(("http://", "https://")) else ""
        examples.setdefault(node, []).append({"name": str(name), "address": link})

    def below(parent: str) -> list[_Branch]:
        found = [
            _Branch(
                name=tree.name[node],
                level=tree.level[node],
                qid=tree.qid[node],
                total=total[node],
                accepted=accepted.get(node, 0),
                doubted=doubted.get(node, 0),
                direct=direct.get(node, 0),
                changes=marks.get(node, []),
                examples=examples.get(node, []),
                children=below(node),
            )
            for node in tree.children(parent)
            if node in total
        ]
        return sorted(found, key=lambda branch: (-branch.total, branch.name))

    return below("")
