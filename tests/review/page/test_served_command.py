"""`strata review --serve`: the real command, two browsers at once, and its refusals."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from building import ROOT, run_strata
from page_client import Client, ReviewCommand
from strata_labels.review import read_ledger
from strata_labels.review.page.curators import LINKS

sync_api = pytest.importorskip("playwright.sync_api")


GUIDE = (ROOT / "docs" / "curators.md").read_text(encoding="utf-8")
SERVE = ("--serve", "127.0.0.1:0", "--curators", "curators.toml")


def test_two_curators_at_once_in_real_browsers(
    browser: sync_api.Browser,
    axe: Callable[[sync_api.Page], list[str]],
    start: Callable[..., ReviewCommand],
    workspace: Path,
) -> None:
    (workspace / "curators.toml").write_text("[ann]\nowner = true\n[ben]\n")
    command = start(*SERVE)
    pages = {name: browser.new_context().new_page() for name in ("ann", "ben")}
    for name, page in pages.items():
        page.on("pageerror", lambda error: pytest.fail(str(error)))
        page.goto(command.links[name] + "?view=rows")
        page.wait_for_selector("#name")
        assert name in str(page.text_content(".who"))
    asked: list[str] = []
    for _ in range(5):
        rows = {name: page.evaluate("now.row.row_id") for name, page in pages.items()}
        assert rows["ann"] != rows["ben"]
        asked += rows.values()
        for name, page in pages.items():
            page.keyboard.press("x")
            page.wait_for_function("row => !now.row || now.row.row_id !== row", arg=rows[name])
    assert len(set(asked)) == 10
    found = read_ledger(workspace / "decisions.csv").decisions
    assert found.row_id.tolist() == asked and found.reviewer.tolist() == ["ann", "ben"] * 5
    # The owner's page.
    pages["ann"].goto(command.links["ann"] + "curators")
    pages["ann"].wait_for_selector("#rows tr:nth-child(2)")
    cells = pages["ann"].locator("#rows tr").nth(1).locator("td").all_text_contents()
    assert cells[:3] == ["ben", "5", "5"] and cells[-1]
    assert axe(pages["ann"]) == []
    pages["ann"].emulate_media(color_scheme="dark")
    pages["ann"].set_viewport_size({"width": 390, "height": 800})
    assert axe(pages["ann"]) == []
    # The server is killed while a curator answers, and comes back: the page sends it again.
    port = re.search(r":(\d+)/", command.links["ben"])
    assert port
    command.end(signal.SIGKILL)
    row = pages["ben"].evaluate("now.row.row_id")
    again = start("--serve", f"127.0.0.1:{port[1]}", *SERVE[2:])
    assert not again.links
    pages["ben"].keyboard.press("u")
    pages["ben"].wait_for_selector("#alert:not([hidden])")  # it has to be looked at again
    assert pages["ben"].evaluate("now.row.row_id") == row
    pages["ben"].keyboard.press("u")
    pages["ben"].wait_for_function("row => now.row.row_id !== row", arg=row)
    found = read_ledger(workspace / "decisions.csv").decisions
    assert found.row_id.tolist() == [*asked, row] and found.decision.iloc[-1] == "unsure"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_server_ends_at_once_and_says_what_is_left_to_do(
    start: Callable[..., ReviewCommand], workspace: Path, number: int
) -> None:
    (workspace / "curators.toml").write_text("[ann]\n")
    command = start(*SERVE)
    assert "nobody in curators.toml" in command.said
    client = Client(command.links["ann"])
    assert client.answer(client.row())[0] == 200
    said = command.end(number)
    assert "1 lines added" in said and "--sheet" in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--serve", "127.0.0.1:0"], "--curators"),
        (["--curators", "curators.toml"], "--serve"),
        (["--serve", "8000", *SERVE[2:]], "HOST:PORT"),
        (["--serve", "127.0.0.1:99999", *SERVE[2:]], "HOST:PORT"),
        (["--serve", "0.0.0.0:0", *SERVE[2:]], "--url"),
        ([*SERVE, "--url", "labels.example.org"], "--url"),
        ([*SERVE, "--url", "https://a@b/c"], "--url"),
        ([*SERVE, "--proxy", "proxy"], "--proxy"),
        ([*SERVE, "--reviewer", "ann"], "--reviewer"),
        ([*SERVE], "no such file"),
        (["--url", "https://labels.example.org"], "--serve"),
    ],
)
def test_what_cannot_be_served_is_refused(workspace: Path, words: list[str], told: str) -> None:
    run = run_strata("review", workspace, *words, folder=workspace)
    assert run.returncode == 2
    assert told in run.stderr and "Traceback" not in run.stderr


def test_the_commands_of_the_guide(start: Callable[..., ReviewCommand], workspace: Path) -> None:
    (curators,) = re.findall(r"^```toml.*?\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    (workspace / "curators.toml").write_text(curators)
    commands = [line.split() for line in re.findall(r"^    (strata .*)$", GUIDE, re.MULTILINE)]
    assert len(commands) == 3
    for words in commands:
        assert words[:3] == ["strata", "review", "WS"]
        if "--serve" in words:
            (workspace / LINKS).unlink(missing_ok=True)
            command = start(*(word.replace(":8000", ":0") for word in words[3:]))
            url = words[words.index("--url") + 1] if "--url" in words else "http://127.0.0.1:"
            assert all(link.startswith(url) for link in command.links.values())
            assert sorted(command.links) == ["Cleo Li", "ann", "ben"]
            assert command.end(signal.SIGTERM)
