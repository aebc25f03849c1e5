"""Every format, opened by the loaders that it is for, for trees of every shape.

`docs/formats.md` shows the table of these tests.
"""

from __future__ import annotations

import csv
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from exporting import export
from hypothesis import given, settings
from PIL import Image
from strata_labels.errors import InputError
from strata_labels.export.formats import FORMATS
from strata_labels.people_csv import restore
from subprocesses import run_checked
from trees import RANKS, Built, build_table, tables

Rows = list[dict[str, str]]
#: Item's own id and split to its names, finest first, blank where it has none.
Labels = dict[tuple[str, str], list[str]]


def rows(levels: list[str], number: int = 8) -> Rows:
    """Items whose path is a binary number without its last digits."""
    return [
        {
            "id": str(n),
            "name": f"thing {n}",
            "split": "train" if n % 3 else "test",
            "image": f"raw {n}/a.jpg|raw {n}/b.jpg",
            **{level: f"{level} {n >> k}" for k, level in enumerate(levels)},
        }
        for n in range(1, number + 1)
    ]


def changed(levels: list[str], **cells: list[str]) -> Rows:
    """`rows` with other cells in the first items."""
    found = rows(levels)
    for column, values in cells.items():
        for row, value in zip(found, values, strict=False):
            row[column] = value
    return found


TWO = ["kind", "group"]
EIGHT = [f"rank {n}" for n in range(7)]
MARKS = ["(", "it's", "a;b,c:d", "[x]&&NHX:S=1", "=1+1", '"q" \\ \\\'', "NA", "寺 é"]

#: Levels above the item, and the rows.
SHAPES: dict[str, tuple[list[str], Rows]] = {
    "one level": (["kind"], rows(["kind"])),
    "four levels": (["a", "b", "c"], rows(["a", "b", "c"])),
    "seven levels": (list(RANKS), rows(list(RANKS))),
    "eight levels": (EIGHT, rows(EIGHT)),
    "repeated names": (TWO, changed(TWO, kind=["twin"] * 8, name=["same"] * 8)),
    "one name, two cases": (TWO, changed(TWO, kind=["Tea", "tea"], id=["a", "A"])),
    "gaps": (TWO, changed(TWO, kind=["", "", "x"], group=["y", "", ""])),
    "gaps, one level": (["kind"], changed(["kind"], kind=["", "x", ""])),
    "twins, seven levels": (list(RANKS), changed(list(RANKS), genus=["twin"] * 8)),
    "no labels": (["kind"], changed(["kind"], kind=[""] * 8)),
    "items only": ([], rows([])),
    "no images": (TWO, changed(TWO, image=[""] * 8)),
    "one item": (TWO, rows(TWO, 1)),
    "marks in names": (TWO, changed(TWO, kind=MARKS, name=MARKS)),
    "marks in names, one level": (["kind"], changed(["kind"], kind=MARKS, name=MARKS)),
    "levels like columns": (["name_id", "status"], rows(["name_id", "status"])),
    "a split called all": (["kind"], changed(["kind"], split=["all"] * 8)),
    "odd splits": (["kind"], changed(["kind"], split=["dev-1", "dev 1", "dev_1", "寺", "ü x"])),
}


def text(value: Any) -> str:
    """A record's value: some loaders give bytes, some NaN for nothing."""
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, str) else ""


# --- loaders: each gives the labels it reads ------------------------------------------------


def mlcroissant(folder: Path) -> Labels:
    library = pytest.importorskip("mlcroissant")
    data = library.Dataset(folder / "croissant.json")
    sets = {record.id: list(data.records(record.id)) for record in data.metadata.record_sets}
    fields = next(record for record in data.metadata.record_sets if record.id == "items").fields
    ids = [field.id for field in fields]
    names = ids[3 : 3 + (ids.index("items/status") - 3) // 2]
    for node in sets.get("nodes", []):
        assert text(node["nodes/node_id"])
    return {
        (text(item["items/id"]), text(item["items/split"])): [text(item[name]) for name in names]
        for item in sets["items"]
    }


def datasets(folder: Path) -> Labels:
    library = pytest.importorskip("datasets")
    library.disable_progress_bars()
    found: Labels = {}
    cache = str(folder.parent / "cache")
    for config in library.get_dataset_config_names(str(folder), cache_dir=cache):
        for part in library.load_dataset(str(folder), config, cache_dir=cache).values():
            if config == "nodes":
                assert all(row["node_id"] for row in part)
                continue
            names = part.column_names[3 : 3 + (part.column_names.index("status") - 3) // 2]
            for row in part:
                found[row["id"], row["split"]] = [text(row[name]) for name in names]
    return found


def pandas_csv(folder: Path) -> Labels:
    frame = pd.read_csv(folder / "landmarks.csv", dtype=str, keep_default_na=False)
    frame = frame.map(restore)
    names = list(frame.columns[3 : list(frame.columns).index("wikidata")])
    return {
        (row["id"], row["split"]): [row[name] for name in names] for row in frame.to_dict("records")
    }


def _by_leaf(folder: Path, paths: dict[str, list[str]]) -> Labels:
    """Labels from each leaf's labels up to the root, by way of `names.csv`."""
    with (folder / "names.csv").open(encoding="utf-8", newline="") as file:
        known = {row["label"]: row for row in csv.DictReader(file)}
    found = {}
    for leaf, above in paths.items():
        _, split, number = known[leaf]["node_id"].split("/", 2)
        found[number, split] = [restore(known[label]["name"]) for label in above]
    return found


def dendropy(folder: Path) -> Labels:
    library = pytest.importorskip("dendropy")
    tree = library.Tree.get(path=folder / "tree.nwk", schema="newick")
    paths = {}
    for leaf in tree.leaf_node_iter():
        if leaf is not tree.seed_node:
            above = [node.label for node in leaf.ancestor_iter() if node is not tree.seed_node]
            paths[leaf.taxon.label] = above
    return _by_leaf(folder, paths)


def biopython(folder: Path) -> Labels:
    phylo = pytest.importorskip("Bio.Phylo")
    tree = phylo.read(folder / "tree.nwk", "newick")
    paths = {}
    for leaf in tree.get_terminals():
        if leaf is not tree.root:
            paths[leaf.name] = [node.name for node in reversed(tree.get_path(leaf)[:-1])]
    return _by_leaf(folder, paths)


def _painted(folder: Path, listed: Path) -> dict[str, str]:
    """Paints the images that a list says belong into the export; the id by path."""
    ids = {}
    for line in pd.read_csv(listed, dtype=str).itertuples():
        path = folder / line.path
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(path)
        ids[str(path)] = line.image.split("/")[0].removeprefix("raw ")
    return ids


def pytorch_metric_learning_sop(folder: Path) -> Labels:
    library = pytest.importorskip("pytorch_metric_learning.datasets.sop")
    place = folder / "Stanford_Online_Products"
    ids = _painted(place, place / "images.csv")
    names = pd.read_csv(place / "names.csv", dtype=str, keep_default_na=False)
    node = names.set_index(["level", "id"])["name"]
    lists = {
        split: pd.read_csv(place / f"Ebay_{split}.txt", sep=" ", dtype=str)
        for split in ("train", "test")
    }
    found = {}
    for split, frame in lists.items():
        above = dict(zip(frame.class_id.astype(int), frame.super_class_id, strict=True))
        data = library.StanfordOnlineProducts(root=str(folder), split=split)
        for path, label in zip(data.paths, data.labels, strict=True):
            found[ids[str(path)], split] = [node["1", above[int(label)]]]
    return found


def pytorch_metric_learning_inat(folder: Path) -> Labels:
    library = pytest.importorskip("pytorch_metric_learning.datasets.inaturalist2018")
    ids = _painted(folder, folder / "images.csv")
    plain = pd.read_json(folder / "categories.json", dtype=False).set_index("id")
    ranks = [rank for rank in RANKS if rank in plain] or ["supercategory"]
    found = {}
    for split in ("train", "test"):
        data = library.INaturalist2018(root=str(folder), split=split)
        for path, label in zip(data.paths, data.labels, strict=True):
            found[ids[str(path)], split] = [str(plain.loc[label, rank]) for rank in ranks]
    return found


def rdflib(folder: Path) -> Labels:
    library = pytest.importorskip("rdflib")
    skos = library.SKOS
    graph = library.Graph().parse(folder / "tree.ttl")
    found = {}
    for concept in graph.subjects(skos.notation, None):
        above, names = graph.value(concept, skos.broader), []
        while above is not None:
            names.append(str(graph.value(above, skos.prefLabel)))
            above = graph.value(above, skos.broader)
        if graph.value(concept, library.URIRef("urn:strata:terms:level")).value == 0:
            _, split, number = str(graph.value(concept, skos.notation)).split("/", 2)
            found[number, split] = names
    return found


def json_load(folder: Path) -> Labels:
    found = {}

    def walk(node: dict[str, Any], above: list[str]) -> None:
        for child in node["children"]:
            if child["level"] == 0:
                found[child["id"].split("/", 2)[2], child["split"]] = above
            else:
                walk(child, [child["name"], *above])

    walk(json.loads((folder / "hierarchy.json").read_text(encoding="utf-8")), [])
    return found


def torchvision(folder: Path) -> Labels:
    library = pytest.importorskip("torchvision.datasets")
    items = json.loads((folder.parent / "items.json").read_text(encoding="utf-8"))
    classes = pd.read_csv(folder / "classes.csv", dtype=str, keep_default_na=False)
    classes = classes.map(restore).set_index("folder")
    names = ["name", *(column for column in classes if column.startswith("level"))]
    found = {}
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        data = library.ImageFolder(str(place))
        for image, label in data:
            number, split = items[image.getpixel((0, 0))[0]]
            row = classes.loc[data.classes[label]]
            # Where there is no level above, an item is a class of its own.
            labels = [] if row.node_id.startswith("table/") else row[names].tolist()
            assert found.setdefault((number, split), labels) == labels
    return found


def painted(folder: Path, table: Rows) -> Callable[[str], Path | None]:
    """Paints each item's images in a colour of its own; says whose it is in `items.json`."""
    for n, row in enumerate(table):
        for name in filter(None, row["image"].split("|")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (2, 2), (n, 0, 0)).save(folder / name, "PNG")
    items = [(row["id"], row["split"]) for row in table]
    (folder / "items.json").write_text(json.dumps(items), encoding="utf-8")
    return lambda image: path if (path := folder / image).is_file() else None


LOADERS: dict[str, tuple[str, Callable[[Path], Labels]]] = {
    "mlcroissant": ("croissant", mlcroissant),
    "datasets": ("huggingface", datasets),
    "pandas": ("landmarks", pandas_csv),
    "dendropy": ("newick", dendropy),
    "rdflib": ("skos", rdflib),
    "json": ("json", json_load),
    "torchvision": ("imagefolder", torchvision),
    "biopython": ("newick", biopython),
    "pytorch-metric-learning (SOP)": ("sop", pytorch_metric_learning_sop),
    "pytorch-metric-learning (iNaturalist)": ("inat2018", pytorch_metric_learning_inat),
}
#: Loaders in environments of their own.
OWN_ENVIRONMENT = {"ete4": "newick", "open-metric-learning": "oml"}
#: Formats of labelled items alone, and of those with images; these loaders want two lists.
LABELLED_ONLY = ("newick", "inat2018", "sop", "oml", "skos", "json", "imagefolder")
WITH_IMAGES, TWO_LISTS = ("sop", "oml", "imagefolder"), ("sop", "inat2018")


def expected_of(format: str, built: Built, levels: list[str]) -> Labels:
    """The labels of the items that the format carries."""
    rows = built.assignments
    kept = pd.Series(True, rows.index)
    if format in LABELLED_ONLY:
        kept &= rows.status == "labelled"
    if format in WITH_IMAGES:
        images = built.items.set_index("item_id").image_ids.str.len()
        kept &= rows.item_id.map(images) > 0
    found = {}
    for row in rows[kept].to_dict("records"):
        names = [row[f"level{n}_name"] for n in range(1, len(levels) + 1)]
        split = "test" if format in TWO_LISTS and row["split"] != "train" else row["split"]
        found[row["item_id"].rsplit("/", 1)[-1], split] = [text(name) for name in names]
    return found


def is_opened(format: str, built: Built, levels: list[str]) -> bool:
    """Whether the loader has something to open."""
    expected = expected_of(format, built, levels)
    if not FORMATS[format].carries(len(levels) + 1) or (format in WITH_IMAGES and not expected):
        return False
    if format in TWO_LISTS and {split for _, split in expected} != {"train", "test"}:
        return False
    return format != "inat2018" or bool(built.items.image_ids.str.len().all())


@functools.cache
def built_shape(shape: str) -> Built:
    levels, table = SHAPES[shape]
    return build_table(table, levels)


def opened(loader: str, built: Built, levels: list[str], table: Rows) -> None:
    """Exports, opens, and compares the labels; where a format carries nothing, it has to say so."""
    format, read = LOADERS[loader]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "out"
        names = ["item", *levels]
        try:
            export(
                format,
                folder,
                built.items,
                built.assignments,
                levels=names,
                find_image=painted(Path(place), table),
            )
        except InputError:
            assert not is_opened(format, built, levels)
            return
        assert (folder / "README.md").is_file()
        if is_opened(format, built, levels):
            assert read(folder) == expected_of(format, built, levels)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("loader", LOADERS)
def test_the_loader_gives_the_labels(loader: str, shape: str) -> None:
    opened(loader, built_shape(shape), *SHAPES[shape])


@pytest.mark.parametrize(
    "loader", ["mlcroissant", "datasets", "pandas", "dendropy", "biopython", "rdflib", "json"]
)
@settings(deadline=None, max_examples=8)
@given(table=tables())
def test_random_trees(loader: str, table: tuple[Rows, list[str]]) -> None:
    found, levels = table
    opened(loader, build_table(found, levels), levels, found)


# --- loaders that need an environment of their own ------------------------------------------

UV = Path(sys.executable).with_name("uv")


def environment(folder: Path, *installs: list[str]) -> str:
    """A Python with these packages, each list one call of the installer; its path."""
    python = str(folder / "bin/python")
    subprocess.run([UV, "venv", "-q", "--python", sys.executable, str(folder)], check=True)
    # What must be compiled need not be fast. Packages add options of their own behind CFLAGS.
    compiler = folder / "bin/quick-cc"
    compiler.write_text('#!/bin/sh\nexec cc "$@" -O0 -g0\n')
    compiler.chmod(0o755)
    quickly = {**os.environ, "CC": str(compiler)}
    for words in installs:
        # What is in the installer's cache is used as it is: a registry may have it compiled anew.
        for offline in (["--offline"], []):
            command = [UV, "pip", "install", "-q", "--python", python, *offline, *words]
            made = subprocess.run(command, capture_output=True, text=True, timeout=800, env=quickly)
            if not made.returncode:
                break
        else:
            pytest.skip(f"no environment for {words[-1]}: {made.stderr[-300:]}")
    return python


def exported(format: str, folder: Path) -> dict[str, Built]:
    """Every shape in this format, a folder for each; shapes with nothing to export are left out."""
    found = {}
    for name, (levels, _) in SHAPES.items():
        built = built_shape(name)
        try:
            place = folder / name
            export(format, place, built.items, built.assignments, levels=["item", *levels])
        except InputError:
            continue
        found[name] = built
    return found


@pytest.mark.slow
def test_ete4(tmp_path: Path) -> None:
    trees = exported("newick", tmp_path / "trees")
    assert set(trees) == set(SHAPES)
    python = environment(tmp_path / "env", ["ete4==4.4.0"])
    code = (
        "import json, sys; from pathlib import Path; from ete4 import Tree\n"
        "found = {}\n"
        "for path in Path(sys.argv[1]).glob('*/tree.nwk'):\n"
        "    tree = Tree(path.open(), parser=1)\n"
        "    leaves = [leaf for leaf in tree.leaves() if not leaf.is_root]\n"
        "    found[path.parent.name] = {leaf.name: [node.name for node in leaf.ancestors()][:-1]\n"
        "                               for leaf in leaves}\n"
        "print(json.dumps(found))\n"
    )
    found = json.loads(run_checked([python, "-c", code, str(tmp_path / "trees")]).stdout)
    for name, built in trees.items():
        expected = expected_of("newick", built, SHAPES[name][0])
        assert _by_leaf(tmp_path / "trees" / name, found[name]) == expected, name


@pytest.mark.slow
def test_open_metric_learning(tmp_path: Path) -> None:
    """The library pins an older numpy; its check of frames needs none of torch and its like."""
    root = tmp_path / "frames"
    names = exported("oml", root)
    assert len(names) > 8
    for path in root.glob("*/level0.csv"):
        for image in pd.read_csv(path, dtype=str, keep_default_na=False).path:
            place = path.parent / image
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (2, 2)).save(place)
    python = environment(
        tmp_path / "env",
        ["pandas<3", "numpy<2", "gdown", "requests", "validators", "omegaconf"],
        ["--no-deps", "open-metric-learning==4.0.0"],
    )
    code = (
        "import sys, warnings; from pathlib import Path\n"
        "warnings.simplefilter('error')\n"
        "from oml.utils.dataframe_format import check_retrieval_dataframe_format as check\n"
        "for path in sorted(Path(sys.argv[1]).glob('*/level*.csv')):\n"
        "    check(path, path.parent); print(path.parent.name, path.name)\n"
    )
    done = run_checked([python, "-c", code, str(root)])
    checked = {tuple(line.rsplit(" ", 1)) for line in done.stdout.splitlines()}
    assert checked == {
        (name, f"level{n}.csv") for name in names for n in range(len(SHAPES[name][0]) + 1)
    }
    levels = next(root.glob("four levels/level0.csv"))
    (levels.parent / pd.read_csv(levels).path[0]).unlink()
    broken = subprocess.run([python, "-c", code, str(root)], capture_output=True, text=True)
    assert "paths do not exist" in broken.stderr


# --- the table in the docs ------------------------------------------------------------------


def table_of_loaders() -> str:
    """`docs/formats.md`'s table: loaders by shape."""
    loaders = {**{name: format for name, (format, _) in LOADERS.items()}, **OWN_ENVIRONMENT}
    lines = [f"| tree | {' | '.join(loaders)} |", "|---|" + "---|" * len(loaders)]
    for shape, (levels, _) in SHAPES.items():
        built = built_shape(shape)
        cells = ["yes" if is_opened(format, built, levels) else "-" for format in loaders.values()]
        lines.append(f"| {shape} | {' | '.join(cells)} |")
    return "\n".join(lines)


def test_the_docs_show_the_table_of_these_tests() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs/formats.md").read_text(encoding="utf-8")
    assert table_of_loaders() in text
    assert all(f"| `{name}` |" in text for name in FORMATS)
