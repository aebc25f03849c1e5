"""Review pages on a small workspace, served over loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import pytest
from page_client import ReviewCommand, running
from page_world import make_workspace
from strata_labels.build import Workspace
from strata_labels.cli.review import review_setup
from strata_labels.review.page import Desk, open_page
from strata_labels.review.page.serve import Served


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "ws")


@pytest.fixture
def ledger(workspace: Path) -> Callable[[], list[tuple[str, str, str]]]:
    """What the ledger says: `row_id, decision, target` of its rows, in order."""

    def read() -> list[tuple[str, str, str]]:
        frame = pd.read_csv(workspace / "decisions.csv", dtype=str, keep_default_na=False)
        return list(frame[["row_id", "decision", "target"]].itertuples(index=False, name=None))

    return read


@pytest.fixture
def desk(workspace: Path) -> Callable[..., Desk]:
    def make(reviewer: str = "ann", **more: object) -> Desk:
        return Desk(review_setup(Workspace(workspace)), reviewer, **more)

    return make


@pytest.fixture
def serve() -> Iterator[Callable[[Desk], Served]]:
    """Serves a desk on a free port, as the command does, until the test ends."""
    with ExitStack() as stack:

        def start(of: Desk) -> Served:
            page = stack.enter_context(open_page(of))
            stack.enter_context(running(page))
            return page

        yield start


@pytest.fixture
def start(workspace: Path) -> Iterator[Callable[..., ReviewCommand]]:
    """Starts `strata review` on the workspace; none is left when the test ends."""
    started: list[ReviewCommand] = []

    def begin(*words: str) -> ReviewCommand:
        started.append(ReviewCommand(workspace, *words))
        return started[-1]

    yield begin
    for command in started:
        command.process.kill()
        command.process.wait()
