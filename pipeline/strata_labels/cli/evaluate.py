"""`strata evaluate`: hierarchical retrieval metrics of embeddings."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from strata_labels.cli.options import CountsQuery
from strata_labels.errors import InputError, Problem, refuse

if TYPE_CHECKING:
    from torch import Tensor

    from strata_labels.retrieval import Report


def evaluate(
    query_embeddings: Annotated[Path, typer.Option(help="[q, d] floats, .npy or .parquet.")],
    query_labels: Annotated[
        Path,
        typer.Option(
            help="[q, L] integers, column 0 the finest level; or test_items.parquet of a training."
        ),
    ],
    json: Annotated[Path, typer.Option(dir_okay=False, help="Where the numbers go.")],
    gallery_embeddings: Annotated[
        Path | None, typer.Option(help="Without a gallery each query ranks all the others.")
    ] = None,
    gallery_labels: Annotated[
        Path | None, typer.Option(help="[g, L] integers; given with --gallery-embeddings.")
    ] = None,
    relevance: Annotated[
        Literal["pop", "map"],
        typer.Option(
            help="pop, as published, is not monotone: one of 100 siblings counts less than one "
            "of 5 cousins. map, with weights 1/L, is."
        ),
    ] = "pop",
    relevance_counts_query: CountsQuery = False,
    leave_out_unknown: Annotated[
        bool,
        typer.Option(
            "--leave-out-unknown",
            help="Leave out rows with a label -1, which means unknown; else they are an error.",
        ),
    ] = False,
    per_query: Annotated[
        bool, typer.Option("--per-query", help="Also every query's values.")
    ] = False,
    similarity: Annotated[
        Literal["cosine", "dot", "euclidean"], typer.Option(help="cosine asks for unit vectors.")
    ] = "cosine",
    normalize: Annotated[
        bool, typer.Option("--normalize", help="Scale every embedding to length 1 first.")
    ] = False,
    neighbours: Annotated[
        int,
        typer.Option(
            "--expand",
            min=0,
            help="Average every embedding with its nearest ones of the gallery, so many, before "
            "ranking (query expansion, database augmentation).",
        ),
    ] = 0,
    bootstrap: Annotated[
        int, typer.Option(min=0, help="Resamples of the queries for 95 % intervals, e.g. 1000.")
    ] = 0,
    against: Annotated[
        Path | None, typer.Option(help="Other embeddings of the same queries: a paired test.")
    ] = None,
    against_gallery: Annotated[
        Path | None, typer.Option(help="Other embeddings of the same gallery.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Measure retrieval: H-AP, ASI, NDCG, AP, mAP@R, R@k.

    A gallery is ranked for every query; AP, mAP@R and R@k are those of every level.
    """
    import torch

    from strata_labels.cli.arrays import read_embeddings, read_labels
    from strata_labels.files import write_json
    from strata_labels.progress import activity, track
    from strata_labels.retrieval import (
        Map,
        Pop,
        bootstrap_interval,
        check_embeddings,
        check_labels,
        evaluate_embeddings,
        expand,
        paired_test,
    )

    problems: list[Problem] = []

    def add(option: str, what: str, fix: str, value: str | None = None) -> None:
        problems.append(Problem(option, what, fix, value=value))

    has_gallery = gallery_embeddings is not None
    if has_gallery != (gallery_labels is not None):
        add("--gallery-embeddings, --gallery-labels", "one without the other", "Give both.")
    if against_gallery is not None and (against is None or not has_gallery):
        fix = "Give --against and --gallery-embeddings too."
        add("--against-gallery", "has nothing to be compared with", fix)
    if against is not None and has_gallery and against_gallery is None:
        add("--against", "the gallery has no other embeddings", "Give --against-gallery.")
    if device != "cpu" and not (device.startswith("cuda") and torch.cuda.is_available()):
        add("--device", "not available:", "Take cpu, or cuda on a GPU.", device)
    if neighbours and not has_gallery:
        fix = "Give --gallery-embeddings: a set ranked against itself would contain its queries."
        add("--expand", "needs a gallery", fix)
    if neighbours and similarity != "cosine":
        add("--expand", "needs cosine, not", "Leave one of the two out.", similarity)

    known: dict[str, Tensor] = {}

    def load(path: Path | None, name: str, labels: bool = False) -> Tensor | None:
        """A file's array, checked; what is wrong with it goes to the list."""
        if path is None:
            return None
        side = "gallery" if "gallery" in name else "query"
        try:
            array = torch.from_numpy(read_labels(path) if labels else read_embeddings(path))
            if labels:
                if leave_out_unknown:
                    rows = array if array.ndim > 1 else array[:, None]
                    known[side] = (rows != -1).all(1)
                    array = array[known[side]]
                return check_labels(array, name)
            if side in known and len(known[side]) == len(array):
                array = array[known[side]]
            if normalize:
                lengths = torch.linalg.vector_norm(array, dim=1, keepdim=True)
                array = array / lengths  # a vector of zeros becomes NaN, and is named below
            check_embeddings(array, name, unit=similarity == "cosine")
            return array
        except InputError as error:
            problems.extend(error.problems)
        except ValueError as error:
            fix = "Correct the embeddings, or pass --normalize if only their length is off."
            if labels:
                fix = "Correct the labels, or pass --leave-out-unknown if only a -1 is wrong."
            problems.append(Problem(path, str(error), fix))
        return None

    labels = load(query_labels, "query_labels", labels=True)
    labels_of_gallery = load(gallery_labels, "gallery_labels", labels=True)
    query = load(query_embeddings, "query")
    gallery = load(gallery_embeddings, "gallery")
    other = load(against, "against")
    other_gallery = load(against_gallery, "against_gallery")
    for one, two, path in (
        (query, other, against),
        (gallery, other_gallery, against_gallery),
    ):
        if one is not None and two is not None and len(one) != len(two):
            what = f"{len(two)} rows, the embeddings it is compared with have {len(one)}"
            problems.append(Problem(str(path), what, "Embed the same items in the same order."))
    refuse(problems)

    def run(queries: Tensor, items: Tensor | None, what: str) -> Report:
        assert labels is not None
        try:
            if neighbours and items is not None:
                queries, items = queries.to(device), items.to(device)
                with activity("averaging with neighbours"):
                    queries, items = expand(queries, neighbours, items), expand(items, neighbours)
            with track(len(queries), what) as tracker:
                return evaluate_embeddings(
                    queries,
                    labels,
                    items,
                    labels_of_gallery,
                    similarity=similarity,
                    relevance=Map() if relevance == "map" else Pop(),
                    relevance_counts_query=relevance_counts_query,
                    device=device,
                    progress=tracker.advance,
                )
        except ValueError as error:
            fix = "Correct the files so that they fit together."
            raise InputError(Problem(query_embeddings, str(error), fix)) from error

    assert query is not None
    report = run(query, gallery, "ranking")
    result: dict[str, Any] = {
        **{name: _plain(value) for name, value in report.means.items()},
        "num_queries": report.num_queries,
        "num_without_positives": report.num_without_positives,
        **{f"{side}_unknown_left_out": int((~rows).sum()) for side, rows in known.items()},
    }
    if per_query:
        result["per_query"] = {
            name: [_plain(value) for value in values.tolist()]
            for name, values in report.per_query.items()
        }
    if bootstrap:
        result["intervals"] = {
            name: [_plain(bound) for bound in bootstrap_interval(values, bootstrap)]
            for name, values in report.per_query.items()
        }
    if other is not None:
        rival = run(other, other_gallery, "ranking the other")
        result["against"] = {}
        for name, values in report.per_query.items():
            test = paired_test(values, rival.per_query[name], bootstrap or 1000)
            result["against"][name] = {
                "mean": _plain(rival.means[name]),
                "difference": _plain(test.difference),
                "interval": [_plain(test.low), _plain(test.high)],
                "p_value": _plain(test.p_value),
                "num_queries": test.num_queries,
            }
    write_json(json, result)
    assert labels is not None
    print("\n".join(_table(result, labels.shape[1])))
    print(f"\nNumbers in {json}")


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value


def _table(result: dict[str, Any], num_levels: int) -> list[str]:
    """The result for people: percent, with the interval and the other embeddings beside it."""
    lines = [
        f"{result['num_queries']:,} queries, {result['num_without_positives']:,} without positives "
        "left out",
        "",
    ]

    def row(label: str, name: str) -> str:
        text = f"{label:<12}{_percent(result[name]):>8}"
        if "intervals" in result:
            low, high = result["intervals"][name]
            text += f"   [{_percent(low)}, {_percent(high)}]"
        if "against" in result:
            other = result["against"][name]
            if other["p_value"] is not None:
                text += (
                    f"   other {_percent(other['mean'])} "
                    f"({100 * other['difference']:+.2f}, p = {other['p_value']:.3f})"
                )
        return text

    lines += [row("H-AP", "hap"), row("ASI", "asi"), row("NDCG", "ndcg")]
    for level in range(num_levels):
        finest = " (finest)" if level == 0 else ""
        lines += ["", f"Level {level}{finest}"]
        for label, name in (
            ("AP", "ap"),
            ("AP@10", "ap_at_10"),
            ("mAP@R", "map_at_r"),
            ("R@1", "recall_at_1"),
            ("R@5", "recall_at_5"),
            ("R@10", "recall_at_10"),
        ):
            lines.append(row(label, f"{name}_level{level}"))
    return lines


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"
