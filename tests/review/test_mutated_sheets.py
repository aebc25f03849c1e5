"""Sheets that were mangled on the way are read with the same meaning or refused, never half."""

from __future__ import annotations

import csv
import io
import random

import pytest
from small_world import LEVELS, TIME, VOCABULARY, decisions, item, items, proposals

from pipeline.errors import InputError
from pipeline.review import SHEET_COLUMNS, read_sheet, replay, write_sheet

DECIDED = {
    f"1:{item(4)}": ("move", "2/church"),
    f"1:{item(7)}": ("exclude", ""),
    "2:1/Q2977": ("keep", "2/church"),
}

#: These keep every decision; the others may lose some, and then must say so or drop whole rows.
HARMLESS = (
    "separator",
    "encoding",
    "line end",
    "swap",
    "repeat",
    "columns",
    "pad",
    "long",
    "spare",
)
HARMFUL = ("cut", "typo", "formula", "word", "hash")


def _mutate(how: str, rows: list[list[str]], form: dict, rng: random.Random) -> None:
    header, body = rows[0], rows[1:]
    at = rng.randrange(len(body))
    if how == "separator":
        form["separator"] = rng.choice(";\t")
    elif how == "encoding":
        form["encoding"] = rng.choice(["utf-8", "utf-16"])
    elif how == "line end":
        form["line_end"] = "\r\n"
    elif how == "swap":
        rng.shuffle(body)
    elif how == "repeat":
        body.append(list(body[at]))
    elif how == "columns":
        order = rng.sample(range(len(header)), len(header))
        header, body = [header[n] for n in order], [[row[n] for n in order] for row in body]
    elif how == "pad":
        body = [[f" {cell}\u00a0" for cell in row] for row in body]
    elif how == "long":
        body[at][header.index("evidence")] = "x" * 100_000
    elif how == "spare":
        header, body = [*header, "mine"], [[*row, "="] for row in body]
    elif how == "typo":
        body[at][header.index("row_id")] += "0"
    elif how == "formula":
        body[at][header.index("decision")] = "=A1"
    elif how == "word":
        body[at][header.index("decision")] = "kepe"
    elif how == "hash":
        body[at][header.index("evidence_hash")] = "#" + "0" * 16
    rows[:] = [header, *body]


def _bytes(rows: list[list[str]], form: dict, rng: random.Random, cut: bool) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=form["separator"], lineterminator=form["line_end"]).writerows(rows)
    raw = out.getvalue().encode(form["encoding"])
    return raw[: rng.randrange(len(raw) // 2, len(raw)) // 2 * 2] if cut else raw


@pytest.mark.parametrize("seed", range(60))
def test_the_same_meaning_or_refused(tmp_path, seed):
    rng = random.Random(seed)
    resolution = replay(decisions(), proposals(), VOCABULARY)
    path = tmp_path / "review.csv"
    write_sheet(path, resolution, items(), LEVELS)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    column = {name: SHEET_COLUMNS.index(name) for name in SHEET_COLUMNS}
    for row in rows[1:]:
        if row[0] in DECIDED:
            row[column["decision"]] = DECIDED[row[0]][0]
            row[column["target"]] = "church" if row[column["decision"]] == "move" else ""
            row[column["reviewer"]] = "ann"
    mutations = rng.sample(HARMLESS, rng.randrange(4)) + rng.sample(HARMFUL, rng.randrange(2))
    form = {"separator": ",", "encoding": "utf-8-sig", "line_end": "\n"}
    for how in mutations:
        _mutate(how, rows, form, rng)
    path.write_bytes(_bytes(rows, form, rng, "cut" in mutations))

    harmful = set(mutations) & set(HARMFUL)
    try:
        found = read_sheet(path, resolution, decided_at=TIME)
    except InputError as error:
        assert harmful - {"hash"}, mutations
        assert all(problem.row for problem in error.problems)
        return
    read = {
        row.row_id: (row.decision, row.target) for row in found.decisions.itertuples(index=False)
    }
    assert read.items() <= DECIDED.items(), mutations
    if "cut" not in mutations and "typo" not in mutations:
        told = {problem.value for problem in found.stale}
        assert set(DECIDED) - set(read) == told & set(DECIDED), mutations
