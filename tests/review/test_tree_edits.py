"""Edits of the tree: nodes created, renamed, described, merged, moved and split by decisions."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import LEVELS, TIME, VOCABULARY, decisions, item, items, proposals
from strata_labels.errors import InputError
from strata_labels.review import LedgerWriter, read_ledger, read_sheet, replay, write_sheet
from strata_labels.review.apply import Resolution
from strata_labels.review.tree_edits import change_lines, tree_change
from strata_labels.tree import LabelTree, tree_tables

LATER = "2026-02-01T00:00:00Z"


def resolve(*rows: tuple) -> Resolution:
    return replay(decisions(*rows), proposals(), VOCABULARY)


def tables(resolution: Resolution) -> tuple[pd.DataFrame, pd.DataFrame]:
    return tree_tables(items(), resolution.rows, resolution.tree, made=resolution.made)[:2]


def path(resolution: Resolution, number: int) -> list[str]:
    found = tables(resolution)[1].set_index("item_id").loc[item(number)]
    return [found[f"level{n}_name"] for n in (1, 2, 3)]


def refused(*rows: tuple) -> list[str]:
    with pytest.raises(InputError) as caught:
        resolve(*rows)
    return [str(problem) for problem in caught.value.problems]


def test_a_created_node_is_below_its_subject_and_can_be_decided_on():
    rows = [
        (item(4), 1, "move", "Tower"), (item(7), 1, "move", "Watch tower"),
        ("1/human-made/tower/watch-tower", 2, "describe", "spire, keep"),
        ("2/human-made/tower", 3, "create", "Watch tower"), ("3/human-made", 4, "create", "Tower"),
        ("2/human-made/tower", 3, "rename", "Towers"),
    ]  # fmt: skip
    for order in (rows, rows[::-1]):
        found = resolve(*order)
        assert found.made == ["1/human-made/tower/watch-tower", "2/human-made/tower"]
        assert path(found, 7) == ["Watch tower", "Towers", "human-made"]
        # An item that is moved to a node further up takes the child of its name.
        assert path(found, 4) == ["Towers", "Towers", "human-made"]
        assert found.text == {"1/human-made/tower/watch-tower": "spire, keep"}


def test_a_created_node_without_items_is_in_the_table_until_it_is_taken_back():
    create = ("3/natural", 4, "create", "Cave")
    found = resolve(create)
    nodes, _ = tables(found)
    assert nodes[nodes.node_id == "2/natural/cave"][["name", "parent_id"]].values.tolist() == [
        ["Cave", "3/natural"]
    ]
    back = resolve(create, ("3/natural", 4, "withdraw", "", "ann", LATER))
    assert back.made == [] and "2/natural/cave" not in back.tree.level
    pd.testing.assert_frame_equal(tables(back)[0], tables(resolve())[0])
    # What was moved there stays, as with a split.
    held = resolve(
        create, ("3/natural", 4, "withdraw", "", "ann", LATER), (item(4), 1, "move", "Cave")
    )
    assert path(held, 4) == ["Cave", "Cave", "natural"] and held.made == []


def test_create_takes_members_and_goes_where_its_parent_goes():
    found = resolve(
        ("3/natural", 4, "create", f"Peaks|mountain|1/Q8502|{item(4)}"),
        ("2/mountain", 3, "merge", "lake"),
    )
    assert found.tree.parent["1/Q8502"] == "2/natural/peaks"
    assert path(found, 4)[1:] == ["Peaks", "natural"]
    moved = resolve(("2/lake", 3, "create", "Tarn"), ("2/lake", 3, "move", "human-made"))
    assert moved.tree.path("1/lake/tarn") == ["1/lake/tarn", "2/lake", "3/human-made"]
    merged = resolve(("2/lake", 3, "create", "Tarn"), ("2/lake", 3, "merge", "mountain"))
    assert merged.tree.path("1/lake/tarn") == ["1/lake/tarn", "2/mountain", "3/natural"]


def test_a_node_is_moved_with_all_below_it():
    found = resolve(("2/church", 3, "move", "natural"))
    assert path(found, 2) == ["cathedral", "church", "natural"]
    assert "no level is above" in refused(("3/natural", 4, "move", "human-made"))[0]


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        ([("1/Q2977", 2, "create", "x")], "only items are below a node of level 1"),
        ([(item(4), 1, "create", "x")], "only nodes can have this decision"),
        ([(item(4), 1, "describe", "x")], "only nodes can have this decision"),
        ([("3/natural", 4, "create", "")], "create needs a target"),
        ([("3/natural", 4, "create", " |lake")], "no name for the new node"),
        ([("3/natural", 4, "create", "!?")], "no name for the new node"),
        ([("3/natural", 4, "create", "Cave|pagoda")], "unknown node: 'pagoda'"),
        ([("3/natural", 4, "create", "Cave|human-made")], "a node of level 3"),
        ([("3/natural", 4, "create", "LAKE")], "another node of the level, 2/lake"),
        ([("3/natural", 4, "create", "a"), ("3/human-made", 4, "create", "A")], "this name: 'a'"),
        ([("3/natural", 4, "create", "Cave|castle"), ("3/human-made", 4, "create", "Sea|castle")],
         "several new nodes claim it"),
        ([("3/natural", 3, "create", "Cave")], "the wrong level"),
        ([("3/wild", 4, "create", "Cave")], "unknown subject"),
        ([("3/natural", 4, "describe", "")], "describe needs a target"),
    ],
)  # fmt: skip
def test_refused(rows, part):
    assert part in "\n".join(refused(*rows))


def test_all_problems_at_once():
    told = refused(
        ("3/natural", 4, "create", ""), ("2/lake", 3, "merge", "mountain"),
        ("2/mountain", 3, "merge", "lake"), ("1/Q2977", 2, "create", "x"),
        ("2/castle", 3, "rename", "church"), ("2/nowhere", 3, "describe", "x"),
    )  # fmt: skip
    assert len(told) == 5


def test_reviewers_who_create_the_same_agree_and_one_who_writes_it_otherwise_does_not():
    rows = [("3/natural", 4, "create", "Cave"), ("3/natural", 4, "create", "Cave", "ben")]
    assert resolve(*rows).made == ["2/natural/cave"]
    rows[1] = ("3/natural", 4, "create", "CAVE", "ben")
    found = resolve(*rows)
    assert found.made == [] and len(found.disputed) == 2
    # The same name twice on a level, each right alone.
    rows[1] = ("3/human-made", 4, "create", "cave", "ben")
    assert resolve(*rows).made == [] and len(resolve(*rows).disputed) == 2


def test_a_node_that_a_later_vocabulary_has_is_the_created_one():
    more = pd.DataFrame(
        [("2/natural/cave", 2, "Cave", "3/natural", None)], columns=VOCABULARY.columns
    )
    vocabulary = pd.concat([VOCABULARY, more], ignore_index=True)
    rows = decisions(("3/natural", 4, "create", "Cave"), (item(4), 1, "move", "2/natural/cave"))
    assert path(replay(rows, proposals(), vocabulary), 4)[1:] == ["Cave", "natural"]


def test_created_nodes_are_carried_over_with_their_parent():
    """The node above has another id in the data of now; what was made below it follows."""
    table = VOCABULARY.replace({"3/natural": "3/nature"})
    seen = "e2:0123456789abcdef"
    rows = [
        ("3/natural", 4, "create", "Cave", "ann", TIME, seen),
        ("2/natural/cave", 3, "create", "Grotto", "ann", TIME, seen),
        ("3/natural", 4, "same", "3/nature", "ann", LATER),
        (item(4), 1, "move", "1/natural/cave/grotto"),
    ]
    found = replay(decisions(*rows), proposals().replace({"3/natural": "3/nature"}), table)
    assert found.made == ["1/nature/cave/grotto", "2/nature/cave"]
    assert path(found, 4) == ["Grotto", "Cave", "natural"]
    # Until somebody says so, the node is lost and what needs it waits; nothing is refused.
    lost = replay(
        decisions(*rows[:2], rows[3]), proposals().replace({"3/natural": "3/nature"}), table
    )
    assert "3/natural" in lost.lost and lost.made == []
    assert path(lost, 4)[0] == "castle"


# --- in a sheet ------------------------------------------------------------------------------


@pytest.fixture
def sheet(tmp_path):
    """A function that applies rows `row_id, decision, target` to a ledger, as `strata apply`."""
    ledger = tmp_path / "decisions.csv"

    def apply(*rows: tuple[str, str, str], reviewer: str = "ann") -> Resolution:
        frame = pd.DataFrame(rows, columns=["row_id", "decision", "target"])
        path = tmp_path / "sheet.xlsx"
        frame.to_excel(path, index=False)
        before = replay(read_ledger(ledger).decisions, proposals(), VOCABULARY)
        found = read_sheet(path, before, reviewer=reviewer)
        LedgerWriter(ledger).record(found.decisions)
        return replay(read_ledger(ledger).decisions, proposals(), VOCABULARY)

    return apply


def test_a_sheet_creates_a_node_and_uses_it_in_any_order(sheet, tmp_path):
    rows = [
        (f"1:{item(4)}", "move", "Towers"), ("4:3/human-made", "create", "Towers"),
        ("4:3/human-made", "create", "Bridges"), ("4:3/natural", "rename", "nature"),
        ("4:3/natural", "split", "Sky"),
    ]  # fmt: skip
    found = sheet(*rows)
    assert found.made == ["2/human-made/bridges", "2/human-made/towers", "3/natural.sky"]
    assert path(found, 4) == ["Towers", "Towers", "human-made"]
    again = sheet(*rows)
    assert len(again.read) == len(found.read) == 5
    # The node has a row to decide on now, also in the workbook's second sheet.
    assert sheet(("3:2/human-made/towers", "describe", "spires")).text
    write_sheet(tmp_path / "next.xlsx", again, items(), LEVELS)
    tree = pd.read_excel(tmp_path / "next.xlsx", sheet_name="Tree").set_index("row_id")
    assert tree.name["3:2/human-made/bridges"] == "Bridges"


def test_what_cannot_be_meant_any_more_is_told_by_row(sheet):
    sheet(("3:2/church", "merge", "castle / fort"), ("4:3/natural", "create", "Cave"))
    sheet(("4:3/natural", "withdraw", ""))
    with pytest.raises(InputError) as caught:
        sheet(
            ("3:2/church", "rename", "Churches"), ("3:2/castle", "split", "Forts"),
            ("3:2/natural/cave", "describe", "hollow"), (f"1:{item(4)}", "move", "Cave"),
            ("3:2/church", "keep", ""),
        )  # fmt: skip
    told = [(problem.row, problem.what) for problem in caught.value.problems]
    assert told == [
        (2, "the node was merged into another one:"), (3, "a split without members:"),
        (4, "the decision that made the node was taken back:"),
        (5, "the decision that made the node was taken back:"),
    ]  # fmt: skip
    assert sheet(("4:3/natural", "create", "Cave"), (f"1:{item(4)}", "move", "Cave")).made


# --- what an edit would change ---------------------------------------------------------------


def test_what_would_change_is_counted_by_level_and_node():
    before = resolve()
    after = resolve(("2/church", 3, "merge", "castle / fort"), ("3/natural", 4, "create", "Cave"))
    change = tree_change(before, after)
    assert change.items == {1: 0, 2: 3, 3: 0}
    assert change.moves.values.tolist() == [[2, "2/church", "2/castle", 3]]
    assert set(change.nodes.node_id) == {"2/church", "2/natural/cave", "1/Q16970", "1/Q2977"}
    text = change_lines(change, before.tree, after.tree, LEVELS)
    assert text[:4] == [
        "hierarchical label: 3 items would change",
        "3 from church › human-made to castle / fort › human-made",
        "Cave (hierarchical label) would be new, under natural",
        "church (hierarchical label) would not be there any more",
    ]
    same = tree_change(before, before)
    assert change_lines(same, before.tree, before.tree, LEVELS) == [
        "No item and no node would move."
    ]
    gone = tree_change(before, resolve(("3/natural", 4, "exclude", "")))
    assert gone.items == {1: 2, 2: 2, 3: 2} and set(gone.moves.after) == {""}


# --- any sequence ----------------------------------------------------------------------------

NODES = [*VOCABULARY.node_id, "2/natural/cave", "1/lake/tarn", "2/church.dome", "1/Q2977.dome"]
NAMES = ["Cave", "Tarn", "Dome", "lake", "Peak"]
EDITS = st.one_of(
    st.tuples(st.sampled_from(NODES), st.just("create"), st.sampled_from(NAMES)),
    st.tuples(st.sampled_from(NODES), st.just("rename"), st.sampled_from(NAMES)),
    st.tuples(st.sampled_from(NODES), st.sampled_from(["move", "merge"]), st.sampled_from(NODES)),
    st.tuples(
        st.sampled_from(NODES), st.just("split"),
        st.builds("{}|{}".format, st.sampled_from(NAMES), st.sampled_from([*NODES, item(2)])),
    ),
    st.tuples(st.sampled_from(NODES), st.just("withdraw"), st.just("")),
    st.tuples(st.sampled_from(NODES), st.sampled_from(["exclude", "keep"]), st.just("")),
)  # fmt: skip


def is_valid(tree: LabelTree) -> None:
    """One parent a level up for every node, or none where nothing is known; no node twice."""
    for node, parent in tree.parent.items():
        assert not parent or tree.level[parent] == tree.level[node] + 1, (node, parent)


@settings(max_examples=15, deadline=None)
@given(
    steps=st.lists(st.tuples(st.sampled_from(["ann", "ben"]), EDITS), min_size=6, max_size=10),
    with_withdrawals=st.booleans(),
    data=st.data(),
)
def test_any_edits_give_one_valid_tree_in_any_order_and_undo_goes_back(
    tmp_path_factory, steps, with_withdrawals, data
):
    """Two reviewers edit; what the checks refuse is not written, as with a sheet."""
    steps = [step for step in steps if with_withdrawals or step[1][1] != "withdraw"]
    ledger = tmp_path_factory.mktemp("edits") / "decisions.csv"
    writer = LedgerWriter(ledger)
    states: list[tuple[str, pd.DataFrame]] = []
    now = resolve()
    nodes, assignments = tables(now)
    for reviewer, (subject, word, target) in steps:
        own = {
            "subject": subject, "level": str(int(subject[0]) + 1), "decision": word,
            "target": target, "reviewer": reviewer,
        }  # fmt: skip
        before = read_ledger(ledger).decisions
        new = pd.DataFrame([own | {"decided_at": "2999-01-01", "file": "x", "row": 0}])
        try:
            replay(pd.concat([before, new], ignore_index=True), proposals(), VOCABULARY)
        except InputError:
            continue
        states.append((reviewer, nodes))
        if writer.record(pd.DataFrame([own])).empty:
            states.pop()
        now = replay(read_ledger(ledger).decisions, proposals(), VOCABULARY)
        is_valid(now.tree)
        nodes, assignments = tables(now)
        LabelTree.checked(nodes)
        assert len(assignments) == len(items()) and set(now.made) <= set(nodes.node_id)
    kept = read_ledger(ledger).decisions
    order = data.draw(st.permutations(range(len(kept))))
    shuffled = replay(kept.iloc[order], proposals(), VOCABULARY)
    pd.testing.assert_frame_equal(shuffled.tree.nodes(), now.tree.nodes())
    pd.testing.assert_frame_equal(tables(shuffled)[1], assignments)
    # Undo, the last edit first: each gives the table of before. (It does not take back a
    # withdrawal, so that what was withdrawn stays so.)
    for reviewer, before in reversed([] if with_withdrawals else states):
        assert not writer.undo(reviewer).empty
        found = tables(replay(read_ledger(ledger).decisions, proposals(), VOCABULARY))[0]
        pd.testing.assert_frame_equal(found, before)
