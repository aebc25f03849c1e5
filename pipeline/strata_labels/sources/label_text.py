"""Texts of labels: words that stand for a missing label, and labels that are spelled alike."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from strata_labels.people_csv import UNKNOWN_LABEL

# Other signs (`+`, `=`, `!`, `:`) are classes of sets of symbols.
_SIGNS = re.compile(r"[\s\-‐-―−_.…·・?¿/\\*#()\[\]<>{}'\"]+")
# What spreadsheets leave of a formula that failed, in any language: #REF!, #NAME?, #WERT!;
# with fewer than two letters (#1!, #A?) it is a label.
_FAILED_FORMULA = re.compile(r"#(?=[0-9/_]*[A-Z][0-9/_]*[A-Z])[A-Z0-9/_]+[!?]|#NV")
# Marks of vowels that Hebrew and Arabic may leave out, beside the accents of other scripts; a mark
# that makes another letter (Japanese, the scripts of India) is kept.
_ACCENTS = re.compile("[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1-\u05c7\u0640\u064b-\u065f\u0670]")
# Invisible, and neither controls nor formats: variation selectors, fillers, the blank of Braille.
_INVISIBLE = re.compile("[\u115f\u1160\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\U000e0100-\U000e01ef]")
# Letters with a stroke, which Unicode takes for letters of their own; quotation marks and hyphens.
_ONE_FOR_ALL = str.maketrans(
    {
        "ł": "l", "ø": "o", "đ": "d", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe",
        "’": "'", "‘": "'", "ʼ": "'", "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-",
    }
)  # fmt: skip
# A gap between two words, and between a word and a number; "1-2" is not "12".
_GAP = re.compile(r"(?<=[^\W\d_])[\s_-]+(?=[^\W_])|(?<=[^\W_])[\s_-]+(?=[^\W\d_])")
# A shorter word with another letter behind it is another word: "bu" and "bus".
_SHORTEST = 3
# Ends of plurals, without accents, and what may be there in the singular.
_PLURALS = {
    # English, and all languages with -s
    "s": ("",), "es": ("",), "ies": ("y",), "ves": ("f", "fe"), "men": ("man",),
    "women": ("woman",),
    # Latin words
    "i": ("us",), "ae": ("a",),
    # German
    "en": ("e",),
    # French
    "aux": ("al", "au"), "eux": ("eu",), "oux": ("ou",),
    # Spanish and Portuguese
    "ces": ("z",), "oes": ("ao",), "aes": ("ao",), "ns": ("m",), "ais": ("al",), "eis": ("el",),
    # Russian and Ukrainian
    "ы": ("", "а"), "и": ("", "а", "я", "ь"),
    # Greek
    "οι": ("οσ",), "εσ": ("α", "η"), "ια": ("ι",),
}  # fmt: skip
_LONGEST_END = max(map(len, _PLURALS))
# So many letters stand before such an end; with fewer, the two are mostly other words: tram and
# trans, Raman and ramen, faz and faces, cafe and caves, garde and garden.
_STEM = 4
_STEMS = {"s": 0, "es": 0, "ies": 0, "women": 0, "ves": 3, "en": 5}


def _plain(text: str) -> str:
    """Without case, accents and what cannot be seen, and without spaces at the ends."""
    letters = unicodedata.normalize("NFKD", text.casefold()).translate(_ONE_FOR_ALL)
    letters = _INVISIBLE.sub("", _ACCENTS.sub("", letters))
    return "".join(one for one in letters if unicodedata.category(one) not in ("Cc", "Cf")).strip()


_WORDS = """
    na nan nil none null unk unknown unlabeled unlabelled nolabel unspecified undefined
    unassigned unclassified uncategorized uncategorised undetermined unidentified
    missing blank empty nodata novalue notavailable notapplicable notknown notspecified notset
    tba tbd tobedetermined todo
    aucun aucune inconnu inconnue indéterminé indéterminée nonrenseigné
    desconocido desconocida ninguno ninguna sindatos
    desconhecido desconhecida nenhum nenhuma semdados
    sconosciuto sconosciuta nessuno nessuna
    keine keiner keines keineangabe unbekannt unbestimmt
    geen onbekend ingen okänd ukendt ukjent tuntematon
    brak nieznany nieznana nieznane neznámý neznámá bilinmiyor
    неизвестно неизвестный неизвестная нет нетданных невідомо
    άγνωστο άγνωστος άγνωστη غيرمعروف لايوجد
    不明 未知 未定 无 無 該当なし 미상 없음 알수없음
"""
#: What people and programs write for a missing label, without case, accents, spaces and signs.
PLACEHOLDERS = frozenset(map(_plain, _WORDS.split()))


def is_placeholder(text: str) -> bool:
    """Whether a label is a word or a sign for a missing one.

    Example:
        >>> [is_placeholder(text) for text in ("N/A", "-", "<Unknown>", "none", "nunnery", "+")]
        [True, True, True, True, False, False]
    """
    if re.fullmatch(UNKNOWN_LABEL, text) or _FAILED_FORMULA.fullmatch(text):
        return True
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
    singular = {key: next((o for o in _singulars(key) if o in by_key), "") for key in by_key}
    groups: dict[str, list[str]] = {}
    for key, found in by_key.items():
        while singular[key]:  # the plural of a plural; no end is that of its own singular
            key = singular[key]
        groups.setdefault(key, []).extend(found)
    return sorted(sorted(group) for group in groups.values() if len(group) > 1)


def _singulars(key: str) -> list[str]:
    """What a word may be the plural of."""
    found = []
    for length in range(min(len(key), _LONGEST_END), 0, -1):
        stem, end = key[:-length], key[-length:]
        if len(stem) >= _STEMS.get(end, _STEM):
            found += [stem + other for other in _PLURALS.get(end, ())]
    if key.endswith("ss"):
        found.remove(key[:-1])
    return [one for one in found if len(one) >= _SHORTEST and one[-1].isalpha()]
