"""The tree is edited at a desk and in a real browser: preview, record, undo, refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from strata_labels.build import Workspace
from strata_labels.cli.review import review_setup
from strata_labels.review import append, read_ledger
from strata_labels.review.page import Desk
from strata_labels.review.page.answers import Refused
from strata_labels.review.page.leases import Leases
from strata_labels.review.page.review import Review, Stale
from strata_labels.review.page.serve import Served
from strata_labels.review.page.tree_page import preview_edit, record_edit, shown_node

Ledger = Callable[[], list[tuple[str, str, str]]]


def names(nodes: list[dict[str, Any]]) -> list[str]:
    return [node["name"] for node in nodes]


def test_every_edit_is_recorded_and_shown_and_taken_back(
    desk: Callable[..., Desk], ledger: Ledger, workspace: Path
) -> None:
    ann = desk()
    top = shown_node(ann, "")
    assert {"human-made", "natural"} < {*names(top["below"])} and top["node"] is None
    before = shown_node(ann, "3/human-made")
    items = [one["node"] for one in shown_node(ann, "1/Q2977")["items"]]
    edits = [
        ("3/human-made", "create", "Towers"),
        ("2/human-made/towers", "describe", "spires, keeps"),
        ("2/human-made/towers", "rename", "Tall ones"),
        ("1/Q2977", "move", "2/human-made/towers"),
        ("2/church", "merge", "2/castle"),
        ("1/Q2977", "split", f"Domes|{items[0]}|{items[1]}"),
    ]
    for node, word, target in edits:
        change = preview_edit(ann, node, word, target)
        assert change["lines"] and (change["items"] > 0) == (word in ("move", "merge", "split"))
        assert record_edit(ann, ann.state, node, word, target, "")
    towers = shown_node(ann, "2/human-made/towers")
    assert towers["node"]["name"] == "Tall ones" and towers["node"]["text"] == "spires, keeps"
    assert names(towers["below"]) == ["cathedral", "Domes"]
    assert [row[1:] for row in ledger()] == [(word, target) for _, word, target in edits]
    assert "2/human-made/towers" in [one["node"] for one in shown_node(ann, "", "tall")["found"]]
    for _ in edits:
        assert ann.undo(ann.state)[0].startswith("Taken back")
    assert shown_node(ann, "3/human-made") == before
    assert ann.undo(ann.state) == ("", "")


def test_what_cannot_be_is_refused_and_nothing_is_written(
    desk: Callable[..., Desk], workspace: Path
) -> None:
    ann = desk()
    for node, word, target, part in [
        ("1/Q2977", "create", "x", "only items are below"),
        ("3/natural", "create", "LAKE", "another node of the level"),
        ("3/natural", "create", "", "needs a target"),
        ("3/natural", "move", "3/human-made", "no level is above"),
        ("2/lake", "merge", "2/lake", "onto itself"),
        ("2/lake", "split", "Tarn", "without members"),
        ("2/nowhere", "rename", "x", "cannot rename"),
        ("2/lake", "exclude", "", "cannot exclude"),
        ("", "rename", "x", "choose a node"),
    ]:
        for act in (preview_edit, lambda *a: record_edit(a[0], a[0].state, *a[1:], "")):
            with pytest.raises(Refused) as caught:
                act(ann, node, word, target)
            assert part in str(caught.value).casefold() + str(caught.value), (node, word)
    with pytest.raises(Stale):
        record_edit(ann, "another state", "2/lake", "rename", "x", "")
    with pytest.raises(Refused, match="blind"):
        preview_edit(desk(blind=True), "2/lake", "rename", "x")
    assert read_ledger(workspace / "decisions.csv").decisions.empty


def test_nothing_is_taken_back_that_would_give_two_nodes_one_name(
    desk: Callable[..., Desk], ledger: Ledger
) -> None:
    ann = desk()
    for node, word, target in (
        ("2/lake", "rename", "water"), ("3/natural", "create", "Lake"),
        ("2/church", "merge", "2/castle"), ("3/natural", "create", "Church"),
    ):  # fmt: skip
        record_edit(ann, ann.state, node, word, target, "")
    written = ledger()
    first, third = ann.answers()["answers"][3], ann.answers()["answers"][1]
    for answer in (first, third):
        with pytest.raises(Refused, match="has this name"):
            ann.withdraw(ann.state, answer["time"], answer["decision"], answer["target_id"])
    assert ledger() == written
    last = ann.answers()["answers"][0]
    ann.withdraw(ann.state, last["time"], last["decision"], last["target_id"])
    ann.withdraw(ann.state, third["time"], third["decision"], third["target_id"])
    assert "2/church" in [one["node"] for one in shown_node(ann, "3/human-made")["below"]]


def test_another_reviewers_edit_is_a_dispute_before_it_is_recorded(
    desk: Callable[..., Desk], workspace: Path
) -> None:
    ann, ben = desk("ann"), desk("ben")
    record_edit(ann, ann.state, "2/lake", "rename", "water", "")
    assert "dispute" in preview_edit(ben, "2/lake", "rename", "pond")["lines"][0]
    # What was sent before the other's answer was seen is not recorded.
    old = ben.state
    append(workspace / "decisions.csv", _line("2/castle", "rename", "forts"))
    with pytest.raises(Stale):
        record_edit(ben, old, "2/lake", "rename", "pond", "")


def test_a_curator_edits_while_another_decides(workspace: Path, ledger: Ledger) -> None:
    review, leases = Review(review_setup(Workspace(workspace))), Leases()
    ann, ben = (Desk(review, name, leases=leases) for name in ("ann", "ben"))
    ann.show()
    shown = ben.show()
    with pytest.raises(Stale):  # another curator's key
        record_edit(ann, shown["state"], "2/church", "rename", "kirk", "")
    for node, word, target in (
        ("3/human-made", "create", "Towers"),
        ("2/church", "rename", "kirk"),
    ):
        record_edit(ann, ann.show()["state"], node, word, target, "")
    row = shown["row"]["row_id"]
    ben.decide(shown["state"], row, "unsure")  # what ben has on the screen stands
    for _ in range(2):
        assert ann.undo(ann.show()["state"])[0].startswith("Taken back")
    below = names(shown_node(ben, "3/human-made")["below"])
    assert "church" in below and "Towers" not in below
    assert [line[1] for line in ledger()] == ["create", "rename", "unsure", "withdraw", "withdraw"]
    assert row in review.table.at and ben.show()["progress"]["unsure"] == 1


def _line(node: str, word: str, target: str) -> pd.DataFrame:
    own = {"subject": node, "level": "3", "decision": word, "target": target, "reviewer": "cy"}
    return pd.DataFrame([own])


def test_the_tree_is_edited_by_keyboard_in_a_browser_and_undone(
    browser: Any, desk: Callable[..., Desk], serve: Callable[[Desk], Served], ledger: Ledger
) -> None:
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(serve(desk()).address)
    page.wait_for_selector("#name")

    def shown(text: str) -> None:
        page.wait_for_function(
            "text => !busy && document.querySelector('#tree-change').textContent.includes(text)",
            arg=text,
        )

    # The class of the row that is asked first gets another name.
    row = page.evaluate("now.row")
    assert not row["is_item"]
    page.keyboard.press("e")
    page.wait_for_selector("#tree[open] #tree-form:not([hidden])")
    assert page.evaluate("document.activeElement.id") == "tree-text"
    page.fill("#tree-text", "minster")
    page.keyboard.press("Enter")
    shown("would be called minster")
    assert page.evaluate("document.activeElement.id") == "tree-record"
    page.keyboard.press("Enter")
    shown("Renamed")
    assert page.text_content("#name") == "minster"

    # A node is found, a new one made below it, and another one moved there.
    page.click("#tree-path button >> nth=0")
    page.fill("#tree-query", "human")
    page.click("#tree-below button:has(strong:text-is('human-made'))")
    page.wait_for_function("() => !busy && node && node.name === 'human-made'")
    page.select_option("#tree-word", "create")
    page.fill("#tree-text", "Towers")
    page.keyboard.press("Enter")
    shown("Towers (hierarchical label) would be new")
    page.keyboard.press("Enter")
    shown("Created Towers")
    assert "Towers" in page.text_content("#tree-below")
    page.click("#tree-below button:has(strong:text-is('church'))")
    page.wait_for_function("() => !busy && node && node.name === 'church'")
    page.select_option("#tree-word", "merge")
    page.fill("#tree-text", "tow")
    page.wait_for_function("() => document.querySelector('#tree-target').options.length === 1")
    page.keyboard.press("Enter")
    shown("items would change")
    page.click("#tree-record")
    shown("Merged church into Towers")
    assert [row[1:] for row in ledger()] == [
        ("rename", "minster"), ("create", "Towers"), ("merge", "2/human-made/towers"),
    ]  # fmt: skip
    for _ in range(3):
        page.click("#tree-undo")
        shown("Taken back")
        page.evaluate("document.querySelector('#tree-change').replaceChildren()")
    page.keyboard.press("Escape")
    page.wait_for_function("() => !document.querySelector('#tree').open")
    assert page.text_content("#name") == row["name"]
    assert len(ledger()) == 6 and not errors
    page.close()
