"""Finds items and nodes whose move to another parent would raise H-AP most.

A subject is a node of any level below the top. Its images' nearest images that are not its own
suggest other parents; for each of them H-AP of the subject's own queries is computed again as if it
were there, exactly, on the same ranking. The other images' queries see the same pairs from their
side and are left out: with them every candidate would cost a whole evaluation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from strata_labels.progress import track
from strata_labels.retrieval import check_embeddings, check_labels, check_nested
from strata_labels.tables import SCHEMAS
from strata_labels.validation.item_paths import codes
from strata_labels.validation.moves import blocks, moved_hap, scores_of

# How far a rise counts where the subject is alone under its parent: no sibling speaks against the
# place. Set by hand, like the weight by shares, on planted errors (`benchmarks/validation.py`).
ALONE = 0.25
#: Nearest images asked for each image, and other parents tried for each subject.
NEIGHBOURS, CANDIDATES = 10, 3
SHOWN = 3


def doubts_table(vectors: Tensor, table: pd.DataFrame, images: Path | None = None) -> pd.DataFrame:
    """The table `doubts`, of embedded images with their paths in the tree.

    Args:
        vectors: `[n, d]` of unit length.
        table: `level0 ...` (item and node ids) and, where there is one, `path` of each image.
        images: folder the paths are relative to, so that the table names files.

    Returns:
        Rows under `SCHEMAS["doubts"]`, best first.
    """
    levels = [name for name in table.columns if name.startswith("level")]
    columns = [codes(table[name]) for name in levels]
    labels = torch.from_numpy(np.stack([numbers for numbers, _ in columns], axis=1))
    with track(2 * len(vectors), "ranking doubts") as tracker:
        found = rank_doubts(vectors, labels, tracker.advance)
    ids = [names.astype(object) for _, names in columns]
    files = table["path"].tolist() if "path" in table else []
    if images is not None:
        files = [str(images / path) for path in files]

    def pictures(rows: list[int]) -> list[str]:
        return [files[row] for row in rows] if files else []

    rows = []
    for row in found.to_dict("records"):
        level = row["column"] + 1
        above, subject = ids[level], ids[level - 1][row["subject"]]
        rows.append(
            {
                **row,
                "row_id": f"{level}:{subject}",
                "subject": subject,
                "level": level,
                "current": above[row["current"]],
                "suggestion": above[row["suggestion"]],
                "alternatives": [above[other] for other in row["alternatives"]],
                "images": pictures(row["images"]),
                "nearest": pictures(row["nearest"]),
            }
        )
    return pd.DataFrame(rows, columns=SCHEMAS["doubts"].names)


def rank_doubts(
    vectors: Tensor, labels: Tensor, progress: Callable[[int], None] | None = None
) -> pd.DataFrame:
    """Ranks all subjects by how much H-AP is expected to rise if each were under its best other
    parent.

    The rise is a mean over the subject's own queries, so that a small class is not buried under a
    large one. It is weighted by the chance that the move is right: the share that the suggestion
    has of the nearest images that are under one of the two parents. A subject that is alone under
    its parent counts for `ALONE` of that.

    Args:
        vectors: `[n, d]` of unit length; each ranks all the others.
        labels: `[n, L]` integers, nested, column 0 the finest.
        progress: called with the number of queries just done; `2 n` in all.

    Returns:
        All subjects with another possible parent, the largest expected rise first: `column` (of the
        labels), `subject`, `current` and `suggestion` (values of the labels in this column and the
        next), `alternatives` (a list of further parents, best first), `gain` (rise of the mean H-AP
        of the subject's own queries), `total` (what that adds to the mean over all queries),
        `expected` (`gain` weighted), `here` and `there` (share of its nearest images under
        `current` and `suggestion`), `num_images`, `images` (rows of the subject) and `nearest`
        (rows under the suggestion, nearest first).

    Raises:
        ValueError: embeddings or labels that do not fit, see `strata_labels.retrieval`.
    """
    labels = check_labels(labels)
    check_nested(labels)
    check_embeddings(vectors, "vectors", unit=True)
    if len(vectors) != len(labels):
        raise ValueError(f"{len(vectors)} vectors and {len(labels)} labels")
    report = progress or (lambda _: None)
    found: list[tuple[object, ...]] = []
    near = _nearest(vectors, labels, report)
    slots = [_slots(near[column], labels, column) for column in range(labels.shape[1] - 1)]
    at = [torch.searchsorted(slot[0], labels[:, n].contiguous()) for n, slot in enumerate(slots)]
    targets = [slot[2][place] for slot, place in zip(slots, at, strict=True)]
    base, moved = moved_hap(vectors, labels, targets, report)
    for column, (subjects, parents, _) in enumerate(slots):
        rise = (moved[column] - base[:, None]).nan_to_num(0.0)
        gains = torch.zeros(parents.shape, dtype=torch.float64).index_add_(0, at[column], rise)
        found += _rows(column, subjects, parents, gains, near[column], labels)
    columns = [
        "column", "subject", "current", "suggestion", "alternatives", "gain", "total", "here",
        "there", "num_images", "images", "nearest",
    ]  # fmt: skip
    rows = pd.DataFrame(found, columns=columns)
    likely = rows.there / (rows.here + rows.there)
    rows["expected"] = rows.gain * likely * np.where(_alone(rows, labels), ALONE, 1.0)
    falling = rows.assign(expected=-rows.expected, column=-rows.column)
    order = falling.sort_values(["expected", "column", "subject"], kind="stable").index
    return rows.loc[order].reset_index(drop=True)


def _alone(rows: pd.DataFrame, labels: Tensor) -> np.ndarray:
    """Whether each subject is the only one under its parent."""
    edges = [labels[:, n : n + 2].unique(dim=0)[:, 1] for n in range(labels.shape[1] - 1)]
    children = [Counter(parents.tolist()) for parents in edges]
    pairs = zip(rows.column, rows.current, strict=True)
    return np.array([children[column][parent] == 1 for column, parent in pairs], dtype=bool)


def _nearest(vectors: Tensor, labels: Tensor, report: Callable[[int], None]) -> list[pd.DataFrame]:
    """For each column, pairs `subject, parent, score, row`: images' nearest outside the subject."""
    parts: list[list[pd.DataFrame]] = [[] for _ in range(labels.shape[1] - 1)]
    for block in blocks(len(vectors)):
        scores = scores_of(vectors, block)
        for column, part in enumerate(parts):
            own = labels[block, column]
            outside = scores.masked_fill(own[:, None] == labels[None, :, column], -torch.inf)
            best = outside.topk(min(NEIGHBOURS, len(labels)), dim=1)
            known = torch.isfinite(best.values)
            row = best.indices[known]
            part.append(
                pd.DataFrame(
                    {
                        "subject": own[:, None].expand_as(known)[known].numpy(),
                        "parent": labels[row, column + 1].numpy(),
                        "score": best.values[known].double().numpy(),
                        "row": row.numpy(),
                    }
                )
            )
        report(block.stop - block.start)
    return [pd.concat(part, ignore_index=True) for part in parts]


def _slots(near: pd.DataFrame, labels: Tensor, column: int) -> tuple[Tensor, Tensor, Tensor]:
    """Subjects `[s]`, other parents to try `[s, CANDIDATES]`, and a row below each (-1: none)."""
    subjects, first = np.unique(labels[:, column].numpy(), return_index=True)
    current = pd.Series(labels[first, column + 1].numpy(), index=subjects)
    votes = near[near.parent != near.subject.map(current)]
    votes = votes.groupby(["subject", "parent"], as_index=False).agg(
        count=("row", "size"), score=("score", "sum"), row=("row", "min")
    )
    votes = votes.sort_values(
        ["subject", "count", "score", "parent"], ascending=[True, False, False, True]
    )
    votes["slot"] = votes.groupby("subject").cumcount()
    votes = votes[votes.slot < CANDIDATES]
    at = np.searchsorted(subjects, votes.subject)
    parents = np.full((len(subjects), CANDIDATES), -1, np.int64)
    rows = parents.copy()
    parents[at, votes.slot], rows[at, votes.slot] = votes.parent, votes.row
    return torch.from_numpy(subjects), torch.from_numpy(parents), torch.from_numpy(rows)


def _rows(
    column: int,
    subjects: Tensor,
    parents: Tensor,
    gains: Tensor,
    near: pd.DataFrame,
    labels: Tensor,
) -> list[tuple[object, ...]]:
    shares = near.groupby(["subject", "parent"]).size() / near.groupby("subject").size()
    share = shares.to_dict()
    nearest = near.sort_values(["score", "row"], ascending=[False, True])
    closest = {
        key: list(dict.fromkeys(part.row))[:SHOWN]
        for key, part in nearest.groupby(["subject", "parent"])
    }
    order = labels[:, column].argsort(stable=True)
    counts = labels[:, column].unique(return_counts=True)[1]
    own = dict(zip(subjects.tolist(), order.split(counts.tolist()), strict=True))
    found: list[tuple[object, ...]] = []
    for subject, others, rises in zip(
        subjects.tolist(), parents.tolist(), gains.tolist(), strict=True
    ):
        tried = sorted((-rise, n) for n, rise in enumerate(rises) if others[n] >= 0)
        if not tried:
            continue
        (fall, best), *rest = tried
        images = own[subject].tolist()
        current = int(labels[images[0], column + 1])
        suggestion = others[best]
        found.append(
            (column, subject, current, suggestion, [others[n] for _, n in rest],
             -fall / len(images), -fall / len(labels), float(share.get((subject, current), 0.0)),
             float(share[subject, suggestion]), len(images), images[:SHOWN],
             closest[subject, suggestion])
        )  # fmt: skip
    return found
