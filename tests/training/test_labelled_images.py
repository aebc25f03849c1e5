"""Labelled images: from a CSV, from a workspace, and what is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from strata_labels.errors import InputError, RetryError
from strata_labels.tables import SCHEMAS, assignments_schema, save
from strata_labels.training import (
    image_loading,
    load_recipe,
    read_labels_csv,
    read_workspace,
)
from strata_labels.training.image_loading import (
    PathList,
    TrainImages,
    default_workers,
    embed,
    plain_transform,
    random_transform,
    unreadable,
)
from strata_labels.training.processes import Processes, Share

Pictures = tuple[Path, Path, pd.DataFrame]


def problems_of(path: Path, root: Path, table: pd.DataFrame) -> list[tuple]:
    table.to_csv(path, index=False)
    with pytest.raises(InputError) as error:
        read_labels_csv(path, root)
    return [(p.what.split(":")[0], p.row, p.column, p.value) for p in error.value.problems]


def test_reads_labels(pictures: Pictures) -> None:
    root, path, table = pictures
    images = read_labels_csv(path, root)
    assert images.levels == ["level0", "level1"]
    assert images.labels.shape == (32, 2) and images.labels.dtype == torch.int64
    names = np.unique(table.level1)[images.labels[:, 1]]
    assert names.tolist() == table.level1.tolist()
    assert len(images.part("train").paths) == 16
    assert all(file.is_file() for file in images.paths)
    assert not unreadable(images.paths)


def test_reads_a_people_s_spreadsheet(pictures: Pictures) -> None:
    root, path, table = pictures
    table["split"] = table.split.str.upper()
    table.to_csv(path, index=False, sep=";", encoding="utf-8-sig")
    assert read_labels_csv(path, root).table.split.tolist() == table.split.str.lower().tolist()


def test_rows_that_are_wrong_are_all_listed(pictures: Pictures) -> None:
    root, path, table = pictures
    table.loc[0, "level1"] = ""
    table.loc[1, "split"] = "validation"
    table.loc[3, "path"] = table.path[2]
    assert problems_of(path, root, table) == [
        ("blank cell", 2, "level1", None),
        ("no such split", 3, "split", "validation"),
        ("image listed twice (first in row 4)", 5, "path", table.path[2]),
    ]


@pytest.mark.parametrize("way", ["./{}", "x/../{}", "{root}/{}"])
def test_an_image_is_listed_twice_however_it_is_written(pictures: Pictures, way: str) -> None:
    root, path, table = pictures
    table.loc[3, "path"] = way.format(table.path[2].replace("/", "//"), root=root)
    found = problems_of(path, root, table)
    assert found == [("image listed twice (first in row 4)", 5, "path", table.path[3])]


def test_more_levels_than_can_be_compared_are_refused(pictures: Pictures) -> None:
    root, path, table = pictures
    more = pd.DataFrame("x", index=table.index, columns=[f"level{at}" for at in range(2, 127)])
    table = pd.concat([table, more], axis=1)
    assert problems_of(path, root, table) == [("more than 126 levels", None, None, 127)]
    table.drop(columns="level126").to_csv(path, index=False)
    assert len(read_labels_csv(path, root).levels) == 126


@pytest.mark.parametrize("text", ["-1", "-1.0", "−1", "nan", "NaN", "<NA>"])
def test_a_label_that_says_unknown_is_no_class(pictures: Pictures, text: str) -> None:
    root, path, table = pictures
    table.loc[2, "level0"] = table.loc[5, "level1"] = text
    table.to_csv(path, index=False)
    with pytest.raises(InputError, match="unknown label") as refused:
        read_labels_csv(path, root)
    places = [(problem.row, problem.column) for problem in refused.value.problems]
    assert {(4, "level0"), (7, "level1")} <= set(places)


def test_classes_that_are_wrong_are_all_listed(pictures: Pictures) -> None:
    root, path, table = pictures
    table.loc[0, "split"] = "test"
    table.loc[5, "level1"] = "cold"
    table = table.drop(index=[9, 10, 11])
    found = problems_of(path, root, table)
    assert [(what.split(",")[0].split(" of level")[0], value) for what, _, _, value in found] == [
        ("class on both sides of the split", "c0"),
        ("class with one image", "c2"),
        ("class under several", "c1"),
    ]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda t: t.rename(columns={"level1": "level2"}), "levels with a gap"),
        (lambda t: t.assign(split="train"), "too few images to test on"),
        (lambda t: t.assign(split="test"), "fewer than two classes to train on"),
        (lambda t: t.replace({"split": {"test": "query"}}), "splits do not go together"),
    ],
)
def test_splits_and_levels(pictures: Pictures, change, what: str) -> None:
    root, path, table = pictures
    assert what in [found[0] for found in problems_of(path, root, change(table))]


def test_unreadable_images_are_named_or_left_out(pictures: Pictures) -> None:
    root, path, table = pictures
    (root / table.path[0]).unlink()
    (root / table.path[6]).write_bytes((root / table.path[6]).read_bytes()[:60])
    images = read_labels_csv(path, root)
    reasons = unreadable(images.paths)
    assert sorted(reasons) == [0, 6] and reasons[0] == "missing"
    with pytest.raises(InputError) as error:
        images.without(reasons, skip=False)
    assert [str(p.where) for p in error.value.problems] == [
        str(root / table.path[0]),
        str(root / table.path[6]),
    ]
    rest = images.without(reasons, skip=True)
    assert len(rest.table) == 30 and rest.set_aside == {"unreadable image": 2}
    (root / table.path[1]).unlink()
    (root / table.path[2]).unlink()
    with pytest.raises(InputError, match="class with one image"):
        images.without(unreadable(images.paths), skip=True)


def test_no_image_below_the_root(pictures: Pictures, tmp_path: Path) -> None:
    _, path, _ = pictures
    (tmp_path / "empty").mkdir()
    images = read_labels_csv(path, tmp_path / "empty")
    with pytest.raises(InputError, match="none of the 32 images"):
        images.without(unreadable(images.paths), skip=True)
    with pytest.raises(InputError, match="no such folder"):
        read_labels_csv(path, tmp_path / "nowhere")


def workspace(folder: Path, root: Path, table: pd.DataFrame, split: str | None) -> None:
    """A built workspace whose items are the classes of the drawn pictures."""
    groups = list(table.groupby("level0", sort=True))
    ids = [f"toy/{n}" for n in range(len(groups))]
    splits = [split or group.split.iloc[0] for _, group in groups]
    items = pd.DataFrame(
        {
            "item_id": ids,
            "dataset": "toy",
            "split": splits,
            "source_id": range(len(ids)),
            **dict.fromkeys(("title", "name", "qualifier", "source_url"), "x"),
            "image_ids": [group.path.tolist() for _, group in groups],
        }
    )
    save(folder, "items", items)
    families = [group.level1.iloc[0] for _, group in groups]
    assigned = pd.DataFrame(
        {
            "item_id": ids,
            "split": splits,
            "name": "x",
            "status": "labelled",
            "level1_id": families,
            "level1_name": families,
            "level1_confidence": 1.0,
            "accepted_level": 1,
            "origin": "published",
            "confidence": 1.0,
            "accepted": True,
        }
    )
    assigned.loc[0, ["status", "level1_id"]] = ["no_place", None]
    save(folder, "assignments", assigned, assignments_schema(2))
    nodes = pd.DataFrame(
        {
            "node_id": [*ids[1:], "warm", "cold"],
            "level": [0] * (len(ids) - 1) + [1, 1],
            "name": "x",
            "parent_id": [*families[1:], None, None],
            "qid": None,
            "description": None,
        }
    )
    save(folder, "nodes", nodes, SCHEMAS["nodes"])


def test_reads_a_workspace(pictures: Pictures, tmp_path: Path) -> None:
    root, _, table = pictures
    workspace(tmp_path / "ws", root, table, None)
    for name in table.path[table.level0 == "c1"][1:]:
        (root / name).unlink()
    images = read_workspace(tmp_path / "ws", root)
    assert images.set_aside == {"no label": 1, "one image only": 1}
    assert images.levels == ["level0", "level1"]
    assert images.table.level0.nunique() == 6 and len(images.table) == 24
    assert images.table.groupby("split").level0.nunique().to_dict() == {"test": 4, "train": 2}


def test_one_photograph_a_row_is_trained_on_by_class(pictures: Pictures, tmp_path: Path) -> None:
    root, _, table = pictures
    folder, classes = tmp_path / "ws", sorted(set(table.level0))
    ids = [f"toy/{number}" for number in range(len(table))]
    known = table.assign(item_id=ids)
    items = pd.DataFrame(
        {
            "item_id": ids,
            "dataset": "toy",
            "split": "train",
            "source_id": range(len(ids)),
            **dict.fromkeys(("title", "name", "qualifier", "source_url"), "x"),
            "image_ids": [[path] for path in table.path],
        }
    )
    save(folder, "items", items)
    assigned = pd.DataFrame(
        {
            "item_id": ids,
            "split": "train",
            "name": "x",
            "status": "labelled",
            **{
                f"level{n}_{kind}": table[f"level{n - 1}"]
                for n in (1, 2)
                for kind in ("id", "name")
            },
            **{f"level{n}_confidence": 1.0 for n in (1, 2)},
            "accepted_level": 1,
            "origin": "published",
            "confidence": 1.0,
            "accepted": True,
        }
    )
    assigned.loc[assigned.level1_id == "c0", "status"] = ["labelled", *["no_place"] * 3]
    save(folder, "assignments", assigned, assignments_schema(3))
    families = [known.level1[known.level0 == name].iloc[0] for name in classes]
    nodes = pd.DataFrame(
        {
            "node_id": [*ids, *classes, "warm", "cold"],
            "level": [0] * len(ids) + [1] * len(classes) + [2, 2],
            "name": "x",
            "parent_id": [*table.level0, *families, None, None],
            "qid": None,
            "description": None,
        }
    )
    save(folder, "nodes", nodes, SCHEMAS["nodes"])
    with pytest.raises(InputError, match=r"one image file only below.*--class-level LEVEL"):
        read_workspace(folder, root)
    images = read_workspace(folder, root, class_level=1)
    assert images.levels == ["level0", "level1"] and len(images.table) == 28
    assert images.set_aside == {"no label": 3, "one image only": 1}
    sides = images.table.groupby("level0").split.agg(set)
    assert len(sides) == 7 and all(len(side) == 1 for side in sides)
    assert images.table.level1.isin(["warm", "cold"]).all()


def test_a_workspace_without_a_test_split_is_divided(pictures: Pictures, tmp_path: Path) -> None:
    root, _, table = pictures
    workspace(tmp_path / "ws", root, table, "train")
    images = read_workspace(tmp_path / "ws", root)
    sides = images.table.groupby("level0").split.agg(set)
    assert len(sides) == 7 and all(len(side) == 1 for side in sides)
    assert sorted(images.table.groupby("split").level0.nunique()) == [3, 4]
    assert images.digest == read_workspace(tmp_path / "ws", root).digest


def test_a_label_that_stops_early_agrees_with_none(pictures: Pictures, tmp_path: Path) -> None:
    root, _, table = pictures
    folder = tmp_path / "ws"
    workspace(folder, root, table, None)
    assigned = pd.read_parquet(folder / "tables" / "assignments.parquet")
    assigned.loc[[2, 4], "level1_id"] = None
    save(folder, "assignments", assigned, assignments_schema(2))
    images = read_workspace(folder, root)
    assert images.table[images.table.level0.isin(["toy/2", "toy/4"])].level1.nunique() == 2


def test_workspace_without_pictures(pictures: Pictures, tmp_path: Path) -> None:
    root, _, table = pictures
    workspace(tmp_path / "ws", root, table, None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no labelled item has two image files"):
        read_workspace(tmp_path / "ws", tmp_path / "empty")
    with pytest.raises(InputError, match="table not found"):
        read_workspace(tmp_path, root)


@pytest.mark.parametrize("max_scale", [0.0, 1.0])
def test_crops_follow_from_seed_alone(pictures: Pictures, max_scale: float) -> None:
    root, path, _ = pictures
    recipe = load_recipe("happier", "full", ["resize=32", "crop=24", f"max_scale={max_scale}"])
    transform = random_transform(recipe)
    paths = read_labels_csv(path, root).paths
    batches = [np.array([3, 1, 2, 3]), np.array([5, 6, 7, 8])]
    one = Processes()

    def load(workers: int, seed: int = 0, first: int = 0, processes: Processes = one):
        images = TrainImages(paths, np.arange(len(paths)), transform, seed, workers)
        return list(images(2, first, [processes.share(batch) for batch in batches[first:]]))

    alone = load(0)
    assert alone[0].shape == (4, 3, 24, 24)
    before = torch.get_rng_state()
    assert all(torch.equal(a, b) for a, b in zip(alone, load(2), strict=True))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(load(0, first=1)[0], alone[1])
    parts = [load(0, processes=Processes(rank, 2))[0] for rank in (0, 1)]
    assert torch.equal(torch.cat(parts), alone[0])
    assert not torch.equal(load(0, seed=1)[0], alone[0])
    assert not torch.equal(alone[0][0], alone[0][3]), "an image that fills up is cropped anew"


def test_test_images_are_centre_crops() -> None:
    from PIL import Image

    recipe = load_recipe("happier", "full", ["resize=8", "crop=4"])
    image = Image.new("RGB", (32, 16))
    image.paste((255, 255, 255), (8, 4, 24, 12))
    crop = plain_transform(recipe)(image)
    assert crop.shape == (3, 4, 4) and int(crop[:, 1:3].min()) > 180


def test_a_process_without_a_share_of_the_images_embeds_none() -> None:
    class Mean(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels.float().mean((2, 3))

    transform = plain_transform(load_recipe("happier", "full", ["resize=8", "crop=4"]))
    assert embed(Mean(), [], transform, torch.device("cpu"), 0).shape == (0, 3)


def test_a_network_that_gives_nan_is_not_a_broken_picture(pictures) -> None:
    root, _, table = pictures
    (root / table.path[0]).write_bytes(b"no picture")
    paths = [root / path for path in table.path[:3]]
    transform = plain_transform(load_recipe("nsm", "full", ["crop=8", "resize=8"]))

    class Overflows(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            vectors = torch.ones(len(pixels), 4)
            vectors[2:] = torch.nan
            return vectors

    with pytest.raises(InputError, match=rf"{paths[2].name}: the network gives NaN"):
        embed(Overflows(), paths, transform, torch.device("cpu"), 0, skip_damaged=True)
    kept = embed(Overflows(), paths[:2], transform, torch.device("cpu"), 0, skip_damaged=True)
    assert kept[0].isnan().all() and kept[1].isfinite().all()


def test_processes_of_one_training_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(12), raising=False)
    assert default_workers() == 12
    pools = []
    pool = image_loading.ThreadPoolExecutor
    monkeypatch.setattr(
        image_loading, "ThreadPoolExecutor", lambda most: pools.append(most) or pool(most)
    )
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "5")
    unreadable([])
    assert pools == [2] and default_workers() == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "40")
    assert default_workers() == 1


def test_loading_names_or_replaces_an_image_that_broke(pictures) -> None:
    root, _, table = pictures
    paths = [root / path for path in table.path]
    classes = pd.factorize(table.level0)[0]
    paths[5].write_bytes(b"no picture")
    recipe = load_recipe("nsm", "full", ["crop=32"])
    transform = random_transform(recipe)
    share = [Share(0, np.array([5, 0]))]
    with pytest.raises(InputError, match=r"c1_1\.png"):
        list(TrainImages(paths, classes, transform, 0, 0)(0, 0, share))
    for workers in (0, 1):
        images = TrainImages(paths, classes, transform, 0, workers, skip_damaged=True)
        for _ in range(2):
            (pixels,) = images(0, 0, share)
            assert pixels.shape == (2, 3, 32, 32) and list(images.broken) == [5]
    (mate,) = TrainImages(paths, classes, transform, 0, 0)(0, 0, [Share(0, np.array([6, 0]))])
    means = [some.float().mean((2, 3)) for some in (mate, pixels)]
    assert torch.allclose(*means, atol=25)  # of the same colour


def test_workers_let_the_thread_that_drives_the_network_go_first(pictures) -> None:
    root, _, table = pictures
    paths = [root / path for path in table.path]
    images = TrainImages(
        paths, np.zeros(len(paths), int), lambda _: torch.tensor(os.nice(0)), 0, workers=1
    )
    (niceness,) = images(0, 0, [Share(0, np.arange(4))])
    assert set(niceness.tolist()) == {min(os.nice(0) + 10, 19)}


def test_a_killed_worker_is_one_sentence(pictures) -> None:
    root, _, table = pictures
    paths = [root / path for path in table.path]

    def transform(image: object) -> torch.Tensor:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    images = TrainImages(paths, np.zeros(len(paths), int), transform, 0, 1)
    with pytest.raises(RetryError, match="was killed, often because memory was short"):
        list(images(0, 0, [Share(0, np.arange(4))]))


GROWTH = """
import gc, os, sys
from pathlib import Path
import psutil
from strata_labels.training.image_loading import PathList
for kind in (PathList, list):
    paths = kind(Path(f"/data/images/{number:09d}.jpg") for number in range(200_000))
    read, write = os.pipe()
    if not (child := os.fork()):  # as a worker process of the loader
        gc.freeze()
        start = psutil.Process().memory_full_info().uss
        for at in range(0, len(paths), 8):  # every page of memory
            paths[at]
        os.write(write, str(psutil.Process().memory_full_info().uss - start).encode())
        os._exit(0)
    os.waitpid(child, 0)
    print(os.read(read, 100).decode())
"""


def test_workers_do_not_copy_the_list_of_paths() -> None:
    pytest.importorskip("psutil")
    assert PathList(iter([Path("a"), Path("b")]))[1] == Path("b")
    grown = subprocess.check_output([sys.executable, "-c", GROWTH], text=True)
    ours, plain = map(int, grown.split())
    assert ours < 4e6 < plain / 2
