"""Image archives in GLDv2's layout, from a local server to vectors.

    python -m benchmarks.archives faults|bytes|workers
    python -m benchmarks.archives decoding --shared DIR

The server publishes 40 archives of 50 drawn photographs (1600 x 1200, JPEG) with their MD5 files,
and runs in a process of its own. The encoder is `registry`, with one thread in each process.

- `faults`: cut and reset connections, damaged copies, errors of the server, one wrong checksum, one
  archive damaged inside. Every readable image must have the vector of its own drawing.
- `bytes`: four images of each archive are wanted, then twice as many of ten archives. Bytes sent by
  the server beside the bytes of these archives.
- `workers`: the same archives by one process and by two, in turn. Starting the processes is not
  counted, nor is the server, which works on the same cores: two processes are taken to wait for
  half of its processor time on two cores, one process for none of it.
- `decoding`: processor time of plain Pillow and of reduced decoding, in turn, and the cosine of
  the vectors of both pictures, for grocery's photographs enlarged to 1600 pixels.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1"}  # before torch is imported, here and in workers

import argparse
import hashlib
import io
import multiprocessing
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from archives import image_id, items_with, pack  # noqa: E402
from publishing import Site, serve  # noqa: E402
from strata_labels.build import ReadUnits, Workspace  # noqa: E402
from strata_labels.build.image_archives import ImageIndex, read_archives  # noqa: E402
from strata_labels.embedding import Encoder, VectorStore, load_encoder  # noqa: E402
from strata_labels.orchestration import archive_workers  # noqa: E402
from strata_labels.sources import SOURCES, find_archives  # noqa: E402

ARCHIVES, IMAGES, DRAWINGS = 40, 50, 50
WRONG_SUM, DAMAGED, DAMAGED_FROM = 7, 23, 30
WANTED, MORE = 4, 10
ROUNDS, ROUND_ARCHIVES = 3, 8


# --- the server ---------------------------------------------------------------------------------


def photograph(number: int) -> bytes:
    """A drawn picture as large as a photograph, as a JPEG of about 400 kB."""
    from PIL import Image

    random = np.random.default_rng(number)
    coarse = Image.fromarray(random.integers(0, 255, (75, 100, 3), dtype=np.uint8))
    picture = np.asarray(coarse.resize((1600, 1200)), dtype=np.int16)
    noisy = picture + random.integers(-8, 9, picture.shape)
    content = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(content, "JPEG", quality=85)
    return content.getvalue()


def drawing_of(archive: int, image: int) -> int:
    """Which drawing an image of an archive shows; neighbours show others."""
    return (7 * archive + image) % DRAWINGS


def publish(folder: Path) -> list[bytes]:
    """Writes the server's files; returns the drawings."""
    drawings = [photograph(number) for number in range(DRAWINGS)]
    for archive in range(ARCHIVES):
        members = {}
        for image in range(IMAGES):
            name = image_id(archive * IMAGES + image)
            comment = name.encode()  # so that no two files are the same
            start = b"\xff\xd8\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
            content = start + drawings[drawing_of(archive, image)][2:]
            members[f"{name[0]}/{name[1]}/{name[2]}/{name}.jpg"] = content
        _write(folder, archive, pack(members))
    return drawings


def _write(folder: Path, archive: int, tar: bytes) -> None:
    path = folder / "train" / f"images_{archive:03}.tar"
    beside = folder / "md5sum" / "train" / f"md5.images_{archive:03}.txt"
    for place in (path, beside):
        place.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tar)
    beside.write_text(f"{hashlib.md5(tar).hexdigest()}  {path.name}\n")


class _Files(dict[str, bytes]):
    """The files of a folder by path, read when they are asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def get(self, path: str, default: Any = None) -> Any:
        file = self.folder / path.lstrip("/")
        return file.read_bytes() if file.is_file() else default


def _serve(connection: Connection, folder: Path, faults: list[str]) -> None:
    """The server's process; sends its address, and at the end its log and processor time."""
    site = Site(_Files(folder), faults)
    serve(site)
    connection.send(site.url)
    connection.recv()
    connection.send((site.log, time.process_time()))


@dataclass
class Served:
    """A running server.

    Attributes:
        url: its address.
        log: `(path, Range header, status)` of each request; there once it has ended.
        seconds: its processor time; there once it has ended.
    """

    url: str
    log: list[tuple[str, str, int]] = field(default_factory=list)
    seconds: float = 0.0


@contextmanager
def server(folder: Path, faults: Sequence[str] = ()) -> Iterator[Served]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, folder, list(faults)), daemon=True)
    process.start()
    served = Served(here.recv())
    try:
        yield served
    finally:
        here.send("end")
        served.log, served.seconds = here.recv()
        process.join()


# --- what is measured ---------------------------------------------------------------------------


@contextmanager
def peaks(folder: Path) -> Iterator[dict[str, int]]:
    """Most bytes of files below a folder, and most memory: own, and of the largest worker."""
    found = {"disk": 0, "memory": 0, "worker": 0}
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            try:
                sizes = [_size(path) for path in folder.rglob("*")]
            except FileNotFoundError:  # a folder has just been removed
                continue
            found["disk"] = max(found["disk"], sum(sizes))
            own = psutil.Process()
            found["memory"] = max(found["memory"], own.memory_info().rss)
            for child in own.children(recursive=True):
                try:
                    found["worker"] = max(found["worker"], child.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        stop.set()
        watcher.join()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:  # it has just been removed
        return 0


@dataclass(frozen=True)
class World:
    """What every part of the benchmark needs: the server's folder, drawings, and the encoder."""

    folder: Path
    drawings: list[bytes]
    encoder: tuple[str, Encoder]

    def read(
        self,
        workspace: Workspace,
        url: str,
        images: Sequence[Sequence[str]],
        per_item: int,
        read: ReadUnits,
        archives: range = range(ARCHIVES),
    ) -> tuple[dict[str, Any], str]:
        """Reads some of the archives into a workspace; keeps no images."""
        published = SOURCES["gldv2"].image_archives(["train"])
        some = [find_archives(url, published)[number] for number in archives]
        items = items_with(images)
        return read_archives(workspace, items, some, per_item, self.encoder, "none", 512, read)

    def vectors(self, workspace: Workspace) -> dict[str, np.ndarray]:
        """The vector of each image that has one."""
        keys = ImageIndex(workspace.archive_indexes).keys
        table = VectorStore(workspace.vector_store).table(self.encoder[1].id, "image")
        return dict(zip(keys, table.vectors(list(keys.values())), strict=True))

    def bytes_of(self, archives: Sequence[int]) -> int:
        return sum(
            (self.folder / "train" / f"images_{number:03}.tar").stat().st_size
            for number in archives
        )


def images_of(archive: int) -> list[str]:
    return [image_id(archive * IMAGES + image) for image in range(IMAGES)]


def faults(world: World, scratch: Path) -> None:
    """All images are wanted; the server fails one request in five."""
    bad = scratch / "bad"
    for path in world.folder.rglob("*"):
        if path.is_file():
            place = bad / path.relative_to(world.folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.hardlink_to(path)
    tar = bytearray((bad / "train" / f"images_{DAMAGED:03}.tar").read_bytes())
    with tarfile.open(fileobj=io.BytesIO(bytes(tar))) as archive:
        offsets = [info.offset for info in archive]
    tar[offsets[DAMAGED_FROM] : offsets[DAMAGED_FROM] + 512] = b"\xff" * 512
    for name in (f"train/images_{DAMAGED:03}.tar", f"md5sum/train/md5.images_{DAMAGED:03}.txt"):
        (bad / name).unlink()
    _write(bad, DAMAGED, bytes(tar))
    wrong = bad / "md5sum" / "train" / f"md5.images_{WRONG_SUM:03}.txt"
    wrong.unlink()
    wrong.write_text(f"{'0' * 32}  images_{WRONG_SUM:03}.tar\n")
    planned = ["cut"] * 8 + ["reset"] * 4 + ["503"] * 4 + ["damage"] * 4 + [""] * 80
    planned = np.random.default_rng(0).permutation(planned).tolist()

    alone = np.concatenate(
        [vectors for _, vectors, _ in world.encoder[1].image_batches(world.drawings)]
    )
    expected = {
        image: alone[drawing_of(archive, at)]
        for archive in range(ARCHIVES)
        for at, image in enumerate(images_of(archive))
        if archive != WRONG_SUM and not (archive == DAMAGED and at >= DAMAGED_FROM)
    }
    workspace = Workspace(scratch / "faults")
    images = [[image] for archive in range(ARCHIVES) for image in images_of(archive)]
    with (
        archive_workers(2, None) as read,
        server(bad, planned) as served,
        peaks(workspace.folder / "archives") as most,
    ):
        began = time.perf_counter()
        counts, failure = world.read(workspace, served.url, images, 1, read)
        seconds = time.perf_counter() - began
    found = world.vectors(workspace)
    assert found.keys() == expected.keys(), found.keys() ^ expected.keys()
    differ = sum(not (found[image] == vector).all() for image, vector in expected.items())
    print(f"{len(found):,} of {len(images):,} images have a vector, {differ} a wrong one")
    print(f"{len(served.log)} requests, {sum(map(bool, planned))} faults, {seconds:.0f} s")
    print(f"archives: {counts}\n{failure}")
    _print_peaks(most, world)


def count_bytes(world: World, scratch: Path) -> None:
    """Four images of each archive are wanted, then eight of ten archives."""
    workspace = Workspace(scratch / "bytes")
    images = [
        images_of(archive)[: 2 * WANTED if archive < MORE else WANTED]
        for archive in range(ARCHIVES)
    ]
    for per_item, archives in ((WANTED, range(ARCHIVES)), (2 * WANTED, range(MORE))):
        with (
            archive_workers(2, None) as read,
            server(world.folder) as served,
            peaks(workspace.folder / "archives") as most,
        ):
            counts, failure = world.read(workspace, served.url, images, per_item, read)
        assert not failure and counts["archives_read"] == len(archives), failure
        assert counts["images_in_archives"] == sum(min(len(own), per_item) for own in images)
        sent = 0
        for path, asked, _ in served.log:
            size = (world.folder / path.lstrip("/")).stat().st_size
            sent += size - int(asked.removeprefix("bytes=").removesuffix("-") or 0)
        needed = world.bytes_of(archives)
        print(
            f"{len(archives)} archives with wanted images: {needed:,} bytes; sent {sent:,} "
            f"({100 * (sent / needed - 1):+.3f} %)"
        )
        _print_peaks(most, world)


def workers(world: World, scratch: Path) -> None:
    """The same archives by one process and by two, in turn."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    with archive_workers(1, None) as one, archive_workers(2, None) as two:
        readers = {1: one, 2: two}
        for turn in range(-1, ROUNDS):  # the first is to load the encoder
            archives = range(max(turn, 0) * ROUND_ARCHIVES, (max(turn, 0) + 1) * ROUND_ARCHIVES)
            used = archives if turn >= 0 else archives[:4]
            images = [[image] for number in used for image in images_of(number)]
            for number in (1, 2) if turn % 2 else (2, 1):
                workspace = Workspace(scratch / f"workers-{turn}-{number}")
                with server(world.folder) as served:
                    began = time.perf_counter()
                    world.read(workspace, served.url, images, 1, readers[number], used)
                    took = time.perf_counter() - began
                assert len(world.vectors(workspace)) == len(images)
                if turn >= 0:
                    seconds[number].append(took - (served.seconds / 2 if number == 2 else 0))
                    print(
                        f"{number} process(es): {len(images)} images in {took:.1f} s, "
                        f"the server's own {served.seconds:.1f} s",
                        flush=True,
                    )
    ratios = np.divide(seconds[1], seconds[2])
    print(f"two against one: {np.round(ratios, 2).tolist()}, median {np.median(ratios):.2f}")


def _print_peaks(most: dict[str, int], world: World) -> None:
    archive = world.bytes_of([0])
    print(
        f"at most {most['disk'] / archive:.2f} archives on disk ({archive:,} bytes each); memory "
        f"{most['memory'] / 1e6:,.0f} MB, of a worker {most['worker'] / 1e6:,.0f} MB"
    )


def decoding(encoder: Encoder, shared: Path) -> None:
    """Plain Pillow against reduced decoding, and what it does to vectors."""
    from PIL import Image
    from strata_labels.pictures import open_picture

    paths = sorted((shared / "grocery" / "subset").rglob("*.jpg"))
    side = encoder._loaded.pixels.side
    seconds = {"plain": 0.0, "reduced": 0.0}
    cosines = []
    for path in paths:
        with Image.open(path) as image:
            scale = 1600 / max(image.size)
            size = (round(image.width * scale), round(image.height * scale))
            large = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        content, lossless = io.BytesIO(), io.BytesIO()
        large.save(content, "JPEG", quality=90)
        jpeg = content.getvalue()
        began = time.process_time()
        with Image.open(io.BytesIO(jpeg)) as image:
            full = image.convert("RGB")
        middle = time.process_time()
        open_picture(jpeg, side)
        seconds["plain"] += middle - began
        seconds["reduced"] += time.process_time() - middle
        full.save(lossless, "BMP")  # not decoded at reduced size
        ((_, vectors, _),) = encoder.image_batches([jpeg, lossless.getvalue()])
        cosines.append(float(vectors[0] @ vectors[1]))
    plain, reduced = (1000 * seconds[name] / len(paths) for name in ("plain", "reduced"))
    print(f"{len(paths)} photographs: plain {plain:.1f} ms, reduced to {side} {reduced:.1f} ms")
    print(f"ratio {plain / reduced:.2f}")
    print(f"cosine: mean {np.mean(cosines):.4f}, lowest {min(cosines):.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["faults", "bytes", "workers", "decoding"])
    parser.add_argument("--shared", type=Path, help="folder of the real data")
    chosen = parser.parse_args()
    encoder = "registry", load_encoder("registry")
    if chosen.part == "decoding":
        decoding(encoder[1], chosen.shared)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "site"
        world = World(folder, publish(folder), encoder)
        parts = {"faults": faults, "bytes": count_bytes, "workers": workers}
        parts[chosen.part](world, Path(place))


if __name__ == "__main__":
    main()
