"""`strata resolve` from the command line, against the local APIs."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import Result
from mediawiki import MediaWiki, World
from typer.testing import CliRunner
from wikimedia_helpers import CONTACT

from pipeline.errors import InputError

pytest.importorskip("pipeline.build", reason="the command line needs the build room")


def strata(*arguments: object, **environment: str) -> Result:
    from flows.commands import app

    command = ["resolve", *map(str, arguments)]
    return CliRunner().invoke(app, command, env={"STRATA_CONTACT": "", **environment})


@pytest.fixture
def metadata(tmp_path: Path) -> Path:
    folder = tmp_path / "metadata"
    folder.mkdir()
    address = "http://commons.wikimedia.org/wiki/Category:"
    titles = ["Mill_soft", "Canal", "%C3%89glise", "No_item", "Old_Mill_(Nice)"]
    rows = [f"{number},{address}{title}" for number, title in enumerate(titles)]
    text = "\n".join(["landmark_id,category", *rows, ""])
    (folder / "train_label_to_category.csv").write_text(text, encoding="utf-8")
    return folder


def test_resolve_again_and_offline(small_world: World, metadata: Path, tmp_path: Path) -> None:
    place = tmp_path / "ws"
    with MediaWiki(small_world).running() as wiki:
        apis = ["--commons-api", wiki.commons, "--wikidata-api", wiki.wikidata]
        first = strata(place, "--metadata", metadata, *apis, "--contact", CONTACT)
        assert first.exit_code == 0, first.output
        assert "resolved       3" in first.stdout and "redirected     1" in first.stdout
        asked = len(wiki.asked)
        snapshot = (place / "entities.jsonl.gz").read_bytes()
        again = strata(place, "--metadata", metadata, *apis, STRATA_CONTACT=CONTACT)
        offline = strata(
            place, "--metadata", metadata, "--offline", "--json", tmp_path / "out.json"
        )
        assert (again.exit_code, offline.exit_code) == (0, 0)
        assert len(wiki.asked) == asked
        assert wiki.violations == []
    assert (place / "entities.jsonl.gz").read_bytes() == snapshot
    ids = [json.loads(line)["id"] for line in gzip.decompress(snapshot).splitlines()]
    assert {"Q1", "Q2", "Q6", "Q24"} <= set(ids)
    titles = pq.read_table(place / "tables" / "titles.parquet").to_pandas().set_index("title")
    assert titles.at["Mill soft", "redirect_target"] == "Old Mill (Nice)"
    numbers = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert numbers["requests"] == 0 and sum(numbers["by_status"].values()) == 5


def test_offline_without_a_store_says_what_is_missing(metadata: Path, tmp_path: Path) -> None:
    run = strata(tmp_path / "ws", "--metadata", metadata, "--offline")
    assert run.exit_code == 0, run.output
    assert "5 categories and 0 items were never answered: Canal" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--contact"),
        (["--contact", "nobody"], "no address"),
        (["--contact", CONTACT, "--commons-api", "wiki"], "--commons-api"),
        (["--contact", CONTACT, "--refresh-older-than", "soon"], "--refresh-older-than"),
    ],
)
def test_wrong_arguments_write_nothing(
    arguments: list[str], said: str, metadata: Path, tmp_path: Path
) -> None:
    run = strata(tmp_path / "ws", "--metadata", metadata, *arguments)
    assert isinstance(run.exception, InputError)
    assert said in str(run.exception)
    assert not (tmp_path / "ws").exists()
