"""The log of a served review: who did what, when, from where."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from strata_labels.messages import warn

#: In the workspace; a JSON object a line.
LOG = "review-log.jsonl"

_LONGEST = 300  # characters of a value: requests hold what their senders like


class AuditLog:
    """Appends lines to a file, each in one call; a line that cannot be written is told once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._has_failed = False

    def write(self, what: str, **about: object) -> None:
        """Adds a line: `at` (UTC), `what`, and what is given, without blanks."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        cells = {name: value for name, value in about.items() if value not in (None, "")}
        cells = {n: v[:_LONGEST] if isinstance(v, str) else v for n, v in cells.items()}
        line = json.dumps({"at": at, "what": what, **cells}) + "\n"
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            if not self._has_failed:
                warn(f"warning: {self.path} cannot be written: {error}")
            self._has_failed = True
