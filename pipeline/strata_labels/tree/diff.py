"""Lists what changed between two trees."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from strata_labels.tree.label_tree import LabelTree

#: Kinds of change, in the order of the text.
CHANGES = ("added", "removed", "renamed", "moved")

#: The text names single items only up to this many changes; the table always does.
LISTED = 100


@dataclass(frozen=True)
class TreeDiff:
    """Changes from one tree to another.

    Attributes:
        changes: `change` (one of `CHANGES`), `level`, `node_id`, `before`, `after`: the name of a
            renamed node, otherwise the path of names above the node. By level from the top, change
            and id. A node below a moved one does not count as moved.
    """

    changes: pd.DataFrame

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Number of changes by level and kind."""
        found: dict[str, dict[str, int]] = {}
        for level, rows in self.changes.groupby("level"):
            counts = rows["change"].value_counts()
            found[str(level)] = {name: int(counts[name]) for name in CHANGES if name in counts}
        return found

    def __str__(self) -> str:
        if self.changes.empty:
            return "The trees are equal."
        lines = []
        for level, counts in sorted(self.counts.items(), key=lambda pair: -int(pair[0])):
            parts = [f"{number:,} {change}" for change, number in counts.items()]
            lines.append(f"level {level}: {', '.join(parts)}")
        shown = self.changes[(self.changes.level > 0) | (len(self.changes) <= LISTED)]
        lines += [
            f"  {change} {node}: {before or '-'} → {after or '-'}"
            for change, node, before, after in zip(
                shown.change, shown.node_id, shown.before, shown.after, strict=True
            )
        ]
        return "\n".join(lines)


def diff(before: LabelTree, after: LabelTree) -> TreeDiff:
    """Nodes and items that were added, removed, renamed, or put under another parent."""
    joined = before.nodes().merge(
        after.nodes(), on="node_id", how="outer", suffixes=("_a", "_b"), indicator=True
    )
    both = joined._merge == "both"
    moved = both & (
        (joined.parent_id_a.fillna("") != joined.parent_id_b.fillna(""))
        | (joined.level_a != joined.level_b)
    )
    parts = [
        (joined._merge == "right_only", "added"),
        (joined._merge == "left_only", "removed"),
        (both & (joined.name_a != joined.name_b), "renamed"),
        (moved, "moved"),
    ]
    frames = []
    for mask, change in parts:
        part = joined[mask]
        named = change == "renamed"
        frames.append(
            pd.DataFrame(
                {
                    "change": change,
                    "level": part.level_b.fillna(part.level_a).astype(int),
                    "node_id": part.node_id,
                    "before": part.name_a if named else _above(part.node_id, before),
                    "after": part.name_b if named else _above(part.node_id, after),
                }
            )
        )
    changes = pd.concat(frames).fillna({"before": "", "after": ""})
    changes["order"] = changes.change.map(CHANGES.index)
    changes["top"] = -changes.level
    changes = changes.sort_values(["top", "order", "node_id"], ignore_index=True)
    return TreeDiff(changes.drop(columns=["order", "top"]))


def _above(nodes: pd.Series, tree: LabelTree) -> pd.Series:
    """Names above each node, nearest first; a top node's own name; none for an unknown node."""
    above = [tree.path_name(tree.parent.get(node, "")) or tree.name.get(node, "") for node in nodes]
    return pd.Series(above, nodes.index, dtype=object)
