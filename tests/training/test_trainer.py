"""The training loop: losses that fall, rates, memory, what diverges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import training_steps
from strata_labels.errors import InputError
from strata_labels.training import (
    load_recipe,
    recipe_names,
)
from strata_labels.training.memory import Memory
from strata_labels.training.trainer import Trainer
from strata_labels.training.training_run import _few_shown, _no_super_classes


@pytest.mark.parametrize("name", [name for name in recipe_names() if "-" not in name])
def test_every_plain_recipe_lowers_its_loss(name: str) -> None:
    recipe = load_recipe(name, "head", ["epochs=15", "head_lr=1e-2", "proxy_lr=1e-2"])
    inputs, labels = training_steps.points()
    trainer = Trainer(
        training_steps.Small(),
        recipe,
        labels,
        lambda epoch, first, shares: (inputs[share.images] for share in shares),
    )
    trainer.run()
    losses = [row[2] for row in trainer.history]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


def head_trainer(labels: torch.Tensor, *settings: str) -> Trainer:
    return Trainer(
        training_steps.Small(),
        load_recipe("happier", "head", settings),
        labels,
        lambda epoch, first, shares: iter(()),
    )


def test_labels_of_one_level_have_no_super_classes() -> None:
    """Each class would be one: a batch of two classes."""
    for order in ("every-image", "published"):
        labels = torch.arange(80)[:, None] // 4
        trainer = head_trainer(labels, f"order={order}", "batch_size=16")
        assert [len(batch) for batch in trainer.sampler.plan(0)] == [16] * 5


def test_settings_of_a_sampler_that_is_not_taken_are_named() -> None:
    fine = torch.arange(80)[:, None] // 4
    assert "super_classes and batches_per_group are without" in _no_super_classes(
        head_trainer(fine)
    )
    assert not _no_super_classes(head_trainer(fine, "sampler=m-per-class"))
    assert not _no_super_classes(head_trainer(torch.cat([fine, fine // 4], dim=1)))


def test_small_super_classes_are_said_to_show_few_images() -> None:
    labels = torch.arange(240)[:, None] // torch.tensor([4, 8])
    note = _few_shown(head_trainer(labels))
    assert "about 16 images (batch_size is 256)" in note and "shows 16 of 240" in note
    assert note.endswith("Set super_classes=30, or sampler=m-per-class.")
    for setting in ("super_classes=30", "sampler=m-per-class", "max_per_class=4"):
        assert not _few_shown(head_trainer(labels, setting))


def test_small_super_classes_of_many_sets() -> None:
    """There are C(30, 16) sets of those that are advised: an epoch cannot take them all."""
    labels = torch.arange(2400)[:, None] // torch.tensor([40, 80])
    settings = ["batch_size=128", "super_classes=1", "batches_per_group=1"]
    note = _few_shown(head_trainer(labels, *settings))
    assert "about 8 images (batch_size is 128)" in note and "shows 240 of 2,400" in note
    assert note.endswith("Set super_classes=16 and batches_per_group=0, or sampler=m-per-class.")
    assert not _few_shown(
        head_trainer(labels, *settings, "super_classes=16", "batches_per_group=0")
    )


def test_large_super_classes_are_not_said_to_be_small() -> None:
    """An epoch of one batch of two full super-classes; then classes of one image."""
    labels = torch.arange(800)[:, None] // torch.tensor([4, 400])
    note = _few_shown(head_trainer(labels, "batches_per_group=1", "batch_size=64"))
    assert note.startswith("Batches in an epoch: 1 (batches_per_group is 1). They show 64 of 800")
    assert note.endswith("Set batches_per_group=0 for as many as there are images.")
    for each in ("batches_per_group=0", "batches_per_group=13", "order=published"):
        assert not _few_shown(head_trainer(labels, each, "batch_size=64"))
    alone = torch.arange(800)[:, None] // torch.tensor([1, 400])
    for each in ("batches_per_group=0", "batches_per_group=13"):
        assert not _few_shown(head_trainer(alone, each, "batch_size=64"))


def test_backbone_is_frozen_in_the_warm_up_only() -> None:
    recipe = load_recipe("nsm", "full", training_steps.SMALL)
    trainer = training_steps.trainer(recipe)
    before = trainer.model.backbone[0].weight.detach().clone()
    trainer.run(steps=len(trainer.sampler))
    assert torch.equal(trainer.model.backbone[0].weight, before)
    trainer.run(steps=1)
    assert not torch.equal(trainer.model.backbone[0].weight, before)


def rates_of(*settings: str) -> list[dict[str, float]]:
    """The rates of each epoch of a small training."""
    trainer = training_steps.trainer(load_recipe("nsm", "full", [*training_steps.SMALL, *settings]))
    rates: list[dict[str, float]] = []

    def note(trainer: Trainer, images: int) -> bool:
        if trainer.sampler.done == 1:
            rates.append(trainer.optimizers.rates)
        return False

    trainer.run(note)
    return rates


def test_rates_fall_once_per_epoch_after_the_warm_up() -> None:
    rates = rates_of("proxy_lr=10.0", "proxy_lr_end=2.0", "lr_end=1e-4")
    half = (1 + 2**-0.5) / 2
    assert rates[:2] == [{"backbone": 1e-3, "head": 1e-2, "proxies": 10.0}] * 2
    assert rates[2]["backbone"] == pytest.approx(1e-4 + 9e-4 * half)
    assert rates[2]["proxies"] == pytest.approx(2 + 8 * half)
    assert rates[3]["head"] == pytest.approx(1e-4 + 99e-4 / 2)


def test_rates_fall_in_steps_or_not_at_all() -> None:
    steps = rates_of("schedule=steps", "milestones=[1,2]", "step_factor=0.5", "warmup_epochs=0")
    assert [rate["head"] for rate in steps] == [1e-2, 5e-3, 2.5e-3, 2.5e-3]
    assert {rate["backbone"] for rate in rates_of("schedule=constant")} == {1e-3}


def test_an_epoch_without_batches_is_refused() -> None:
    settings = [*training_steps.SMALL, "order=published", "images_per_class=6"]
    with pytest.raises(InputError, match=r"smallest batch has 0 images.*order=every-image"):
        training_steps.trainer(load_recipe("nsm", "full", settings)).run()


def test_gradient_is_clipped() -> None:
    free, clipped = (
        training_steps.trainer(
            load_recipe("nsm", "full", [*training_steps.SMALL, "optimizer=sgd", f"clip={clip}"])
        )
        for clip in (0.0, 1e-6)
    )
    start = {key: value.clone() for key, value in free.model.state_dict().items()}
    for trainer in (free, clipped):
        trainer.run(steps=1)
    moved = [
        max(float((t.model.state_dict()[k] - v).abs().max()) for k, v in start.items())
        for t in (free, clipped)
    ]
    assert moved[0] > 100 * moved[1] > 0


def test_a_diverging_training_stops_with_a_message() -> None:
    recipe = load_recipe("nsm", "full", [*training_steps.SMALL, "optimizer=sgd", "head_lr=1e38"])
    with pytest.raises(InputError, match="diverged in step"):
        training_steps.trainer(recipe).run()


def test_a_last_step_that_overflows_is_no_result() -> None:
    trainer = training_steps.trainer(load_recipe("nsm", "full", training_steps.SMALL))
    trainer.run(steps=1)
    trainer.check_weights()
    with torch.no_grad():
        next(trainer.loss.parameters())[0] = torch.inf
    with pytest.raises(InputError, match="diverged in step 1"):
        trainer.check_weights()


def test_bf16_autocast_keeps_scores_in_single_precision() -> None:
    recipe = load_recipe("happier", "full", [*training_steps.SMALL, "precision=bf16"])
    trainer = training_steps.trainer(recipe)
    trainer.run(steps=5)
    exact = training_steps.trainer(load_recipe("happier", "full", training_steps.SMALL))
    exact.run(steps=5)
    rough, fine = ([row[2] for row in t.history] for t in (trainer, exact))
    assert rough != fine
    assert rough == pytest.approx(fine, abs=0.05)


def test_memory_keeps_the_last() -> None:
    memory = Memory(5, 1, 1)
    for start in (0, 3, 6):
        values = torch.arange(start, start + 3)[:, None]
        memory.add(values.float(), values)
    kept, labels = memory.references(torch.zeros(0, 1), torch.zeros(0, 1, dtype=torch.int64))
    assert sorted(kept.flatten().tolist()) == [4, 5, 6, 7, 8]
    assert torch.equal(kept.long(), labels)


@pytest.mark.parametrize("name", [name for name in recipe_names() if "-" not in name])
@pytest.mark.parametrize("mining", ["hard", "semi-hard", "published"])
def test_a_memory_that_is_empty_changes_no_loss(name: str, mining: str) -> None:
    """Beside a memory too, a query is not its own positive in losses on pairs."""
    settings = [*training_steps.SMALL, f"triplet_mining={mining}", "triplet_margin=0.5"]
    losses = []
    for size in (0, 40):
        trainer = training_steps.trainer(load_recipe(name, "full", [*settings, f"memory={size}"]))
        trainer.run(steps=1)
        losses.append(trainer.history[0][2])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
