"""The command `strata`, a file each. Prefect and torch are imported only by what runs them."""

from __future__ import annotations

import sys

import typer

from strata_labels.cli.build import build
from strata_labels.cli.compare import compare
from strata_labels.cli.diff import diff
from strata_labels.cli.evaluate import evaluate
from strata_labels.cli.explain import explain
from strata_labels.cli.fetch import fetch
from strata_labels.cli.history import history
from strata_labels.cli.resolve import resolve
from strata_labels.cli.review import review
from strata_labels.cli.simulate import simulate_review
from strata_labels.cli.steps import apply, embed, export, propose, status
from strata_labels.cli.train import train
from strata_labels.errors import InputError, RetryError

DONE, FAILED, INPUT_WRONG, ROWS_OPEN = 0, 1, 2, 3

app = typer.Typer(
    name="strata",
    help="Rebuild, review and validate hierarchical labels for image retrieval. "
    "Exit status: 0 done; 3 done and written, review rows open; 2 the input is wrong, nothing "
    "written; 1 a failure that a retry may mend.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    build,
    fetch,
    resolve,
    embed,
    propose,
    review,
    apply,
    export,
    status,
    explain,
    simulate_review,
    evaluate,
    history,
    diff,
    compare,
    train,
):
    app.command()(command)


def main() -> None:
    """Entry point: runs a command and turns errors into messages and exit statuses."""
    try:
        app()
    except InputError as error:
        number = len(error.problems)
        print(f"{number} problem{'s' if number > 1 else ''} in the input:", file=sys.stderr)
        print(error, file=sys.stderr)
        sys.exit(INPUT_WRONG)
    except RetryError as error:
        print(f"{error}\nTry again; finished work is kept.", file=sys.stderr)
        sys.exit(FAILED)
