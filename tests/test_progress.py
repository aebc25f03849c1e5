"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import pytest
from strata_labels.progress import track


def test_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with track(1200, "embedding texts") as tracker:
        for _ in range(3):
            tracker.advance(400)
    error = capsys.readouterr().err
    assert error.startswith("embedding texts: 1,200 of 1,200 (") and error.endswith("/s)\n")
    with track(0, "nothing") as tracker:
        tracker.advance(0)
    assert capsys.readouterr().err == ""


def test_bytes_that_continue_where_they_were(capsys: pytest.CaptureFixture[str]) -> None:
    with track(None, "a.zip", "bytes") as tracker:
        tracker.restart(1_000_000, 3_000_000)
        tracker.advance(2_000_000)
    assert capsys.readouterr().err.startswith("a.zip: 3.0 MB of 3.0 MB (")


def test_a_bar_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes the stream for a terminal
    with track(10, "embedding [texts]") as tracker:
        tracker.advance(10)
    shown = capsys.readouterr().err
    assert "embedding [texts]" in shown and "10/10" in shown
