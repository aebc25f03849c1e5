"""Time and memory from metadata to tree to exports, on synthetic sets of full size.

`python -m benchmarks.trees sop|inat2018` prints one line of JSON for the library and one for the
command `strata build`. Each stage is timed in a process of its own, whose peak memory is reported.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from strata_labels.export import ExportInput, write_format
from strata_labels.review import replay
from strata_labels.sources import SOURCES, published_tree
from strata_labels.tables import DECISION_COLUMNS
from strata_labels.tree import tree_tables

RANKS = ("genus", "family", "order", "class", "phylum", "kingdom")
# Nodes of the real coded tree, genus to kingdom, and the size of both published sets.
NODES = (4412, 1120, 273, 57, 25, 6)
SPECIES, SPECIES_TRAIN, PICTURES = 8142, 5690, 437_513
PRODUCTS, PRODUCTS_TRAIN, LINES = 22_634, 11_318, 120_053


def make_sop(folder: Path) -> None:
    """Lists of the official size, a product's images in a row."""
    rng = np.random.default_rng(0)
    extra = rng.integers(0, PRODUCTS, LINES - PRODUCTS)
    owners = np.sort(np.concatenate([np.arange(PRODUCTS), extra]))
    lines: dict[str, list[str]] = {"train": [], "test": []}
    nth = pd.Series(owners).groupby(owners).cumcount()
    for image, (product, n) in enumerate(zip(owners.tolist(), nth, strict=True), start=1):
        group = product % 12
        split = "train" if product < PRODUCTS_TRAIN else "test"
        path = f"group_{chr(97 + group)}_final/{111_000_000_000 + product}_{n}.JPG"
        lines[split].append(f"{image} {product + 1} {group + 1} {path}\n")
    for split, text in lines.items():
        header = "image_id class_id super_class_id path\n"
        (folder / f"Ebay_{split}.txt").write_text(header + "".join(text))


def make_inat2018(folder: Path) -> None:
    """Categories with a tree of the real size, annotations and set lists of all pictures."""
    rng = np.random.default_rng(0)
    sizes = (SPECIES, *NODES)
    parents = [
        np.concatenate([np.arange(above), rng.integers(0, above, own - above)])
        for own, above in zip(sizes, NODES, strict=False)
    ]
    categories, groups = [], []
    for number in range(SPECIES):
        ranks, node = {}, number
        for rank, above in zip(RANKS, parents, strict=True):
            node = int(above[node])
            ranks[rank] = f"{rank.capitalize()} {node}"
        groups.append(ranks["class"].replace(" ", ""))
        name = f"Species {number}"
        categories.append({"id": number, "name": name, "supercategory": groups[-1], **ranks})
    extra = rng.integers(0, SPECIES, PICTURES - SPECIES)
    owners = np.concatenate([np.arange(SPECIES), extra]).tolist()
    paths = [f"train_val2018/{groups[n]}/{n}/{i:032x}.jpg" for i, n in enumerate(owners)]
    images = [
        {"id": i, "file_name": path, "width": 800, "height": 600, "license": 3}
        for i, path in enumerate(paths)
    ]
    entries = [{"id": i, "image_id": i, "category_id": n} for i, n in enumerate(owners)]
    value = {"categories": categories, "images": images, "annotations": entries}
    (folder / "train2018.json").write_text(json.dumps(value))
    (folder / "Inat_dataset_splits").mkdir()
    for split in ("train", "test"):
        chosen = [
            p
            for p, n in zip(paths, owners, strict=True)
            if (n < SPECIES_TRAIN) == (split == "train")
        ]
        path = folder / f"Inat_dataset_splits/Inaturalist_{split}_set1.txt"
        path.write_text("\n".join(chosen) + "\n")


SETS: dict[str, tuple[Callable[[Path], None], tuple[str, ...], tuple[str, ...]]] = {
    "sop": (
        make_sop,
        ("superclass",),
        ("sop", "oml", "croissant", "huggingface", "newick", "landmarks"),
    ),
    "inat2018": (
        make_inat2018,
        RANKS,
        ("inat2018", "oml", "croissant", "huggingface", "newick", "landmarks"),
    ),
}


def measure(name: str, folder: Path, out: Path) -> dict[str, Any]:
    """Seconds by stage, peak memory in MB, nodes by level."""
    _, levels, formats = SETS[name]
    seconds: dict[str, float] = {}
    began = last = time.perf_counter()

    def done(stage: str) -> None:
        nonlocal last
        now = time.perf_counter()
        seconds[stage], last = round(now - last, 2), now

    source = SOURCES[name]
    metadata = source.read(folder, ("item", *levels))
    done("read")
    proposals, nodes = published_tree(
        metadata.items, metadata.labels, 1 + len(levels), "incertae sedis"
    )
    none = pd.DataFrame(columns=[*DECISION_COLUMNS, "file", "row"])
    resolution = replay(none, proposals, nodes)
    _, assignments, report = tree_tables(metadata.items, resolution.rows, resolution.tree)
    done("tree")
    for format in formats:
        given = ExportInput(metadata.items, assignments, ("item", *levels))
        write_format(format, out / format, given)
        done(format)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "set": name,
        "images": int(metadata.items.image_ids.str.len().sum()),
        "nodes": report["nodes"],
        "seconds": seconds,
        "total_s": round(time.perf_counter() - began, 1),
        "peak_mb": round(peak),
    }


def measure_command(name: str, folder: Path, out: Path) -> dict[str, Any]:
    """The whole command, from start to exit: seconds, peak memory in MB, exit status."""
    tree = {"sop": "sop-h", "inat2018": "inat-h"}[name]
    began = time.perf_counter()
    words = [sys.executable, "-m", "strata_labels.cli", "build", tree, str(out), "--metadata"]
    run = subprocess.run([*words, str(folder)], stdout=subprocess.DEVNULL, check=False)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    seconds = round(time.perf_counter() - began, 1)
    return {"command": tree, "status": run.returncode, "total_s": seconds, "peak_mb": round(peak)}


def main() -> None:
    """Makes the set in a process of its own, so that its memory is not counted, and measures."""
    if len(sys.argv) == 4:
        made, out = Path(sys.argv[2]), Path(sys.argv[3])
        # The command first: a child's peak is its own, this process' would be the larger later.
        print(json.dumps(measure_command(sys.argv[1], made, out / "workspace")), flush=True)
        print(json.dumps(measure(sys.argv[1], made, out)), flush=True)
        return
    name = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made"
        made.mkdir()
        SETS[name][0](made)
        command = [sys.executable, "-m", "benchmarks.trees", name, str(made), f"{folder}/out"]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
