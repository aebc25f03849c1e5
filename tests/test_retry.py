"""The retry loop: what is tried again, how often, and how long it waits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from strata_labels.errors import RetryError
from strata_labels.retry import RetryPolicy, TransientError, with_retries

QUICK = RetryPolicy(attempts=3, first_wait=0.001, longest_retry_after=1.0)


def failing(*failures: TransientError | None) -> tuple[Callable[[], str], list[int]]:
    """An attempt that raises these in turn, then succeeds; and a list that counts its calls."""
    rest, calls = list(failures), list[int]()

    def attempt() -> str:
        calls.append(len(calls))
        if rest and (failure := rest.pop(0)) is not None:
            raise failure
        return "done"

    return attempt, calls


def test_it_succeeds_after_failures_and_reports_each_wait(
    capsys: pytest.CaptureFixture[str],
) -> None:
    attempt, calls = failing(TransientError("status 503"), TransientError("status 503"))
    assert with_retries(attempt, QUICK, "http://a") == "done"
    assert len(calls) == 3
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and all("http://a: status 503; next attempt in" in x for x in lines)


def test_it_gives_up_after_the_attempts_of_the_policy() -> None:
    attempt, calls = failing(*[TransientError("status 503")] * 9)
    with pytest.raises(RetryError, match="http://a: status 503; given up after 3 attempts"):
        with_retries(attempt, QUICK, "http://a")
    assert len(calls) == 3


def test_progress_starts_the_count_again() -> None:
    failures = [TransientError("cut"), TransientError("cut"), TransientError("cut", None, True)]
    attempt, calls = failing(*failures, *failures)
    assert with_retries(attempt, QUICK, "http://a") == "done"
    assert len(calls) == 7


def test_a_wait_longer_than_the_policy_allows_ends_the_work() -> None:
    attempt, calls = failing(TransientError("status 429", retry_after=2.0))
    with pytest.raises(RetryError, match="asks to come back in 2 s"):
        with_retries(attempt, QUICK, "http://a")
    assert len(calls) == 1


def test_other_errors_end_the_work_at_once() -> None:
    def attempt() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        with_retries(attempt, QUICK, "http://a")
