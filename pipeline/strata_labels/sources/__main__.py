"""`python -m strata_labels.sources FOLDER [SUPERS]` draws the synthetic product set of the demo.

SUPERS: so many super-classes, 1 to 12; all of them where it is not given.
"""

from __future__ import annotations

import sys
from pathlib import Path

from strata_labels.progress import activity
from strata_labels.sources import draw_products
from strata_labels.sources.drawn import SILHOUETTES


def main() -> None:
    """Draws the set; the same bytes each time."""
    match sys.argv[1:]:
        case [place]:
            supers = len(SILHOUETTES)
        case [place, number] if number.isdecimal() and 1 <= int(number) <= len(SILHOUETTES):
            supers = int(number)
        case _:
            sys.exit(__doc__)
    with activity("Drawing products"):
        folder = draw_products(Path(place), supers)
    print(f"Synthetic products, drawn and not photographed: {folder}")


if __name__ == "__main__":
    main()
