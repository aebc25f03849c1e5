"""CSV files as spreadsheets write them are read alike, or refused."""

from __future__ import annotations

import csv
import io
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strata_labels.errors import InputError
from strata_labels.people_csv import clean_cell, read_header, read_integer, read_people_csv

CELLS = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\x00"), max_size=12
)
GAPS = ["", " ", "\u00a0", "\u2009", "\u202f", "'"]


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(CELLS, CELLS), max_size=6),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]),
    separator=st.sampled_from([",", ";", "\t"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    padding=st.sampled_from(["", " ", "\u00a0 "]),
    form=st.sampled_from(["NFC", "NFD"]),
    blank=st.sampled_from(["", "sep", "line", "columns"]),
)
def test_a_spreadsheet_changes_nothing(
    tmp_path, rows, encoding, separator, end, padding, form, blank
):
    wanted = [[clean_cell(cell) for cell in row] for row in rows]
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL)
    more = ["", ""] if blank == "columns" else []
    writer.writerow([" Name", "Été ", *more])
    if blank == "line":
        text.write(end)
    for row in rows:
        cells = [padding + unicodedata.normalize(form, cell) + padding for cell in row]
        writer.writerow([*cells, *more])
    content = text.getvalue()
    if blank == "sep":
        content = f"sep={separator}{end}{content}"
    if encoding in ("utf-16-le", "utf-16-be"):
        content = "\ufeff" + content
    path = tmp_path / "a.csv"
    path.write_bytes(content.encode(encoding))
    frame = read_people_csv(path, ["été", "name"], ["none"])
    assert list(frame.columns) == ["été", "name", "none"]
    wanted = [row for row in wanted if any(row)]
    assert [[name, ete] for ete, name in frame[["été", "name"]].values.tolist()] == wanted
    assert (frame["none"] == "").all()


@pytest.mark.parametrize(
    ("text", "lines"), [("a\n\n1\n2\n", [3, 4]), ('a\n"1\n1"\n2\n', [2, 4]), ("sep=;\na\n1\n", [3])]
)
def test_the_index_is_the_editors_line(tmp_path, text, lines):
    path = tmp_path / "a.csv"
    path.write_text(text)
    assert list(read_people_csv(path, ["a"]).index) == lines


def test_every_problem_is_listed(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b,b\n1,2,3\n1,2\n1,2,3,4\n1,2,3,\n")
    with pytest.raises(InputError) as caught:
        read_people_csv(path, ["a", "c"])
    assert [(problem.row, problem.column) for problem in caught.value.problems] == [
        (1, "c"),
        (1, "b"),
        (3, None),
        (4, None),
    ]


@pytest.mark.parametrize("content", [b"", b"\n \n", b'a\n"1\n2\n', b"a\n\xe9\n", b"\xff\xfea"])
def test_what_is_no_table_is_refused(tmp_path, content):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.csv"):
        read_people_csv(path, ["a"])


def test_a_missing_last_line_end_is_refused_where_it_is_asked(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a\n1\n2")
    assert len(read_people_csv(path, ["a"])) == 2
    with pytest.raises(InputError, match="row 3: the last line has no line end; is the file cut"):
        read_people_csv(path, ["a"], ended=True)


@given(CELLS)
def test_cleaning_twice_changes_nothing_more(text):
    assert clean_cell(clean_cell(text)) == clean_cell(text)


def test_a_guarded_formula_is_text_again():
    cells = ["'=1+1", "'@x", "'-", "'s-Gravenhage", "'n Boer"]
    cleaned = ["=1+1", "@x", "-", "'s-Gravenhage", "'n Boer"]
    assert [clean_cell(cell) for cell in cells] == cleaned


@given(
    number=st.integers(-(10**12), 10**12),
    gap=st.sampled_from(GAPS),
    decimals=st.sampled_from(["", ".0", ",00"]),
)
def test_integers_as_spreadsheets_show_them(number, gap, decimals):
    assert read_integer(f"{number:,}".replace(",", gap) + decimals) == number


@given(number=st.integers(10**6, 10**12), mark=st.sampled_from([",", "."]))
def test_thousands_that_cannot_be_decimals(number, mark):
    text = f"{number:,}".replace(",", mark)
    assert read_integer(text) == number
    assert read_integer(text + (".00" if mark == "," else ",00")) == number


REFUSED = [
    "1.222",
    "1,222",
    "1.000",
    "1.5",
    "12 22",
    "1 2222",
    "1e5",
    "1,2E+05",
    "",
    "x",
    "٣",
    "1 222.333",
    "1,22,333",
    "--1",
    "0x10",
    "nan",
]


@pytest.mark.parametrize("text", REFUSED)
def test_what_may_be_another_number_is_refused(text):
    with pytest.raises(ValueError):
        read_integer(text)


@pytest.mark.parametrize(
    "text",
    ["id;Kind of\n1;x\n", "sep=;\n\nID;kind of\n", "\ufeff id ;\u00a0Kind  of\n", "\n\nid;kind OF"],
)
def test_the_header_alone_is_read_as_with_the_rows(tmp_path, text):
    path = tmp_path / "a.csv"
    path.write_text(text, encoding="utf-8")
    assert read_header(path) == ["id", "kind of"]
    assert list(read_people_csv(path, ["id"], further=True)) == ["id", "kind of"]


def test_a_file_without_a_header(tmp_path):
    (tmp_path / "a.csv").touch()
    assert read_header(tmp_path / "a.csv") == []
    with pytest.raises(InputError, match="cannot be read"):
        read_header(tmp_path / "b.csv")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_a_file_of_wide_characters_without_their_mark_is_named(tmp_path, encoding):
    path = tmp_path / "a.csv"
    path.write_bytes("id,name\n1,a\n".encode(encoding))
    with pytest.raises(InputError, match=r"row 1: .*NUL.*UTF-16 or UTF-32.*Save as UTF-8"):
        read_people_csv(path, ["id"])
