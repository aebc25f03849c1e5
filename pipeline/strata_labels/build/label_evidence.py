"""What is known of the items of a tree that labels made: names, vectors, classes, prompts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy

from strata_labels.build.embed import (
    ABOUT,
    IMAGES,
    NAMES,
    NODES,
    PHRASES,
    image_name_vectors,
    item_images,
    label_names,
    load_vectors,
)
from strata_labels.build.settings import BuildSettings
from strata_labels.build.workspace import Workspace
from strata_labels.knowledge import class_chains
from strata_labels.proposal import (
    CentredVectors,
    ClassVotes,
    Ladder,
    Prompts,
    Scorer,
    Scores,
    Signals,
)
from strata_labels.tables import load, own_ids
from strata_labels.tree import LabelTree

# Given labels that are looked at image by image, at most.
MOST_BY_IMAGE = 5_000


@dataclass(frozen=True)
class Classes:
    """The classes of the knowledge base above each item (see `class_chains`), and their names."""

    chains: scipy.sparse.csr_matrix
    qids: list[str]
    names: dict[str, str]

    @classmethod
    def of(cls, workspace: Workspace) -> Classes | None:
        """None where no item has a class."""
        entities, classes = (load(workspace.folder, name) for name in ("entities", "classes"))
        chains, qids = class_chains(entities["class_qids"].tolist(), classes)
        names = dict(zip(classes["qid"], classes["label"], strict=True))
        return cls(chains, qids, names) if chains.nnz else None

    def votes(self, ladder: Ladder, scores: Scores) -> ClassVotes:
        node = np.where(scores.known, scores.node, -1)
        return ClassVotes(self.chains, self.qids, self.names, node, len(ladder.ids[0]))


@dataclass(frozen=True)
class NodePrompts:
    """Text vectors of the finest nodes `[K, d]`, and the encoder's inverse temperature."""

    vectors: np.ndarray
    logit_scale: float


def node_prompts(
    workspace: Workspace, settings: BuildSettings, ladder: Ladder, nodes: pd.DataFrame
) -> NodePrompts | None:
    """Only where images and texts can be compared."""
    about = json.loads((workspace.vectors / ABOUT).read_text(encoding="utf-8"))
    files = [workspace.vectors / name for name in (IMAGES, NODES)]
    if not (about["aligned"] and all(file.is_file() for file in files)) or settings.hierarchy.found:
        return None
    vectors = _vectors_of_names(workspace, ladder, nodes, files[1])
    return None if vectors is None else NodePrompts(vectors, about["logit_scale"])


def name_prompts(workspace: Workspace, ladder: Ladder, nodes: pd.DataFrame) -> Prompts | None:
    """Names of the finest nodes, to be compared with items' names; None where no item has one."""
    file = workspace.vectors / PHRASES
    if not file.is_file():
        return None
    vectors = _vectors_of_names(workspace, ladder, nodes, file)
    return None if vectors is None else Prompts(vectors, np.arange(len(vectors)))


def _vectors_of_names(
    workspace: Workspace, ladder: Ladder, nodes: pd.DataFrame, file: Path
) -> np.ndarray | None:
    """Vectors `[K, d]` of the finest nodes' names; None where none of the nodes has a name.

    A node that stands for "unspecified" is called by the nearest name above it; one that came into
    the tree after the names were encoded gets the others' mean, which says nothing of it.
    """
    names = label_names(load(workspace.folder, "labels"))
    row = {name: n for n, name in enumerate(names)}
    tree = LabelTree.from_nodes(nodes)
    called = [
        [tree.name[node] for node in tree.path(finest) if tree.name[node] in row]
        for finest in ladder.ids[0]
    ]
    if not any(called):
        return None
    of_node = np.array([row[found[0]] if found else -1 for found in called])
    vectors: np.ndarray = np.load(file)[of_node]
    mean = vectors[of_node >= 0].mean(axis=0)
    vectors[of_node < 0] = mean / max(float(np.linalg.norm(mean)), 1e-9)
    return vectors


def left_out_by_image(
    workspace: Workspace,
    settings: BuildSettings,
    items: pd.DataFrame,
    scorer: Scorer,
    scores: Scores,
    asked: np.ndarray,
) -> np.ndarray:
    """`Scores.left_out`, by each image of the items with several: strangers among them, or one that
    says nothing, move a mean of vectors far.

    Args:
        workspace: with vectors of images.
        settings: of the build.
        items: the table `items`.
        scorer: whose last answer are `scores`.
        scores: of all items.
        asked: which labelled items are asked about, `[m]`: the `MOST_BY_IMAGE` whose finest label
            is least likely are looked at so.
    """
    left_out = scores.left_out
    if settings.vectors or scorer.signals.image is None:
        return left_out
    several = items["image_ids"].map(len).to_numpy()[scores.labelled] > 1
    some = np.flatnonzero(several & asked)
    own = left_out[some, scores.path[scores.labelled[some], 0]]
    some = np.sort(some[np.argsort(own, kind="stable")[:MOST_BY_IMAGE]])
    if not len(some):
        return left_out
    left_out, rows = left_out.copy(), scores.labelled[some]
    for group in item_images(workspace, settings, items.iloc[rows]).groups("comparing pictures"):
        if group.vectors.shape[1] > 1:
            found = scorer.left_out_by_image(rows[group.items], group.vectors)
            left_out[some[group.items]] = found
    return left_out


def signals_of(
    workspace: Workspace,
    items: pd.DataFrame,
    classes: Classes | None,
    prompts: NodePrompts | None,
) -> Signals:
    """Names that are not mere ids, and the vectors and classes that there are."""
    named = items["name"].to_numpy(dtype=object) != np.array(own_ids(items), dtype=object)
    vectors: dict[str, Any] = {}
    for key, file in (("text", NAMES), ("image", IMAGES)):
        if (workspace.vectors / file).is_file():
            vectors[key] = load_vectors(workspace.vectors / file)
    vectors = {key: found for key, found in vectors.items() if found.any()}
    if prompts is not None and "image" in vectors:
        of_names = image_name_vectors(workspace)
        vectors |= {
            "image_for_names": vectors["image"]
            if of_names.name == IMAGES
            else load_vectors(of_names),
            "node_vectors": prompts.vectors,
            "logit_scale": prompts.logit_scale,
        }
    if "image" in vectors:
        vectors["image"] = CentredVectors(vectors["image"])
    names = np.where(named, items["name"].to_numpy(dtype=object), "")
    chains = None if classes is None else classes.chains
    return Signals(names.tolist(), [""] * len(items), chains=chains, **vectors)
