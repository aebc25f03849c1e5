"""Prefect without a server of one's own: everything it keeps lies in the workspace."""

from __future__ import annotations

import os
from pathlib import Path


def prepare(folder: Path) -> None:
    """Points Prefect at `folder`, offline and quiet. Call before Prefect is first imported.

    A server named by PREFECT_API_URL in the environment is used as it is.
    """
    os.environ.setdefault("PREFECT_HOME", str(folder / ".prefect"))
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
    os.environ["DO_NOT_TRACK"] = "1"
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
