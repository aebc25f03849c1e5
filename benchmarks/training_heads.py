"""What lifts H-AP on frozen vectors: `python -m benchmarks.training_heads --shared DIR`.

The photographs, splits and folds of `benchmarks.training`. Every candidate is a head that is
trained with HAPPIER, or that is only set; its vectors are ranked as they are, with expanded
queries, and with expanded queries and an augmented gallery. A query is never part of the gallery
that is augmented for it. Cross-validation inside the train classes comes first, for all five
seeds; what has the best mean H-AP there is chosen. Then the test classes are seen once, by every
candidate.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from strata_labels.retrieval import agreement, evaluate_embeddings, expand, hap, rank_levels
from strata_labels.training import Head, load_recipe, train_head
from strata_labels.training.head import new_head
from strata_labels.training.recipe import Recipe
from strata_labels.training.trainer import Trainer
from torch import Tensor, nn

from benchmarks.training import FOLDS, SEEDS, folds, grocery, train_images

Embed = Callable[[Tensor], Tensor]
#: Neighbours in the mean; 3 to 6 were alike in cross-validation.
NEIGHBOURS = 4


def rate(value: float) -> tuple[str, ...]:
    """Settings of the learning rate."""
    return (f"head_lr={value}", f"proxy_lr={value}")


WHITENED = ("whitening=0.4", *rate(1e-4))


@dataclass(frozen=True)
class Candidate:
    """A head.

    Attributes:
        settings: of the recipe HAPPIER.
        principal: whether vectors are whitened by their whole covariance first.
        dropout: share of the inputs that are dropped in training.
        hidden: width of a second layer, 0 for none.
    """

    settings: tuple[str, ...]
    principal: bool = False
    dropout: float = 0.0
    hidden: int = 0


CANDIDATES = {
    "centred, untrained": Candidate(("epochs=0",)),
    "whitened by the whole covariance": Candidate(("epochs=0",), principal=True),
    "whitened within classes": Candidate(("epochs=0", *WHITENED)),
    "HAPPIER": Candidate(rate(3e-4)),
    "whitened, HAPPIER": Candidate(WHITENED),
    "  m per class, m = 8": Candidate((*WHITENED, "sampler=m-per-class", "images_per_class=8")),
    "  dropout 0.3": Candidate(WHITENED, dropout=0.3),
    "  second layer": Candidate(WHITENED, hidden=256),
}


class TrialHead(Head):
    """A head with what is not shipped: dropout, and a second layer that starts at zero."""

    def __init__(self, start: Head, dropout: float, hidden: int) -> None:
        dim_out, dim_in = start.linear.weight.shape
        super().__init__(dim_in, dim_out)
        self.load_state_dict(start.state_dict())
        self.dropout = nn.Dropout(dropout)
        self.second = None
        if hidden:
            last = nn.Linear(hidden, dim_out)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.second = nn.Sequential(nn.Linear(dim_in, hidden), nn.ReLU(), last)

    def forward(self, vectors: Tensor) -> Tensor:
        """Embeddings of unit length."""
        centred = self.dropout(vectors - self.centre)
        mapped = self.linear(centred)
        if self.second is not None:
            mapped = mapped + self.second(nn.functional.normalize(centred, dim=1))
        return nn.functional.normalize(mapped, dim=1)


def trained(candidate: Candidate, vectors: Tensor, labels: Tensor, seed: int) -> Embed:
    """One head of a candidate, trained."""
    recipe = load_recipe("happier", "head", candidate.settings)
    if not (candidate.dropout or candidate.hidden):
        return train_head(vectors, labels, recipe, seed)
    torch.manual_seed(seed)
    start = new_head(vectors, labels[:, 0], recipe)
    return _trial(
        TrialHead(start, candidate.dropout, candidate.hidden), vectors, labels, recipe, seed
    )


def _trial(model: TrialHead, vectors: Tensor, labels: Tensor, recipe: Recipe, seed: int) -> Embed:
    """As `train_head`, of another model."""
    trainer = Trainer(
        model,
        recipe,
        labels,
        lambda epoch, first, shares: (vectors[share.images] for share in shares),
        seed=seed,
    )
    with torch.no_grad():
        trainer.start_proxies(model.eval()(vectors))
    trainer.run()
    return model.eval()


def whitening(vectors: Tensor) -> Tensor:
    """The inverse square root of the covariance, four fifths of it shrunk to the identity."""
    covariance = vectors.double().T.cov()
    identity = torch.eye(len(covariance), dtype=torch.float64)
    scale = covariance.trace() / len(covariance)
    values, directions = torch.linalg.eigh(torch.lerp(identity, covariance / scale, 0.2))
    return ((directions * values.rsqrt()) @ directions.T).float()


@torch.no_grad()
def embedded(
    candidate: Candidate, vectors: Tensor, labels: Tensor, train: Tensor, seed: int
) -> Tensor:
    """Unit vectors of the images that are not in `train [n]`, after training on those that are."""
    if candidate.principal:
        vectors = (vectors - vectors[train].mean(0)) @ whitening(vectors[train])
    with torch.enable_grad():
        head = trained(candidate, vectors[train], labels[train], seed)
    return head(vectors[~train])


def plain(embeddings: Tensor, labels: Tensor) -> float:
    """H-AP of a set against itself."""
    return evaluate_embeddings(embeddings, labels).means["hap"]


def expanded(embeddings: Tensor, labels: Tensor) -> float:
    """The same with expanded queries."""
    own = torch.arange(len(embeddings))
    queries = expand(embeddings, NEIGHBOURS)
    report = evaluate_embeddings(queries, labels, embeddings, labels, self_id=own)
    return report.means["hap"]


def augmented(embeddings: Tensor, labels: Tensor) -> float:
    """The same with a gallery that is augmented for each query without the query."""
    levels = agreement(labels, labels).fill_diagonal_(-1)
    scores = torch.zeros(levels.shape)
    for at in range(len(embeddings)):
        rest = torch.arange(len(embeddings)) != at
        query, gallery = embeddings[at : at + 1], embeddings[rest]
        query = expand(query, NEIGHBOURS, gallery)
        scores[at, rest] = (query @ expand(gallery, NEIGHBOURS).T)[0]
    return float(hap(rank_levels(scores, levels), labels.shape[1]).nanmean())


RANKED = {"plain": plain, "expanded": expanded, "augmented": augmented}
Values = dict[tuple[str, str], list[float]]  # by candidate and ranking, one for each seed


def validated(vectors: Tensor, labels: Tensor) -> Values:
    """Means over folds of the train classes."""
    found: Values = {}
    for name, candidate in CANDIDATES.items():
        for seed in SEEDS:
            chosen = train_images(labels, seed)
            own, own_labels = vectors[chosen], labels[chosen]
            fold = folds(own_labels, seed)
            held = [
                (embedded(candidate, own, own_labels, fold != at, seed), own_labels[fold == at])
                for at in range(FOLDS)
            ]
            for ranked, score in RANKED.items():
                value = statistics.mean(score(*pair) for pair in held)
                found.setdefault((name, ranked), []).append(value)
        print(f"cross-validated: {name.strip()}", flush=True)
    return found


def tested(vectors: Tensor, labels: Tensor) -> Values:
    """The test classes."""
    found: Values = {}
    for name, candidate in CANDIDATES.items():
        for seed in SEEDS:
            train = train_images(labels, seed)
            embeddings = embedded(candidate, vectors, labels, train, seed)
            for ranked, score in RANKED.items():
                value = score(embeddings, labels[~train])
                found.setdefault((name, ranked), []).append(value)
    return found


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--vectors", type=Path, help="where vectors are kept for the next run")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        vectors, labels = grocery(options.shared, options.vectors or Path(folder))
    inside = validated(vectors, labels)
    best = {
        ranked: max(
            (key for key in inside if key[1] == ranked),
            key=lambda key: round(statistics.mean(inside[key]), 4),
        )
        for ranked in RANKED
    }
    for ranked, key in best.items():
        print(f"best in cross-validation, {ranked}: {key[0].strip()}", flush=True)
    outside = tested(vectors, labels)
    print(f"\n{'H-AP':<34}" + "".join(f"{ranked:>28}" for ranked in RANKED))
    print(" " * 34 + f"{'validated   test':>28}" * len(RANKED))
    for name in CANDIDATES:
        line = f"{name:<34}"
        for ranked in RANKED:
            test = outside[name, ranked]
            line += f"{statistics.mean(inside[name, ranked]):>12.4f}"
            line += f"{statistics.mean(test):>9.4f} ±{statistics.stdev(test):.3f}"
        print(line)
    for ranked, key in best.items():
        values = " ".join(f"{value:.4f}" for value in outside[key])
        print(f"test by seed, {ranked}, {key[0].strip()}: {values}")
    # Each seed's own choice, without what the train classes of other seeds say.
    for ranked in RANKED:
        own = [
            max(CANDIDATES, key=lambda name: round(inside[name, ranked][seed], 4)) for seed in SEEDS
        ]
        value = statistics.mean(
            outside[name, ranked][seed] for seed, name in zip(SEEDS, own, strict=True)
        )
        print(f"each seed's own choice, {ranked}: {value:.4f}")


if __name__ == "__main__":
    main()
