"""Evidence as data: columns, fingerprint, what a reviewer saw, sentences."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strata_labels.evidence import (
    ALTERNATIVE_LIST,
    EVIDENCE_LIST,
    KINDS,
    REASON_LIST,
    REASONS,
    Alternative,
    Evidence,
    Reason,
    Seen,
    decode,
    encode,
    evidence_hash,
    read_seen,
    write_seen,
)
from strata_labels.evidence_text import evidence_text, reason_text
from strata_labels.people_csv import clean_cell

TEXT = st.text(st.one_of(st.sampled_from(' ;|→"“()~\n\u00a0'), st.characters(codec="utf-8")))
VALUE = st.none() | st.floats(-10, 10).map(lambda value: round(value, 2))
PIECE = st.builds(
    Evidence, st.sampled_from(sorted(KINDS)), TEXT, VALUE, TEXT, TEXT, st.lists(TEXT).map(tuple)
)
PIECES = st.lists(PIECE, max_size=3).map(tuple)
REASON = st.builds(Reason, st.sampled_from(sorted(REASONS)), TEXT)
OTHER = st.builds(Alternative, TEXT, VALUE, PIECES)
#: A piece of each kind, with all that its sentence needs.
OF_EACH_KIND = {
    kind: Evidence(kind, "2/lake", 0.5, "a; b | c → d", "de", ("move", "2026-01-31T12:00:00Z"))
    for kind in KINDS
}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(PIECES, st.lists(REASON).map(tuple), st.lists(OTHER).map(tuple))))
def test_columns_come_back_from_a_file(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("columns") / "a.parquet"
    types = (EVIDENCE_LIST, REASON_LIST, ALTERNATIVE_LIST)
    columns = [[row[n] for row in rows] for n in range(3)]
    arrays = [encode(*pair) for pair in zip(columns, types, strict=True)]
    pq.write_table(pa.table(arrays, names=["e", "r", "a"]), path)
    assert [decode(column) for column in pq.read_table(path)] == columns


def test_a_kind_that_is_not_in_the_vocabulary_is_refused():
    with pytest.raises(ValueError, match="unknown kinds: hearsay"):
        encode([(Evidence("hearsay"),)], EVIDENCE_LIST)
    with pytest.raises(ValueError, match="unknown kinds: mood"):
        encode([(Reason("mood"),)], REASON_LIST)


@settings(max_examples=50, deadline=None)
@given(TEXT, PIECES)
def test_what_was_seen_survives_the_cell_of_a_ledger(place, pieces):
    cell = write_seen(Seen(place, pieces))
    assert clean_cell(cell) == cell and "\n" not in cell
    assert read_seen(cell) == Seen(place, pieces)


def test_the_parent_is_read_from_a_ledger_of_version_0_1_0():
    assert read_seen("proposed 2/church; name: dom; more") == Seen("2/church")
    assert read_seen('word "dom" (de) → church') == Seen("")
    assert read_seen("") is None


@pytest.mark.parametrize(
    "cell", ['{"place": "1/a", "evid', '{"place": "1/a"}', '{"evidence": [1]}']
)
def test_a_damaged_cell_is_read_as_no_evidence(cell):
    assert read_seen(cell) is None


def test_evidence_of_an_unknown_kind_is_left_out():
    cell = '{"evidence":[{"kind":"of_a_later_version"},{"kind":"text","node":"2/a"}],"place":"1/a"}'
    assert read_seen(cell) == Seen("1/a", (Evidence("text", "2/a"),))


def test_the_hash_tells_names_apart():
    assert evidence_hash(name="a", classes=["b"]) != evidence_hash(name="a", classes=["b", ""])
    assert evidence_hash(name="a;b") != evidence_hash(name="a", classes=["b"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_sentence(kind):
    (sentence,) = evidence_text([OF_EACH_KIND[kind]], {"2/lake": "lake | pond; mere"})
    assert sentence.endswith(".")
    named = ("lake | pond; mere", "a; b | c → d", "2026-01-31", "decisions wait")
    assert any(name in sentence for name in named)


def test_evidence_for_another_node_comes_last():
    pieces = [OF_EACH_KIND["name_word"], Evidence("text", "2/church", 1.0)]
    first, second = evidence_text(pieces, {}, ["2/church", "3/human-made"])
    assert first.startswith("By its meaning") and second.startswith("But “a; b | c → d”")


def test_a_reason_names_the_node_it_is_about():
    names = {"2/lake": "lake"}
    (text,) = reason_text([Reason("neighbours_elsewhere", "2/lake")], names)
    assert text == REASONS["neighbours_elsewhere"].rstrip(".") + ": lake."
    assert reason_text([Reason("class_tie")], names) == [REASONS["class_tie"]]
