"""Names of nodes as evidence for a table's pictures, where the encoder's towers are aligned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from strata_labels.build import BuildSettings, Workspace, build_tree
from strata_labels.tables import load
from tiny_clip import PLANT, colour_image, make_tiny_clip


def build(folder: Path, encoder: str, names: dict[str, str], labelled: int) -> pd.DataFrame:
    """Six pictures of each kind, the first with labels; kinds are called by `names`."""
    rows = []
    for kind, colour in PLANT.items():
        for n in range(6):
            path = colour_image(folder / f"{kind}{n}.png", colour, seed=n)
            rows.append((f"{kind}{n}", path.name, names[kind] if n < labelled else ""))
    table = pd.DataFrame(rows, columns=["id", "image", "kind"])
    table.to_csv(folder / "items.csv", index=False)
    place = Workspace(folder / "ws")
    given = {"decisions": place.ledger, "metadata": folder / "items.csv", "encoder": encoder}
    build_tree(place, BuildSettings(tree="table", **given))
    proposals = load(place.folder, "proposals")
    return proposals[(proposals["level"] == 1) & (proposals["origin"] != "published")]


def test_pictures_near_the_name_of_a_node_speak_for_it(tmp_path: Path) -> None:
    encoder = make_tiny_clip(tmp_path / "clip")
    confidence = {}
    for what, names in (
        ("own", {k: k for k in PLANT}),
        ("none", dict(zip(PLANT, "xyz", strict=True))),
    ):
        folder = tmp_path / what
        folder.mkdir()
        rows = build(folder, encoder, names, labelled=2)
        kinds = [name for name in PLANT for _ in range(4)]
        item_kind = rows["subject"].str.extract(r"/([a-z]+)\d$")[0].tolist()
        assert sorted(item_kind) == sorted(kinds)
        expected = [f"1/{names[kind]}" for kind in item_kind]
        assert rows["parent"].tolist() == expected
        nearest = [
            next(piece.node for piece in evidence if piece.kind == "image_to_text")
            for evidence in rows["evidence"]
        ]
        if what == "own":
            assert nearest == expected
        confidence[what] = float(np.mean(rows["confidence"]))
    # What the nodes are called makes the proposals surer.
    assert confidence["own"] > confidence["none"]
