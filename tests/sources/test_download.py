"""Downloads from a local server that breaks off, lies about lengths and changes files."""

from __future__ import annotations

import gzip
import hashlib
import os
import signal
import subprocess
import sys
import time
from email.utils import formatdate
from pathlib import Path

import pytest
from strata_labels.errors import InputError, RetryError
from strata_labels.retry import RetryPolicy
from strata_labels.sources.download import MANIFEST, download_all, read_manifest
from subprocesses import run_checked

ROOT = Path(__file__).resolve().parents[2]
BODY = b"".join(b"%d,some line\n" % n for n in range(60_000))
BLOCK = 1 << 14


def _whole_blocks(size):
    """What is written of a body cut after `size` bytes."""
    return size // BLOCK * BLOCK


HALF = _whole_blocks(len(BODY) // 2)
QUICK = RetryPolicy(attempts=4, first_wait=0.01, longest_retry_after=5.0, timeout=(5.0, 5.0))


def get(site, folder, name="a.csv"):
    site.files.setdefault("/a.csv", BODY)
    return download_all(folder, {name: [f"{site.url}/{name}"]}, QUICK)[0]


def left_over(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".fetch.lock")


def test_a_file_appears_whole_with_its_checksum(site, tmp_path):
    fetched = get(site, tmp_path)
    assert fetched.path.read_bytes() == BODY
    digest = hashlib.sha256(BODY).hexdigest()
    assert (fetched.sha256, fetched.size, fetched.kept) == (digest, len(BODY), False)
    assert left_over(tmp_path) == ["a.csv", MANIFEST]
    check = ["sha256sum", "--check", "--strict", MANIFEST]
    run_checked(check, cwd=tmp_path)


def test_only_a_file_with_a_wrong_checksum_is_downloaded_again(site, tmp_path):
    get(site, tmp_path)
    assert get(site, tmp_path).kept
    assert len(site.log) == 1
    (tmp_path / "a.csv").write_bytes(BODY[:-5])
    assert not get(site, tmp_path).kept
    assert (tmp_path / "a.csv").read_bytes() == BODY


FAULTS = [(fault, etags) for fault in ("503", "429", "cut", "reset") for etags in (True, False)]


# Damage is detected only where a checksum is published.
@pytest.mark.parametrize(("fault", "etags"), [*FAULTS, ("damage", True)])
def test_faults_are_outlived(site, tmp_path, fault, etags):
    site.faults, site.etags = [fault, fault], etags
    assert get(site, tmp_path).path.read_bytes() == BODY
    assert left_over(tmp_path) == ["a.csv", MANIFEST]


def test_a_cut_body_is_continued_by_range(site, tmp_path):
    site.faults = ["cut", "cut"]
    get(site, tmp_path)
    ranges = [(wanted, status) for _, wanted, status in site.log]
    quarter = HALF + _whole_blocks((len(BODY) - HALF) // 2)
    assert ranges == [("", 200), (f"bytes={HALF}-", 206), (f"bytes={quarter}-", 206)]


@pytest.mark.parametrize("lacking", ["ranges", "etags"])
def test_without_ranges_or_a_validator_it_begins_again(site, tmp_path, lacking):
    site.faults = ["cut"]
    setattr(site, lacking, False)
    assert get(site, tmp_path).path.read_bytes() == BODY
    assert [status for _, _, status in site.log] == [200, 200]


def test_a_download_starts_again_if_the_remote_file_changed(site, tmp_path):
    site.faults = ["cut"] + ["503"] * 4
    with pytest.raises(RetryError):
        get(site, tmp_path)
    assert (tmp_path / ".a.csv.part").stat().st_size == HALF
    site.files["/a.csv"] = changed = BODY.replace(b"some", b"else")
    assert get(site, tmp_path).path.read_bytes() == changed
    assert site.log[-1][1:] == (f"bytes={HALF}-", 200)


def test_retry_after_is_obeyed_as_seconds_and_as_date(site, tmp_path):
    site.faults, site.retry_after = ["429"], "1"
    began = time.monotonic()
    get(site, tmp_path)
    assert time.monotonic() - began >= 1.0
    site.faults, site.retry_after = ["429"], formatdate(time.time() + 3600, usegmt=True)
    (tmp_path / "a.csv").unlink()
    with pytest.raises(RetryError, match=r"asks to come back in 3[56]"):
        get(site, tmp_path)


def test_giving_up_keeps_what_came_and_nothing_half_written(site, tmp_path):
    site.faults = ["cut"] + ["reset"] * 9
    with pytest.raises(RetryError, match="given up after 4 attempts"):
        get(site, tmp_path)
    assert not (tmp_path / "a.csv").exists()
    site.faults.clear()
    assert get(site, tmp_path).path.read_bytes() == BODY
    assert site.log[-1][1:] == (f"bytes={HALF}-", 206)


def test_damage_that_stays_is_refused(site, tmp_path):
    site.faults = ["damage"] * 9
    with pytest.raises(RetryError, match="published"):
        get(site, tmp_path)
    assert not (tmp_path / "a.csv").exists()


def test_missing_files_are_listed_and_the_others_come(site, tmp_path):
    site.files["/a.csv"] = BODY
    names = ["no.csv", "a.csv", "nor.csv"]
    with pytest.raises(InputError) as caught:
        download_all(tmp_path, {name: [f"{site.url}/{name}"] for name in names}, QUICK)
    assert [problem.where for problem in caught.value.problems] == [
        f"{site.url}/no.csv",
        f"{site.url}/nor.csv",
    ]
    assert left_over(tmp_path) == ["a.csv", MANIFEST]


def test_a_web_page_is_no_file_and_the_second_address_is_tried(site, tmp_path):
    site.faults = ["html"]
    with pytest.raises(InputError, match=r"a web page came instead of a\.csv"):
        get(site, tmp_path)
    urls = [f"{site.url}/deep/a.csv", f"{site.url}/a.csv"]
    assert download_all(tmp_path, {"a.csv": urls}, QUICK)[0].path.read_bytes() == BODY


def test_a_second_fetch_waits_outside(site, tmp_path):
    site.files["/a.csv"], site.slow = BODY, 0.2
    child = _child(site, tmp_path)
    try:
        _until(lambda: (tmp_path / ".a.csv.part").exists(), child)
        with pytest.raises(RetryError, match="another fetch is running"):
            get(site, tmp_path)
    finally:
        child.kill()
        child.wait()


def test_a_killed_download_goes_on_where_it_was(site, tmp_path):
    site.files["/a.csv"] = BODY * 4
    site.slow = 0.03
    child = _child(site, tmp_path)
    part = tmp_path / ".a.csv.part"
    _until(lambda: part.exists() and part.stat().st_size > 600_000, child)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    size = part.stat().st_size
    assert not (tmp_path / "a.csv").exists() and size < len(BODY) * 4
    site.slow = 0.0
    assert get(site, tmp_path).path.read_bytes() == BODY * 4
    assert site.log[-1][1:] == (f"bytes={size}-", 206)


def test_killed_between_record_and_rename_the_finished_part_is_taken(site, tmp_path):
    site.faults = ["cut"] + ["503"] * 4
    with pytest.raises(RetryError):
        get(site, tmp_path)
    (tmp_path / ".a.csv.part").write_bytes(BODY)
    assert get(site, tmp_path).path.read_bytes() == BODY
    assert site.log[-1][2] == 416


def test_plain_lines_where_there_is_no_terminal(site, tmp_path, capsys):
    site.faults = ["503"]
    get(site, tmp_path)
    first, last = capsys.readouterr().err.splitlines()
    assert "the server answers 503" in first and "next attempt in" in first
    assert last.startswith("a.csv: 948.9 kB of 948.9 kB (")


def test_a_bar_with_rate_and_time_left_on_a_terminal(site, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes the stream for a terminal
    get(site, tmp_path)
    shown = capsys.readouterr().err
    assert "B/s" in shown and "0:00:00" in shown


def test_the_manifest_of_sha256sum_is_read(tmp_path):
    line = f"{'0' * 64} *a b.csv\nnot a line\n{'1' * 64}  c.csv\n"
    (tmp_path / MANIFEST).write_text(line)
    assert read_manifest(tmp_path) == {"a b.csv": "0" * 64, "c.csv": "1" * 64}


def _child(site, folder):
    code = (
        "import sys; from pathlib import Path;"
        "from strata_labels.sources.download import download_all;"
        "download_all(Path(sys.argv[1]), {'a.csv': [sys.argv[2]]})"
    )
    arguments = [sys.executable, "-c", code, str(folder), f"{site.url}/a.csv"]
    return subprocess.Popen(arguments, cwd=ROOT)


def _until(true, child):
    for _ in range(12_000):
        if true():
            return
        assert child.poll() is None, "the download ended too early"
        time.sleep(0.01)
    raise AssertionError("the download did not get there")


PAGE = b"\n<!DOCTYPE html><html><title>Sign in</title></html>"
PACKED = gzip.compress(BODY, mtime=0)


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("a.csv", b"", BODY),
        ("a.csv", PAGE, BODY),
        ("a.json.gz", PACKED[:-9], PACKED),
        ("a.json.gz", PACKED[: len(PACKED) // 2], PACKED),
        ("a.json.gz", PAGE, PACKED),
        ("a.zip", b"PK\x03\x04 half of an archive", None),
    ],
)
def test_a_file_that_cannot_be_what_it_should_be_is_told_and_mended_by_the_next_fetch(
    site, tmp_path, name, wrong, right
):
    site.files[f"/{name}"], site.etags = wrong, False
    with pytest.raises(RetryError, match=r"an empty file|a web page|a damaged file"):
        get(site, tmp_path, name)
    assert not (tmp_path / name).exists()
    if right is None:
        return
    # An earlier version has taken it for right.
    (tmp_path / name).write_bytes(wrong)
    (tmp_path / MANIFEST).write_text(f"{hashlib.sha256(wrong).hexdigest()}  {name}\n")
    site.files[f"/{name}"] = right
    assert get(site, tmp_path, name).path.read_bytes() == right
    assert get(site, tmp_path, name).kept
