"""How far the reviewers of a workspace agree, and the error rate that an audit has found."""

from __future__ import annotations

from strata_labels.build.assets import ledgers
from strata_labels.build.settings import BuildSettings
from strata_labels.build.workspace import Workspace
from strata_labels.review import Agreement, audited, compare_reviewers, read_ledger, reviewed
from strata_labels.tables import load


def reviewers_agreement(workspace: Workspace, settings: BuildSettings) -> Agreement | None:
    """Compares reviewers with each other, and audited rows with what they were accepted as.

    Returns:
        None where no item was decided twice and no audited row was decided.
    """
    decisions = read_ledger(*ledgers(settings)).decisions
    drawn = audited(workspace.folder)
    if decisions["reviewer"].nunique() < 2 and not drawn:
        return None
    proposals, nodes = reviewed(workspace.folder), load(workspace.folder, "vocabulary")
    return compare_reviewers(decisions, proposals, nodes, drawn) or None
