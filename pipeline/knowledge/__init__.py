"""Knowledge: which Wikidata entity an item is, and which vocabulary node its classes lead to."""

from pipeline.knowledge.assets import (
    LEXICON_COLUMNS,
    ClassAssets,
    read_class_assets,
    snapshot_lexicon,
)
from pipeline.knowledge.classgraph import CUT_COLUMNS, ClassGraph, ClassVerdict, Cut, Reach
from pipeline.knowledge.linking import link, unclimbed
from pipeline.knowledge.snapshot import Entity, Snapshot, read_entities, read_snapshot
from pipeline.knowledge.titles import clean_title

__all__ = [
    "CUT_COLUMNS",
    "LEXICON_COLUMNS",
    "ClassAssets",
    "ClassGraph",
    "ClassVerdict",
    "Cut",
    "Entity",
    "Reach",
    "Snapshot",
    "clean_title",
    "link",
    "read_class_assets",
    "read_entities",
    "read_snapshot",
    "snapshot_lexicon",
    "unclimbed",
]
