"""`run.json`: what a build was given, what it made of it, and when its inputs last changed it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pandas as pd

from strata_labels.build.settings import BuildSettings, Workspace, as_parameters
from strata_labels.build.show import numbers_file, user_files, versions
from strata_labels.files import sha256_of, write_json


def write_record(
    place: Workspace, settings: BuildSettings, manifests: list[dict[str, Any]]
) -> None:
    """Writes versions, parameters, hashes of inputs and outputs, counts and timings."""
    shown = json.loads(numbers_file(place).read_text(encoding="utf-8"))
    write_json(
        place.record,
        {
            **shown,
            "versions": versions(),
            # The operator's address is nobody else's business.
            "parameters": as_parameters(replace(settings, contact=None)),
            "inputs": {str(path): sha256_of(path) for path in user_files(settings)},
            "stages": manifests,
        },
    )


def top_disputes(place: Workspace, most: int = 20) -> list[dict[str, str]]:
    """The first rows of the review sheet, for people."""
    columns = ["name", "suggestion", "confidence", "reasons", "evidence"]
    sheet = pd.read_csv(place.sheet, dtype=str, keep_default_na=False, nrows=most)
    return [{str(k): str(v) for k, v in row.items()} for row in sheet[columns].to_dict("records")]
