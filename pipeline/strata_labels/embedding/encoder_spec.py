"""Reads an encoder specification (`--encoder`) and its local files, without importing torch."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from strata_labels.embedding.registry import registry_digest
from strata_labels.errors import InputError, Problem
from strata_labels.files import sha256_of, user_cache, write_text

CONFIG = "open_clip_config.json"
FORMS = (
    "Give MODEL/TAG (such as ViT-L-14/laion2b_s32b_b82k), MODEL/path-to-a-checkpoint, "
    "local-dir:FOLDER, registry, or for images alone timm:NAME or timm:NAME@FILE."
)
_TIMM = "timm:"
# What an encoder is made of: configuration, weights, tokenizer.
_PARTS = {".json", ".txt", ".model", ".safetensors", ".bin", ".pth", ".pt", ".npz"}


@dataclass(frozen=True)
class EncoderSpec:
    """A checked encoder specification.

    Attributes:
        text: as the user wrote it.
        id: stable identity: equal for equal weights, whatever folder they are in.
        aligned: whether text and image vectors share one space.
        kind: `registry`, `tag`, `checkpoint`, `local-dir` or `timm`; the last has no texts.
        model: the model's name at open_clip or timm, or `local-dir:FOLDER`; empty for `registry`.
        pretrained: tag or checkpoint file, where the model has one.
        resize: shorter side in pixels before the centre crop, where it is not the crop's size.
    """

    text: str
    id: str
    aligned: bool
    kind: str
    model: str = ""
    pretrained: str | None = None
    resize: int | None = None


def resolve_spec(spec: str) -> EncoderSpec:
    """Checks a specification and identifies the encoder.

    Args:
        spec: `registry`, `MODEL/TAG`, `MODEL/path-to-a-checkpoint`, `local-dir:FOLDER`,
            `timm:NAME` or `timm:NAME@FILE`. A folder's `open_clip_config.json` may carry
            `"strata": {"aligned": false}` where its towers do not share a space, and `"resize"` in
            pixels.

    Raises:
        InputError: none of these forms, a missing folder or file, a missing extra.
    """
    if spec == "registry":
        return EncoderSpec(spec, f"registry@{registry_digest()[:16]}", False, "registry")
    if spec.startswith("local-dir:"):
        return _local_dir(spec)
    if spec.startswith(_TIMM):
        return _timm(spec)
    model, _, rest = spec.partition("/")
    if not model or not rest:
        raise InputError(Problem("--encoder", "names no encoder:", FORMS, value=spec))
    if Path(rest).is_file():
        name = f"{model}@{sha256_of(Path(rest))[:16]}"
        return EncoderSpec(spec, name, True, "checkpoint", model, rest)
    if Path(rest).suffix in _PARTS:
        raise InputError(Problem("--encoder", "no such checkpoint:", FORMS, value=rest))
    return EncoderSpec(spec, spec, True, "tag", model, rest)


def encoder_names() -> list[str]:
    """Specifications that need no file of one's own: `registry`, open_clip's `MODEL/TAG`, and
    timm's `timm:NAME`.

    The list is kept in the user's cache by the versions of the two packages, which take seconds to
    import.
    """
    versions = "-".join(version(package) for package in ("open_clip_torch", "timm"))
    kept = user_cache() / f"encoders-{versions}.txt"
    with suppress(OSError):
        return kept.read_text(encoding="utf-8").splitlines()
    import timm
    from open_clip import list_pretrained

    both = sorted(f"{model}/{tag}" for model, tag in list_pretrained())
    names = ["registry", *both, *(_TIMM + name for name in timm.list_pretrained())]
    with suppress(OSError):  # a home that cannot be written to: slower, and that is all
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_text(kept, "\n".join(names) + "\n")
    return names


def encoder_files(spec: str) -> list[Path]:
    """Local files a specification names; a tag of the hub stands for itself."""
    folder = Path(spec.removeprefix("local-dir:"))
    if spec.startswith("local-dir:"):
        return sorted(path for path in folder.rglob("*") if path.is_file())
    file = Path(spec.partition("@" if spec.startswith(_TIMM) else "/")[2])
    return [file] if file.is_file() else []


def _timm(spec: str) -> EncoderSpec:
    name, at, file = spec.removeprefix(_TIMM).partition("@")
    if not name or (at and not file):
        raise InputError(Problem("--encoder", "names no encoder:", FORMS, value=spec))
    if not at:
        return EncoderSpec(spec, spec, False, "timm", name)
    if not Path(file).is_file():
        fix = "Give a file of weights that timm reads, such as model.safetensors."
        raise InputError(Problem("--encoder", "no such file of weights:", fix, value=file))
    identity = f"{_TIMM}{name}@{sha256_of(Path(file))[:16]}"
    return EncoderSpec(spec, identity, False, "timm", name, file)


def _local_dir(spec: str) -> EncoderSpec:
    folder = Path(spec.removeprefix("local-dir:"))
    path = folder / CONFIG
    if not path.is_file():
        fix = "Give a folder with open_clip_config.json, weights and tokenizer files."
        raise InputError(Problem("--encoder", f"no {CONFIG} in", fix, value=str(folder)))
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        strata = config.get("strata", {})
        aligned, resize = strata.get("aligned", True), strata.get("resize")
        text = config["model_cfg"]["text_cfg"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        fix = "It needs open_clip's `model_cfg` with `text_cfg`, and may have `strata`."
        raise InputError(Problem(path, f"not a configuration ({error!r})", fix)) from None
    if not isinstance(aligned, bool) or not isinstance(resize, int | None):
        fix = 'Write "strata": {"aligned": true or false, "resize": pixels}.'
        raise InputError(Problem(path, "not understood:", fix, column="strata", value=strata))
    digest = _digest(folder, config, text)
    return EncoderSpec(spec, f"local-dir@{digest[:16]}", aligned, "local-dir", spec, None, resize)


def _digest(folder: Path, config: dict[str, Any], text: dict[str, Any]) -> str:
    """Digest of a folder's contents, independent of its path and its text model's path."""
    parts = [path for path in folder.iterdir() if path.name != CONFIG]
    for key in ("hf_model_name", "hf_tokenizer_name"):
        other = Path(str(text.get(key) or ""))
        if other.is_absolute() and other.is_dir():
            parts += other.iterdir() if not other.samefile(folder) else []
            text[key] = "folder"
    files = sorted(
        (path.name, sha256_of(path)) for path in parts if path.is_file() and path.suffix in _PARTS
    )
    return hashlib.sha256(json.dumps([config, files], sort_keys=True).encode()).hexdigest()
