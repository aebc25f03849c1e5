"""Evidence and reasons as a curator reads them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

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
    "disputed": "Two reviewers disagree about it.",
    "retrieval": "Its pictures look more like those of another place.",
}

#: Lists of files, which the page shows as pictures.
_FILES = ("pictures: ", "nearest there: ")

_WORD = re.compile(r'word "(?P<term>[^"]*)" \((?P<language>[^)]*)\) → (?P<node>.+)')
_VECTOR = re.compile(
    r"(?P<source>text|image) vector: (?P<best>.+) -?\d+\.\d+, (?P<next>.+) -?\d+\.\d+"
)
_CLASS = re.compile(
    r"class (?P<qid>Q\d+)(?: (?P<label>.+?))? → (?P<node>.+?)(?P<tie>, among others)?"
    r"(?: \((?:class|vocabulary)\))?"
)
_SOURCES = {"text": "By its meaning the name is", "image": "The pictures as a whole are"}


def plain(evidence: str, names: Collection[str] = ()) -> list[str]:
    """Sentences for the evidence of a row, one each; what is not known stays as it is.

    Args:
        evidence: as in the table `proposals`, parts separated by `; `.
        names: of the nodes of the place it is shown with; what speaks for another is told last,
            with a "but".

    Example:
        >>> plain('word "-stein" (de) → stone; text vector: palace 1.77, gate 1.40', ["palace"])
        ['By its meaning the name is nearest to palace, then gate.', \
'But “-stein” at the end of the name (de) means stone.']
    """
    parts = (part for part in evidence.split("; ") if part and not part.startswith(_FILES))
    told = [_sentence(part) for part in parts]
    if not names:
        return [text for text, _ in told]
    speaks = [not node or node in names for _, node in told]
    pro = [text for (text, _), yes in zip(told, speaks, strict=True) if yes]
    return pro + [f"But {_inner(t)}" for (t, _), yes in zip(told, speaks, strict=True) if not yes]


def reasons(words: Iterable[str]) -> list[str]:
    """Why a row is asked, a sentence each."""
    return [REASONS.get(word, word.replace("_", " ").capitalize() + ".") for word in words]


def _inner(sentence: str) -> str:
    own_name = sentence.startswith("Wikidata")
    return sentence if own_name else sentence[:1].lower() + sentence[1:]


def _sentence(part: str) -> tuple[str, str]:
    """A part as a sentence, and the name of the node it speaks for, if it says."""
    if found := _WORD.fullmatch(part):
        term, node = found["term"], found["node"]
        where = " at the end of the name" if term.startswith("-") else ""
        where = " at the start of the name" if term.endswith("-") else where
        return f"“{term}”{where} ({found['language']}) means {node}.", node
    if found := _VECTOR.fullmatch(part):
        source = _SOURCES[found["source"]]
        return f"{source} nearest to {found['best']}, then {found['next']}.", found["best"]
    if found := _CLASS.fullmatch(part):
        node, qid, label = found["node"], found["qid"], found["label"]
        if found["tie"]:
            return f"One of its Wikidata classes, {label or qid}, belongs to {node}.", node
        named = f"{label} ({qid})" if label else qid
        return f"Wikidata calls it {named}, which belongs to {node}.", node
    return part[:1].upper() + part[1:] + ("" if part.endswith((".", "!")) else "."), ""
