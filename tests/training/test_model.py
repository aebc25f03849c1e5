"""Networks of full mode: pooling, frozen statistics, backbones that cannot be trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from strata_labels.embedding import load_encoder
from strata_labels.errors import InputError, RetryError
from strata_labels.training import (
    load_recipe,
)
from strata_labels.training.model import GeM, build_model
from strata_labels.training.trainer import Trainer


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
