"""The drawn product set: deterministic, in SOP's layout, with a level planted in it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from strata_labels.sources import SOURCES, draw_products
from strata_labels.sources import __main__ as draw


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_same_seed_draws_the_same_bytes(tmp_path: Path) -> None:
    one = contents(draw_products(tmp_path / "one", supers=2, kinds=2, products=2))
    assert one == contents(draw_products(tmp_path / "two", supers=2, kinds=2, products=2))
    other = contents(draw_products(tmp_path / "three", supers=2, kinds=2, products=2, seed=1))
    pictures = [name for name in one if name.endswith("_0.JPG")]
    assert pictures and all(one[name] != other[name] for name in pictures)


def test_drawn_products_are_read_as_sop_and_list_the_planted_errors(tmp_path: Path) -> None:
    folder = draw_products(tmp_path, supers=3, kinds=2, products=4)
    read = SOURCES["sop"].read(folder, ["product", "superclass"])
    items = read.items
    planted = pd.read_csv(folder / "planted.csv")
    assert items.split.value_counts().to_dict() == {"train": 12, "test": 12}
    assert sorted(planted.class_id) == sorted(items.source_id)
    by_id = read.labels.set_index("item_id").node
    assert [by_id[f"sop/{n}"] for n in planted.class_id] == planted.super_class.tolist()
    assert (planted.groupby(["super_class", "kind"]).size() == 4).all()
    assert items.image_ids.str.len().between(4, 5).all()
    for image in items.image_ids.explode():
        assert Image.open(folder / image).size == (112, 112)


def test_more_than_can_be_drawn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot draw 13"):
        draw_products(tmp_path, supers=13)
    assert not list(tmp_path.iterdir())


def test_the_command_draws_so_many_super_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wrong in ([], ["a", "0"], ["a", "13"], ["a", "two"], ["a", "1", "2"]):
        monkeypatch.setattr("sys.argv", ["sources", *wrong])
        with pytest.raises(SystemExit, match="FOLDER"):
            draw.main()
    monkeypatch.setattr("sys.argv", ["sources", str(tmp_path / "one"), "1"])
    draw.main()
    assert set(pd.read_csv(tmp_path / "one" / "planted.csv").super_class) == {"bottle"}
