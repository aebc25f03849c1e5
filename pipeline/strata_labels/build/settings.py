"""What a build was asked for, and where its files lie."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from strata_labels.errors import InputError, Problem
from strata_labels.hierarchy import Hierarchy, load_hierarchy
from strata_labels.sources import SOURCES, Source


@dataclass(frozen=True)
class BuildSettings:
    """The arguments of `strata build`, paths absolute.

    Attributes:
        tree: a shipped tree's name or a folder with a `hierarchy.toml`.
        metadata: folder with the source's files.
        decisions: the ledger, created if absent.
        encoder: see `strata_labels.embedding.load_encoder`.
        entities: snapshot of Wikidata entities.
        known_labels: released labels of some items, evidence for the others.
        vocabulary: a vocabulary in place of the tree's own.
        clusters: number of level-2 nodes of a vocabulary-free tree; None: into the vocabulary.
        images: root of the image files.
        images_per_landmark: images averaged into an item's vector, at most.
        contact: who asks Wikimedia; None: nothing is asked.
        commons_api, wikidata_api: addresses of mirrors; None: Wikimedia's own.
        levels: the variant of the tree's levels; None for its first.
    """

    tree: str
    metadata: str
    decisions: str
    encoder: str
    entities: str | None = None
    known_labels: str | None = None
    vocabulary: str | None = None
    clusters: int | None = None
    images: str | None = None
    images_per_landmark: int = 8
    contact: str | None = None
    commons_api: str | None = None
    wikidata_api: str | None = None
    levels: str | None = None

    @cached_property
    def hierarchy(self) -> Hierarchy:
        """The tree's definition; levels that it leaves to the labels are theirs, as they stand."""
        found = load_hierarchy(self.tree, self.levels)
        if found.levels:
            return found
        return replace(found, levels=("item", *SOURCES[found.source].levels(Path(self.metadata))))

    @property
    def source(self) -> Source:
        """What reads the metadata."""
        return SOURCES[self.hierarchy.source]

    @property
    def image_root(self) -> Path | None:
        """Where image files lie, if images are looked at."""
        if self.images:
            return Path(self.images)
        return self.source.image_root(Path(self.metadata)) if self.hierarchy.found else None

    @property
    def vocabulary_file(self) -> Path:
        """The vocabulary in force: the user's own, else the tree's."""
        return Path(self.vocabulary) if self.vocabulary else self.hierarchy.vocabulary

    @property
    def class_files(self) -> tuple[Path, ...]:
        """Files that say which class belongs to which node."""
        tree = self.hierarchy
        return self.vocabulary_file, tree.vocabulary, tree.classes, tree.outside


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
        return self.folder / "review.csv"

    @property
    def settled(self) -> Path:
        """What the last settling of proposals and decisions counted."""
        return self.tables / "settled.json"

    @property
    def ledger(self) -> Path:
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
    def export(self) -> Path:
        return self.folder / "export"

    @property
    def record(self) -> Path:
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

    def table(self, name: str) -> Path:
        return self.tables / f"{name}.parquet"

    def last_run(self) -> dict[str, Any]:
        """The record of the last build.

        Raises:
            InputError: this folder holds no build, or its record is damaged.
        """
        fix = "Run `strata build TREE WORKSPACE --metadata DIR` first."
        if not self.record.is_file():
            raise InputError(Problem(self.folder, "holds no build", fix))
        try:
            return dict(json.loads(self.record.read_text(encoding="utf-8")))
        except ValueError as error:
            raise InputError(Problem(self.record, f"damaged ({error})", fix)) from None

    def last_settings(self) -> BuildSettings:
        """The settings of the last build (see `last_run`)."""
        return BuildSettings(**self.last_run()["parameters"])


def as_parameters(settings: BuildSettings) -> dict[str, Any]:
    """Settings as plain JSON values."""
    return asdict(settings)
