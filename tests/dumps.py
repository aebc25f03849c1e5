"""Writing dumps as Wikidata does: the JSON array, and truthy N-Triples."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

WD = "http://www.wikidata.org/entity/"
DIRECT = "http://www.wikidata.org/prop/direct/"


def write_dump(path: Path, lines: Iterable[str]) -> Path:
    """Writes lines, packed as the name says."""
    openers: dict[str, Any] = {
        ".gz": partial(gzip.open, compresslevel=1),
        ".bz2": partial(bz2.open, compresslevel=1),
        ".xz": partial(lzma.open, preset=1),
    }
    with openers.get(path.suffix, open)(path, mode="wt", encoding="utf-8", newline="") as file:
        file.writelines(lines)
    return path


def json_dump(entities: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The lines of the JSON dump, the keys in Wikidata's order."""
    yield "[\n"
    before = ""
    for entity in entities:
        yield before + json.dumps(
            {"type": entity["type"], "id": entity["id"], **entity}, separators=(",", ":")
        )
        before = ",\n"
    yield "\n]\n"


def truthy_triples(entities: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The lines of the truthy dump: version and sitelink about each item, then the item itself."""
    for raw in entities:
        qid = raw["id"]
        subject = f"<{WD}{qid}>"
        data = f"<https://www.wikidata.org/wiki/Special:EntityData/{qid}>"
        if "lastrevid" in raw:
            number = f'"{raw["lastrevid"]}"^^<http://www.w3.org/2001/XMLSchema#integer>'
            yield f"{data} <http://schema.org/version> {number} .\n"
            yield f"{data} <http://schema.org/about> {subject} .\n"
        for entry in raw["labels"].values() if raw["labels"] else ():
            text = f"{_literal(entry['value'])}@{entry['language']} .\n"
            yield f"{subject} <http://www.w3.org/2000/01/rdf-schema#label> {text}"
            yield f"{subject} <http://schema.org/name> {text}"
        for entries in raw["aliases"].values() if raw["aliases"] else ():
            for entry in entries:
                text = f"{_literal(entry['value'])}@{entry['language']} .\n"
                yield f"{subject} <http://www.w3.org/2004/02/skos/core#altLabel> {text}"
        for name, statements in raw["claims"].items() if raw["claims"] else ():
            ranks = {s["rank"] for s in statements}
            best = "preferred" if "preferred" in ranks else "normal"
            for n, statement in enumerate(statements):
                value = _value(statement["mainsnak"], f"{qid}{name}{n}")
                if statement["rank"] == best and value:
                    yield f"{subject} <{DIRECT}{name}> {value} .\n"
        link = (raw.get("sitelinks") or {}).get("commonswiki")
        if link:
            page = quote(link["title"].replace(" ", "_"), safe="/:,;()!*@$'~")
            address = f"<https://commons.wikimedia.org/wiki/{page}>"
            yield f"{address} <http://schema.org/about> {subject} .\n"
            yield f'{address} <http://schema.org/inLanguage> "en" .\n'


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _value(snak: dict[str, Any], node: str) -> str | None:
    if snak["snaktype"] == "somevalue":
        return f"_:{node}"
    if "datavalue" not in snak:
        return None
    value = snak["datavalue"]["value"]
    if isinstance(value, str):
        return _literal(value)
    if "latitude" in value:
        globe = value["globe"]
        before = "" if globe.endswith("/Q2") else f"<{globe}> "
        text = f"{before}Point({value['longitude']} {value['latitude']})"
        return f'"{text}"^^<http://www.opengis.net/ont/geosparql#wktLiteral>'
    if "id" in value:
        return f"<{WD}{value['id']}>"
    return _literal(json.dumps(value))
