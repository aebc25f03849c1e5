"""Files that were made to break a command: each is refused by name, in a moment, whole or not."""

from __future__ import annotations

import socket
import stat
import tarfile
import zipfile
from pathlib import Path

import long_texts
import numpy as np
import pandas as pd
import pytest
from building import SAMPLE
from exporting import export
from page_client import running
from page_world import make_workspace
from small_world import item
from strata_labels.build import Workspace
from strata_labels.cli import app
from strata_labels.cli.review import review_setup
from strata_labels.errors import InputError
from strata_labels.knowledge import ResponseStore, wikidata_file
from strata_labels.people_csv import clean_cell
from strata_labels.review import append, read_ledger
from strata_labels.review.page import Desk, open_page, serve
from strata_labels.sources import download, packed
from strata_labels.sources.commons import parse_address, split_title
from strata_labels.tables import DECISION_COLUMNS
from trees import build
from typer.testing import CliRunner

NESTED = "[" * 100_000


def refused(*words: object) -> str:
    """What a command says of input that it refuses."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert isinstance(result.exception, InputError), result.exception
    return str(result.exception)


RECORDS = {
    "list": "[]",
    "number": "7",
    "nested": NESTED,
    "later": '{"format": 99, "parameters": {}, "stages": []}',
    "stages": '{"format": 2, "parameters": {}, "stages": [7]}',
    "half a stage": '{"format": 2, "parameters": {}, "stages": [{"stage": "settle"}]}',
    "not text": "\udcff",
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_that_is_none_of_this_version(name: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(RECORDS[name], errors="surrogateescape")
    assert str(tmp_path / "run.json") in refused("status", tmp_path)


def ledger_with(path: Path, when: str, end: str = "\n") -> Path:
    cells = {"row_id": f"1:{item(1)}", "subject": item(1), "level": "1", "decision": "exclude"}
    cells |= {"reviewer": "ann", "decided_at": when}
    lines = [",".join(DECISION_COLUMNS), ",".join(cells.get(c, "") for c in DECISION_COLUMNS), ""]
    path.write_bytes(end.join(lines).encode())
    return path


@pytest.mark.parametrize("when", ["9999-12-31T23:59:59.999Z", "0001-01-01T00:00:00+14:00"])
def test_a_time_at_which_nobody_decides(when: str, tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ws")
    ledger_with(workspace / "decisions.csv", when)
    sheet = pd.DataFrame({"row_id": [f"1:{item(2)}"], "decision": ["unsure"]})
    sheet.to_csv(tmp_path / "sheet.csv", index=False)
    told = refused("apply", workspace, tmp_path / "sheet.csv", "--reviewer", "ann")
    assert "row 2, column 'decided_at': not a time" in told


def test_a_ledger_without_line_feeds_is_not_written_to(tmp_path: Path) -> None:
    path = ledger_with(tmp_path / "decisions.csv", "2026-01-01T00:00:00Z", "\r")
    before = path.read_bytes()
    new = read_ledger(path).decisions.assign(subject=item(2), row_id=f"1:{item(2)}")
    with pytest.raises(InputError, match="CR alone"):
        append(path, new[DECISION_COLUMNS])
    assert path.read_bytes() == before


@pytest.mark.parametrize("line", ['{"id":"Q1","claims":' + NESTED, NESTED, "{" * 200])
def test_a_snapshot_of_nested_json(line: str, tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_text(line + "\n")
    told = refused("build", "gldv2-h", tmp_path / "ws", "--metadata", SAMPLE, "--entities",
                   tmp_path / "e.jsonl", "--encoder", "registry")  # fmt: skip
    assert "e.jsonl, row 1" in told


def test_a_snapshot_of_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wikidata_file, "_LONGEST_LINE", 1000)
    (tmp_path / "e.json").write_text("[" + '{"id":"Q1"},' * 1000 + "]")
    told = refused("build", "gldv2-h", tmp_path / "ws", "--metadata", SAMPLE, "--entities",
                   tmp_path / "e.json", "--encoder", "registry")  # fmt: skip
    assert "row 1" in told and "a line of more than" in told


def test_a_stored_answer_that_is_no_object(tmp_path: Path) -> None:
    import sqlite3
    import zlib

    from strata_labels.knowledge.wikimedia.response_store import ENTITY, Answer

    with ResponseStore(tmp_path / "s.sqlite") as store:
        store.put("wiki", ENTITY, {"Q1": Answer({}, 1), "Q2": Answer({}, 1)})
    base = sqlite3.connect(tmp_path / "s.sqlite")
    for key, body in (("Q1", "[]"), ("Q2", NESTED)):
        base.execute(
            "UPDATE answers SET body = ? WHERE key = ?", (zlib.compress(body.encode()), key)
        )
    base.commit()
    base.close()
    with ResponseStore(tmp_path / "s.sqlite") as store:
        for key in ("Q1", "Q2"):
            with pytest.raises(InputError, match="damaged response store"):
                list(store.get("wiki", ENTITY, [key]))


def array_file(path: Path, header: str) -> None:
    text = header.encode().ljust(117) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)


def test_arrays_that_claim_too_much_or_are_objects(tmp_path: Path) -> None:
    claim = "{'descr': '<f4', 'fortran_order': False, 'shape': (%s, 512), }"
    array_file(tmp_path / "huge.npy", claim % 10**12)
    array_file(tmp_path / "huger.npy", claim % 10**40)
    np.save(tmp_path / "objects.npy", np.array([{1: 2}], object), allow_pickle=True)
    np.save(tmp_path / "labels.npy", np.zeros((3, 2), np.int64))
    for name in ("huge", "huger", "objects"):
        files = ["--query-embeddings", tmp_path / f"{name}.npy"]
        files += ["--query-labels", tmp_path / "labels.npy", "--json", tmp_path / "out.json"]
        told = refused("evaluate", *files)
        assert f"{name}.npy" in told


LONG = {
    "()": "x" + "()" * 200_000,
    "(": "x" + "(" * 500_000 + ")",
    ",": "a, " * 300_000,
    "%25": "%" + "25" * 200_000 + "41",
}


@pytest.mark.parametrize("name", LONG)
def test_a_title_of_any_length_is_read_or_refused(name: str) -> None:
    for read in (split_title, lambda text: parse_address(f"Category:{text}")):
        try:
            read(LONG[name])  # quadratic work would take longer than the test may run
        except ValueError as error:
            assert "no title is longer" in str(error)


def test_no_text_takes_a_time_that_grows_with_the_square_of_its_length(
    tmp_path: Path,
) -> None:
    long_texts.try_all(100_000, tmp_path)


def member(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, link
    return found


MEMBERS = {
    "symlink": member("categories.json", tarfile.SYMTYPE, "/etc/passwd"),
    "symlink to itself": member("categories.json", tarfile.SYMTYPE, "categories.json"),
    "hard link": member("categories.json", tarfile.LNKTYPE, "../secret.json"),
    "device": member("categories.json", tarfile.CHRTYPE),
    "pipe": member("categories.json", tarfile.FIFOTYPE),
    "folder": member("categories.json", tarfile.DIRTYPE),
    "symlink above": member("../../categories.json", tarfile.SYMTYPE, "/etc/passwd"),
    "absolute link": member("/etc/categories.json", tarfile.LNKTYPE, "/etc/passwd"),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_an_archive_member_that_is_no_file(name: str, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "categories.json.tar.gz", "w:gz") as archive:
        archive.addfile(MEMBERS[name])
    told = refused("build", "inat-h", tmp_path / "ws", "--metadata", tmp_path)
    assert "categories.json" in told and "a link, device or folder" in told


def test_a_zip_member_that_is_a_link_is_too_large_or_is_encrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "Stanford_Online_Products.zip"
    link = zipfile.ZipInfo("Stanford_Online_Products/Ebay_train.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("Stanford_Online_Products/Ebay_test.txt", "image_id")
    assert "a link, device or folder" in refused(
        "build", "sop-h", tmp_path / "ws", "--metadata", tmp_path
    )
    monkeypatch.setattr(packed, "_LARGEST", 100)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for split in ("train", "test"):
            archive.writestr(f"Ebay_{split}.txt", b"image_id class_id super_class_id path\n" * 9)
    told = refused("build", "sop-h", tmp_path / "ws", "--metadata", tmp_path)
    assert "342 bytes unpacked; 100 at most are read" in told
    raw = bytearray(path.read_bytes())
    for at in (raw.index(b"PK\x03\x04") + 6, raw.index(b"PK\x01\x02") + 8):
        raw[at] |= 1  # says that the first member is encrypted
    path.write_bytes(raw)
    monkeypatch.undo()
    assert "cannot be read" in refused("build", "sop-h", tmp_path / "ws", "--metadata", tmp_path)


def test_a_zip_whose_checksum_is_wrong_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "some bytes of text")
    path.write_bytes(path.read_bytes().replace(b"some bytes", b"other text"))
    assert "a damaged file came (a.txt)" in download.wrong_content(path, path.name)


HUGE = "9" * 5000


@pytest.mark.parametrize("line", [f"{HUGE} 1 1 a.jpg", f"1 {HUGE} 1 a.jpg", f"{'٣' * 3} 1 1 a.jpg"])
def test_numbers_of_thousands_of_digits_in_a_list(line: str, tmp_path: Path) -> None:
    for split in ("train", "test"):
        text = f"image_id class_id super_class_id path\n{line}\n"
        (tmp_path / f"Ebay_{split}.txt").write_text(text)
    told = refused("build", "sop-h", tmp_path / "ws", "--metadata", tmp_path)
    assert "Ebay_train.txt, row 2" in told and "not an id" in told


def test_a_level_of_thousands_of_digits_in_a_ledger(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ws")
    path = ledger_with(workspace / "decisions.csv", "2026-01-01T00:00:00Z")
    path.write_text(path.read_text().replace(",1,exclude", f",{HUGE},exclude"))
    sheet = pd.DataFrame({"row_id": [f"1:{item(2)}"], "decision": ["unsure"]})
    sheet.to_csv(tmp_path / "sheet.csv", index=False)
    told = refused("apply", workspace, tmp_path / "sheet.csv", "--reviewer", "ann")
    assert "row 2, column 'level': not a level" in told


def test_formulas_in_exports_for_people_are_harmless_and_come_back(tmp_path: Path) -> None:
    cells = ["=cmd|x!A1", "+1", "-2", "@here", "plain"]
    (tmp_path / "items.csv").write_text(
        "id,name,kind\n" + "".join(f"{n},{c},{c}\n" for n, c in enumerate(cells))
    )
    world = build("table", tmp_path, ["kind"])
    out = tmp_path / "out"
    export("landmarks", out, world.items, world.assignments, tmp_path, levels=("item", "kind"))
    raw = pd.read_csv(out / "landmarks.csv", dtype=str, keep_default_na=False)
    assert not raw.map(lambda cell: cell[:1] in tuple("=+-@")).any(axis=None)
    assert raw.kind.map(clean_cell).tolist() == cells


def test_a_connection_that_asks_for_nothing_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "HEAD_SECONDS", 0.2)
    desk = Desk(review_setup(Workspace(make_workspace(tmp_path / "ws"))), "ann")
    with open_page(desk) as page, running(page):
        address = page.socket.getsockname()
        with socket.create_connection(address, timeout=30) as slow:
            slow.sendall(b"GET / HTTP/1.1\r\nHost: x")
            assert slow.recv(100) == b""
