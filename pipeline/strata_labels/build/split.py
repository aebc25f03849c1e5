"""The split of a workspace: made from its tree and images, checked for leaks, used by name."""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from strata_labels.build.assets import picture_finder
from strata_labels.build.image_archives import ImageIndex
from strata_labels.build.split_report import (
    TABLE,
    MadeSplit,
    split_lines,
    split_text,
    write_split,
)
from strata_labels.build.workspace import Workspace
from strata_labels.embedding import PictureGroups, picture_groups
from strata_labels.errors import InputError, Problem, refuse
from strata_labels.progress import activity
from strata_labels.tables import LABELLED, load, read_about
from strata_labels.tree import SplitPlan, as_train_and_test, fold_shares, split_images


@dataclass(frozen=True)
class SplitRequest:
    """What `strata split` was asked for; levels by name or number.

    Attributes:
        test: share of the classes that are the test; None for a half, or for none where queries or
            folds are asked for.
        query: share of the test's images that are queries; None for no queries.
        folds: number of folds; None for none.
        class_level: the level whose nodes (or items) are the classes; None for the items, or for
            the level above them where no item has two images.
        stratify: the level whose nodes are divided alike; None for the level above the classes.
        min_images: classes with fewer are left out.
        seed: of every random choice.
    """

    test: float | None = None
    query: float | None = None
    folds: int | None = None
    class_level: str | None = None
    stratify: str | None = None
    min_images: int = 2
    seed: int = 0

    @property
    def shares(self) -> dict[str, float]:
        """Share of the classes by split."""
        if self.folds is not None:
            return fold_shares(self.folds)
        if self.test is None and self.query is not None:
            return {"test": 1.0}
        test = 0.5 if self.test is None else self.test
        return {"train": 1 - test, "test": test}

    def command(self, workspace: Path) -> str:
        """The command that makes this split."""
        words = ["strata", "split", str(workspace)]
        for name, default in vars(SplitRequest()).items():
            value = getattr(self, name)
            if value != default:
                words += [f"--{name.replace('_', '-')}", str(value)]
        return shlex.join(words)


@dataclass(frozen=True)
class WorkspaceSplit:
    """The split that a workspace has.

    Attributes:
        table: the table `split`.
        class_level: the level of its classes.
        text: what it is, in a few words.
        request: what was asked for.
    """

    table: pd.DataFrame
    class_level: int
    text: str
    request: SplitRequest

    def with_fold(self, fold: int) -> WorkspaceSplit:
        """With one fold as the test and all others as the train; a split without folds as it is.

        Raises:
            InputError: there is no such fold.
        """
        folds = self.request.folds
        if folds is None or not 1 <= fold <= folds:
            what = "the split of the workspace has no such fold:"
            fix = f"Take one of 1 to {folds}." if folds else "Make folds: strata split WS --folds 5"
            raise InputError(Problem("--fold", what, fix, value=fold))
        table = self.table.assign(split=as_train_and_test(self.table["split"], fold))
        return WorkspaceSplit(
            table, self.class_level, f"{self.text}; fold {fold} is the test", self.request
        )


def make_split(workspace: Workspace, request: SplitRequest) -> MadeSplit:
    """Makes the split of a workspace, in place of the one that it has.

    Raises:
        InputError: what cannot be, all of it; the split that is there is kept.
        RetryError: another command is writing to the workspace.
    """
    levels = workspace.last_settings().hierarchy.levels
    _check(request, levels)
    with workspace.locked("split"):
        items, assignments = load(workspace.folder, "items"), load(workspace.folder, "assignments")
        class_level, stratum_level = _levels(request, levels, items, assignments)
        placed, left_out = _placed(items, assignments, class_level, stratum_level)
        images = _images(placed)
        if request.min_images or request.query is not None:
            none = images["image"].isna()
            left_out = [*left_out, images[none].assign(reason="no image")]
            images = images[~none]
        if images.empty:
            what = "no labelled item has an image"
            fix = "Build with images, or split items without: --min-images 0."
            raise InputError(Problem(workspace.folder, what, fix))
        groups = _groups(workspace, images)
        images = images.assign(group=groups.group)
        plan = SplitPlan(request.shares, request.query or 0.0, request.min_images, request.seed)
        with activity("dividing the classes"):
            made = split_images(images, plan)
        about = {
            "request": vars(request),
            "class_level": class_level,
            "stratify_level": stratum_level,
            "tree": _fingerprint(placed),
            "text": split_text(made, levels, class_level, request.seed),
        }
        write_split(workspace, made, pd.concat([*left_out, made.left_out]), about, assignments)
    return split_lines(made, left_out, groups, about, levels)


def remove_split(workspace: Workspace) -> bool:
    """Takes a workspace's split away; returns whether there was one."""
    with workspace.locked("split"):
        found = workspace.table(TABLE).is_file()
        for path in (workspace.table(TABLE), workspace.split_classes, workspace.split_report):
            path.unlink(missing_ok=True)
    return found


def current_split(workspace: Workspace) -> WorkspaceSplit | None:
    """The split of a workspace; None if it has none.

    Raises:
        InputError: the split was made for an earlier state of the tree; the message says what to
            run.
    """
    path = workspace.table(TABLE)
    if not path.is_file():
        return None
    try:
        about = json.loads(read_about(path))
        request = SplitRequest(**about["request"])
        level, stratum = about["class_level"], about["stratify_level"]
        items, assignments = load(workspace.folder, "items"), load(workspace.folder, "assignments")
        named = {f"level{n}_id" for n in (level, stratum) if n}
        fresh = named <= set(assignments) and about["tree"] == _fingerprint(
            _placed(items, assignments, level, stratum)[0]
        )
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        fix = "Make it again: strata split, or remove it: strata split --remove."
        raise InputError(Problem(path, f"damaged ({error!r})", fix)) from None
    if not fresh:
        what = "the split was made for an earlier state of the tree"
        again = request.command(workspace.folder)
        fix = f"Run: {again} (or take it away: strata split {workspace.folder} --remove)."
        raise InputError(Problem(path, what, fix))
    return WorkspaceSplit(load(workspace.folder, TABLE), level, about["text"], request)


# --- what is split ----------------------------------------------------------------------------


def _check(request: SplitRequest, levels: tuple[str, ...]) -> None:
    """Raises InputError with every part of a request that cannot be."""
    known = _numbers(levels)
    given = {"--class-level": request.class_level, "--stratify": request.stratify}
    problems = [
        Problem(option, "no such level:", f"Take one of {', '.join(levels)}.", value=text)
        for option, text in given.items()
        if text is not None and text not in known
    ]
    for option, value in (("--test", request.test), ("--query", request.query)):
        if value is not None and not 0 < value < 1:
            fix = "Give a share between 0 and 1, such as 0.5."
            problems.append(Problem(option, "no share of a whole:", fix, value=value))
        if value is not None and request.folds is not None:
            fix = f"Give either --folds or {option}."
            problems.append(Problem(option, "does not go with --folds:", fix, value=value))
    if request.folds is not None and request.folds < 2:
        problems.append(
            Problem("--folds", "too few folds:", "Ask for 2 at least.", value=request.folds)
        )
    if request.min_images < 0:
        what, fix = "no number of images:", "Give 0 or more."
        problems.append(Problem("--min-images", what, fix, value=request.min_images))
    if request.query is not None and request.test is None and request.stratify is not None:
        what = "queries and gallery are divided within each class:"
        fix = "Leave it out, or give --test too."
        problems.append(Problem("--stratify", what, fix, value=request.stratify))
    refuse(problems)


def _levels(
    request: SplitRequest, levels: tuple[str, ...], items: pd.DataFrame, assignments: pd.DataFrame
) -> tuple[int, int]:
    """The level of the classes, and that of the strata (0 for one stratum)."""
    known = _numbers(levels)
    if request.class_level is not None:
        class_level = known[request.class_level]
    else:
        labelled = set(assignments["item_id"][assignments["status"] == LABELLED])
        several = items["image_ids"].str.len() > 1
        has_several = bool((several & items["item_id"].isin(labelled)).any())
        class_level = 0 if has_several or len(levels) == 1 else 1
    if request.stratify is None:
        return class_level, class_level + 1 if class_level + 1 < len(levels) else 0
    stratum_level = known[request.stratify]
    if stratum_level <= class_level:
        what = f"not above the level of the classes, {levels[class_level]}:"
        above = ", ".join(levels[class_level + 1 :])
        fix = f"Take one of {above}." if above else "Leave it out: there is no level above."
        raise InputError(Problem("--stratify", what, fix, value=request.stratify))
    return class_level, stratum_level


def _numbers(levels: tuple[str, ...]) -> dict[str, int]:
    """Levels by number and by name."""
    by_name = {text: n for n, text in enumerate(levels)}
    return {**{str(n): n for n in range(len(levels))}, **by_name}


def _placed(
    items: pd.DataFrame, assignments: pd.DataFrame, class_level: int, stratum_level: int
) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """Items that have a class, `item_id, class_id, stratum, images`; and those that have none."""
    own = assignments.set_index("item_id").reindex(items["item_id"])
    frame = pd.DataFrame({"item_id": items["item_id"].to_numpy(), "image": None})
    frame["class_id"] = (
        own[f"level{class_level}_id"].to_numpy() if class_level else frame["item_id"]
    )
    frame["stratum"] = own[f"level{stratum_level}_id"].to_numpy() if stratum_level else ""
    frame["stratum"] = frame["stratum"].fillna("")
    frame["images"] = [list(dict.fromkeys(images)) for images in _lists(items["image_ids"])]
    labelled = (own["status"] == LABELLED).to_numpy()
    has_class = frame["class_id"].notna().to_numpy()
    left_out = [
        frame[~labelled].assign(reason="no label"),
        frame[labelled & ~has_class].assign(reason="no label at the level of the classes"),
    ]
    placed = frame[labelled & has_class].sort_values("item_id", ignore_index=True)
    # Where nodes of a tree are merged, a class has one node above it; a hand-made table may differ.
    placed["stratum"] = placed.groupby("class_id")["stratum"].transform("min")
    return placed, left_out


def _lists(column: pd.Series) -> list[Any]:
    return [() if images is None or images is pd.NA else images for images in column]


def _fingerprint(placed: pd.DataFrame) -> str:
    """Of all that a split depends on besides what was asked for and the pictures themselves."""
    images = ["\n".join(images) for images in placed["images"]]
    text = placed[["item_id", "class_id", "stratum"]].assign(images=images).to_csv(index=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _images(placed: pd.DataFrame) -> pd.DataFrame:
    """A row for each image of each item, and one for each item without an image."""
    rows = placed.drop(columns="image").explode("images", ignore_index=True)
    rows = rows.rename(columns={"images": "image"})
    return rows.astype({"image": object}).assign(
        image=rows["image"].astype(object).where(rows["image"].notna(), None)
    )


def _groups(workspace: Workspace, images: pd.DataFrame) -> PictureGroups:
    settings = workspace.last_settings()
    root = settings.image_root or settings.source.image_root(settings.metadata)
    find = picture_finder(workspace, root)
    with_image = images["image"].notna().to_numpy()
    references = images["image"][with_image].tolist()
    with activity("looking for image files"):
        files = [find(image) if find else None for image in references]
    keys = ImageIndex(workspace.archive_indexes).keys
    found = picture_groups(references, files, workspace.vector_store / "images.sqlite", keys)
    # An item without an image is like no other.
    group = len(images) + np.arange(len(images))
    group[with_image] = found.group
    return PictureGroups(group, found.by_file, found.by_content, found.by_reference)
