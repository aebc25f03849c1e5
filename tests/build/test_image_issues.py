"""The table `image_issues`: planted strangers among the pictures of items are found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from strata_labels.build import BuildSettings, Workspace, build_tree, label_evidence
from strata_labels.proposal import Ladder
from strata_labels.tables import SCHEMAS, load
from tiny_clip import PLANT, colour_image, make_tiny_clip

WHITE = (250, 250, 250)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_tiny_clip(tmp_path_factory.mktemp("tiny") / "clip")


def build(folder: Path, encoder: str, strangers: dict[str, tuple[int, int, int]]) -> Workspace:
    """Three items of each kind with five pictures; `strangers` have another colour."""
    rows = []
    for kind, colour in PLANT.items():
        for n in range(3):
            names = [f"{kind}{n}{m}.png" for m in range(5)]
            for name in names:
                colour_image(folder / name, strangers.get(name, colour), seed=sum(name.encode()))
            rows.append((f"{kind}{n}", "|".join(names), kind))
    table = pd.DataFrame(rows, columns=["id", "image", "kind"])
    table.to_csv(folder / "items.csv", index=False)
    place = Workspace(folder / "ws")
    given = {"decisions": place.ledger, "metadata": folder / "items.csv", "encoder": encoder}
    build_tree(place, BuildSettings(tree="table", **given))
    return place


def test_strangers_are_found_and_named(
    tmp_path: Path, encoder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    strangers = {"church03.png": PLANT["bridge"], "mountain10.png": WHITE}
    place = build(tmp_path, encoder, strangers)
    found = load(place.folder, "image_issues")
    assert found.columns.tolist() == SCHEMAS["image_issues"].names
    assert found["image"].tolist() == sorted(strangers)
    assert found["item_id"].str.extract(r"/(\w+)$")[0].tolist() == ["church0", "mountain1"]
    assert found["num_images"].tolist() == [5, 5]
    other = found.iloc[0]
    assert (other["problem"], other["other"]) == ("like_other_node", "1/bridge")
    assert other["other_similarity"] > 0.8 > other["similarity"]
    assert "2 images of 2 items do not look like the other images" in place.card.read_text()
    vectors = np.load(place.vectors / "images.npy")
    items = load(place.folder, "items")["item_id"].str.extract(r"/([a-z]+)\d$")[0]
    # The strangers are not in the vectors: each item is nearest to its own kind.
    similarity = vectors @ vectors.T
    for kind in PLANT:
        own = (items == kind).to_numpy()
        assert similarity[np.ix_(own, own)].min() > similarity[np.ix_(own, ~own)].max()


def test_nothing_is_found_where_nothing_is_planted(tmp_path: Path, encoder: str) -> None:
    place = build(tmp_path, encoder, {})
    assert load(place.folder, "image_issues").empty
    before = place.table("image_issues").read_bytes()
    strangers = {"church03.png": PLANT["bridge"]}
    build(tmp_path, encoder, strangers)
    assert len(load(place.folder, "image_issues")) == 1
    build(tmp_path, encoder, {})
    assert place.table("image_issues").read_bytes() == before


def test_given_labels_are_questioned_by_each_picture(
    tmp_path: Path, encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures that say nothing hide in a mean of vectors those that contradict the label."""
    others = {f"church0{m}.png": PLANT["bridge"] for m in (0, 1)}
    others |= {f"church0{m}.png": WHITE for m in (2, 3, 4)}
    score = {}
    for most in (0, 5_000):
        monkeypatch.setattr(label_evidence, "MOST_BY_IMAGE", most)
        folder = tmp_path / str(most)
        folder.mkdir()
        issues = load(build(folder, encoder, others).folder, "label_issues")
        score[most] = issues.set_index(issues["item_id"].str.extract(r"/(\w+)$")[0])["score"]
    assert score[5_000].idxmin() == "church0"
    assert score[5_000]["church0"] < score[0]["church0"]


def test_a_label_that_one_item_alone_has_is_not_in_doubt(tmp_path: Path, encoder: str) -> None:
    rows = [(f"{kind}{n}", kind) for kind in PLANT for n in range(4)]
    rows[0] = (rows[0][0], "chapel")
    for item, _ in rows:
        colour_image(tmp_path / f"{item}.png", PLANT[item[:-1]], seed=sum(item.encode()))
    table = pd.DataFrame(rows, columns=["id", "kind"])
    table["image"] = table["id"] + ".png"
    table.to_csv(tmp_path / "items.csv", index=False)
    place = Workspace(tmp_path / "ws")
    given = {"decisions": place.ledger, "metadata": tmp_path / "items.csv", "encoder": encoder}
    build_tree(place, BuildSettings(tree="table", **given))
    issues = load(place.folder, "label_issues")
    alone = issues[issues["given"] == "1/chapel"].iloc[0]
    assert (alone["score"], alone["opened"]) == (0.95, False)
    assert not issues["opened"].any() and len(issues) == len(rows)


def test_without_images_the_table_is_empty(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("id,name,kind\n1,Lake A,lake\n2,Old Church,church\n")
    place = Workspace(tmp_path / "ws")
    given = {"decisions": place.ledger, "metadata": tmp_path / "items.csv", "encoder": ""}
    build_tree(place, BuildSettings(tree="table", **given))
    assert load(place.folder, "image_issues").empty


def test_the_tree_page_follows_the_pictures(tmp_path: Path, encoder: str) -> None:
    def pictures(strangers: dict[str, tuple[int, int, int]]) -> str:
        page = build(tmp_path, encoder, strangers).page.read_text(encoding="utf-8")
        return page.split('id="pictures">')[1].split("</script>")[0]

    before = pictures({})
    assert len(before) > 1000
    assert pictures({"church00.png": WHITE}) != before
    assert pictures({}) == before


def test_other_pictures_question_the_labels_again(
    tmp_path: Path, encoder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the pictures that changed are left out of their item's vector."""
    vectors = []
    for colour in (WHITE, PLANT["bridge"]):
        place = build(tmp_path, encoder, {f"church0{m}.png": colour for m in (0, 1)})
        vectors.append((place.vectors / "images.npy").read_bytes())
        assert "Proposing labels" in capsys.readouterr().out
    assert vectors[0] == vectors[1]


def test_a_node_without_a_vector_leaves_the_others_theirs(tmp_path: Path, encoder: str) -> None:
    place = build(tmp_path, encoder, {})
    nodes, file = load(place.folder, "nodes"), place.vectors / "nodes.npy"
    known = nodes.loc[nodes["level"] == 1, "node_id"].tolist()
    late = nodes[nodes["level"] == 1].head(1).assign(node_id="1/new:chapel", name="chapel")
    nodes = pd.concat([nodes, late], ignore_index=True)
    before = label_evidence._vectors_of_names(place, Ladder(1, [known], []), nodes, file)
    ladder = Ladder(1, [[*known, "1/new:chapel"]], [])
    vectors = label_evidence._vectors_of_names(place, ladder, nodes, file)
    assert before is not None and vectors is not None
    assert np.array_equal(vectors[:-1], before)
    assert np.linalg.norm(vectors[-1]) == pytest.approx(1)
    ladder = Ladder(1, [["1/new:chapel"]], [])
    assert label_evidence._vectors_of_names(place, ladder, nodes, file) is None
