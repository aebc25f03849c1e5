"""The options of a build as a pydantic model, and the check of any such model.

A model's fields are the one definition of a setting: its type, default, limits and description. The
command line, the form of a Prefect flow and `run.json` are made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from strata_labels.errors import InputError, Problem

Model = TypeVar("Model", bound=BaseModel)
_Entry = TypeVar("_Entry")
# TOML has lists; strictness is left to their entries.
List = Annotated[tuple[_Entry, ...], Field(strict=False)]


class BuildOptions(BaseModel):
    """What may be chosen for the build of any tree."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    entities: Path | None = Field(
        default=None,
        description="Wikidata snapshot: JSON lines or the JSON dump (.gz or .bz2 too), or truthy "
        "N-Triples.",
    )
    known_labels: Path | None = Field(
        default=None, description="Labels of some items, used as evidence for the others."
    )
    vocabulary: Path | None = Field(
        default=None, description="A vocabulary of your own in place of the tree's."
    )
    clusters: int | None = Field(
        default=None, ge=2, description="No vocabulary: find this many level-2 nodes by clustering."
    )
    label_issues: int | None = Field(
        default=None,
        ge=0,
        description="Open the rows of this many most doubtful given labels; else of those more "
        "likely wrong than right.",
    )
    images: Path | None = Field(
        default=None, description="Root of the images: paths below it, or a/b/c/abc....jpg."
    )
    images_per_landmark: int | None = Field(
        default=None,
        ge=1,
        description="Images averaged into an item's vector, at most; else the tree's.",
    )
    vectors: Path | None = Field(
        default=None,
        description="Folder of image vectors by item, as `strata embed --model` writes it; then no "
        "picture is encoded.",
    )
    encoder: str | None = Field(
        default=None,
        description='registry, MODEL/TAG, MODEL/CHECKPOINT or local-dir:DIR; "" for none; else the '
        "tree's. For images alone also timm:NAME or timm:NAME@FILE.",
    )
    image_encoder: str | None = Field(
        default=None,
        description="Another encoder for comparing images with images; --encoder is then for names "
        "and, if its towers are aligned, for images with names.",
    )
    decisions: Path | None = Field(
        default=None, description="Ledger of decisions; else WORKSPACE/decisions.csv."
    )
    contact: str | None = Field(
        default=None,
        description="Your e-mail or web address, sent to Wikimedia with every request. Without it, "
        "no network requests are made.",
    )
    commons_api: str | None = Field(
        default=None, description="A mirror of the Commons API (its api.php)."
    )
    wikidata_api: str | None = Field(
        default=None, description="A mirror of the Wikidata API, or another Wikibase's."
    )


def checked(model: type[Model], values: Mapping[str, Any], where: str | Path) -> Model:
    """Makes a model from values.

    Args:
        model: the model.
        values: by field.
        where: the file or argument they come from, for messages.

    Raises:
        InputError: every missing, unknown or wrong value.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InputError(problems_of(error, where, model)) from None


def problems_of(error: ValidationError, where: str | Path, model: type[BaseModel]) -> list[Problem]:
    """What a model refused, as problems of the file or argument `where`."""
    problems = []
    for found in error.errors(include_url=False, include_context=False):
        column = ".".join(str(part) for part in found["loc"])
        if found["type"] == "missing":
            problems.append(Problem(where, "key missing:", "Add it.", column=column))
        elif found["type"] == "extra_forbidden":
            known = _model_at(model, found["loc"][:-1]).model_fields
            fix = f"Known: {', '.join(sorted(known))}."
            problems.append(Problem(where, "unknown key:", fix, column=column))
        else:
            # pydantic says "Value error, " before our own words, and reads TOML's lists as tuples.
            what = found["msg"].removeprefix("Value error, ").replace("valid tuple", "list")
            what = what.replace("Tuple", "List").replace(" after validation", "")
            what, fix = f"{what[:1].lower()}{what[1:]}:", "Correct the value."
            problems.append(Problem(where, what, fix, column=column, value=found["input"]))
    return problems


def _model_at(model: type[BaseModel], place: tuple[int | str, ...]) -> type[BaseModel]:
    """The model of a section inside a model; `place` may hold list positions and names too."""
    for part in place:
        field = model.model_fields.get(str(part))
        model = (_model_in(field.annotation) if field else None) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model in a type such as `dict[str, Model]` or `Model | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(part) for part in get_args(annotation))
    return next((model for model in inner if model), None)
