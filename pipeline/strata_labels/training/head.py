"""The layers above the backbone, and training them alone on cached vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from strata_labels.label_tensors import check_embeddings, check_labels
from strata_labels.training.recipe import Recipe


class Head(nn.Module):
    """Optional layer norm, linear layer, unit length: `[n, d]` to `[n, e]`.

    Args:
        dim_in: d.
        dim_out: e.
        layer_norm: whether a layer norm comes before the linear layer.

    Attributes:
        dim: e.
    """

    centre: Tensor

    def __init__(self, dim_in: int, dim_out: int, layer_norm: bool = False) -> None:
        super().__init__()
        self.dim = dim_out
        self.register_buffer("centre", torch.zeros(dim_in))
        # Without scale and shift, as published: the linear layer has both.
        norm = nn.LayerNorm(dim_in, elementwise_affine=False)
        self.norm = norm if layer_norm else nn.Identity()
        self.linear = nn.Linear(dim_in, dim_out)

    def forward(self, vectors: Tensor) -> Tensor:
        """Embeddings of unit length."""
        return nn.functional.normalize(self.linear(self.norm(vectors - self.centre)), dim=1)

    @torch.no_grad()
    def start_as_identity(self, vectors: Tensor, whiten: Tensor | None = None) -> None:
        """Makes the head a rotation at most of what centred vectors `[n, d]` are.

        A shorter output keeps the vectors' first principal directions. Vectors are multiplied by
        the symmetric matrix `whiten [d, d]` first, if there is one.
        """
        self.centre.copy_(vectors.mean(0))
        nn.init.zeros_(self.linear.bias)
        dim_out, dim_in = self.linear.weight.shape
        if dim_out >= dim_in:
            nn.init.eye_(self.linear.weight)
            if whiten is not None:
                self.linear.weight[:dim_in] = whiten
            return
        centred = (vectors - self.centre).double()
        if whiten is not None:
            centred = centred @ whiten.double()
        directions = torch.linalg.svd(centred, full_matrices=True)[2]
        # The sign of a singular vector is arbitrary: its largest entry shall be positive.
        largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
        first = (directions * largest.sign())[:dim_out]
        self.linear.weight.copy_(first if whiten is None else first @ whiten.double())


def new_head(vectors: Tensor, classes: Tensor, recipe: Recipe) -> Head:
    """An untrained head of a recipe.

    Args:
        vectors: `[n, d]` of the train split.
        classes: `[n]` their finest classes, any integers.
        recipe: the recipe.
    """
    head = Head(vectors.shape[1], recipe.dim or vectors.shape[1], recipe.layer_norm)
    if recipe.identity:
        whiten = None
        if recipe.whitening:
            whiten = within_whitening(vectors, classes, recipe.whitening)
        head.start_as_identity(vectors, whiten)
    return head


def within_whitening(vectors: Tensor, classes: Tensor, weight: float) -> Tensor:
    """The symmetric matrix `[d, d]` that shrinks directions in which vectors vary within classes.

    It is the inverse square root of the within-class covariance shrunk towards the identity
    (Hatch et al., "Within-class covariance normalization", 2006), scaled to a mean square of 1.

    Args:
        vectors: `[n, d]`.
        classes: `[n]` integers.
        weight: of the covariance, 0 to below 1; the identity has the rest.
    """
    exact = vectors.double()
    _, number, sizes = classes.unique(return_inverse=True, return_counts=True)
    sums = exact.new_zeros(len(sizes), exact.shape[1]).index_add_(0, number, exact)
    residuals = exact - (sums / sizes[:, None])[number]
    covariance = residuals.T @ residuals
    identity = torch.eye(len(covariance), dtype=exact.dtype, device=exact.device)
    scale = covariance.trace() / len(covariance)
    if not scale > 0:  # classes of equal vectors
        return identity.to(vectors.dtype)
    values, directions = torch.linalg.eigh(torch.lerp(identity, covariance / scale, weight))
    roots = values.clamp(min=1 - weight).rsqrt()  # less is rounding
    roots /= roots.square().mean().sqrt()
    return ((directions * roots) @ directions.T).to(vectors.dtype)


def train_head(vectors: Tensor, labels: Tensor, recipe: Recipe, seed: int = 0) -> Head:
    """Trains a head on cached vectors.

    Args:
        vectors: `[n, d]` float, of the train split, finite.
        labels: `[n, L]` int64, nested, column 0 the finest; any integers but -1.
        recipe: as `load_recipe(name, "head")` gives it.
        seed: of every random choice; the same seed gives the same head.

    Returns:
        The head, in evaluation mode: `[m, d]` to unit vectors `[m, e]`.

    Raises:
        InputError: the training diverged.
        ValueError: vectors or labels of another shape or type, not finite, not nested, or unknown
            (-1).

    Example:
        >>> from strata_labels.training import load_recipe
        >>> vectors = nn.functional.normalize(torch.randn(32, 8), dim=1)
        >>> labels = torch.arange(32)[:, None] // torch.tensor([4, 16])
        >>> head = train_head(vectors, labels, load_recipe("happier", "head", ["epochs=2"]))
        >>> head(vectors).shape
        torch.Size([32, 8])
    """
    from strata_labels.training.trainer import Trainer

    check_embeddings(vectors, "vectors")
    labels = check_labels(labels)
    if len(labels) != len(vectors):
        raise ValueError(
            f"vectors and labels must have the same length, got {len(vectors)} and {len(labels)}"
        )
    vectors = vectors.float()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        trainer = Trainer(
            new_head(vectors, labels[:, 0], recipe),
            recipe,
            labels,
            lambda epoch, first, shares: (vectors[share.images] for share in shares),
            seed=seed,
        )
        if recipe.proxies == "means":
            with torch.no_grad():
                trainer.start_proxies(trainer.model(vectors))
        trainer.run()
        trainer.check_weights()
    assert isinstance(trainer.model, Head)
    return trainer.model.eval()
