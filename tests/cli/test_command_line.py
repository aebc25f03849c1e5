"""The command line as a contract: help, version, lists, options made from the settings."""

from __future__ import annotations

import os
import subprocess
import sys
from enum import Enum
from pathlib import Path

import pytest
from publishing import Site, serve
from strata_labels import __version__
from strata_labels.build import STAGES
from strata_labels.cli import app
from strata_labels.embedding import encoder_names
from strata_labels.errors import InputError
from strata_labels.export.formats import FORMATS
from strata_labels.hierarchy import known_trees
from strata_labels.settings import BuildOptions
from strata_labels.sources import SOURCES
from strata_labels.sources.download import download_all
from typer.main import get_command
from typer.testing import CliRunner

COMMANDS = get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_describes_every_option(name: str) -> None:
    for parameter in COMMANDS[name].params:
        described = parameter.help
        assert described, f"{name}: {parameter.name}"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_every_default(name: str) -> None:
    said = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "80"}).output
    said = "".join(said.split())  # lines break at hyphens too
    for parameter in COMMANDS[name].params:
        shown, default = "".join(parameter.help.split()), parameter.default
        assert shown in said
        if default not in (None, False, "", ()) and not parameter.required:
            text = str(default.value if isinstance(default, Enum) else default)
            assert f"{shown}[default:{text}" in said, parameter.name


def test_the_list_of_commands_cuts_no_sentence() -> None:
    said = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80"}).output
    commands = said.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in commands] == list(COMMANDS)
    assert [line for line in commands if not line.endswith(".") or line.endswith("...")] == []


def test_fetch_names_every_data_set() -> None:
    said = CliRunner().invoke(app, ["fetch", "--help"]).output
    published = [name for name, source in SOURCES.items() if source.DOWNLOADS]
    assert published and all(name in said for name in published)


def test_the_shell_completes_names() -> None:
    def completed(*words: str) -> list[str]:
        line = {"COMP_WORDS": " ".join(("strata", *words)), "COMP_CWORD": str(len(words))}
        environment = {**os.environ, "_STRATA_COMPLETE": "complete_bash", **line}
        strata = Path(sys.executable).with_name("strata")
        run = subprocess.run([strata], env=environment, capture_output=True, text=True, check=True)
        return run.stdout.split()

    assert completed("expl") == ["explain"]
    assert completed("build", "g") == ["gldv2-h"]
    assert completed("fetch", "i") == ["inat2018"]
    assert completed("export", "ws", "--format", "s") == ["skos", "sop", "suprank"]
    assert set(completed("train", "--recipe", "happier-s")) >= {"happier-sop"}
    assert "--label-issues" in completed("build", "--lab")


def test_build_offers_every_setting() -> None:
    offered = {parameter.name: parameter for parameter in COMMANDS["build"].params}
    for name, field in BuildOptions.model_fields.items():
        assert offered[name].help == field.description


def test_version_and_lists() -> None:
    run = CliRunner().invoke(app, ["--version"])
    assert run.output == f"strata {__version__}\n" and run.exit_code == 0
    found = {
        what: CliRunner().invoke(app, ["list", what]).output
        for what in ("trees", "formats", "recipes", "encoders")
    }
    assert [line.split()[0] for line in found["trees"].splitlines()] == known_trees()
    assert "suprank" in found["formats"].split() and "happier" in found["recipes"].split()
    row = "happier-sop SOP 0.9 suphap + 0.1 cluster SupRank and HAPPIER, loss/HAPPIER_SOP.yaml"
    assert row.split() in [line.split() for line in found["recipes"].splitlines()]
    assert [line.split()[0] for line in found["formats"].splitlines()] == list(FORMATS)
    everything = CliRunner().invoke(app, ["list"]).output
    assert all(line in everything for what in ("trees", "formats") for line in found[what].split())
    encoders = found["encoders"].split()
    assert encoders[0] == "registry" and "ViT-L-14/laion2b_s32b_b82k" in encoders


def test_the_list_of_encoders_is_kept_where_that_is_possible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = encoder_names()
    (kept,) = (tmp_path / "strata").iterdir()
    kept.write_text("registry\nof the cache\n")
    assert encoder_names() == ["registry", "of the cache"]
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert encoder_names() == first


def test_quiet_and_verbose(tmp_path: Path) -> None:
    items = tmp_path / "items.csv"
    items.write_text("id,kind\n1,tea\n2,salt\n")
    words = ["build", "table", str(tmp_path / "ws"), "--items", str(items)]
    run = CliRunner().invoke(app, [*words, "-q"])
    assert (run.exit_code, run.output) == (0, "")
    run = CliRunner().invoke(app, words)
    assert "Nothing changed since the last build." in run.stdout and run.stderr == ""
    items.write_text("id,kind\n1,tea\n2,salt\n3,\n")
    run = CliRunner().invoke(app, [*words, "--verbose"])
    assert "items: changed: items.csv" in run.stderr
    assert "Reading items and labels ...\n  3 items (3 train)" in run.stdout
    # Results are what a command is for.
    run = CliRunner().invoke(app, ["status", "-q", str(tmp_path / "ws")])
    assert "3 items" in run.output and CliRunner().invoke(app, ["list", "trees", "-q"]).output


def test_a_dry_run_of_a_build_says_what_would_run_and_writes_nothing(tmp_path: Path) -> None:
    items = tmp_path / "items.csv"
    items.write_text("id,kind\n1,tea\n2,salt\n")
    words = ["build", "table", str(tmp_path / "a/ws"), "--items", str(items)]

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    run = CliRunner().invoke(app, [*words, "--dry-run"])
    assert run.exit_code == 0 and "Building the tree: would run; has not run yet" in run.output
    assert list(tmp_path.iterdir()) == [items]
    assert CliRunner().invoke(app, words).exit_code == 0
    before = files()
    run = CliRunner().invoke(app, [*words, "--dry-run"])
    assert run.output.count(": nothing changed") == len(STAGES)
    run = CliRunner().invoke(app, [*words, "--clusters", "2", "--encoder", "registry", "--dry-run"])
    assert "Encoding names and pictures: would run; a setting" in run.output
    assert "Proposing labels: would run if " in run.output
    assert files() == before
    items.write_text("id,kind\n1,tea\n1,salt\n")
    run = CliRunner().invoke(app, [*words, "--dry-run"])
    assert isinstance(run.exception, InputError) and "id appears twice" in str(run.exception)


def test_a_dry_run_of_a_fetch_lists_what_would_come(tmp_path: Path) -> None:
    contents = {name: b"id,x\n" * (n + 1) for n, name in enumerate(SOURCES["gldv2"].DOWNLOADS)}
    name, *_, last = contents
    site = Site({f"/{name}": content for name, content in contents.items() if name != last})
    server = serve(site)
    words = ["fetch", "gldv2", str(tmp_path / "ws"), "--base-url", site.url]
    run = CliRunner().invoke(app, [*words, "--dry-run"])
    lines = run.output.splitlines()
    assert lines[0] == f"{name}: 5 bytes   {site.url}/{name}"
    assert f"{last}: is not on the server" in run.output
    total = sum(map(len, contents.values())) - len(contents[last])
    assert lines[-2].startswith(f"to fetch: {total} bytes; ")
    assert lines[-1] == "Nothing was fetched." and not list(tmp_path.iterdir())
    folder = tmp_path / "ws/metadata"
    download_all(folder, {name: [f"{site.url}/{name}"]})
    second = list(contents)[1]
    (folder / f".{second}.part").write_bytes(b"id,")
    run = CliRunner().invoke(app, [*words, "--dry-run"])
    assert f"{name}: is there" in run.output
    assert f"{second}: 10 bytes, 3 bytes of it there" in run.output
    server.shutdown()
    server.server_close()


def test_explain_prints_every_setting_and_trains_nothing() -> None:
    run = CliRunner().invoke(app, ["train", "--recipe", "nsm", "--explain", "--set", "lr=0.5"])
    assert run.exit_code == 0
    printed = {line.split()[0]: line.split()[1:] for line in run.output.splitlines()}
    assert printed["lr"] == ["0.5", "--set:", "lr"]
    assert printed["identity"] == ["true", "_plain.toml:", "head.identity"]
    said = "--set lr: without effect in head mode, which has no backbone. Set head_lr.\n"
    assert run.stderr == said


def test_a_wrong_value_is_an_error_of_usage() -> None:
    run = CliRunner().invoke(app, ["build", "table", "ws", "--clusters", "1"])
    assert run.exit_code == 2 and "--clusters" in run.output
