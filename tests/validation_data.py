"""Vectors of a small tree whose shape is known: classes in directions, noise around them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor


def table(kinds: int = 4, items: int = 4, images: int = 4) -> pd.DataFrame:
    """`path, level0, level1, level2`: `2 * kinds` kinds under two tops."""
    rows = [
        (f"{top}/{kind}/{item}/{image}.jpg", f"i{top}{kind}{item}", f"k{top}{kind}", f"t{top}")
        for top in range(2)
        for kind in range(kinds)
        for item in range(items)
        for image in range(images)
    ]
    return pd.DataFrame(rows, columns=["path", "level0", "level1", "level2"])


def vectors(frame: pd.DataFrame, seed: int = 0, dim: int = 48) -> Tensor:
    """`[n, d]` unit vectors that follow the tree of `frame`."""
    random = np.random.default_rng(seed)
    found = 0.6 * random.normal(size=(len(frame), dim))
    for name in ("level0", "level1", "level2"):
        places = np.unique(frame[name], return_inverse=True)[1]
        found += random.normal(size=(places.max() + 1, dim))[places]
    return torch.nn.functional.normalize(torch.from_numpy(found).float(), dim=1)
