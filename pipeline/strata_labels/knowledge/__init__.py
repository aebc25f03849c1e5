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
from strata_labels.knowledge.wikimedia.addresses import (
    COMMONS_API,
    WIKIDATA_API,
    Apis,
    check_contact,
    check_endpoint,
)
from strata_labels.knowledge.wikimedia.answers import AnswerSource
from strata_labels.knowledge.wikimedia.category_resolution import resolve_titles
from strata_labels.knowledge.wikimedia.client import Client
from strata_labels.knowledge.wikimedia.dump_source import DumpSource
from strata_labels.knowledge.wikimedia.response_store import ResponseStore, read_age, write_snapshot
from strata_labels.knowledge.wikimedia.sparql_source import SparqlSource

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
