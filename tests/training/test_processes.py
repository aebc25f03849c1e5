"""Several processes train as one; none waits for one that failed."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import training_steps
from copies import run_in_two
from strata_labels.errors import InputError
from strata_labels.training import (
    load_recipe,
    read_labels_csv,
)
from strata_labels.training.processes import Processes, process_group
from strata_labels.training.training_modes import FullTraining
from subprocesses import run_checked

TESTS = Path(__file__).resolve().parents[1]
TWICE = ["happier", "triplet"]


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes write of each recipe of TWICE; of the first one, those of torchrun."""
    out = tmp_path_factory.mktemp("two")
    # --standalone binds a port that the system chooses. The time limits are for a loaded machine.
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    limits = ["--local-addr=127.0.0.1", "--rdzv-conf=timeout=1800,read_timeout=1800"]
    run_checked(
        [*torchrun, *limits, "-m", "training_steps", str(out), TWICE[0]],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(TESTS)},
    )
    run_in_two(training_steps.main, str(out), *TWICE[1:])
    return out


@pytest.mark.parametrize("name", TWICE)
def test_two_processes_are_one_with_the_same_batch(name: str, two_processes: Path) -> None:
    two = torch.load(two_processes / f"{name}.pt")
    one = training_steps.trainer(load_recipe(name, "full", training_steps.SMALL))
    one.run(steps=20)
    losses = torch.tensor([row[2] for row in one.history])
    assert len(losses) == 20 and losses.std() > 1e-3
    torch.testing.assert_close(two["history"][:, 2].float(), losses, atol=1e-5, rtol=0)
    for key, value in one.model.state_dict().items():
        torch.testing.assert_close(two["model"][key], value, atol=1e-4, rtol=0)


def test_batches_smaller_than_the_number_of_processes_are_refused() -> None:
    recipe = load_recipe("nsm", "full", training_steps.SMALL)
    trainer = training_steps.trainer(recipe, Processes(0, 19))
    with pytest.raises(InputError, match=r"18 images for 19 processes: .*fewer processes"):
        trainer.run()


def test_unsynchronised_batch_norm_is_refused(pictures) -> None:
    root, path, _ = pictures
    settings = ["backbone=test_resnet", "pretrained=no", "crop=32", "freeze_batch_norm=false"]
    recipe = load_recipe("nsm", "full", settings)
    with pytest.raises(InputError, match="cannot be synchronised"):
        FullTraining(read_labels_csv(path, root), recipe, 0, 0, Processes(0, 2), False)


def test_processes_wait_for_one_that_works_for_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of gloo the limit would be half an hour, of NCCL ten minutes."""
    limits = []

    def group(backend: str, timeout: timedelta) -> str:
        limits.append(timeout)
        return "host"

    used = []

    def reduce(value: torch.Tensor, group: str | None = None) -> None:
        used.append(group)

    monkeypatch.setenv("WORLD_SIZE", "2")
    # Calls of the default group, between GPUs, keep the short limit.
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend: None)
    monkeypatch.setattr(torch.distributed, "new_group", group)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    monkeypatch.setattr(torch.distributed, "all_reduce", reduce)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: None)
    with process_group() as processes:
        assert not processes.any(False)
    assert limits[0] >= timedelta(days=1)
    assert used == ["host", "host"]  # the second at the end


@pytest.mark.parametrize(("cards", "left"), [(0, 1), (2, 0)])
def test_a_failure_does_not_wait_for_the_others(cards, left, monkeypatch) -> None:
    """Torchrun ends them. NCCL's teardown would wait for calls that they never make."""
    ended = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cards > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend: None)
    monkeypatch.setattr(torch.distributed, "new_group", lambda **how: None)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: ended.append(1))
    with pytest.raises(OSError, match="full"), process_group():
        raise OSError("full")
    assert len(ended) == left
