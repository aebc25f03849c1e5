"""The pictures of a report: thumbnails, the map of the embedding, curves of a training."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from strata_labels.pictures import UnreadablePictureError
from strata_labels.pictures import thumbnail as small_jpeg

SIDE = 96  # of a thumbnail, in pixels
# More points than this make a slow map, and none that is easier to read.
MAPPED = 1500
_SAME = 1e-6  # unit vectors whose coordinates deviate less are one point
_LOWEST = 0.1  # height of a map whose points lie on a line
COLOURS = (
    "#2f6f73", "#e2a03f", "#a04668", "#5b7db1", "#7a9e4b", "#8a5a3c", "#6c6fb3", "#c0583b",
    "#3c9d9b", "#b59f3b", "#7f7f7f", "#d486b0",
)  # fmt: skip


def thumbnail(path: Path) -> str | None:
    """A picture as a small JPEG in a data address, None where it cannot be read."""
    try:
        content = small_jpeg(path, SIDE)
    except UnreadablePictureError:
        return None
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()


def map_points(vectors: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """A two-dimensional map of embeddings, t-SNE started from the principal components.

    Where there are more than `MAPPED`, so many are drawn at random (seeded). Vectors that are all
    one, of a training that collapsed, are one point.

    Args:
        vectors: `[n, d]`.
        classes: what to colour them by, `[n]`.

    Returns:
        `points` (`x, y, row, colour`; from 0 to `width`, which is 1, and to `height`, which is
        less: the map is turned so that it is wider than high), `width`, `height`,
        `classes` (name and colour; where there are more than colours, the largest have one each
        and the rest share the last), `shown`, `of`.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    rows = np.arange(len(vectors))
    if len(rows) > MAPPED:
        rows = np.sort(np.random.default_rng(0).choice(rows, MAPPED, replace=False))
    perplexity = min(30.0, (len(rows) - 1) / 3)
    near = TSNE(init="pca", perplexity=perplexity, max_iter=500, random_state=0)
    flat = np.zeros((len(rows), 2))
    if float(vectors[rows].std(axis=0).max()) > _SAME:  # else its start would not be a number
        # There have to be two principal components, also of vectors with one number.
        wide = np.pad(vectors[rows], ((0, 0), (0, max(0, 2 - vectors.shape[1]))))
        # One thread: threads that wait for each other take far longer on a busy machine.
        with threadpool_limits(1):
            flat = near.fit_transform(wide)
    flat = _lying(flat.astype(np.float64))
    flat = flat - flat.min(axis=0)
    flat = flat / max(float(flat.max()), 1e-9)
    size = flat.max(axis=0)
    sizes = pd.Series(list(classes)).value_counts().sort_index(kind="stable")
    sizes = sizes.sort_values(ascending=False, kind="stable")
    of = {str(name): min(n, len(COLOURS) - 1) for n, name in enumerate(sizes.index)}
    shown = {name: COLOURS[at] for name, at in of.items() if at < len(COLOURS) - 1}
    if len(of) >= len(COLOURS):
        shown["others" if len(of) > len(COLOURS) else list(of)[-1]] = COLOURS[-1]
    return {
        "points": [
            (round(float(x), 4), round(float(y), 4), int(row), COLOURS[of[str(classes[int(row)])]])
            for (x, y), row in zip(flat, rows, strict=True)
        ],
        "width": 1.0,
        "height": max(round(float(size[1]), 4), _LOWEST),
        "classes": list(shown.items()),
        "shown": len(rows),
        "of": len(vectors),
    }


def _lying(points: np.ndarray) -> np.ndarray:
    """Points `[n, 2]` turned so that they lie in a frame that is wider than high.

    A map has no directions of its own. The half of the turn that is left open is chosen so that
    the points that reach farthest are at the right, and at the bottom.
    """
    centred = points - points.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    turned = centred @ axes.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    turned = turned * np.where(high < -low, -1, 1)
    return turned[:, ::-1] if np.ptp(turned[:, 1]) > np.ptp(turned[:, 0]) else turned


def draw_curves(metrics: Path) -> bytes | None:
    """The columns of a training's `metrics.csv` over its steps, as PNG; None without rows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with metrics.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        return None
    names = [name for name in rows[0] if name not in ("step", "epoch")]
    figure = Figure(figsize=(4 * min(len(names), 3), 2.6 * -(-len(names) // 3)), dpi=100)
    for at, name in enumerate(names, start=1):
        axes = figure.add_subplot(-(-len(names) // 3), min(len(names), 3), at)
        axes.plot([int(row["step"]) for row in rows], [float(row[name]) for row in rows],
                  color=COLOURS[0], linewidth=1.2)  # fmt: skip
        axes.set_title(name.replace("_", " "), fontsize=9)
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    content = io.BytesIO()
    # Without the date and the program's version the same curves are the same bytes.
    FigureCanvasAgg(figure).print_png(content, metadata={"Software": None})
    return content.getvalue()
