"""Recipes: the shipped ones are as documented, and wrong ones are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from strata_labels.errors import InputError
from strata_labels.losses import ClusterLoss, SupHAPLoss
from strata_labels.training import Recipe, explain_recipe, load_recipe, recipe_names
from strata_labels.training.criterion import criterion
from strata_labels.training.idle_settings import idle_settings
from strata_labels.training.image_loading import plain_transform, random_transform
from torchvision.transforms import functional


@pytest.mark.parametrize("name", recipe_names())
@pytest.mark.parametrize("mode", ["full", "head"])
def test_every_shipped_recipe_makes_a_loss(name: str, mode) -> None:
    recipe = load_recipe(name, mode)
    depth = len(recipe.csl_margins) or 3
    classes = torch.arange(6)[:, None] // torch.tensor([1, *(2,) * (depth - 1)])
    loss = criterion(recipe, classes, 4)
    embeddings = torch.nn.functional.normalize(torch.randn(12, 4), dim=1).requires_grad_()
    value = loss(embeddings, classes.repeat_interleave(2, 0))
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(embeddings.grad).all()


@pytest.mark.parametrize("mode", ["full", "head"])
def test_plain_recipes_differ_in_loss_and_sampler_alone(mode) -> None:
    own = ("title", "losses", "weights", "sampler")
    plain = [
        {key: value for key, value in load_recipe(name, mode).as_dict().items() if key not in own}
        for name in recipe_names()
        if "-" not in name.removesuffix("-f")
    ]
    assert len(plain) >= 9
    assert all(one == plain[0] for one in plain)


def test_loss_has_the_recipe_s_values() -> None:
    recipe = load_recipe("happier-inat-base", "full", ["h_rank=[25, 0.5, 10]", "tau=0.02"])
    sup_hap, cluster = criterion(recipe, torch.arange(5)[:, None], 4).losses
    assert isinstance(sup_hap, SupHAPLoss) and isinstance(cluster, ClusterLoss)
    assert (sup_hap.surrogate.tau, sup_hap.surrogate.start, sup_hap.surrogate.offset) == (
        0.02,
        0,
        1,
    )
    assert (sup_hap.h_rank.beta, sup_hap.h_rank.gamma, sup_hap.h_rank.leak) == (25, 0.5, 10)


@pytest.mark.parametrize(
    ("levels", "margins"), [(1, [0.25]), (2, [0.25, 0.45]), (3, [0.25, 0.35, 0.45])]
)
def test_margins_of_any_number_of_levels(levels: int, margins: list[float]) -> None:
    """In double precision: those of three levels are published."""
    classes = torch.arange(4)[:, None] // torch.tensor([1, 2, 4])[:levels]
    loss = criterion(load_recipe("csl-gldv2", "full"), classes, 4).losses[0]
    assert loss.margins == pytest.approx(margins, abs=1e-15)


def test_everything_wrong_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        'extends = "happier"\nlearning_rate = 1\nlr = "fast"\nepochs = 1.5\nlayer_norm = 1\n'
        'sampler = "random"\ntau = 0\nweights = [1, "x"]\n[head]\nlosses = "suphap"\nnone = 1\n'
    )
    with pytest.raises(InputError) as error:
        load_recipe(str(path), "full", ["lr", "foo=1", "clip=-1", "memory=nan"])
    columns = [problem.column for problem in error.value.problems]
    assert columns == [
        *(None, "learning_rate", "lr", "epochs", "layer_norm", "sampler", "tau", "weights"),
        *("foo", "clip", "memory", "head.losses", "head.none"),
    ]


def test_contradictions_are_listed() -> None:
    settings = ['losses=["supap", "suphap"]', "weights=[1]", "h_rank=[1]", "batch_size=4"]
    with pytest.raises(InputError) as error:
        load_recipe("happier", "full", [*settings, "recall_at=[]"])
    columns = [problem.column for problem in error.value.problems]
    assert columns == ["weights", "h_rank", "batch_size", "recall_at"]
    with pytest.raises(InputError, match=r"losses.*'suphap'.* or 'triplet': 'hap'"):
        load_recipe("happier", "full", ['losses=["suphap", "hap"]'])


@pytest.mark.parametrize(
    ("setting", "column"),
    [
        ("min_scale=2", "max_scale"),
        ("max_scale=0.1", "max_scale"),
        ("min_ratio=2", "max_ratio"),
        ("max_ratio=0.1", "max_ratio"),
        ("crop=300", "crop"),
        ("resize=200", "crop"),
        ("h_rank=[-1, 0, 0]", "h_rank"),
        ("rho=1e308", "rho"),
        ("tau=1e-300", "tau"),
        ("positive_margin=1e300", "positive_margin"),
        ("weights=[0, 0]", "weights"),
        ("weights=[-1, 1]", "weights"),
        ("proxy_lr_end=-5", "proxy_lr_end"),
    ],
)
@pytest.mark.parametrize("mode", ["full", "head"])
def test_values_that_no_training_can_use_are_refused(setting: str, column: str, mode) -> None:
    with pytest.raises(InputError) as error:
        load_recipe("happier", mode, [setting])
    assert [problem.column for problem in error.value.problems] == [column]


def test_random_crops_may_be_of_one_scale_or_not_resized() -> None:
    assert load_recipe("happier", "full", ["max_scale=0"]).max_scale == 0
    assert load_recipe("happier", "full", ["max_scale=0", "min_ratio=2"]).min_ratio == 2
    assert load_recipe("happier", "full", ["min_scale=1"]).min_scale == 1


@pytest.mark.parametrize(
    ("name", "settings", "column"),
    [
        ("roadmap", ["level=2"], "level"),
        ("triplet", ["level=9"], "level"),
        ("csl", ["csl_margins=[0.1]"], "csl_margins"),
        ("csl-inat-full", [], "csl_margins"),
        ("nsm", ["level=2", "csl_margins=[0.1]"], None),  # not of this loss
    ],
)
def test_a_recipe_for_other_levels_is_refused(name: str, settings, column: str | None) -> None:
    recipe = load_recipe(name, "full", settings)
    classes = torch.arange(6)[:, None] // torch.tensor([1, 3])
    if column is None:
        criterion(recipe, classes, 4)
        return
    with pytest.raises(InputError, match="of which the labels have 2:") as error:
        criterion(recipe, classes, 4)
    assert [problem.column for problem in error.value.problems] == [column]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("lr = [", "not TOML"),
        ('extends = "own.toml"', "extends itself"),
        ('extends = "nothing"\nbatch_size = 2', "no such recipe"),
        ("extends = 3\nclip = -1", "not text"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, what: str
) -> None:
    """What other settings depend on is not known: no loss, so no weights fit."""
    monkeypatch.chdir(tmp_path)
    Path("own.toml").write_text(text)
    with pytest.raises(InputError) as error:
        load_recipe("own.toml", "full", ["weights=[1.0]", "clip=-1", "lr"])
    assert [problem.what.split(" (")[0].rstrip(":") for problem in error.value.problems] == [what]


def test_a_file_may_be_a_path_and_the_mode_is_one_of_two(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('extends = "nsm"\ntau = 0.5')
    assert load_recipe(path, "head").tau == 0.5
    for mode in ("heads", "Full", None):
        with pytest.raises(ValueError, match="mode must be full or head, got"):
            load_recipe("nsm", mode)  # type: ignore[arg-type]


def test_of_a_table_that_is_none_nothing_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("full = 3")
    with pytest.raises(InputError) as error:
        load_recipe(str(path), "full", ["clip=-1"])
    assert [problem.column for problem in error.value.problems] == ["full", "clip"]
    for text in ("lr = 1", "", "# mine\n[head]\n[full]"):
        path.write_text(text)
        with pytest.raises(InputError, match="list should have at least 1 item, not 0"):
            load_recipe(str(path), "full")


@pytest.mark.parametrize(
    "text", ['title = "x', 'extends = "nothing"', "extends = 3", 'title = "x"']
)
def test_broken_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(InputError):
        load_recipe(str(path), "full")


def test_own_recipe_starts_from_a_shipped_one(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('extends = "happier"\nlr = 1e-3\n[head]\nepochs = 3\n')
    assert load_recipe(str(path), "full").lr == 1e-3
    assert load_recipe(str(path), "full").epochs == 100
    assert load_recipe(str(path), "head").epochs == 3
    assert load_recipe(str(path), "head", ["epochs=4", "backbone=vit_tiny"]).epochs == 4
    assert load_recipe(str(path), "head", ["backbone=vit_tiny"]).backbone == "vit_tiny"


def test_a_backbone_may_be_written_as_an_encoder_of_timm(tmp_path: Path) -> None:
    both = load_recipe("nsm", "full", ["pretrained=no", "backbone=timm:test_resnet@w.pt"])
    assert (both.backbone, both.pretrained) == ("test_resnet", "w.pt")
    name = load_recipe("nsm", "full", ["backbone=timm:test_resnet"])
    assert (name.backbone, name.pretrained) == ("test_resnet", "yes")
    path = tmp_path / "own.toml"
    path.write_text('extends = "nsm"\nbackbone = "timm:test_resnet@w.pt"\n')
    found = {each.key: each for each in explain_recipe(str(path), "full")}
    assert found["pretrained"].value == "w.pt"
    assert found["pretrained"].origin == f"{path}: backbone"


def test_unknown_recipe_names_the_known() -> None:
    with pytest.raises(InputError, match="happier-sop"):
        load_recipe("hapier", "full")


def test_explanation_names_the_file_of_every_setting(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('extends = "happier-inat-full-eccv2022"\nlr = 1e-3\n[full]\nclip = 1.0\n')
    found = {each.key: each for each in explain_recipe(str(path), "full", ["epochs=3"])}
    assert found.keys() == Recipe.model_fields.keys()
    origins = {key: each.origin for key, each in found.items()}
    assert origins["lr"] == f"{path}: lr" and origins["clip"] == f"{path}: full.clip"
    assert origins["epochs"] == "--set: epochs" and found["epochs"].value == 3
    assert origins["proxy_lr"] == "happier.toml: inat.eccv2022.proxy_lr"
    assert origins["start"] == "happier.toml: inat.start"
    assert origins["lr_end"] == "_inat-base.toml: lr_end"
    assert origins["data_set"] == "_inat-full.toml: data_set"
    assert origins["tau"] == "default"


def test_transforms_are_the_published_ones() -> None:
    picture = Image.effect_noise((300, 500), 80).convert("RGB")
    pixels = functional.pil_to_tensor
    squashed = functional.center_crop(functional.resize(picture, [256, 256]), [224, 224])
    plain = functional.center_crop(functional.resize(picture, 256), [224, 224])
    for name, expected in (("happier-sop", squashed), ("happier-inat-base", plain)):
        recipe = load_recipe(name, "full")
        assert torch.equal(plain_transform(recipe)(picture), pixels(expected))
    assert plain_transform(load_recipe("happier-gldv2", "full"))(picture).shape[1] == 224
    crops = random_transform(load_recipe("happier-sop", "full")).transforms
    assert crops[0].size == 256 and crops[1].interpolation.value == "bilinear"


@pytest.mark.parametrize(
    ("setting", "mode", "reason"),
    [
        ("lr=0.5", "head", "without effect in head mode, which has no backbone. Set head_lr."),
        ("crop=64", "head", "without effect on a head on an encoder's vectors"),
        ("whitening=0.4", "full", "without effect on a whole network"),
        ("super_classes=3", "full", "without effect beside sampler=m-per-class"),
        ("milestones=[3]", "full", "without effect beside schedule=cosine"),
        ("h_rank=[25, 0.5, 10]", "head", "without effect beside losses cluster"),
        ("proxy_lr=1.0", "head", ""),
        ("min_scale=0.2", "full", ""),
        ("head_lr=1e-3", "full", ""),
    ],
)
def test_settings_without_effect_are_named(setting: str, mode, reason: str) -> None:
    key = setting.partition("=")[0]
    settings = [setting, *(["identity=true"] if key == "whitening" else [])]
    found = {each.key: each for each in explain_recipe("nsm", mode, settings)}
    assert found[key].asked and found[key].idle.startswith(reason)
    assert bool(found[key].idle) == bool(reason)
    assert not found["title"].asked


def test_every_setting_of_idle_settings_is_one() -> None:
    recipe = Recipe(losses=["suphap"], weights=[1.0], schedule="constant", max_scale=0.0)
    for mode in ("head", "full"):
        assert {key for key, _ in idle_settings(recipe, mode)} <= set(Recipe.model_fields)
