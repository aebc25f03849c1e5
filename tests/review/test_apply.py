"""Replay: what each decision does, what is refused, and that order does not matter."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import (
    TIME,
    VOCABULARY,
    decisions,
    evidence_hash,
    item,
    items,
    proposals,
)
from strata_labels.errors import InputError
from strata_labels.evidence import Alternative, Evidence, Reason, Seen, write_seen
from strata_labels.review import replay
from strata_labels.review.apply import Resolution
from strata_labels.tree import tree_tables

LATER = "2026-02-01T00:00:00Z"


def resolve(*rows: tuple) -> Resolution:
    return replay(decisions(*rows), proposals(), VOCABULARY)


def label(resolution: Resolution, number: int, split: str = "train") -> tuple:
    """Status and names of an item's path."""
    assignments = tree_tables(items(), resolution.rows, resolution.tree)[1].set_index("item_id")
    row = assignments.loc[item(number, split)]
    path = [row[f"level{n}_name"] for n in (1, 2, 3)]
    return (row.status, *[None if pd.isna(name) else name for name in path])


def row(resolution: Resolution, row_id: str) -> pd.Series:
    return resolution.rows.set_index("row_id").loc[row_id]


def refused(*rows: tuple) -> list[str]:
    with pytest.raises(InputError) as caught:
        resolve(*rows)
    return [str(problem) for problem in caught.value.problems]


def test_no_decision_leaves_the_proposals():
    resolution = resolve()
    rows = resolution.rows
    given = proposals()
    assert rows.parent.tolist() == given.parent.fillna("").tolist()
    assert rows.accepted.tolist() == given.accepted.tolist()
    assert set(rows.state) == {"accepted", "open"}
    assert label(resolution, 2) == ("labelled", "cathedral", "church", "human-made")
    assert label(resolution, 6) == ("no_place", None, None, None)
    assert label(resolution, 7) == ("no_evidence", None, None, None)


def test_keep_settles_the_row():
    resolution = resolve((item(4), 1, "keep", ""))
    kept = row(resolution, f"1:{item(4)}")
    assert (kept.state, kept.origin, kept.confidence, kept.accepted) == (
        "settled",
        "human",
        1,
        True,
    )
    assert label(resolution, 4) == ("labelled", "castle", "castle / fort", "human-made")


def test_move_to_a_class_by_any_spelling_of_its_name():
    for target in ("1/Q8502", "Mountain", "  mountain ", "mountain › mountain › natural"):
        assert label(resolve((item(4), 1, "move", target)), 4)[1:3] == ("mountain", "mountain")


def test_move_to_a_cluster_takes_its_main_class():
    # By the cluster's own Wikidata id; a cluster without such a class gets a general one.
    assert label(resolve((item(4), 1, "move", "church")), 4)[1:3] == ("church building", "church")
    resolution = resolve((item(4), 1, "move", "2/lake"))
    assert label(resolution, 4) == ("labelled", "lake", "lake", "natural")
    assert "1/lake.general" in resolution.tree.level


def test_the_main_class_is_one_that_is_still_there():
    moved = ("1/Q16970", 2, "move", "castle / fort")
    assert label(resolve(moved, (item(4), 1, "move", "church")), 4)[1:3] == ("church", "church")


def test_a_class_decision_settles_its_items_once():
    resolution = resolve(("1/Q2977", 2, "move", "castle / fort"))
    for number in (2, 3):
        settled = row(resolution, f"1:{item(number)}")
        assert (settled.state, settled.origin, settled.accepted) == ("settled", "human", True)
        assert label(resolution, number)[2] == "castle / fort"
    assert row(resolution, f"1:{item(4)}").state == "open"


def test_an_unsure_item_of_a_settled_class_stays_open():
    resolution = resolve(("1/Q2977", 2, "keep", ""), (item(2), 1, "unsure", ""))
    assert row(resolution, f"1:{item(2)}").state == "open"
    assert row(resolution, f"1:{item(3)}").state == "settled"


def test_merge_keeps_both_ids_usable():
    resolution = resolve(
        ("2/church", 3, "merge", "castle / fort"), (item(7), 1, "move", "2/church")
    )
    assert label(resolution, 2) == ("labelled", "cathedral", "castle / fort", "human-made")
    assert label(resolution, 7)[2] == "castle / fort"
    assert "2/church" not in resolution.tree.level
    assert resolution.merged == {"2/church": "2/castle"}


def test_what_rows_say_of_a_merged_node_they_say_of_what_it_is_part_of():
    near = Evidence("neighbours", "2/lake", 0.9, ids=(item(5),))
    given = proposals()
    at = given.index[given.subject == item(4)][0]
    given.loc[at, "suggestion"] = "1/Q2977"
    given.at[at, "evidence"] = (
        Evidence("published", "1/Q23413", ids=("1/Q23413", "2/castle", "3/human-made")),
        near,
    )
    given.at[at, "reasons"] = (Reason("label_issue", "2/lake"), Reason("small_margin"))
    given.at[at, "alternatives"] = (
        Alternative("2/lake", 0.3, (near,)),
        Alternative("1/Q2977", 0.2),
        Alternative("2/mountain", 0.1),
    )
    ledger = decisions(
        ("2/lake", 3, "merge", "2/mountain"),
        ("1/Q23413", 2, "merge", "1/Q8502"),
        ("1/Q2977", 2, "merge", "1/Q8502"),
    )
    found = replay(ledger, given, VOCABULARY)
    shown = row(found, f"1:{item(4)}")
    there = near._replace(node="2/mountain")
    path = ("1/Q8502", "2/mountain", "3/natural")
    assert shown.evidence == (Evidence("published", "1/Q8502", ids=path), there)
    assert shown.reasons == (Reason("label_issue", "2/mountain"), Reason("small_margin"))
    # The two are one place, as likely as both; the row's own place is no alternative to it.
    assert shown.alternatives == (Alternative("2/mountain", 0.4, (there,)),)
    assert shown.suggestion == "1/Q8502"
    assert shown.known_before == given.at[at, "evidence"]
    for _, other in found.rows.iterrows():
        named = [piece.node for piece in (*other.evidence, *other.reasons, *other.alternatives)]
        assert not set(named) & found.merged.keys()


def test_merges_follow_each_other():
    resolution = resolve(
        ("2/church", 3, "merge", "2/castle"), ("2/castle", 3, "merge", "2/mountain")
    )
    assert label(resolution, 2)[2:] == ("mountain", "natural")


def test_rename_keeps_the_id_and_the_row_open():
    resolution = resolve(("1/Q2977", 2, "rename", "Minster"), (item(4), 1, "move", "minster"))
    assert label(resolution, 2)[1] == "Minster"
    assert label(resolution, 4)[1] == "Minster"
    assert row(resolution, "2:1/Q2977").state == "open"


def test_rename_and_move_of_one_node_both_hold():
    resolution = resolve(
        ("1/Q2977", 2, "move", "castle / fort"), ("1/Q2977", 2, "rename", "Minster", "ann", LATER)
    )
    assert label(resolution, 2)[1:3] == ("Minster", "castle / fort")


@pytest.mark.parametrize(
    ("decision", "expected"),
    [
        ((item(2), 1, "stop", ""), ("labelled", None, "church", "human-made")),
        ((item(2), 1, "stop", "natural"), ("labelled", None, None, "natural")),
        (("1/Q2977", 2, "stop", ""), ("labelled", None, "church", "human-made")),
        (("2/church", 3, "stop", ""), ("labelled", None, None, "human-made")),
        ((item(2), 1, "exclude", ""), ("excluded", None, None, None)),
        (("1/Q2977", 2, "exclude", ""), ("excluded", None, None, None)),
        (("2/church", 3, "exclude", ""), ("excluded", None, None, None)),
    ],
)
def test_stop_and_exclude(decision, expected):
    assert label(resolve(decision), 2) == expected


def test_a_proposed_parent_counts_before_the_vocabularys():
    table = proposals()
    table.loc[table.row_id == "2:1/Q2977", "parent"] = "2/castle"
    resolution = replay(decisions((item(2), 1, "stop", "")), table, VOCABULARY)
    assert label(resolution, 2)[1:3] == (None, "castle / fort")
    assert label(resolution, 3)[1:3] == ("cathedral", "castle / fort")


def test_unsure_stays_open_with_its_label():
    resolution = resolve((item(5), 1, "unsure", ""))
    unsure = row(resolution, f"1:{item(5)}")
    assert (unsure.state, unsure.accepted, unsure.reasons) == ("open", False, (Reason("unsure"),))
    assert label(resolution, 5)[1] == "mountain"


def test_later_beats_earlier_by_the_same_reviewer():
    rows = [(item(4), 1, "move", "church"), (item(4), 1, "move", "mountain", "ann", LATER)]
    assert label(resolve(*rows), 4)[2] == "mountain"
    assert label(resolve(*rows[::-1]), 4)[2] == "mountain"


def test_times_are_compared_as_times():
    early = "2026-01-31T12:30:00+02:00"  # 10:30 in UTC, though the text is greater
    rows = [(item(4), 1, "move", "church", "ann", early), (item(4), 1, "move", "mountain")]
    assert label(resolve(*rows), 4)[2] == "mountain"


def test_stale_is_shown_not_applied():
    resolution = resolve((item(5), 1, "move", "church", "ann", LATER, "e2:0123456789abcdef"))
    stale = row(resolution, f"1:{item(5)}")
    assert label(resolution, 5)[2] == "mountain"
    assert (stale.state, stale.accepted, stale.suggestion) == ("open", False, "2/church")
    assert stale.reasons == (Reason("stale_decision"),)
    decided = Evidence("stale_decision", "2/church", text="ann", ids=("move", LATER, "church"))
    assert stale.evidence[-1] == decided
    assert resolution.stale.subject.tolist() == [item(5)]


def test_a_fresh_decision_beats_another_reviewers_stale_one():
    resolution = resolve(
        (item(5), 1, "move", "church", "ann", LATER, "e2:0123456789abcdef"),
        (item(5), 1, "keep", "", "ben", LATER, evidence_hash(item(5))),
    )
    assert row(resolution, f"1:{item(5)}").state == "settled"
    assert len(resolution.stale) == 1


def test_a_stale_class_decision_settles_nothing():
    resolution = resolve(("1/Q2977", 2, "keep", "", "ann", LATER, "e2:0123456789abcdef"))
    assert row(resolution, f"1:{item(2)}").state == "open"


def test_a_subject_that_left_the_data_is_listed():
    resolution = resolve((item(99), 1, "move", "church", "ann", LATER, "e2:0123456789abcdef"))
    assert resolution.gone.subject.tolist() == [item(99)]
    assert resolution.report["decisions_gone"] == 1


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        ([(item(2), 1, "shift", "church")], ["row 2", "unknown decision: 'shift'", "keep, move"]),
        ([(item(2), 1, "move", "pagoda")], ["row 2", "unknown node: 'pagoda'"]),
        ([(item(2), 1, "move", "")], ["row 2", "move needs a target"]),
        ([(item(99), 1, "keep", "")], ["row 2", "unknown subject: 'gldv2/train/99'"]),
        ([("2/pagoda", 3, "keep", "")], ["row 2", "unknown subject: '2/pagoda'"]),
        ([(item(2), 2, "move", "church")], ["row 2", "wrong level", "Write 1"]),
        ([(item(7), 1, "keep", "")], ["row 2", "nothing is proposed to keep"]),
        ([(item(2), 1, "merge", "church")], ["row 2", "only nodes"]),
        ([(item(2), 1, "rename", "x")], ["row 2", "only nodes"]),
        ([(item(2), 1, "exclude", "church")], ["row 2", "takes no target"]),
        ([("2/church", 3, "move", "2/castle")], ["row 2", "level 2, but level 3 is needed"]),
        ([("2/church", 3, "move", "2/church")], ["row 2", "level 2, but level 3 is needed"]),
        ([("2/church", 3, "move", "1/Q2977")], ["row 2", "level 1, but level 3 is needed"]),
        ([("2/church", 3, "merge", "church")], ["row 2", "onto itself"]),
        ([("2/church", 3, "merge", "natural")], ["row 2", "level 3, but level 2 is needed"]),
        ([("2/church", 3, "rename", "lake")], ["row 2", "has this name", "2/lake"]),
        ([("1/Q2977", 2, "stop", "1/Q16970")], ["row 2", "level 1, but level 2 or 3 is needed"]),
        ([(item(2), 1, "keep", "", "")], ["row 2", "no reviewer"]),
        ([(item(2), 1, "keep", "", "ann", "yesterday")], ["row 2", "not a time: 'yesterday'"]),
        ([("2/church", 3, "split", "")], ["row 2", "split needs a target", "name|member"]),
        ([("2/church", 3, "split", "!|1/Q2977")], ["row 2", "no name for the new node"]),
        ([("2/church", 3, "split", "Dome|pagoda")], ["row 2", "unknown node: 'pagoda'"]),
        ([("2/church", 3, "split", "Lake|1/Q2977")], ["row 2", "2/lake", "this name: 'Lake'"]),
        ([("1/Q2977", 2, "split", "Dome|gldv2/train/99")], ["row 2", "unknown item"]),
        ([(item(2), 1, "split", "Dome")], ["row 2", "only nodes"]),
        ([(item(2), 1, "withdraw", "")], ["row 2", "nothing of ann's to take back"]),
        ([(item(2), 1, "withdraw", "soon")], ["row 2", "not a time: 'soon'"]),
        (
            [("2/church", 3, "merge", "2/castle"), ("2/castle", 3, "merge", "2/church")],
            ["circle", "decisions.csv row 2", "decisions.csv row 3"],
        ),
    ],
)
def test_refused(rows, parts):
    (problem,) = refused(*rows)
    for part in parts:
        assert part in problem


def test_all_problems_at_once():
    problems = refused(
        (item(2), 1, "shift", "church"),
        (item(3), 1, "move", "pagoda"),
        (item(4), 1, "merge", "church"),
        ("2/church", 3, "merge", "2/castle"),
        ("2/castle", 3, "merge", "2/church"),
    )
    assert len(problems) == 4


def test_reviewers_who_differ_open_the_row_again_with_both_opinions():
    rows = [(item(5), 1, "move", "church"), (item(5), 1, "exclude", "", "ben", LATER)]
    resolution = resolve(*rows)
    open_row = row(resolution, f"1:{item(5)}")
    assert (open_row.state, open_row.reasons, open_row.accepted) == (
        "open",
        (Reason("disputed"),),
        False,
    )
    assert open_row.evidence[1:] == (
        Evidence("decision", "2/church", text="ann", ids=("move", TIME, "church")),
        Evidence("decision", "", text="ben", ids=("exclude", LATER)),
    )
    assert label(resolution, 5)[1] == "mountain"  # neither is applied
    assert resolution.disputed.reviewer.tolist() == ["ann", "ben"]
    assert resolution.report["decisions_disputed"] == 2
    # It ends when one agrees, or takes back what he said.
    end = "2026-02-02T00:00:00Z"
    assert label(resolve(*rows, (item(5), 1, "move", "church", "ben", end)), 5)[2] == "church"
    assert label(resolve(*rows, (item(5), 1, "withdraw", "", "ben", end)), 5)[2] == "church"


def test_one_reviewers_two_answers_of_one_moment_are_open_again():
    resolution = resolve((item(4), 1, "move", "church"), (item(4), 1, "move", "lake"))
    assert row(resolution, f"1:{item(4)}").state == "open"
    assert len(resolution.disputed) == 2


def test_what_only_the_merge_of_two_ledgers_contradicts_is_a_dispute():
    circle = resolve(
        ("2/church", 3, "merge", "2/castle"), ("2/castle", 3, "merge", "2/church", "ben")
    )
    assert circle.merged == {}
    assert set(circle.disputed.subject) == {"2/church", "2/castle"}
    names = resolve(("2/church", 3, "rename", "Sacred"), ("2/castle", 3, "rename", "sacred", "ben"))
    assert len(names.disputed) == 2
    assert "Sacred" not in names.tree.name.values()


SPLIT = ("2/church", 3, "split", "Cathedral|1/Q2977|gldv2/train/7")


def test_a_split_makes_a_node_beside_and_takes_its_members():
    resolution = resolve(SPLIT)
    assert label(resolution, 2) == ("labelled", "cathedral", "Cathedral", "human-made")
    assert label(resolution, 1)[2] == "church"
    assert label(resolution, 7)[2] == "Cathedral"
    made = "2/church.cathedral"
    assert resolution.tree.level[made] == 2 and resolution.tree.parent[made] == "3/human-made"
    assert row(resolution, "2:1/Q2977").state == "settled"
    by_name = ("2/church", 3, "split", "Cathedral|cathedral|gldv2/train/7")
    assert resolve(by_name).effective.target.tolist() == [SPLIT[3]]


def test_a_class_is_split_by_its_items():
    resolution = resolve(("1/Q2977", 2, "split", "Minster|gldv2/train/2"))
    assert label(resolution, 2)[1:3] == ("Minster", "church")
    assert label(resolution, 3)[1:3] == ("cathedral", "church")


def test_what_is_split_off_goes_where_its_node_goes_and_can_be_decided_on():
    moved = resolve(SPLIT, ("2/church", 3, "move", "natural"))
    assert label(moved, 2)[2:] == ("Cathedral", "natural")
    renamed = resolve(SPLIT, ("2/church.cathedral", 3, "rename", "Dome", "ben"))
    assert label(renamed, 2)[2:] == ("Dome", "human-made")
    own = resolve(SPLIT, ("1/Q2977", 2, "move", "lake"))
    assert label(own, 2)[2] == "lake"


def test_a_move_to_a_split_node_outlives_the_split():
    rows = [SPLIT, (item(4), 1, "move", "2/church.cathedral", "ben")]
    resolution = resolve(*rows, ("2/church", 3, "withdraw", "", "ann", LATER))
    assert label(resolution, 4)[2] == "Cathedral"
    assert label(resolution, 2)[2] == "church"


def test_two_splits_of_one_node_both_hold_and_one_member_has_one_place():
    two = resolve(SPLIT, ("2/church", 3, "split", "Chapel|1/Q16970"))
    assert (label(two, 2)[2], label(two, 1)[2]) == ("Cathedral", "Chapel")
    claimed = resolve(SPLIT, ("2/church", 3, "split", "Chapel|1/Q2977", "ben"))
    assert len(claimed.disputed) == 2 and label(claimed, 2)[2] == "church"


def test_withdraw_brings_back_what_was_said_before():
    rows = [(item(4), 1, "move", "church"), (item(4), 1, "move", "mountain", "ann", LATER)]
    last = "2026-02-02T00:00:00Z"
    assert label(resolve(*rows, (item(4), 1, "withdraw", LATER, "ann", last)), 4)[2] == "church"
    nothing = resolve(*rows, (item(4), 1, "withdraw", "", "ann", last))
    assert row(nothing, f"1:{item(4)}").state == "open"
    assert nothing.effective.empty
    # It is her own decisions that a reviewer takes back.
    others = refused(*rows, (item(4), 1, "withdraw", "", "ben", last))
    assert "nothing of ben's" in others[0]


def test_a_stale_decision_says_what_has_changed():
    table = decisions((item(5), 1, "move", "church", "ann", LATER, "e2:0123456789abcdef"))
    now = row(resolve(), f"1:{item(5)}").evidence
    old = Evidence("name_word", "2/lake", text="lac; tarn | mere", language="fr")

    def changed(place: str, *evidence: Evidence) -> str:
        seen = write_seen(Seen(place, evidence))
        found = replay(table.assign(seen=seen), proposals(), VOCABULARY)
        return found.stale.changed.item()

    assert changed("1/Q8502", old) == (
        "no longer: “lac; tarn | mere” (French) means lake. "
        f"/ now: “{item(5)}” (English) means church."
    )
    assert "the evidence is the same" in changed("1/Q8502", *now)
    assert changed("2/lake", *now) == "it was proposed under lake then and under mountain now"


@pytest.mark.parametrize(
    ("seen", "stale"),
    [("proposed 1/Q8502; name: old", False), ("proposed 2/lake; name: old", True), ("", True)],
)
def test_a_hash_of_version_0_1_0_is_stale_only_if_the_place_differs(seen, stale):
    table = decisions((item(5), 1, "move", "church", "ann", LATER, "0123456789abcdef"))
    resolution = replay(table.assign(seen=seen), proposals(), VOCABULARY)
    assert bool(len(resolution.stale)) == stale


@pytest.mark.parametrize(("word", "stale"), [("keep", True), ("exclude", False)])
def test_only_a_decision_that_means_the_place_seen_needs_that_place(word, stale):
    seen = write_seen(Seen("1/Q-gone"))
    digest = row(resolve(), f"1:{item(5)}").evidence_hash
    table = decisions((item(5), 1, word, "", "ann", LATER, digest))
    resolution = replay(table.assign(seen=seen), proposals(), VOCABULARY)
    assert bool(len(resolution.stale)) == stale


def test_reviewers_who_agree_do_not_contradict():
    resolution = resolve(
        (item(4), 1, "keep", ""),
        (item(4), 1, "move", "1/Q23413", "ben"),
        (item(4), 1, "unsure", "", "cem"),
    )
    assert row(resolution, f"1:{item(4)}").state == "settled"


SUBJECTS = [(item(n), 1) for n in (2, 3, 4, 5)] + [("1/Q2977", 2), ("1/Q23413", 2), ("2/church", 3)]
TARGETS = ["church", "mountain", "natural", "1/Q8502", "2/lake", "human-made", "2/castle", ""]


ACTS = ["keep", "move", "merge", "split", "rename", "stop", "exclude", "unsure"]


@st.composite
def ledgers(draw):
    rows, said = [], []
    for minute in range(draw(st.integers(0, 8))):
        when = f"2026-01-01T00:0{minute}:00Z"
        if said and draw(st.integers(0, 4)) == 0:
            subject, level, reviewer, before = draw(st.sampled_from(said))
            target = draw(st.sampled_from(["", before]))
            rows.append((subject, level, "withdraw", target, reviewer, when))
            continue
        subject, level = draw(st.sampled_from(SUBJECTS))
        decision = draw(st.sampled_from(ACTS))
        target = draw(st.sampled_from(TARGETS))
        if decision == "split":
            target = draw(st.sampled_from(["Dome", "Dome|gldv2/train/2", "Tor|gldv2/train/2"]))
        elif decision == "rename":
            target = draw(st.sampled_from(["Dome", "Tor"]))
        seen = draw(st.sampled_from(["", evidence_hash(subject), "e2:" + "0" * 16]))
        reviewer = draw(st.sampled_from(["ann", "ben"]))
        rows.append((subject, level, decision, target, reviewer, when, seen))
        said.append((subject, level, reviewer, when))
    return rows


def outcome(given: pd.DataFrame) -> object:
    """All that a replay says, as text."""
    try:
        found = replay(given, proposals(), VOCABULARY)
    except InputError as error:
        return sorted(map(str, error.problems))
    nodes, assignments, report = tree_tables(items(), found.rows, found.tree)
    frames = [
        found.rows,
        found.tree.nodes(),
        found.disputed,
        found.stale,
        found.gone,
        nodes,
        assignments,
    ]
    return [frame.to_csv() for frame in frames], report


@settings(max_examples=30, deadline=None)
@given(rows=ledgers(), data=st.data())
def test_replay_does_not_depend_on_the_order(rows, data):
    frame = decisions(*rows)
    wanted = outcome(frame)
    for _ in range(2):
        order = data.draw(st.permutations(range(len(frame))))
        assert outcome(frame.iloc[order]) == wanted
