"""The formats, and `write_format`, which writes one of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from strata_labels.errors import Problem, refuse
from strata_labels.export import (
    croissant,
    gldv2,
    huggingface,
    imagefolder,
    inat2018,
    landmarks,
    nested_json,
    newick,
    oml,
    skos,
    sop,
    suprank,
)
from strata_labels.export.corrections import Publication, table_files
from strata_labels.export.export_input import ExportInput
from strata_labels.export.export_result import ExportResult
from strata_labels.export.owned_folder import foreign_files, move_into_place_as_own
from strata_labels.export.readme import (
    SPLIT,
    copy_card,
    write_confidences,
    write_readme,
    write_split_table,
)
from strata_labels.files import sweep


@dataclass(frozen=True)
class Format:
    """A format.

    Attributes:
        write: writes the files into a folder.
        check: reads them back as a loader would, and compares.
        usage: how to open it, in Markdown.
        num_levels: how many levels, items included, it can carry; None for any number.
        image_folders: where its loader expects images beside the files.
        has_splits: its splits are a matter of choice, so that those of `strata split` can be in it;
            elsewhere they are part of the ids.
        has_confidence: the files have each item's confidences and origin; else a table beside them.
        front: front matter of `README.md`.
    """

    write: Callable[[Path, ExportInput], ExportResult]
    check: Callable[[Path, ExportInput], None]
    usage: str
    num_levels: tuple[int, ...] | None = None
    image_folders: tuple[str, ...] = ()
    has_splits: bool = False
    has_confidence: bool = False
    front: Callable[[ExportInput], str] | None = None

    def carries(self, num_levels: int) -> bool:
        """Whether a tree of that many levels fits."""
        return self.num_levels is None or num_levels in self.num_levels


FORMATS: dict[str, Format] = {
    "croissant": Format(croissant.write, croissant.check, croissant.USAGE, has_confidence=True),
    "gldv2": Format(gldv2.write, gldv2.check, gldv2.USAGE, (4,), gldv2.IMAGE_FOLDERS),
    "huggingface": Format(
        huggingface.write,
        huggingface.check,
        huggingface.USAGE,
        has_splits=True,
        has_confidence=True,
        front=huggingface.front_matter,
    ),
    "imagefolder": Format(imagefolder.write, imagefolder.check, imagefolder.USAGE, has_splits=True),
    "inat2018": Format(
        inat2018.write, inat2018.check, inat2018.USAGE, (2, 7), inat2018.IMAGE_FOLDERS, True
    ),
    "json": Format(nested_json.write, nested_json.check, nested_json.USAGE, has_confidence=True),
    "landmarks": Format(landmarks.write, landmarks.check, landmarks.USAGE, has_confidence=True),
    "newick": Format(newick.write, newick.check, newick.USAGE),
    "oml": Format(oml.write, oml.check, oml.USAGE, has_splits=True),
    "skos": Format(skos.write, skos.check, skos.USAGE, has_confidence=True),
    "sop": Format(sop.write, sop.check, sop.USAGE, (2,), has_splits=True),
    "suprank": Format(suprank.write, suprank.check, suprank.USAGE, (4,), gldv2.IMAGE_FOLDERS),
}


#: How labels are published, by the `source` of a tree's hierarchy.toml.
PUBLICATIONS = {"gldv2": gldv2.PUBLICATION, "table": Publication("id", table_files)}


def write_format(
    format: str, folder: Path, given: ExportInput, split_text: str = ""
) -> ExportResult:
    """Writes one format beside `folder`, reads it back as its loader would, then puts it there.

    Args:
        format: a key of `FORMATS`.
        folder: e.g. `WORKSPACE/export/gldv2`. Files of an earlier export there are replaced or
            removed; a folder that holds anything else is refused.
        given: the tree; formats that are given one input share what it works out.
        split_text: what `given.split` is, in a few words.

    Raises:
        InputError: an unknown format, one that cannot carry the tree's depth, files in `folder`
            that no export wrote (all listed); nothing is written then.
        ValueError: what was read back is not what was to be written; nothing is left then.
    """
    check_formats({format: folder}, given.num_levels)
    chosen = FORMATS[format]
    beside = folder.parent / f".{folder.name}.part"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        result = chosen.write(beside, given)
        chosen.check(beside, given)
        result.files.extend(copy_card(beside, given))
        if not chosen.has_confidence:
            result.files.append(write_confidences(beside, given))
        front = chosen.front(given) if chosen.front else ""
        usage = chosen.usage
        if given.split is not None:
            if not chosen.has_splits:
                result.files.append(write_split_table(beside, given.split))
            usage += f"\n\n{_split_line(chosen, split_text)}"
        result.files.append(write_readme(beside, given, result, usage, front))
        total = len(given.assignments)
        if result.items + sum(result.set_aside.values()) != total:
            raise ValueError(f"{format}: {result.summary()} where {total:,} were given")
        move_into_place_as_own(beside, folder, format)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return replace(result, files=[folder / path.relative_to(beside) for path in result.files])


def _split_line(format: Format, text: str) -> str:
    """What an export's `README.md` says of the split that the workspace has."""
    if format.has_splits:
        return f"The splits are those of `strata split`: {text}."
    own = "The splits are those that the data came with, which are part of the ids."
    return f"{own} `{SPLIT}` has that of `strata split`, image by image: {text}."


def check_formats(folders: Mapping[str, Path | None], num_levels: int) -> None:
    """Whether a tree of that many levels can be written in all these formats.

    Args:
        folders: the folder of each format; None where nothing is to be written.
        num_levels: number of levels, items included.

    Raises:
        InputError: as `write_format`, for all formats together.
    """
    problems = []
    able = sorted(name for name, known in FORMATS.items() if known.carries(num_levels))
    for name, folder in folders.items():
        chosen = FORMATS.get(name)
        if chosen is None:
            fix = f"Take one of {', '.join(sorted(FORMATS))}."
            problems.append(Problem("--format", "unknown format:", fix, value=name))
        elif not chosen.carries(num_levels):
            needs = " or ".join(map(str, chosen.num_levels or ()))
            what = f"cannot carry a tree of {num_levels} levels (it needs {needs}):"
            fix = f"Formats that can: {', '.join(able)}."
            problems.append(Problem("--format", what, fix, value=name))
        if folder is not None:
            sweep(folder)
            fix = "Export into an empty folder, or move the file away."
            problems += [
                Problem(folder, "holds a file that no export wrote:", fix, value=file)
                for file in foreign_files(folder, chosen.image_folders if chosen else ())
            ]
    refuse(problems)
