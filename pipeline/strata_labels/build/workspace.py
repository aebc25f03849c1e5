"""The workspace: the folder of one build, and where its files lie."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strata_labels.build.record import last_settings, read_record
from strata_labels.build.settings import BuildSettings
from strata_labels.files import only_one, write_json
from strata_labels.tables import check_schema_version, table_path

_SHEETS_KEPT = 20


@dataclass(frozen=True)
class Workspace:
    """The folder of one build."""

    folder: Path

    @property
    def tables(self) -> Path:
        return self.folder / "tables"

    @property
    def vectors(self) -> Path:
        return self.folder / "vectors"

    @property
    def vector_store(self) -> Path:
        """Vectors by encoder and content; whoever embeds the same images may share it."""
        return self.vectors / "store"

    @property
    def validation(self) -> Path:
        """What a training on the tree has measured."""
        return self.tables / "validation.json"

    @property
    def sheet(self) -> Path:
        """The review sheet, for people to fill in."""
        return self.folder / "review.csv"

    @property
    def settled(self) -> Path:
        """What the last settling of proposals and decisions counted."""
        return self.tables / "settled.json"

    @property
    def numbers(self) -> Path:
        """The figures that card and summary show."""
        return self.tables / "numbers.json"

    @property
    def ledger(self) -> Path:
        """The ledger of decisions, unless a build was given another."""
        return self.folder / "decisions.csv"

    @property
    def store(self) -> Path:
        """Wikimedia's answers."""
        return self.folder / "wikimedia.sqlite"

    @property
    def answers(self) -> Path:
        """The entities among them, as a snapshot."""
        return self.folder / "entities.jsonl.gz"

    @property
    def to_map(self) -> Path:
        """Classes without a place, for a curator to fill in."""
        return self.folder / "classes_to_map.csv"

    @property
    def reconciliation(self) -> Path:
        """What is known of the items' entities and classes, in numbers."""
        return self.folder / "reconciliation.json"

    @property
    def images(self) -> Path:
        """Reduced images that were kept of archives."""
        return self.folder / "images"

    @property
    def archive_indexes(self) -> Path:
        """An index of each archive of images that was read."""
        return self.vectors / "archives"

    @property
    def unread_images(self) -> Path:
        """Images that are missing or cannot be read, with reasons; not there if there is none."""
        return self.folder / "unread_images.csv"

    @property
    def shared_images(self) -> Path:
        """Images that several items have, with these; not there if there is none."""
        return self.folder / "shared_images.csv"

    @property
    def split_classes(self) -> Path:
        """The classes of each part of the current split; not there if there is none."""
        return self.folder / "split.csv"

    @property
    def split_report(self) -> Path:
        """Classes that the current split keeps together, and what it leaves out, with reasons."""
        return self.folder / "split_report.csv"

    @property
    def not_applied(self) -> Path:
        """Decisions that are not applied, with reasons; not there if there is none."""
        return self.folder / "decisions_not_applied.csv"

    @property
    def export(self) -> Path:
        return self.folder / "export"

    @property
    def record(self) -> Path:
        """What the last build was given, and which stages are done."""
        return self.folder / "run.json"

    @property
    def page(self) -> Path:
        return self.folder / "tree.html"

    @property
    def picture(self) -> Path:
        return self.folder / "tree.png"

    @property
    def card(self) -> Path:
        return self.folder / "card.md"

    @property
    def training(self) -> Path:
        """Where a flow trains on the tree."""
        return self.folder / "training"

    @property
    def lock(self) -> Path:
        """The lock file of the command that writes to the workspace."""
        return self.folder / ".strata.lock"

    @property
    def applied(self) -> list[str]:
        """Sha256 of the last sheets whose decisions are all in the ledger."""
        path = self.tables / "applied.json"
        return list(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else []

    def note_applied(self, digest: str) -> None:
        """Notes that the decisions of the sheet with this sha256 are in the ledger."""
        known = self.applied
        if digest and digest not in known:
            write_json(self.tables / "applied.json", [*known, digest][-_SHEETS_KEPT:])

    @contextmanager
    def locked(self, doing: str) -> Iterator[None]:
        """Keeps other commands from writing to the workspace.

        Args:
            doing: what is done meanwhile, for the message of the others.

        Raises:
            RetryError: another command is writing to it; the message says which process.
        """
        with only_one(self.lock, doing):
            yield

    def table(self, name: str) -> Path:
        return table_path(self.folder, name)

    def last_run(self) -> dict[str, Any]:
        """The record of the last build (see `strata_labels.build.record`).

        Raises:
            InputError: this folder holds no build, its record is damaged, or a later version has
                written to it.
        """
        self.check_version()
        return read_record(self.record)

    def stage_counts(self, stage: str) -> dict[str, Any]:
        """What a stage counted when it ran last; empty if it has not run."""
        done = {one["stage"]: one for one in self.last_run()["stages"]}
        return dict(done.get(stage, {}).get("counts", {}))

    def check_version(self) -> None:
        """Checks that no table was written by a later version; a damaged one is written again.

        Raises:
            InputError: the first table of a later schema version.
        """
        for path in sorted(self.tables.glob("*.parquet")):
            check_schema_version(path)

    def last_settings(self) -> BuildSettings:
        """The settings of the last build.

        Raises:
            InputError: as `last_run`; a setting has an unknown name or a wrong value.
        """
        return last_settings(self.record)
