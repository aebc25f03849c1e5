"""From what Wikimedia answered to labels: asking, classes to map, one label per category, why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from building import changed
from dumps import truthy_triples, write_dump
from mediawiki import MediaWiki, World, item
from strata_labels.build import STAGES, BuildSettings, Workspace, apply_sheet, run_stages
from strata_labels.build.check import check_inputs
from strata_labels.cli import app
from strata_labels.errors import InputError, RetryError
from strata_labels.evidence import Evidence, Reason
from strata_labels.knowledge import ResponseStore
from strata_labels.review import LedgerWriter
from strata_labels.tables import load
from tiny_clip import make_tiny_clip
from typer.testing import CliRunner

ADDRESS = "http://commons.wikimedia.org/wiki/Category:"
CONTACT = "operator@institute.example"
CASTLE, PALACE, FOLLY, SHELL = "Q23413", "Q16560", "Q900001", "Q900002"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    others = ["palace", "castle / fort"]
    return make_tiny_clip(tmp_path_factory.mktemp("tiny") / "model", others=others)


@pytest.fixture
def world() -> World:
    """Two castles, follies that nothing maps, a redirect, a palace that is a castle too."""
    world = World()
    classes = {"Xa": CASTLE, "Xb": FOLLY, "Xc": SHELL, "Xd": FOLLY, "Xboth": "Q900003"}
    for number, (title, qid) in enumerate(classes.items(), start=1):
        world.pages[f"Category:{title}"] = {"item": f"Q{number}"}
        world.entities[f"Q{number}"] = item(f"Q{number}", title, P31=[qid])
    world.pages["Category:Xold"] = {"text": "{{Category redirect|Xa}}"}
    world.entities |= {
        FOLLY: item(FOLLY, "folly", P279=[("Q900009", "preferred"), ("Q5", "deprecated")]),
        SHELL: item(SHELL, "shell grotto", P279=[FOLLY]),
        "Q900003": item("Q900003", "castle palace", P279=[CASTLE, PALACE]),
        "Q900009": item("Q900009", "whim"),
        CASTLE: item(CASTLE, "castle"),
        PALACE: item(PALACE, "palace"),
    }
    return world


@pytest.fixture
def wiki(world: World) -> Iterator[MediaWiki]:
    with MediaWiki(world).running() as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path, tiny: str, wiki: MediaWiki) -> BuildSettings:
    vocabulary = tmp_path / "vocabulary.csv"
    vocabulary.write_text(
        "node,parent,class_qids\nhuman-made,,\n"
        f"castle / fort,human-made,{CASTLE}\npalace,human-made,{PALACE}\n"
    )
    folder = tmp_path / "metadata"
    folder.mkdir()
    for split, names in {
        "train": ["Xa", "Xb", "Xc", "Xd", "Xboth", "Xnowhere"], "index": ["Xold", "Xb"]
    }.items():  # fmt: skip
        rows = [f"{n},{ADDRESS}{name}" for n, name in enumerate(names)]
        text = "\n".join(["landmark_id,category", *rows, ""])
        (folder / f"{split}_label_to_category.csv").write_text(text)
    return BuildSettings(
        tree="gldv2-h",
        metadata=str(folder),
        decisions=str(tmp_path / "ws" / "decisions.csv"),
        encoder=tiny,
        vocabulary=str(vocabulary),
        contact=CONTACT,
        commons_api=wiki.commons,
        wikidata_api=wiki.wikidata,
    )


def run(place: Workspace, settings: BuildSettings, *names: str) -> None:
    """The stages up to the tables; pictures and exports are no matter here."""
    place.folder.mkdir(exist_ok=True)
    chosen = names or ("items", "resolve", "embed", "propose", "settle")
    run_stages([stage for stage in STAGES if stage.name in chosen], place, settings)


def labels(place: Workspace) -> pd.DataFrame:
    return load(place.folder, "assignments").set_index("item_id")


def explained(place: Workspace, name: str) -> str:
    result = CliRunner().invoke(app, ["explain", name, str(place.folder)])
    assert result.exit_code == 0, result.exception
    return result.output


@pytest.fixture
def built(settings: BuildSettings, tmp_path: Path) -> Workspace:
    place = Workspace(tmp_path / "ws")
    run(place, settings)
    return place


def test_a_build_asks_once_and_then_knows(
    built: Workspace, settings: BuildSettings, wiki: MediaWiki
) -> None:
    assert wiki.violations == []
    entities = load(built.folder, "entities").set_index("item_id")
    assert entities.status["gldv2/index/0"] == "redirected"
    assert entities.qid["gldv2/index/0"] == entities.qid["gldv2/train/0"] == "Q1"
    assert entities.status["gldv2/train/5"] == "missing"
    asked, before = len(wiki.asked), built.store.read_bytes()
    tables = {path.name: path.read_bytes() for path in built.tables.glob("*.parquet")}
    run(built, settings)
    run(built, changed(settings, contact=None))  # what is in the store is known without asking
    assert len(wiki.asked) == asked
    assert built.store.read_bytes() == before
    assert tables == {path.name: path.read_bytes() for path in built.tables.glob("*.parquet")}
    assert CONTACT not in built.record.read_text()


def test_answers_that_a_stopped_build_lacks_are_not_taken_for_known(
    settings: BuildSettings, tmp_path: Path
) -> None:
    place = Workspace(tmp_path / "ws")
    run(place, settings, "items")
    ResponseStore(place.store).close()  # what a build leaves that is stopped at its first request
    with pytest.raises(RetryError, match="--contact asks for them"):
        run(place, place.last_settings())
    assert [done["stage"] for done in place.last_run()["stages"]] == ["items"]


def test_the_same_category_has_one_entity_and_one_label(built: Workspace) -> None:
    proposals = load(built.folder, "proposals").set_index("subject")
    for one, other in (("gldv2/train/0", "gldv2/index/0"), ("gldv2/train/1", "gldv2/index/1")):
        assert proposals.parent[one] == proposals.parent[other]


def test_published_labels_that_differ_between_the_splits_are_a_dispute(
    built: Workspace, settings: BuildSettings, tmp_path: Path
) -> None:
    known = tmp_path / "labels.csv"
    known.write_text(
        "landmark_id,split,hierarchical_label\n0,train,castle / fort\n0,index,palace\n"
    )
    run(built, changed(settings, known_labels=str(known)), "items", "propose", "settle")
    proposals = load(built.folder, "proposals").set_index("subject")
    for item_id, other in (("gldv2/train/0", "gldv2/index/0"), ("gldv2/index/0", "gldv2/train/0")):
        row = proposals.loc[item_id]
        assert row.reasons[0].kind == "same_category_differs" and not row.accepted
        (piece,) = (piece for piece in row.evidence if piece.kind == "category")
        assert piece.ids == (other,) and piece.node in {"2/palace", "2/castle-fort"}
    assert proposals.parent["gldv2/train/0"] == proposals.parent["gldv2/index/0"]
    sheet = pd.read_csv(built.sheet, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    rows = sheet[sheet.row_id.isin(["1:gldv2/train/0", "1:gldv2/index/0"])]
    assert rows.reasons.str.contains("same Commons category are placed diff").tolist() == [
        True,
        True,
    ]


def test_one_decision_on_a_class_settles_all_its_landmarks(
    built: Workspace, settings: BuildSettings
) -> None:
    report = json.loads(built.reconciliation.read_text())
    assert report["items"] == 8 and sum(report["by_status"].values()) == 8
    sheet = pd.read_csv(built.to_map, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    assert sheet.class_qid.tolist() == [FOLLY, SHELL, "Q900003"]  # by landmarks, then by number
    assert sheet.landmarks.tolist() == ["3", "1", "1"]
    assert sheet.why.tolist() == ["unknown", "unknown", "tie"]
    sheet.loc[0, "node"] = "Castle / Fort"
    sheet.to_csv(built.to_map, index=False, sep=";", encoding="utf-8-sig", lineterminator="\r\n")
    assert apply_sheet(built, built.to_map, "ann").added == 1
    assert built.to_map.exists()
    run(built, settings, "propose", "settle")
    found = labels(built)
    for item_id in ("train/1", "train/2", "train/3", "index/1"):  # those of its subclass too
        row = found.loc[f"gldv2/{item_id}"]
        assert (row.level2_name, row.origin, row.accepted) == ("castle / fort", "human", True)
    check_inputs(settings)
    left = pd.read_csv(built.to_map, dtype=str, encoding="utf-8-sig")
    assert left.class_qid.tolist() == ["Q900003"]


def test_a_class_may_have_no_place(built: Workspace, settings: BuildSettings) -> None:
    sheet = pd.DataFrame({"class_qid": [FOLLY], "node": ["none"], "reviewer": ["ann"]})
    sheet.to_csv(built.to_map, index=False)
    assert apply_sheet(built, built.to_map, None).added == 1
    run(built, settings, "propose", "settle")
    proposals = load(built.folder, "proposals").set_index("subject")
    assert proposals.status["gldv2/train/1"] == proposals.status["gldv2/train/2"] == "no_place"
    check_inputs(settings)  # the ledger still fits
    run(built, settings, "resolve", "propose", "settle")
    LedgerWriter(built.ledger).undo("ann")  # taken back, the class waits for a place again
    run(built, settings, "propose", "settle")
    left = pd.read_csv(built.to_map, dtype=str, encoding="utf-8-sig")
    assert FOLLY in left.class_qid.tolist()


def test_every_wrong_row_of_a_class_sheet_is_named_and_nothing_is_taken(built: Workspace) -> None:
    rows = [(FOLLY, "castel"), ("Q0", "palace"), (SHELL, "palace"), (SHELL, "castle / fort")]
    pd.DataFrame(rows, columns=["class_qid", "node"]).to_csv(built.to_map, index=False)
    with pytest.raises(InputError) as caught:
        apply_sheet(built, built.to_map, "ann")
    assert [problem.row for problem in caught.value.problems] == [2, 3, 5]
    assert built.to_map.is_file() and not built.ledger.exists()


def test_a_filled_in_class_sheet_is_not_overwritten(
    built: Workspace, settings: BuildSettings
) -> None:
    pd.DataFrame({"class_qid": [FOLLY], "node": ["palace"]}).to_csv(built.to_map, index=False)
    filled = built.to_map.read_bytes()
    built.table("proposals").unlink()
    run(built, settings, "propose")
    assert (built.folder / "classes_to_map.filled-in-1.csv").read_bytes() == filled


def test_every_cut_is_in_a_table(built: Workspace) -> None:
    cuts = load(built.folder, "class_cuts")
    assert (FOLLY, "Q5", "rank", "deprecated") in set(cuts.itertuples(index=False, name=None))


def test_explain_says_path_alternatives_and_cuts(built: Workspace) -> None:
    castle = explained(built, "gldv2/train/0")
    assert f"castle ({CASTLE}) → castle / fort" in castle
    both = explained(built, "train/4")
    assert "several nodes are as near" in both
    assert f"castle palace (Q900003) > palace ({PALACE}) → palace" in both
    assert f"castle palace (Q900003) > castle ({CASTLE}) → castle / fort" in both
    folly = explained(built, "Xc")
    assert f"shell grotto ({SHELL}) > folly ({FOLLY}) > whim (Q900009) → -" in folly
    assert f"cut        folly ({FOLLY}) > human (Q5): the statement's rank: deprecated" in folly
    assert "missing, " in explained(built, "train/5") or "none, missing" in explained(
        built, "train/5"
    )


def test_explain_names_near_ids(built: Workspace) -> None:
    result = CliRunner().invoke(app, ["explain", "gldv2/train/77", str(built.folder)])
    assert isinstance(result.exception, InputError)
    assert "gldv2/train/" in str(result.exception)
    several = CliRunner().invoke(app, ["explain", "0", str(built.folder)])
    assert "gldv2/index/0" in str(several.exception) and "gldv2/train/0" in str(several.exception)


def test_a_tie_shows_both_paths_in_the_review_row(built: Workspace) -> None:
    row = load(built.folder, "proposals").set_index("subject").loc["gldv2/train/4"]
    assert Reason("class_tie") in row.reasons and not row.accepted
    for node, last in (("2/palace", PALACE), ("2/castle-fort", CASTLE)):
        way = Evidence("class_tie", node, text="castle palace", ids=("Q900003", last))
        assert way in row.evidence


@pytest.mark.parametrize("what", ["another version", "damaged", "no store"])
def test_a_bad_store_is_named_kept_and_not_overwritten(
    built: Workspace, settings: BuildSettings, what: str
) -> None:
    raw = bytearray(built.store.read_bytes())
    if what == "another version":
        raw[60:64] = (7).to_bytes(4, "big")  # SQLite's user_version
    elif what == "damaged":
        raw[4096:] = b"\xa5" * (len(raw) - 4096)
    else:
        raw = bytearray(b"landmark_id,category\n" * 300)
    built.store.write_bytes(raw)
    built.table("titles").unlink()
    with pytest.raises(InputError, match=r"wikimedia\.sqlite"):
        run(built, settings, "resolve")
    assert built.store.read_bytes() == raw


@pytest.mark.parametrize(
    ("option", "value"),
    [("--contact", "nobody"), ("--commons-api", "wiki"), ("--wikidata-api", "http://x/?a")],
)
def test_a_build_refuses_addresses_that_are_none_before_it_writes(
    option: str, value: str, settings: BuildSettings, tmp_path: Path
) -> None:
    place = tmp_path / "other"
    words = ["build", "gldv2-h", str(place), "--metadata", settings.metadata, option, value]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, InputError) and option in str(result.exception)
    assert not place.exists()


def test_a_build_reads_a_dump_of_triples(
    world: World, settings: BuildSettings, tmp_path: Path
) -> None:
    place = Workspace(tmp_path / "ws")
    entities = list(world.entities.values())
    for title, page in world.pages.items():
        if "item" in page:
            link = {"site": "commonswiki", "title": title}
            world.entities[page["item"]]["sitelinks"] = {"commonswiki": link}
    dump = write_dump(tmp_path / "truthy.nt.gz", truthy_triples(entities))
    run(place, changed(settings, contact=None, entities=str(dump)), "items", "resolve")
    found = load(place.folder, "entities").set_index("item_id")
    assert found.qid["gldv2/train/0"] == "Q1" and found.status["gldv2/train/5"] == "missing"
    assert load(place.folder, "classes").qid.tolist()[-1] == "Q900009"
