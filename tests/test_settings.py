"""Models of settings list all problems at once, each with its key, value and remedy."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict
from strata_labels.errors import InputError
from strata_labels.settings import BuildOptions, checked


class Colour(BaseModel):
    model_config = ConfigDict(extra="forbid")
    red: int


class Picture(BaseModel):
    model_config = ConfigDict(extra="forbid")
    width: int
    colours: dict[str, list[Colour]] | None = None


def test_every_problem_has_its_key_value_and_remedy() -> None:
    values = {"size": 1, "colours": {"sky": [{"red": "x"}, {"green": 2}]}}
    with pytest.raises(InputError) as caught:
        checked(Picture, values, "picture.toml")
    found = {
        (problem.column, problem.what, problem.value, problem.fix)
        for problem in caught.value.problems
    }
    assert found == {
        ("width", "key missing:", None, "Add it."),
        ("size", "unknown key:", None, "Known: colours, width."),
        (
            "colours.sky.0.red",
            "input should be a valid integer, unable to parse string as an integer:",
            "x",
            "Correct the value.",
        ),
        ("colours.sky.1.red", "key missing:", None, "Add it."),
        ("colours.sky.1.green", "unknown key:", None, "Known: red."),
    }
    assert str(caught.value).startswith("picture.toml, column 'width': key missing. Add it.")


def test_build_options_have_limits() -> None:
    with pytest.raises(InputError) as caught:
        checked(BuildOptions, {"clusters": 1, "images_per_landmark": 0}, "the command line")
    assert [problem.column for problem in caught.value.problems] == [
        "clusters",
        "images_per_landmark",
    ]
