"""The cards in `data_cards/` were rendered from the inputs that they name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from strata_labels.build import Workspace
from strata_labels.files import sha256_of
from strata_labels.sources import SOURCES

from benchmarks.cards import ALL, CARDS, Card

every_card = pytest.mark.parametrize("card", ALL, ids=lambda card: card.tree)


def text_of(card: Card) -> str:
    return (CARDS / f"{card.tree}.md").read_text(encoding="utf-8")


@every_card
def test_the_card_was_rendered_from_the_inputs_of_now(card: Card, tmp_path: Path) -> None:
    rows = re.findall(r"^\| (\S+) \| [^|]+ \| `([0-9a-f]{64})` \|$", text_of(card), re.MULTILINE)
    named = dict(rows)
    metadata = card.metadata(tmp_path)
    settings = card.settings(Workspace(tmp_path), metadata or tmp_path)
    tree = settings.hierarchy
    files = [tree.file, tree.vocabulary, tree.classes, tree.outside, tree.lexicon, tree.names]
    files += [tree.decisions, *([Path(settings.entities)] if settings.entities else [])]
    if metadata:
        files += SOURCES[tree.source].files(metadata)
    now = {path.name: sha256_of(path) for path in files if path.is_file()}
    if metadata is None:  # the data set's own files are not here: the tree's are
        named = {name: digest for name, digest in named.items() if name in now}
    assert named == now, "run `make cards`"


@every_card
def test_the_card_shows_its_picture_and_no_machine(card: Card) -> None:
    picture = re.search(r"!\[[^]]*\]\(([^)]+)\)", text_of(card))
    assert picture and (CARDS / picture[1]).stat().st_size > 10_000
    assert str(Path.home()) not in text_of(card)
    assert card.note in text_of(card)


def test_a_drawn_set_is_called_synthetic() -> None:
    text = next(text_of(card) for card in ALL if card.tree == "sop-h")
    assert "**synthetic**" in text.split("## Composition")[0]
