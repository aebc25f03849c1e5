"""A table of your own as a Prefect flow, from its rows to a validated tree.

`python flows/table.py --help` says how to run it; `prefect.yaml` deploys it to a server.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from prefect import flow
from strata_labels.cli import run_flow
from strata_labels.orchestration import build, train, validate
from strata_labels.settings import BuildOptions


@flow(name="table", flow_run_name="table in {workspace.name}", log_prints=True)
def table(
    workspace: Path,
    items: Path,
    tree: str = "table",
    recipe: str | None = None,
    mode: Literal["head", "full"] = "head",
    options: BuildOptions = BuildOptions(),
) -> None:
    """Builds your tree: items, resolve, embed, propose, settle, export, show; train, validate.

    Args:
        workspace: Folder of this build, made if absent.
        items: Your table: id; if known name, split, image, qid, url; other columns are levels.
        tree: `table`, or a folder with a `hierarchy.toml` that names the levels.
        recipe: Train on the tree with this recipe (`strata list recipes`), report, and bring doubts
            back to the review sheet. Without it, the flow ends with the tree.
        mode: Train a head on the encoder's vectors, or the whole network.
        options: Further options of the build.
    """
    build(tree, workspace, items, options)
    if recipe:
        training = train(workspace, recipe, mode, options.images)
        validate(workspace, training, options.images)


if __name__ == "__main__":
    run_flow(table)
