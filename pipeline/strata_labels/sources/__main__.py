"""`python -m strata_labels.sources FOLDER` draws the synthetic product set of demo and tests."""

from __future__ import annotations

import sys
from pathlib import Path

from strata_labels.progress import activity
from strata_labels.sources import draw_products


def main() -> None:
    """Draws the set; the same bytes each time."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with activity("Drawing products"):
        folder = draw_products(Path(sys.argv[1]))
    print(f"Synthetic products, drawn and not photographed: {folder}")


if __name__ == "__main__":
    main()
