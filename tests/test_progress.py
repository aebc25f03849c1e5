"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time

import pytest
from strata_labels import messages, progress
from strata_labels.progress import activity, track, tracked


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


def test_work_that_reports_nothing_is_not_silent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_SECONDS_MORE", 0.01)
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.01)
    with activity("Proposing labels"):
        time.sleep(0.1)
    first, *_ = capsys.readouterr().err.splitlines()
    assert first.startswith("Proposing labels: ") and first.endswith(" s so far")
    monkeypatch.setattr(progress, "_SECONDS_OF_FREQUENT_LINES", 0.0)  # seldom, from then on
    with activity("Proposing labels"):
        time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_a_tracker_takes_the_terminal_from_the_activity(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with activity("Proposing [labels]"):
        for what in ("one", "two"):
            with track(3, what) as tracker:
                tracker.advance(3)
    shown = capsys.readouterr().err
    assert shown.count("3/3") >= 2 and "Proposing [labels]" in shown


def test_parts_of_long_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(tracked(["ab", "c"], 3, "reading")) == ["ab", "c"]
    assert capsys.readouterr().err == ""
    parts = [range(progress.LONG_WORK), range(5)]
    assert list(tracked(parts, progress.LONG_WORK + 5, "reading")) == parts
    assert capsys.readouterr().err.startswith("reading: 10,005 of 10,005 (")


def test_nothing_is_shown_where_only_results_are_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.01)
    monkeypatch.setattr(messages, "_verbosity", -1)
    with activity("Proposing labels"), track(3, "one") as tracker:
        tracker.advance(3)
        time.sleep(0.05)
        messages.say("done")
    assert capsys.readouterr() == ("", "")
