"""The stages of a build, run without Prefect on small data: image evidence, found nodes, review."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from building import changed
from strata_labels.build import STAGES, BuildSettings, Workspace, apply_sheet, rebuild, run_stages
from strata_labels.errors import InputError
from strata_labels.tables import load
from tiny_clip import PLANT, colour_image, make_tiny_clip

ADDRESS = "http://commons.wikimedia.org/wiki/Category:"


def build(place: Workspace, settings: BuildSettings) -> None:
    place.folder.mkdir(parents=True, exist_ok=True)
    run_stages(STAGES, place, settings)


def write_metadata(folder: Path, names: list[str]) -> str:
    folder.mkdir()
    rows = [f"{number},{ADDRESS}{name}" for number, name in enumerate(names)]
    text = "landmark_id,category\n" + "\n".join(rows) + "\n"
    (folder / "train_label_to_category.csv").write_text(text)
    return str(folder)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    others = ["lake", "castle / fort"]
    return make_tiny_clip(tmp_path_factory.mktemp("tiny") / "model", others=others)


@pytest.fixture
def small(tmp_path: Path, tiny: str) -> tuple[Workspace, BuildSettings]:
    """A vocabulary of five nodes, and landmarks whose names tell nothing."""
    vocabulary = tmp_path / "vocabulary.csv"
    vocabulary.write_text(
        "hierarchical_label,natural_or_human_made\nchurch,human-made\nmountain,natural\n"
        "bridge,human-made\nlake,natural\ncastle / fort,human-made\n"
    )
    place = Workspace(tmp_path / "ws")
    names = [f"Xq{number}" for number in range(6)]
    settings = BuildSettings(
        tree="gldv2-h",
        metadata=write_metadata(tmp_path / "metadata", names),
        decisions=str(place.ledger),
        encoder=tiny,
        vocabulary=str(vocabulary),
    )
    return place, settings


def test_a_planted_alignment_is_followed_to_the_label(
    small: tuple[Workspace, BuildSettings], tmp_path: Path
) -> None:
    place, settings = small
    planted = [*PLANT, *PLANT]
    rows = ["landmark_id,images"]
    for number, name in enumerate(planted):
        image = f"{number}{'abcdef'[number]}0123456789abcd"
        path = tmp_path / "images" / image[0] / image[1] / image[2] / f"{image}.jpg"
        path.parent.mkdir(parents=True)
        colour_image(path, PLANT[name], seed=number)
        rows.append(f"{number},{image}")
    (Path(settings.metadata) / "train_clean.csv").write_text("\n".join(rows) + "\n")
    build(place, changed(settings, images=str(tmp_path / "images")))
    assignments = load(place.folder, "assignments").set_index("item_id")
    found = [assignments.level2_name[f"gldv2/train/{n}"] for n in range(len(planted))]
    assert found == planted
    assert set(assignments.origin) == {"image"}


def test_nodes_are_found_without_a_vocabulary(
    small: tuple[Workspace, BuildSettings], tmp_path: Path
) -> None:
    place, settings = small
    names = [f"{kind}_{n}" for kind in ("Kirche", "Burg", "See", "Turm") for n in range(6)]
    metadata = write_metadata(tmp_path / "more", names)
    build(place, changed(settings, vocabulary=None, metadata=metadata, clusters=3))
    nodes, assignments = load(place.folder, "nodes"), load(place.folder, "assignments")
    assert (nodes.level == 2).sum() == 3
    assert (nodes.level == 3).sum() == 2
    assert len(assignments) == len(names) and assignments.level3_id.notna().all()
    with pytest.raises(InputError, match="more nodes than items"):
        build(place, changed(settings, vocabulary=None, metadata=metadata, clusters=25))


def test_a_decided_sheet_is_applied_once_and_kept_for_good(
    small: tuple[Workspace, BuildSettings],
) -> None:
    place, settings = small
    build(place, settings)
    sheet = pd.read_csv(place.sheet, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    mine = sheet.row_id == "1:gldv2/train/3"
    assert mine.sum() == 1
    sheet.loc[mine, ["decision", "target"]] = ["move", "lake"]
    # As a spreadsheet program of another country saves it.
    sheet.to_csv(place.sheet, index=False, sep=";", encoding="utf-8-sig", lineterminator="\r\n")
    applied = apply_sheet(place, place.sheet, "ann")
    assert (applied.added, applied.remarks) == (1, [])
    rebuild(place)
    row = load(place.folder, "assignments").set_index("item_id").loc["gldv2/train/3"]
    assert (row.level2_name, row.origin, row.accepted) == ("lake", "human", True)
    assert "1:gldv2/train/3" not in place.sheet.read_text(encoding="utf-8-sig")
    build(place, settings)  # the ledger settles it; nobody is asked again
    again = load(place.folder, "assignments").set_index("item_id").loc["gldv2/train/3"]
    assert (again.level2_name, again.origin) == ("lake", "human")


def test_a_filled_in_sheet_is_not_overwritten(small: tuple[Workspace, BuildSettings]) -> None:
    place, settings = small
    build(place, settings)
    sheet = pd.read_csv(place.sheet, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    sheet.loc[0, "decision"] = "unsure"
    sheet.to_csv(place.sheet, index=False)
    filled = place.sheet.read_bytes()
    place.table("nodes").unlink()
    build(place, settings)
    assert (place.folder / "review.filled-in-1.csv").read_bytes() == filled
