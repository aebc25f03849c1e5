"""The training loop: resume, several processes, memory, checkpoints."""

from __future__ import annotations

import resource
import signal
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import training_steps
from copies import run_in_two
from strata_labels.embedding import VectorStore, load_encoder
from strata_labels.errors import InputError, RetryError
from strata_labels.training import (
    Recipe,
    checkpoint,
    load_recipe,
    read_labels_csv,
    recipe_names,
    train_head,
)
from strata_labels.training.head import within_whitening
from strata_labels.training.memory import Memory
from strata_labels.training.model import GeM, build_model
from strata_labels.training.processes import Processes, process_group
from strata_labels.training.trainer import Trainer
from strata_labels.training.training_modes import FullTraining, HeadTraining
from strata_labels.training.training_run import _few_shown, _no_super_classes
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
ABOUT = {"recipe": "mine", "seed": 1}


def same(one: object, other: object) -> bool:
    """Whether two nested states agree bit for bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        assert isinstance(other, dict)
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        assert isinstance(other, list | tuple)
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize(("name", "stop"), [("happier", 8), ("roadmap", 12), ("csl", 13)])
def test_two_parts_are_the_whole(name: str, stop: int, tmp_path: Path) -> None:
    recipe = load_recipe(name, "full", training_steps.SMALL)
    whole = training_steps.trainer(recipe, dropout=0.3)
    whole.run(steps=20)

    first = training_steps.trainer(recipe, dropout=0.3)
    first.run(steps=stop)
    checkpoint.save(tmp_path / "c.pt", first, ABOUT)
    torch.manual_seed(99)  # another program's randomness
    second = training_steps.trainer(recipe, dropout=0.3)
    checkpoint.load(tmp_path / "c.pt", second, ABOUT)
    done = 0 if name == "roadmap" else 3  # an epoch has 6 batches, or 5: roadmap stops at its end
    assert second.step == stop and second.sampler.done == done
    second.run(steps=20 - stop)
    assert same(second.state_dict(), whole.state_dict())


def test_a_checkpoint_of_other_batches_is_refused(tmp_path: Path) -> None:
    """More batches done than the epoch has: it would never end."""
    recipe = load_recipe("happier", "full", training_steps.SMALL)
    first = training_steps.trainer(recipe)
    first.run(steps=1)
    number = len(first.sampler)
    first.sampler.done = number
    checkpoint.save(tmp_path / "c.pt", first, ABOUT)
    said = f"does not fit \\({number} batches of epoch 0 are done; it has {number}\\)"
    with pytest.raises(InputError, match=said):
        checkpoint.load(tmp_path / "c.pt", training_steps.trainer(recipe), ABOUT)


@pytest.mark.parametrize("number", [2, 4])
def test_a_checkpoint_of_another_format_is_refused(number: int, tmp_path: Path) -> None:
    trainer = training_steps.trainer(load_recipe("happier", "full", training_steps.SMALL))
    torch.save({"format": number, "about": ABOUT, "state": {}}, tmp_path / "c.pt")
    with pytest.raises(InputError, match="checkpoint of another version of Strata"):
        checkpoint.load(tmp_path / "c.pt", trainer, ABOUT)


TWICE = ["happier", "triplet"]


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes write of each recipe of TWICE."""
    out = tmp_path_factory.mktemp("two")
    run_in_two(training_steps.main, str(out), *TWICE)
    return out


@pytest.mark.parametrize("name", TWICE)
def test_two_processes_are_one_with_the_same_batch(name: str, two_processes: Path) -> None:
    two = torch.load(two_processes / f"{name}.pt")
    one = training_steps.trainer(load_recipe(name, "full", training_steps.SMALL))
    one.run(steps=20)
    losses = torch.tensor([row[2] for row in one.history])
    assert len(losses) == 20 and losses.std() > 1e-3
    torch.testing.assert_close(two["history"][:, 2].float(), losses, atol=1e-5, rtol=0)
    for key, value in one.model.state_dict().items():
        torch.testing.assert_close(two["model"][key], value, atol=1e-4, rtol=0)


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


def test_a_head_that_gives_no_numbers_is_named(encoder: str, pictures) -> None:
    root, path, _ = pictures
    images = read_labels_csv(path, root)
    store = VectorStore(path.parent / "vectors")
    recipe = load_recipe("happier", "head")
    work = HeadTraining(images, recipe, load_encoder(encoder), store, Processes(), False)
    assert bool(work.embedded("test").isfinite().all())
    with torch.no_grad():
        work.model.linear.weight[0, 0] = torch.nan
    first, number = images.part("test").paths[0], len(images.part("test").paths)
    message = f"{first}: the network gives NaN .* this picture, the first of {number}. Take"
    with pytest.raises(InputError, match=message):
        work.embedded("test")


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


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """The setting of a file of random weights for `test_resnet`."""
    torch.manual_seed(0)
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "weights.pt")
    return f"pretrained={tmp_path / 'weights.pt'}"


def test_frozen_batch_norm_keeps_its_statistics_and_learns_scale_and_shift(weights: str) -> None:
    settings = ["backbone=test_resnet", weights, "warmup_epochs=0", "lr=1e-3", "dim=8"]
    settings += ["crop=32", "batch_size=8", "images_per_class=2"]
    model = build_model(load_recipe("nsm", "full", settings))
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    pictures = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    trainer = Trainer(
        model,
        load_recipe("nsm", "full", settings),
        torch.arange(16)[:, None] // torch.tensor([4, 8]),
        lambda epoch, first, shares: (pictures[share.images] for share in shares),
    )
    # A block's last scale starts at 0: its other norms have a gradient from the second step on.
    trainer.run(steps=3)
    after = model.backbone.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    norms = {name.rpartition(".")[0] for name in before if "running_mean" in name}
    assert {"bn1", "layer4.0.bn1"} <= norms
    assert {f"{norm}.{name}" for norm in norms for name in ("weight", "bias")} <= moved
    assert not [name for name in moved if "running" in name or "num_batches" in name]


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


def test_frozen_parameters_do_not_learn_after_the_warm_up(weights: str) -> None:
    settings = ["backbone=test_resnet", weights, "freeze_batch_norm=all", "dim=8"]
    settings += ["crop=32", "batch_size=8", "images_per_class=2", "warmup_epochs=1", "lr=0.1"]
    recipe = load_recipe("triplet", "full", settings)
    model = build_model(recipe)
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    pictures = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    trainer = Trainer(
        model,
        recipe,
        torch.arange(16)[:, None] // torch.tensor([4, 8]),
        lambda epoch, first, shares: (pictures[share.images] for share in shares),
    )
    trainer.run(steps=2 * len(trainer.sampler))
    norms = {name.rpartition(".")[0] for name in before if "running_mean" in name}
    moved = {
        name.rpartition(".")[0]
        for name, value in model.backbone.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert norms and "conv1" in {name.split(".")[0] for name in moved}
    assert not moved & norms


def test_gem_pools_between_average_and_maximum() -> None:
    settings = ["backbone=test_resnet", "pretrained=no", "pooling=gem", "dim=8", "crop=32"]
    settings += ["freeze_batch_norm=false"]
    model = build_model(load_recipe("triplet", "full", settings))
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 8)
    assert not any("exponent" in name for name, _ in model.backbone.named_parameters())
    features = torch.rand(2, 5, 3, 4) + 0.1
    for exponent, expected in ((1.0, features.mean((2, 3))), (200.0, features.amax((2, 3)))):
        pooled = GeM(exponent)(features)
        torch.testing.assert_close(pooled, expected, atol=0.0, rtol=0.03)
        assert pooled.requires_grad


def test_gem_pools_the_positions_of_either_layout() -> None:
    def pooled(maps: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
        rows = [[channel.flatten() for channel in each] for each in maps]
        means = [[(v**exponent).sum() / len(v) for v in row] for row in rows]
        return torch.stack([torch.cat([m ** (1 / exponent) for m in row]) for row in means])

    maps = torch.rand(2, 5, 3, 4, dtype=torch.float64) + 0.1
    results = []
    for layout in ("plain", "memory", "axes"):
        own = maps.clone().requires_grad_()
        given = own.permute(0, 2, 3, 1) if layout == "axes" else own
        if layout == "memory":
            given = own.to(memory_format=torch.channels_last)
        gem = GeM(2.5, channels_last=layout == "axes").double()
        found = gem(given)
        results.append(
            (found.detach(), *torch.autograd.grad(found.pow(2).sum(), [own, gem.exponent]))
        )
    own, exponent = maps.clone().requires_grad_(), gem.exponent
    found = pooled(own, exponent)
    expected = (found.detach(), *torch.autograd.grad(found.pow(2).sum(), [own, exponent]))
    for result in results:
        torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)


def test_gem_of_a_backbone_whose_channels_are_last() -> None:
    settings = ["backbone=swin_tiny_patch4_window7_224", "pretrained=no", "pooling=gem", "dim=8"]
    model = build_model(load_recipe("nsm", "full", settings)).eval()
    pixels = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        maps = model.backbone(pixels)
        assert maps.shape == (1, 7, 7, 768)
        expected = maps.clamp(min=1e-6).pow(3).mean((1, 2)).pow(1 / 3)
        torch.testing.assert_close(model.features(pixels), expected)
    assert model(pixels).shape == (1, 8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["backbone=timm:test_vit@weights.pt", "pooling=gem"], "gives no map of features: 'gem'"),
        (["backbone=vit_tiny_patch16_224", "pretrained=no"], "vit_tiny.*takes no pictures of this"),
        (
            ["backbone=resnet500"],
            r"^backbone: timm has no model 'resnet500'. Close names: .*resnet",
        ),
        (["backbone=test_resnet.no_tag"], r"'test_resnet.no_tag'. Close names: test_resnet.r160"),
        (["backbone=botnet50ts_256"], "no weights of 'botnet50ts_256'.*timm:botnet50ts_256@FILE"),
        (["backbone=ENCODER", "pooling=max"], "pools by itself: 'max'"),
        (["backbone=ENCODER", "pretrained=w.pt"], "brings its own weights: 'w.pt'"),
        (["backbone=ENCODER", "pretrained=no"], "brings its own weights: 'no'"),
    ],
)
def test_what_a_backbone_cannot_do_is_one_sentence(
    settings: list[str], message: str, encoder: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(timm.create_model("test_vit").state_dict(), "weights.pt")
    settings = [each.replace("ENCODER", encoder) for each in settings]
    with pytest.raises(InputError, match=message):
        build_model(load_recipe("nsm", "full", [*settings, "crop=32"]))


def test_weights_that_cannot_be_fetched_name_the_ways_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    said = r"timm:resnet50.tv_in1k could not be fetched.*@FILE.*--set backbone=registry"
    with pytest.raises(RetryError, match=said):
        build_model(load_recipe("nsm", "full"))


def test_a_transformer_has_the_vectors_of_its_encoder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(timm.create_model("test_vit").state_dict(), tmp_path / "weights.pt")
    spec = f"timm:test_vit@{tmp_path / 'weights.pt'}"
    recipe = load_recipe("nsm", "full", [f"backbone={spec}", "crop=160"])
    model = build_model(recipe).eval()
    tower, mean, std = load_encoder(spec).image_tower()
    torch.testing.assert_close(model.mean, torch.as_tensor(mean))
    torch.testing.assert_close(model.std, torch.as_tensor(std))
    pixels = torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        torch.testing.assert_close(model.features(pixels), tower(pixels))
    (tmp_path / "weights.pt").unlink()  # a trained model needs it no more
    build_model(recipe, weights_follow=True).load_state_dict(model.state_dict())


def test_random_weights_with_frozen_statistics_are_refused() -> None:
    recipe = load_recipe("nsm", "full", ["backbone=test_resnet", "pretrained=no", "crop=32"])
    with pytest.raises(InputError, match="untrained statistics"):
        build_model(recipe)


def test_batches_smaller_than_the_number_of_processes_are_refused() -> None:
    recipe = load_recipe("nsm", "full", training_steps.SMALL)
    trainer = training_steps.trainer(recipe, Processes(0, 19))
    with pytest.raises(InputError, match=r"18 images for 19 processes: .*fewer processes"):
        trainer.run()


def test_an_epoch_without_batches_is_refused() -> None:
    settings = [*training_steps.SMALL, "order=published", "images_per_class=6"]
    with pytest.raises(InputError, match=r"smallest batch has 0 images.*order=every-image"):
        training_steps.trainer(load_recipe("nsm", "full", settings)).run()


def test_unsynchronised_batch_norm_is_refused(pictures) -> None:
    root, path, _ = pictures
    settings = ["backbone=test_resnet", "pretrained=no", "crop=32", "freeze_batch_norm=false"]
    recipe = load_recipe("nsm", "full", settings)
    with pytest.raises(InputError, match="cannot be synchronised"):
        FullTraining(read_labels_csv(path, root), recipe, 0, 0, Processes(0, 2), False)


def test_processes_wait_for_one_that_works_for_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of gloo the limit would be half an hour, of NCCL ten minutes."""
    limits = []

    def group(backend: str, timeout: timedelta) -> str:
        limits.append(timeout)
        return "host"

    used = []

    def reduce(value: torch.Tensor, group: str | None = None) -> None:
        used.append(group)

    monkeypatch.setenv("WORLD_SIZE", "2")
    # Calls of the default group, between GPUs, keep the short limit.
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend: None)
    monkeypatch.setattr(torch.distributed, "new_group", group)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    monkeypatch.setattr(torch.distributed, "all_reduce", reduce)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: None)
    with process_group() as processes:
        assert not processes.any(False)
    assert limits[0] >= timedelta(days=1)
    assert used == ["host", "host"]  # the second at the end


@pytest.mark.parametrize(("cards", "left"), [(0, 1), (2, 0)])
def test_a_failure_does_not_wait_for_the_others(cards, left, monkeypatch) -> None:
    """Torchrun ends them. NCCL's teardown would wait for calls that they never make."""
    ended = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cards > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend: None)
    monkeypatch.setattr(torch.distributed, "new_group", lambda **how: None)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: ended.append(1))
    with pytest.raises(OSError, match="full"), process_group():
        raise OSError("full")
    assert len(ended) == left


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


def test_train_head_is_its_seed() -> None:
    inputs, labels = training_steps.points()
    recipe = load_recipe("happier", "head", ["epochs=2"])
    before = torch.get_rng_state()
    one, again, other = (train_head(inputs, labels + 7, recipe, seed) for seed in (0, 0, 1))
    assert same(one.state_dict(), again.state_dict())
    assert not same(one.state_dict(), other.state_dict())
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


class TestCheckpoints:
    def trainer(self, **settings: float) -> Trainer:
        own = [f"{key}={value}" for key, value in settings.items()]
        trainer = training_steps.trainer(self.recipe(own))
        trainer.run(steps=3)
        return trainer

    def recipe(self, settings: list[str] | None = None) -> Recipe:
        return load_recipe("happier", "full", [*training_steps.SMALL, *(settings or ())])

    def test_another_training_is_refused_with_every_difference(self, tmp_path: Path) -> None:
        path = tmp_path / "c.pt"
        checkpoint.save(path, self.trainer(), ABOUT)
        with pytest.raises(InputError) as error:
            checkpoint.load(path, self.trainer(), {"recipe": "yours", "seed": 2})
        assert [problem.column for problem in error.value.problems] == ["recipe", "seed"]

    def test_a_changed_recipe_names_the_changed_settings(self, tmp_path: Path) -> None:
        path = tmp_path / "c.pt"
        about = ABOUT | {"recipe": self.recipe().as_dict()}
        checkpoint.save(path, self.trainer(), about)
        other = about | {"recipe": self.recipe(["lr=0.5", "epochs=7"]).as_dict()}
        with pytest.raises(InputError, match=r"it has 0\.001, not 0\.5") as error:
            checkpoint.load(path, self.trainer(), other)
        columns = [problem.column for problem in error.value.problems]
        assert columns == ["recipe.epochs", "recipe.lr"]
        with pytest.raises(InputError, match="on other paths, labels or splits") as error:
            checkpoint.load(path, self.trainer(), about | {"data": "0123abcd"})
        assert "0123abcd" not in str(error.value)

    def test_what_no_step_depends_on_may_change(self, tmp_path: Path) -> None:
        path = tmp_path / "c.pt"
        checkpoint.save(path, self.trainer(), ABOUT | {"recipe": self.recipe().as_dict()})
        settings = ["title=mine", "checkpoint_every=7", "report_recall_at=[2]"]
        other = self.trainer()
        checkpoint.load(path, other, ABOUT | {"recipe": self.recipe(settings).as_dict()})
        assert other.step == 3

    @pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
    def test_truncated_is_refused(self, tmp_path: Path, kept: float) -> None:
        path = tmp_path / "c.pt"
        trainer = self.trainer()
        checkpoint.save(path, trainer, ABOUT)
        content = path.read_bytes()
        path.write_bytes(content[: int(kept * len(content))])
        with pytest.raises(InputError, match="damaged checkpoint"):
            checkpoint.load(path, trainer, ABOUT)

    def test_something_else_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "c.pt"
        torch.save([1, 2], path)
        with pytest.raises(InputError, match="damaged checkpoint"):
            checkpoint.load(path, self.trainer(), ABOUT)

    @pytest.mark.parametrize("part", ["model", "loss"])
    def test_weights_that_are_no_numbers_are_named(self, tmp_path: Path, part: str) -> None:
        path = tmp_path / "c.pt"
        trainer = self.trainer()
        name, weight = list(getattr(trainer, part).named_parameters())[-1]
        with torch.no_grad():
            weight.view(-1)[0] = torch.nan
        checkpoint.save(path, trainer, ABOUT)
        with pytest.raises(InputError, match=rf"c\.pt: weights hold NaN .*\({name}\)"):
            checkpoint.load(path, self.trainer(), ABOUT)

    def test_full_disk_keeps_the_one_before(self, tmp_path: Path) -> None:
        path = tmp_path / "c.pt"
        trainer = self.trainer()
        checkpoint.save(path, trainer, ABOUT)
        before = path.read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
            with pytest.raises(RetryError, match=r"could not be\s+written .*one before is kept"):
                checkpoint.save(path, trainer, ABOUT)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        assert path.read_bytes() == before
        assert [entry.name for entry in tmp_path.iterdir()] == ["c.pt"]
