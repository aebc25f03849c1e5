"""Picture, card and summary, and the numbers in all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from small_world import LEVELS, VOCABULARY, decisions, item, items, proposals
from strata_labels.review import replay
from strata_labels.show import (
    draw_tree,
    label_issue_numbers,
    numbers_of,
    published_agreement,
    render_card,
    summary_lines,
)
from strata_labels.tree import tree_tables

NASTY = "a|b <b>bold</b> `code` $x_{$\nnew *line* [x](y)"


def built(*rows: tuple, vocabulary: pd.DataFrame = VOCABULARY) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Nodes and assignments of the small world after these decisions."""
    resolution = replay(decisions(*rows), proposals(), vocabulary)
    return tree_tables(items(), resolution.rows, resolution.tree)[:2]


def numbers(nodes: pd.DataFrame, assignments: pd.DataFrame) -> dict[str, Any]:
    return numbers_of(items(), nodes, assignments, tuple(LEVELS), 3)


#: What a build counts besides, where there is nothing to report.
NOTHING_ELSE: dict[str, Any] = {
    "decisions": {"effective": 0, "stale": 0, "gone": 0, "disputed": 0},
    "lost_nodes": 0,
    "unread_images": {},
    "shared_images": 0,
    "image_issues": {"images": 0, "items": 0, "like_other_node": 0},
}


def test_people_and_machine_are_counted_apart() -> None:
    plain = numbers(*built())
    assert plain["accepted"] == plain["accepted_automatically"] == 2
    assert plain["decided_by_people"] == 0
    found = numbers(*built((item(2), 1, "keep", ""), (item(4), 1, "move", "lake")))
    assert found["accepted"] == 4
    assert (found["accepted_automatically"], found["decided_by_people"]) == (2, 2)
    lines = "\n".join(summary_lines("T", found, None))
    assert "accepted   2 automatically (25.0 %)" in lines
    assert "decided    2 by people (25.0 %)" in lines


def test_nodes_of_one_name_are_counted_apart() -> None:
    nodes, assignments = built()
    before = numbers(nodes, assignments)["levels"][2]
    assert before["largest"][0] == ["church", 3]
    at = assignments.index[assignments["level2_name"] == "church"][0]
    assignments.loc[at, "level2_id"] = "2/another church"
    after = numbers(nodes, assignments)["levels"][2]
    assert after["largest"][0] == ["church", 2] and ["church", 1] in after["smallest"]
    assert after["items"] == before["items"]


def test_a_label_that_stops_early_is_a_label() -> None:
    stops = [(item(2), 1, "stop", "church"), (item(3), 1, "stop", "natural")]
    found = numbers(*built(*stops))
    assert found["labelled"] == 6 == numbers(*built())["labelled"]
    assert found["stopped"] == {"2": 1, "3": 1}
    # Two have no label: what leads to no place, and what nothing is known of.
    assert found["set_aside"] == {"no_evidence": 1, "no_place": 1}
    assert found["levels"][1]["items"] == 4 and found["levels"][3]["items"] == 6
    lines = "\n".join(summary_lines("T", found, None))
    wanted = "1 only as far as hierarchical_label, 1 only as far as natural_or_human_made"
    assert f"labelled   6 (75.0 %), of these {wanted}" in lines


def test_a_summary_of_an_earlier_version_is_shown() -> None:
    found = numbers(*built())
    for key in ("accepted_automatically", "decided_by_people", "stopped"):
        del found[key]
    assert "  accepted   2 (25.0 %)" in summary_lines("T", found, None)


def test_published_agreement_counts_neither_adopted_labels_nor_decisions_of_people() -> None:
    _, assignments = built((item(4), 1, "move", "lake"))
    assignments["origin"] = assignments["origin"].mask(
        assignments["item_id"] == item(5), "published"
    )
    named = [(1, "church"), (2, "castle / fort"), (4, "lake"), (5, "mountain"), (7, "lake")]
    labels = pd.DataFrame(
        {
            "item_id": [item(n) for n, _ in named],
            "level": 2,
            "node": [name for _, name in named],
            "origin": "published",
        }
    )
    other = labels.assign(node="palace", origin="known")
    found = published_agreement(assignments, pd.concat([labels, other]), 2)
    assert found == {"compared": 4, "agreed": 2, "accepted": 1, "accepted_agreed": 1}


#: Two items are opened: one for its label of level 1, one for those of both levels.
ISSUES = pd.DataFrame(
    [
        ("t/a", 1, "1/lake", "1/sea", 0.2, 0.9, True),
        ("t/a", 2, "2/water", "2/land", 0.9, 0.1, False),
        ("t/b", 1, "1/lake", "1/hut", 0.1, 0.6, True),
        ("t/b", 2, "2/water", "2/land", 0.1, 0.8, True),
        ("t/c", 1, "1/hut", "1/lake", 0.9, 0.0, False),
    ],
    columns=["item_id", "level", "given", "suggestion", "score", "wrong", "opened"],
)


def test_label_issues_are_counted_by_node() -> None:
    found = label_issue_numbers(ISSUES, {"1/lake": "Lake"})
    assert found == {"opened": 2, "expected_wrong": 1.7, "largest": [["Lake", 2]]}
    nodes, assignments = built()
    shown = numbers(nodes, assignments) | NOTHING_ELSE | {"label_issues": found}
    line = "  questioned 2 given labels; by estimate 1.7 of them are wrong"
    assert line in summary_lines("T", shown, None)
    none = label_issue_numbers(ISSUES.iloc[4:], {})
    assert none == {"opened": 0, "expected_wrong": 0.0, "largest": []}
    shown = numbers(nodes, assignments) | NOTHING_ELSE | {"label_issues": none}
    assert "questioned" not in "".join(summary_lines("T", shown, None))


def test_what_is_not_applied_or_not_read_is_told(tmp_path: Path) -> None:
    told = facts()
    told["numbers"] |= {
        "decisions": {"effective": 5, "stale": 2, "gone": 0, "disputed": 1},
        "lost_nodes": 1,
        "unread_images": {"no such file": 3, "damaged": 1200},
        "image_issues": {"images": 1500, "items": 12, "like_other_node": 7},
    }
    lines = "\n".join(summary_lines("T", told["numbers"], None))
    assert "unapplied  3 decisions: 2 stale, 1 disputed" in lines
    assert "lost       1 nodes that decisions name" in lines
    assert "images     1,203 not read: 3 no such file, 1,200 damaged" in lines
    render_card(tmp_path / "card.md", told)
    card = (tmp_path / "card.md").read_text()
    assert "3 decisions in the ledger are not applied: 2 were made on evidence" in card
    assert "images     1,500 of 12 items do not look like their item, 7 of them more" in lines
    assert "1,500 images of 12 items do not look like the other images of their item" in card
    assert "## Images that were not read" in card and "| damaged | 1,200 |" in card


def facts(**more: Any) -> dict[str, Any]:
    nodes, assignments = built((item(3), 1, "stop", "natural"))
    return {
        "title": "T",
        "total": 8,
        "numbers": {
            **numbers(nodes, assignments),
            **NOTHING_ELSE,
            "label_issues": label_issue_numbers(ISSUES, {}),
        },
        "agreement": None,
        "reviewers": [],
        "picture": "tree.png",
        "encoders": ["none"],
        "versions": {"strata": "0"},
        "inputs": [
            {"name": "decisions.csv", "given_as": "tree t", "sha256": "a" * 64},
            {"name": "decisions.csv", "given_as": "ledger of this workspace", "sha256": "b" * 64},
        ],
        "sources": [{"name": "S", "licence": "CC0", "origin": "http://s"}],
        "limits": [],
        "licence": "cc0-1.0",
        "citations": ["S. Author: A Tree. 2020."],
        "tags": [],
        "published": False,
        "validation": None,
        "options": {},
        **more,
    }


def card(path: Path, **more: Any) -> str:
    render_card(path, facts(**more))
    return path.read_text(encoding="utf-8")


def test_the_card_tells_who_decided_and_what_stops_early(tmp_path: Path) -> None:
    text = card(tmp_path / "card.md")
    assert "Of 6 labels, 2 (33.3 %) were accepted automatically and 1 (16.7 %) decided by" in text
    assert "Labelled only as far as natural or human made: 1." in text
    assert "| 1/lake | 2 |" in text
    for digest in ("a" * 64, "b" * 64):  # two files of one name
        assert digest in text


def test_names_on_the_card_stay_in_their_cells(tmp_path: Path) -> None:
    given = facts()
    given["numbers"]["levels"][2]["largest"] = [[NASTY, 2]]
    text = card(
        tmp_path / "card.md",
        numbers=given["numbers"],
        title=NASTY,
        tags=["a: b"],
        sources=[{"name": NASTY, "licence": NASTY, "origin": "http://s"}],
    )
    front = text.split("---")[1]
    assert 'pretty_name: "a|b <b>bold' in front and "\\nnew *line*" in front
    assert '  - "a: b"' in front
    tables = [line for line in text.splitlines() if line.startswith("|")]
    columns = {line.replace(r"\|", "").count("|") for line in tables}
    assert columns <= {3, 4, 8}
    body = text.split("---", 2)[2]
    assert "<b>" not in body and "`code`" not in body.replace(r"\`", "")
    shown = "a\\|b &lt;b>bold&lt;/b> \\`code\\` $x\\_{$ new \\*line\\* \\[x\\](y)"
    assert shown in body


@pytest.mark.parametrize("num", [1, 400])
def test_a_picture_of_any_size_and_any_name(tmp_path: Path, num: int) -> None:
    names = [NASTY, *(f"寺 {n}" for n in range(1, num))]
    assignments = pd.DataFrame(
        {
            "item_id": [f"t/{n}" for n in range(num)],
            "status": "labelled",
            "level1_id": [f"1/{n}" for n in range(num)],
            "level1_name": names,
            "accepted": [n % 2 == 0 for n in range(num)],
        }
    )
    path = tmp_path / "tree.png"
    draw_tree(path, assignments, ("item", "kind_of $thing"), NASTY)
    first = path.read_bytes()
    with Image.open(path) as picture:
        assert picture.height < 4000
    draw_tree(path, assignments, ("item", "kind_of $thing"), NASTY)
    assert path.read_bytes() == first


def test_a_picture_shows_eight_levels_at_most(tmp_path: Path) -> None:
    columns = {
        f"level{n}_{part}": [f"{n} {k >> n}" for k in range(20)]
        for n in range(1, 13)
        for part in ("id", "name")
    }
    table = pd.DataFrame({"status": "labelled", "accepted": [True] * 20, **columns})
    levels = tuple(f"rank {n}" for n in range(13))
    draw_tree(tmp_path / "all.png", table, levels, "T")
    said = "T (highest levels not shown: 4)"
    draw_tree(tmp_path / "eight.png", table, levels[:9], said)
    assert (tmp_path / "all.png").read_bytes() == (tmp_path / "eight.png").read_bytes()


def test_a_picture_keeps_nodes_of_one_name_apart_below_a_level_that_is_not_shown(
    tmp_path: Path,
) -> None:
    below = {f"level{n}_{part}": [f"{n} {k}" for k in [*range(20), *range(20)]]
             for n in range(1, 9) for part in ("id", "name")}  # fmt: skip
    heights = []
    for tops in (["A"] * 40, ["A"] * 20 + ["B"] * 20):
        table = pd.DataFrame({"status": "labelled", "accepted": [True] * 40, **below})
        table["level9_id"] = table["level9_name"] = tops
        draw_tree(tmp_path / "tree.png", table, tuple(f"rank {n}" for n in range(10)), "T")
        heights.append(Image.open(tmp_path / "tree.png").height)
    assert heights[1] > 1.5 * heights[0]


def test_a_picture_of_labels_that_stop_early_and_of_none(tmp_path: Path) -> None:
    _, assignments = built((item(2), 1, "stop", "church"), (item(3), 1, "stop", "natural"))
    draw_tree(tmp_path / "some.png", assignments, tuple(LEVELS), "T")
    none = assignments.assign(status="no_evidence")
    none[[c for c in none if str(c).startswith("level")]] = None
    draw_tree(tmp_path / "none.png", none, tuple(LEVELS), "T")
    items_alone = assignments[["item_id", "status", "accepted"]]
    draw_tree(tmp_path / "one.png", items_alone.assign(status="labelled"), ("item",), "T")
    assert all(path.stat().st_size > 1000 for path in tmp_path.glob("*.png"))
