"""The installed package: built through the sdist, and beside another package `pipeline`."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from building import ROOT, SAMPLE
from strata_labels import __version__

pytestmark = pytest.mark.slow

UV = Path(sys.executable).with_name("uv")


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True)


def succeed(*command: object, cwd: Path, code: int = 0) -> str:
    done = run(*command, cwd=cwd)
    assert done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build(project: Path, out: Path) -> Path:
    """The wheel that `python -m build` makes from the sdist that it makes from the project."""
    words = ("-m", "build", "--installer", "uv", "--outdir", out, project)
    succeed(sys.executable, *words, cwd=out.parent)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("build") / "dist")


@pytest.fixture(scope="session")
def other_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of somebody else that ships the top-level name `pipeline`."""
    folder = tmp_path_factory.mktemp("other")
    project = folder / "project"
    (project / "pipeline").mkdir(parents=True)
    (project / "pipeline" / "__init__.py").write_text('OWNER = "somebody else"\n')
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "other-pipeline"\nversion = "1.0"\n'
        '[tool.hatch.build.targets.wheel]\npackages = ["pipeline"]\n'
    )
    return build(project, folder / "dist")


def environment(folder: Path, *wheels: Path) -> Path:
    """An environment with these wheels, in order, and this one's dependencies; its `bin`."""
    succeed(UV, "venv", "--quiet", "--python", sys.executable, folder, cwd=folder.parent)
    python = folder / "bin" / "python"
    own = succeed(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])",
                  cwd=folder).strip()  # fmt: skip
    # A path file inside that folder, such as the editable install's, is not followed.
    Path(own, "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    for wheel in wheels:
        succeed(UV, "pip", "install", "--quiet", "--no-deps", "--python", python, wheel, cwd=folder)
    return python.parent


def test_the_wheel_holds_trees_flows_and_types(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"strata_labels"}
    for tree in ("gldv2-h", "sop-h", "inat-h", "table"):
        assert f"strata_labels/hierarchies/{tree}/hierarchy.toml" in names
    for flow in (ROOT / "flows").glob("*.py"):
        assert f"strata_labels/flows/{flow.name}" in names
    for kind in ("py", "toml", "html", "j2", "typed"):
        tracked = succeed("git", "ls-files", f"pipeline/*.{kind}", cwd=ROOT).split()
        missing = {name.removeprefix("pipeline/") for name in tracked} - names
        assert not missing, missing


def test_the_wheel_is_small_and_holds_no_tests_or_screenshots(wheel: Path) -> None:
    assert wheel.stat().st_size <= 3_000_000
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if "test" in name.lower() or name.endswith(".png")]


def test_the_metadata_of_the_wheel_is_that_of_the_project(wheel: Path) -> None:
    package = zipfile.ZipFile(wheel)
    (name,) = (name for name in package.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = message_from_bytes(package.read(name))
    assert metadata["Version"] == __version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert metadata.get_payload().startswith("# Strata")


def test_cffconvert_accepts_the_citation(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    succeed(UV, "venv", "--quiet", "--python", sys.executable, tools, cwd=tmp_path)
    python = tools / "bin" / "python"
    # It reads its package data with pkg_resources, which later setuptools no longer have.
    words = ("pip", "install", "--quiet", "--python", python, "cffconvert", "setuptools<81")
    succeed(UV, *words, cwd=tmp_path)
    command = (tools / "bin" / "cffconvert", "--validate", "--infile", ROOT / "CITATION.cff")
    assert "valid" in succeed(*command, cwd=tmp_path)


def test_it_works_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    binaries = environment(tmp_path / "env", wheel)
    shown = succeed(binaries / "strata", "--version", cwd=tmp_path)
    assert shown == f"strata {__version__}\n"
    where = "import strata_labels; print(strata_labels.__file__)"
    assert str(tmp_path) in succeed(binaries / "python", "-c", where, cwd=tmp_path)
    metadata = tmp_path / "metadata"
    metadata.mkdir()
    rows = (SAMPLE / "train_label_to_category.csv").read_text().splitlines()[:9]
    (metadata / "train_label_to_category.csv").write_text("\n".join(rows) + "\n")
    words = ("build", "gldv2-h", "ws", "--metadata", metadata, "--encoder", "")
    succeed(binaries / "strata", *words, cwd=tmp_path, code=3)
    assert (tmp_path / "ws" / "tree.html").is_file()


@pytest.mark.parametrize("ours_first", [True, False])
def test_another_package_called_pipeline_changes_nothing(
    wheel: Path, other_wheel: Path, tmp_path: Path, ours_first: bool
) -> None:
    wheels = [wheel, other_wheel] if ours_first else [other_wheel, wheel]
    binaries = environment(tmp_path / "env", *wheels)
    both = "import pipeline, strata_labels.losses; print(pipeline.OWNER)"
    assert succeed(binaries / "python", "-c", both, cwd=tmp_path) == "somebody else\n"
    assert "gldv2-h" in succeed(binaries / "strata", "list", "trees", cwd=tmp_path)


def test_a_users_own_files_change_nothing(tmp_path: Path) -> None:
    for name in ("pipeline", "flows", "hierarchies", "tables", "errors"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the file of a user')\n")
    strata = Path(sys.executable).with_name("strata")
    assert "strata" in succeed(strata, "--help", cwd=tmp_path)
    imported = "from strata_labels.losses import SupHAPLoss; import strata_labels.build"
    succeed(sys.executable, "-c", imported, cwd=tmp_path)
