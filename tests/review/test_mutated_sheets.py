"""500 sheets that were mangled on the way: read with the same meaning, or refused with every row.

Each seed draws a way to save the file, CSV or workbook, and up to five mishaps. What must
come of it is computed from the mangled cells by plain rules of this file, never by the reader under
test.
"""

from __future__ import annotations

import csv
import io
import random
from dataclasses import dataclass, field
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from small_world import LEVELS, TIME, VOCABULARY, decisions, evidence_hash, item, items, proposals
from strata_labels.errors import InputError
from strata_labels.review import LedgerWriter, Sheet, read_ledger, read_sheet, replay, write_sheet
from strata_labels.review.apply import Resolution
from strata_labels.review.sheet import SHEET_COLUMNS

#: Row: decision, target as written, target as meant, note as written, note as meant.
DECIDED = {
    f"1:{item(4)}": ("move", "church", "2/church", "'=SUM(A1)", "=SUM(A1)"),
    f"1:{item(7)}": ("exclude", "", "", "naïve “quote”; 寺", "naïve “quote”; 寺"),
    f"1:{item(2)}": ("stop", "castle / fort", "2/castle", "", ""),
    "2:1/Q2977": ("keep", "", "2/church", "'-1", "-1"),
}


@dataclass
class Mangled:
    """A sheet on its way, and the mishaps that must be told: lines of rows, as cells' contents."""

    header: list[str]
    body: list[list[str]]
    separator: str = ","
    encoding: str = "utf-8-sig"
    line_end: str = "\n"
    quoting: int = csv.QUOTE_MINIMAL
    workbook: bool = False
    announced: bool = False
    wrong: set[int] = field(default_factory=set)
    stale: set[str] = field(default_factory=set)

    def at(self, row: list[str], column: str) -> str:
        return row[self.header.index(column)]

    def put(self, row: list[str], column: str, value: str) -> None:
        row[self.header.index(column)] = value

    def decided(self, rng: random.Random) -> list[str]:
        fine = [row for row in self.body if self.at(row, "decision") and id(row) not in self.wrong]
        return rng.choice(fine)

    def raw(self) -> bytes:
        out = io.StringIO(newline="")
        if self.announced:
            out.write(f"sep={self.separator}{self.line_end}")
        writer = csv.writer(
            out, delimiter=self.separator, lineterminator=self.line_end, quoting=self.quoting
        )
        writer.writerows([self.header, *self.body])
        return out.getvalue().encode(self.encoding)

    def save(self, folder: Path, rng: random.Random) -> Path:
        """The file; a workbook has whole numbers as numbers, and sheets of other things."""
        if not self.workbook:
            path = folder / "review.csv"
            path.write_bytes(self.raw())
            return path
        book = openpyxl.Workbook()
        book.active.title = "Notes"
        book.active.append(["row_id", "is explained elsewhere"])
        sheet = book.create_sheet("Mine", rng.randrange(2))
        for number, row in enumerate([self.header, *self.body], start=1):
            for column, text in enumerate(row, start=1):
                cell = sheet.cell(number, column)
                cell.value = int(text) if text.isascii() and text.isdigit() else text[:32_000]
        sheet.sheet_state = rng.choice(["visible", "visible", "hidden"])
        for row in range(2, len(self.body)):
            sheet.row_dimensions[row].hidden = rng.random() < 0.2
        path = folder / "review.xlsx"
        book.save(path)
        return path


def reorder(sheet: Mangled, rng: random.Random) -> None:
    order = rng.sample(range(len(sheet.header)), len(sheet.header))
    sheet.body = [[row[n] for n in order] for row in sheet.body]
    sheet.header = [sheet.header[n] for n in order]


def hide(sheet: Mangled, rng: random.Random) -> None:
    needed = {"row_id", "decision", "target", "reviewer", "note"}
    kept = [n for n, name in enumerate(sheet.header) if name in needed or rng.random() < 0.5]
    sheet.body = [[row[n] for n in kept] for row in sheet.body]
    sheet.header = [sheet.header[n] for n in kept]


def spare(sheet: Mangled, rng: random.Random) -> None:
    sheet.header = [*sheet.header, "mine"]
    sheet.body = [[*row, "=A1"] for row in sheet.body]


def pad(sheet: Mangled, rng: random.Random) -> None:
    blank = rng.choice([" ", "\u00a0", "\t", "\u202f "])
    sheet.body = [[f"{blank}{cell}{blank}" for cell in row] for row in sheet.body]
    sheet.header = [f" {name.upper()} " for name in sheet.header]


def shuffle(sheet: Mangled, rng: random.Random) -> None:
    rng.shuffle(sheet.body)


def repeat(sheet: Mangled, rng: random.Random) -> None:
    sheet.body.insert(rng.randrange(len(sheet.body)), list(rng.choice(sheet.body)))


def blank_line(sheet: Mangled, rng: random.Random) -> None:
    sheet.body.insert(rng.randrange(len(sheet.body)), [""] * len(sheet.header))


def drop(sheet: Mangled, rng: random.Random) -> None:
    sheet.body.remove(rng.choice(sheet.body))


def capitals(sheet: Mangled, rng: random.Random) -> None:
    for row in sheet.body:
        sheet.put(row, "decision", sheet.at(row, "decision").upper())


def million(sheet: Mangled, rng: random.Random) -> None:
    column = rng.choice([name for name in sheet.header if name in ("evidence", "note", "name")])
    row = rng.choice([row for row in sheet.body if not sheet.at(row, "decision")])
    sheet.put(row, column, "x" * 1_000_000)


def decomposed(sheet: Mangled, rng: random.Random) -> None:
    for row in sheet.body:
        sheet.put(row, "note", sheet.at(row, "note").replace("ï", "i\u0308"))


def line_break(sheet: Mangled, rng: random.Random) -> None:
    free = [name for name in sheet.header if name in ("evidence", "name", "reasons")]
    if free:
        sheet.put(rng.choice(sheet.body), rng.choice(free), "two\nlines")


def form(sheet: Mangled, rng: random.Random) -> None:
    sheet.separator = rng.choice(",;\t")
    sheet.encoding = rng.choice(["utf-8", "utf-8-sig", "utf-16"])
    sheet.line_end = rng.choice(["\n", "\r\n"])
    sheet.quoting = rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    sheet.announced = rng.random() < 0.2
    # A short row of a workbook is one whose last cells are blank.
    whole = all(len(row) == len(sheet.header) for row in sheet.body)
    sheet.workbook = whole and rng.random() < 0.4


SHAPE = [reorder, hide, spare, pad, shuffle, repeat, blank_line, drop]
TEXT = [capitals, million, decomposed, line_break]
KEEP_MEANING = [*SHAPE, *TEXT]


def typo(sheet: Mangled, rng: random.Random) -> None:
    row = sheet.decided(rng)
    text = sheet.at(row, "row_id")
    at = rng.randrange(len(text))
    sheet.put(row, "row_id", text[:at] + "~" + text[at + 1 :])
    sheet.wrong.add(id(row))


def word(sheet: Mangled, rng: random.Random) -> None:
    row = sheet.decided(rng)
    sheet.put(row, "decision", rng.choice(["kepe", "=A1", "'=A1", "#REF!", "1", "TRUE"]))
    sheet.wrong.add(id(row))


def no_such_node(sheet: Mangled, rng: random.Random) -> None:
    row = sheet.decided(rng)
    sheet.put(row, "target", rng.choice(["pagoda", "=1+1", "y" * 1_000_000, "3.14", "2/churhc"]))
    sheet.wrong.add(id(row))


def contradiction(sheet: Mangled, rng: random.Random) -> None:
    row = list(sheet.decided(rng))
    sheet.put(row, "decision", "move")
    sheet.put(row, "target", "mountain")
    sheet.body.append(row)  # whichever of the two comes last is told
    sheet.wrong.add(id(row))


def too_few_cells(sheet: Mangled, rng: random.Random) -> None:
    row = sheet.decided(rng)
    del row[rng.randrange(2, len(row)) :]
    sheet.wrong.add(id(row))


def too_many_cells(sheet: Mangled, rng: random.Random) -> None:
    row = sheet.decided(rng)
    row += ["", "fort"]
    sheet.wrong.add(id(row))


def swapped_ids(sheet: Mangled, rng: random.Random) -> None:
    """Two ids change places, as when one column alone was sorted: the subjects of a sheet of an
    earlier version give it away; in a sheet of now, the hashes."""
    sheet.header = [*sheet.header, "subject"]
    for row in sheet.body:
        row.append(sheet.at(row, "row_id").partition(":")[2])
    decided = [row for row in sheet.body if sheet.at(row, "decision")]
    one, other = rng.sample(decided, 2)
    ids = sheet.at(one, "row_id"), sheet.at(other, "row_id")
    sheet.put(one, "row_id", ids[1])
    sheet.put(other, "row_id", ids[0])
    sheet.wrong.update((id(one), id(other)))


def stale(sheet: Mangled, rng: random.Random) -> None:
    row = sheet.decided(rng)
    sheet.put(row, "evidence_hash", "#e2:" + "0" * 16)
    sheet.stale.add(sheet.at(row, "row_id"))


CELLS = [typo, word, no_such_node]
ROWS = [contradiction, too_few_cells, too_many_cells, swapped_ids]


@pytest.fixture(scope="module")
def resolution() -> Resolution:
    return replay(decisions(), proposals(), VOCABULARY)


@pytest.fixture(scope="module")
def rows(resolution: Resolution, tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """The cells of a sheet in which four rows are decided."""
    path = tmp_path_factory.mktemp("sheet") / "review.csv"
    write_sheet(path, resolution, items(), LEVELS)
    with path.open(encoding="utf-8-sig", newline="") as file:
        found = list(csv.reader(file))
    column = SHEET_COLUMNS.index
    for row in found[1:]:
        if row[column("row_id")] in DECIDED:
            decision, target, _, note, _ = DECIDED[row[column("row_id")]]
            row[column("decision")], row[column("target")] = decision, target
            row[column("note")], row[column("reviewer")] = note, "ann"
    return found


def expected(sheet: Mangled) -> dict[str, tuple[str, str, str]]:
    """What the decided rows mean, by the table above."""
    at = [name.strip().lower() for name in sheet.header].index("row_id")
    ids = {" ".join(row[at].split()) for row in sheet.body}
    return {
        row_id: (meant[0], meant[2], meant[4])
        for row_id, meant in DECIDED.items()
        if row_id in ids and row_id not in sheet.stale
    }


def lines(sheet: Mangled) -> dict[int, int]:
    """The line in the file at which each row of `body` starts."""
    found, line = {}, 2 + (sheet.announced and not sheet.workbook)
    for row in sheet.body:
        found[id(row)] = line
        line += 1 + (0 if sheet.workbook else sum(cell.count("\n") for cell in row))
    return found


def read(path: Path, resolution: Resolution) -> tuple[dict[str, tuple[str, str, str]], set[str]]:
    return understood(read_sheet(path, resolution, decided_at=TIME))


def understood(found: Sheet) -> tuple[dict[str, tuple[str, str, str]], set[str]]:
    """What the decisions of a sheet mean that are applied; rows whose decisions are not."""
    rows = found.decisions
    cells = zip(rows.decision, rows.target, rows.note, strict=True)
    taken, stale = dict(zip(rows.row_id, cells, strict=True)), {str(p.value) for p in found.stale}
    assert stale <= taken.keys()  # kept, and not applied
    return {row: taken[row] for row in taken if row not in stale}, stale


@pytest.mark.parametrize("block", range(10))
def test_the_same_meaning_or_every_row_that_is_wrong(block, rows, resolution, tmp_path):
    ledger = tmp_path / "decisions.csv"
    outcomes = {"read": 0, "refused": 0}
    for seed in range(50 * block, 50 * block + 50):
        rng = random.Random(seed)
        sheet = Mangled(list(rows[0]), [list(row) for row in rows[1:]])
        # Broken cells are all told, each in a row of its own; of a broken row it is the only one.
        steps = []
        if seed % 5 == 0:
            steps = rng.sample(CELLS, rng.choice([1, 2, 3]))
        elif seed % 5 == 1:
            steps = [rng.choice(ROWS)]
        elif seed % 5 == 2:
            stale(sheet, rng)
        harmless = rng.sample(KEEP_MEANING, rng.randrange(4))
        if steps or sheet.stale:  # what is broken has to be there still, and in its row
            harmless = [step for step in harmless if step in (spare, decomposed, million)]
        for step in [*sorted(harmless, key=lambda step: step is pad), *steps]:
            step(sheet, rng)
        form(sheet, rng)
        path = sheet.save(tmp_path, rng)
        told = [step.__name__ for step in (*harmless, *steps)]
        if sheet.wrong:
            outcomes["refused"] += 1
            with pytest.raises(InputError) as caught:
                read(path, resolution)
            at = lines(sheet)
            found = {problem.row for problem in caught.value.problems}
            assert found == {at[one] for one in sheet.wrong}, (seed, told)
        else:
            outcomes["read"] += 1
            taken = read_sheet(path, resolution, decided_at=TIME)
            found, refused = understood(taken)
            assert found == expected(sheet), (seed, told)
            assert refused == sheet.stale, (seed, told)
            # And with the same meaning from the ledger, once.
            for _ in range(2):
                LedgerWriter(ledger).record(taken.decisions)
            kept = read_ledger(ledger).decisions
            cells = zip(kept.decision, kept.target, kept.note, strict=True)
            written = dict(zip(kept.row_id, cells, strict=True))
            assert len(kept) == len(found) + len(refused), (seed, told)
            assert written.items() >= found.items(), (seed, told)
            again = replay(kept, proposals(), VOCABULARY)
            assert set(again.stale.row_id) == refused, (seed, told)
            ledger.unlink()
    assert min(outcomes.values()) > 10


@pytest.mark.parametrize("last", ["evidence_hash", "target", "reviewer", "note", "decision"])
def test_a_sheet_cut_anywhere(last, rows, resolution, tmp_path):
    """Whole rows are lost at most: what is read of a cut sheet is as it was meant."""
    path = tmp_path / "review.csv"
    sheet = Mangled(list(rows[0]), [list(row) for row in rows[1:]], encoding="utf-8")
    at = sheet.header.index(last)
    for row in [sheet.header, *sheet.body]:
        row.append(row.pop(at))
    meant = expected(sheet)
    raw = sheet.raw()
    rng = random.Random(last)
    begin = raw.index(b"\n") + 1
    for end in sorted(rng.sample(range(begin, len(raw)), 60)):
        path.write_bytes(raw[:end])
        try:
            found, _ = read(path, resolution)
        except InputError as error:
            assert all(problem.row for problem in error.problems)
            continue
        assert found.items() <= meant.items(), raw[:end][-80:]


def test_latin_1_is_refused_with_its_row(rows, resolution, tmp_path):
    path = tmp_path / "review.csv"
    frame = pd.DataFrame(rows[1:], columns=rows[0])
    frame.loc[2, "note"] = "château"
    path.write_bytes(frame.to_csv(index=False).encode("latin-1", "replace"))
    with pytest.raises(InputError, match="row 3: not utf-8 text"):
        read(path, resolution)


def test_the_hash_says_which_row_was_meant(rows, resolution, tmp_path):
    """An id mistyped into another real one is not applied, by name; the rest is."""
    path = tmp_path / "review.csv"
    frame = pd.DataFrame(rows[1:], columns=rows[0])
    frame.loc[frame.row_id == f"1:{item(4)}", "row_id"] = f"1:{item(3)}"
    frame.to_csv(path, index=False)
    found, refused = read(path, resolution)
    assert refused == {f"1:{item(3)}"}
    assert f"1:{item(3)}" not in found and len(found) == len(DECIDED) - 1
    assert evidence_hash(item(4)) != evidence_hash(item(3))
