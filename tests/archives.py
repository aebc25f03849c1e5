"""Small archives of images in GLDv2's official layout."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from building import SAMPLE
from PIL import Image
from strata_labels.sources.gldv2 import FILES

LABELS = "landmark_id,category,supercategory,hierarchical_label,natural_or_human_made"
#: The first lines of official files that the sample does not have.
HEADERS = {
    "train": "id,url,landmark_id",
    "index_image_to_landmark": "id,landmark_id",
    "train_label_to_hierarchical": LABELS,
    "index_label_to_hierarchical": LABELS,
}
COLOURS = [(200, 30, 30), (30, 180, 40), (40, 50, 210)]


def image_id(number: int) -> str:
    """An id as GLDv2 has them, 16 hex digits."""
    return hashlib.md5(str(number).encode()).hexdigest()[:16]


def picture(number: int, size: tuple[int, int] = (90, 60), kind: str = "JPEG") -> bytes:
    """A picture's file content; every number gives another one."""
    noise = np.random.default_rng(number).integers(-20, 21, (size[1], size[0], 3))
    pixels = np.clip(np.array(COLOURS[number % 3]) + noise, 0, 255).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


def pack(members: Mapping[str, bytes], mode: str = "w") -> bytes:
    """A tar file with these members."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return content.getvalue()


def official(
    numbers: Sequence[Sequence[int]], damaged: Sequence[int] = (), padding: int = 0
) -> dict[str, bytes]:
    """Files of a server by path: archives with these images, and their MD5 files.

    Args:
        numbers: of each archive the numbers of its images.
        damaged: images whose content is none.
        padding: bytes of a further file that makes each archive so much larger.
    """
    files = {}
    for shard, some in enumerate(numbers):
        ids = {number: image_id(number) for number in some}
        tar = pack(
            {
                f"{name[0]}/{name[1]}/{name[2]}/{name}.jpg": b"no picture"
                if number in damaged
                else picture(number)
                for number, name in ids.items()
            }
            | ({"README": bytes(padding)} if padding else {})
        )
        files[f"/train/images_{shard:03}.tar"] = tar
        text = f"{hashlib.md5(tar).hexdigest()}  images_{shard:03}.tar\n"
        files[f"/md5sum/train/md5.images_{shard:03}.txt"] = text.encode()
    return files


def items_with(images: Sequence[Sequence[str]]) -> pd.DataFrame:
    """Items with these image references, in the columns that are read."""
    ids = [f"gldv2/train/{number}" for number in range(len(images))]
    lists = pd.Series(list(images), dtype=object)
    return pd.DataFrame({"item_id": ids, "split": "train", "image_ids": lists})


def official_metadata() -> dict[str, bytes]:
    """GLDv2's metadata by path on a server: the sample's first rows; landmarks 4 to 11 have the
    image with their number."""
    clean = [f"{number},{image_id(number)}" for number in range(4, 12)]
    lines = HEADERS | {"train_clean": "\n".join(["landmark_id,images", *clean])}
    found = {}
    for name, folder in FILES.items():
        own = SAMPLE / f"{name}.csv"
        text = own.read_text().splitlines()[:24] if own.is_file() else [lines.get(name, "id")]
        found[f"/{folder}/{name}.csv"] = ("\n".join(text) + "\n").encode()
    return found
