"""Names of nodes as evidence for names, and for pictures where the encoder's towers are aligned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from building import SAMPLE
from encoding import timm_weights
from strata_labels.build import BuildSettings, Workspace, build_tree
from strata_labels.embedding import VectorStore, embed_images, load_encoder
from strata_labels.errors import InputError
from strata_labels.tables import load
from tiny_clip import PLANT, colour_image, make_tiny_clip


def build(
    folder: Path, encoder: str, names: dict[str, str], labelled: int, **more: str
) -> pd.DataFrame:
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
    given |= more
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


def test_two_encoders_in_one_build(tmp_path: Path) -> None:
    """One for names and images with names, another for images with images."""
    clip = make_tiny_clip(tmp_path / "clip")
    other = f"timm:test_vit@{timm_weights(tmp_path, 'test_vit')}"
    rows = build(tmp_path, clip, {k: k for k in PLANT}, labelled=2, image_encoder=other)
    files = [tmp_path / f"{kind}{n}.png" for kind in PLANT for n in range(6)]
    alone, _ = embed_images(VectorStore(tmp_path / "store"), load_encoder(other), files)
    images = load(tmp_path / "ws", "items")["image_ids"].map(lambda ids: ids[0]).tolist()
    order = [images.index(path.name) for path in files]
    vectors = tmp_path / "ws" / "vectors"
    np.testing.assert_allclose(np.load(vectors / "images.npy")[order], alone, atol=1e-6)
    assert np.load(vectors / "images_for_names.npy").shape == (18, 16)
    nearest = [
        next(piece.node for piece in evidence if piece.kind == "image_to_text")
        for evidence in rows["evidence"]
    ]
    assert nearest == [f"1/{kind}" for kind in rows["subject"].str.extract(r"/([a-z]+)\d$")[0]]
    card = Workspace(tmp_path / "ws").card.read_text()
    assert f"`{load_encoder(clip).id}`; of images compared" in card
    assert f"`{load_encoder(other).id}`" in card


def test_images_alone_are_enough_for_a_table(tmp_path: Path) -> None:
    other = f"timm:test_vit@{timm_weights(tmp_path, 'test_vit')}"
    for n, given in enumerate(({"encoder": other}, {"encoder": "", "image_encoder": other})):
        folder = tmp_path / str(n)
        folder.mkdir()
        rows = build(folder, names={k: k for k in PLANT}, labelled=2, **given)
        assert len(rows) == 12
        files = {path.name for path in (folder / "ws" / "vectors").glob("*.npy")}
        assert files == {"images.npy"}


def test_an_encoder_of_images_alone_is_refused_for_names(tmp_path: Path) -> None:
    other = f"timm:test_vit@{timm_weights(tmp_path, 'test_vit')}"
    table = tmp_path / "items.csv"
    table.write_text("id,name,kind\n1,Lake A,lake\n2,Old Church,church\n")
    for tree, metadata, fix in (
        ("table", table, "No item has an image"),
        ("gldv2-h", SAMPLE, "give --image-encoder timm:test_vit"),
    ):
        given = {"decisions": tmp_path / "d.csv", "metadata": metadata, "encoder": other}
        with pytest.raises(InputError, match=f"images alone, no names.*{fix}"):
            build_tree(Workspace(tmp_path / "ws"), BuildSettings(tree=tree, **given))


def test_names_of_nodes_are_compared_with_names_of_items(tmp_path: Path) -> None:
    kinds = {
        "dog": ["beagle", "poodle", "terrier", "dachshund", "greyhound"],
        "vehicle": ["sedan", "pickup truck", "minivan", "motorcycle", "bus"],
        "fruit": ["apple", "banana", "orange", "pear", "grape"],
    }
    rows = [
        (f"{kind}{n}", name, kind if n == 0 else "")
        for kind, names in kinds.items()
        for n, name in enumerate(names)
    ]
    file = tmp_path / "items.csv"
    pd.DataFrame(rows, columns=["id", "name", "kind"]).to_csv(file, index=False)
    place = Workspace(tmp_path / "ws")
    given = {"decisions": place.ledger, "metadata": file, "encoder": "registry"}
    build_tree(place, BuildSettings(tree="table", **given))
    proposals = load(place.folder, "proposals")
    made = proposals[(proposals["level"] == 1) & (proposals["origin"] != "published")]
    kind = made["subject"].str.extract(r"/([a-z]+)\d$")[0]
    assert made["parent"].tolist() == [f"1/{name}" for name in kind]
    nearest = [
        next(piece.node for piece in evidence if piece.kind == "text")
        for evidence in made["evidence"]
    ]
    assert nearest == made["parent"].tolist() and len(nearest) == 12
    assert not made["accepted"].any()  # three labels are no proof
