"""`make cards`: the data cards, rendered from builds of the embedded sample."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from pipeline.build import STAGES, BuildSettings, Workspace, run_stage
from pipeline.files import write_text

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "hierarchies" / "sample"
CARDS = ROOT / "data_cards"
TREE = "gldv2-h"
NOTE = (
    "> Rendered by `make cards` from the embedded sample, a few hundred real landmarks, and not "
    "from the whole data set.\n\n"
)


def sample_settings(place: Workspace) -> BuildSettings:
    """The build that `make demo` runs."""
    return BuildSettings(
        tree=TREE,
        metadata=str(SAMPLE),
        decisions=str(place.ledger),
        encoder="registry",
        entities=str(SAMPLE / "entities.jsonl"),
    )


def main() -> None:
    """Builds the sample without Prefect and puts its card and picture into `data_cards/`."""
    with tempfile.TemporaryDirectory() as folder:
        place = Workspace(Path(folder))
        settings = sample_settings(place)
        for stage in STAGES:
            print(f"{stage.name} ...", flush=True)
            run_stage(stage, place, settings)
        card = place.card.read_text(encoding="utf-8")
        card = card.replace(f"]({place.picture.name})", f"]({TREE}.png)")
        heading, rest = card.split("\n\n", 1)
        write_text(CARDS / f"{TREE}.md", f"{heading}\n\n{NOTE}{rest}")
        shutil.copyfile(place.picture, CARDS / f"{TREE}.png")
    print(CARDS / f"{TREE}.md")


if __name__ == "__main__":
    main()
