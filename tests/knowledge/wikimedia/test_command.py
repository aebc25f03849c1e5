"""`strata resolve` from the command line, against the local APIs."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import Result
from dumps import json_dump, truthy_triples, write_dump
from mediawiki import MediaWiki, World, item
from strata_labels.errors import InputError
from typer.testing import CliRunner
from wikimedia_helpers import CONTACT

pytest.importorskip("strata_labels.build", reason="the command line needs the build room")


def strata(*arguments: object, **environment: str) -> Result:
    from strata_labels.cli import app

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


def test_offline_without_a_store_is_refused(metadata: Path, tmp_path: Path) -> None:
    run = strata(tmp_path / "ws", "--metadata", metadata, "--offline")
    assert run.exit_code == 0, run.output
    assert "5 categories and 0 items have no answer yet: Canal" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--contact"),
        (["--contact", "nobody"], "no address"),
        (["--contact", CONTACT, "--commons-api", "wiki"], "--commons-api"),
        (["--contact", CONTACT, "--refresh-older-than", "soon"], "--refresh-older-than"),
        (["--contact", CONTACT, "--sparql", "localhost"], "--sparql"),
        (["--offline", "--sparql", "http://localhost/sparql"], "--sparql"),
        (["--dump", "nowhere.nt"], "--dump"),
    ],
)
def test_wrong_arguments_write_nothing(
    arguments: list[str], said: str, metadata: Path, tmp_path: Path
) -> None:
    run = strata(tmp_path / "ws", "--metadata", metadata, *arguments)
    assert isinstance(run.exception, InputError)
    assert said in str(run.exception)
    assert not (tmp_path / "ws").exists()


@pytest.mark.parametrize("form", ["json", "nt"])
def test_a_dump_gives_the_same_tables_and_a_build_reads_it(
    form: str, small_world: World, metadata: Path, tmp_path: Path
) -> None:
    place = tmp_path / "ws"
    entities = [raw for raw in small_world.entities.values() if isinstance(raw, dict)]
    for raw in entities:
        titles = [t for t, page in small_world.pages.items() if page.get("item") == raw["id"]]
        if titles:
            raw["sitelinks"] = {"commonswiki": {"site": "commonswiki", "title": titles[0]}}
    entities.append(item("Q9", "by name alone", P373=["No item"], P31=["Q22"]))
    lines = {"json": json_dump, "nt": truthy_triples}[form](entities)
    dump = write_dump(tmp_path / f"dump.{form}.gz", lines)
    found = strata(place, "--metadata", metadata, "--dump", dump)
    assert found.exit_code == 0, found.exception
    titles = pq.read_table(place / "tables" / "titles.parquet").to_pandas().set_index("title")
    assert titles.qid[["Canal", "Église", "Old Mill (Nice)", "No item"]].tolist() == [
        "Q6", "Q5", "Q1", "Q9",
    ]  # fmt: skip
    assert titles.linked_by["No item"] == "commons category"
    assert titles.status["Mill soft"] == "not_asked"  # a dump knows of no redirects
    again = strata(place, "--metadata", metadata, "--offline")
    assert again.exit_code == 0
    assert (
        pq.read_table(place / "tables" / "titles.parquet")
        .to_pandas()
        .set_index("title")
        .equals(titles)
    )


def test_the_report_lists_known_entities_and_classes_to_map(
    small_world: World, metadata: Path, tmp_path: Path
) -> None:
    place = tmp_path / "ws"
    with MediaWiki(small_world).running() as wiki:
        apis = ["--commons-api", wiki.commons, "--wikidata-api", wiki.wikidata]
        run = strata(place, "--metadata", metadata, *apis, "--contact", CONTACT)
    assert run.exit_code == 0, run.exception
    report = json.loads((place / "reconciliation.json").read_text("utf-8"))
    assert report["items"] == 5 and report["by_status"]["redirected"] == 1
    assert report["with_country"] == 1
    to_map = (place / "classes_to_map.csv").read_text("utf-8-sig").splitlines()
    assert to_map[0].startswith("class_qid,label,why,landmarks,images")
    assert to_map[1].startswith("Q20,watermill,unknown,2")
