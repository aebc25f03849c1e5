"""Drawn pictures with labels, and an encoder, for this room's tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tiny_clip import make_tiny_clip


def draw(folder: Path, num_classes: int = 8, images: int = 4) -> pd.DataFrame:
    """Pictures of `num_classes` colours in two families, half of each to train; their labels."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(num_classes):
        family = number % 2
        colour = np.array([200, 40, 40] if family else [40, 60, 210]) + rng.integers(-35, 35, 3)
        for image in range(images):
            path = f"{'warm' if family else 'cold'}/c{number}_{image}.png"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            pixels = np.clip(colour + rng.integers(-30, 30, (40, 48, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / path)
            split = "train" if number < num_classes // 2 else "test"
            rows.append((path, split, f"c{number}", path.split("/")[0]))
    return pd.DataFrame(rows, columns=["path", "split", "level0", "level1"])


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[Path, Path, pd.DataFrame]:
    """Root of the pictures, labels.csv, and its table."""
    root = tmp_path / "pictures"
    table = draw(root)
    path = tmp_path / "labels.csv"
    table.to_csv(path, index=False)
    return root, path, table


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("encoder") / "clip"
    return make_tiny_clip(folder, steps=10)
