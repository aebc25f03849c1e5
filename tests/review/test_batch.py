"""One line of the ledger for several items."""

from __future__ import annotations

import pandas as pd
from small_world import TIME, VOCABULARY, decisions, evidence_hash, item, proposals
from strata_labels.evidence import Evidence, Seen, write_seen
from strata_labels.review import (
    LedgerWriter,
    append,
    history,
    read_ledger,
    replay,
)
from strata_labels.review.ledger import batch_decisions
from strata_labels.tables import DECISION_COLUMNS

SEEN = [
    write_seen(Seen("2/castle")),
    write_seen(Seen("2/church", (Evidence("text", "2/church", 1.5, 'a | "word"  ]'),))),
]


def both() -> pd.DataFrame:
    rows = [
        (item(n), 1, "move", "2/church", "ann", "2026-01-31T12:00:00Z", evidence_hash(item(n)))
        for n in (2, 4)
    ]
    frame = decisions(*rows).assign(seen=SEEN)
    return frame[DECISION_COLUMNS]


def test_one_line_settles_all_that_it_names(tmp_path):
    path = tmp_path / "decisions.csv"
    assert append(path, batch_decisions(both())) == 1
    assert len(path.read_text().splitlines()) == 2  # and the header
    found = read_ledger(path).decisions
    assert found[DECISION_COLUMNS].values.tolist() == both().values.tolist()
    assert found.row.tolist() == [2, 2]
    rows = replay(found, proposals(), VOCABULARY).rows.set_index("row_id")
    assert (rows.loc[both().row_id, "state"] == "settled").all()
    assert append(path, batch_decisions(both())) == 0  # said already


def test_each_item_can_be_decided_again_and_can_go_stale_alone(tmp_path):
    path = tmp_path / "decisions.csv"
    append(path, batch_decisions(both()))
    later = decisions((item(4), 1, "move", "2/lake", "ann", "2026-02-01T00:00:00Z"))
    append(path, later)
    changed = proposals()
    changed.loc[changed.subject == item(2), "evidence_hash"] = "0" * 16
    resolution = replay(read_ledger(path).decisions, changed, VOCABULARY)
    assert resolution.stale.subject.tolist() == [item(2)]
    own = resolution.rows.set_index("row_id").own
    assert (
        own[f"1:{item(4)}"]
        == replay(later, changed, VOCABULARY).rows.set_index("row_id").own[f"1:{item(4)}"]
    )


def test_an_id_with_a_bar_in_it_stays_whole(tmp_path):
    odd = decisions(("own/train/a|b", 1, "exclude", "", "ann", "2026-01-31T12:00:00Z", "0" * 16))
    other = odd.assign(subject="own/train/c", row_id="1:own/train/c")
    both = batch_decisions(pd.concat([odd, other], ignore_index=True))
    append(tmp_path / "decisions.csv", both)
    found = read_ledger(tmp_path / "decisions.csv").decisions
    assert found.subject.tolist() == ["own/train/a|b", "own/train/c"]


def test_a_line_on_several_is_taken_back_as_one_act_also_by_another_writer(tmp_path):
    path = tmp_path / "decisions.csv"
    first = decisions((item(4), 1, "move", "2/lake", "ann", "2026-01-30T12:00:00Z"))
    append(path, first)
    writer = LedgerWriter(path)
    assert len(writer.record(batch_decisions(both()))) == 1
    assert len(LedgerWriter(path).record(both())) == 0  # each of them is said already
    taken = LedgerWriter(path).undo("ann")
    assert taken.subject.tolist() == [f"{item(2)}|{item(4)}"]  # one line
    found = read_ledger(path).decisions
    effective = replay(found, proposals(), VOCABULARY).effective
    assert effective[["subject", "target"]].values.tolist() == [[item(4), "2/lake"]]
    told = history([item(2)], replay(found, proposals(), VOCABULARY))
    assert told.seen[0] == SEEN[0] and told.fate[0].startswith("taken back")
    assert writer.undo("ann").row_id.tolist() == [f"1:{item(4)}"]


def test_a_line_of_version_0_1_0_is_read_item_by_item(tmp_path):
    path = tmp_path / "decisions.csv"
    append(path, decisions())
    subject, seen = f"{item(2)}|{item(4)}", "proposed 1/Q2977; a | proposed 1/Q23413"
    cells = [f"1:{subject}", subject, "1", "keep", "1/Q2977", "ann", "", TIME, "0123|4567", seen]
    path.write_text(path.read_text() + ",".join(f'"{cell}"' for cell in cells) + "\n")
    assert read_ledger(path).decisions.seen.tolist() == [
        "proposed 1/Q2977; a",
        "proposed 1/Q23413",
    ]
