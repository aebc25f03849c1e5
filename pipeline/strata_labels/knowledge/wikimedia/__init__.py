"""Commons and Wikidata from their APIs, politely and resumably, or from a dump on disk."""

from strata_labels.knowledge.wikimedia.address import (
    COMMONS_API,
    WIKIDATA_API,
    Apis,
    check_contact,
    check_endpoint,
)
from strata_labels.knowledge.wikimedia.ask import Source
from strata_labels.knowledge.wikimedia.client import Client, Patience
from strata_labels.knowledge.wikimedia.dump import DumpSource, Extracted, extract_dump
from strata_labels.knowledge.wikimedia.dump_forms import is_triples
from strata_labels.knowledge.wikimedia.resolve import TITLES_SCHEMA, Resolved, resolve_titles
from strata_labels.knowledge.wikimedia.sparql import SparqlSource
from strata_labels.knowledge.wikimedia.store import Store, read_age, write_snapshot

__all__ = [
    "COMMONS_API",
    "TITLES_SCHEMA",
    "WIKIDATA_API",
    "Apis",
    "Client",
    "DumpSource",
    "Extracted",
    "Patience",
    "Resolved",
    "Source",
    "SparqlSource",
    "Store",
    "check_contact",
    "check_endpoint",
    "extract_dump",
    "is_triples",
    "read_age",
    "resolve_titles",
    "write_snapshot",
]
