"""Parquet with a Croissant 1.1 description (docs.mlcommons.org/croissant), checksums included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from strata_labels.export.export_input import ExportInput, safe_name
from strata_labels.export.export_result import ExportResult
from strata_labels.export.parquet_tables import IN_ITEMS, NODES, compare_table, items_table
from strata_labels.files import sha256_of, write_json, write_table

#: How to open it, in Markdown.
USAGE = f'Croissant: `mlcroissant.Dataset("croissant.json").records("items")`. {IN_ITEMS}'

NAME = "croissant.json"

# The context that the specification prescribes (section "JSON-LD Context").
_OWN_TERMS = (
    "arrayShape citeAs column containedIn equivalentProperty extract field fileObject fileProperty "
    "fileSet format includes isArray isLiveDataset jsonPath key md5 parentField path recordSet "
    "references regex repeated replace samplingRate separator source subField transform"
)
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    **{term: f"cr:{term}" for term in _OWN_TERMS.split()},
}
_KINDS = {
    pa.string(): "sc:Text",
    pa.int8(): "sc:Integer",
    pa.float32(): "sc:Float",
    pa.bool_(): "sc:Boolean",
    pa.list_(pa.string()): "sc:Text",
}
# A record set that refers to itself is a circle for the reference reader, so the nodes that others
# refer to are a record set of their own over the same file. A column without any value refers to
# nothing: the reader takes it for numbers, and cannot join these with ids.
_REFERS = {("items", "node_id"), ("nodes", "parent_id")}


def _tables(given: ExportInput) -> dict[str, tuple[pd.DataFrame, pa.Schema]]:
    return {"items": items_table(given), "nodes": (given.nodes, NODES)}


def write(folder: Path, given: ExportInput) -> ExportResult:
    """`items.parquet`, `nodes.parquet` and the description of both."""
    tables = _tables(given)
    for name, (frame, schema) in tables.items():
        write_table(folder / f"{name}.parquet", frame, schema)
    write_json(folder / NAME, _description(folder, given, tables))
    rows = {f"{name}.parquet": len(frame) for name, (frame, _) in tables.items()}
    return ExportResult([folder / name for name in [*rows, NAME]], rows, rows["items.parquet"])


def _description(
    folder: Path, given: ExportInput, tables: dict[str, tuple[pd.DataFrame, pa.Schema]]
) -> dict[str, Any]:
    about = given.about
    named = about.licence and about.licence != "other"
    # Without a licence that has a name, what the sources say of theirs.
    licences = [about.licence] if named else [source.licence for source in about.sources]
    listed = [f"{row.name} ({row.licence}; {row.origin})" for row in about.sources]
    sources = [f"Sources: {'; '.join(listed)}."] if listed else []
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": safe_name(about.title),
        "description": " ".join([about.description, *sources]),
        **({"license": list(dict.fromkeys(licences))} if licences else {}),
        **({"citeAs": "\n".join(about.citations)} if about.citations else {}),
        "distribution": [_file(folder / f"{name}.parquet") for name in tables],
        "recordSet": [
            *(_records(name, frame, schema) for name, (frame, schema) in tables.items()),
            *([_parents()] if len(tables["nodes"][0]) else []),
        ],
    }


def _file(path: Path) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path.name,
        "name": path.name,
        "contentUrl": path.name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": "application/x-parquet",
        "sha256": sha256_of(path),
    }


def _records(table: str, frame: pd.DataFrame, schema: pa.Schema) -> dict[str, Any]:
    fields = []
    for number, entry in enumerate(schema):
        # Level names may hold anything; ids of the description must not.
        own = (
            f"{table}/{entry.name}" if safe_name(entry.name) == entry.name else f"{table}/{number}"
        )
        field: dict[str, Any] = {
            "@type": "cr:Field",
            "@id": own,
            "name": own,
            "description": entry.name,
            "dataType": _KINDS[entry.type],
            "source": {
                "fileObject": {"@id": f"{table}.parquet"},
                "extract": {"column": entry.name},
            },
        }
        if pa.types.is_list(entry.type):
            field |= {"isArray": True, "arrayShape": "-1"}
        if (table, entry.name) in _REFERS and frame[entry.name].notna().any():
            field["references"] = {"field": {"@id": "parents/id"}}
        fields.append(field)
    record: dict[str, Any] = {
        "@type": "cr:RecordSet",
        "@id": table,
        "name": table,
        "field": fields,
    }
    if table == "nodes":
        record["key"] = {"@id": "nodes/node_id"}
    return record


def _parents() -> dict[str, Any]:
    """Nodes once more, by id alone."""
    field = {
        "@type": "cr:Field",
        "@id": "parents/id",
        "name": "parents/id",
        "description": "node_id",
        "dataType": "sc:Text",
        "source": {"fileObject": {"@id": "nodes.parquet"}, "extract": {"column": "node_id"}},
    }
    return {"@type": "cr:RecordSet", "@id": "parents", "name": "parents", "field": [field]}


def check(folder: Path, given: ExportInput) -> None:
    """Reads the tables back and checks every file against its checksum."""
    path = folder / NAME
    for name, (frame, schema) in _tables(given).items():
        compare_table(folder / f"{name}.parquet", frame, schema)
    found = json.loads(path.read_text(encoding="utf-8"))
    for entry in found["distribution"]:
        if entry["sha256"] != sha256_of(folder / entry["contentUrl"]):
            raise ValueError(f"{path}: another checksum of {entry['contentUrl']}")
