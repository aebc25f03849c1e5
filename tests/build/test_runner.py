"""The runner: what runs, what does not, and what a killed or moved build finds in `run.json`."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from building import changed, data_files
from building import strata_output as strata
from recorded_workspace import unpack
from strata_labels.build import STAGES, BuildSettings, Counts, Stage, Workspace, build_tree, rebuild
from strata_labels.cli import app
from strata_labels.errors import InputError, RetryError
from strata_labels.review import append
from strata_labels.sources import SOURCES, Metadata
from strata_labels.tables import load
from typer.testing import CliRunner

IDLE = "Nothing changed since the last build."
ITEMS = "id,name,kind,group\n1,Tea,drink,food\n2,Salt,,\n3,Soap,care,house\n4,Bread,bakery,food\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built table of one's own, inside the workspace, one item without a label."""
    place = Workspace(tmp_path_factory.mktemp("built") / "ws")
    place.folder.mkdir()
    (place.folder / "items.csv").write_text(ITEMS)
    build_tree(place, settings_of(place))
    return place.folder


@pytest.fixture
def workspace(built: Path, tmp_path: Path) -> Workspace:
    """A copy of `built`, to be changed."""
    return Workspace(Path(shutil.copytree(built, tmp_path / "ws")))


def settings_of(place: Workspace) -> BuildSettings:
    items = place.folder / "items.csv"
    return BuildSettings(tree="table", metadata=items, decisions=place.ledger, encoder="")


COMMANDS = {
    "build": lambda ws: ("build", "table", ws, "--items", ws / "items.csv"),
    "apply": lambda ws: ("apply", ws, filled_sheet(ws), "--reviewer", "ann"),
    "review": lambda ws: ("review", ws, "--sheet", "--audit", 1),
    "propose": lambda ws: ("propose", ws),
}


def filled_sheet(workspace: Path) -> Path:
    """The review sheet with its one open row decided, if it is still open."""
    path = workspace / "review.csv"
    sheet = pd.read_csv(path, dtype=str, keep_default_na=False)
    if len(sheet):
        sheet.loc[0, ["decision", "target"]] = ["move", "drink"]
    copy = workspace.parent / "filled.csv"
    sheet.to_csv(copy, index=False)
    return copy


@pytest.fixture(scope="module")
def after(
    built: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[tuple[str, ...]], Path]:
    """Gives the workspace after some commands; orders with the same beginning share its runs."""
    reached: dict[tuple[str, ...], Path] = {(): built}

    def reach(names: tuple[str, ...]) -> Path:
        if names not in reached:
            folder = tmp_path_factory.mktemp("after") / "ws"
            reached[names] = shutil.copytree(reach(names[:-1]), folder)
            strata(*COMMANDS[names[-1]](folder))
        return reached[names]

    return reach


@pytest.mark.parametrize("names", itertools.permutations(COMMANDS, 3), ids="-".join)
def test_after_any_three_commands_a_build_does_nothing(
    after: Callable[[tuple[str, ...]], Path], names: tuple[str, ...]
) -> None:
    told = strata(*COMMANDS["build"](after(names)))
    assert IDLE in told and "..." not in told.split(IDLE)[0]


def sheet_and_ledger(place: Workspace) -> tuple[bytes, bytes]:
    return place.sheet.read_bytes(), place.ledger.read_bytes()


def test_applying_a_sheet_again_changes_nothing(workspace: Workspace) -> None:
    copy = filled_sheet(workspace.folder)
    shutil.copy(copy, workspace.sheet)  # filled in where it lies, and a copy kept
    told = strata("apply", workspace.folder, "--reviewer", "ann")
    assert "1 decision added" in told
    assert not list(workspace.folder.glob("review.filled-in-*"))
    after = sheet_and_ledger(workspace)
    for sheet in ([], [copy], [workspace.sheet]):
        told = strata("apply", workspace.folder, *sheet, "--reviewer", "ann")
        assert "0 decisions added" in told and IDLE in told
        assert sheet_and_ledger(workspace) == after
    shutil.copy(copy, workspace.sheet)  # an editor saves the old sheet once more
    told = strata("apply", workspace.folder, "--reviewer", "ann")
    assert "0 decisions added" in told and sheet_and_ledger(workspace) == after


def test_a_sheet_and_a_reviewer_are_taken_back_as_a_whole(workspace: Workspace) -> None:
    before = (workspace.folder / "tables/assignments.parquet").read_bytes()
    told = strata("apply", workspace.folder, filled_sheet(workspace.folder), "--reviewer", "ann")
    sheet = told.split("--undo-sheet ")[1].split()[0]
    item = str(load(workspace.folder, "items").item_id[0])
    append(workspace.ledger, decision(item).assign(reviewer="ben"))
    strata("status", workspace.folder)
    for words in (("--undo-sheet", sheet), ("--undo-reviewer", "ben")):
        assert "1 decisions taken back" in strata("status", workspace.folder, *words)
        assert "0 decisions taken back" in strata("status", workspace.folder, *words)
    assert (workspace.folder / "tables/assignments.parquet").read_bytes() == before
    for words in (("--undo-sheet", "yesterday"), ("--undo-reviewer", "eve")):
        result = CliRunner().invoke(app, ["status", str(workspace.folder), *words])
        assert isinstance(result.exception, InputError)


@pytest.mark.parametrize("stage", ["propose", "settle", "export", "show"])
def test_a_stopped_apply_is_finished_by_the_next_command(
    workspace: Workspace, stage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = Workspace(shutil.copytree(workspace.folder, tmp_path / "other"))
    shutil.copy(filled_sheet(workspace.folder), workspace.sheet)
    shutil.copy(workspace.sheet, other.sheet)
    with pytest.MonkeyPatch.context() as patch:
        real = Stage.__getattribute__

        def stopping(one: Stage, name: str) -> object:
            if name == "run" and real(one, "name") == stage:
                raise KeyboardInterrupt
            return real(one, name)

        patch.setattr(Stage, "__getattribute__", stopping)
        result = CliRunner().invoke(app, ["apply", str(workspace.folder), "--reviewer", "ann"])
        assert result.exit_code == 130
    told = CliRunner().invoke(app, ["status", str(workspace.folder)])
    assert told.exit_code in (0, 3) and "brought in now" in told.stderr
    strata("apply", other.folder, "--reviewer", "ann")
    for name in ("review.csv", "tables/assignments.parquet", "tree.html"):
        assert (workspace.folder / name).read_bytes() == (other.folder / name).read_bytes()
    quiet = CliRunner().invoke(app, ["status", str(workspace.folder)])
    assert "brought in" not in quiet.stderr
    again = strata("apply", workspace.folder, "--reviewer", "ann")
    assert "0 decisions added" in again and IDLE in again


def test_two_commands_do_not_write_to_one_workspace(workspace: Workspace) -> None:
    with workspace.locked("train"):
        for words in (("build", "table", workspace.folder, "--items", workspace.folder /
                       "items.csv"), ("apply", workspace.folder),
                      ("review", workspace.folder, "--sheet", "--audit", 1),
                      ("export", workspace.folder)):  # fmt: skip
            result = CliRunner().invoke(app, [str(word) for word in words])
            assert isinstance(result.exception, RetryError), words
            assert f"process {os.getpid()} (train)" in str(result.exception)
        strata("status", workspace.folder)
    assert not (workspace.folder / ".strata.lock").exists()


def test_a_killed_build_repeats_no_finished_stage(tmp_path: Path) -> None:
    place = Workspace(tmp_path / "ws")
    place.folder.mkdir()
    (place.folder / "items.csv").write_text(ITEMS)
    ran: list[str] = []

    def stop_at_settle(stage: Stage, place: Workspace, settings: BuildSettings) -> Counts:
        if stage.name == "settle" and "settle" not in ran:
            ran.append(stage.name)
            raise KeyboardInterrupt
        ran.append(stage.name)
        return stage.run(place, settings)

    with pytest.raises(KeyboardInterrupt):
        build_tree(place, settings_of(place), stop_at_settle)
    result = CliRunner().invoke(app, ["status", str(place.folder)])
    assert isinstance(result.exception, InputError) and "was stopped" in str(result.exception)
    build_tree(place, settings_of(place), stop_at_settle)
    names = [stage.name for stage in STAGES]
    assert ran == [*names[: names.index("settle") + 1], *names[names.index("settle") :]]
    assert place.last_run()["numbers"]["labelled"] == 4


def test_a_moved_or_copied_workspace_is_itself(workspace: Workspace, tmp_path: Path) -> None:
    record = workspace.record.read_text()
    assert str(tmp_path) not in record
    copy = Workspace(shutil.copytree(workspace.folder, tmp_path / "copy"))
    append(copy.ledger, decision(str(load(copy.folder, "items").item_id[1])))
    rebuild(copy)
    assert not workspace.ledger.exists()
    moved = Workspace(workspace.folder.rename(tmp_path / "moved"))
    settings = moved.last_settings()
    assert settings.decisions == moved.ledger and settings.metadata == moved.folder / "items.csv"
    assert IDLE in strata(*COMMANDS["build"](moved.folder))


def test_metadata_may_be_in_a_folder_named_like_a_tree(workspace: Workspace) -> None:
    folder = workspace.folder / "table"
    folder.mkdir()
    (workspace.folder / "items.csv").rename(folder / "items.csv")
    build_tree(workspace, changed(settings_of(workspace), metadata=folder))
    assert workspace.last_settings().metadata == folder
    rebuild(workspace)


def decision(item: str) -> pd.DataFrame:
    return pd.DataFrame([{"subject": item, "level": "1", "decision": "exclude", "reviewer": "ann"}])


def test_a_path_that_is_gone_is_told_with_its_option(tmp_path: Path) -> None:
    outside = tmp_path / "items.csv"
    outside.write_text(ITEMS)
    place = Workspace(tmp_path / "ws")
    build_tree(place, changed(settings_of(place), metadata=outside))
    assert json.loads(place.record.read_text())["parameters"]["metadata"] == str(outside)
    new = outside.rename(tmp_path / "items2.csv")
    with pytest.raises(InputError, match="--items") as told:
        rebuild(place)
    assert str(outside) in str(told.value) and len(told.value.problems) == 1
    strata("build", "table", place.folder, "--items", new)
    rebuild(place)


def test_a_moved_workspace_of_version_0_1_0_has_its_own_ledger(tmp_path: Path) -> None:
    before = unpack(tmp_path / "before").parent
    moved = Workspace(before.rename(tmp_path / "after") / "workspace")
    settings = moved.last_settings()
    assert settings.decisions == moved.ledger and settings.entities == before / "entities.jsonl"
    ledger = moved.ledger.read_bytes()
    run = CliRunner().invoke(app, ["apply", str(moved.folder), "--reviewer", "ann"])
    assert isinstance(run.exception, InputError) and len(run.exception.problems) == 2
    for part in ("--metadata", str(before / "metadata"), "--entities"):
        assert part in str(run.exception)
    assert moved.ledger.read_bytes() == ledger


def test_the_record_keeps_no_contact(workspace: Workspace) -> None:
    settings = changed(settings_of(workspace), contact="me@institute.example")
    build_tree(workspace, settings)
    assert "institute" not in workspace.record.read_text()
    assert workspace.last_settings().asked and workspace.last_settings().contact is None


def test_wrong_values_in_a_record_are_told_together(workspace: Workspace) -> None:
    record = json.loads(workspace.record.read_text())
    record["parameters"] |= {"clusters": "many", "colour": "red", "images_per_landmark": 0}
    workspace.record.write_text(json.dumps(record))
    with pytest.raises(InputError) as told:
        workspace.last_settings()
    text = str(told.value)
    for part in ("'clusters'", "'many'", "unknown key", "'colour'", "greater than or equal to 1"):
        assert part in text
    workspace.record.write_text(workspace.record.read_text()[:40])
    with pytest.raises(InputError, match="damaged"):
        workspace.last_run()


def test_the_metadata_is_read_once(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real = SOURCES["table"].read
    monkeypatch.setattr(
        SOURCES["table"], "read", lambda *given: (read.append("read"), real(*given))[1]
    )
    build_tree(workspace, settings_of(workspace))
    assert read == []  # the tables are checked
    items = workspace.folder / "items.csv"
    items.write_text(ITEMS + "5,Milk,drink,food\n")
    build_tree(workspace, settings_of(workspace))
    assert read == ["read"]
    assert len(load(workspace.folder, "items")) == 5
    # Labels alone change: they are read, and arrive in the tree.
    items.write_text(ITEMS.replace("2,Salt,,", "2,Salt,spice,food"))
    build_tree(workspace, settings_of(workspace))
    assert read == ["read"] * 2
    assert load(workspace.folder, "assignments")["status"].eq("labelled").all()


def test_a_file_that_changes_after_the_check_is_read_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = workspace.folder / "items.csv"
    real = SOURCES["table"].read

    def changing(folder: Path, levels: Sequence[str]) -> Metadata:
        found = real(folder, levels)
        items.write_text(ITEMS.replace("Tea", "Coffee"))
        return found

    items.write_text(ITEMS.replace("Tea", "Cocoa"))
    monkeypatch.setattr(SOURCES["table"], "read", changing)
    build_tree(workspace, settings_of(workspace))
    assert "Coffee" in set(load(workspace.folder, "items")["name"])


def test_a_workspace_of_a_later_schema_version_is_refused_by_every_command(
    workspace: Workspace, tmp_path: Path
) -> None:
    later = Workspace(Path(shutil.copytree(workspace.folder, tmp_path / "later")))
    path = later.table("entities")
    table = pq.read_table(path).replace_schema_metadata({"strata_schema_version": "77"})
    pq.write_table(table, path)
    items = str(later.last_settings().metadata)
    before = data_files(later.folder)
    for words in (["status"], ["apply"], ["build", "table"], ["history", "1"]):
        command = words[0]
        given = ["--items", items] if command == "build" else []
        done = CliRunner().invoke(app, [*words, str(later.folder), *given])
        assert isinstance(done.exception, InputError), done.exception
        (problem,) = done.exception.problems
        assert "schema version 77; this Strata reads up to" in problem.what, command
    assert data_files(later.folder) == before


def test_an_image_of_two_rows_is_told_by_file_summary_and_card(tmp_path: Path) -> None:
    items = tmp_path / "items.csv"
    items.write_text("id,name,kind,image\n1,Tea,drink,a.png\n2,Salt,spice,./a.png|b.png\n")
    said = strata("build", "table", tmp_path / "ws", "--items", items, "--encoder", "")
    assert "images     1 belong to several items" in said and "shared_images.csv" in said
    listed = pd.read_csv(tmp_path / "ws/shared_images.csv").values.tolist()
    assert listed == [["a.png", "table/train/1", "Tea", "drink"],
                      ["a.png", "table/train/2", "Salt", "spice"]]  # fmt: skip
    assert "1 images belong to several items" in (tmp_path / "ws/card.md").read_text()
    items.write_text("id,name,kind,image\n1,Tea,drink,a.png\n2,Salt,spice,b.png\n")
    strata("build", "table", tmp_path / "ws", "--items", items, "--encoder", "")
    assert not (tmp_path / "ws/shared_images.csv").exists()
