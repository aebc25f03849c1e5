"""`strata propose`: all evidence to proposals, on a workspace that was built before."""

from __future__ import annotations

from strata_labels.cli.result import warn_of_cut_decisions
from strata_labels.cli.shared_options import BuiltWorkspace


def propose(
    folder: BuiltWorkspace,
) -> None:
    """Propose a parent for every item, class and cluster."""
    from strata_labels.build import PROPOSE, Workspace, rebuild

    workspace = Workspace(folder.resolve())
    rebuild(workspace, [PROPOSE])
    warn_of_cut_decisions(workspace)
