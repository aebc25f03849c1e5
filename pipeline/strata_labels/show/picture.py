"""The tree as a picture: its levels from left to right, every node with its share."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from strata_labels.files import whole
from strata_labels.tables import LABELLED

_LONGEST = 32  # characters of a label that do not reach into the bars
_MOST_ROWS = 110  # more rows than this cannot be read in a card
_MOST_COLUMNS = 8  # with more, even short names run into each other
_NO_FINER = "(no finer label)"
_ACCEPTED, _OPEN, _EDGE, _INK = "#2f6f73", "#e2a03f", "#c9d1d3", "#1f2d2e"


def draw_tree(path: Path, assignments: pd.DataFrame, levels: tuple[str, ...], title: str) -> None:
    """Draws the lowest level that still fits, seven levels above it at most, and a bar a node.

    The bar is split in accepted items (dark) and items open for review (light). Levels that are
    left out at the top are counted in the heading; nodes below different ones stay apart.

    Args:
        path: PNG to write, whole or not at all.
        assignments: table `assignments`.
        levels: names of the levels, the item's first.
        title: heading of the picture.
    """
    from matplotlib.figure import Figure  # pyplot would keep what other threads may change

    labelled = assignments[assignments["status"] == LABELLED]
    lowest = _lowest_level(labelled, len(levels))
    line = list(range(len(levels) - 1, max(lowest, 1) - 1, -1))
    shown = line[-_MOST_COLUMNS:]
    if left_out := len(line) - len(shown):
        title += f" (highest levels not shown: {left_out})"
    leaves = _leaves(labelled, line)
    height = max(2.4, 0.19 * len(leaves) + 1.3)
    figure = Figure(figsize=(11, height), dpi=110)
    axes = figure.subplots()
    _draw_nodes(axes, leaves, line, left_out)
    _draw_bars(axes, leaves, len(shown))
    for x, level in enumerate(shown):
        axes.text(
            x, -1.4, _plain(levels[level].replace("_", " ")), ha="left", color=_INK, weight="bold"
        )
    axes.text(len(shown) + 0.05, -1.4, "accepted (dark), open for review (light)", color=_INK)
    axes.set_title(_plain(title), loc="left", color=_INK, fontsize=13, pad=14, y=1.0)
    axes.set_xlim(-0.1, len(shown) + 1.35)
    axes.set_ylim(max(len(leaves), 1) + 0.2, -2.2)
    axes.set_xticks([])  # matplotlib lays out ticks that are not shown too
    axes.set_yticks([])
    axes.axis("off")
    with whole(path) as beside, warnings.catch_warnings():
        # Signs that the font lacks are drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph")
        # Of the "tight" box itself, matplotlib would draw the figure twice.
        box = figure.get_tightbbox().padded(0.1)
        figure.savefig(beside, format="png", bbox_inches=box, metadata={"Software": None})


def _lowest_level(labelled: pd.DataFrame, num_levels: int) -> int:
    for level in range(1, num_levels):
        if labelled[f"level{level}_id"].nunique() <= _MOST_ROWS:
            return level
    return num_levels - 1


def _leaves(labelled: pd.DataFrame, line: list[int]) -> pd.DataFrame:
    """A row for each node of the last level of the line, with the names above it.

    Items whose label stops early have a row of their own. Of too many rows the largest are shown.
    """
    names = [f"level{level}_name" for level in line]
    if not names:
        return pd.DataFrame(columns=["accepted", "total"])
    leaves = (
        labelled.fillna(dict.fromkeys(names, _NO_FINER))
        .groupby(names, sort=True)["accepted"]
        .agg(accepted="sum", total="size")
        .reset_index()
    )
    keys = [
        (level, leaves.groupby(names[: i + 1])["total"].transform("sum"))
        for i, level in enumerate(line)
    ]
    for level, size in keys:
        leaves[f"size{level}"] = size
    order = [key for level in line for key in (f"size{level}", f"level{level}_name")]
    ascending = [flag for _ in line for flag in (False, True)]
    leaves = leaves.sort_values(order, ascending=ascending, kind="stable").reset_index(drop=True)
    if len(leaves) <= _MOST_ROWS + 1:
        return leaves
    rest = leaves[_MOST_ROWS:]
    sums = rest[["accepted", "total"]].sum().to_frame().T
    others = sums.assign(**dict.fromkeys(names, f"{len(rest):,} more"))
    return pd.concat([leaves[:_MOST_ROWS], others], ignore_index=True)


def _draw_nodes(axes: Any, leaves: pd.DataFrame, line: list[int], left_out: int) -> None:
    from matplotlib.collections import LineCollection

    above: dict[tuple[str, ...], float] = {}
    edges, dots = [], []
    shown = line[left_out:]
    for x, level in enumerate(shown):
        names = [f"level{n}_name" for n in line[: left_out + x + 1]]
        here: dict[tuple[str, ...], float] = {}
        for key, rows in leaves.groupby(names, sort=False):
            path = tuple(map(str, key)) if isinstance(key, tuple) else (str(key),)
            y = float(rows.index.to_series().mean())
            here[path] = y
            total = int(rows["total"].sum())
            if x:
                start = above[path[:-1]]
                edges.append([(x - 0.97, start), (x - 0.14, y), (x - 0.03, y)])
            dots.append((x, y, 14 + 160 * (total / max(int(leaves["total"].sum()), 1)) ** 0.5))
            label = _short(path[-1]) + ("" if x == len(shown) - 1 else f"  {total:,}")
            style = {"va": "center", "fontsize": 8 if level < shown[0] else 10, "color": _INK}
            behind = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
            axes.text(x + 0.06, y, label, bbox=behind, zorder=4, **style)
        above = here
    axes.add_collection(LineCollection(edges, color=_EDGE, lw=0.8, zorder=1))
    across, down, size = zip(*dots, strict=True) if dots else ((), (), ())
    axes.scatter(across, down, s=size, color=_ACCEPTED, zorder=3, lw=0)


def _plain(text: str) -> str:
    """Text on one line, in which no sign is taken for a formula."""
    return " ".join(text.split()).replace("$", r"\$")


def _short(name: str) -> str:
    name = _plain(name)
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1].rstrip() + "…"


def _draw_bars(axes: Any, leaves: pd.DataFrame, left: int) -> None:
    widest = max(int(leaves["total"].max()) if len(leaves) else 1, 1)
    accepted, total = leaves["accepted"] / widest, leaves["total"] / widest
    axes.barh(leaves.index, accepted, left=left, height=0.7, color=_ACCEPTED)
    axes.barh(leaves.index, total - accepted, left=left + accepted, height=0.7, color=_OPEN)
    for y, (end, number) in enumerate(zip(left + total + 0.02, leaves["total"], strict=True)):
        axes.text(end, y, f"{int(number):,}", va="center", fontsize=7, color=_INK)
