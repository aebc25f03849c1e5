"""The command `strata`, one file per command. What runs a command is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from strata_labels import __version__
from strata_labels.cli.apply import apply
from strata_labels.cli.build import build
from strata_labels.cli.compare import compare
from strata_labels.cli.diff import diff
from strata_labels.cli.embed import embed
from strata_labels.cli.evaluate import evaluate
from strata_labels.cli.explain import explain
from strata_labels.cli.export import export
from strata_labels.cli.fetch import fetch
from strata_labels.cli.history import history
from strata_labels.cli.list import list_
from strata_labels.cli.options import as_command, with_verbosity
from strata_labels.cli.process import run_command
from strata_labels.cli.propose import propose
from strata_labels.cli.resolve import resolve
from strata_labels.cli.result import finish
from strata_labels.cli.review import review
from strata_labels.cli.simulate import simulate_review
from strata_labels.cli.split import split
from strata_labels.cli.status import status
from strata_labels.cli.train import train

app = typer.Typer(
    name="strata",
    help="Rebuild, review and validate hierarchical labels for image retrieval. "
    "Exit status: 0 done; 3 done and written, review rows open; 2 the input is wrong, nothing "
    "written; 1 a failure that a retry may mend; 128 + N stopped by signal N.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    as_command(build),
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
    split,
    train,
):
    app.command()(with_verbosity(command))
app.command("list")(with_verbosity(list_))


def _print_version(asked: bool) -> None:
    if asked:
        print(f"strata {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Options of `strata` itself."""


def run_flow(flow: Any) -> None:
    """Runs a Prefect flow as a command: its parameters are the arguments and options.

    It ends as `strata build` does: with a summary and an exit status.
    """
    from strata_labels.build import Workspace
    from strata_labels.orchestration import prefect_server

    def call(workspace: Path, **given: Any) -> None:
        workspace = workspace.resolve()
        with prefect_server(workspace):
            flow(workspace, **given)
        finish(Workspace(workspace))

    properties = flow.parameters.properties
    descriptions = {name: field.get("description", "") for name, field in properties.items()}
    command = typer.Typer(
        rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False
    )
    command.command()(as_command(flow.fn, descriptions, call))
    run_command(command)


def main() -> None:
    """Entry point of `strata`."""
    run_command(app)
