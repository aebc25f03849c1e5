"""Running commands in tests so that a failure shows what the command printed."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Any


def run_checked(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end and captures its output.

    Raises:
        AssertionError: the exit status is not 0; with status, standard output and standard error.
    """
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, (
        f"exit status {done.returncode} of {' '.join(command)}\n"
        f"--- standard output\n{done.stdout}\n--- standard error\n{done.stderr}"
    )
    return done
