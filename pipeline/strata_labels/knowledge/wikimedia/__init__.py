"""Answers of Commons and Wikidata: from their APIs (resumable), a dump on disk or SPARQL."""

from strata_labels.knowledge.wikimedia.addresses import (
    COMMONS_API,
    WIKIDATA_API,
    Apis,
    check_contact,
    check_endpoint,
)
from strata_labels.knowledge.wikimedia.answers import AnswerSource
from strata_labels.knowledge.wikimedia.category_resolution import (
    Resolved,
    resolve_titles,
)
from strata_labels.knowledge.wikimedia.client import Client
from strata_labels.knowledge.wikimedia.dump_source import DumpSource
from strata_labels.knowledge.wikimedia.response_store import ResponseStore, read_age, write_snapshot
from strata_labels.knowledge.wikimedia.sparql_source import SparqlSource

__all__ = [
    "COMMONS_API",
    "WIKIDATA_API",
    "AnswerSource",
    "Apis",
    "Client",
    "DumpSource",
    "Resolved",
    "ResponseStore",
    "SparqlSource",
    "check_contact",
    "check_endpoint",
    "read_age",
    "resolve_titles",
    "write_snapshot",
]
