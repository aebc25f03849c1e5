"""The command `strata`, a file each. Prefect and torch are imported only by what runs them."""

from __future__ import annotations

import sys

import typer

from flows.commands.build import build
from flows.commands.compare import compare
from flows.commands.diff import diff
from flows.commands.evaluate import evaluate
from flows.commands.explain import explain
from flows.commands.fetch import fetch
from flows.commands.history import history
from flows.commands.resolve import resolve
from flows.commands.review import review
from flows.commands.simulate import simulate_review
from flows.commands.steps import apply, embed, export, propose, status
from flows.commands.train import train
from pipeline.errors import InputError, RetryError

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
