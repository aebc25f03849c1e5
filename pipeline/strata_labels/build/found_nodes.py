"""Groups items into nodes of their own by clustering, where a build is given `--clusters`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from strata_labels.build.assets import ledgers
from strata_labels.build.embed import IMAGES, NAMES, load_vectors
from strata_labels.build.engine_tables import Completed, nothing_questioned
from strata_labels.build.label_questions import read_given
from strata_labels.build.settings import BuildSettings
from strata_labels.build.workspace import Workspace
from strata_labels.errors import InputError, Problem
from strata_labels.proposal import propose_free
from strata_labels.review import read_ledger
from strata_labels.tables import load

_NO_VECTORS = "there are no vectors to cluster"
_GIVE = "Give --vectors, or --encoder SPEC and names or --images for it to encode."


def level_sizes(clusters: int, num_levels: int) -> list[int]:
    """Nodes at each level above the items: `clusters` at level 2, five times as many below it.

    Above level 2 each level has the square root of the one below, the last one two. A tree of one
    level above the items has `clusters` nodes there.

    Example:
        >>> level_sizes(20, 2), level_sizes(20, 3), level_sizes(20, 5)
        ([20], [100, 20], [100, 20, 4, 2])
    """
    if num_levels <= 2:
        return [clusters]
    sizes = [5 * clusters, clusters]
    while len(sizes) < num_levels - 1:
        sizes.append(2 if len(sizes) == num_levels - 2 else max(2, round(sizes[-1] ** 0.5)))
    return sizes


def into_found_nodes(
    workspace: Workspace, settings: BuildSettings, items: pd.DataFrame
) -> tuple[Completed, pd.DataFrame]:
    """Proposals into clusters of the vectors that there are; items without any wait for review.

    Raises:
        InputError: there are no vectors, or fewer items with vectors than nodes.
    """
    vectors = _vectors(workspace, len(items))
    clusters, num_items = settings.clusters or 0, int(vectors.any(axis=1).sum())
    if not num_items:
        raise InputError(Problem("--clusters", _NO_VECTORS, _GIVE))
    sizes = level_sizes(clusters, len(settings.hierarchy.levels))
    if clusters > num_items:
        what, fix = "more nodes than items with vectors:", f"Ask for at most {num_items}."
        raise InputError(Problem("--clusters", what, fix, value=clusters))
    sizes[0] = min(sizes[0], num_items)
    given = _given(workspace, settings, items, sizes)
    proposals, nodes = propose_free(items, vectors, sizes, given, settings.hierarchy.target)
    return nothing_questioned(proposals), nodes


def _given(
    workspace: Workspace, settings: BuildSettings, items: pd.DataFrame, sizes: Sequence[int]
) -> list[list[str]]:
    """For each found level, each item's given label at the level with most nearly as many classes.

    A label is "" where there is none. Published labels of a tree with a vocabulary are for
    comparison only.
    """
    labels = load(workspace.folder, "labels")
    if not settings.hierarchy.published:
        labels = labels[labels["origin"] == "known"]
    labels = read_given(labels, read_ledger(*ledgers(settings)).decisions).labels
    if labels.empty:
        return [[""] * len(items)] * len(sizes)
    classes = labels.groupby("level")["node"].nunique()
    found = []
    for size in sizes:
        level = min(classes.index, key=lambda one: abs(np.log(classes[one] / size)))
        own = labels[labels["level"] == level].set_index("item_id")["node"]
        found.append(items["item_id"].map(own).fillna("").tolist())
    return found


def check_clusters(settings: BuildSettings) -> list[Problem]:
    """What a build by clustering lacks, as far as it is known before anything is encoded."""
    embeds = not settings.hierarchy.published or settings.embeds_given_names or settings.image_root
    if not settings.clusters or embeds or settings.vectors:
        return []
    return [Problem("--clusters", _NO_VECTORS, _GIVE)]


def _vectors(workspace: Workspace, num_items: int) -> np.ndarray:
    """Name and image vectors side by side, zeros for what an item lacks, `[n, d]`."""
    parts = [
        load_vectors(workspace.vectors / name)
        for name in (NAMES, IMAGES)
        if (workspace.vectors / name).is_file()
    ]
    return np.hstack([np.zeros((num_items, 0)), *parts])
