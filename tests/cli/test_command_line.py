"""The command line as a contract: help, version, lists, options made from the settings."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from strata_labels.cli import app
from strata_labels.hierarchy import known_trees
from strata_labels.settings import BuildOptions
from typer.main import get_command
from typer.testing import CliRunner

COMMANDS = get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_describes_every_option(name: str) -> None:
    for parameter in COMMANDS[name].params:
        described = parameter.help
        assert described, f"{name}: {parameter.name}"
        assert "[default" not in described, "rich takes it for markup, and shows nothing"


def test_build_offers_every_setting() -> None:
    offered = {parameter.name: parameter for parameter in COMMANDS["build"].params}
    for name, field in BuildOptions.model_fields.items():
        assert offered[name].help == field.description


def test_version_and_lists() -> None:
    run = CliRunner().invoke(app, ["--version"])
    assert run.output == f"strata {version('strata-labels')}\n" and run.exit_code == 0
    found = {
        what: CliRunner().invoke(app, ["list", what]).output
        for what in ("trees", "formats", "recipes", "encoders")
    }
    assert [line.split()[0] for line in found["trees"].splitlines()] == known_trees()
    assert "suprank" in found["formats"].split() and "happier" in found["recipes"].split()
    row = "happier-sop SOP 0.9 suphap + 0.1 cluster SupRank and HAPPIER, loss/HAPPIER_SOP.yaml"
    assert row.split() in [line.split() for line in found["recipes"].splitlines()]
    encoders = found["encoders"].split()
    assert encoders[0] == "registry" and "ViT-L-14/laion2b_s32b_b82k" in encoders


def test_explain_prints_every_setting_and_trains_nothing() -> None:
    run = CliRunner().invoke(app, ["train", "--recipe", "nsm", "--explain", "--set", "lr=0.5"])
    assert run.exit_code == 0
    printed = {line.split()[0]: line.split()[1:] for line in run.output.splitlines()}
    assert printed["lr"] == ["0.5", "--set:", "lr"]
    assert printed["identity"] == ["true", "_plain.toml:", "head.identity"]


def test_a_wrong_value_is_an_error_of_usage() -> None:
    run = CliRunner().invoke(app, ["build", "table", "ws", "--clusters", "1"])
    assert run.exit_code == 2 and "--clusters" in run.output
