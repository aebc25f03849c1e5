"""Wikidata's dumps as streams of records: the JSON dump and truthy N-Triples.

A record is the raw text of one thing the dump says of an item; it is parsed only where it is
wanted, since nearly all of a dump is not.
"""

from __future__ import annotations

import bz2
import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast
from urllib.parse import unquote

from strata_labels.errors import InputError, Problem
from strata_labels.knowledge.entity import PROPERTIES, Entity, is_item_id, reduce

DAMAGED = "damaged"
_FIX = "Download the file again."
_JSON_ID = re.compile(rb'\{"type":"item","id":"Q([1-9][0-9]*)"')
_OTHER_JSON = re.compile(rb'\{"type":"(?:property|lexeme|mediainfo)"')

_ABOUT = b"> <http://schema.org/about> <"
_VERSION = b"> <http://schema.org/version> "
_COMMONS = b"<https://commons.wikimedia.org/wiki/"
_SUBJECT = re.compile(rb"<https?://[^>]*/entity/Q([1-9][0-9]*)> ")
_DATA = re.compile(rb"<https?://[^>]*/Special:EntityData/Q([1-9][0-9]*)> ")
_TRIPLE = re.compile(r"<[^>]*> <([^>]*)> (.+?)\s*\.\s*")
_ITEM = re.compile(r"<https?://[^>]*/entity/([A-Z][0-9]+)>")
_LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"(?:@([A-Za-z0-9-]+)|\^\^<[^>]*>)?', re.DOTALL)
_POINT = re.compile(r"(?:<([^>]*)> )?Point\((\S+) (\S+)\)", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_ESCAPED = {"t": "\t", "n": "\n", "r": "\r", "b": "\b", "f": "\f"}
_LABEL = "http://www.w3.org/2000/01/rdf-schema#label"
_ALIAS = "http://www.w3.org/2004/02/skos/core#altLabel"


class Record(NamedTuple):
    """One thing that a dump says of an item.

    Attributes:
        number: the item's, without Q.
        part: what it is; the records of an item that differ in it add up. `DAMAGED` if it is not
            of the dump's form.
        text: raw.
        row: 1-based line of the (unpacked) file where it begins.
    """

    number: int
    part: str
    text: bytes
    row: int


class Form(NamedTuple):
    """How to read a kind of dump.

    Attributes:
        records: streams a file.
        parse: a record as an entity in the API's form, reduced; raises ValueError.
        hints: texts of which a record has one if it may name a category or a class's parent.
    """

    records: Callable[[Path], Iterator[Record]]
    parse: Callable[[Record], Entity]
    hints: tuple[bytes, ...]


def form_of(path: Path) -> Form:
    """The form of a dump, by its name: `.nt` (`.nt.gz`, `.nt.bz2`), else JSON."""
    return _NTRIPLES if is_triples(path) else _JSON


def is_triples(path: Path) -> bool:
    """Whether a file's name says that it holds N-Triples.

    Example:
        >>> is_triples(Path("latest-truthy.nt.bz2"))
        True
    """
    return path.name.removesuffix(".gz").removesuffix(".bz2").endswith(".nt")


def damaged(path: Path, record: Record) -> Problem:
    """The problem of a record that cannot be parsed."""
    shown = record.text[:60].decode("utf-8", "replace")
    return Problem(path, "not of the dump's form:", _FIX, row=record.row, value=shown)


@contextmanager
def _lines(path: Path) -> Iterator[BinaryIO]:
    """Opens a dump; a packed one that is cut short or damaged is the user's problem."""
    openers: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open}
    opener = openers.get(path.suffix, open)
    try:
        with cast(BinaryIO, opener(path, "rb")) as file:
            yield file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        problem = Problem(path, f"interrupted or damaged download ({error})", _FIX)
        raise InputError(problem) from None
    except OSError as error:
        what = f"cannot be read ({error.strerror or error})"
        raise InputError(Problem(path, what, "Check the file.")) from None


def _cut_short(path: Path, row: int) -> InputError:
    return InputError(Problem(path, "interrupted download (its end is missing)", _FIX, row=row))


def _json_records(path: Path) -> Iterator[Record]:
    row, opened, closed, last = 0, False, False, b"\n"
    with _lines(path) as file:
        for row, line in enumerate(file, start=1):
            last = line
            text = line.strip().rstrip(b",")
            if text in (b"", b"[", b"]"):
                opened, closed = opened or text == b"[", text == b"]" or closed
                continue
            if match := _JSON_ID.match(text):
                yield Record(int(match[1]), "item", text, row)
            elif not _OTHER_JSON.match(text):
                if not line.endswith((b"\n", b"}")):
                    raise _cut_short(path, row)
                yield from _slowly(text, row)
    if (opened and not closed) or (not last.endswith(b"\n") and not last.endswith((b"}", b"]"))):
        raise _cut_short(path, row)


def _slowly(text: bytes, row: int) -> Iterator[Record]:
    """A line whose keys stand in another order than in Wikidata's own dump."""
    try:
        qid = json.loads(text)["id"]
    except (ValueError, KeyError, TypeError):
        yield Record(0, DAMAGED, text, row)
        return
    if is_item_id(qid):
        yield Record(int(qid[1:]), "item", text, row)


def _parse_json(record: Record) -> Entity:
    raw = json.loads(record.text)
    if not isinstance(raw, dict):
        raise ValueError("no object")
    return reduce({**raw, "id": f"Q{record.number}"})


def _triple_records(path: Path) -> Iterator[Record]:
    """Groups the triples of a subject that stand together."""
    group: list[bytes] = []
    number = begun = row = 0
    line = b"\n"
    with _lines(path) as file:
        for row, line in enumerate(file, start=1):
            if match := _SUBJECT.match(line):
                if int(match[1]) != number:
                    if group:
                        yield Record(number, "item", b"".join(group), begun)
                    group, number, begun = [], int(match[1]), row
                group.append(line)
            elif line.startswith(_COMMONS) and _ABOUT in line:
                if match := _SUBJECT.match(b"<" + line.partition(_ABOUT)[2]):
                    yield Record(int(match[1]), "sitelink", line, row)
            elif _VERSION in line and (match := _DATA.match(line)):
                yield Record(int(match[1]), "version", line, row)
    if not line.endswith(b"\n"):
        raise _cut_short(path, row)
    if group:
        yield Record(number, "item", b"".join(group), begun)


def _parse_triples(record: Record) -> Entity:
    qid = f"Q{record.number}"
    text = record.text.decode("utf-8")
    if record.part == "sitelink":
        title = _title(text[len(_COMMONS) :].partition(">")[0])
        return reduce({"id": qid, "sitelinks": {"commonswiki": {"title": title}}})
    raw: dict[str, Any] = {"id": qid, "labels": {}, "aliases": {}, "claims": {}}
    for line in text.splitlines():
        match = _TRIPLE.fullmatch(line)
        if match is None:
            raise ValueError("no triple")
        predicate, value = match.groups()
        if record.part == "version":
            raw["lastrevid"] = int(_literal(value)[0])
        elif predicate == _LABEL:
            words, language = _literal(value)
            raw["labels"][language] = {"language": language, "value": words}
        elif predicate == _ALIAS:
            words, language = _literal(value)
            raw["aliases"].setdefault(language, []).append({"language": language, "value": words})
        elif "/prop/direct/" in predicate:
            name = predicate.rpartition("/")[2]
            if name in PROPERTIES:
                snak = {"property": name, **_snak(name, value)}
                # Truthy dumps have the statements of the best rank alone.
                statement = {"mainsnak": snak, "rank": "normal"}
                raw["claims"].setdefault(name, []).append(statement)
    return reduce(raw)


def _snak(name: str, value: str) -> dict[str, Any]:
    if match := _ITEM.fullmatch(value):
        entity = {"entity-type": "item", "numeric-id": int(match[1][1:]), "id": match[1]}
        return _value({"value": entity, "type": "wikibase-entityid"})
    if value.startswith(("_:", "<")):  # a value that is not known has a node of its own
        return {"snaktype": "somevalue"}
    text, _ = _literal(value)
    if name != "P625":
        return _value({"value": text, "type": "string"})
    point = _POINT.fullmatch(text)
    if point is None:
        raise ValueError("no point")
    globe = point[1] or "http://www.wikidata.org/entity/Q2"
    at = {"latitude": float(point[3]), "longitude": float(point[2]), "globe": globe}
    return _value({"value": at, "type": "globecoordinate"})


def _value(datavalue: dict[str, Any]) -> dict[str, Any]:
    return {"snaktype": "value", "datavalue": datavalue}


def _literal(text: str) -> tuple[str, str]:
    match = _LITERAL.fullmatch(text)
    if match is None:
        raise ValueError("no literal")
    words = match[1]
    if "\\" in words:
        words = _ESCAPE.sub(_unescaped, words)
    return words, match[2] or ""


def _unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else _ESCAPED.get(match[3], match[3])


def _title(path: str) -> str:
    return unquote(_ESCAPE.sub(_unescaped, path)).replace("_", " ")


_JSON = Form(_json_records, _parse_json, (b'"P279"', b'"P373"', b"commonswiki"))
_NTRIPLES = Form(
    _triple_records,
    _parse_triples,
    (b"/prop/direct/P279>", b"/prop/direct/P373>", b"<http://schema.org/about>"),
)
