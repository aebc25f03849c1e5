"""SKOS (w3.org/TR/skos-reference) in Turtle, for thesaurus tools and triple stores: `tree.ttl`.

Every node and labelled item is a concept: `skos:broader` its parent, `skos:exactMatch` its Wikidata
entity, `skos:notation` its id, `skos:scopeNote` what people wrote of it. Names carry no language,
since labels do not say theirs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pandas as pd

from strata_labels.export.export_input import ExportInput, safe_name
from strata_labels.export.export_result import ExportResult, set_aside
from strata_labels.files import whole
from strata_labels.tables import LABELLED

#: How to open it, in Markdown.
USAGE = 'SKOS in Turtle: `rdflib.Graph().parse("tree.ttl")`, or any tool for thesauri.'

NAME = "tree.ttl"
_PREFIXES = """@prefix skos: <http://www.w3.org/2004/02/skos/core#> .
@prefix dct: <http://purl.org/dc/terms/> .
@prefix wd: <http://www.wikidata.org/entity/> .
@prefix strata: <urn:strata:terms:> .
"""


_NEXT = " ;\n  "


def _literal(text: str) -> str:
    """A string of Turtle; JSON's escapes are Turtle's, apart from `\\/`, which is not written."""
    return json.dumps(text, ensure_ascii=False)


def _lines(given: ExportInput) -> Iterator[str]:
    tree, about = given.whole_tree, given.about
    base = f"urn:strata:{quote(safe_name(about.title).lower())}"
    iri = {node: f"<{base}:{quote(node, safe='/')}>" for node in tree.name}
    scheme = f"<{base}>"
    said = [
        "a skos:ConceptScheme",
        f"dct:title {_literal(about.title)}",
        f"dct:description {_literal(about.description)}",
        *(f"dct:source <{s.origin}>" for s in about.sources if _is_address(s.origin)),
        *(f"dct:bibliographicCitation {_literal(text)}" for text in about.citations),
    ]
    if about.licence and about.licence != "other":
        said.append(f"dct:rights {_literal(about.licence)}")
    said += [f"skos:hasTopConcept {iri[node]}" for node in tree.children("")]
    yield f"{_PREFIXES}\n{scheme} {_NEXT.join(said)} .\n"
    sure = {f"level{n}_confidence": n for n in range(1, given.num_levels)}
    rows = given.rows.set_index("item_id")[["origin", "accepted_level", *sure]]
    items = dict(zip(rows.index, rows.itertuples(index=False, name=None), strict=True))
    for node in sorted(tree.name, key=lambda node: (-tree.level[node], node)):
        above = tree.parent[node]
        said = [
            "a skos:Concept",
            f"skos:inScheme {scheme}",
            f"skos:prefLabel {_literal(tree.name[node])}",
            f"skos:notation {_literal(node)}",
            f"skos:broader {iri[above]}" if above else f"skos:topConceptOf {scheme}",
            f"strata:level {tree.level[node]}",
        ]
        if text := given.descriptions.get(node):
            said.append(f"skos:scopeNote {_literal(text)}")
        if qid := given.qids.get(node):
            said.append(f"skos:exactMatch wd:{qid}")
        if node in items:
            origin, accepted, *confidence = items[node]
            if not pd.isna(origin):
                said.append(f"strata:origin {_literal(origin)}")
            if not pd.isna(accepted):
                said.append(f"strata:acceptedLevel {int(accepted)}")
            said += [
                f"strata:confidence{level} {float(value):.6f}"
                for level, value in zip(sure.values(), confidence, strict=True)
                if not pd.isna(value)
            ]
        yield f"\n{iri[node]} {_NEXT.join(said)} .\n"


def _is_address(text: str) -> bool:
    parts = urlsplit(text)
    return parts.scheme in ("http", "https") and not set(text) & set(' <>"{}|\\^`')


def write(folder: Path, given: ExportInput) -> ExportResult:
    """Every node and labelled item."""
    with whole(folder / NAME) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        file.writelines(_lines(given))
    rows, left = set_aside(given.assignments, no_label=given.assignments.status != LABELLED)
    return ExportResult([folder / NAME], {NAME: len(given.whole_tree.name)}, len(rows), left)


def check(folder: Path, given: ExportInput) -> None:
    """The file is whole; `tests/export` opens it with rdflib."""
    path = folder / NAME
    if path.read_text(encoding="utf-8") != "".join(_lines(given)):
        raise ValueError(f"{path}: another tree than was written")
