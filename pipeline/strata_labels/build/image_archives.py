"""Vectors and kept images of a workspace from archives of images, however many processes read them.

Each archive that was read has an index, a table of its members. It is written after the archive's
vectors and kept images, so an archive is done or is read again as a whole.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from strata_labels.build.archive_unit import (
    ArchiveContent,
    Unit,
    read_unit,
    write_kept,
)
from strata_labels.build.record import add_to_record
from strata_labels.build.settings import BuildSettings
from strata_labels.build.stage import Counts
from strata_labels.build.workspace import Workspace
from strata_labels.embedding import Encoder, VectorStore, load_encoder
from strata_labels.errors import InputError, Problem, RetryError
from strata_labels.files import write_table
from strata_labels.pictures import is_picture, picture_file
from strata_labels.progress import activity, track
from strata_labels.sources import (
    ImageArchive,
    Source,
    find_archives,
    reference_of,
)
from strata_labels.tables import load

INDEX = pa.schema(
    [
        ("member", pa.string()),
        ("image", pa.string()),
        ("key", pa.binary(32)),
        ("problem", pa.string()),
    ]
)
_FAILURES_AT_MOST = 3

#: Does units of work, given the wanted references, and yields what they read, in any order.
ReadUnits = Callable[[Sequence[Unit], frozenset[str]], Iterator[ArchiveContent]]


def read_here(units: Sequence[Unit], wanted: frozenset[str]) -> Iterator[ArchiveContent]:
    """Does the units in this process: one is encoded while the next is fetched."""
    waiting: list[Future[ArchiveContent]] = []
    for unit in units:
        waiting.append(_in_thread(unit, wanted))
        if len(waiting) == 2:
            yield waiting.pop(0).result()
    for future in waiting:
        yield future.result()


def _in_thread(unit: Unit, wanted: frozenset[str]) -> Future[ArchiveContent]:
    """Does a unit in a thread that ends with the process, so that Ctrl-C does not wait for it."""
    future: Future[ArchiveContent] = Future()

    def work() -> None:
        try:
            future.set_result(read_unit(unit, wanted))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future


class ImageIndex:
    """What is known of the archives that were read.

    Attributes:
        keys: SHA-256 of the content by image reference, for those that were readable.
        problems: why there is no vector, by image reference.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys: dict[str, bytes] = {}
        self.problems: dict[str, str] = {}
        for path in self.files:
            table = pq.read_table(path, columns=["image", "key", "problem"], schema=INDEX)
            images = table.filter(pc.is_valid(table["image"]))
            good = images.filter(pc.is_valid(images["key"]))
            self.keys |= dict(zip(good["image"].to_pylist(), good["key"].to_pylist(), strict=True))
            bad = images.filter(pc.is_null(images["key"]))
            self.problems |= dict(
                zip(bad["image"].to_pylist(), bad["problem"].to_pylist(), strict=True)
            )
        for image in self.keys:
            self.problems.pop(image, None)

    @property
    def files(self) -> list[Path]:
        """The index of each archive, by name."""
        return sorted(self.folder.glob("*.parquet"))

    def path(self, archive: str) -> Path:
        """The index of an archive."""
        return self.folder / f"{archive.replace('/', '__')}.parquet"


def wanted_images(items: pd.DataFrame, per_item: int) -> frozenset[str]:
    """References of the first images of each item, at most so many of each."""
    first = pc.list_slice(_image_lists(items), 0, per_item)
    return frozenset(pc.unique(pc.list_flatten(first)).to_pylist())


def _image_lists(items: pd.DataFrame) -> pa.ChunkedArray:
    schema = pa.schema([("image_ids", pa.list_(pa.string()))])
    return pa.Table.from_pandas(items[["image_ids"]], schema, preserve_index=False)["image_ids"]


def read_archives(
    workspace: Workspace,
    items: pd.DataFrame,
    archives: Sequence[ImageArchive],
    per_item: int,
    encoder: tuple[str, Encoder] | None,
    keep: str = "wanted",
    side: int = 512,
    read: ReadUnits = read_here,
) -> tuple[Counts, str]:
    """Reads the archives that have wanted images which are not there yet.

    Args:
        workspace: gets vectors, indexes and kept images.
        items: rows of the table `items`.
        archives: all archives that there are.
        per_item: how many images of an item are wanted.
        encoder: specification and encoder; None to encode nothing.
        keep: which images to keep: `wanted`, `all` or `none`.
        side: pixels of a kept image's shorter side.
        read: does the work.

    Returns:
        Counts of archives and images; and which archives could not be read, and why, "" for none.
        What could be read is there.

    Raises:
        InputError: no archive is there.
        RetryError: the first few archives could not be read, and no other was.
        OSError: the disk is full.
    """
    wanted = wanted_images(items, per_item)
    plan = missing_archives(workspace, wanted, archives, encoder, keep)
    spec, encoder_id = (encoder[0], encoder[1].id) if encoder else ("", "")
    scratch = workspace.folder / "archives"
    images = workspace.images
    units = [Unit(archive, spec, encoder_id, keep, side, scratch, images) for archive in plan]
    writer = _Writer(workspace, items, encoder[1].id if encoder else None)
    failed: dict[str, str] = {}
    done = absent = 0
    with activity("Reading archives"), track(len(units), "reading archives") as tracker:
        for content in read(units, wanted):
            if content.absent:
                absent += 1
            elif why := content.failed or writer.refusal(content):
                failed[content.name] = why
            else:
                writer.write(content)
                done += 1
                if content.damage:
                    failed[content.name] = f"{content.damage}; what could be read is there"
            tracker.advance(1)
            if len(failed) == _FAILURES_AT_MOST and not done:
                break
    if scratch.is_dir() and not any(scratch.iterdir()):
        scratch.rmdir()
    reasons = "".join(f"\n  {name}: {why}" for name, why in sorted(failed.items()))
    failure = f"{len(failed)} of {len(units)} archives could not be read:{reasons}"
    if failed and not done:
        raise RetryError(failure)
    if absent and absent == len(archives):
        fix = "Give the address of the folder that has the archives under their official names."
        raise InputError(Problem("--shards", "no archive of the data set there", fix))
    found = ImageIndex(workspace.archive_indexes)
    counts: Counts = {
        "archives_read": done,
        "archives_not_on_the_server": absent,
        "archives_passed_over": len(archives) - len(units),
        "images_wanted": len(wanted),
        "images_in_archives": sum(image in found.keys for image in wanted),
        "images_damaged": sum(image in found.problems for image in wanted),
    }
    return counts, failure if failed else ""


def missing_archives(
    workspace: Workspace,
    wanted: frozenset[str],
    archives: Sequence[ImageArchive],
    encoder: tuple[str, Encoder] | None,
    keep: str,
) -> list[ImageArchive]:
    """The archives that have to be read, again or for the first time.

    An image is there if its vector is, or its kept image, of which a vector can be made. An archive
    that was never read, or not to its end, may have any image that is in no other.
    """
    index = ImageIndex(workspace.archive_indexes)
    missing = wanted - already_read(workspace, index, wanted, encoder, keep)
    unplaced, again = set(missing), set()
    for archive in archives:
        path = index.path(archive.name)
        if not path.is_file():
            continue
        members = pq.read_table(path, columns=["member"], schema=INDEX)["member"].to_pylist()
        has = {reference for name in members if (reference := reference_of(name, missing))}
        unplaced -= has
        if has:
            again.add(archive.name)
    for archive in archives:
        path = index.path(archive.name)
        if unplaced and not (path.is_file() and _is_whole(path)):
            again.add(archive.name)
    return [archive for archive in archives if archive.name in again]


def _is_whole(path: Path) -> bool:
    """Whether an archive was read to its end."""
    members = pq.read_table(path, columns=["member"], schema=INDEX)["member"]
    return not pc.any(pc.equal(members, "")).as_py()


def encoder_of_images(settings: BuildSettings) -> tuple[str, Encoder]:
    """The encoder that a build gives its images to, by name.

    Raises:
        InputError: it has none.
    """
    name = settings.encoder_of_images
    if not name:
        what = "the workspace was built without an encoder, so nothing can encode images"
        fix = "Run `strata build` again, with --encoder or when the weights can be fetched."
        raise InputError(Problem("WORKSPACE", what, fix))
    return name, load_encoder(name)


def already_read(
    workspace: Workspace,
    index: ImageIndex,
    wanted: frozenset[str],
    encoder: tuple[str, Encoder] | None,
    keep: str,
) -> set[str]:
    """Wanted references that need not be read: damaged, encoded before, or kept."""
    damaged = wanted & index.problems.keys()
    read = {image: index.keys[image] for image in wanted & index.keys.keys()}
    without = set()
    if keep == "none" and encoder:
        table = VectorStore(workspace.vector_store).table(encoder[1].id, "image")
        without = set(table.missing(read.values()))
    else:
        without = set(read.values())
    there = {image for image, key in read.items() if key not in without}
    return there | damaged | {image for image in read if picture_file(workspace.images, image)}


class _Writer:
    """Writes what was read of an archive into the workspace; the index last."""

    def __init__(self, workspace: Workspace, items: pd.DataFrame, encoder_id: str | None) -> None:
        self._workspace, self._items = workspace, items
        self._index = ImageIndex(workspace.archive_indexes)
        self._table = None
        if encoder_id:
            self._table = VectorStore(workspace.vector_store).table(encoder_id, "image")

    def refusal(self, content: ArchiveContent) -> str:
        """Why an archive cannot be one of the data set's; "" if it can."""
        names = [name for name, *_ in content.rows if is_picture(name)]
        if not names or any(image for _, image, *_ in content.rows) or self._knows(names):
            return ""
        return f"none of its {len(names):,} images is one of the data set's: is it another's?"

    def write(self, content: ArchiveContent) -> None:
        """Writes kept images, vectors, and last the index."""
        for place, picture in content.kept.items():
            write_kept(self._workspace.images / place, picture)
        if self._table is not None and content.vectors is not None:
            with self._table.writer() as add:
                add(content.keys, content.vectors)
        named = [dict(zip(INDEX.names, row, strict=True)) for row in content.rows]
        write_table(self._index.path(content.name), pa.Table.from_pylist(named, INDEX))

    def _knows(self, names: Sequence[str]) -> bool:
        known = frozenset(pc.unique(pc.list_flatten(_image_lists(self._items))).to_pylist())
        return any(reference_of(name, known) for name in names)


# --- what commands do -------------------------------------------------------------------------


def embed_archives(
    workspace: Workspace, place: str, keep: str, side: int, read: ReadUnits = read_here
) -> tuple[Counts, str]:
    """Encodes the images of a built workspace from archives; see `read_archives`.

    Kept images become the images of the build.

    Raises:
        InputError: no build; no archive at the place; images to keep where the build has others.
        RetryError: another command is writing to the workspace; see `read_archives`.
    """
    settings = workspace.last_settings()
    if keep != "none" and settings.images not in (None, workspace.images):
        what = f"the build reads images from {settings.images}; kept images would be in"
        fix = "Give --keep none, or build once with --images and that folder."
        raise InputError(Problem("--keep", what, fix, value=str(workspace.images)))
    archives = find_archives(place, settings.source.image_archives())
    encoder = encoder_of_images(settings)
    if keep == "none" and _two_read_images(settings):
        what = "the second encoder of the build needs the images:"
        raise InputError(Problem("--keep", what, "Give --keep wanted.", value=keep))
    items = load(workspace.folder, "items")
    per_item = settings.images_per_landmark
    with workspace.locked("embed archives"):
        result = read_archives(workspace, items, archives, per_item, encoder, keep, side, read)
        if keep != "none" and settings.images is None and workspace.images.is_dir():
            changed = settings.model_copy(update={"images": workspace.images})
            add_to_record(workspace.record, changed)
    return result


def _two_read_images(settings: BuildSettings) -> bool:
    """Whether images are encoded for names and, by another encoder, for images."""
    both = settings.image_encoder and settings.encoder
    return bool(both) and load_encoder(settings.encoder).aligned


def fetch_images(
    workspace: Workspace,
    source: Source,
    archives: Sequence[ImageArchive],
    splits: Sequence[str],
    per_item: int,
    keep: str,
    side: int,
    read: ReadUnits = read_here,
) -> tuple[Counts, str]:
    """Keeps the images of a data set whose metadata is in the workspace; see `read_archives`.

    Raises:
        InputError: wrong metadata, or none.
        RetryError: another command is writing to the workspace; see `read_archives`.
    """
    items = source.read(workspace.folder / "metadata", ()).items
    items = items[items["split"].isin(splits)]
    with workspace.locked("fetch images"):
        return read_archives(workspace, items, archives, per_item, None, keep, side, read)
