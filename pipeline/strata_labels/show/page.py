"""The tree as one HTML file to fold, search, filter and link to; no server, no network."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd

from strata_labels.files import write_text
from strata_labels.show.example_pictures import example_pictures
from strata_labels.show.numbers import HUMAN, finest_level
from strata_labels.show.page_data import as_text, fit_nodes, pack
from strata_labels.show.page_layout import ASIDE, PageLayout, lay_out
from strata_labels.tables import LABELLED

#: Bytes of the page and of its pictures, at most.
MOST_BYTES, MOST_PICTURE_BYTES = 2_960_000, 600_000
_FRAME_BYTES = 50_000  # of what is neither data nor pictures
_MOST_REMOVED = 100  # nodes that are listed, so that the page stays small


def render_page(
    path: Path,
    items: pd.DataFrame,
    nodes: pd.DataFrame,
    assignments: pd.DataFrame,
    levels: tuple[str, ...],
    title: str,
    changes: pd.DataFrame | None = None,
    label_issues: pd.DataFrame | None = None,
    find_image: Callable[[str], Path | None] | None = None,
) -> None:
    """Writes the page: a fold-out list and an icicle of the nodes, all items, pictures of examples.

    The page has at most `MOST_BYTES`; what had to be left out for that is said on it.

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
        find_image: gives the file of an image reference, None where there is none.
    """
    labelled = assignments[assignments["status"] == LABELLED]
    finest = finest_level(labelled, len(levels))
    aside = assignments.loc[assignments["status"] != LABELLED, "status"].value_counts().sort_index()
    stopped = finest[finest > 1].value_counts().sort_index()
    decided = labelled["accepted"] & (labelled["origin"] == HUMAN)
    layout = lay_out(items, nodes, assignments, len(levels), label_issues)
    room = MOST_BYTES - _FRAME_BYTES
    layout, dropped = fit_nodes(layout, room * 4 // 5)
    many = "level" if dropped == 1 else f"{dropped} levels"
    left_out = [f"the nodes of the finest {many}"] if dropped else []
    said = _marks(changes, layout)
    about = {
        "levels": [name.replace("_", " ") for name in levels],
        "aside": ASIDE,
        "marks": {n: said[node] for n, node in enumerate(layout.nodes["id"]) if node in said},
    }
    packed = pack(layout, about, room)
    room = min((room - len(packed.text)) * 4 // 5, MOST_PICTURE_BYTES)
    pictures = []
    if find_image is not None:
        pictures = example_pictures(layout, packed.items, find_image, room)
    place = np.searchsorted(packed.items, [row for row, _ in pictures])
    text = _template().render(
        title=title,
        levels=[name.replace("_", " ") for name in levels],
        total=len(assignments),
        labelled=len(labelled),
        automatic=int((labelled["accepted"] & ~decided).sum()),
        decided=int(decided.sum()),
        counted=_counted(changes, levels),
        removed=_removed(changes),
        aside=[(str(key).replace("_", " "), int(count)) for key, count in aside.items()],
        data=packed.text,
        left_out=[*left_out, *packed.left_out],
        pictures=as_text(b"".join(content for _, content in pictures)),
        picture_rows=[
            [int(row), len(content)] for row, (_, content) in zip(place, pictures, strict=True)
        ],
        stopped=[(levels[int(str(n))].replace("_", " "), int(k)) for n, k in stopped.items()],
    )
    write_text(path, text)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("strata_labels.show", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("tree.html.j2")


def _marks(changes: pd.DataFrame | None, layout: PageLayout) -> dict[str, list[str]]:
    """What is said at each node: its own changes, and the number of items that are new there."""
    found: dict[str, list[str]] = {}
    if changes is None:
        return found
    nodes = changes[(changes["level"] > 0) & (changes["change"] != "removed")]
    for row in nodes.to_dict("records"):
        before = f" from {row['before']}" if row["before"] else ""
        found.setdefault(row["node_id"], []).append(f"{row['change']}{before}")
    came = changes[(changes["level"] == 0) & changes["change"].isin(["added", "moved"])]
    new = layout.items["item_id"].isin(came["node_id"])
    counts = layout.items.loc[new, "node"].map(layout.nodes["id"]).value_counts().sort_index()
    for node, number in counts.items():
        word = "item" if number == 1 else "items"
        found.setdefault(str(node), []).append(f"{number:,} {word} new here")
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
    """Nodes that are not there any more, and where they hung; of many the first ones."""
    if changes is None:
        return []
    gone = changes[(changes["level"] > 0) & (changes["change"] == "removed")]
    told = gone.head(_MOST_REMOVED)
    lines = [f"{row['node_id']} ({row['before']})" for row in told.to_dict("records")]
    more = len(gone) - len(told)
    return [*lines, f"{more:,} more"] if more else lines
