"""GLDv2-H as a flow of its own, for those who serve or schedule it with Prefect."""

from __future__ import annotations

from strata_labels.orchestration.flow import build

#: Call it with the workspace's folder and `as_parameters(BuildSettings(tree="gldv2-h", ...))`.
gldv2_h = build.with_options(name="gldv2-h", description="Google Landmarks v2 to GLDv2-H")
