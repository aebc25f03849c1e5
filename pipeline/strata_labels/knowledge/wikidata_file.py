"""Streams the items of a Wikidata file: JSON lines, the JSON dump or truthy N-Triples, also packed.

A record is the raw text of one item. It is parsed only where it is wanted, since nearly all of a
dump is not.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast
from urllib.parse import unquote

from strata_labels.errors import InputError, Problem
from strata_labels.knowledge.raw_entity import PROPERTIES, RawEntity, item_number, reduce

_MOST_PROBLEMS = 1000  # after so many damaged lines the file is not a Wikidata file at all
_LONGEST_LINE = 64 << 20  # bytes; the longest of Wikidata's items has some 5 MB
_FIX = "Download the file again."
_OPENERS: dict[str, Callable[..., Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
_JSON_ID = re.compile(rb'\{\s*"type"\s*:\s*"item"\s*,\s*"id"\s*:\s*"Q([1-9][0-9]{0,17})"')
_OTHER_JSON = re.compile(rb'\{\s*"type"\s*:\s*"(?:property|lexeme|mediainfo)"')

_ABOUT = b"> <http://schema.org/about> <"
_VERSION = b"> <http://schema.org/version> "
_COMMONS = b"<https://commons.wikimedia.org/wiki/"
_SUBJECT = re.compile(rb"<https?://[^>]*/entity/Q([1-9][0-9]{0,17})> ")
_DATA = re.compile(rb"<https?://[^>]*/Special:EntityData/Q([1-9][0-9]{0,17})> ")
_TRIPLE = re.compile(r"<([^>]*)> <([^>]*)> (.+)")
_ITEM = re.compile(r"<https?://[^>]*/entity/([A-Z][0-9]+)>")
_LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"(?:@([A-Za-z0-9-]+)|\^\^<[^>]*>)?', re.DOTALL)
_POINT = re.compile(r"(?:<([^>]*)> )?Point\((\S+) (\S+)\)", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_ESCAPED = {"t": "\t", "n": "\n", "r": "\r", "b": "\b", "f": "\f"}
_LABEL = "http://www.w3.org/2000/01/rdf-schema#label"
_ALIAS = "http://www.w3.org/2004/02/skos/core#altLabel"


class Record(NamedTuple):
    """What a file says of one item.

    Attributes:
        number: the item's id without Q.
        text: raw JSON, or the item's triples, which stand together in Wikidata's dumps.
        row: 1-based line of the unpacked file where it begins.
        raw: the parsed JSON, where finding the number needed it.
    """

    number: int
    text: bytes
    row: int
    raw: dict[str, Any] | None = None


class WikidataFile:
    """A dump or a snapshot. The name says what it holds: `.nt` N-Triples, else JSON.

    Args:
        path: plain, `.gz`, `.bz2` or `.xz`.

    Attributes:
        has_triples: whether it holds N-Triples.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        packed = self.path.suffix in _OPENERS
        self.has_triples = (self.path.with_suffix("") if packed else self.path).suffix == ".nt"
        self._problems: list[Problem] = []

    def records(self) -> Iterator[Record]:
        """Streams the items; properties and lexemes are left out.

        Raises:
            InputError: the file cannot be read or is cut short; lines that are no entities (all
                listed, at the end, with the records that `parse` could not read).
        """
        self._problems = []
        yield from self._triple_records() if self.has_triples else self._json_records()
        if self._problems:
            raise InputError(self._problems)

    def marks(self, *names: str) -> tuple[bytes, ...]:
        """Texts that a record contains if it has a statement of these properties.

        `commonswiki` stands for a link to a page on Commons.
        """
        if not self.has_triples:
            return tuple(f'"{name}"'.encode() for name in names)
        return tuple(
            _COMMONS if name == "commonswiki" else f"/prop/direct/{name}>".encode()
            for name in names
        )

    def parse(self, record: Record, properties: tuple[str, ...] = PROPERTIES) -> RawEntity | None:
        """The item in the API's form, reduced to `properties`.

        Returns:
            None for an item that is missing or cannot be read; `records` then raises at the end.
        """
        try:
            if self.has_triples:
                return _parse_triples(record, properties)
            raw = json.loads(record.text) if record.raw is None else record.raw
            return reduce(raw, properties) if "missing" not in raw else None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            self.add_problem(record, "not an entity:")
            return None

    def add_problem(self, record: Record, what: str) -> None:
        """Adds what is wrong with a record to what `records` raises at the end."""
        shown = record.text[:60].decode("utf-8", "replace")
        self._problems.append(Problem(self.path, what, _FIX, row=record.row, value=shown))

    @contextmanager
    def _lines(self) -> Iterator[BinaryIO]:
        """Opens the file; a packed file that is cut short or damaged is an input error."""
        try:
            with cast(BinaryIO, _OPENERS.get(self.path.suffix, open)(self.path, "rb")) as file:
                yield file
        except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
            self._cut_short(str(error))
        except OSError as error:
            what = f"cannot be read ({error.strerror or error})"
            raise InputError(Problem(self.path, what, "Check the file.")) from None

    def _bounded(self, file: BinaryIO) -> Iterator[bytes]:
        """The lines of a file, none of which may fill the memory; counts them in `_row`."""
        while line := file.readline(_LONGEST_LINE):
            self._row += 1
            if len(line) == _LONGEST_LINE:
                what = f"a line of more than {_LONGEST_LINE >> 20} MB"
                fix = "Write one entity on a line, as Wikidata's dumps do."
                raise InputError(Problem(self.path, what, fix, row=self._row))
            yield line

    def _cut_short(self, why: str) -> None:
        what = f"interrupted download ({why})"
        self._problems.append(Problem(self.path, what, _FIX, row=self._row))

    def _json_records(self) -> Iterator[Record]:
        self._row, opened, closed, line = 0, False, False, b"\n"
        with self._lines() as file:
            for line in self._bounded(file):
                text = line.strip().removesuffix(b",")
                if text in (b"", b"[", b"]"):
                    opened, closed = opened or text == b"[", text == b"]" or closed
                elif match := _JSON_ID.match(text):
                    yield Record(int(match[1]), text, self._row)
                elif not _OTHER_JSON.match(text):
                    try:
                        raw = json.loads(text)
                        number = item_number(raw)
                    except (ValueError, KeyError, TypeError, RecursionError):
                        if line.endswith((b"\n", b"}")):
                            self.add_problem(Record(0, text, self._row), "not a JSON entity:")
                        continue
                    if number is not None:
                        yield Record(number, text, self._row, raw)
                if len(self._problems) >= _MOST_PROBLEMS:
                    return
        if opened and not closed:
            self._cut_short("the closing ] is missing")
        elif not line.endswith((b"\n", b"}", b"]")):
            self._cut_short("the last line is incomplete")

    def _triple_records(self) -> Iterator[Record]:
        """Groups the triples about an item that stand together: version, statements, sitelink."""
        group: list[bytes] = []
        number = begun = self._row = 0
        line = b"\n"
        with self._lines() as file:
            for line in self._bounded(file):
                if (match := _SUBJECT.match(line)) is None:
                    if line.startswith(_COMMONS) and _ABOUT in line:
                        match = _SUBJECT.match(b"<" + line.partition(_ABOUT)[2])
                    elif _VERSION in line:
                        match = _DATA.match(line)
                if match is None:
                    continue
                if int(match[1]) != number:
                    if group:
                        yield Record(number, b"".join(group), begun)
                    group, number, begun = [], int(match[1]), self._row
                group.append(line)
                if len(self._problems) >= _MOST_PROBLEMS:
                    return
        if not line.endswith(b"\n"):
            self._cut_short("the last line is incomplete")
        elif group:
            yield Record(number, b"".join(group), begun)


def _parse_triples(record: Record, properties: tuple[str, ...]) -> RawEntity:
    raw: dict[str, Any] = {"id": f"Q{record.number}", "labels": {}, "aliases": {}, "claims": {}}
    for line in record.text.decode("utf-8").splitlines():
        whole = line.rstrip()
        match = _TRIPLE.fullmatch(whole.removesuffix(".").rstrip())
        if match is None or not whole.endswith("."):
            raise ValueError("no triple")
        subject, predicate, value = match.groups()
        if predicate == "http://schema.org/about":
            title = _title(subject.removeprefix(_COMMONS[1:].decode()))
            raw["sitelinks"] = {"commonswiki": {"title": title}}
        elif predicate == "http://schema.org/version":
            raw["lastrevid"] = int(_literal(value)[0])
        elif predicate == _LABEL:
            text, language = _literal(value)
            raw["labels"][language] = {"language": language, "value": text}
        elif predicate == _ALIAS:
            text, language = _literal(value)
            raw["aliases"].setdefault(language, []).append({"language": language, "value": text})
        elif "/prop/direct/" in predicate:
            name = predicate.rpartition("/")[2]
            if name in properties:
                snak = {"property": name, **_snak(name, value)}
                # Truthy dumps have the statements of the best rank alone.
                statement = {"mainsnak": snak, "rank": "normal"}
                raw["claims"].setdefault(name, []).append(statement)
    return reduce(raw, properties)


def _snak(name: str, value: str) -> dict[str, Any]:
    if match := _ITEM.fullmatch(value):
        entity = {"entity-type": "item", "numeric-id": int(match[1][1:]), "id": match[1]}
        return _value({"value": entity, "type": "wikibase-entityid"})
    if value.startswith(("_:", "<")):  # an unknown value has a node of its own
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
