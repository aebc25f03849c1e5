"""`strata propose`: all evidence to proposals, on a workspace that was built before."""

from __future__ import annotations

from strata_labels.cli.options import BuiltWorkspace, ResultFile, write_result
from strata_labels.cli.result import warn_of_cut_decisions


def propose(folder: BuiltWorkspace, json: ResultFile = None) -> None:
    """Propose a parent for every item, class and cluster."""
    from strata_labels.build import PROPOSE, Workspace, rebuild

    workspace = Workspace(folder.resolve())
    rebuild(workspace, [PROPOSE])
    write_result(json, workspace.stage_counts(PROPOSE.name))
    warn_of_cut_decisions(workspace)
