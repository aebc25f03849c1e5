"""GLDv2-H: the build flow bound to Google Landmarks v2."""

from __future__ import annotations

from typing import Any

from flows.build import build


def gldv2_h(folder: str, **parameters: Any) -> list[dict[str, Any]]:
    """Builds GLDv2-H in the workspace `folder`; parameters as `pipeline.build.BuildSettings`."""
    return build.with_options(name="gldv2-h")(folder, {"tree": "gldv2-h", **parameters})
