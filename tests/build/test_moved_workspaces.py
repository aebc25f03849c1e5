"""A workspace that is copied, renamed, linked, shared and decided on, in every order of three."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from strata_labels.build import BuildSettings, Workspace, build_tree
from strata_labels.cli import app
from strata_labels.review import read_ledger
from typer.testing import CliRunner

ROWS = [f"{n},thing {n},{'' if n % 2 else 'drink'},{'' if n % 2 else 'food'}" for n in range(8)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = Workspace(tmp_path_factory.mktemp("built") / "ws")
    place.folder.mkdir()
    items = place.folder / "items.csv"
    items.write_text("\n".join(["id,name,kind,group", *ROWS, ""]))
    settings = BuildSettings(tree="table", metadata=items, decisions=place.ledger, encoder="")
    build_tree(place, settings)
    return place.folder


class Model:
    """What a person did, and what the folders should hold after it.

    Attributes:
        now: the folder that the person works in.
        decided: rows that are decided there.
        left: folders that were left behind, with the rows that were decided in each.
    """

    def __init__(self, folder: Path) -> None:
        self.root, self.now = folder.parent, folder
        self.decided: list[str] = []
        self.left: dict[Path, list[str]] = {}
        self.sheets: list[Path] = []
        self._names = (f"place {n} %20#?" for n in itertools.count())

    def copy(self) -> None:
        self.left[self.now.resolve()] = list(self.decided)
        self.now = Path(shutil.copytree(self.now, self.root / next(self._names)))

    def rename(self) -> None:
        self.now = self.now.resolve().rename(self.root / next(self._names))

    def link(self) -> None:
        link = self.root / next(self._names)
        link.symlink_to(self.now.resolve(), target_is_directory=True)
        self.now = link

    def share(self) -> None:
        """Packed, sent, and unpacked on a machine where the original is not."""
        packed = shutil.make_archive(str(self.root / "sent"), "tar", self.now.resolve())
        shutil.rmtree(self.now.resolve())
        self.now = self.root / next(self._names) / "ws"
        shutil.unpack_archive(packed, self.now)

    def decide(self) -> None:
        frame = pd.read_csv(self.now / "review.csv", dtype=str, keep_default_na=False)
        row = frame.row_id.iloc[0]
        frame.loc[0, ["decision", "target"]] = ["move", "drink"]
        sheet = self.root / f"sheet {len(self.sheets)}.csv"
        frame.to_csv(sheet, index=False)
        self.sheets.append(sheet)
        self.decided.append(row)
        self.repeat()

    def repeat(self) -> None:
        """All sheets again, the last one first."""
        for sheet in reversed(self.sheets):
            words = ["apply", str(self.now), str(sheet), "--reviewer", "ann"]
            done = CliRunner().invoke(app, words)
            assert done.exit_code in (0, 3), done.exception


STEPS: dict[str, Callable[[Model], None]] = {
    "copy": Model.copy,
    "rename": Model.rename,
    "link": Model.link,
    "share": Model.share,
    "decide": Model.decide,
    "repeat": Model.repeat,
}


@pytest.mark.parametrize("names", itertools.permutations(STEPS, 3), ids="-".join)
def test_a_workspace_is_itself_wherever_it_is(
    built: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    model = Model(Path(shutil.copytree(built, tmp_path / "ws")))
    for name in names:
        STEPS[name](model)
    model.decide()
    assert sorted(read_ledger(model.now / "decisions.csv").decisions.row_id) == sorted(
        model.decided
    )
    for folder, decided in model.left.items():
        if folder.exists():
            ledger = read_ledger(folder / "decisions.csv").decisions
            assert ledger.row_id.tolist() == decided
    record = (model.now / "run.json").read_text()
    assert str(tmp_path) not in record
    done = CliRunner().invoke(app, ["status", str(model.now)])
    assert done.exit_code in (0, 3) and "brought in" not in done.output
