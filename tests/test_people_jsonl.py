"""JSON Lines as a table that people make."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from strata_labels.errors import InputError
from strata_labels.people_csv import read_header, read_people_csv
from strata_labels.sources import SOURCES


def test_values_become_the_text_that_a_csv_would_hold(tmp_path):
    path = tmp_path / "items.jsonl"
    rows = [
        {"ID": 22.0, "Name": "  Red\u00a0mug ", "image": ["a.jpg", "b.jpg"], "Kind": None},
        {"id": 7, "kind": "'=x", "big": 2**70, "real": 0.5, "yes": True},
    ]
    lines = [json.dumps(row) for row in rows]
    lines[1] = lines[1].replace('"id"', '"ID"').replace('"kind"', '"Kind"')
    path.write_text("\ufeff" + "\r\n\r\n".join(lines), encoding="utf-8")
    assert read_header(path) == ["id", "name", "image", "kind", "big", "real", "yes"]
    frame = read_people_csv(path, ["id"], further=True)
    assert frame.index.tolist() == [1, 3]
    assert frame.to_dict("list") == {
        "id": ["22", "7"],
        "name": ["Red mug", ""],
        "image": ["a.jpg|b.jpg", ""],
        "kind": ["", "=x"],
        "big": ["", str(2**70)],
        "real": ["", "0.5"],
        "yes": ["", "true"],
    }


def test_pandas_writes_what_is_read(tmp_path):
    frame = pd.DataFrame({"id": ["a", "b"], "kind": ["tea", None], "n": [1.0, 2.5]})
    frame.to_json(tmp_path / "x.ndjson", orient="records", lines=True)
    found = read_people_csv(tmp_path / "x.ndjson", ["id"], further=True)
    assert found.to_dict("list") == {"id": ["a", "b"], "kind": ["tea", ""], "n": ["1", "2.5"]}


def test_everything_wrong_is_listed(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_text(
        '{"id": 1}\n{"id": 2,\n[3]\n{"id": 4, "id": 5}\n{"id": {"x": 1}}\n{"id": [[]]}\n'
    )
    with pytest.raises(InputError) as caught:
        read_people_csv(path, ["id"])
    assert [(problem.row, problem.what[:20]) for problem in caught.value.problems] == [
        (2, "not JSON (Expecting "),
        (3, "not a JSON object:"),
        (4, "key appears twice"),
        (5, "a value inside a val"),
    ]
    assert caught.value.problems[-1].what == "a value inside a value (in 2 rows):"
    for content, what in (
        ("\n", "the file is empty"),
        ('{"name": 1}', "column missing: column 'id'"),
    ):
        path.write_text(content)
        with pytest.raises(InputError, match=what.split(":")[0]):
            read_people_csv(path, ["id"])


def test_hostile_values_are_problems_of_their_line(tmp_path):
    path = tmp_path / "items.jsonl"
    lines = [
        "[" * 200_000,
        '{"id": ' + "9" * 5000 + "}",
        '{"id": "\\ud83d"}',
        '{"id": "\\ud83d\\ude00"}',
    ]
    path.write_text("\n".join(lines))
    with pytest.raises(InputError) as caught:
        read_people_csv(path, ["id"])
    assert [(problem.row, problem.what.split(" (")[0]) for problem in caught.value.problems] == [
        (1, "not JSON"),
        (2, "not JSON"),
        (3, "half a character"),
    ]


def test_items_and_known_labels(tmp_path):
    table = SOURCES["table"]
    (tmp_path / "items.jsonl").write_text('{"id": 1, "kind": "tea"}\n{"id": 2}\n')
    assert table.levels(tmp_path) == ("kind",)
    items = table.read(tmp_path, ("item", "kind")).items
    assert table.files(tmp_path) == [tmp_path / "items.jsonl"]
    (tmp_path / "known.jsonl").write_text('{"id": 2, "kind": "salt"}\n')
    known = table.read_labels(tmp_path / "known.jsonl", items, ("item", "kind"))
    assert known.table["node"].tolist() == ["salt"]
