"""Texts of labels: words that stand for a missing label, and labels that are spelled alike."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

#: What people and programs write for a missing label, without case, spaces and punctuation.
PLACEHOLDERS = frozenset(
    {
        "na", "nan", "nil", "none", "null", "unk", "unknown", "unlabeled", "unlabelled",
        "nolabel", "unspecified", "undefined", "unassigned", "unclassified", "uncategorized",
        "uncategorised", "undetermined", "missing", "blank", "empty", "notavailable",
        "notapplicable", "notknown", "notspecified", "notset", "tba", "tbd", "todo", "aucun",
        "aucune", "desconocido", "inconnu", "inconnue", "keine", "ninguno", "unbekannt",
    }
)  # fmt: skip
_SIGNS = re.compile(r"[\s\-‐-―_.…·?¿/\\*#()\[\]<>{}'\"]+")
# A gap between two words, and between a word and a number; "1-2" is not "12".
_GAP = re.compile(r"(?<=[^\W\d_])[\s_-]+(?=[^\W_])|(?<=[^\W_])[\s_-]+(?=[^\W\d_])")
# A shorter word with another letter behind it is another word: "bu" and "bus".
_SHORTEST = 3


def is_placeholder(text: str) -> bool:
    """Whether a label is a word or a sign for a missing one.

    Example:
        >>> [is_placeholder(text) for text in ("N/A", "-", "<Unknown>", "none", "nunnery", "+")]
        [True, True, True, True, False, False]
    """
    return (bare := _SIGNS.sub("", _plain(text))) == "" or bare in PLACEHOLDERS


def spelled_alike(names: Iterable[str]) -> list[list[str]]:
    """Groups of names that differ only in case, spaces, invisible characters, accents or a plural.

    A hyphen or an underscore between words counts as a space.

    Returns:
        Each group sorted, the groups by their first name; names without another are left out.

    Example:
        >>> spelled_alike(["Berry", "berries", "Café", "cafe ", "tea", "1-2", "12"])
        [['Berry', 'berries'], ['Café', 'cafe ']]
    """
    by_key: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        by_key.setdefault(_GAP.sub("", _plain(name)), []).append(name)
    first: dict[str, str] = {}
    for key in sorted(by_key, key=lambda key: (len(key), key)):
        singular = next((one for one in _singulars(key) if one in by_key), key)
        first[key] = first.get(singular, singular)
    groups: dict[str, list[str]] = {}
    for key, found in by_key.items():
        groups.setdefault(first[key], []).extend(found)
    return sorted(sorted(group) for group in groups.values() if len(group) > 1)


def _plain(text: str) -> str:
    """Without case, accents, control and format characters, and spaces at the ends."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(
        letter
        for letter in letters
        if not ("\u0300" <= letter <= "\u036f" or unicodedata.category(letter) in ("Cc", "Cf"))
    ).strip()


def _singulars(key: str) -> list[str]:
    """What a word may be the plural of."""
    found = []
    if key.endswith("ies"):
        found.append(key[:-3] + "y")
    if key.endswith("es"):
        found.append(key[:-2])
    if key.endswith("s") and not key.endswith("ss"):
        found.append(key[:-1])
    return [one for one in found if len(one) >= _SHORTEST and one[-1].isalpha()]
