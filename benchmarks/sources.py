"""Time and memory of reading GLDv2's metadata at full size (synthetic, the published row counts).

    python -m benchmarks.sources [--rows 4132914] [--landmarks 203094] [--json out.json]

Prints seconds and peak memory of reading it (names and image lists). Reading runs in
a process of its own, so that making the files is not counted.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TRAIN_IMAGES, TRAIN_LANDMARKS, CLEAN_LANDMARKS = 4_132_914, 203_094, 81_313
_ADDRESS = "http://commons.wikimedia.org/wiki/Category:Ch%C3%A2teau_{}_(Ville_{})"


def make(folder: Path, rows: int, landmarks: int) -> None:
    """Writes metadata files with skewed image counts, as GLDv2's are."""
    rng = np.random.default_rng(0)
    with (folder / "train_label_to_category.csv").open("w") as file:
        file.write("landmark_id,category\n")
        file.writelines(f"{n},{_ADDRESS.format(n, n % 977)}\n" for n in range(landmarks))
    owners = (landmarks * rng.random(rows) ** 3).astype(np.int64)
    images = rng.integers(0, 2**63, rows)
    clean: dict[int, list[str]] = {}
    with (folder / "train.csv").open("w") as file:
        file.write("id,url,landmark_id\n")
        for image, owner in zip(images, owners, strict=True):
            name = f"{image:016x}"
            url = f"https://upload.wikimedia.org/wikipedia/commons/{name[0]}/{name[:2]}/Photo_of_a_"
            file.write(
                f"{name},{url}landmark_number_{owner}_seen_from_the_west_{name}.JPG,{owner}\n"
            )
            if owner < CLEAN_LANDMARKS:
                clean.setdefault(int(owner), []).append(name)
    with (folder / "train_clean.csv").open("w") as file:
        file.write("landmark_id,images\n")
        file.writelines(f"{n},{' '.join(clean[n])}\n" for n in sorted(clean))


def read(folder: Path) -> dict[str, float]:
    """Reads the folder as a build does; seconds and peak memory."""
    from strata_labels.sources import SOURCES

    began = time.perf_counter()
    metadata = SOURCES["gldv2"].read(folder, ())
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "items": len(metadata.items),
        "image_rows": sum(counts["out"] for counts in metadata.counts["images"].values()),
    }


def main() -> None:
    """Runs the benchmark: with `train.csv` alone for the image lists, then with `train_clean`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=TRAIN_IMAGES)
    parser.add_argument("--landmarks", type=int, default=TRAIN_LANDMARKS)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        print(json.dumps(read(options.read)))
        return
    results = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, options.rows, options.landmarks)
        size = (folder / "train.csv").stat().st_size
        print(f"train.csv: {options.rows} rows, {size / 1e6:.0f} MB")
        command = [sys.executable, __file__, "--read", name]
        for case in ("with train_clean", "train alone"):
            if case == "train alone":
                (folder / "train_clean.csv").unlink()
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results[case] = json.loads(output.splitlines()[-1])
            print(f"{case}: {results[case]}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
