"""README and docs: the site builds strictly, examples run, and tables, figures and options hold."""

from __future__ import annotations

import doctest
import importlib.util
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from documentation import PAGES, README, ROOT
from strata_labels.cli import app
from strata_labels.export import FORMAT_NAMES
from strata_labels.review.decisions import DECISIONS
from strata_labels.table_contracts import TABLES, assignments_table

from benchmarks import gldv2_size, tables_page

DOCS = ROOT / "docs"
MEASURED = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
#: Options in README and docs that are of other programs.
OTHER_OPTIONS = {
    "--all", "--no-prompt", "--nproc-per-node", "--pool", "--type",
    "--exclude-newer", "--faults", "--shared",
}  # fmt: skip


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def cells(page: str, first: str) -> list[list[str]]:
    """The rows of the table whose first column is `first`, cell by cell."""
    lines = text_of(DOCS / page).split(f"\n| {first} |", 1)[1].splitlines()[2:]
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines)
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip("|"))] for row in rows]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: a broken link, a page outside of the navigation fails."""
    if importlib.util.find_spec("mkdocstrings") is None:
        pytest.skip("extra `docs` is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert {"index.html", "tables.html", "losses.html"} <= {page.name for page in pages}
    loads = re.compile(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"']?(?:https?:)?//[^>]*>")
    for page in pages:
        found = [tag for tag in loads.findall(text_of(page)) if 'rel="canonical"' not in tag]
        assert not found, page
        assert 'class="mermaid"' not in text_of(page), "is drawn by a script from a CDN"
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//", text_of(style)), style


def test_the_reference_has_the_public_names(site: Path) -> None:
    for page, names in {
        "retrieval": ("evaluate_embeddings", "hap", "paired_test"),
        "losses": ("SupHAPLoss", "ClusterLoss", "Sum"),
        "trees": ("LabelTree", "load", "build_tree"),
        "training": ("load_recipe", "load_model", "train"),
    }.items():
        text = text_of(site / "reference" / f"{page}.html")
        assert all(re.search(rf'id="strata_labels\.[\w.]*{name}"', text) for name in names), page


def test_the_examples_of_the_python_api_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = doctest.ELLIPSIS | doctest.REPORT_NDIFF
    failed, tried = doctest.testfile(str(DOCS / "api.md"), False, optionflags=flags)
    assert tried > 30 and not failed


def test_the_example_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", text_of(README), re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    assert 0 < float(capsys.readouterr().out) <= 1


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    text = text_of(README)
    assert len(text.splitlines()) <= 150
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (ROOT / link).exists(), link


def test_every_picture_of_the_docs_is_shown() -> None:
    shown = "".join(map(text_of, PAGES))
    for picture in DOCS.glob("*.png"):
        assert picture.name in shown, f"{picture.name} is on no page"


def options() -> set[str]:
    """All options of all commands."""
    command = typer.main.get_command(app)
    assert isinstance(command, typer.core.TyperGroup)
    found = {"--help"}
    for one in (command, *command.commands.values()):
        for parameter in one.params:
            found |= {*parameter.opts, *parameter.secondary_opts}
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_option_that_is_named_exists(page: Path) -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text_of(page)))
    assert named <= options() | OTHER_OPTIONS


def test_the_page_of_tables_is_generated() -> None:
    assert text_of(tables_page.PAGE) == tables_page.page(), "run `make cards`"


def test_every_column_has_a_meaning() -> None:
    for name, table in (TABLES | {"assignments": assignments_table(3)}).items():
        assert table.row and all(column.meaning for column in table.columns), name
        assert len(set(table.schema.names)) == len(table.columns), name


def test_all_decisions_and_formats_are_explained() -> None:
    decisions = [row[0].strip("`") for row in cells("reviewing.md", "decision")]
    assert decisions == list(DECISIONS)
    assert [row[0].strip("`") for row in cells("formats.md", "format")] == sorted(FORMAT_NAMES)


@pytest.mark.parametrize("page", ["how.md", "limits.md"])
def test_every_measured_figure_is_in_the_measurements(page: str) -> None:
    """Of tables: each number of two digits or more; a target is quoted from there, too."""
    rows = [line for line in text_of(DOCS / page).splitlines() if line.startswith("|")]
    figures = re.findall(r"\d[\d.,]*\d", "\n".join(rows))
    measured = set(re.findall(r"\d[\d.,]*\d", MEASURED))
    assert len(figures) > 10
    assert [figure for figure in figures if figure not in measured] == []


def test_the_hours_of_images_follow_from_the_measured_costs() -> None:
    """docs/images.md: each row is computed from the costs that stand below the table."""
    text = " ".join(text_of(DOCS / "images.md").split())
    prepare, keep, encode, check, kept = (
        float(re.search(pattern, text)[1])  # type: ignore[index]
        for pattern in (
            r"prepare ([\d.]+) ms", r"kept image ([\d.]+) ms", r"`registry` ([\d.]+) ms",
            r"checksums ([\d.]+) MB/s", r"kept image has ([\d.]+) kB",
        )
    )  # fmt: skip
    costs = gldv2_size.Costs(prepare / 1e3, keep / 1e3, encode / 1e3, 1e-6 / check, kept * 1e3)
    machines = {
        "laptop, 2 cores, 2 processes": (2, 2, 0),
        "1 GPU, 16 cores, 1 process": (16, 1, 1),
        "8 GPUs, 128 cores, 8 processes": (128, 8, 8),
    }
    rows = cells("images.md", "machine")
    assert len(rows) == 6
    for row in rows:
        cores, processes, gpus = machines[row[0]]
        images = int(row[1].replace(",", ""))
        line = gldv2_size.row(row[0], images, cores, processes, costs, gpus)
        for shown, computed in zip(row, line.strip("|").split("|"), strict=True):
            assert number(shown) == pytest.approx(number(computed), rel=0.02, abs=0.1), row


def number(cell: str) -> float:
    """The first number of a cell: the costs are rounded where they stand in the text."""
    return float(re.search(r"\d[\d,.]*", cell)[0].replace(",", ""))  # type: ignore[index]


def test_the_killed_commands_are_those_of_the_test() -> None:
    source = text_of(ROOT / "tests" / "kill.py")
    killed = {row[0].split("`")[1] for row in cells("interruptions.md", "command")}
    assert killed == set(re.findall(r'^ {12}"(\w+)": Run\(', source, re.MULTILINE))
