"""The rules of CONTRIBUTING.md about imports, public names and names of data sets hold."""

from __future__ import annotations

import ast
import fnmatch
import functools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from strata_labels.tables import SCHEMAS

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "pipeline" / "strata_labels"

# Every room may use the ground floor; a room may use another only along these edges.
GROUND = {
    "__version__", "errors", "evidence", "evidence_text", "files", "freed_memory",
    "hierarchy", "label_tensors",
    "late_imports", "messages", "people_csv", "people_jsonl", "people_xlsx", "pictures",
    "progress", "retry", "settings", "table_contracts", "tables",
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


# What programs of users may import, used in the library or not; None: all that a room offers.
FOR_USERS: dict[str, set[str] | None] = {
    "losses": None,
    "retrieval": None,
    "training": {"Recipe", "TrainedModel", "load_model"},
}


def room_of(path: Path) -> str:
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


@functools.cache
def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            of_package = node.module == "strata_labels"  # its names are modules, and the version
            names = [f"{node.module}.{alias.name}" for alias in node.names if of_package]
            found |= set(names or [node.module])
    return found


FILES = sorted((LIBRARY).rglob("*.py"))

# The modules that belong to one data set: the only ones that may name its files and columns.
DATA_SET_FILES = {
    path
    for path in FILES
    if path.parent.name in ("sources", "export")
    and re.match("gldv2|sop|inat2018|suprank|landmarks|drawn", path.name)
}
#: Names of taxonomic ranks are Wikidata's too, and these files have the same name anywhere.
RANKS = {"class", "family", "genus", "kind", "kingdom", "order", "phylum", "species"}
COMMON_FILES = {"README.txt", "images.csv", "names.csv", ".tar.gz"}


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


def used_edges() -> dict[str, set[str]]:
    """For each room the rooms that its files import."""
    found: dict[str, set[str]] = {room: set() for room in EDGES}
    for path in FILES:
        if (room := room_of(path)) in EDGES:
            names = {
                name.split(".")[1] for name in imports(path) if name.startswith("strata_labels.")
            }
            found[room] |= names & EDGES.keys() - {room}
    return found


def test_every_edge_is_used() -> None:
    assert used_edges() == EDGES


def test_the_contributors_graph_is_the_import_graph() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    drawn = re.findall(r"^    (\w+) --> (\w+)$", text, re.MULTILINE)
    assert sorted(drawn) == sorted((a, b) for a, found in used_edges().items() for b in found)


def offered(module: str) -> set[str]:
    """What the `__init__` of a room lists in `__all__`."""
    path = ROOT / "pipeline" / Path(*module.split(".")) / "__init__.py"
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


@functools.cache
def imported_names(path: Path) -> list[tuple[str | None, str]]:
    """Module and name of each `from module import name`."""
    return [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]


def names_used(module: str) -> set[str]:
    """What other rooms, the flows and the benchmarks import from a room."""
    outside = [*(ROOT / "flows").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    inside = [path for path in FILES if room_of(path) != module.split(".")[1]]
    return {
        name
        for path in (*inside, *outside)
        for source, name in imported_names(path)
        if source == module
    }


@pytest.mark.parametrize("module", [*(f"strata_labels.{room}" for room in EDGES), *SUBROOMS])
def test_a_room_offers_only_what_others_use(module: str) -> None:
    for_users = FOR_USERS.get(module.split(".")[1], set())
    if for_users is not None:
        idle = offered(module) - names_used(module) - for_users
        assert not idle, f"{module} offers {sorted(idle)}, which nothing outside it imports"


@pytest.mark.parametrize("room", ["retrieval", "losses"])
def test_losses_and_retrieval_need_only_torch(room: str) -> None:
    own = f"strata_labels.{room.replace('/', '.')}"
    for path in sorted((LIBRARY / room).rglob("*.py")):
        for name in imports(path):
            known = name.split(".")[0] in {"torch", *sys.stdlib_module_names}
            shared = name == "strata_labels.label_tensors"
            assert known or shared or name.startswith(own), f"{path} imports {name}"


def constants(path: Path) -> list[tuple[int, str]]:
    """Line and text of every string of a module but its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    notes = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if id(node) not in notes
    ]


def templates(path: Path) -> list[str]:
    """Every f-string of a module, `{}` for what is filled in."""
    return [
        "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.JoinedStr)
    ]


@functools.cache
def words_of_data_sets() -> re.Pattern[str]:
    """Names that belong to one data set: trees, titles, levels, files and columns of its source.

    Names of files and columns are found anywhere in a text, also a file's name of which a source
    fills in a part; the other names are whole texts.
    """
    contracts = {field.name for schema in SCHEMAS.values() for field in schema}
    words: set[str] = set()
    files: set[str] = set()
    for file in (ROOT / "hierarchies").glob("*/hierarchy.toml"):
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
        variants = tree.get("variants", {}).values()
        levels = [*tree.get("levels", []), *(x for v in variants for x in v.get("levels", []))]
        words |= {tree["title"], *levels} | ({tree["tree"]} - {"table"})
    for path in DATA_SET_FILES:
        texts = {text for _, text in constants(path)}
        words |= {text for text in texts if re.fullmatch(r"[a-z]+(_[a-z]+)*_id", text)}
        for text in texts | set(templates(path)):
            name = text.rpartition("/")[2]
            if re.fullmatch(r"[\w{}-]*\w{3}[\w{}.-]*?(\.tar)?\.(csv|txt|json|zip|gz)", name):
                files.add(name)
    words -= contracts | RANKS
    columns = sorted(word for word in words if "_" in word)
    names = "|".join(map(re.escape, sorted(words.difference(columns))))
    patterns = columns + [
        re.escape(file).replace(r"\{\}", r"\w+") for file in sorted(files - COMMON_FILES)
    ]
    return re.compile(rf"^({names})$|(?<![\w.-])({'|'.join(patterns)})(?!\w)")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_data_set_is_named_inside_the_library(path: Path) -> None:
    if path in DATA_SET_FILES:
        return
    words = words_of_data_sets()
    named = [f"line {line}: {text!r}" for line, text in constants(path) if words.search(text)]
    assert not named, f"{path}: what differs between data sets is data or in its source: {named}"


@pytest.mark.parametrize(
    "planted",
    [
        "gldv2-h",
        "No column landmark_id.",
        "hierarchical_label",
        "super_class_id",
        "Ebay_test.txt",
        "train_label_to_category.csv",
        "Found no metadata/train2018.json in the folder.",
    ],
)
def test_a_planted_name_of_a_data_set_is_found(planted: str) -> None:
    assert words_of_data_sets().search(planted)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_first_line_says_what_a_module_is_for(path: Path) -> None:
    first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]
    assert first.endswith(".") and len(first.split()) >= 4, f"{path}: {first!r}"


def test_no_folder_of_tests_is_left_out(pytestconfig: pytest.Config) -> None:
    folders = {
        path.name
        for root in pytestconfig.getini("testpaths")
        for path in (ROOT / root).rglob("*")
        if path.is_dir()
    }
    for pattern in pytestconfig.getini("norecursedirs"):
        assert not fnmatch.filter(folders, pattern), pattern


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
