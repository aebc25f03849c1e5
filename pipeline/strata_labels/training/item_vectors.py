"""Vectors of a workspace's pictures by a trained model, for `build --vectors` and `compare`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from strata_labels.embedding import VectorStore, embed_images, image_files, load_encoder
from strata_labels.errors import InputError, Problem
from strata_labels.files import whole, write_table
from strata_labels.people_csv import write_list
from strata_labels.tables import load
from strata_labels.training.image_loading import default_workers, embed, unreadable
from strata_labels.training.processes import Processes
from strata_labels.training.saved_model import TrainedModel
from strata_labels.training.trainer import uses_autocast

VECTORS, ITEMS, UNREAD = "vectors.npy", "items.parquet", "unread_images.csv"


def embed_items(
    trained: TrainedModel,
    workspace: Path,
    root: Path,
    out: Path,
    images_per_item: int,
    store: VectorStore,
    encoder: str | None = None,
) -> dict[str, int]:
    """Writes the vectors of a workspace's pictures.

    Into `out`: `vectors.npy` (float32 `[n, e]`, unit vectors, one a picture), `items.parquet`
    (`item_id, path`, in their order), and `unread_images.csv` where there are such.

    Args:
        trained: as `load_model` gives it.
        workspace: a folder with the table `items`.
        root: folder of the images.
        out: folder, made if absent.
        images_per_item: at most so many of each.
        store: of mode `head`, where the encoder's vectors are kept.
        encoder: of mode `head`, the encoder if it is not where it was; else as it was given to the
            training.

    Returns:
        `items`, `items_with_images`, `images`, `images_missing`, `images_damaged`.

    Raises:
        InputError: no image below the root; another encoder than the training's.
    """
    if not root.is_dir():
        fix = "Give the folder that the images' paths start from."
        raise InputError(Problem("--images", "no such folder:", fix, value=str(root)))
    items = load(workspace, "items")
    missing: list[str] = []
    found = [
        (item, path)
        for item, images in zip(items["item_id"], items["image_ids"], strict=True)
        for path in image_files(root, images, images_per_item, missing).values()
        if isinstance(path, Path)
    ]
    paths = [path for _, path in found]
    vectors = _vectors(trained, paths, store, encoder) if paths else np.empty((0, 1), np.float32)
    lost = np.flatnonzero(~np.isfinite(vectors).all(axis=1)).tolist()
    if len(lost) == len(paths):
        what = f"none of the items' images can be read below ({len(paths)} files found)"
        raise InputError(Problem("--images", what, "Check the folder.", value=str(root)))
    table = pd.DataFrame(found, columns=["item_id", "path"]).drop(index=lost)
    table["path"] = [str(path.relative_to(root)) for path in table["path"]]
    damaged = unreadable([paths[at] for at in lost])
    reasons = [(image, "no such file") for image in missing]
    reasons += [(str(paths[lost[at]].relative_to(root)), why) for at, why in damaged.items()]
    with whole(out / VECTORS) as beside, beside.open("wb") as file:
        np.save(file, np.delete(vectors, lost, axis=0))
    write_table(out / ITEMS, table.reset_index(drop=True))
    write_list(out / UNREAD, pd.DataFrame(sorted(reasons), columns=["image", "reason"]))
    return {
        "items": len(items),
        "items_with_images": table["item_id"].nunique(),
        "images": len(table),
        "images_missing": len(missing),
        "images_damaged": len(lost),
    }


@torch.no_grad()
def _vectors(
    trained: TrainedModel, paths: list[Path], store: VectorStore, encoder: str | None
) -> np.ndarray:
    """Unit vectors `[n, e]`, a row of NaN for a picture that cannot be read."""
    if trained.transform is None:
        loaded = load_encoder(encoder or trained.encoder)
        if loaded.id != trained.features:
            what = f"the model was trained on vectors of {trained.features}, not of"
            fix = "Give that one: --encoder."
            raise InputError(Problem("--encoder", what, fix, value=loaded.id))
        own, _ = embed_images(store, loaded, paths)
        return trained.model(torch.from_numpy(own)).numpy()  # type: ignore[no-any-return]
    device = Processes().device
    return embed(
        trained.model.to(device),
        paths,
        trained.transform,
        device,
        default_workers(),
        skip_damaged=True,
        autocast=uses_autocast(trained.recipe, device),
    ).numpy()
