"""A folder whose files are ours: it is replaced as a whole, and nobody else's file is touched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from strata_labels.files import move_into_place, write_json

#: Hidden list of the files that an export owns in its folder.
OWNED = ".strata-export.json"


def foreign_files(folder: Path, image_folders: Sequence[str] = ()) -> list[str]:
    """Files of `folder` that no export wrote, without the images that a loader expects there."""
    if folder.exists() and not folder.is_dir():
        return [folder.name]
    owned = _owned(folder)
    known = owned | {OWNED}
    if not owned:
        return sorted(path.name for path in folder.glob("*") if path.name != OWNED)
    beside = {Path(name).parts[0] for name in owned if len(Path(name).parts) > 1}
    beside |= {"images", *image_folders}
    return sorted(
        path.name
        for path in folder.glob("*")
        if path.name not in known and not (path.is_dir() and path.name in beside)
    )


def move_into_place_as_own(beside: Path, folder: Path, format: str) -> None:
    """Moves a finished export into place; a kill in between leaves files that are known as own."""
    names = sorted(
        path.relative_to(beside).as_posix()
        for path in beside.rglob("*")
        if path.is_symlink() or path.is_file()
    )
    old = _owned(folder)
    write_json(folder / OWNED, {"format": format, "files": sorted(old | set(names))})
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        # Beside means on the same disk, so that the rename is one step. What a link leads to is
        # another's: it is not opened.
        if (beside / name).is_symlink():
            (beside / name).replace(folder / name)
        else:
            move_into_place(beside / name, folder / name)
    for name in sorted(old - set(names)):
        (folder / name).unlink(missing_ok=True)
    write_json(folder / OWNED, {"format": format, "files": names})


def _owned(folder: Path) -> set[str]:
    try:
        value = json.loads((folder / OWNED).read_text(encoding="utf-8"))
        return {str(name) for name in value["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()
