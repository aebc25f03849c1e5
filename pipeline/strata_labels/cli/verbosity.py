"""The options `--quiet` and `--verbose`, which every command has."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

import typer

from strata_labels.messages import set_verbosity

_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and problems only.")]
_Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print also why each stage runs, and tracebacks.")
]


def with_verbosity(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the two options."""
    hints = get_type_hints(function, include_extras=True)
    own = inspect.signature(function).parameters.values()
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [one.replace(annotation=hints[one.name], kind=keyword) for one in own]
    parameters += [
        inspect.Parameter(name, keyword, default=False, annotation=annotation)
        for name, annotation in (("quiet", _Quiet), ("verbose", _Verbose))
    ]

    def command(*, quiet: bool, verbose: bool, **given: Any) -> Any:
        set_verbosity(-1 if quiet else int(verbose))
        return function(**given)

    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command
