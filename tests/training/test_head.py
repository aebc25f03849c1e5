"""Heads on frozen vectors: how they start, and that a training is its seed."""

from __future__ import annotations

import pytest
import torch
import training_steps
from strata_labels.embedding import VectorStore, load_encoder
from strata_labels.errors import InputError
from strata_labels.training import (
    load_recipe,
    read_labels_csv,
    train_head,
)
from strata_labels.training.head import within_whitening
from strata_labels.training.processes import Processes
from strata_labels.training.training_modes import HeadTraining
from torch import nn


def test_a_head_that_gives_no_numbers_is_named(encoder: str, pictures) -> None:
    root, path, _ = pictures
    images = read_labels_csv(path, root)
    store = VectorStore(path.parent / "vectors")
    recipe = load_recipe("happier", "head")
    work = HeadTraining(images, recipe, load_encoder(encoder), store, Processes(), False)
    assert bool(work.embedded("test").isfinite().all())
    first, number = images.part("test").paths[0], len(images.part("test").paths)
    message = f"{first}: the network gives NaN .* this picture, the first of {number}. Take"
    for scale in (torch.nan, 0.0, 1e30):  # of the last, lengths overflow
        with torch.no_grad():
            work.model.linear.weight.fill_(1.0).mul_(scale)
        with pytest.raises(InputError, match=message):
            work.embedded("test")


def test_a_head_whose_last_step_overflows_is_no_result() -> None:
    inputs, labels = training_steps.points()
    settings = [
        "epochs=1",
        "warmup_epochs=0",
        "optimizer=sgd",
        "head_lr=1e38",
        "weight_decay=1e9",
        "batch_size=360",
        "max_per_class=4",
    ]
    with pytest.raises(InputError, match="diverged in step 1"):
        train_head(inputs, labels, load_recipe("triplet", "head", settings))


X, Y = torch.eye(8), torch.arange(8)[:, None] // torch.tensor([2, 4])


def test_a_head_of_weights_that_are_too_long_is_no_result() -> None:
    inputs, labels = training_steps.points()
    settings = ["epochs=1", "warmup_epochs=0", "head_lr=1e30", "batch_size=360"]
    settings += ["max_per_class=4"]
    with pytest.raises(InputError, match="training diverged in step"):
        train_head(inputs, labels, load_recipe("happier", "head", settings))


@pytest.mark.parametrize(
    ("vectors", "labels", "message"),
    [
        (X.numpy(), Y, "vectors must be a tensor, got ndarray"),
        (X.long(), Y, "vectors must be floating point"),
        (X[0], Y, r"vectors must have the shape \[n, d\], got \(8,\)"),
        (X[:0], Y[:0], "vectors must not be empty"),
        (X / 0, Y, "vectors must be finite"),
        (X, Y[:5], "the same length, got 8 and 5"),
        (X, Y.tolist(), "labels must be a tensor, got list"),
        (X, Y.float(), "labels must be integers"),
        (X, Y - 1, "labels must be known, got -1 in row 0, level 0"),
        (X, Y.flip(1), "labels are not nested"),
    ],
)
def test_bad_input_of_a_head_is_named(vectors, labels, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_head(vectors, labels, load_recipe("happier", "head", ["epochs=1"]))


def test_labels_of_a_head_may_be_of_one_level_and_any_integers() -> None:
    recipe = load_recipe("happier", "head", ["epochs=1", "warmup_epochs=0"])
    expected = train_head(X, Y[:, :1], recipe)
    for labels in (Y[:, 0], Y[:, 0].to(torch.uint8), Y[:, 0].int() * 1000 - 7):
        found = train_head(X, labels, recipe)
        assert training_steps.same(found.state_dict(), expected.state_dict())


def test_train_head_is_its_seed() -> None:
    inputs, labels = training_steps.points()
    recipe = load_recipe("happier", "head", ["epochs=2"])
    before = torch.get_rng_state()
    one, again, other = (train_head(inputs, labels + 7, recipe, seed) for seed in (0, 0, 1))
    assert training_steps.same(one.state_dict(), again.state_dict())
    assert not training_steps.same(one.state_dict(), other.state_dict())
    assert torch.equal(torch.get_rng_state(), before)
    with torch.no_grad():
        torch.testing.assert_close(one(inputs).norm(dim=1), torch.ones(90))


def test_head_starts_as_rotation_of_centred_vectors() -> None:
    inputs, labels = training_steps.points()
    recipe = load_recipe("nsm", "head", ["epochs=0"])
    head = train_head(inputs, labels, recipe)
    expected = nn.functional.normalize(inputs - inputs.mean(0), dim=1)
    torch.testing.assert_close(head(inputs), expected)
    short = train_head(inputs, labels, load_recipe("nsm", "head", ["epochs=0", "dim=3"]))
    weight = short.linear.weight.detach()
    torch.testing.assert_close(weight @ weight.T, torch.eye(3))
    spread = ((inputs - inputs.mean(0)) @ weight.T).var(0)
    assert spread.tolist() == sorted(spread.tolist(), reverse=True)


@pytest.mark.parametrize("dim", [0, 3])
def test_head_starts_as_whitening_of_what_varies_within_classes(dim: int) -> None:
    inputs, labels = training_steps.points()
    inputs = inputs * torch.tensor([10.0, 1, 1, 1, 1, 0.3])
    settings = ["epochs=0", "whitening=0.9999", f"dim={dim}"]
    head = train_head(inputs, labels, load_recipe("nsm", "head", settings))
    with torch.no_grad():
        mapped = head.linear(inputs - head.centre)
    means = torch.stack([mapped[labels[:, 0] == fine].mean(0) for fine in range(18)])
    spread = (mapped - means[labels[:, 0]]).var(0)
    assert len(spread) == (dim or 6)
    # Before, they differed by a factor of 1,000.
    assert spread.max() < 1.1 * spread.min()
    if not dim:
        weight = head.linear.weight.detach()
        torch.testing.assert_close(weight, weight.T)
        assert weight.square().sum() == pytest.approx(6)


def test_whitening_of_equal_vectors_is_the_identity() -> None:
    inputs, labels = training_steps.points()
    equal = inputs[labels[:, 0] * 5]
    matrix = within_whitening(equal, labels[:, 0], 0.5)
    torch.testing.assert_close(matrix, torch.eye(6))
    settings = ["epochs=0", "whitening=0.5", "identity=false"]
    with pytest.raises(InputError, match="identity=true"):
        load_recipe("nsm", "head", settings)
