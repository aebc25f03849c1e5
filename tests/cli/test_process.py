"""How a command ends: signals, closed pipes, full disks."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from strata_labels.cli.process import run_command


def ended(code: str, *signals: int, stdout: int = subprocess.PIPE) -> tuple[int, str, str]:
    """Runs code under `run_command`, sends signals once it prints `ready`."""
    program = f"""
import errno, os, sqlite3, sys, time
from strata_labels.cli.process import run_command
def command():
    {code}
run_command(command)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=stdout, stderr=subprocess.PIPE, text=True
    )
    if signals:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for number in signals:
        process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return process.returncode, out or "", err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_stops_a_command_which_cleans_up(number: int) -> None:
    code = "try: print('ready', flush=True); time.sleep(60)\n    finally: print('cleaned')"
    status, out, err = ended(code, number)
    assert status == 128 + number and "cleaned" in out
    assert err.startswith("Stopped. Run the same command again")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), '/ws/a')", "/ws/a: No space left"),
        ("OSError(errno.EROFS, os.strerror(errno.EROFS), '/ws/a')", "/ws/a: Read-only file system"),
        ("OSError(errno.EFBIG, os.strerror(errno.EFBIG))", "File too large. Raise the limit on"),
        ("PermissionError(errno.EACCES, os.strerror(errno.EACCES), 'x')", "x: Permission denied"),
        ("sqlite3.OperationalError('disk I/O error')", "disk I/O error"),
        ("MemoryError()", "Memory is exhausted"),
    ],
)
def test_a_failure_of_the_machine_is_one_sentence_and_exit_1(error: str, said: str) -> None:
    status, _, err = ended(f"raise {error}")
    assert status == 1 and err.startswith(said) and len(err.splitlines()) == 2


def test_work_continues_after_its_output_pipe_closes() -> None:
    code = "print('ready', flush=True)\n    time.sleep(1)\n"
    code += "    for n in range(9999): print(n)\n    print('done', file=sys.stderr)"
    program = f"def command():\n    {code}"
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys, time\nfrom strata_labels.cli.process import "
         f"run_command\n{program}\nrun_command(command)"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == "ready\n"
    process.stdout.close()
    assert process.stderr.read() == "done\n" and process.wait() == 0
    process.stderr.close()


def test_a_full_disk_ends_with_a_message() -> None:
    with Path("/dev/full").open("w") as full:
        status, _, err = ended("print('x', flush=True)", stdout=full.fileno())
    assert status == 1 and "No space left" in err


def test_other_errors_are_faults_and_keep_their_traceback() -> None:
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_command(broken)


def test_controls_in_names_are_printed_as_signs() -> None:
    say = "from strata_labels.messages import warn; warn('b' + red)"
    status, out, err = ended(f"red = '\\x1b[31m\\x07\\u202e'; print('a', red, 'é'); {say}")
    assert (status, out, err) == (0, "a \\x1b[31m\\x07\\u202e é\n", "b\\x1b[31m\\x07\\u202e\n")


def test_streams_take_texts_alone() -> None:
    # By which typer tells whether it has to encode.
    for stream in ("out", "err"):
        code = f"try: sys.std{stream}.write(b'')\n    except TypeError: print('text')"
        assert ended(code)[:2] == (0, "text\n")
