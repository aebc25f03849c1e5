"""`strata compare`: two trees on the same embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strata_labels.errors import InputError, Problem, gathered, refuse

if TYPE_CHECKING:
    from torch import Tensor

_SHOWN = 10


def compare(
    tree_a: Annotated[Path, typer.Argument(help="A workspace, or a table: level0, level1, ...")],
    tree_b: Annotated[Path, typer.Argument(help="The tree it is compared with.")],
    vectors: Annotated[
        Path,
        typer.Option(
            help="A folder of `embed --model` or of a training (test split, before training), "
            "or .npy."
        ),
    ],
    json: Annotated[Path, typer.Option(dir_okay=False, help="Where the numbers go.")],
    items: Annotated[
        Path | None, typer.Option(help="With a .npy: table with a row a vector, item in level0.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="Also train a head on each tree by this recipe, and on a shuffled one."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Shuffles, and trainings on each tree.")] = 5,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the recipe, e.g. head_lr=1e-4.")
    ] = None,
) -> None:
    """Say which of two trees the embeddings support, and why.

    Which tree, and which edges, help retrieval or hurt it.
    """
    from strata_labels.files import write_json
    from strata_labels.validation import (
        FEWEST,
        ItemPaths,
        compare_heads,
        compare_trees,
        read_tree,
        read_vectors,
    )

    problems: list[Problem] = []
    trees: dict[str, ItemPaths] = {}
    for key, path in (("a", tree_a), ("b", tree_b)):
        with gathered(problems):
            trees[key] = read_tree(path)
    with gathered(problems):
        matrix, table = read_vectors(vectors, items)
    plan = None
    if recipe is not None:
        from strata_labels.training import load_recipe

        with gathered(problems):
            plan = load_recipe(recipe, "head", settings or [])
    elif settings:
        fix = "Give --recipe too."
        problems.append(Problem("--set", "settings of no recipe", fix, value=settings))
    refuse(problems)
    known = table["item"].isin(trees["a"].paths.index) & table["item"].isin(trees["b"].paths.index)
    if int(known.sum()) < FEWEST:
        what = f"{int(known.sum())} of {len(table)} vectors are of items that both trees place"
        fix = f"Give vectors of {FEWEST} images at least whose items (level0) are in both trees."
        raise InputError(Problem(vectors, what, fix))
    matrix = matrix[known.to_numpy().nonzero()[0]]
    of = table.loc[known, "item"].reset_index(drop=True)
    result = compare_trees(matrix, of, trees["a"], trees["b"], range(seeds))
    result["left_out"] = int((~known).sum())
    if plan is not None:
        from strata_labels.training import train_head

        chosen = plan

        def train(taught: Tensor, labels: Tensor, seed: int) -> Any:
            return train_head(taught, labels, chosen, seed)

        trained = compare_heads(matrix, of, trees, train, range(seeds))
        result["trained"] = trained
        if not trained["told_apart"]:
            result["warnings"].append(
                "Heads trained on tree a cannot be told from heads trained on a shuffled one."
            )
    write_json(json, result)
    print("\n".join(_lines(result)))
    print(f"\nNumbers in {json}")


def _lines(result: dict[str, Any]) -> list[str]:
    lines = [f"{result['num_queries']:,} images of {result['num_items']:,} items"]
    if result["left_out"]:
        lines[0] += f"; {result['left_out']:,} images left out, not placed by both trees"
    lines += ["", f"{'':<24}{'a':>9}{'b':>9}{'b - a':>9}"]
    for label, name in (("H-AP", "hap"), ("ASI", "asi"), ("NDCG", "ndcg")):
        lines.append(_row(label, result["a"][name], result["b"][name], result["difference"][name]))
    lines.append(
        _row("H-AP above shuffled", result["a"]["lift"], result["b"]["lift"], result["lift"])
    )
    one, other = (result[key]["normalised"] for key in ("a", "b"))
    lines.append(_row("Normalised H-AP", one, other, result["normalised"]))
    lines += ["", result["verdict"]]
    if "trained" in result:
        lines += ["", "Heads, H-AP in the mean of the seeds"]
        rows = result["trained"]["seeds"]
        for key in rows[0]["trained_on"]:
            cells = [
                f"{100 * sum(row['trained_on'][key][name] for row in rows) / len(rows):9.2f}"
                for name in ("hap_a", "hap_b")
            ]
            lines.append(f"{'trained on ' + key:<24}{''.join(cells)}")
    for key in ("a", "b"):
        edges = result[key]["edges"]
        counts = {word: sum(edge["verdict"] == word for edge in edges) for word in _VERDICTS}
        verdicts = ", ".join(f"{count:,} {word}" for word, count in counts.items())
        lines += ["", f"Edges of {key}: {verdicts}"]
        lines += [
            f"  costs {_percent(edge['value'])}: {edge['child_name']} under {edge['parent_name']}"
            for edge in edges
            if edge["verdict"] == "costs"
        ][:_SHOWN]
    if result["changed"]:
        lines += ["", "Under another parent in b (H-AP of its images, b - a):"]
        ends = result["changed"]
        shown = ends if len(ends) <= 2 * _SHOWN else ends[:_SHOWN] + ends[-_SHOWN:]
        lines += [
            f"  {_percent(row['difference'])} {row['child_name']}: "
            f"{row['parent_a']} → {row['parent_b']}"
            for row in shown
        ]
    return lines + [f"\nWarning: {warning}" for warning in result["warnings"]]


_VERDICTS = ("earns", "costs", "unclear", "alone")


def _row(label: str, a: float, b: float, gap: dict[str, Any]) -> str:
    low, high = gap["interval"]
    interval = f"   [{_percent(low)}, {_percent(high)}]"
    return f"{label:<24}{100 * a:9.2f}{100 * b:9.2f}{_percent(gap['difference']):>9}{interval}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.2f}"
