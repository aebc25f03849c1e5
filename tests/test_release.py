"""What a release rests on: one version everywhere, a changelog of the usual shape, a citation."""

from __future__ import annotations

import re
import tomllib

import yaml
from building import ROOT, Strata
from strata_labels import __version__

CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
PARTS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]


def test_the_version_is_written_once(strata: Strata) -> None:
    assert strata("--version").stdout == f"strata {__version__}\n"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" not in project and project["dynamic"] == ["version"]


def test_the_citation_is_of_this_version_and_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == __version__
    assert citation["license"] == project["license"]
    assert [who["name"] for who in citation["authors"]] == [
        who["name"] for who in project["authors"]
    ]


def test_the_changelog_has_versions_and_parts() -> None:
    versions = re.findall(r"^## (.+)$", CHANGELOG, re.MULTILINE)
    assert versions[0] == "[Unreleased]"
    for heading in versions[1:]:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", heading), heading
    for version in CHANGELOG.split("\n## ")[1:]:
        parts = re.findall(r"^### (.+)$", version, re.MULTILINE)
        assert parts == sorted(set(parts), key=PARTS.index)
        entries = [line for line in version.splitlines()[1:] if not line.startswith("  ")]
        assert all(line.startswith(("### ", "- ")) or not line for line in entries)


def test_a_development_version_comes_after_the_last_release() -> None:
    last = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", CHANGELOG, re.MULTILINE)[0]
    own = tuple(map(int, re.findall(r"\d+", __version__)[:3]))
    released = tuple(map(int, last.split(".")))
    assert own > released if ".dev" in __version__ else own == released
