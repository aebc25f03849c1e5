"""Labels that are spelled alike, and words for a missing one, in several languages and scripts."""

from __future__ import annotations

import pytest
from strata_labels.sources import is_placeholder, spelled_alike


@pytest.mark.parametrize(
    "names",
    [
        ["lake", "la\u2060ke", "lake\ufe0f", "lake\u3164", "lake\u2800"],
        ["Łódź", "Lodz"],
        ["Øresund", "Oresund"],
        ["Izmir", "İzmir", "ızmir"],
        ["كتاب", "كِتَاب", "كتـاب"],
        ["שלום", "שָׁלוֹם"],
        ["St Paul's", "St Paul\u2019s"],
        ["leaf", "leaves"],
        ["cactus", "cacti"],
        ["woman", "women"],
        ["Kirche", "Kirchen"],
        ["château", "châteaux"],
        ["cheval", "chevaux"],
        ["actriz", "actrices"],
        ["coração", "corações"],
        ["city", "cities"],
        ["собака", "собаки"],
        ["храм", "храмы"],
        ["άνθρωπος", "άνθρωποι"],
    ],
)
def test_one_class_spelled_in_two_ways(names: list[str]) -> None:
    assert spelled_alike([*names, "tea"]) == [sorted(names)]


@pytest.mark.parametrize(
    "names",
    [
        ["か", "が"],
        ["tow", "tower"],
        ["kit", "kite"],
        ["glas", "glass"],
        ["1-2", "12"],
        # Ends of plurals behind few letters.
        ["tram", "trans"],
        ["Raman", "Ramen"],
        ["garde", "garden"],
        ["mai", "maus"],
        ["Tai", "Taus"],
        ["rel", "reis"],
        ["Dal", "Dais"],
        ["faz", "faces"],
        ["café", "caves"],
    ],
)
def test_two_classes(names: list[str]) -> None:
    assert spelled_alike(names) == []


@pytest.mark.parametrize(
    "text",
    ["−", "-", "--", "?", ".", "…", "-1", "−1.0", "<NA>", "#REF!", "#NAME?", "#WERT!",
     "No data", "неизвестно", "не известно", "不明", "미상", "desconocida", "άγνωστο", "\u3164"],
)  # fmt: skip
def test_words_and_signs_for_a_missing_label(text: str) -> None:
    assert is_placeholder(text)


@pytest.mark.parametrize(
    "text",
    ["+", "=", "!", ":", "~", "|", "^", ",", "1", "-2", "#1!a", "#1!", "#A?", "C#", "%", "空", "no",
     "other", "Nara", "なし", "indeterminate"],
)  # fmt: skip
def test_labels(text: str) -> None:
    assert not is_placeholder(text)
