"""Evidence as a curator reads it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

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
_NODE = re.compile(r"(?<!\S)[1-9]/[^\s;,()]+")
_DECIDED = re.compile(
    r"(?P<who>[^:]+): (?P<word>[a-z]+)(?: (?P<target>.+?))? on (?P<day>\d{4}-\d\d-\d\d)T[^ ,]+"
    r"(?P<rest>, on evidence .*)?"
)
_DID = {
    "keep": "kept it", "move": "moved it to", "merge": "merged it into", "stop": "stopped it at",
    "exclude": "excluded it", "split": "split it, making", "rename": "called it",
}  # fmt: skip
_SOURCES = {"text": "By its meaning the name is", "image": "The pictures as a whole are"}


def plain(
    evidence: str, names: Collection[str] = (), known: Mapping[str, str] | None = None
) -> list[str]:
    """Sentences for the evidence of a row, one each; what is not known stays as it is.

    Args:
        evidence: as in the table `proposals`, parts separated by `; `.
        names: of the nodes of the place it is shown with; what speaks for another is told last,
            with a "but".
        known: names of nodes by their ids, for evidence that speaks of them by id.

    Example:
        >>> plain('word "-stein" (de) → stone; text vector: palace 1.77, gate 1.40', ["palace"])
        ['By its meaning the name is nearest to palace, then gate.', \
'But “-stein” at the end of the name (de) means stone.']
    """
    parts = (part for part in evidence.split("; ") if part and not part.startswith(_FILES))
    told = [_sentence(part, known or {}) for part in parts]
    if not names:
        return [text for text, _ in told]
    speaks = [not node or node in names for _, node in told]
    pro = [text for (text, _), yes in zip(told, speaks, strict=True) if yes]
    return pro + [f"But {_inner(t)}" for (t, _), yes in zip(told, speaks, strict=True) if not yes]


def _inner(sentence: str) -> str:
    own_name = sentence.startswith("Wikidata")
    return sentence if own_name else sentence[:1].lower() + sentence[1:]


def _sentence(part: str, known: Mapping[str, str]) -> tuple[str, str]:
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
    if (found := _DECIDED.fullmatch(part)) and found["word"] in _DID:
        target = known.get(found["target"] or "", found["target"] or "")
        under = " under" if found["word"] == "keep" and target else ""
        part = f"{found['who']} {_DID[found['word']]}{under} {target}".rstrip()
        part += f" on {found['day']}{found['rest'] or ''}"
    part = _NODE.sub(lambda node: known.get(node[0], node[0]), part)
    return part[:1].upper() + part[1:] + ("" if part.endswith((".", "!")) else "."), ""
