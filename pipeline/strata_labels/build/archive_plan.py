"""What reading archives of images would take, bytes, disk and time, without fetching one."""

from __future__ import annotations

import io
import shutil
import time
from dataclasses import dataclass

import numpy as np

from strata_labels.build.archive_unit import one_torch_thread, usable_cores
from strata_labels.build.image_archives import (
    ImageIndex,
    already_read,
    encoder_of_images,
    missing_archives,
    wanted_images,
)
from strata_labels.build.workspace import Workspace
from strata_labels.pictures import reduced
from strata_labels.sources import archive_sizes, find_archives
from strata_labels.tables import load

_SECONDS_MEASURED = 5.0
_PHOTOGRAPHS = 16


@dataclass(frozen=True)
class ArchivePlan:
    """What reading archives would take.

    Attributes:
        archives: how many would be read.
        bytes: of them all, as far as servers say.
        images: wanted images that are not there yet.
        is_remote: they are fetched, and dropped when they are read.
        disk: bytes on disk, at most, with everything that stays.
        free: bytes free on the workspace's disk.
        images_per_second: of all processes; measured with a drawn photograph in one of them.
    """

    archives: int
    bytes: int
    images: int
    is_remote: bool
    disk: int
    free: int
    images_per_second: float


def plan_archives(
    workspace: Workspace, place: str, keep: str, side: int, workers: int
) -> ArchivePlan:
    """Says what `embed_archives` would take, without fetching an archive.

    Raises:
        InputError: no build; no archive at the place.
        RetryError: a server is out of reach.
    """
    settings = workspace.last_settings()
    named = encoder_of_images(settings)
    _, encoder = named
    wanted = wanted_images(load(workspace.folder, "items"), settings.images_per_landmark)
    archives = find_archives(place, settings.source.image_archives())
    index = ImageIndex(workspace.archive_indexes)
    missing = wanted - already_read(workspace, index, wanted, named, keep)
    needed = missing_archives(workspace, wanted, archives, named, keep)
    sizes = archive_sizes(needed)
    remote = any(archive.is_remote for archive in needed)
    fetched = 2 * max(sizes, default=0) * workers if remote else 0
    cores = usable_cores()
    threads = max(1, cores // workers)
    photograph = _photograph()
    vector = encoder.image_dim * 4
    kept = 0 if keep == "none" else len(reduced(photograph, side))
    seconds, done = 0.0, 0
    began = time.perf_counter()
    with one_torch_thread():
        while seconds < _SECONDS_MEASURED:
            for places, _, _ in encoder.image_batches([photograph] * _PHOTOGRAPHS, threads):
                done += len(places)
            for _ in range(_PHOTOGRAPHS if kept else 0):
                reduced(photograph, side)
            seconds = time.perf_counter() - began
    return ArchivePlan(
        archives=len(sizes),
        bytes=sum(sizes),
        images=len(missing),
        is_remote=remote,
        disk=fetched + len(missing) * (vector + kept),
        free=shutil.disk_usage(workspace.folder).free,
        images_per_second=min(workers, cores) * done / seconds,
    )


def _photograph() -> bytes:
    """A drawn picture as large as a photograph, 1600 x 1200, as a JPEG."""
    from PIL import Image

    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 255, (75, 100, 3), dtype=np.uint8))
    picture = np.asarray(coarse.resize((1600, 1200)), dtype=np.int16)
    noisy = picture + random.integers(-12, 13, picture.shape)
    content = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(content, "JPEG", quality=90)
    return content.getvalue()
