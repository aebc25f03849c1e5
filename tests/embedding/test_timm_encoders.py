"""Encoders of timm: image vectors as timm itself gives them, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from encoding import encode_images, encode_texts, timm_weights
from strata_labels.embedding import (
    Encoder,
    VectorStore,
    embed_images,
    load_encoder,
    timm_network,
)
from strata_labels.errors import InputError, RetryError
from strata_labels.pictures import open_picture
from tiny_clip import PLANT, colour_image

GREEN = PLANT["mountain"]


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    return [colour_image(tmp_path / f"{n}.png", GREEN, n, (300 - 40 * n, 200)) for n in range(3)]


# Their data configurations differ in interpolation.
@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_vectors_are_those_of_timm(name: str, tmp_path: Path, images: list[Path]) -> None:
    file = timm_weights(tmp_path, name)
    encoder = load_encoder(f"timm:{name}@{file}")
    model = timm.create_model(name, checkpoint_path=str(file)).eval()
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=model))
    with torch.inference_mode():
        pixels = torch.stack([transform(open_picture(path)) for path in images])
        features = model.forward_head(model.forward_features(pixels), pre_logits=True)
    expected = torch.nn.functional.normalize(features, dim=1).numpy()
    found = encode_images(encoder, images)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (found[:1] == encode_images(encoder, images[:1])).all()
    assert encoder.image_dim == expected.shape[1] and not encoder.aligned
    _, mean, std = encoder.image_tower()
    expected = model.pretrained_cfg
    assert torch.equal(torch.stack([mean, std]), torch.tensor([expected["mean"], expected["std"]]))


def test_the_id_depends_on_name_and_weights_not_on_the_path(
    tmp_path: Path, images: list[Path]
) -> None:
    one = load_encoder(f"timm:test_vit@{timm_weights(tmp_path / 'a', 'test_vit')}")
    same = load_encoder(f"timm:test_vit@{timm_weights(tmp_path / 'b', 'test_vit')}")
    other = load_encoder(f"timm:test_vit@{timm_weights(tmp_path / 'c', 'test_vit', seed=1)}")
    assert one.id == same.id != other.id and one.id.startswith("timm:test_vit@")
    store = VectorStore(tmp_path / "store")
    first, _ = embed_images(store, one, images)
    assert embed_images(store, other, images)[0].tobytes() != first.tobytes()
    assert embed_images(store, same, images)[0].tobytes() == first.tobytes()


def test_weights_without_a_classifier_fit_too(tmp_path: Path, images: list[Path]) -> None:
    file = timm_weights(tmp_path / "headless", "test_vit", num_classes=0)
    assert encode_images(load_encoder(f"timm:test_vit@{file}"), images).shape == (3, 64)


# Their heads have layers beside the classifier.
@pytest.mark.parametrize("name", ["efficientvit_m0", "caformer_s18"])
def test_all_of_a_classifying_head_is_left_out(name: str, tmp_path: Path) -> None:
    file = timm_weights(tmp_path, name)
    network = timm_network(name, file)
    saved = timm.create_model(name, checkpoint_path=str(file)).state_dict()
    for key, value in network.state_dict().items():
        assert torch.equal(value, saved[key]), key


def test_names_are_refused(tmp_path: Path) -> None:
    encoder = load_encoder(f"timm:test_vit@{timm_weights(tmp_path, 'test_vit')}")
    assert not encoder.has_text
    with pytest.raises(InputError, match=r"images alone, no names.*--image-encoder timm:test_vit@"):
        encode_texts(encoder, ["church"])
    with pytest.raises(InputError, match="do not share a space"):
        _ = encoder.logit_scale


def refusal(encoder: Encoder) -> str:
    with pytest.raises(InputError) as caught:
        _ = encoder.image_dim
    return str(caught.value)


def test_all_weights_that_do_not_fit_are_in_one_message(tmp_path: Path) -> None:
    state = dict(timm.create_model("test_vit").state_dict())
    for gone in ("cls_token", "blocks.0.attn.qkv.weight", "norm.bias"):
        del state[gone]
    state["blocks.9.norm1.weight"] = torch.zeros(3)
    state["norm.weight"] = torch.zeros(3)
    torch.save({"state_dict": state}, tmp_path / "weights.pt")
    message = refusal(load_encoder(f"timm:test_vit@{tmp_path}/weights.pt"))
    assert "missing: blocks.0.attn.qkv.weight, cls_token, norm.bias" in message
    assert "unknown: blocks.9.norm1.weight" in message
    assert "of another shape: norm.weight (3,) for (64,)" in message
    (tmp_path / "weights.pt").write_bytes(b"no weights")
    assert "cannot be read as weights" in refusal(
        load_encoder(f"timm:test_vit@{tmp_path}/weights.pt")
    )


def test_weights_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    state = dict(timm.create_model("test_vit").state_dict())
    state["norm.weight"][3] = torch.nan
    torch.save(state, tmp_path / "weights.pt")
    message = refusal(load_encoder(f"timm:test_vit@{tmp_path}/weights.pt"))
    assert f"{tmp_path}/weights.pt: weights hold NaN or infinite numbers (norm.weight)" in message


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("timm:", "names no encoder"),
        ("timm:test_vit@", "names no encoder"),
        ("timm:test_vit@nowhere.safetensors", "no such file of weights"),
        ("timm:vit_tiny_patch61_224", "vit_tiny_patch16_224"),
        ("timm:test_vit.no_such_tag", "test_vit.r160_in1k"),
        ("timm:vit_tiny_patch16_384_no", "timm has no model"),
        ("timm:botnet50ts_256", "timm:botnet50ts_256@FILE"),
    ],
)
def test_a_wrong_specification_is_explained(spec: str, message: str, tmp_path: Path) -> None:
    with pytest.raises((InputError, RetryError), match=message):
        _ = load_encoder(spec).image_dim


def test_unreachable_hub_names_the_ways_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(RetryError, match=r"timm:test_vit could not be fetched.*timm:test_vit@FILE"):
        _ = load_encoder("timm:test_vit").image_dim


def test_an_older_name_of_a_network_is_left_to_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in no list of timm, which knows what it is called now."""
    made = []

    def create(name: str, **how: object) -> torch.nn.Module:
        made.append((name, how))
        return torch.nn.Identity()

    monkeypatch.setattr(timm, "create_model", create)
    timm_network("tf_efficientnet_b0_ns", "published")
    assert made == [("tf_efficientnet_b0_ns", {"pretrained": True, "num_classes": 0})]
