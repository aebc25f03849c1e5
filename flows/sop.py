"""SOP-H as a flow of its own, for those who serve or schedule it with Prefect."""

from __future__ import annotations

from strata_labels.orchestration.flow import build

#: Call it with the workspace's folder and `as_parameters(BuildSettings(tree="sop-h", ...))`.
sop_h = build.with_options(name="sop-h", description="Stanford Online Products to SOP-H")
