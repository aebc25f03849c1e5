from __future__ import annotations

import pytest
from strata_labels.progress import track


def test_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with track(1200, "embedding texts") as advance:
        for _ in range(3):
            advance(400)
    error = capsys.readouterr().err
    assert error.startswith("embedding texts: 1,200 of 1,200 (") and error.endswith("/s)\n")
    with track(0, "nothing") as advance:
        advance(0)
    assert capsys.readouterr().err == ""
