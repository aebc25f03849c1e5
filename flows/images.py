"""Image vectors from archives as a Prefect flow, one task for each archive, on Dask workers.

`python flows/images.py --help` says how to run it; `prefect.yaml` deploys it to a server.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from prefect import flow
from strata_labels.cli import run_flow
from strata_labels.orchestration import embed_images


@flow(name="images", flow_run_name="images of {workspace.name}", log_prints=True)
def images(
    workspace: Path,
    shards: str,
    keep: Literal["wanted", "all", "none"] = "wanted",
    image_size: int = 512,
    workers: int = 1,
    dask: str | None = None,
) -> None:
    """Encodes the images of a built workspace from archives, as `strata embed --shards` does.

    Args:
        workspace: A folder that a build has filled.
        shards: Folder of image archives, one archive, or the address of one or of the data set.
        keep: Images to keep in WORKSPACE/images.
        image_size: Shorter side of kept images, in pixels; larger are reduced.
        workers: Processes on this machine that read archives.
        dask: Address of a running Dask scheduler whose workers do it instead.
    """
    embed_images(workspace, shards, keep, image_size, workers, dask)


if __name__ == "__main__":
    run_flow(images)
