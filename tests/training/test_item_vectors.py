"""A trained model embeds a workspace's pictures; `build --vectors` and `compare` take them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from building import strata_output as strata
from simulated_gpu import simulated_gpu
from strata_labels.sources import draw_products
from strata_labels.tables import load

TRAIN = ["--recipe", "happier", "--set", "epochs=1", "--set", "batch_size=8"]
TRAIN += ["--set", "images_per_class=2"]
NETWORK = ["--set", "backbone=test_resnet", "--set", "pretrained=no", "--set", "crop=32"]
NETWORK += ["--set", "freeze_batch_norm=false", "--set", "resize=36", "--workers", "0"]


@pytest.fixture
def products(tmp_path: Path) -> Path:
    """Drawn product photographs, and a workspace `ws` of their published labels."""
    folder = draw_products(tmp_path / "products", supers=2, kinds=2, products=4)
    strata("build", "sop-h", tmp_path / "ws", "--metadata", folder, code=0)
    return folder


@pytest.mark.parametrize("mode", ["head", "full"])
def test_vectors_of_a_trained_model(
    mode: str, products: Path, encoder: str, tmp_path: Path
) -> None:
    ws, out, own = tmp_path / "ws", tmp_path / "out", tmp_path / "own"
    more = ["--encoder", encoder] if mode == "head" else [*NETWORK, "--mode", "full"]
    strata("train", ws, "--images", products, "--out", out, *TRAIN, *more)
    embed = ("embed", ws, "--model", out, "--images", products, "--out", own)
    strata(*embed, code=0)
    vectors, table = np.load(own / "vectors.npy"), pd.read_parquet(own / "items.parquet")
    items = load(ws, "items")
    assert table["path"].tolist() == items["image_ids"].explode().tolist()
    # The test images have the vectors that the training left.
    test = pd.read_parquet(out / "test_items.parquet")
    rows = table.set_index("path").index.get_indexer(pd.Index(test["path"]))
    np.testing.assert_allclose(vectors[rows], np.load(out / "test_trained.npy"), atol=1e-5)
    assert (table["item_id"].iloc[rows].to_numpy() == test["level0"].to_numpy()).all()

    with simulated_gpu():
        strata(*embed[:-1], tmp_path / "there", code=0)
    there = np.load(tmp_path / "there" / "vectors.npy")
    np.testing.assert_allclose(there, vectors, atol=1e-3 if mode == "head" else 1e-5)

    lost, gone = (products / table["path"][at] for at in (0, 5))
    lost.write_bytes(b"no picture")
    gone.unlink()
    assert "1 images missing, 1 images damaged" in strata(*embed, code=0)
    listed = pd.read_csv(own / "unread_images.csv")
    assert set(listed["image"]) == {table["path"][0], table["path"][5]}
    kept = np.delete(vectors, [0, 5], axis=0)
    np.testing.assert_allclose(np.load(own / "vectors.npy"), kept, atol=1e-6)

    # A level among images is found without an encoder and without a picture.
    deep = tmp_path / "deep"
    build = ("build", "sop-h", deep, "--metadata", products, "--levels", "deep")
    strata(*build, "--vectors", own)
    table = table.drop(index=[0, 5])
    means = pd.DataFrame(kept).groupby(table["item_id"].to_numpy()).mean()
    means = means.loc[load(deep, "items")["item_id"]].to_numpy()
    expected = means / np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(np.load(deep / "vectors" / "images.npy"), expected, atol=1e-6)
    about = json.loads((deep / "vectors" / "about.json").read_text())
    assert not about["aligned"]
    numbers = tmp_path / "numbers.json"
    strata("compare", ws, deep, "--vectors", own, "--json", numbers, "--seeds", 2, code=0)
    assert json.loads(numbers.read_text())["num_queries"] == len(kept)


def test_what_is_wrong_is_named(products: Path, encoder: str, tmp_path: Path) -> None:
    ws, out = tmp_path / "ws", tmp_path / "out"

    def refused(*words: object) -> str:
        return strata(*words, code=2).replace("\n", " ")

    assert "is of --model" in refused("embed", ws, "--out", tmp_path / "own")
    assert "missing" in refused("embed", ws, "--model", out)
    own = ("embed", ws, "--model", out, "--out", tmp_path / "own")
    assert "built without images" in refused(*own)
    assert "not a trained model" in refused(*own, "--images", products)
    strata("train", ws, "--images", products, "--out", out, *TRAIN, "--encoder", encoder, code=0)
    assert "no such folder" in refused(*own, "--images", tmp_path / "nowhere")
    assert "0 files found" in refused(*own, "--images", out)
    assert not (tmp_path / "own").exists()

    np.save(tmp_path / "vectors.npy", np.eye(3, dtype=np.float32))
    pd.DataFrame({"item_id": ["a", "b", "c"]}).to_parquet(tmp_path / "items.parquet")
    build = ("build", "sop-h", tmp_path / "new", "--metadata", products)
    assert "none of its 3 vectors" in refused(*build, "--vectors", tmp_path)
    assert "cannot be read" in refused(*build, "--vectors", tmp_path / "nowhere")
    assert not (tmp_path / "new").exists()
