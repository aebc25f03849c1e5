"""Evidence and reasons as a curator reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable

REASONS = {
    "low_confidence": "The evidence is too weak to place it without you.",
    "small_margin": "Two places are about equally likely.",
    "evidence_disagrees": "Name, class and likeness point to different places.",
    "class_tie": "Its Wikidata classes lead to several places.",
    "several_classes": "Wikidata gives it several classes.",
    "no_name_word": "No word of its name says what it is.",
    "no_evidence": "Nothing is known about it but its name.",
    "neighbours_elsewhere": "What resembles it most stands elsewhere.",
    "splits_differ": "The same place is filed elsewhere in another split.",
    "stale_decision": "It was decided before, but the evidence has changed since.",
    "unsure": "A reviewer was unsure about it.",
    "dispute": "Two reviewers disagree about it.",
}

_WORD = re.compile(r'word "(?P<term>[^"]*)" \((?P<language>[^)]*)\) → (?P<node>.+)')
_VECTOR = re.compile(
    r"(?P<source>text|image) vector: (?P<best>.+) -?\d+\.\d+, (?P<next>.+) -?\d+\.\d+"
)
_CLASS = re.compile(
    r"class (?P<qid>Q\d+)(?: (?P<label>.+?))? → (?P<node>.+?)(?P<tie>, among others)?"
    r"(?: \((?:class|vocabulary)\))?"
)
_SOURCES = {"text": "By its meaning the name", "image": "The pictures as a whole"}


def plain(evidence: str) -> list[str]:
    """Sentences for the evidence of a row, one each; what is not known stays as it is.

    Example:
        >>> plain('word "-stein" (de) → stone; text vector: palace 1.77, gate 1.40')
        ['“-stein” at the end of the name (de) means stone.', \
'By its meaning the name is nearest to palace, then gate.']
    """
    return [_sentence(part) for part in evidence.split("; ") if part]


def reasons(words: Iterable[str]) -> list[str]:
    """Why a row is asked, a sentence each."""
    return [REASONS.get(word, word.replace("_", " ").capitalize() + ".") for word in words]


def _sentence(part: str) -> str:
    if found := _WORD.fullmatch(part):
        term = found["term"]
        where = " at the end of the name" if term.startswith("-") else ""
        where = " at the start of the name" if term.endswith("-") else where
        return f"“{term}”{where} ({found['language']}) means {found['node']}."
    if found := _VECTOR.fullmatch(part):
        source = _SOURCES[found["source"]]
        verb = "is" if found["source"] == "text" else "are"
        return f"{source} {verb} nearest to {found['best']}, then {found['next']}."
    if found := _CLASS.fullmatch(part):
        label = f"{found['label']} ({found['qid']})" if found["label"] else found["qid"]
        among = " (one of several)" if found["tie"] else ""
        return f"Wikidata calls it {label}{among}, which belongs to {found['node']}."
    return part[:1].upper() + part[1:] + ("" if part.endswith((".", "!")) else ".")
