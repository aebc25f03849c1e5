"""The house plan, enforced: who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "pipeline" / "strata_labels"

# Every room may use the ground floor; a room may use another only along these edges.
GROUND = {
    "errors", "evidence", "files", "hierarchy", "label_tensors", "people_csv", "progress", "retry",
    "settings", "tables",
}  # fmt: skip
EDGES: dict[str, set[str]] = {
    "tree": set(),
    "sources": set(),
    "knowledge": set(),
    "embedding": set(),
    "proposal": set(),
    "review": {"tree"},
    "export": {"tree"},
    "retrieval": set(),
    "losses": set(),
    "training": {"retrieval", "embedding", "tree", "losses"},
    "validation": {"retrieval"},
    "show": {"tree"},
    "build": {
        "sources",
        "knowledge",
        "embedding",
        "proposal",
        "review",
        "tree",
        "export",
        "show",
        "training",
        "validation",
    },
    "orchestration": {"build", "sources", "training"},
    "cli": {
        "build",
        "embedding",
        "export",
        "knowledge",
        "orchestration",
        "proposal",
        "retrieval",
        "review",
        "show",
        "sources",
        "training",
        "tree",
        "validation",
    },
}
# Parts of a room with a door of their own, since what they import is large.
SUBROOMS = {"strata_labels.review.page"}
# The only rooms that may import Prefect; `flows/`, outside the library, may too.
WITH_PREFECT = {"orchestration"}


def room_of(path: Path) -> str:
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


FILES = sorted((LIBRARY).rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_along_the_edges(path: Path) -> None:
    room = room_of(path)
    for name in imports(path):
        parts = name.split(".")
        assert parts[0] != "flows", f"{path}: the library must not import {name}"
        if parts[0] in {"prefect", "prefect_dask", "dask", "distributed"}:
            assert room in WITH_PREFECT, f"{path}: room {room} must not import {name}"
        if parts[0] != "strata_labels" or room in GROUND | {"__init__"}:
            continue
        other = parts[1] if len(parts) > 1 else ""
        if other == room or other in GROUND:
            continue
        assert other in EDGES[room], f"{path}: room {room} may not use {name}"
        assert len(parts) == 2 or name in SUBROOMS, (
            f"{path}: use what strata_labels.{other} offers, not {name}"
        )


@pytest.mark.parametrize("room", ["retrieval", "losses"])
def test_what_may_be_lifted_out_needs_torch_alone(room: str) -> None:
    own = f"strata_labels.{room.replace('/', '.')}"
    for path in sorted((LIBRARY / room).rglob("*.py")):
        for name in imports(path):
            known = name.split(".")[0] in {"torch", *sys.stdlib_module_names}
            shared = name == "strata_labels.label_tensors"
            assert known or shared or name.startswith(own), f"{path} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_tree_is_named_inside_the_library(path: Path) -> None:
    names = {folder.name for folder in (ROOT / "hierarchies").iterdir() if folder.is_dir()}
    names.discard("__pycache__")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare):
            for side in ast.walk(node):
                assert not (isinstance(side, ast.Constant) and side.value in names), (
                    f"{path}, line {node.lineno}: what differs between trees is data"
                )


def test_help_imports_neither_prefect_nor_torch() -> None:
    code = (
        "import sys; sys.argv = ['strata', '--help']\n"
        "from strata_labels.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "bad = {'prefect', 'torch', 'open_clip'} & set(sys.modules)\n"
        "assert not bad, bad"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "build" in run.stdout
