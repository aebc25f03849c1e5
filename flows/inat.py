"""iNat-H as a flow of its own, for those who serve or schedule it with Prefect."""

from __future__ import annotations

from strata_labels.orchestration.flow import build

#: Call it with the workspace's folder and `as_parameters(BuildSettings(tree="inat-h", ...))`.
inat_h = build.with_options(name="inat-h", description="iNaturalist 2018 to iNat-H")
