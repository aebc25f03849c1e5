"""A tiny open_clip model whose alignment is planted: images of a colour match a class's prompt."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional

Colour = tuple[int, int, int]
PLANT: dict[str, Colour] = {
    "church": (200, 30, 30),
    "mountain": (30, 180, 40),
    "bridge": (40, 50, 210),
}
CONFIG = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {
            "layers": 1,
            "width": 32,
            "head_width": 16,
            "patch_size": 16,
            "image_size": 32,
        },
        "text_cfg": {"layers": 1, "width": 32, "heads": 2, "context_length": 24},
    },
    "preprocess_cfg": {"size": 32, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
}


def make_tiny_clip(
    folder: Path,
    plant: Mapping[str, Colour] = PLANT,
    others: Sequence[str] = (),
    templates: Sequence[str] = ("{}", "A picture of a {}"),
    steps: int = 120,
) -> str:
    """Trains two towers of one layer for a few seconds and writes them for open_clip.

    Args:
        folder: created; gets `open_clip_config.json` and weights.
        plant: class name to the colour whose images it shall match.
        others: names that must match none of the colours.
        templates: prompts the match is learnt for.
        steps: training steps.

    Returns:
        The encoder specification, `local-dir:FOLDER`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
        tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        names = [*plant, *others]
        prompts = tokenizer([prompt.replace("{}", name) for prompt in templates for name in names])
        colours = torch.tensor(list(plant.values()), dtype=torch.float32)
        target = torch.arange(len(plant)).repeat_interleave(8)
        model.logit_scale.requires_grad_(False).fill_(math.log(20))
        model.token_embedding.requires_grad_(False)  # 49,408 words: not worth the time
        optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 3e-3)
        for _ in range(steps):
            pixels = colours[target] + 25 * torch.randn(len(target), 3)
            images = (pixels / 127.5 - 1)[:, :, None, None].expand(-1, -1, 32, 32)
            image_vectors = model.encode_image(images, normalize=True)
            texts = model.encode_text(prompts, normalize=True).reshape(len(templates), -1, 16)
            loss = torch.stack(
                [functional.cross_entropy(20 * image_vectors @ text.T, target) for text in texts]
            ).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    save_file(
        {name: tensor.contiguous() for name, tensor in model.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    return f"local-dir:{folder}"


def colour_image(
    path: Path, colour: Colour, seed: int = 0, size: tuple[int, int] = (48, 40)
) -> Path:
    """Writes an image of one colour with a little noise; the folder is created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(-15, 16, (size[1], size[0], 3))
    Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)).save(path)
    return path
