"""The house plan, enforced: who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Every room may use the ground floor; a room may use another only along these edges.
GROUND = {"errors", "files", "tables", "hierarchy", "progress", "waiting"}
EDGES: dict[str, set[str]] = {
    "tree": {"review"},
    "sources": set(),
    "knowledge": set(),
    "embedding": set(),
    "proposal": set(),
    "review": set(),
    "export": set(),
    "retrieval": set(),
    "training": {"retrieval", "embedding", "tree"},
    "validation": {"retrieval"},
    "show": set(),
    "build": {
        "sources",
        "knowledge",
        "embedding",
        "proposal",
        "review",
        "tree",
        "export",
        "show",
    },
}


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "pipeline").parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


FILES = sorted((ROOT / "pipeline").rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_along_the_edges(path: Path) -> None:
    room = room_of(path)
    for name in imports(path):
        parts = name.split(".")
        assert parts[0] not in {"prefect", "flows"}, f"{path}: pipeline must not import {name}"
        if parts[0] != "pipeline" or room in GROUND | {"__init__"}:
            continue
        other = parts[1] if len(parts) > 1 else ""
        if other == room or other in GROUND:
            continue
        assert other in EDGES[room], f"{path}: room {room} may not use {name}"
        assert len(parts) == 2, f"{path}: use what pipeline.{other} offers, not {name}"


@pytest.mark.parametrize("room", ["retrieval", "training/losses"])
def test_what_may_be_lifted_out_needs_torch_alone(room: str) -> None:
    own = f"pipeline.{room.replace('/', '.')}"
    for path in sorted((ROOT / "pipeline" / room).rglob("*.py")):
        for name in imports(path):
            known = name.split(".")[0] in {"torch", *sys.stdlib_module_names}
            assert known or name.startswith(own), f"{path} imports {name}"


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
        "from flows.commands import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "bad = {'prefect', 'torch', 'open_clip'} & set(sys.modules)\n"
        "assert not bad, bad"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "build" in run.stdout
