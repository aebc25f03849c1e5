"""The report: its figures are the evaluation's, one file, the same bytes again."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import validation_data as data
from PIL import Image
from strata_labels.errors import InputError
from strata_labels.retrieval import evaluate_embeddings
from strata_labels.validation import write_report
from strata_labels.validation.report_numbers import Ranked
from strata_labels.validation.report_pictures import map_points


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A training's files and the pictures."""
    frame = data.table(kinds=2, items=3, images=3)
    frame.to_parquet(tmp_path / "test_items.parquet", index=False)
    for seed, name in enumerate(("test_frozen.npy", "test_trained.npy")):
        np.save(tmp_path / name, data.vectors(frame, seed).numpy())
    lines = ["step,epoch,loss,lr", *(f"{n},0,{1 / n:.3f},0.1" for n in range(1, 6))]
    (tmp_path / "metrics.csv").write_text("\n".join(lines) + "\n")
    for path in frame.path[:-1]:  # the last picture is missing
        (tmp_path / "images" / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (200, 100), "teal").save(tmp_path / "images" / path)
    return tmp_path


def test_figures_are_those_of_the_evaluation(run: Path) -> None:
    numbers = write_report(run, run / "images", names={"k00": "Kind & <one>"}, synthetic=True)
    frame = pd.read_parquet(run / "test_items.parquet")
    vectors = torch.from_numpy(np.load(run / "test_trained.npy"))
    labels = torch.from_numpy(
        np.stack([np.unique(frame[f"level{n}"], return_inverse=True)[1] for n in range(3)], 1)
    )
    report = evaluate_embeddings(vectors, labels)
    for name, value in report.means.items():
        assert numbers["metrics"][name]["trained"] == pytest.approx(value)
    own = torch.tensor((frame.level1 == "k00").tolist())
    (node,) = [row for row in numbers["nodes"] if row["node"] == "k00"]
    assert node["trained"] == pytest.approx(float(report.per_query["hap"][own].mean()))
    assert (node["items"], node["queries"]) == (3, 9)
    assert json.loads((run / "report.json").read_text()) == json.loads(json.dumps(numbers))


def test_one_file_with_small_pictures_and_the_same_bytes_again(run: Path) -> None:
    write_report(run, run / "images", names={"k00": "Kind & <one>"}, synthetic=True)
    page = (run / "report.html").read_text()
    assert "Synthetic images" in page
    assert "Kind &amp; &lt;one&gt;" in page and "Kind & <one>" not in page
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    assert pictures
    for text in pictures:
        assert max(Image.open(io.BytesIO(base64.b64decode(text))).size) <= 96
    curves = (run / "curves.png").read_bytes()
    write_report(run, run / "images", names={"k00": "Kind & <one>"}, synthetic=True)
    assert (run / "report.html").read_text() == page
    assert (run / "curves.png").read_bytes() == curves


def test_without_pictures_or_curves_it_still_shows_names(run: Path) -> None:
    (run / "metrics.csv").unlink()
    write_report(run)
    page = (run / "report.html").read_text()
    assert "i000" in page and "<img" not in page and "Synthetic" not in page


@pytest.mark.parametrize("vectors", [np.ones((16, 8)), np.eye(16)[:, :1], np.ones((16, 1))])
def test_map_of_vectors_that_are_one_or_have_one_number(vectors: np.ndarray) -> None:
    """The first ended the process by a segmentation fault, the second in a traceback."""
    chart = map_points(vectors.astype(np.float32), ["a", "b"] * 8)
    assert (
        len(chart["points"]) == 16 and np.isfinite([point[:2] for point in chart["points"]]).all()
    )


def test_severity_is_the_height_of_the_first_wrong_neighbour() -> None:
    # On a line: item a (0, 1), its sibling b (2.1), then c of another kind.
    angles = np.array([0.0, 0.1, 0.25, 0.5, 1.5])
    vectors = torch.tensor(np.stack([np.cos(angles), np.sin(angles)], 1), dtype=torch.float32)
    table = pd.DataFrame(
        {"level0": list("aabca"), "level1": list("kkkmk"), "level2": list("ttttt")}
    )
    rows, levels, errors = Ranked(vectors, table).neighbours()
    assert rows[0].tolist() == [1, 2, 3, 4] and levels[0].tolist() == [3, 2, 1, 3]
    # a's first wrong is b, which shares kind and top; b and c have no image of their own besides.
    assert errors.tolist()[:2] == [2, 2] and errors[4] == 1
    assert errors[2] == -1 and errors[3] == -1


def test_queries_rank_a_gallery(run: Path) -> None:
    frame = pd.read_parquet(run / "test_items.parquet")
    split = np.where(np.arange(len(frame)) % 3 == 0, "query", "gallery")
    frame.assign(split=split).to_parquet(run / "test_items.parquet", index=False)
    numbers = write_report(run)
    assert numbers["num_queries"] == 12


def test_files_that_do_not_belong_together_are_refused(run: Path) -> None:
    np.save(run / "test_trained.npy", np.ones((3, 4), np.float32))
    with pytest.raises(InputError, match=r"36 rows, test_trained\.npy has 3"):
        write_report(run)
    assert not (run / "report.html").exists()


def test_the_report_is_accessible(run: Path, browser: Any, axe: Any) -> None:
    write_report(run, run / "images", names={"k00": "Kind & <one>"}, synthetic=True)
    for width, scheme in ((1280, "light"), (400, "dark")):
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        page.goto((run / "report.html").as_uri())
        assert axe(page) == []
        page.close()


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("images", [True, False])
def test_sheets_fit_the_window_and_the_map_its_frame(
    run: Path, browser: Any, width: int, images: bool
) -> None:
    names = {"k00": "A" * 150, "k01": "Name of many words " * 8}
    write_report(run, run / "images" if images else None, names=names)
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto((run / "report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    sheets = page.eval_on_selector_all(
        ".sheet", "all => all.map(sheet => [sheet.scrollWidth - sheet.clientWidth, sheet.tabIndex])"
    )
    assert len(sheets) > 4 and all(sheet == [0, -1] for sheet in sheets)
    # The points reach all edges of the frame, which keeps the proportions of the map.
    edges = page.evaluate(
        """() => {
          const frame = document.querySelector("svg").getBoundingClientRect();
          const all = [...document.querySelectorAll("circle")].map(c => c.getBoundingClientRect());
          const from = key => Math.min(...all.map(one => one[key] - frame[key]));
          const to = key => Math.min(...all.map(one => frame[key] - one[key]));
          const gaps = [from("left"), from("top"), to("right"), to("bottom")];
          return [frame.width, frame.height, Math.min(...gaps), Math.max(...gaps)];
        }"""
    )
    assert edges[0] >= edges[1] > 0.05 * edges[0]
    assert edges[2] >= 0 and edges[3] <= 0.03 * edges[0]
    page.close()
