"""Links items to Wikidata entities, and their classes to nodes of the vocabulary."""

from strata_labels.knowledge.class_assets import (
    ClassAssets,
    read_class_assets,
    snapshot_lexicon,
)
from strata_labels.knowledge.class_chains import class_chains
from strata_labels.knowledge.classgraph import CUT_COLUMNS, ClassGraph, ClassVerdict, Cut, Reach
from strata_labels.knowledge.linking import link, statements_not_climbed
from strata_labels.knowledge.snapshot import Snapshot, read_snapshot
from strata_labels.knowledge.taxa import link_taxa
from strata_labels.knowledge.wikimedia import (
    COMMONS_API,
    WIKIDATA_API,
    AnswerSource,
    Apis,
    Client,
    DumpSource,
    ResponseStore,
    SparqlSource,
    check_contact,
    check_endpoint,
    read_age,
    resolve_titles,
    write_snapshot,
)

__all__ = [
    "COMMONS_API",
    "CUT_COLUMNS",
    "WIKIDATA_API",
    "AnswerSource",
    "Apis",
    "ClassAssets",
    "ClassGraph",
    "ClassVerdict",
    "Client",
    "Cut",
    "DumpSource",
    "Reach",
    "ResponseStore",
    "Snapshot",
    "SparqlSource",
    "check_contact",
    "check_endpoint",
    "class_chains",
    "link",
    "link_taxa",
    "read_age",
    "read_class_assets",
    "read_snapshot",
    "resolve_titles",
    "snapshot_lexicon",
    "statements_not_climbed",
    "write_snapshot",
]
