"""A workspace that is copied, renamed, linked, shared and decided on, in every order of three."""

from __future__ import annotations

import copy
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from strata_labels.build import BuildSettings, Workspace, build_tree
from strata_labels.cli import app
from strata_labels.files import sha256_of
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
        self._places = 0

    def _new_place(self) -> Path:
        self._places += 1
        return self.root / f"place {self._places} %20#?"

    def copy(self) -> None:
        self.left[self.now.resolve()] = list(self.decided)
        self.now = Path(shutil.copytree(self.now, self._new_place()))

    def rename(self) -> None:
        self.now = self.now.resolve().rename(self._new_place())

    def link(self) -> None:
        link = self._new_place()
        link.symlink_to(self.now.resolve(), target_is_directory=True)
        self.now = link

    def share(self) -> None:
        """Packed, sent, and unpacked on a machine where the original is not."""
        packed = shutil.make_archive(str(self.root / "sent"), "tar", self.now.resolve())
        shutil.rmtree(self.now.resolve())
        self.now = self._new_place() / "ws"
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


class Orders:
    """Takes steps in a folder of their own; orders with the same beginning share its steps.

    Attributes:
        root: the folder, the same for all orders, since links and records may hold its path.
    """

    def __init__(self, built: Path, scratch: Path) -> None:
        self.root, self._kept = scratch / "root", scratch / "kept"
        shutil.copytree(built, self.root / "ws")
        self._models: dict[tuple[str, ...], Model] = {}
        self._seen: list[tuple[dict[str, object], dict[Path, object]]] = []
        self._keep((), Model(self.root / "ws"))

    def _keep(self, names: tuple[str, ...], model: Model) -> None:
        self._models[names] = copy.deepcopy(model)
        shutil.copytree(self.root, self._kept / "-".join(["begin", *names]), symlinks=True)

    def after(self, names: tuple[str, ...]) -> Model:
        """The world after these steps, in `root`."""
        begun = max((n for n in range(len(names)) if names[:n] in self._models), default=0)
        model = copy.deepcopy(self._models[names[:begun]])
        shutil.rmtree(self.root)
        kept = self._kept / "-".join(["begin", *names[:begun]])
        shutil.copytree(kept, self.root, symlinks=True)
        for n in range(begun, len(names)):
            STEPS[names[n]](model)
            if n + 1 < len(names):
                self._keep(names[: n + 1], model)
        return model

    def is_new(self, model: Model) -> bool:
        """Whether no order before has led to this world, byte for byte."""
        world = vars(model), {path: _content(path) for path in self.root.rglob("*")}
        if world in self._seen:
            return False
        self._seen.append(copy.deepcopy(world))
        return True


def _content(path: Path) -> object:
    if path.is_symlink():
        return path.readlink()
    return sha256_of(path) if path.is_file() else None


@pytest.fixture(scope="module")
def orders(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Orders:
    return Orders(built, tmp_path_factory.mktemp("orders"))


@pytest.mark.parametrize("names", itertools.permutations(STEPS, 3), ids="-".join)
def test_a_workspace_is_itself_wherever_it_is(orders: Orders, names: tuple[str, ...]) -> None:
    model = orders.after(names)
    if not orders.is_new(model):  # such as where `repeat` has nothing to repeat
        return
    model.decide()
    assert sorted(read_ledger(model.now / "decisions.csv").decisions.row_id) == sorted(
        model.decided
    )
    for folder, decided in model.left.items():
        if folder.exists():
            ledger = read_ledger(folder / "decisions.csv").decisions
            assert ledger.row_id.tolist() == decided
    record = (model.now / "run.json").read_text()
    assert str(orders.root) not in record
    done = CliRunner().invoke(app, ["status", str(model.now)])
    assert done.exit_code in (0, 3) and "brought in" not in done.output
