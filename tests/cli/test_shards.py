"""`strata fetch --images` and `strata embed --shards`: what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
from building import Strata


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fetch", "gldv2", "WS", "--images", "train", "--keep", "none"], "nothing would be kept"),
        (["fetch", "gldv2", "WS", "--images", "train", "--shards", "x-9"], "no range of archives"),
        (["fetch", "gldv2", "WS", "--images", "test", "--base-url", "http://127.0.0.1:9"], "test"),
        (["fetch", "gldv2", "WS", "--shards", "0-9"], "--images"),
        (["embed", "WS", "--plan"], "--shards"),
        (["embed", "WS", "--shards", "nothing-there"], "no build in this folder"),
    ],
)
def test_refusals_are_one_message(
    words: list[str], said: str, strata: Strata, tmp_path: Path
) -> None:
    run = strata(*(str(tmp_path / "WS") if word == "WS" else word for word in words))
    assert run.returncode == 2 and said in run.stderr and "Traceback" not in run.stderr
    assert not (tmp_path / "WS").exists()
