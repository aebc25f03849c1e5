"""`python -m strata_labels.cli` is `strata`."""

from strata_labels.cli import main

main()
