"""`python -m flows.commands` is `strata`."""

from flows.commands import main

main()
