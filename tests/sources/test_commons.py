"""Addresses of Commons categories are read into titles, names and qualifiers."""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strata_labels.sources.commons import parse_address, split_title

BASE = "http://commons.wikimedia.org/wiki/Category:"

TITLES = st.text(
    st.characters(
        blacklist_categories=("Cs", "Cc", "Cf", "Zl", "Zp", "Zs"),
        blacklist_characters="#<>[]|{}_\ufffd",
    )
    | st.sampled_from(" (),/&?%:'\"é"),
    min_size=1,
    max_size=30,
)


def address_of(title):
    """The address of the category `title`, in the form GLDv2 publishes."""
    return BASE + quote(title.replace(" ", "_"), safe="/:,;()!*@$'~")


def canonical(title):
    title = " ".join(unicodedata.normalize("NFC", title).split())
    assume(title and "%" not in title[:-2])
    first = title[0].title()
    return (first if len(first) == 1 else title[0]) + title[1:]


@given(TITLES)
def test_a_title_survives_its_address(title):
    title = canonical(title)
    assert parse_address(address_of(title)).title == title


@given(TITLES)
def test_an_address_written_twice_or_decomposed_is_the_same(title):
    title = canonical(title)
    decomposed = unicodedata.normalize("NFD", title).replace(" ", "_")
    assert parse_address(BASE + quote(quote(title))).title == title
    assert parse_address(BASE + quote(decomposed)).title == title


@given(TITLES)
def test_a_split_loses_no_letter_and_leaves_a_name(title):
    title = canonical(title)
    name, qualifier = split_title(title)
    assert title.startswith(name)
    assert name.strip() or not title.strip(" ,")
    letters = [c for c in title if c.isalnum()]
    assert [c for c in name + qualifier if c.isalnum()] == letters


WAYS = [
    "https://commons.wikimedia.org/wiki/Category:Caf%C3%A9_(Nice)",
    "//commons.wikimedia.org/wiki/Category:Café_(Nice)",
    "commons.m.wikimedia.org/wiki/category:Cafe%CC%81 (Nice)",
    " HTTP://Commons.Wikimedia.org/wiki/Category:_Café__(Nice)_ ",
    BASE + "Caf%25C3%25A9_(Nice)",
    BASE + "Café_(Nice)?uselang=de#mw-subcategories",
    "https://commons.wikimedia.org/wiki/Category%3ACaf%C3%A9_%28Nice%29",
    "https://commons.wikimedia.org/w/index.php?title=Category:Caf%C3%A9_(Nice)&oldid=3",
    "Category:café (Nice)\u200e",
]


@pytest.mark.parametrize("address", WAYS)
def test_ways_to_write_an_address(address):
    name = parse_address(address)
    assert (name.title, name.name, name.qualifier) == ("Café (Nice)", "Café", "Nice")


NOT = {
    "": "not an address on",
    "Villa": "not an address on",
    "http://en.wikipedia.org/wiki/Category:Villa": "not an address on",
    "ftp://commons.wikimedia.org/wiki/Category:Villa": "not an address on",
    "http://[/wiki/Category:Villa": "not an address",
    "http://commons.wikimedia.org/wiki/File:Villa.jpg": "no category",
    "http://commons.wikimedia.org/wiki/Villa": "no category",
    "http://commons.wikimedia.org/Category:Villa": "not the address of a page",
    BASE: "no name",
    BASE + "_": "no name",
    BASE + "%E9t%E9": "not UTF-8",
    BASE + "Caf%C3": "not UTF-8",
    BASE + "A%5BB": "no title may hold",
    BASE + "Caf\ufffd": "no title may hold",
}


@pytest.mark.parametrize("address", NOT)
def test_what_is_no_category_is_refused_with_the_reason(address):
    with pytest.raises(ValueError, match=NOT[address]):
        parse_address(address)


SPLITS = {
    "Villa Masséna (Nice)": ("Villa Masséna", "Nice"),
    "The Dorchester, London": ("The Dorchester", "London"),
    "Schloss Nymphenburg, Bayern": ("Schloss Nymphenburg", "Bayern"),
    "Castle (ruins)": ("Castle", "ruins"),
    "Vasa (ship, 1627)": ("Vasa", "ship, 1627"),
    "Plaza Mayor, Trinidad, Cuba": ("Plaza Mayor", "Trinidad, Cuba"),
    "St. Josef (Holz (Heusweiler))": ("St. Josef", "Holz (Heusweiler)"),
    "National Theatre (Budapest) (2000-)": ("National Theatre", "Budapest, 2000-"),
    "Cable Beach, Nassau (Bahamas)": ("Cable Beach", "Nassau, Bahamas"),
    "Our Lady, Queen of Heaven Church (Oreana, Idaho)": (
        "Our Lady, Queen of Heaven Church",
        "Oreana, Idaho",
    ),
    "Hash, Marihuana & Hemp Museum": ("Hash, Marihuana & Hemp Museum", ""),
    "USS Joseph P. Kennedy, Jr. (DD-850)": ("USS Joseph P. Kennedy, Jr.", "DD-850"),
    "Gorky St., 5 (Simferopol)": ("Gorky St., 5", "Simferopol"),
    "National Aquarium in Washington, D.C.": ("National Aquarium in Washington, D.C.", ""),
    "Cathedral (Monreale) - Mosaics": ("Cathedral (Monreale) - Mosaics", ""),
    "Markthalle IX (Berlin), Eisenbahnhalle": ("Markthalle IX (Berlin), Eisenbahnhalle", ""),
    "Mechelen, Church of Our Lady across the river Dijle": (
        "Mechelen, Church of Our Lady across the river Dijle",
        "",
    ),
    "中山堂（台北）": ("中山堂", "台北"),
    "(Nice)": ("(Nice)", ""),
    "Nice)": ("Nice)", ""),
    "Villa (Nice": ("Villa (Nice", ""),
    "Villa ()": ("Villa", ""),
}


@pytest.mark.parametrize("title", SPLITS)
def test_qualifiers(title):
    assert split_title(title) == SPLITS[title]


def test_all_real_addresses_are_read_and_written_back(shared):
    path = shared / "gldv2" / "train_label_to_hierarchical.sample.csv"
    addresses = pd.read_csv(path, dtype=str, keep_default_na=False)["category"]
    names = [parse_address(address) for address in addresses]
    assert [address_of(name.title) for name in names] == list(addresses)
    assert all(name.name for name in names)
    assert 1300 < sum(name.qualifier != "" for name in names) < 1600


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("Who's_Afraid?", "Who's Afraid?"),
        ("Quo_vadis?_(Rome)", "Quo vadis? (Rome)"),
        ("St_John&#39;s", "St John's"),
        ("Marks_&amp;_Sons?uselang=de", "Marks & Sons"),
        ("A&B;_C", "A&B; C"),
        ("Really?#Gallery", "Really?"),
    ],
)
def test_marks_that_should_have_been_escaped_belong_to_the_title(page, title):
    assert parse_address(BASE + page).title == title
