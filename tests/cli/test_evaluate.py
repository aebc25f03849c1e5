"""`strata evaluate`: figures of files of embeddings, and every refusal."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from strata_labels.cli.evaluate import evaluate
from strata_labels.errors import InputError
from typer.testing import CliRunner

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(evaluate)

METRICS = ["ap", "map_at_r", "mrr", "recall_at_1", "recall_at_5", "recall_at_10", "ap_at_10"]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """q.npy, ql.npy, g.npy, gl.npy: 30 queries, 60 gallery items, 2 levels."""
    generator = np.random.default_rng(0)
    for name, n in (("q", 30), ("g", 60)):
        vectors = generator.normal(size=(n, 8))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        np.save(tmp_path / f"{name}.npy", vectors.astype(np.float32))
        np.save(tmp_path / f"{name}l.npy", np.arange(n)[:, None] // np.array([[5, 15]]))
    return tmp_path


def run(folder: Path, *options: str, gallery: bool = False) -> dict:
    """Runs the command; an exception of it is raised here."""
    arguments = {"--query-embeddings": "q.npy", "--query-labels": "ql.npy"}
    if gallery:
        arguments |= {"--gallery-embeddings": "g.npy", "--gallery-labels": "gl.npy"}
    line = [part for key, name in arguments.items() for part in (key, str(folder / name))]
    out = folder / "out.json"
    result = CliRunner().invoke(app, [*line, "--json", str(out), *options])
    if result.exception:
        assert not out.exists()
        raise result.exception
    assert "H-AP" in result.output
    return json.loads(out.read_text())


@pytest.mark.parametrize("gallery", [False, True])
def test_keys_are_the_contract(files: Path, gallery: bool) -> None:
    names = {"hap", "asi", "ndcg"} | {f"{m}_level{level}" for m in METRICS for level in (0, 1)}
    plain = run(files, gallery=gallery)
    assert set(plain) == names | {"num_queries", "num_without_positives"}
    per_query = run(files, "--per-query", gallery=gallery)["per_query"]
    assert set(per_query) == names
    assert all(len(values) == 30 for values in per_query.values())
    assert plain["hap"] == pytest.approx(np.mean(per_query["hap"]))


def test_a_query_without_positive_is_null(files: Path) -> None:
    labels = np.load(files / "ql.npy")
    labels[-1] = [99, 99]
    np.save(files / "ql.npy", labels)
    result = run(files, "--per-query")
    assert result["num_without_positives"] == 1
    assert result["per_query"]["hap"][-1] is None
    assert math.isfinite(result["hap"])


def test_options_reach_the_numbers(files: Path) -> None:
    plain = run(files)
    assert run(files, "--relevance", "map")["hap"] != plain["hap"]
    assert run(files, "--relevance-counts-query")["hap"] != plain["hap"]
    np.save(files / "q.npy", np.load(files / "q.npy") * 3)
    assert run(files, "--normalize")["hap"] == pytest.approx(plain["hap"])
    assert run(files, "--similarity", "dot")["hap"] == pytest.approx(plain["hap"])


def test_embeddings_are_averaged_with_their_nearest_of_the_gallery(files: Path) -> None:
    queries, gallery = np.load(files / "q.npy"), np.load(files / "g.npy")
    expanded = run(files, "--expand", "3", gallery=True)

    def mean_of(vectors: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        sums = vectors + gallery[nearest].astype(np.float64).sum(1)
        return (sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float32)

    near = np.argsort(-queries @ gallery.T)[:, :3]
    own = np.argsort(-gallery @ gallery.T)[:, 1:4]  # the first one is the item itself
    np.save(files / "q.npy", mean_of(queries, near))
    np.save(files / "g.npy", mean_of(gallery, own))
    assert run(files, gallery=True) == pytest.approx(expanded)
    (files / "out.json").unlink()
    with pytest.raises(InputError) as caught:
        run(files, "--expand", "3", "--similarity", "dot")
    assert [problem.what for problem in caught.value.problems] == [
        "needs a gallery",
        "needs cosine, not",
    ]
    with pytest.raises(InputError, match=r"k must be 1 \.\.\. 59.*got 60"):
        run(files, "--expand", "60", gallery=True)


def test_another_machines_byte_order_is_read(files: Path) -> None:
    plain = run(files)
    np.save(files / "q.npy", np.load(files / "q.npy").astype(">f4"))
    assert run(files) == plain


@pytest.mark.parametrize("form", ["lists", "columns"])
def test_parquet_is_as_good_as_npy(files: Path, form: str) -> None:
    plain = run(files)
    vectors, labels = np.load(files / "q.npy"), np.load(files / "ql.npy")
    if form == "lists":
        frame = pd.DataFrame({"key": [str(i) for i in range(30)], "vector": list(vectors)})
        table = pd.DataFrame({"note": 7, "level1": labels[:, 1], "level0": labels[:, 0]})
    else:
        frame = pd.DataFrame(vectors).rename(columns=str)
        table = pd.DataFrame(labels).rename(columns=str)
    frame.to_parquet(files / "q.parquet")
    table.to_parquet(files / "ql.parquet")
    options = ["--query-embeddings", files / "q.parquet", "--query-labels", files / "ql.parquet"]
    assert run(files, *map(str, options)) == plain


def test_bootstrap_and_paired_test(files: Path) -> None:
    noisy = np.load(files / "q.npy")
    np.save(files / "same.npy", noisy)
    result = run(files, "--bootstrap", "200", "--against", str(files / "same.npy"))
    low, high = result["intervals"]["hap"]
    assert low < result["hap"] < high
    assert result["against"]["hap"]["difference"] == 0
    assert result["against"]["hap"]["p_value"] == 1
    # Embeddings that know the labels are better, and the test says so.
    labels = np.load(files / "ql.npy")
    np.save(files / "good.npy", np.eye(30)[labels[:, 0]].astype(np.float32))
    result = run(files, "--against", str(files / "good.npy"))
    assert result["against"]["ap_level0"]["difference"] > 0.3
    assert result["against"]["ap_level0"]["p_value"] < 0.01
    assert result == run(files, "--against", str(files / "good.npy"))


def break_shape(folder: Path) -> None:
    np.save(folder / "q.npy", np.load(folder / "q.npy")[:, 0])


def break_type(folder: Path) -> None:
    np.save(folder / "q.npy", np.arange(60).reshape(30, 2))


def break_label_type(folder: Path) -> None:
    np.save(folder / "ql.npy", np.load(folder / "ql.npy") * 1.0)


def break_overflow(folder: Path) -> None:
    np.save(folder / "ql.npy", np.full((30, 1), 2**64 - 1, dtype=np.uint64))


def break_bytes(folder: Path) -> None:
    (folder / "q.npy").write_bytes((folder / "q.npy").read_bytes()[:-100])


def break_header(folder: Path) -> None:
    (folder / "q.npy").write_bytes(b"hello")


def break_pickle(folder: Path) -> None:
    np.save(folder / "q.npy", np.array([{"a": 1}]), allow_pickle=True)


def break_absent(folder: Path) -> None:
    (folder / "q.npy").unlink()


def break_nan(folder: Path) -> None:
    vectors = np.load(folder / "q.npy")
    vectors[4, 1] = np.nan
    np.save(folder / "q.npy", vectors)


def break_length(folder: Path) -> None:
    np.save(folder / "q.npy", np.load(folder / "q.npy") * 2)


def break_rows(folder: Path) -> None:
    np.save(folder / "ql.npy", np.load(folder / "ql.npy")[:29])


def break_nesting(folder: Path) -> None:
    labels = np.load(folder / "ql.npy")
    labels[0, 1] = 77
    np.save(folder / "ql.npy", labels)


def break_small(folder: Path) -> None:
    for name in ("q", "ql"):
        np.save(folder / f"{name}.npy", np.load(folder / f"{name}.npy")[:10])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_shape, r"not a table of floats .* float32 of shape \(30,\)"),
        (break_type, "not a table of floats .* int64"),
        (break_label_type, "not a table of integers .* float64"),
        (break_overflow, "overflows a signed 64-bit integer: 18446744073709551615"),
        (break_bytes, "q.npy: cannot be read"),
        (break_header, "q.npy: cannot be read"),
        (break_pickle, "q.npy: cannot be read"),
        (break_absent, "q.npy: no such file"),
        (break_nan, "query must be finite, got nan in row 4"),
        (break_length, "length 2 in row 0"),
        (break_rows, "same length, got 30 and 29"),
        (break_nesting, "class 0 of level 0 lies under classes 77 and 0 of level 1"),
        (break_small, "k = 10 is larger than the gallery: 9 items"),
    ],
)
def test_damaged_input_is_refused_by_name_and_nothing_written(
    files: Path, damage, message: str
) -> None:
    damage(files)
    with pytest.raises(InputError, match=message):
        run(files)


def test_all_problems_are_listed_at_once(files: Path) -> None:
    break_nan(files)
    break_label_type(files)
    with pytest.raises(InputError) as caught:
        run(files, "--gallery-labels", str(files / "absent.npy"), "--device", "abacus")
    text = str(caught.value)
    for part in ("row 4", "float64", "absent.npy: no such file", "one without the other", "abacus"):
        assert part in text


def test_against_must_fit(files: Path) -> None:
    with pytest.raises(InputError, match=r"60 rows, .* have 30"):
        run(files, "--against", str(files / "g.npy"))
    with pytest.raises(InputError, match="--against-gallery"):
        run(files, "--against", str(files / "q.npy"), gallery=True)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"vector": [[1.0, 0.0], [1.0]]}),
        pd.DataFrame({"vector": [[1.0, None], [1.0, 0.0]]}),
        pd.DataFrame({"name": ["a", "b"]}),
        pd.DataFrame({"a": [1.0, None]}),
    ],
)
def test_odd_parquet_is_refused(files: Path, frame: pd.DataFrame) -> None:
    frame.to_parquet(files / "odd.parquet")
    with pytest.raises(InputError, match=r"odd\.parquet"):
        run(files, "--query-embeddings", str(files / "odd.parquet"))


@pytest.mark.parametrize("option", ["--query-embeddings", "--query-labels"])
def test_columns_of_one_name_are_refused(files: Path, option: str) -> None:
    column = pa.array(range(len(np.load(files / "q.npy"))))
    columns = pa.table([column, column, column], names=["level0", "level1", "level0"])
    pq.write_table(columns, files / "twice.parquet")
    with pytest.raises(InputError, match=r"twice\.parquet: column appears twice: 'level0'"):
        run(files, option, str(files / "twice.parquet"))


@pytest.mark.shared
def test_recorded_values_through_the_command(shared: Path, tmp_path: Path) -> None:
    record = np.load(shared / "reference" / "metrics_two_levels_same_set.npz")
    np.save(tmp_path / "q.npy", record["query"])
    np.save(tmp_path / "ql.npy", record["query_labels"])
    values = run(tmp_path, "--per-query")["per_query"]
    np.testing.assert_allclose(values["hap"], record["expect_hap"], atol=1e-5)
    np.testing.assert_allclose(values["asi"], record["expect_asi"], atol=1e-5)


def test_unknown_labels_are_an_error_or_left_out(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(30, 4)).astype(np.float32)
    labels = np.arange(30)[:, None] // np.array([3, 15])
    np.save(tmp_path / "known.npy", labels[1:])
    np.save(tmp_path / "x1.npy", x[1:])
    labels[0, 1] = -1
    np.save(tmp_path / "labels.npy", labels)
    np.save(tmp_path / "x.npy", x)

    def run(name: str, array: str, *more: str) -> int:
        words = ["--query-embeddings", str(tmp_path / array), "--normalize"]
        words += ["--query-labels", str(tmp_path / name), "--json", str(tmp_path / "out.json")]
        return CliRunner().invoke(app, [*words, *more]).exit_code

    assert run("labels.npy", "x.npy") != 0
    assert run("labels.npy", "x.npy", "--leave-out-unknown") == 0
    found = json.loads((tmp_path / "out.json").read_text())
    assert found.pop("query_unknown_left_out") == 1
    assert run("known.npy", "x1.npy") == 0
    assert found == json.loads((tmp_path / "out.json").read_text())


@pytest.mark.parametrize("kind", ["string", "large_string", "dictionary"])
def test_classes_by_name_are_those_of_their_numbers(files: Path, kind: str) -> None:
    """As a training leaves them beside its vectors."""
    expected = run(files, gallery=True)
    types = {
        "string": pa.string(),
        "large_string": pa.large_string(),
        "dictionary": pa.dictionary(pa.int32(), pa.string()),
    }
    for name in ("ql", "gl"):
        fine, coarse = np.load(files / f"{name}.npy").T
        levels = {"level0": [f"œuvre {n}" for n in fine], "level1": [f"group {n}" for n in coarse]}
        table = pa.table(
            {"path": ["p"] * len(fine)}
            | {key: pa.array(values, types[kind]) for key, values in levels.items()}
        )
        pq.write_table(table, files / f"{name}.parquet")
    named = ["--query-labels", str(files / "ql.parquet")]
    named += ["--gallery-labels", str(files / "gl.parquet")]
    assert run(files, *named, gallery=True) == expected


@pytest.mark.parametrize("blank", ["", "  ", None])
def test_a_blank_name_is_no_class(files: Path, blank: str | None) -> None:
    names = np.load(files / "ql.npy").astype(str)
    table = pd.DataFrame(names, columns=["level0", "level1"])
    table.loc[2, "level1"] = blank
    table.to_parquet(files / "ql.parquet")
    with pytest.raises(InputError, match=r"ql\.parquet, row 3, column 'level1': a blank value"):
        run(files, "--query-labels", str(files / "ql.parquet"))


def test_names_that_stand_for_unknown_are_unknown(files: Path) -> None:
    labels = np.load(files / "ql.npy").astype(str)
    table = pd.DataFrame(labels, columns=["level0", "level1"]).replace({"0": "nan"})
    table.to_parquet(files / "ql.parquet")
    named = ["--query-labels", str(files / "ql.parquet")]
    with pytest.raises(InputError, match="-1"):
        run(files, *named)
    assert run(files, *named, "--leave-out-unknown")["query_unknown_left_out"] == 15
