"""What GLDv2's images take, from costs measured on this machine: the table of docs/images.md.

    python -m benchmarks.gldv2_size --shared DIR

Costs are processor time of one thread, of grocery's photographs enlarged to 1600 pixels; the size
of a kept image comes from the bytes per pixel of the photographs as they are, since enlarging adds
no detail. Published numbers are constants below. Everything else is computed from these.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1"}  # before torch is imported

import argparse
import hashlib
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from strata_labels.embedding import Encoder, load_encoder
from strata_labels.pictures import reduced

# Published; the size of an archive is "about 1 GB".
ARCHIVES, ARCHIVE_BYTES = 600, 1e9
IMAGES = 4_132_914 + 761_757
CLEAN_LANDMARKS, PER_LANDMARK = 81_313, 8
KEPT_PIXELS = 512 * 683
DIMENSIONS = 768  # of ViT-L-14
PHOTOGRAPHS = 96


@dataclass(frozen=True)
class Costs:
    """Seconds of one thread per image or byte, and bytes of a kept image.

    Attributes:
        prepare: decode a photograph at reduced size, resize and normalise it.
        keep: make the image that is kept.
        encode: the `registry` encoder alone.
        check: MD5 and SHA-256 of a byte.
        kept: bytes of a kept image.
    """

    prepare: float
    keep: float
    encode: float
    check: float
    kept: float


def measure(encoder: Encoder, shared: Path) -> Costs:
    paths = sorted((shared / "grocery" / "subset").rglob("*.jpg"))
    paths = paths[:: len(paths) // PHOTOGRAPHS][:PHOTOGRAPHS]
    photographs, pixels, size = [], 0, 0
    for path in paths:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        large, same = io.BytesIO(), io.BytesIO()
        scale = 1600 / max(image.size)
        image.resize((round(image.width * scale), round(image.height * scale))).save(
            large, "JPEG", quality=90
        )
        image.save(same, "JPEG", quality=90)  # as images are kept
        photographs.append(large.getvalue())
        pixels += image.width * image.height
        size += len(same.getvalue())
    list(encoder.image_batches(photographs[:8], 1))  # loads the encoder
    whole = _seconds(lambda: list(encoder.image_batches(photographs, 1)))
    prepare = _seconds(lambda: [encoder._loaded.pixels(content) for content in photographs])
    keep = _seconds(lambda: [reduced(content, 512) for content in photographs])
    block = bytes(1 << 26)
    check = _seconds(lambda: (hashlib.md5(block), hashlib.sha256(block)))
    n = len(photographs)
    kept = KEPT_PIXELS * size / pixels
    return Costs(prepare / n, keep / n, (whole - prepare) / n, check / len(block), kept)


def _seconds(work: Callable[[], object]) -> float:
    """The least processor time of three runs."""
    times = []
    for _ in range(3):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def row(name: str, images: int, cores: int, processes: int, costs: Costs, gpus: int) -> str:
    """A row of the table."""
    vectors, kept = images * DIMENSIONS * (2 if gpus else 4), images * costs.kept
    disk = 2 * processes * ARCHIVE_BYTES + vectors
    total = ARCHIVES * ARCHIVE_BYTES
    prepare = (images * (costs.prepare + costs.keep) + total * costs.check) / cores
    encode = f"{images / gpus / 3600:,.0f} / r" if gpus else ""
    if not gpus:
        encode = f"{images * costs.encode / cores / 3600:.1f} (`registry`)"
    return (
        f"| {name} | {images:,} | {total / 1e9:,.0f} GB | {disk / 1e9:,.0f} GB | "
        f"{kept / 1e9:,.0f} GB | {prepare / 3600:.1f} | {encode} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, required=True, help="folder of the real data")
    costs = measure(load_encoder("registry"), parser.parse_args().shared)
    print(
        f"prepare {1000 * costs.prepare:.1f} ms, keep {1000 * costs.keep:.1f} ms, encode "
        f"{1000 * costs.encode:.1f} ms, checksums {1e-6 / costs.check:,.0f} MB/s, kept image "
        f"{costs.kept / 1000:.0f} kB\n"
    )
    print(
        "| machine | images | fetched | disk | kept images | hours of cores | hours of encoding |"
    )
    print("|---|---|---|---|---|---|---|")
    some = CLEAN_LANDMARKS * PER_LANDMARK
    for images in (some, IMAGES):
        print(row("laptop, 2 cores, 2 processes", images, 2, 2, costs, 0))
        print(row("1 GPU, 16 cores, 1 process", images, 16, 1, costs, 1))
        print(row("8 GPUs, 128 cores, 8 processes", images, 128, 8, costs, 8))
    seconds = ARCHIVES * ARCHIVE_BYTES * 8
    print(
        f"\nnetwork: {seconds / 1e8 / 3600:.1f} h at 100 Mbit/s, {seconds / 1e9 / 3600:.1f} h at 1"
    )


if __name__ == "__main__":
    main()
