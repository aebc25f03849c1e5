"""Quality of the level that SOP-H `deep` finds among images, where the true level is known.

`python -m benchmarks.kinds --shared DIR` prints, for the drawn product set (a kind is planted in
each super-class) and for the grocery photographs (81 fine classes as products, 3 top classes given,
43 coarse classes hidden), V-measure, number of nodes, and the share of accepted
products in a node where their own class has the majority. Encoder `registry`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import v_measure_score
from strata_labels.embedding import VectorStore, embed_images, load_encoder
from strata_labels.proposal import propose_within
from strata_labels.sources import SOURCES, draw_products

TARGET = 0.95


def drawn(folder: Path) -> pd.DataFrame:
    """`product, path, top, hidden` of the drawn set's images."""
    draw_products(folder)
    items = SOURCES["sop"].read(folder, ()).items
    planted = pd.read_csv(folder / "planted.csv").set_index("class_id")
    images = items[["source_id", "image_ids"]].explode("image_ids")
    return pd.DataFrame(
        {
            "product": images.source_id.to_numpy(),
            "path": [folder / image for image in images.image_ids],
            "top": planted.super_class[images.source_id].to_numpy(),
            "hidden": (planted.super_class + planted.kind)[images.source_id].to_numpy(),
        }
    )


def grocery(folder: Path) -> pd.DataFrame:
    """The same of the photographs."""
    table = pd.read_csv(folder / "subset.csv")
    return pd.DataFrame(
        {
            "product": table.fine_id,
            "path": [folder / "subset" / path for path in table.path],
            "top": table.top,
            "hidden": table.coarse_id,
        }
    )


def measure(images: pd.DataFrame, store: VectorStore) -> str:
    vectors, _ = embed_images(store, load_encoder("registry"), images.path.tolist())
    products = images.drop_duplicates("product").set_index("product").sort_index()
    means = np.stack([vectors[(images["product"] == p).to_numpy()].mean(0) for p in products.index])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    items = pd.DataFrame(
        {
            "item_id": [f"x/{product:04}" for product in products.index],
            "name": [str(product) for product in products.index],
            "qualifier": "",
            "image_ids": [[] for _ in products.index],
        }
    )
    names = {f"2/{top}": top for top in products.top}
    proposals, nodes = propose_within(
        items, [f"2/{top}" for top in products.top], names, means, TARGET
    )
    rows = proposals[proposals.level == 1].set_index("subject").loc[items.item_id]
    truth = products.hidden.to_numpy()
    score = v_measure_score(truth, rows.parent)
    most = pd.Series(truth).groupby(rows.parent.to_numpy()).transform(lambda own: own.mode()[0])
    accepted = rows.accepted.to_numpy()
    with_own = (most.to_numpy() == truth)[accepted].mean() if accepted.any() else float("nan")
    return (
        f"{len(items)} products, {products.top.nunique()} tops, {len(set(truth))} hidden nodes: "
        f"{len(nodes)} found, V-measure {score:.3f}; {accepted.mean():.1%} accepted, "
        f"{with_own:.1%} of these with most of their own"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--store", type=Path, help="keep vectors here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = VectorStore(options.store or Path(folder) / "store")
        print("drawn   ", measure(drawn(Path(folder) / "drawn"), store), flush=True)
        print("grocery ", measure(grocery(options.shared / "grocery"), store))


if __name__ == "__main__":
    main()
