"""Patches for published labels: applied by `patch` and by git, they give the workspace's labels."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from building import ROOT, Strata
from hypothesis import given, settings
from hypothesis import strategies as st
from strata_labels.build import Workspace, correct_published
from strata_labels.errors import InputError
from strata_labels.export import PUBLICATIONS, find_corrections
from strata_labels.export.published_csv import patch_of, read_published_csv
from strata_labels.sources import draw_products
from strata_labels.tables import load

LEVELS = ("supercategory", "hierarchical_label", "natural_or_human_made")
URL = "http://commons.wikimedia.org/wiki/Category:"
NAME = "train_label_to_hierarchical.csv"
HEADER = ",".join(["landmark_id", "category", *LEVELS])
PATCH = ["patch", "-p1", "--quiet", "--fuzz=0"]
GIT = ["git", "apply", "-p1"]

pytestmark = pytest.mark.skipif(
    not (shutil.which("patch") and shutil.which("git")), reason="patch and git are needed"
)


def applied(tool: list[str], folder: Path, patch: bytes, name: str) -> bytes:
    """The file after a tool has applied the patch in its folder."""
    run = subprocess.run(tool, cwd=folder, input=patch, capture_output=True)
    assert run.returncode == 0, run.stderr.decode()
    assert not list(folder.glob("*.orig")) and not list(folder.glob("*.rej"))
    return (folder / name).read_bytes()


def labels(*rows: tuple) -> pd.DataFrame:
    """Labels of a workspace: number, accepted, the labels, finest first."""
    return pd.DataFrame(
        [
            (f"gldv2/train/{n}", str(n), "train", f"{URL}Place_{n}", accepted, *names)
            for n, accepted, *names in rows
        ],
        columns=["item_id", "id", "split", "source_url", "accepted", *LEVELS],
    )


def found(folder: Path, text: bytes, own: pd.DataFrame, name: str = NAME):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(text)
    return find_corrections(folder, PUBLICATIONS["gldv2"], own, LEVELS)


OWN = labels(
    (1, True, "palace", "castle / fort", "human-made"),
    (2, True, "lake", "lake", "natural"),
    (3, False, "dam", "dam", "human-made"),
    (4, True, "", "ocean area", "natural"),
    (9, True, "hill", "hill", "natural"),
)
ROWS = [
    f'1,"{URL}Place_1",church,"church, old",human-made',
    f"2,{URL}Place_2,,,",
    f"3,{URL}Place_3,lake,lake,natural",
    f"4,{URL}Place_4,,ocean area ,natural",
    f"77,{URL}Newer,lake,lake,natural",
]


@pytest.mark.parametrize("tool", [PATCH, GIT], ids=["patch", "git"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("start", ["", "\ufeff"], ids=["", "BOM"])
@pytest.mark.parametrize("last", [True, False], ids=["ended", "cut"])
@pytest.mark.parametrize("name", [NAME, "TRAIN_Label_to_hierarchical.CSV"])
def test_odd_bytes_stay_as_they_are(tmp_path, tool, end, start, last, name):
    text = start + end.join([HEADER, *ROWS]) + (end if last else "")
    corrections = found(tmp_path / "published", text.encode(), OWN, name)
    rows = [
        f'1,"{URL}Place_1",palace,"castle / fort",human-made',
        f"2,{URL}Place_2,lake,lake,natural",
        ROWS[2],
        f"4,{URL}Place_4,,ocean area,natural",
        ROWS[4],
    ]
    expected = start + end.join([HEADER, *rows]) + (end if last else "")
    patch = corrections.patches[name].encode()
    assert applied(tool, tmp_path / "published", patch, name) == expected.encode()
    assert corrections.table.change.tolist() == ["changed", "filled in", "only spaces"]
    assert corrections.table.row.tolist() == [2, 3, 5]
    left = corrections.left_out.set_index("id").reason
    assert left["3"].startswith("differs, and waits") and left["77"] == "not in the workspace"
    assert "in no published file" in left["9"]


CELLS = st.text(st.sampled_from('ab ,;"\n\tä' + "\u2028"), max_size=5)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=30),
    st.dictionaries(st.integers(0, 29), st.dictionaries(st.integers(1, 2), CELLS, min_size=1)),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
def test_only_the_named_cells_change(rows, changes, end, ended, quoting):
    rows = [[str(n), *cells[1:]] for n, cells in enumerate(rows)]
    changes = {n: cells for n, cells in changes.items() if n < len(rows)}
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end, quoting=quoting).writerows([["id", "x", "y"], *rows])
    content = text.getvalue() if ended else text.getvalue().removesuffix(end)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "some labels.csv"
        path.write_bytes(content.encode())
        patch = patch_of(read_published_csv(path, ["id"]), path.name, changes)
        for row, cells in changes.items():
            for column, value in cells.items():
                rows[row][column] = value
        if patch:
            result = applied(PATCH, Path(folder), patch.encode(), path.name)
        else:
            result = path.read_bytes()
        read = list(csv.reader(io.StringIO(result.decode(), newline="")))
    assert read == [["id", "x", "y"], *rows]
    assert result.endswith(end.encode()) == ended or not ended
    if not changes:
        assert result == content.encode()


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            f"{HEADER}\n{ROWS[0]}\n{ROWS[1]}\n1.0,{URL}Place_1,,,\n",
            [(4, "landmark_id", "the id is there twice (first in row 2):")],
        ),
        (
            f"{HEADER}\n{ROWS[1]},\n2\n",
            [(2, None, "6 cells under 5"), (3, None, "1 cells under 5")],
        ),
        (f'{HEADER}\n1,"open,,,\n', [(2, None, "open quotation mark")]),
        (f"{HEADER}\r{ROWS[1]}\r", [(1, None, "a line that ends in a carriage return alone")]),
        ("landmark_id,lake\n1,x\n", [(1, None, "no column of labels")]),
        ("id,hierarchical_label\n1,x\n", [(1, "landmark_id", "column missing")]),
        (f"{HEADER},Supercategory\n", [(1, None, "column is there twice:")]),
        ("", [(None, None, "no row in it")]),
    ],
)
def test_what_is_wrong_in_a_file_is_named_by_row(tmp_path, text, problems):
    with pytest.raises(InputError) as refused:
        found(tmp_path, text.encode(), OWN)
    shown = [(p.row, p.column, p.what) for p in refused.value.problems]
    assert [(row, column) for row, column, _ in shown] == [(r, c) for r, c, _ in problems]
    for (_, _, what), (_, _, start) in zip(shown, problems, strict=True):
        assert what.startswith(start)


def test_other_encodings_and_other_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="row 2: not UTF-8"):
        found(tmp_path / "a", f"{HEADER}\n1,ä,,,\n".encode("latin-1"), OWN)
    (tmp_path / "b").mkdir()
    with pytest.raises(InputError, match="no released file of labels"):
        find_corrections(tmp_path / "b", PUBLICATIONS["gldv2"], OWN, LEVELS)


def test_an_id_of_another_place_is_not_corrected(tmp_path):
    text = f"{HEADER}\n1,{URL}Elsewhere,church,church,human-made\n"
    corrections = found(tmp_path, text.encode(), OWN)
    assert not corrections.patches
    assert "another address" in corrections.left_out.reason[0]


def check_workspace(workspace: Path, published: Path, out: Path, tool: list[str]) -> int:
    """Applies the patches, and compares the files with the workspace; the number of corrections."""
    before = {path.name: path.read_bytes() for path in published.glob("*.csv")}
    items, own = load(workspace, "items"), load(workspace, "assignments")
    both = own.merge(items[["item_id", "source_id"]], on="item_id")
    corrected = 0
    for path in sorted(published.glob("*.csv")):
        patch = out / f"{path.name}.patch"
        if patch.is_file():
            applied(tool, published, patch.read_bytes(), path.name)
        split = path.name.partition("_")[0]
        ours = both[both.split == split].set_index("source_id")
        new = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        new = new.set_index(new.landmark_id.astype(int))
        old = before[path.name].split(b"\n")
        changed = sum(a != b for a, b in zip(old, path.read_bytes().split(b"\n"), strict=True))
        table = pd.read_csv(out / "corrections.csv", dtype=str, keep_default_na=False)
        assert changed == (table.file == path.name).sum()
        corrected += changed
        sure = ours[ours.accepted & ours.index.isin(new.index)]
        for n, level in enumerate(LEVELS, 1):
            if level in new:
                names = sure[f"level{n}_name"].where(sure.status == "labelled").fillna("")
                assert new.loc[sure.index, level].tolist() == names.tolist()
    return corrected


def decide(strata: Strata, workspace: Path, folder: Path, target: str) -> None:
    """Decides some open rows of every kind, in a sheet."""
    sheet = pd.read_csv(
        workspace / "review.csv", dtype=str, keep_default_na=False, encoding="utf-8-sig"
    )
    nodes = sheet[sheet.row_id.str.startswith("2:")].head(6).assign(decision="keep")
    items = sheet[sheet.row_id.str.startswith("1:")].head(12)
    items = items.assign(decision=(["keep", "move", "exclude"] * 4)[: len(items)])
    items["target"] = items.decision.map({"move": target}).fillna("")
    columns = ["row_id", "decision", "target"]
    pd.concat([nodes, items]).fillna("")[columns].to_csv(folder / "sheet.csv", index=False)
    run = strata("apply", workspace, folder / "sheet.csv", "--reviewer", "=ann")
    assert run.returncode in (0, 3), run.stderr


@pytest.fixture(scope="module")
def decided(strata: Strata, sample_build, tmp_path_factory) -> tuple[Path, Path]:
    """The embedded sample with decisions, and its labels before, as somebody published them."""
    folder = tmp_path_factory.mktemp("decided")
    shutil.copytree(sample_build[0], folder / "WS", symlinks=True)
    (folder / "published").mkdir()
    for path in (folder / "WS/export/gldv2").glob("*_label_to_hierarchical.csv"):
        content = path.read_bytes().replace(b"\n", b"\r\n").removesuffix(b"\r\n")
        (folder / "published" / path.name).write_bytes(content)
    decide(strata, folder / "WS", folder, "lake")
    return folder / "WS", folder / "published"


@pytest.mark.parametrize("tool", [PATCH, GIT], ids=["patch", "git"])
def test_the_sample_is_corrected(decided, strata, tmp_path, tool):
    workspace, original = decided
    published, out = tmp_path / "published", tmp_path / "out"
    shutil.copytree(original, published)
    run = strata("diff", published, workspace, "--out", out, "--json", tmp_path / "n.json")
    assert run.returncode == 0, run.stderr
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    assert strata("diff", published, workspace, "--out", out).returncode == 0
    assert first == {path.name: path.read_bytes() for path in out.iterdir()}
    assert check_workspace(workspace, published, out, tool) > 5
    table = pd.read_csv(out / "corrections.csv", dtype=str, keep_default_na=False)
    human = table[table.origin == "human"]
    assert human.decided_by.str.startswith("'=ann (").all() and len(human)
    assert human.evidence.str.contains("=ann ").all() and table.evidence.ne("").all()
    assert table.filter(like="confidence").stack().str.fullmatch(r"(0\.\d{1,4}|1\.0|0\.0)?").all()
    readme = (out / "README.md").read_text()
    assert f"patch -p1 < {NAME}.patch" in readme and "cc-by-4.0" in readme
    # Applied, nothing is left to correct.
    again = correct_published(Workspace(workspace), published, tmp_path / "again")
    assert again.table.empty and not again.patches
    assert "No published label is corrected" in (tmp_path / "again/README.md").read_text()


def test_every_command_of_the_guide_runs(decided, strata, home, tmp_path):
    workspace, original = decided
    shutil.copytree(original, tmp_path / "PUBLISHED")
    text = (ROOT / "docs/corrections.md").read_text(encoding="utf-8")
    commands = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    assert [command.split()[0] for command in commands] == ["strata", "cd", "patch"]
    places = {"WS": workspace, "DIR": tmp_path / "DIR", "PUBLISHED": tmp_path / "PUBLISHED"}
    assert strata(*(places.get(word, word) for word in commands[0].split()[1:])).returncode == 0
    (tmp_path / "PUBLISHED/DIR").symlink_to(tmp_path / "DIR")
    script = "\n".join(["set -e", *commands[1:]])
    subprocess.run(["bash", "-c", script], cwd=tmp_path, check=True, capture_output=True)
    inline = re.search(r"`(git apply \S+)`", text)
    assert inline
    shutil.rmtree(tmp_path / "PUBLISHED")
    shutil.copytree(original, tmp_path / "PUBLISHED")
    (tmp_path / "PUBLISHED/DIR").symlink_to(tmp_path / "DIR")
    subprocess.run(inline[1].split(), cwd=tmp_path / "PUBLISHED", check=True, capture_output=True)


def test_what_does_not_go_together_is_refused(decided, strata, tmp_path):
    workspace, published = decided
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").write_text("mine")
    for words, text in (
        (("diff", published, workspace, "--out", tmp_path / "out"), "thesis.txt"),
        (
            ("diff", published, workspace, "--out", tmp_path / "o", "--csv", "x.csv"),
            "--csv: does not",
        ),
        (("diff", workspace, workspace, "--out", tmp_path / "o"), "published labels are wanted"),
        (("diff", published, workspace), "--out"),
    ):
        run = strata(*words)
        assert run.returncode == 2 and text in run.stderr, run.stderr
        assert "Traceback" not in run.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_a_table_of_ones_own_is_corrected(strata, tmp_path):
    rows = [f"{n},thing {n},{'pear' if n % 2 else 'apple'},fruit" for n in range(12)]
    path = tmp_path / "my labels.csv"
    path.write_bytes("\r\n".join(["id,name,kind,group", *rows]).encode())
    run = strata("build", "table", tmp_path / "WS", "--items", path)
    assert run.returncode in (0, 3), run.stderr
    items = load(tmp_path / "WS", "items").item_id
    item = next(item for item in items if item.endswith("/3"))
    sheet = f"row_id,decision,target\n1:{item},move,apple\n"
    (tmp_path / "sheet.csv").write_text(sheet)
    assert strata(
        "apply", tmp_path / "WS", tmp_path / "sheet.csv", "--reviewer", "b"
    ).returncode in (0, 3)
    assert strata("diff", path, tmp_path / "WS", "--out", tmp_path / "out").returncode == 0
    patch = (tmp_path / "out/my labels.csv.patch").read_bytes()
    expected = path.read_bytes().replace(b"3,thing 3,pear", b"3,thing 3,apple")
    assert applied(PATCH, tmp_path, patch, path.name) == expected


def test_files_without_a_patch_are_refused(strata, tmp_path):
    draw_products(tmp_path, supers=2, kinds=1, products=2)
    run = strata("build", "sop-h", tmp_path / "WS", "--metadata", tmp_path)
    assert run.returncode in (0, 3), run.stderr
    run = strata("diff", tmp_path, tmp_path / "WS", "--out", tmp_path / "out")
    assert run.returncode == 2 and "no CSV files of labels are published" in run.stderr


@pytest.mark.shared
def test_the_real_release_is_corrected(shared, strata, tmp_path):
    """The whole released sample, and a workspace that knows a part of it."""
    source = shared / "gldv2" / "train_label_to_hierarchical.sample.csv"
    published = tmp_path / "published"
    published.mkdir()
    shutil.copyfile(source, published / source.name)
    lines = source.read_bytes().splitlines(keepends=True)
    (tmp_path / "train_part.csv").write_bytes(b"".join(lines[:500]))
    run = strata(
        "build", "gldv2-h", tmp_path / "WS", "--metadata", tmp_path / "train_part.csv",
        "--encoder", "",
    )  # fmt: skip
    assert run.returncode in (0, 3), run.stderr
    decide(strata, tmp_path / "WS", tmp_path, "lake")
    run = strata("diff", published, tmp_path / "WS", "--out", tmp_path / "out")
    assert run.returncode == 0, run.stderr
    for tool in (PATCH, GIT):
        shutil.copyfile(source, published / source.name)
        assert check_workspace(tmp_path / "WS", published, tmp_path / "out", tool) > 5
    left = pd.read_csv(tmp_path / "out/left_out.csv")
    assert (left.reason == "not in the workspace").sum() == len(lines) - 500
