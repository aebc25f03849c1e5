"""The stage that compares each image with the others of its item, and with other nodes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from strata_labels.build.embed import IMAGES, images_there, item_images, load_vectors
from strata_labels.build.settings import BuildSettings
from strata_labels.build.stage import Counts, Stage
from strata_labels.build.workspace import Workspace
from strata_labels.embedding import LEAST_IMAGES, alike
from strata_labels.proposal import NodeCentres, image_similarities
from strata_labels.tables import SCHEMAS, load, save

UNLIKE_ITEM, LIKE_OTHER = "unlike_item", "like_other_node"


def _image_issues(workspace: Workspace, settings: BuildSettings) -> Counts:
    found = pd.DataFrame(columns=SCHEMAS["image_issues"].names)
    if not settings.vectors and (workspace.vectors / IMAGES).is_file():
        found = _found(workspace, settings)
    save(workspace.folder, "image_issues", found)
    by_problem = found["problem"].value_counts().sort_index()
    return {str(problem): int(count) for problem, count in by_problem.items()}


def _found(workspace: Workspace, settings: BuildSettings) -> pd.DataFrame:
    items = load(workspace.folder, "items")
    ids = items["item_id"].to_numpy(dtype=object)
    proposals = load(workspace.folder, "proposals")
    placed = proposals[(proposals["level"] == 1) & proposals["accepted"]]
    parents = items["item_id"].map(placed.set_index("subject")["parent"])
    node, nodes = pd.factorize(parents, sort=True)
    vectors = load_vectors(workspace.vectors / IMAGES)
    centres = NodeCentres.of(vectors, node, len(nodes))
    names = np.array([*nodes, None], dtype=object)
    parts = []
    for group in item_images(workspace, settings, items).groups("comparing images"):
        count = group.vectors.shape[1]
        if count < LEAST_IMAGES:
            continue
        kept = alike(group.vectors)
        compared = image_similarities(group.vectors, kept, node[group.items], centres)
        which, at = np.nonzero(~kept | compared.like_other)
        part = {
            "item_id": ids[group.items[which]],
            "image": [group.images[n][m] for n, m in zip(which, at, strict=True)],
            "problem": np.where(compared.like_other[which, at], LIKE_OTHER, UNLIKE_ITEM),
            "similarity": compared.own[which, at],
            "other": names[compared.other[which, at]],
            "other_similarity": np.where(
                compared.other[which, at] >= 0, compared.to_other[which, at], np.nan
            ),
            "num_images": count,
        }
        parts.append(pd.DataFrame(part))
    columns = SCHEMAS["image_issues"].names
    table = pd.concat(parts) if parts else pd.DataFrame(columns=columns)
    return table.sort_values(["item_id", "image"], ignore_index=True)


IMAGE_ISSUES = Stage(
    name="image_issues",
    does="Comparing pictures",
    version=1,
    reads=lambda workspace, _: [
        workspace.table("items"),
        workspace.table("proposals"),
        workspace.vectors / IMAGES,
    ],
    writes=lambda workspace, _: [workspace.table("image_issues")],
    settings=("image_encoder", "encoder", "images", "images_per_landmark"),
    run=_image_issues,
    looks_at=images_there,
)
