"""Name words in many languages: finds a lexicon's terms in names, and where in the name they stand.

A lexicon row says that a term of a language means a node: `kirche,de → church`. A term may stand
as a whole word or phrase, as the end of a word (`-kirche`, compounds) or as its start (`kloster-`).
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

# Words that end the head of a name: what follows only says where, whose or to whom.
FUNCTION_WORDS = frozenset(
    re.findall(
        r"\S+",
        """
        of in at on near by from to for with and the de del della delle dello dei degli dell di da
        do das dos du des d la le les l el los las lo il i gli al alla sul sulla nel nella a à au
        aux en et y e sur sous von vom zu zum zur im am an der die den dem und bei auf van het op
        te ter ten aan bij och av på w we na nad przy pod z ze od o u v ve k pri og til ved в
        на у під при над із з имени імені и і sa ibn ul
        """,
    )
)

# Languages taken to put the head of a name first ("Lago di Como", "Pont Neuf", "Wat Arun"); in all
# others it is taken to come last ("Tower Bridge"). A coarse list by hand: Slavic names do both.
HEAD_FIRST = frozenset(
    re.findall(
        r"\S+",
        """
        fr it es pt ca gl ro oc ast an co sc scn vec lmo pms eu-es br cy ga gd gv ar fa ur he mt
        id ms jv su vi th lo km tl ceb haw mi sm sw pl cs sk uk ru be bg sr hr sl mk bs sh sq el
        la
        """,
    )
)

# A term that several languages read differently ("dam": a dam in English, a lake in Afrikaans) is
# taken in proportion to how common these languages are among names: three coarse classes.
COMMON_LANGUAGES = frozenset({"en", "mul"})
FREQUENT_LANGUAGES = frozenset(["de", "es", "fr", "it", "ja", "nl", "pl", "pt", "ru", "uk", "zh"])
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_SHORTEST_PIECE = 3
_SHORT = 3


class _Separators(dict[int, str | int]):
    """Translation that keeps letters, digits and marks and turns all else into spaces."""

    def __missing__(self, code: int) -> str | int:
        character = chr(code)
        kept = character.isalnum() or unicodedata.category(character).startswith("M")
        self[code] = code if kept else " "
        return self[code]


_SEPARATORS = _Separators()


def words(text: str) -> list[str]:
    """Casefolded words, marks kept: letters and digits, split at everything else.

    Example:
        >>> words("St. Mary's Église-Neuve")
        ['st', 'mary', 's', 'église', 'neuve']
    """
    return unicodedata.normalize("NFC", text.casefold()).translate(_SEPARATORS).split()


@lru_cache(maxsize=1 << 18)
def fold(word: str) -> str:
    """A word without its diacritics.

    Example:
        >>> fold("église"), fold("łódź"), fold("ørsted")
        ('eglise', 'lodz', 'orsted')
    """
    if word.isascii():
        return word
    bare = unicodedata.normalize("NFKD", word).translate(_STROKES)
    return "".join(c for c in bare if unicodedata.category(c) != "Mn")


_STROKES = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ı": "i", "ħ": "h", "æ": "ae", "œ": "oe"})


@dataclass(frozen=True)
class Entry:
    """One lexicon row, compiled."""

    node: int
    qid: str
    term: str
    language: str
    strong: bool
    exact: tuple[str, ...]


class Lexicon:
    """Terms compiled for lookup.

    Args:
        table: columns `node, term`, and optionally `qid, language, strength` (`strong` or `weak`;
            blank is strong). A term that starts with a hyphen matches word ends, one that ends
            with a hyphen word starts.
        nodes: names of the nodes, in the order of the score matrices' columns. Rows of other
            nodes are left out.
    """

    def __init__(self, table: pd.DataFrame, nodes: Sequence[str]) -> None:
        self.nodes = list(nodes)
        position = {node: k for k, node in enumerate(self.nodes)}
        self._whole: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
        self._suffix: dict[str, list[Entry]] = defaultdict(list)
        self._prefix: dict[str, list[Entry]] = defaultdict(list)
        self._unspaced: dict[str, list[Entry]] = defaultdict(list)
        table = table.reindex(columns=["node", "qid", "language", "term", "strength"]).fillna("")
        rows = table.drop_duplicates().astype(str).to_numpy().tolist()
        for node, qid, language, term, strength in rows:
            exact = tuple(words(term))
            # A single letter is an initial or what an apostrophe cut off, and a function word of
            # one language ("in", "la") is no name word of another.
            common = len("".join(exact)) < 2 or (len(exact) == 1 and exact[0] in FUNCTION_WORDS)
            if node not in position or (common and not _UNSPACED.search(term)):
                continue
            term = term.strip()
            entry = Entry(position[node], qid, term, language, strength != "weak", exact)
            folded = tuple(map(fold, exact))
            if _UNSPACED.search(term):
                self._unspaced["".join(folded)].append(entry)
            elif term.startswith("-"):
                self._suffix["".join(folded)].append(entry)
            elif term.endswith("-"):
                self._prefix["".join(folded)].append(entry)
            else:
                self._whole[folded].append(entry)
        self._longest = max((len(key) for key in self._whole), default=0)

    def match(self, names: Sequence[str], qualifiers: Sequence[str] | None = None) -> pd.DataFrame:
        """Every hit of every name.

        Longer terms hide the shorter ones inside them ("water tower" hides "water" and "tower"),
        and a hit whose letters agree diacritics and all hides one that agrees only without.

        Args:
            names: clean names.
            qualifiers: what stood behind each name ("Nice" of "… (Nice)"), "" for none.

        Returns:
            One row a hit: `row` (position in `names`), `node` (column), `qid, term, language`,
            `kind` (`word, suffix, prefix, part`), `strong` (bool), `share` (one over the nodes
            that share the term here), `place`: 0 the head of the name, 1 elsewhere in its head
            part, 2 behind a function word, 3 in the qualifier.
        """
        columns: dict[str, list[object]] = defaultdict(list)
        qualifiers = qualifiers if qualifiers is not None else [""] * len(names)
        memo: dict[str, list[tuple[int, Entry, str, float]]] = {}
        for row, (name, qualifier) in enumerate(zip(names, qualifiers, strict=True)):
            for place, entry, kind, share in self._match_name(name):
                _append(columns, row, place, entry, kind, share)
            if qualifier:
                if qualifier not in memo:
                    memo[qualifier] = self._match_name(qualifier)
                for _, entry, kind, share in memo[qualifier]:
                    _append(columns, row, 3, entry, kind, share)
        return pd.DataFrame(
            {
                "row": np.array(columns["row"], dtype=np.int64),
                "node": np.array(columns["node"], dtype=np.int64),
                **{c: pd.Series(columns[c], dtype=str) for c in _TEXT_COLUMNS},
                "strong": np.array(columns["strong"], dtype=bool),
                "share": np.array(columns["share"], dtype=np.float32),
                "place": np.array(columns["place"], dtype=np.int64),
            }
        )

    def _match_name(self, name: str) -> list[tuple[int, Entry, str, float]]:
        exact = words(name)
        folded = [fold(word) for word in exact]
        end = next(
            (n for n, word in enumerate(exact) if n > 0 and word in FUNCTION_WORDS), len(exact)
        )
        spans: list[tuple[int, int, str, list[Entry]]] = []
        start = 0
        while start < len(folded):
            found, length = self._at(exact, folded, start)
            spans += [(start, start + length, kind, entries) for kind, entries in found]
            start += length
        hits = []
        for first, last, kind, entries in spans:
            inside = first < end
            for entry in entries:
                if not inside:
                    place = 2
                else:
                    rivals = [s for s in spans if s[0] < end]
                    head = rivals[0] if entry.language in HEAD_FIRST else rivals[-1]
                    place = 0 if (first, last) == (head[0], head[1]) else 1
                hits.append((place, entry, kind, _share(entry, entries)))
        return hits

    def _at(
        self, exact: list[str], folded: list[str], start: int
    ) -> tuple[list[tuple[str, list[Entry]]], int]:
        """Hits at a word, and how many words they take (at least 1)."""
        for length in range(min(self._longest, len(folded) - start), 0, -1):
            found = self._whole.get(tuple(folded[start : start + length]))
            if found and (close := _closest(found, exact[start : start + length])):
                return [("word", close)], length
        word = folded[start]
        if _UNSPACED.search(word):
            return self._parts(word), 1
        for cut in range(1, len(word) - _SHORTEST_PIECE + 1):
            ends = self._suffix.get(word[cut:])
            if ends and (same := _same_end(ends, exact[start])):
                return [("suffix", same)], 1
        for cut in range(len(word) - 1, _SHORTEST_PIECE - 1, -1):
            if word[:cut] in self._prefix:
                return [("prefix", self._prefix[word[:cut]])], 1
        return [], 1

    def _parts(self, word: str) -> list[tuple[str, list[Entry]]]:
        """The last longest term in a run of a script without spaces (its heads come last)."""
        for end in range(len(word), 0, -1):
            for start in range(end):
                if word[start:end] in self._unspaced:
                    return [("part", self._unspaced[word[start:end]])]
        return []


_TEXT_COLUMNS = ("qid", "term", "language", "kind")


def _append(
    columns: dict[str, list[object]], row: int, place: int, entry: Entry, kind: str, share: float
) -> None:
    values = (row, place, entry.node, entry.qid, entry.term, entry.language, kind, entry.strong)
    names = ("row", "place", "node", "qid", "term", "language", "kind", "strong")
    for column, value in zip(names, values, strict=True):
        columns[column].append(value)
    columns["share"].append(share)


def _language_weight(language: str) -> float:
    if language in COMMON_LANGUAGES:
        return 1.0
    return 0.5 if language in FREQUENT_LANGUAGES else 0.15


def _share(entry: Entry, entries: list[Entry]) -> float:
    """How far a term means the entry's node rather than another, 0 to 1."""
    weight: dict[int, float] = {}
    for rival in entries:
        weight[rival.node] = max(weight.get(rival.node, 0.0), _language_weight(rival.language))
    return weight[entry.node] / sum(weight.values())


def _same_end(entries: list[Entry], word: str) -> list[Entry]:
    """Entries that end the word diacritics and all; long ones may do without them.

    "-tér" is a square in Hungarian, but "water" does not end in one.
    """
    return [e for e in entries if word.endswith(e.exact[-1]) or len(e.exact[-1]) > 5]


def _closest(entries: list[Entry], exact: list[str]) -> list[Entry]:
    """Entries that agree diacritics and all, else, for terms that are not short, the others."""
    same = [entry for entry in entries if list(entry.exact) == exact]
    return same or [entry for entry in entries if len("".join(entry.exact)) > _SHORT]
