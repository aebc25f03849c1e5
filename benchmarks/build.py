"""Time and memory of a build at GLDv2's full size: the real sample repeated, vectors given.

`python -m benchmarks.build --shared DIR` prints one line of JSON: seconds by stage, and the peak
memory of this process. Vectors are random unit vectors, since encoding is timed elsewhere. With
`--images`, each landmark has 8 images whose vectors (768-d, half precision, made: one direction for
each landmark, and noise) are in the store as archives leave them: 2.5 GB in a temporary folder.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from strata_labels.build import STAGES, BuildSettings, Workspace
from strata_labels.build.embed import item_images
from strata_labels.build.image_archives import INDEX
from strata_labels.embedding import VectorStore, image_vectors, load_encoder
from strata_labels.files import write_json, write_table
from strata_labels.hierarchy import load_hierarchy
from strata_labels.proposal import read_vocabulary
from strata_labels.tables import load

LANDMARKS, DIM = 203_094, 384
IMAGES, IMAGE_DIM, LANDMARKS_AT_ONCE = 8, 768, 512


def repeat_sample(sample: Path, target: Path, rows: int) -> None:
    """Writes `rows` landmarks with the sample's addresses, each repetition's names changed."""
    with sample.open(encoding="utf-8") as file:
        addresses = [row["category"] for row in csv.DictReader(file)]
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["landmark_id", "category"])
        for number in range(rows):
            turn, place = divmod(number, len(addresses))
            writer.writerow([number, addresses[place] + (f"_Nr{turn}x" if turn else "")])


def give_vectors(place: Workspace, settings: BuildSettings, rows: int) -> None:
    """Leaves in the workspace what the embedding stage would."""
    generator = np.random.default_rng(0)
    place.vectors.mkdir(parents=True)
    vocabulary = read_vocabulary(settings.vocabulary_file)
    sizes = {"names": rows, "phrases": len(vocabulary.phrases), "nodes": len(vocabulary.nodes)}
    for name, size in sizes.items():
        vectors = generator.standard_normal((size, DIM), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        np.save(place.vectors / f"{name}.npy", vectors)
    np.save(place.vectors / "phrase_nodes.npy", vocabulary.phrase_nodes)
    about = {"encoder": "random vectors", "aligned": False, "logit_scale": None}
    write_json(place.vectors / "about.json", about)


def give_images(place: Workspace, metadata: Path, rows: int) -> None:
    """Leaves in the workspace what archives would: vectors of images and the archives' indexes."""
    generator = np.random.default_rng(1)
    table = VectorStore(place.vector_store).table(load_encoder("registry").id, "image")
    clean = (metadata / "train_clean.csv").open("w", encoding="utf-8")
    clean.write("landmark_id,images\n")
    for number, start in enumerate(range(0, rows, LANDMARKS_AT_ONCE)):
        size = min(LANDMARKS_AT_ONCE, rows - start)
        own = generator.standard_normal((size, 1, IMAGE_DIM), dtype=np.float32)
        vectors = own + generator.standard_normal((size, IMAGES, IMAGE_DIM), dtype=np.float32)
        vectors = vectors.reshape(-1, IMAGE_DIM)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        images = [[f"{n:010x}{k}" for k in range(IMAGES)] for n in range(start, start + size)]
        ids = [image for of_landmark in images for image in of_landmark]
        keys = [hashlib.sha256(image.encode()).digest() for image in ids]
        with table.writer() as add:
            add(keys, vectors.astype(np.float16))
        index = {"member": ids, "image": ids, "key": keys, "problem": [None] * len(ids)}
        found = pa.Table.from_pydict(index, INDEX)
        write_table(place.archive_indexes / f"archive_{number:03}.parquet", found)
        clean.writelines(f"{start + n},{' '.join(of)}\n" for n, of in enumerate(images))
    clean.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--rows", type=int, default=LANDMARKS)
    parser.add_argument("--images", action="store_true", help="8 images with vectors for each")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        metadata = folder / "metadata"
        metadata.mkdir()
        sample = given.shared / "gldv2" / "train_label_to_hierarchical.sample.csv"
        repeat_sample(sample, metadata / "train_label_to_category.csv", given.rows)
        place = Workspace(folder / "workspace")
        settings = BuildSettings(
            tree="gldv2-h",
            metadata=metadata,
            decisions=place.ledger,
            encoder="registry" if given.images else load_hierarchy("gldv2-h").encoder,
        )
        give_vectors(place, settings, given.rows)
        if given.images:
            give_images(place, metadata, given.rows)
        seconds = {}
        for stage in STAGES:
            start = time.perf_counter()
            if stage.name != "embed":
                stage.run(place, settings)
            elif given.images:
                items = load(place.folder, "items")
                found = image_vectors(item_images(place, settings, items))
                np.save(place.vectors / "images.npy", found.vectors)
            seconds[stage.name] = round(time.perf_counter() - start, 1)
            print(stage.name, seconds[stage.name], file=sys.stderr, flush=True)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        total = round(sum(seconds.values()), 1)
        print(json.dumps({"rows": given.rows, **seconds, "total": total, "peak_MB": round(memory)}))


if __name__ == "__main__":
    main()
