"""`strata train`: trains on a tree's labels, reports retrieval before and after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from strata_labels.cli.completion import complete_recipes
from strata_labels.cli.options import CountsQuery, ResultFile, write_result
from strata_labels.cli.result import open_workspace
from strata_labels.errors import InputError, Problem
from strata_labels.messages import warn

if TYPE_CHECKING:
    from strata_labels.build import Workspace, WorkspaceSplit


def train(
    recipe: Annotated[
        str,
        typer.Option(
            help="One of `strata list recipes`, such as happier or happier-sop, or a file .toml.",
            autocompletion=complete_recipes,
        ),
    ],
    workspace: Annotated[
        Path | None, typer.Argument(help="A built workspace; or give --labels.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder of this training, made if absent.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Root of the images.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="CSV: path, split (train or test), level0 ... levelN.")
    ] = None,
    class_level: Annotated[
        str | None,
        typer.Option(
            help="Level of the tree, by name or number, whose nodes are the finest classes; for "
            "tables with one photograph a row. Else the items."
        ),
    ] = None,
    fold: Annotated[
        int | None,
        typer.Option(help="Test on this fold of `strata split --folds`; else on the first."),
    ] = None,
    mode: Annotated[
        Literal["head", "full"],
        typer.Option(help="A head on the encoder's vectors (minutes on a CPU), or end to end."),
    ] = "head",
    encoder: Annotated[
        str | None,
        typer.Option(
            help="registry, MODEL/TAG, MODEL/CHECKPOINT, local-dir:DIR, timm:NAME or "
            "timm:NAME@FILE. Else registry, in full mode the recipe's backbone."
        ),
    ] = None,
    vectors: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Where head mode keeps the encoder's vectors; else in the workspace, or in "
            "OUT/vectors without one.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of every random choice.")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the recipe, e.g. lr=1e-4.")
    ] = None,
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Leave out images that cannot be read.")
    ] = False,
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="The images are drawn: the report says so.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that decode images; else one a core.")
    ] = None,
    relevance_counts_query: CountsQuery = False,
    compile: Annotated[
        bool, typer.Option("--compile", help="Compile the network first: minutes, then faster.")
    ] = False,
    json: ResultFile = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Print every setting and the file that it comes from; train nothing."
        ),
    ] = False,
) -> None:
    """Train on a tree's labels; report retrieval.

    Before and after, on classes not trained on.
    """
    from strata_labels.training import explain_recipe, load_recipe

    chosen = list(settings or ())
    if mode == "full" and encoder is not None:
        chosen.append(f"backbone={encoder}")
    origins = explain_recipe(recipe, mode, chosen)
    idle = {f"--set {each.key}": each.idle for each in origins if each.asked and each.idle}
    if mode == "full" and vectors is not None:
        idle["--vectors"] = "without effect in full mode. Leave it out."
    if mode == "head" and workers is not None:
        idle["--workers"] = "without effect in head mode. Leave it out."
    for name, reason in idle.items():
        warn(f"{name}: {reason}")
    if explain:
        for each in origins:
            print(f"{each.key:<22}{_shown(each.value):<38}{each.origin}")
        return
    problems = [
        Problem(option, "missing", "Give it.")
        for option, value in (("--out", out), ("--images", images))
        if value is None
    ]
    if (workspace is None) == (labels is None):
        fix = "Give WORKSPACE or --labels FILE."
        problems.append(Problem("WORKSPACE, --labels", "one of them is wanted", fix))
    if labels is not None and class_level is not None:
        fix = "Leave columns out of the CSV instead."
        problems.append(Problem("--class-level", "is of workspaces:", fix, value=class_level))
    if labels is not None and fold is not None:
        fix = "Mark what is not trained on as `test` in the CSV instead."
        problems.append(Problem("--fold", "is of workspaces:", fix, value=fold))
    if problems or out is None or images is None:
        raise InputError(problems)

    from strata_labels.progress import activity

    plan = load_recipe(recipe, mode, chosen)
    with activity("Reading the labels"):  # and importing torch
        from strata_labels.training import read_labels_csv, read_workspace
        from strata_labels.training import train as run

        if labels is not None:
            data = read_labels_csv(labels, images)
        else:
            assert workspace is not None
            built = open_workspace(workspace)
            level, split = _class_level(built, class_level), _split(built, fold)
            if split is not None:
                level = _level_of(split, level if class_level is not None else None)
                print(f"Split: {split.text}")
            table = None if split is None else split.table
            data = read_workspace(workspace, images, class_level=level, split=table)
            vectors = vectors or built.vector_store
    for reason, count in data.set_aside.items():
        print(f"{count:,} set aside: {reason}")
    with activity("Training"):
        result = run(
            data,
            plan,
            mode,
            out,
            encoder or "registry",
            vectors,
            seed,
            skip_damaged,
            workers,
            relevance_counts_query,
            compile,
        )
    if not result:  # another process of torchrun has it
        return
    write_result(json, result)
    print(f"{plan.title}; {result['steps']:,} steps, {result['num_queries']:,} queries\n")
    print(f"{'':<12}{'frozen':>8}{'trained':>9}")
    for label, name in (("H-AP", "hap"), ("ASI", "asi"), ("NDCG", "ndcg")):
        print(_row(label, name, result))
    for at in range(len(data.levels)):
        print(_row(f"R@1 level {at}", f"recall_at_1_level{at}", result), flush=True)
    # Doubts are of items; without the items' level there are none.
    if workspace is not None and not level:
        from strata_labels.build import add_training_results, rebuild

        with activity("Writing the report"):
            doubts = add_training_results(built, images, out, synthetic)
        rebuild(built)
        print(f"{int((doubts['gain'] > 0).sum()):,} doubts are rows of {workspace / 'review.csv'}")
    else:
        from strata_labels.validation import write_report

        with activity("Writing the report"):
            write_report(out, images, synthetic=synthetic)
    print(f"\nModel, vectors and numbers in {out}, the report in {out / 'report.html'}")


def _class_level(built: Workspace, text: str | None) -> int:
    """The level that was named; 0, the items, if none was."""
    if text is None:
        return 0
    names = built.last_settings().hierarchy.levels
    known = {**{str(at): at for at in range(len(names))}, **{n: at for at, n in enumerate(names)}}
    if text not in known:
        fix = f"Take one of {', '.join(names)}."
        raise InputError(Problem("--class-level", "no such level:", fix, value=text))
    return known[text]


def _split(built: Workspace, fold: int | None) -> WorkspaceSplit | None:
    """The split of the workspace that can be trained on; None if it has none."""
    from strata_labels.build import current_split

    split = current_split(built)
    if split is None:
        if fold is None:
            return None
        fix = "Make folds: strata split WS --folds 5"
        raise InputError(Problem("--fold", "the workspace has no split:", fix, value=fold))
    if fold is not None or split.request.folds is not None:
        return split.with_fold(1 if fold is None else fold)
    if "train" not in split.request.shares:
        fix = "Make one with a train part: strata split WS --test 0.5 --query 0.2"
        raise InputError(Problem(built.table("split"), "the split has no class to train on", fix))
    return split


def _level_of(split: WorkspaceSplit, level: int | None) -> int:
    """The level of a split's classes, where no other one was asked for."""
    if level not in (None, split.class_level):
        what = f"the split of the workspace is of {split.text}; asked for is level"
        fix = "Make a split of that level, or leave the option out."
        raise InputError(Problem("--class-level", what, fix, value=level))
    return split.class_level


def _shown(value: Any) -> str:
    """A setting as TOML writes it, nearly; a table as one line of its keys and values."""
    if isinstance(value, dict):
        return "; ".join(f"{key}: {text}" for key, text in value.items()) + "  "
    return str(value).lower() if isinstance(value, bool) else f"{value} "


def _row(label: str, name: str, result: dict) -> str:
    before, after = (result[which][name] for which in ("frozen", "trained"))
    shown = ["-" if value is None else f"{100 * value:.2f}" for value in (before, after)]
    return f"{label:<12}{shown[0]:>8}{shown[1]:>9}"
