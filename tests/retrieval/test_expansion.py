"""Vectors averaged with their neighbours: precisions, parts and opposite vectors."""

from __future__ import annotations

import pytest
import torch
from strata_labels.retrieval import expand, expansion
from torch.nn.functional import normalize


def unit(n: int, d: int, seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(n, d, generator=generator, dtype=torch.float64), dim=1).to(dtype)


def test_each_vector_keeps_its_precision_whatever_the_gallerys() -> None:
    queries, gallery = unit(7, 5, 0), unit(9, 5, 1, torch.float64)
    found = expand(queries, 3, gallery)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expand(queries, 3, gallery.float()))
    assert expand(queries.double(), 3, gallery.float()).dtype == torch.float64


def test_parts_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = unit(30, 6, 2)
    whole = expand(gallery, 4)
    monkeypatch.setattr(expansion, "_NUMBERS", 50)
    torch.testing.assert_close(expand(gallery, 4), whole)


def test_a_vector_whose_mean_says_nothing_stays() -> None:
    opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert torch.equal(expand(opposite, 1), opposite)
