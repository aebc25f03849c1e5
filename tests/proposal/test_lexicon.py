import pandas as pd
import pytest
from strata_labels.proposal import Lexicon

from tests.proposal.conftest import NODES


def _hits(lexicon: Lexicon, name: str, qualifier: str = "") -> list[tuple[str, str, int]]:
    table = lexicon.match([name], [qualifier])
    return sorted(
        zip([NODES[n] for n in table["node"]], table["kind"], table["place"], strict=True)
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Tower Bridge", [("bridge", "word", 0), ("tower", "word", 1)]),
        ("Tower of London Bridge", [("bridge", "word", 2), ("tower", "word", 0)]),
        ("Eglise Saint-Martin", [("church", "word", 0)]),  # typed without its accents
        ("ÉGLISE", [("church", "word", 0)]),
        ("Königsbrücke", [("bridge", "suffix", 0)]),
        ("Burgtheater", [("castle / fort", "prefix", 0)]),
        ("大浦教会", [("church", "part", 0)]),
        ("St. Mary's Bell Tower", [("tower", "word", 0)]),
        ("Churchill", []),  # a whole word is no part of another
        ("", []),
    ],
)
def test_terms_are_found_where_they_stand(lexicon, name, expected):
    assert _hits(lexicon, name) == expected


def test_a_longer_term_hides_the_shorter_in_it(lexicon):
    assert lexicon.match(["Bell Tower"])["term"].tolist() == ["bell tower"]


def test_qualifier_hits_stand_apart(lexicon):
    assert _hits(lexicon, "Saint Anne", "Tower Hamlets") == [("tower", "word", 3)]


def test_decomposed_accents_are_the_same_letters(lexicon):
    assert _hits(lexicon, "E\u0301glise") == _hits(lexicon, "Église")


def test_a_term_of_two_nodes_is_shared_by_how_common_its_languages_are():
    table = pd.DataFrame(
        {"node": ["bridge", "lake"], "language": ["en", "af"], "term": ["dam", "dam"]}
    )
    hits = Lexicon(table, NODES).match(["Dam"]).set_index("language")
    assert hits["share"].sum() == pytest.approx(1.0)
    assert hits.loc["en", "share"] > hits.loc["af", "share"]


def test_short_endings_need_their_accents_and_function_words_are_no_terms():
    table = pd.DataFrame({"node": ["lake", "bridge"], "term": ["-tér", "la"]})
    lexicon = Lexicon(table, NODES)
    assert len(lexicon.match(["Clearwater", "Casa la Torre"])) == 0
    assert len(lexicon.match(["Hősöktér"])) == 1
