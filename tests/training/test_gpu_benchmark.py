"""The script for a GPU runs, small, on a CPU, so that it does not fail where time is short."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import gpu


def test_it_runs_and_finds_agreement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = ["--batch", "64", "--items", "300", "--classes", "100", "--steps", "4"]
    small += ["--network-batch", "8", "--backbone", "test_resnet", "--device", "cpu"]
    small += ["--images", "8", "--model", "ViT-S-32-alt"]
    out = tmp_path / "out.json"
    monkeypatch.setattr(sys, "argv", ["gpu.py", *small, "--json", str(out)])
    gpu.main()
    results = json.loads(out.read_text())
    assert results["two processes"]["largest_difference"] < 1e-5
    agreement = results["agreement with double precision"]
    assert all(value < 1e-4 for key, value in agreement.items() if "bf16" not in key), agreement
    for rates in ("test_resnet, full mode", "ViT-S-32-alt, encoding"):
        assert results[rates]["images_per_second"] > 0
