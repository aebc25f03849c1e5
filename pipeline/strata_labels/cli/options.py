"""Arguments and options of several commands, and commands made of pydantic models."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from strata_labels.messages import set_verbosity
from strata_labels.settings import checked

BuiltWorkspace = Annotated[
    Path, typer.Argument(metavar="WORKSPACE", help="A folder that `strata build` has filled.")
]
OwnWorkspace = Annotated[
    Path, typer.Argument(metavar="WORKSPACE", help="Folder of this build, made if absent.")
]
ResultFile = Annotated[
    Path | None, typer.Option(dir_okay=False, help="Write the result here too, as JSON.")
]
CountsQuery = Annotated[
    bool,
    typer.Option(
        "--relevance-counts-query",
        help="Count the query among its positives, as published same-set numbers do.",
    ),
]
_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and problems only.")]
_Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print also why each stage runs, and tracebacks.")
]
_KEYWORD = inspect.Parameter.KEYWORD_ONLY


def write_result(path: Path | None, numbers: Any) -> None:
    """Writes what a command has found to its `--json`, if that is given."""
    from strata_labels.files import write_json

    if path:
        write_json(path, numbers)


def with_verbosity(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options `--quiet` and `--verbose`."""
    hints = get_type_hints(function, include_extras=True)
    own = inspect.signature(function).parameters.values()
    parameters = [one.replace(annotation=hints[one.name], kind=_KEYWORD) for one in own]
    parameters += [
        inspect.Parameter(name, _KEYWORD, default=False, annotation=annotation)
        for name, annotation in (("quiet", _Quiet), ("verbose", _Verbose))
    ]

    def command(*, quiet: bool, verbose: bool, **given: Any) -> Any:
        set_verbosity(-1 if quiet else int(verbose))
        return function(**given)

    return _presented(command, function, parameters, function.__doc__)


def as_command(
    function: Callable[..., Any],
    descriptions: Mapping[str, str] | None = None,
    call: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """Makes a function that takes a model into one that typer can offer as a command.

    Each field of the model becomes an option, with the field's description and limits. The function
    is called with the model that the given options make.

    Args:
        function: its own parameters may be annotated for typer.
        descriptions: help of the parameters that are not.
        call: what is called in its place, with the same arguments.
    """
    hints = get_type_hints(function, include_extras=True)
    models = {
        name: hint
        for name, hint in hints.items()
        if inspect.isclass(hint) and issubclass(hint, BaseModel)
    }
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        annotation = hints[name]
        if name in models:
            parameters += [_option(key, field) for key, field in models[name].model_fields.items()]
            continue
        if descriptions and name in descriptions:
            required = parameter.default is inspect.Parameter.empty
            kind = typer.Argument if required else typer.Option
            annotation = Annotated[annotation, kind(help=descriptions[name])]
        parameters.append(parameter.replace(annotation=annotation, kind=_KEYWORD))

    def command(**given: Any) -> Any:
        for name, model in models.items():
            values = {key: given.pop(key) for key in model.model_fields}
            given[name] = checked(model, values, "the command line")
        return (call or function)(**given)

    said = inspect.cleandoc(function.__doc__ or "").split("\n\nArgs:")[0]
    return _presented(command, function, parameters, said)


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    limits: dict[str, Any] = {}
    for limit in field.metadata:
        limits |= {
            name: getattr(limit, bound)
            for name, bound in (("min", "ge"), ("max", "le"))
            if hasattr(limit, bound)
        }
    annotation = Annotated[field.annotation, typer.Option(help=field.description, **limits)]  # type: ignore[name-defined]
    return inspect.Parameter(name, _KEYWORD, default=field.default, annotation=annotation)


def _presented(
    command: Any,
    function: Callable[..., Any],
    parameters: Sequence[inspect.Parameter],
    said: str | None,
) -> Any:
    """A command as typer is to see it: by the name of a function, with these parameters."""
    command.__name__, command.__doc__ = function.__name__, said
    command.__signature__ = inspect.Signature(parameters)
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command
