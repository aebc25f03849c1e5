"""Knowledge: which Wikidata entity an item is, and which vocabulary node its classes lead to."""

from pipeline.knowledge.assets import (
    LEXICON_COLUMNS,
    ClassAssets,
    read_class_assets,
    snapshot_lexicon,
)
from pipeline.knowledge.classgraph import ClassGraph, ClassVerdict, Reach
from pipeline.knowledge.linking import link
from pipeline.knowledge.snapshot import Entity, Snapshot, clean_title, read_entities, read_snapshot
from pipeline.knowledge.taxa import link_taxa

__all__ = [
    "LEXICON_COLUMNS",
    "ClassAssets",
    "ClassGraph",
    "ClassVerdict",
    "Entity",
    "Reach",
    "Snapshot",
    "clean_title",
    "link",
    "link_taxa",
    "read_class_assets",
    "read_entities",
    "read_snapshot",
    "snapshot_lexicon",
]
