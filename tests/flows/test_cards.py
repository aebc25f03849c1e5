"""The cards in `data_cards/` belong to the inputs they name."""

from __future__ import annotations

import re
from pathlib import Path

from flows.cards import CARDS, SAMPLE, TREE, sample_settings
from pipeline.build import Workspace
from pipeline.files import sha256_of


def test_the_card_was_rendered_from_the_inputs_of_now(tmp_path: Path) -> None:
    card = (CARDS / f"{TREE}.md").read_text(encoding="utf-8")
    named = dict(re.findall(r"^\| (\S+) \| `([0-9a-f]{64})` \|$", card, re.MULTILINE))
    hierarchy = sample_settings(Workspace(tmp_path)).hierarchy
    assets = [hierarchy.vocabulary, hierarchy.classes, hierarchy.outside, hierarchy.lexicon]
    files = [*SAMPLE.glob("*.csv"), SAMPLE / "entities.jsonl", *assets, hierarchy.decisions]
    now = {path.name: sha256_of(path) for path in files}
    assert named == now, "run `make cards`"


def test_the_card_shows_its_picture_and_no_machine(tmp_path: Path) -> None:
    card = (CARDS / f"{TREE}.md").read_text(encoding="utf-8")
    picture = re.search(r"!\[[^]]*\]\(([^)]+)\)", card)
    assert picture and (CARDS / picture[1]).stat().st_size > 10_000
    assert str(Path.home()) not in card
