"""Exports: the released columns, the SupRank loader's files, and what is refused."""

from __future__ import annotations

import pandas as pd
import pytest
from exporting import export
from small_world import LEVELS, VOCABULARY, decisions, item, items, proposals
from strata_labels.errors import InputError
from strata_labels.export import About
from strata_labels.export.export_input import ExportInput
from strata_labels.export.formats import FORMATS
from strata_labels.hierarchy import CardSource
from strata_labels.review import replay
from strata_labels.tree import tree_tables


def assigned(*rows: tuple) -> pd.DataFrame:
    resolution = replay(decisions(*rows), proposals(), VOCABULARY)
    return tree_tables(items(), resolution.rows, resolution.tree)[1]


#: Beside the files of every format that has no place for confidences.
BESIDE = ["README.md", "confidence.parquet"]


def files(folder) -> dict[str, bytes]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in found
        if not path.name.startswith(".")
    }


def test_gldv2_is_as_released(tmp_path):
    result = export("gldv2", tmp_path, items(), assigned((item(2), 1, "stop", "")))
    url = "http://commons.wikimedia.org/wiki/Category:Landmark_"
    assert (tmp_path / "train_label_to_hierarchical.csv").read_bytes().decode() == (
        "landmark_id,category,supercategory,hierarchical_label,natural_or_human_made\n"
        f"1,{url}1,church building,church,human-made\n"
        f"2,{url}2,,church,human-made\n"
        f"3,{url}3,cathedral,church,human-made\n"
        f"4,{url}4,castle,castle / fort,human-made\n"
        f"5,{url}5,mountain,mountain,natural\n"
        f"6,{url}6,,,\n"
        f"7,{url}7,,,\n"
    )
    assert result.rows == {
        "index_label_to_hierarchical.csv": 1,
        "train_label_to_hierarchical.csv": 7,
    }
    assert sorted(path.name for path in result.files) == sorted(files(tmp_path))


@pytest.mark.parametrize("format", ["croissant", "huggingface"])
def test_a_node_that_people_made_is_listed_without_items(tmp_path, format):
    resolution = replay(decisions(("3/natural", 4, "create", "Cave")), proposals(), VOCABULARY)
    made, given = resolution.made, (items(), resolution.rows, resolution.tree)
    nodes, assignments, _ = tree_tables(*given, made=made)
    export(format, tmp_path, items(), assignments, nodes=nodes)
    found = pd.read_parquet(tmp_path / "nodes.parquet").set_index("node_id")
    assert found.loc["2/natural/cave", ["name", "parent_id"]].tolist() == ["Cave", "3/natural"]
    assert set(found.index) == set(nodes[nodes.level > 0].node_id)


TEXT = 'spires, "keeps" & towers\\'


def described() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Nodes and assignments, one node with a description."""
    resolution = replay(decisions(("2/church", 3, "describe", TEXT)), proposals(), VOCABULARY)
    given = (items(), resolution.rows, resolution.tree)
    return tree_tables(*given, text=resolution.text)[:2]


@pytest.mark.parametrize("format", ["croissant", "huggingface"])
def test_what_people_wrote_of_a_node_goes_along(tmp_path, format):
    nodes, assignments = described()
    export(format, tmp_path, items(), assignments, nodes=nodes)
    found = pd.read_parquet(tmp_path / "nodes.parquet").set_index("node_id")["description"]
    assert found.dropna().to_dict() == {"2/church": TEXT}
    # The table of an earlier version has no such column.
    export(format, tmp_path, items(), assignments, nodes=nodes.drop(columns="description"))
    assert pd.read_parquet(tmp_path / "nodes.parquet")["description"].isna().all()


def test_what_people_wrote_of_a_node_is_a_scope_note_in_skos(tmp_path):
    rdflib = pytest.importorskip("rdflib")
    nodes, assignments = described()
    export("skos", tmp_path, items(), assignments, nodes=nodes)
    graph = rdflib.Graph().parse(tmp_path / "tree.ttl")
    church = graph.value(None, rdflib.SKOS.notation, rdflib.Literal("2/church"))
    said = {(node, str(text)) for node, text in graph.subject_objects(rdflib.SKOS.scopeNote)}
    assert said == {(church, TEXT)}


def test_only_splits_that_exist(tmp_path):
    export("gldv2", tmp_path, items(), assigned())
    train = items()[items().split == "train"]
    assignments = assigned()
    export("gldv2", tmp_path, train, assignments[assignments.split == "train"])
    assert list(files(tmp_path)) == [*BESIDE, "train_label_to_hierarchical.csv"]


def test_suprank_has_labelled_rows_and_no_missing_value(tmp_path):
    result = export("suprank", tmp_path, items(), assigned((item(3), 1, "stop", "natural")))
    found = pd.read_csv(tmp_path / "train_label_to_subcategory_with_clusters.csv")
    assert list(found.columns) == ["landmark_id", "cluster", "overall_cluster"]
    assert found.landmark_id.tolist() == [1, 2, 4, 5]
    assert not found.isna().any(axis=None)
    assert result.set_aside == {"no_label": 2, "label_stops_early": 1}
    assert result.items == 5
    assert result.missing == [
        "train_clean.csv",
        "index_image_to_landmark.csv",
        "retrieval_solution_v2.1.csv",
    ]
    assert "- train_clean.csv\n" in (tmp_path / "README.md").read_text()


def test_suprank_brings_the_image_lists(tmp_path):
    metadata = tmp_path / "metadata"
    metadata.mkdir()
    (metadata / "train_clean.csv").write_bytes(b"landmark_id,images\r\n1,aa bb\r\n")
    result = export("suprank", tmp_path / "out", items(), assigned(), metadata)
    copy = tmp_path / "out/train_clean.csv"
    assert copy.read_bytes() == (metadata / "train_clean.csv").read_bytes()
    assert copy in result.files and "train_clean.csv" not in result.missing
    # Without the metadata the next export does not leave another data set's list there.
    export("suprank", tmp_path / "out", items(), assigned())
    assert not copy.exists()


#: Formats that carry four levels of items; those that list images need some.
FITTING = sorted(set(FORMATS) - {"sop", "inat2018", "imagefolder"})
IMAGES = [[f"{n:03}abc", f"{n:03}def"] for n in range(8)]


@pytest.mark.parametrize("format", FITTING)
def test_the_same_tree_gives_the_same_bytes(tmp_path, format):
    assignments = assigned()
    things = items().assign(image_ids=IMAGES)
    export(format, tmp_path / "a", things, assignments)
    shuffled = things.sample(frac=1, random_state=3)
    export(format, tmp_path / "b", shuffled, assignments.sample(frac=1, random_state=4))
    assert files(tmp_path / "a") == files(tmp_path / "b")


@pytest.mark.parametrize("format", ["gldv2", "suprank"])
def test_an_export_that_was_changed_is_noticed(tmp_path, format):
    export(format, tmp_path, items(), assigned())
    FORMATS[format].check(tmp_path, ExportInput(items(), assigned(), tuple(LEVELS)))
    other = ExportInput(items(), assigned((item(2), 1, "move", "lake")), tuple(LEVELS))
    with pytest.raises(ValueError, match="row 3"):
        FORMATS[format].check(tmp_path, other)


def test_names_with_quotes_commas_and_letters_survive(tmp_path):
    name = 'Église, "Saint-Étienne"; 寺 ='
    assignments = assigned(("2/church", 3, "rename", name))
    export("gldv2", tmp_path, items(), assignments)
    found = pd.read_csv(tmp_path / "train_label_to_hierarchical.csv", keep_default_na=False)
    assert found.hierarchical_label[0] == name


def test_a_name_the_loader_takes_for_missing_is_refused(tmp_path):
    with pytest.raises(InputError, match="takes this name for missing: 'NA'"):
        export("suprank", tmp_path, items(), assigned(("2/church", 3, "rename", "NA")))
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported(tmp_path):
    with pytest.raises(InputError, match="Take one of croissant, gldv2, huggingface"):
        export("nexus", tmp_path, items(), assigned())
    flat = assigned().drop(columns=["level3_id", "level3_name"])
    with pytest.raises(InputError, match="cannot carry a tree of 3 levels"):
        export("gldv2", tmp_path, items(), flat)
    assert not list(tmp_path.iterdir())


#: What is left out of the small world by each format that carries it: items 6 and 7 of train have
#: no label, item 3 stops at level 3, item 4 has no image.
LEFT_OUT = {
    "croissant": {},
    "gldv2": {},
    "huggingface": {},
    "json": {"no_label": 2},
    "landmarks": {},
    "newick": {"no_label": 2},
    "skos": {"no_label": 2},
    "oml": {"no_label": 2, "no_images": 1, "label_stops_early": 1},
    "suprank": {"no_label": 2, "label_stops_early": 1},
}


@pytest.mark.parametrize("format", FITTING)
def test_items_left_out_are_counted_by_reason(tmp_path, format):
    things = items().assign(image_ids=IMAGES)
    things.at[3, "image_ids"] = []
    assignments = assigned((item(3), 1, "stop", "natural"))
    result = export(format, tmp_path, things, assignments)
    assert result.set_aside == LEFT_OUT[format]
    assert result.items == 8 - sum(LEFT_OUT[format].values())
    assert result.counts()["in"] == 8
    said = result.summary()
    assert said.startswith(f"{result.items} of 8 items")
    assert all(f"{n} {reason.replace('_', ' ')}" in said for reason, n in result.set_aside.items())


def test_what_is_left_out_of_lists_of_two_levels(tmp_path):
    flat = assigned().drop(columns=["level2_id", "level2_name", "level3_id", "level3_name"])
    things = items().assign(image_ids=IMAGES)
    things.at[0, "image_ids"] = []
    sop = export("sop", tmp_path / "sop", things, flat)
    assert (sop.items, sop.set_aside) == (5, {"no_label": 2, "no_images": 1})
    inat = export("inat2018", tmp_path / "inat", things, flat)
    assert (inat.items, inat.set_aside) == (6, {"no_label": 2})


@pytest.mark.parametrize("copy", [False, True])
def test_an_image_folder_links_or_copies_images_and_leaves_the_originals_alone(tmp_path, copy):
    things = items().assign(image_ids=[[f"{n}/a.jpg", f"{n}/b.png"] for n in range(8)])
    things.at[0, "image_ids"] = ["0/a.jpg", "0/notes.gif"]
    things.at[1, "image_ids"] = ["1/not there.jpg"]
    things.at[2, "image_ids"] = []
    for images in things.image_ids:
        for name in images:
            if "not there" not in name:
                (tmp_path / name).parent.mkdir(exist_ok=True)
                (tmp_path / name).write_bytes(name.encode())
                (tmp_path / name).chmod(0o444)
    originals = list(tmp_path.glob("*/*.*"))

    def state():
        return [(path.stat().st_mode, path.stat().st_mtime_ns) for path in originals]

    before = state()

    def find(image):
        return path if (path := tmp_path / image).is_file() else None

    def write():
        return export(
            "imagefolder", tmp_path / "out", things, assigned(), find_image=find, copy_images=copy
        )

    result = write()
    assert result.set_aside == {"no_label": 2, "no_images": 1, "image_files_missing": 1}
    place = tmp_path / "out/train/church_building/1_0.jpg"
    assert place.is_symlink() is not copy and place.read_bytes() == b"0/a.jpg"
    assert not list((tmp_path / "out").rglob("*.gif"))
    write()  # over the first one
    assert state() == before
    # An image that is gone since takes its link along.
    (tmp_path / "0/a.jpg").unlink()
    assert write().set_aside["image_files_missing"] == 2
    assert not place.is_symlink() and not place.exists()


def test_wikidata_ids_are_exact_matches_in_skos(tmp_path):
    rdflib = pytest.importorskip("rdflib")
    about = About(title='A "tree"', licence="cc-by-4.0", citations=("S. Author: It's 5\\. 2020.",))
    nodes = pd.DataFrame(
        {
            "node_id": ["2/church", "1/empty"],
            "level": [2, 1],
            "name": ["church", "empty"],
            "parent_id": ["3/human-made", "2/church"],
            "qid": ["Q16970", None],
        }
    )
    export("skos", tmp_path, items(), assigned(), about=about, nodes=nodes)
    graph = rdflib.Graph().parse(tmp_path / "tree.ttl")
    skos, dct = rdflib.SKOS, rdflib.DCTERMS
    church = graph.value(None, skos.notation, rdflib.Literal("2/church"))
    assert str(graph.value(church, skos.exactMatch)) == "http://www.wikidata.org/entity/Q16970"
    empty = graph.value(None, skos.notation, rdflib.Literal("1/empty"))
    assert graph.value(empty, skos.broader) == church
    scheme = graph.value(church, skos.inScheme)
    assert str(graph.value(scheme, dct.title)) == about.title
    assert str(graph.value(scheme, dct.rights)) == "cc-by-4.0"
    assert str(graph.value(scheme, dct.bibliographicCitation)) == about.citations[0]
    tops = set(graph.objects(scheme, skos.hasTopConcept))
    assert tops == set(graph.subjects(skos.topConceptOf, scheme)) and len(tops) == 2


def test_every_export_says_what_is_in_it_and_what_to_cite(tmp_path):
    sources = (CardSource(name="Lists | A", licence="CC0", origin="https://a.org"),)
    about = About("T", "A tree.", "cc-by-4.0", sources, ("S. Author: A Tree. 2020.",))
    export("suprank", tmp_path, items(), assigned(), about=about)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    for part in (
        "6 of 8 items are in the files.",
        "- no label: 2",
        "The labels: cc-by-4.0.",
        "| Lists \\| A | CC0 | https://a.org |",
        "- S. Author: A Tree. 2020.",
        "SupRank's GLDv2 loader",
    ):
        assert part in text
    sure = pd.read_parquet(tmp_path / "confidence.parquet")
    assert len(sure) == 8 and sure.level3_confidence.notna().sum() == 6
    export("suprank", tmp_path, items(), assigned(), about=About("T", licence="other"))
    assert "## Licence" not in (tmp_path / "README.md").read_text(encoding="utf-8")
