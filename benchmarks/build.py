"""Time and memory of a build at GLDv2's full size: the real sample repeated, vectors given.

`python -m benchmarks.build --shared DIR` prints one line of JSON: seconds by stage, and the peak
memory of this process. Vectors are random unit vectors, since encoding is timed elsewhere.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from strata_labels.build import STAGES, BuildSettings, Workspace
from strata_labels.files import write_json
from strata_labels.hierarchy import load_hierarchy
from strata_labels.proposal import read_vocabulary

LANDMARKS, DIM = 203_094, 384


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
    about = {"encoder": "random vectors", "aligned": False, "logit_scale": None}
    write_json(place.vectors / "about.json", about)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--rows", type=int, default=LANDMARKS)
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
            encoder=load_hierarchy("gldv2-h").encoder,
        )
        give_vectors(place, settings, given.rows)
        seconds = {}
        for stage in STAGES:
            if stage.name != "embed":
                start = time.perf_counter()
                stage.run(place, settings)
                seconds[stage.name] = round(time.perf_counter() - start, 1)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        total = round(sum(seconds.values()), 1)
        print(json.dumps({"rows": given.rows, **seconds, "total": total, "peak_MB": round(memory)}))


if __name__ == "__main__":
    main()
