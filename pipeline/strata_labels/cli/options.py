"""Commands whose options are the fields of a pydantic model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_type_hints

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from strata_labels.settings import checked


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
        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters.append(parameter.replace(annotation=annotation, kind=keyword))

    def command(**given: Any) -> Any:
        for name, model in models.items():
            values = {key: given.pop(key) for key in model.model_fields}
            given[name] = checked(model, values, "the command line")
        return (call or function)(**given)

    command.__name__ = function.__name__
    command.__doc__ = inspect.cleandoc(function.__doc__ or "").split("\n\nArgs:")[0]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    limits: dict[str, Any] = {}
    for limit in field.metadata:
        limits |= {
            name: getattr(limit, bound)
            for name, bound in (("min", "ge"), ("max", "le"))
            if hasattr(limit, bound)
        }
    annotation = Annotated[field.annotation, typer.Option(help=field.description, **limits)]  # type: ignore[name-defined]
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, keyword, default=field.default, annotation=annotation)
