"""`make cards`: renders the data cards from builds of the data that the repository contains."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strata_labels.build import STAGES, BuildSettings, Workspace, run_stages
from strata_labels.files import write_text
from strata_labels.sources import draw_products

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "hierarchies" / "sample"
SHARED = Path(os.environ.get("STRATA_SHARED", ROOT.parent / "shared")) / "data"
CARDS = ROOT / "data_cards"


@dataclass(frozen=True)
class Card:
    """A card to render.

    Attributes:
        tree: the tree's name.
        note: what the card was rendered from, for its reader.
        metadata: gives the folder of metadata, making it in the given one where it has to be made;
            None where it is not on this machine.
        options: further settings of the build.
    """

    tree: str
    note: str
    metadata: Callable[[Path], Path | None]
    options: dict[str, Any]

    def settings(self, place: Workspace, metadata: Path) -> BuildSettings:
        """The build that the card tells of."""
        return BuildSettings(
            tree=self.tree,
            metadata=metadata,
            decisions=place.ledger,
            encoder="registry",
            **self.options,
        )


def _real_species(_: Path) -> Path | None:
    folder = SHARED / "inat2018"
    return folder if folder.is_dir() else None


ALL = (
    Card(
        "gldv2-h",
        "Rendered by `make cards` from the embedded sample, a few hundred real landmarks, and not "
        "from the whole data set.",
        lambda _: SAMPLE,
        {"entities": str(SAMPLE / "entities.jsonl")},
    ),
    Card(
        "sop-h",
        "Rendered by `make cards` from a **synthetic** set: products that Strata draws itself, in "
        "the layout of Stanford Online Products. No photograph and no product of that data set is "
        "in these figures.",
        lambda folder: draw_products(folder / "drawn"),
        {"levels": "deep"},
    ),
    Card(
        "inat-h",
        "Rendered by `make cards` from the complete tree of iNaturalist 2018 (its coded ranks, "
        "named from a later taxonomy) and the published list of validation images. These files do "
        "not come with Strata: where they are absent, `make cards` leaves this card as it is.",
        _real_species,
        {"levels": "full"},
    ),
)


def main() -> None:
    """Builds each tree without Prefect and puts its card and picture into `data_cards/`."""
    for card in ALL:
        with tempfile.TemporaryDirectory() as folder:
            metadata = card.metadata(Path(folder))
            if metadata is None:
                print(f"{card.tree}: its metadata is not here, the card stays as it is")
                continue
            place = Workspace(Path(folder) / "workspace")
            run_stages(STAGES, place, card.settings(place, metadata))
            text = place.card.read_text(encoding="utf-8")
            text = text.replace(f"]({place.picture.name})", f"]({card.tree}.png)")
            heading, rest = text.split("\n\n", 1)
            write_text(CARDS / f"{card.tree}.md", f"{heading}\n\n> {card.note}\n\n{rest}")
            shutil.copyfile(place.picture, CARDS / f"{card.tree}.png")
        print(CARDS / f"{card.tree}.md")


if __name__ == "__main__":
    main()
