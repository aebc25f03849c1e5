"""Several curators on one served review: handing out, answers that are late, and attacks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from page_client import Client, running
from page_world import SINGLES, make_workspace
from small_world import item
from strata_labels.build import Workspace
from strata_labels.cli.review import review_setup
from strata_labels.errors import InputError
from strata_labels.review import append, read_ledger
from strata_labels.review.page import Review, Team, open_team
from strata_labels.review.page.audit import LOG
from strata_labels.review.page.curators import LINKS, read_curators
from strata_labels.review.page.leases import Leases

THREE = "[ann]\nowner = true\n[ben]\n[cleo]\n"


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Site:
    """A review that is served to three curators."""

    def __init__(self, workspace: Path, url: str = "", proxy: str = "", twice: float = 0.0) -> None:
        self.workspace, self.clock = workspace, Clock()
        self.links: dict[str, str] = {}
        self.warnings: list[str] = []
        self.file = workspace / "curators.toml"
        if not self.file.exists():
            self.file.write_text(THREE)
        self.setup = review_setup(Workspace(workspace))

        def team_of(own: str) -> Team:
            review = Review(self.setup, twice=twice)
            return Team(
                review, self.file, url or f"http://{own}", own, proxy, False,
                self.links.__setitem__, self.warnings.append, Leases(600, self.clock),
            )  # fmt: skip

        self._opened = ExitStack()
        opened = open_team(self.setup, "127.0.0.1", 0, team_of)
        self.page, self.team = self._opened.enter_context(opened)
        self.port = self.page.socket.getsockname()[1]
        self._opened.enter_context(running(self.page))

    def client(self, name: str) -> Client:
        link = self.links[name]
        return Client(f"http://127.0.0.1:{self.port}/{link.rstrip('/').rpartition('/')[2]}/")

    def end(self) -> None:
        self._opened.close()

    def ledger(self) -> list[tuple[str, str, str]]:
        found = read_ledger(self.workspace / "decisions.csv").decisions
        return list(zip(found.row_id, found.decision, found.reviewer, strict=True))

    def log(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in (self.workspace / LOG).read_text().splitlines()]


@pytest.fixture
def site(workspace: Path) -> Iterator[Site]:
    opened = Site(workspace)
    yield opened
    opened.end()


def test_nobody_is_asked_what_another_has_on_the_screen(site: Site) -> None:
    clients = [site.client(name) for name in ("ann", "ben", "cleo")]
    shown = [client.row() for client in clients]
    rows = [one["row"]["row_id"] for one in shown]
    assert len(set(rows)) == 3
    # Asking for another one's row by name does not help.
    assert clients[1].row(row=rows[0])["row"]["row_id"] not in (rows[0], rows[2])
    # Look-alikes are handed out together.
    alike = next(n for n in range(3) if shown[n]["row"]["grid"])
    mine = clients[alike].row()
    status, after = clients[alike].answer(mine, rows=[r["row_id"] for r in mine["row"]["grid"]])
    assert status == 200 and "more" in after["message"]
    decided = [row for row, _, _ in site.ledger()]
    assert len(decided) > 1 and not set(decided) & (set(rows) - {rows[alike]})


def test_what_is_left_of_a_grid_waits_for_its_curator(site: Site) -> None:
    ann, ben = site.client("ann"), site.client("ben")
    grid = ann.row(row=f"1:{item(SINGLES)}")
    rows = [tile["row_id"] for tile in grid["row"]["grid"]]
    assert len(rows) > 2
    shown = ann.answer(grid, rows=rows[1:], then=rows[0], view="single=yes")[1]
    assert shown["row"]["row_id"] == rows[0] and not shown["row"]["grid"]
    assert ben.row(row=rows[0])["row"]["row_id"] != rows[0]
    # Three of a new grid: two are left, of which one is shown and the other one waits.
    grid = ben.row()
    while not grid["row"]["grid"]:
        grid = ben.row(after=grid["row"]["row_id"])
    one, two, *more = [tile["row_id"] for tile in grid["row"]["grid"]]
    shown = ben.answer(grid, rows=more, then=one, view="single=yes")[1]
    assert ann.row(row=two)["row"]["row_id"] != two
    # It waits, and cannot be answered before it is shown.
    assert ben.answer(shown, rows=[two])[0] == 409
    assert (
        ben.answer(ben.row(row=one, single="yes"), then=two, view="single=yes")[1]["row"]["row_id"]
        == two
    )


def test_rows_are_free_again_when_a_lease_runs_out(site: Site) -> None:
    ann, ben = site.client("ann"), site.client("ben")
    shown = ann.row()
    site.clock.now += 599
    ann.ask("GET", "search?q=lake&row=" + shown["row"]["row_id"])  # a sign of life
    site.clock.now += 599
    assert ben.row()["row"]["row_id"] != shown["row"]["row_id"]
    site.clock.now += 2
    assert ben.row(row=shown["row"]["row_id"])["row"]["row_id"] == shown["row"]["row_id"]
    status, told = ann.answer(shown)
    assert status == 409 and "10 minutes" in told["message"]
    assert told["row"]["row_id"] != shown["row"]["row_id"]
    assert ann.answer(told)[0] == 200
    assert [who for _, _, who in site.ledger()] == ["ann"]


def test_an_expired_lease_does_not_answer_even_if_nobody_took_the_row(site: Site) -> None:
    ann = site.client("ann")
    shown = ann.row()
    site.clock.now += 601
    status, told = ann.answer(shown)
    assert status == 409 and told["row"]["row_id"] == shown["row"]["row_id"]
    assert not site.ledger()


def test_an_answer_that_is_sent_again_is_confirmed_and_written_once(site: Site) -> None:
    ann = site.client("ann")
    shown = ann.row()
    first, again = ann.answer(shown), ann.answer(shown)
    assert first[0] == again[0] == 200 and first[1]["message"] == again[1]["message"]
    assert len(site.ledger()) == 1
    # The same state with another answer is refused.
    assert ann.answer(shown, "unsure")[0] == 409
    assert len(site.ledger()) == 1
    # Taking back, twice.
    now = ann.row()
    body = json.dumps({"state": now["state"]}).encode()
    taken = [json.loads(ann.ask("POST", "undo", body)[1])["message"] for _ in range(2)]
    assert taken[0] == taken[1] and taken[0].startswith("Taken back")
    assert [word for _, word, _ in site.ledger()] == ["exclude", "withdraw"]


def test_replayed_and_reordered_answers_are_refused(site: Site) -> None:
    ann = site.client("ann")
    first = ann.row()
    second = ann.row(after=first["row"]["row_id"])
    assert ann.answer(first)[0] == 409  # the window has gone on
    third = ann.row(row=second["row"]["row_id"])
    assert ann.answer(third)[0] == 200
    body = json.dumps({"state": ann.row()["state"]}).encode()
    assert ann.ask("POST", "undo", body)[0] == 200
    assert ann.answer(third)[0] == 409  # what was taken back is not recorded again
    for old in (first, second):
        assert ann.answer(old, "unsure")[0] == 409
    assert [word for _, word, _ in site.ledger()] == ["exclude", "withdraw"]


def test_a_restart_loses_leases_and_no_answer(workspace: Path) -> None:
    site = Site(workspace)
    ann = site.client("ann")
    shown = ann.row()
    assert ann.answer(shown)[0] == 200
    pending, links = ann.row(), site.links
    site.end()
    site = Site(workspace)
    try:
        assert not site.links  # they are told once, and hold
        site.links = links
        ann = site.client("ann")
        status, told = ann.answer(shown)  # its confirmation was lost, say
        assert status == 200 and "recorded before" in told["message"]
        assert ann.answer(pending)[0] == 409  # not answered before: it has to be looked at again
        assert len(site.ledger()) == 1
        assert ann.answer(ann.row())[0] == 200
    finally:
        site.end()


def test_what_another_program_writes_takes_rows_from_the_screen(site: Site) -> None:
    import pandas as pd

    ann = site.client("ann")
    shown = ann.row(row=f"1:{item(5)}")
    assert shown["row"]["row_id"] == f"1:{item(5)}"
    line = {"subject": item(5), "level": "1", "decision": "exclude", "reviewer": "eve",
            "target": ""}  # fmt: skip
    append(site.workspace / "decisions.csv", pd.DataFrame([line]))
    status, told = ann.answer(shown, "unsure")
    assert status == 409 and told["row"]["row_id"] != shown["row"]["row_id"]


@pytest.mark.parametrize(
    "row_id", ["", "1:nothing", f"1:{item(3)}", "2:1/Q2977", "1:" + "x" * 9000]
)
def test_an_answer_to_a_row_that_was_not_shown_is_refused(site: Site, row_id: str) -> None:
    ann, ben = site.client("ann"), site.client("ben")
    for client in (ann, ben):
        shown = client.row()
        if shown["row"]["row_id"] != row_id:
            shown["row"]["row_id"] = row_id
            assert client.answer(shown)[0] == 409
    assert not site.ledger()


def test_another_curators_state_and_link_do_not_help(site: Site) -> None:
    ann, ben = site.client("ann"), site.client("ben")
    theirs, own = ann.row(), ben.row()
    assert ben.answer(theirs)[0] == 409  # their state, their row
    assert ben.answer({"state": own["state"], "row": theirs["row"]})[0] == 409
    assert ben.answer({"state": theirs["state"], "row": own["row"]})[0] == 409
    assert not site.ledger()
    # What is recorded has the name of the link.
    status, _ = ben.answer(ben.row(), reviewer="ann")
    assert status == 200 and [who for _, _, who in site.ledger()] == ["ben"]
    assert ben.ask("GET", "curators")[0] == ben.ask("GET", "curators.json")[0] == 403


def test_the_owner_sees_who_does_what(site: Site) -> None:
    ann, ben = site.client("ann"), site.client("ben")
    ben.answer(ben.row())
    held = ben.row()["row"]["row_id"]
    assert ann.ask("GET", "curators")[0] == 200
    said = json.loads(ann.ask("GET", "curators.json")[1])
    rows = {row["name"]: row for row in said["curators"]}
    assert list(rows) == ["ann", "ben", "cleo"]
    assert (rows["ben"]["decided"], rows["ben"]["per_hour"], rows["ben"]["has"]) == (1, 1, held)
    assert rows["cleo"]["decided"] == 0 and rows["cleo"]["last"] is None


def test_guessed_links_are_refused_and_then_the_address_too(site: Site) -> None:
    ann, cleo = site.client("ann"), site.client("cleo")
    assert ann.ask("GET", "row")[0] == 200
    secret = ann.token
    wrong = ["x", secret[:-1], secret + "x", secret.swapcase(), "..", "%00", "a" * 5000]
    assert {ann.ask("GET", "row", token=guess)[0] for guess in wrong} == {403}
    answers = [ann.ask("GET", "row", token=f"guess{n}")[0] for n in range(10)]
    assert answers[-1] == 429
    # A right guess is not told from a wrong one now; who was here before goes on.
    assert cleo.ask("GET", "row")[0] == 429
    assert ann.ask("GET", "row")[0] == 200
    assert site.log()[-1]["what"] == "refused"


def test_a_curator_who_asks_too_much_waits(site: Site) -> None:
    ann, ben = site.client("ann"), site.client("ben")
    found = {ann.ask("POST", "undo", b'{"state": "x"}')[0] for _ in range(80)}
    assert found == {409, 429}
    assert ann.ask("GET", "row")[0] == 200
    assert ben.answer(ben.row())[0] == 200


def test_revoking_and_adding_need_no_restart(site: Site) -> None:
    ben, cleo = site.client("ben"), site.client("cleo")
    shown, row = ben.row(), cleo.row()["row"]["row_id"]
    site.file.write_text("[ann]\nowner = true\n[ben]\nrevoked = true\n[dora]\n")
    assert ben.answer(shown)[0] == ben.ask("GET", "row")[0] == cleo.ask("GET", "row")[0] == 403
    dora = site.client("dora")
    assert dora.row(row=row)["row"]["row_id"] == row  # their rows are free
    # Something that is no list of curators changes nothing.
    site.file.write_text("[ann\n")
    assert dora.ask("GET", "row")[0] == 200 and "no TOML" in site.warnings[0]
    # Named again they get another link.
    before = site.links["ben"]
    site.file.write_text(THREE)
    site.client("ann").ask("GET", "row")
    assert site.links["ben"] != before
    assert ben.ask("GET", "row")[0] == 403 and site.client("ben").ask("GET", "row")[0] == 200
    assert not site.ledger()


def test_the_log_says_who_did_what_and_has_no_secret(site: Site) -> None:
    ben = site.client("ben")
    ben.ask("GET", "")
    shown = ben.row()
    ben.answer(shown, "move", target="2/lake")
    ben.answer(shown, "exclude")
    ben.ask("GET", "row", token="guess")
    text = (site.workspace / LOG).read_text()
    for name, link in site.links.items():
        secret = link.rstrip("/").rpartition("/")[2]
        assert secret not in text and secret not in (site.workspace / LINKS).read_text(), name
    assert "guess" not in text
    found = [(line["what"], line.get("who"), line.get("status")) for line in site.log()]
    assert found == [
        *(("link", name, None) for name in ("ann", "ben", "cleo")),
        ("start", None, None),
        ("page", "ben", 200),
        ("decide", "ben", 200),
        ("decide", "ben", 409),
        ("refused", None, 403),
    ]
    line = site.log()[5]
    assert line["row"] == shown["row"]["row_id"] and line["address"] == "127.0.0.1"
    assert (line["decision"], line["target"]) == ("move", "2/lake")


def test_behind_a_proxy_the_public_address_alone_counts(workspace: Path) -> None:
    site = Site(workspace, "https://labels.example.org", "127.0.0.1")
    try:
        assert all(link.startswith("https://labels.example.org/") for link in site.links.values())
        ann = site.client("ann")
        public = {"Host": "labels.example.org", "Origin": "https://labels.example.org"}
        forwarded = "8.8.8.8, 203.0.113.7"  # the first one is what the browser claimed
        assert ann.decide(**public, X_Forwarded_For=forwarded)[0] == 200
        assert site.log()[-1]["address"] == "203.0.113.7"
        for host in ("evil.example", "labels.example.org:8000", "labels.example.org.evil.example"):
            assert ann.ask("GET", "row", Host=host)[0] == 421
            assert ann.ask("GET", "row", Host="x", X_Forwarded_Host="labels.example.org")[0] == 421
        for origin in ("http://labels.example.org", "https://evil.example", "null"):
            assert ann.decide(Host="labels.example.org", Origin=origin)[0] == 403
        assert len(site.ledger()) == 1
    finally:
        site.end()


def test_an_address_that_nobody_vouches_for_is_not_believed(site: Site) -> None:
    ann = site.client("ann")
    ann.decide(X_Forwarded_For="203.0.113.7")
    assert site.log()[-1]["address"] == "127.0.0.1"


def test_an_oversized_answer_is_refused(site: Site) -> None:
    ann = site.client("ann")
    assert ann.answer(ann.row(), note="x" * 100_000)[0] == 413
    assert not site.ledger()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no curator"),
        ("[ann", "no TOML"),
        ("ann = 1", "no table"),
        ("[ann]\nkey = 1\nowner = 1", "unknown key"),
        ("[ann]\nowner = 1", "neither"),
        ('[" ann"]', "no name"),
        ('["a\\nb"]', "no name"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_file_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "curators.toml").write_text(text)
    with pytest.raises(InputError, match=told):
        read_curators(tmp_path / "curators.toml")


def test_twenty_windows_answer_at_once_and_each_answer_is_there_once(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ws")
    (workspace / "curators.toml").write_text("".join(f"[c{n}]\n" for n in range(10)))
    site = Site(workspace)
    confirmed: list[str] = []
    lock = threading.Lock()

    def work(name: str) -> None:
        client = site.client(name)
        while (shown := client.row())["row"]:
            row = shown["row"]["row_id"]
            results = []
            twice = [
                threading.Thread(target=lambda: results.append(client.answer(shown)[0]))  # noqa: B023
                for _ in range(2)
            ]
            for thread in twice:
                thread.start()
            for thread in twice:
                thread.join()
            if 200 in results:
                with lock:
                    confirmed.append(row)

    threads = [threading.Thread(target=work, args=(f"c{n}",)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written = [row for row, _, _ in site.ledger()]
    site.end()
    assert len(written) == len(set(written)) and sorted(confirmed) == sorted(written)
    assert site.team.recorded == len(written)


@pytest.fixture
def twice(workspace: Path) -> Iterator[Site]:
    """A site where the hardest half of the rows is asked twice."""
    opened = Site(workspace, twice=0.5)
    yield opened
    opened.end()


def place_of(shown: dict[str, Any]) -> list[str]:
    """The places that are offered, in order."""
    return [place["node"] for place in shown["row"]["places"]]


HARD, EASY = f"1:{item(0)}", f"1:{item(SINGLES - 1)}"  # by their confidence


def test_hard_rows_are_asked_twice_and_easy_rows_once(twice: Site) -> None:
    ann, ben, cleo = (twice.client(name) for name in ("ann", "ben", "cleo"))
    shown = ann.row(row=HARD, single="yes")
    assert ann.answer(shown, "move", target="2/lake")[0] == 200
    assert ann.row(row=HARD)["row"]["row_id"] != HARD
    # The next one is asked it before anything else, and sees what the first one saw.
    second = ben.row(single="yes")
    assert second["row"]["row_id"] == HARD and place_of(second) == place_of(shown)
    assert second["row"]["why"] == shown["row"]["why"]
    assert "lake" not in ben.ask("GET", "decided?by=ann")[1].decode()  # nor is it listed
    assert "lake" in ann.ask("GET", "decided")[1].decode()
    assert ben.answer(second, "move", target="2/lake")[0] == 200
    assert cleo.row(row=HARD)["row"]["row_id"] != HARD  # they agree
    easy = ann.row(row=EASY, single="yes")
    assert easy["row"]["row_id"] == EASY and ann.answer(easy)[0] == 200
    assert ben.row(row=EASY)["row"]["row_id"] != EASY
    assert [row for row, _, _ in twice.ledger()] == [HARD, HARD, EASY]


def test_who_differs_is_asked_again_with_what_the_other_said(twice: Site) -> None:
    ann, ben, cleo = (twice.client(name) for name in ("ann", "ben", "cleo"))
    ann.answer(ann.row(row=HARD, single="yes"), "move", target="2/lake")
    ben.answer(ben.row(row=HARD, single="yes"), "move", target="2/mountain")
    said = json.loads(ann.ask("GET", "curators.json")[1])
    assert said["disputes"] == 1
    assert ben.row(row=HARD)["row"]["row_id"] != HARD
    shown = ann.row(row=HARD, single="yes")
    assert "Two reviewers disagree about it." in shown["row"]["why"]
    assert "ben moved it to mountain" in json.dumps(shown)
    assert ann.answer(shown, "move", target="2/mountain")[0] == 200
    assert cleo.row(row=HARD)["row"]["row_id"] != HARD
    said = json.loads(ann.ask("GET", "curators.json")[1])
    rows = {row["name"]: row for row in said["curators"]}
    assert said["disputes"] == 0
    # The first answers count for the agreement: ann changed hers when she knew of ben's.
    assert (rows["ann"]["double"], rows["ann"]["agreement"]) == (1, 0.0)
    assert rows["ann"]["accuracy"] is None  # too few


def test_undo_of_either_answer_opens_the_row_for_one_more(twice: Site) -> None:
    ann, ben, cleo = (twice.client(name) for name in ("ann", "ben", "cleo"))
    for client in (ann, ben):
        client.answer(client.row(row=HARD, single="yes"), "move", target="2/lake")
    body = json.dumps({"state": ann.row()["state"]}).encode()
    assert ann.ask("POST", "undo", body)[0] == 200
    assert ann.row()["row"]["row_id"] == HARD  # it is shown to ann again
    assert ben.row(row=HARD)["row"]["row_id"] != HARD
    ann.row(after=HARD, single="yes")
    assert cleo.row(single="yes")["row"]["row_id"] == HARD


@pytest.mark.parametrize("differ", [False, True])
def test_what_is_asked_twice_follows_from_the_ledger(workspace: Path, differ: bool) -> None:
    site = Site(workspace, twice=0.5)
    links = site.links
    ann = site.client("ann")
    shown = ann.row(row=HARD, single="yes")
    ann.answer(shown, "move", target="2/lake")
    site.end()
    site = Site(workspace, twice=0.5)
    try:
        site.links = links
        ann, ben = site.client("ann"), site.client("ben")
        assert ann.row(row=HARD)["row"]["row_id"] != HARD
        again = ben.row(single="yes")
        assert again["row"]["row_id"] == HARD and place_of(again) == place_of(shown)
        assert ben.answer(again, "move", target="2/mountain" if differ else "2/lake")[0] == 200
    finally:
        site.end()
    review = Review(site.setup, twice=0.5)
    n = review.table.at[HARD]
    assert review.open[n] == differ == review.half[n]
    assert review.disputes() == differ
    assert review.table.decided_by("ben")[n] and review.table.decided_by("ann")[n] != differ
