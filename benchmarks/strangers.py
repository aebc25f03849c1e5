"""Item vectors with 20 % strangers among the photographs, with and without leaving outliers out.

    python -m benchmarks.strangers --shared DIR [--draws 0 10] [--choose]

Grocery, encoder `registry`: an item is a fine class of 8 photographs, each of which is replaced
with a probability of 20 % by one of another coarse class. `coarse` and `top`: half of the items
have a label. `fine`: four photographs of each fine class are one item with that label, the other
four are another item without. The method and its constants were chosen on items with an even
`fine_id` (`--choose`), draws 1000 to 1019 for `FURTHER` and 2000 to 2004 for `MARGIN`; figures are
of the items with an odd one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from strata_labels.embedding import VectorStore, alike, embed_images, load_encoder
from strata_labels.proposal import CentredVectors, NodeCentres, Scorer, Signals, image_similarities

SHARE = 0.2
LABELLINGS = 20


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def mean_of_alike(images: np.ndarray) -> np.ndarray:
    return unit(np.where(alike(images)[:, :, None], images, 0).sum(axis=1))


def medoid(images: np.ndarray) -> np.ndarray:
    central = (images @ images.transpose(0, 2, 1)).sum(axis=2).argmax(axis=1)
    return images[np.arange(len(images)), central]


METHODS = {
    "mean": lambda images: unit(images.mean(axis=1)),
    "medoid": medoid,
    "mean of those alike": mean_of_alike,
}


def halves_agreement(first: np.ndarray, second: np.ndarray) -> float:
    """Share of second halves that are proposed to the node of their first half, a node each."""
    count = len(first)
    blank, nodes = [""] * (2 * count), [str(n) for n in range(count)]
    scorer = Scorer(
        Signals(blank, blank, image=CentredVectors(np.concatenate([first, second]))), nodes
    )
    known = np.concatenate([np.arange(count), np.full(count, -1)])
    return float((scorer.fit(known).node[count:] == np.arange(count)).mean())


def agreement(vectors: np.ndarray, truth: np.ndarray) -> float:
    """Share of unlabelled items whose proposal is right, mean over draws of the labelled half."""
    nodes, node = np.unique(truth, return_inverse=True)
    blank = [""] * len(node)
    scorer = Scorer(
        Signals(blank, blank, image=CentredVectors(vectors)), [str(name) for name in nodes]
    )
    right = []
    for seed in range(LABELLINGS):
        rest = np.random.default_rng(seed).permutation(len(node))[len(node) // 2 :]
        known = node.copy()
        known[rest] = -1
        right.append((scorer.fit(known).node == node)[rest].mean())
    return float(np.mean(right))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--cache", type=Path, default=Path(".bench"), help="folder for vectors")
    parser.add_argument("--draws", type=int, nargs=2, default=(0, 10), metavar=("FIRST", "END"))
    parser.add_argument("--choose", action="store_true", help="the items of the choice")
    chosen = parser.parse_args()
    folder = chosen.shared / "grocery"
    table = pd.read_csv(folder / "subset.csv")
    paths = [folder / "subset" / path for path in table["path"]]
    vectors, _ = embed_images(VectorStore(chosen.cache / "store"), load_encoder("registry"), paths)
    part = table["fine_id"] % 2 == (0 if chosen.choose else 1)
    photographs = np.stack(list(table[part].groupby("fine_id").groups.values()))
    first = table.loc[photographs[:, 0]]
    coarse = table["coarse_id"].to_numpy()
    node = np.unique(first["coarse_id"], return_inverse=True)[1]
    vector_rows, issue_rows = [], []
    for share in (0.0, SHARE):
        for draw in range(*chosen.draws):
            random = np.random.default_rng(draw)
            stranger = random.random(photographs.shape) < share
            shown = photographs.copy()
            for item, at in np.argwhere(stranger):
                others = np.flatnonzero(coarse != coarse[photographs[item, 0]])
                shown[item, at] = random.choice(others)
            images, clean = vectors[shown], unit(vectors[photographs].mean(axis=1))
            for name, method in METHODS.items():
                found = method(images)
                vector_rows.append(
                    {
                        "strangers": share,
                        "vector": name,
                        "cosine to clean mean": (found * clean).sum(axis=1).mean(),
                        "fine": halves_agreement(method(images[:, :4]), method(images[:, 4:])),
                        "coarse": agreement(found, first["coarse_id"].to_numpy()),
                        "top": agreement(found, first["top"].to_numpy()),
                    }
                )
            kept = alike(images)
            centres = NodeCentres.of(mean_of_alike(images), node, int(node.max()) + 1)
            like_other = image_similarities(images, kept, node, centres).like_other
            for name, flagged in (
                ("unlike_item", ~kept),
                ("like_other_node", like_other),
                ("either", ~kept | like_other),
            ):
                issue_rows.append(
                    {
                        "strangers": share,
                        "problem": name,
                        "listed": flagged.mean(),
                        "of these strangers": stranger[flagged].mean() if flagged.any() else 0.0,
                        "strangers found": flagged[stranger].mean() if share else np.nan,
                    }
                )
    for rows, key in ((vector_rows, "vector"), (issue_rows, "problem")):
        means = pd.DataFrame(rows).groupby(["strangers", key], sort=False).mean()
        print(means.round(4).to_string(), flush=True)


if __name__ == "__main__":
    main()
