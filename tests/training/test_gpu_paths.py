"""Paths of a GPU, on a simulated one: no operation mixes devices, and the host seldom waits.

With STRATA_TEST_GPU=1 those tests that take `gpu` run on the machine's own (`-k on_gpu`).
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import simulated_processes
import timm
import torch
import training_steps
from copies import free_ports, run_in_two
from safetensors.torch import save_file
from simulated_gpu import ON_GPU, GpuTensor, no_gpu, simulated_gpu, waits
from strata_labels.errors import InputError
from strata_labels.losses import CalibrationLoss, SupHAPLoss, pairwise
from strata_labels.retrieval import evaluate_embeddings, expand, paired_test
from strata_labels.training import checkpoint, load_recipe, read_labels_csv, recipe_names, train
from strata_labels.training.criterion import criterion
from strata_labels.training.processes import Processes
from strata_labels.training.trainer import Trainer
from strata_labels.training.training_modes import FullTraining
from subprocesses import run_checked
from torch import Tensor, nn

PLAIN = [name for name in recipe_names() if "-" not in name]
CLASSES = torch.arange(6)[:, None] // torch.tensor([1, 2, 6])


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = nn.functional.normalize(torch.randn(24, 8, generator=generator), dim=1)
    return x, CLASSES.repeat_interleave(4, 0)


def test_simulation_refuses_what_a_gpu_refuses() -> None:
    with simulated_gpu():
        gpu = torch.ones(3, device="cuda:0")
        assert isinstance(gpu, GpuTensor) and isinstance(gpu.cpu(), torch.Tensor)
        with pytest.raises(RuntimeError, match="on the same device"):
            gpu + torch.ones(3)
        with pytest.raises(TypeError, match="to numpy"):
            gpu.numpy()
        assert float((gpu * 2 + torch.tensor(1.0)).sum()) == 9.0
        assert sum(waits.values()) == 2  # cpu() and float()
        with pytest.raises(ValueError, match="same device as the queries"):
            labels = torch.zeros(3, 1, dtype=torch.int64)
            CalibrationLoss()(torch.ones(3, 2, device="cuda:0"), labels, torch.ones(3, 2), labels)


@pytest.mark.parametrize("name", PLAIN)
def test_losses_compute_on_gpu_what_they_compute_here(name: str, gpu) -> None:
    torch.manual_seed(0)
    loss = criterion(load_recipe(name, "full"), CLASSES, 8)
    x, labels = batch()
    bank, bank_labels = x.roll(1, 0) * 0.9, labels.roll(1, 0)
    expected = [loss(x, labels), loss(x, labels, bank, bank_labels)]
    own = x.clone().requires_grad_()
    loss(own, labels).backward()
    with gpu():
        there = loss.to("cuda:0")
        moved = x.to("cuda:0").requires_grad_()
        # Labels of the host are moved.
        found = [there(moved, labels), there(moved, labels, bank.to("cuda:0"), bank_labels)]
        found[0].backward()
        results = [value.detach().cpu() for value in found]
        gradient = moved.grad.cpu()
    assert results == pytest.approx([float(value) for value in expected])
    torch.testing.assert_close(gradient, own.grad)


def test_interpolated_sums_on_gpu_are_the_sums_of_pairs(
    gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(4)
    labels = torch.arange(240)[:, None] // torch.tensor([4, 20, 120])
    x = nn.functional.normalize(torch.randn(240, 64, generator=generator), dim=1)
    found = []
    with gpu():
        for through in (True, False):
            monkeypatch.setattr(pairwise, "_interpolates", lambda *_, through=through: through)
            own = x.to("cuda:0").requires_grad_()
            value = SupHAPLoss()(own, labels)
            value.backward()
            found.append((value.detach().cpu(), own.grad.cpu()))
    (value, gradient), (expected, expected_gradient) = found
    assert float(value) == pytest.approx(float(expected), rel=1e-6)
    difference = (gradient - expected_gradient).abs().max() / expected_gradient.abs().max()
    assert float(difference) < 5e-6


@pytest.mark.parametrize("alone", [True, False])
def test_evaluator_on_gpu_takes_labels_of_another_device(alone: bool, gpu) -> None:
    x, labels = batch()
    gallery, gallery_labels = (None, None) if alone else (x.roll(3, 0), labels.roll(3, 0))
    expected = evaluate_embeddings(x, labels, gallery, gallery_labels).means
    with gpu():
        for place, of_gallery in (("cuda:0", "cpu"), ("cpu", "cuda:0")):
            found = evaluate_embeddings(
                x.to(place),
                labels.to(of_gallery),
                None if gallery is None else gallery.to(of_gallery),
                None if gallery_labels is None else gallery_labels.to(place),
                device="cuda:0",
            ).means
            assert found == pytest.approx(expected)


def trainer(name: str, device: str) -> Trainer:
    inputs, labels = training_steps.points()
    torch.manual_seed(3)
    return Trainer(
        training_steps.Small(),
        load_recipe(name, "full", training_steps.SMALL),
        labels,
        lambda epoch, first, shares: (inputs[share.images] for share in shares),
        seed=1,
        device=device,
    )


@pytest.mark.parametrize("name", PLAIN)
def test_training_on_gpu_with_memory_and_a_checkpoint(name: str, tmp_path: Path, gpu) -> None:
    with no_gpu():
        here = trainer(name, "cpu")
        here.run(steps=8)
    with gpu():
        first = trainer(name, "cuda:0")
        first.run(steps=5)
        checkpoint.save(tmp_path / "c.pt", first, {})
        second = trainer(name, "cuda:0")
        checkpoint.load(tmp_path / "c.pt", second, {})
        second.run(steps=3)
    losses = [row[2] for row in second.history]
    assert losses == pytest.approx([row[2] for row in here.history], rel=1e-4)


@pytest.mark.parametrize("name", PLAIN)
def test_a_step_waits_for_nothing(name: str) -> None:
    """Whether it diverged is read a step later."""
    with simulated_gpu():
        own = trainer(name, "cuda:0")
        own.run(steps=7)
        waits.clear()
        own.run(steps=1)
        assert not waits


def test_large_batches_wait_for_the_range_of_their_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairwise, "_interpolates", lambda *_: True)
    with simulated_gpu():
        own = trainer("happier", "cuda:0")
        own.run(steps=7)
        waits.clear()
        own.run(steps=1)
        assert [place for place in waits if "pairwise" in place] == list(waits)
        assert sum(waits.values()) == 1


def test_training_that_diverges_on_gpu_is_stopped(tmp_path: Path) -> None:
    with simulated_gpu():
        own = trainer("happier", "cuda:0")
        steps: list[int] = []

        def spoil(trainer: Trainer, size: int) -> bool:
            steps.append(trainer.step)
            assert len(trainer.known) == trainer.step - 1  # a step later
            if trainer.step == 3:
                with torch.no_grad():
                    trainer.model.head.linear.weight.fill_(torch.inf)
            return False

        with pytest.raises(InputError, match="training diverged in step 4"):
            own.run(spoil)
        assert steps == [1, 2, 3, 4] and len(own.known) == 3
        own = trainer("happier", "cuda:0")
        own.run(lambda trainer, size: trainer.step == 3)
        assert [row[0] for row in own.history] == [1, 2, 3]


def test_a_loss_that_a_user_calls_checks_its_inputs() -> None:
    with simulated_gpu():
        x, labels = (values.to("cuda:0") for values in batch())
        waits.clear()
        SupHAPLoss(beta=25.0, gamma=0.5, leak=10.0)(x, labels)
        assert [place for place in waits if "label_tensors" in place]


def test_full_mode_waits_for_nothing_else(pictures) -> None:
    root, path, _ = pictures
    settings = ["epochs=2", "warmup_epochs=0", "batch_size=8", "images_per_class=2", "dim=8"]
    settings += ["crop=32", "resize=36", "freeze_batch_norm=false", "backbone=test_resnet"]
    settings += ["pretrained=no", "precision=float32", "pooling=gem"]
    recipe = load_recipe("happier", "full", settings)
    images = read_labels_csv(path, root)
    with simulated_gpu():
        work = FullTraining(images, recipe, 0, 0, Processes(), False)
        labels = images.part("train").labels
        own = Trainer(work.model, recipe, labels, work.load, device=work.device)
        own.run(steps=1)
        waits.clear()
        own.run(steps=1)
        assert not waits
        waits.clear()
        work.embedded("test")
        assert sum(waits.values()) == 1, waits  # one batch of vectors, brought to the host


def test_expansion_and_paired_test_take_tensors_of_two_devices(gpu) -> None:
    x, _ = batch()
    expected = expand(x, 3, x.roll(1, 0) * 1.0)
    values = x[:, 0]
    with gpu():
        there = x.to("cuda:0")
        torch.testing.assert_close(expand(there, 3, x.roll(1, 0)).cpu(), expected)
        torch.testing.assert_close(expand(x, 3, there.roll(1, 0)).cpu(), expected)
        assert paired_test(values, there[:, 0] + 1.0) == paired_test(values, values + 1.0)


@pytest.mark.skipif(not ON_GPU, reason="needs a GPU")
def test_a_step_on_gpu_waits_as_often_as_on_the_simulated_one() -> None:
    own = trainer("happier", "cuda:0")
    own.run(steps=7)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        own.run(steps=1)
        torch.cuda.set_sync_debug_mode("default")
    waited = [f"{each.filename}:{each.lineno}" for each in found if "called" in str(each.message)]
    assert not waited


@pytest.mark.skipif(not ON_GPU, reason="needs a GPU")
def test_synchronised_batch_norm_on_gpu(pictures, encoder: str, tmp_path: Path) -> None:
    """Two processes whose statistics learn are one with the whole batch."""
    root, labels, _ = pictures
    script = tmp_path / "train.py"
    script.write_text(
        "import sys\n"
        "import torch\n"
        "from pathlib import Path\n"
        "from strata_labels.training import load_recipe, read_labels_csv, train\n"
        "torch.backends.cudnn.allow_tf32 = False\n"
        "labels, root, out, encoder, *settings = sys.argv[1:]\n"
        "recipe = load_recipe('happier', 'full', settings)\n"
        "images = read_labels_csv(Path(labels), Path(root))\n"
        "train(images, recipe, 'full', Path(out), encoder, workers=0)\n"
    )
    settings = [*simulated_processes.SETTINGS, "pretrained=no", "freeze_batch_norm=false"]
    losses = []
    for number in (1, 2):
        out = tmp_path / f"out{number}"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc_per_node={number}", str(script), str(labels), str(root), str(out)]
        run_checked([*command, encoder, *settings, "precision=float32"])
        losses.append(pd.read_csv(out / "metrics.csv").loss)
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)


@pytest.mark.parametrize("mode", ["head", "full"])
@pytest.mark.parametrize("backbone", ["test_resnet", "open_clip"])
def test_train_runs_on_gpu(
    mode: str, backbone: str, pictures, encoder: str, tmp_path: Path, gpu
) -> None:
    if mode == "head" and backbone == "test_resnet":
        pytest.skip("a head has no backbone")
    root, path, _ = pictures
    settings = ["epochs=2", "warmup_epochs=1", "batch_size=8", "images_per_class=2", "dim=8"]
    settings += ["crop=32", "resize=36", "freeze_batch_norm=false"]
    settings += ["pretrained=no"] if backbone == "test_resnet" else []
    settings += [f"backbone={encoder if backbone == 'open_clip' else backbone}"]
    settings += ["precision=float32"]
    recipe = load_recipe("happier", mode, settings)
    results = {}
    for place in ("here", "there"):
        images = read_labels_csv(path, root)
        out = tmp_path / place
        with no_gpu() if place == "here" else gpu():
            # There in a process, whose batches are pinned.
            train(images, recipe, mode, out, encoder, workers=int(place == "there"))
        results[place] = pd.read_csv(out / "metrics.csv").loss.to_numpy()
        assert np.isfinite(np.load(out / "test_trained.npy")).all()
    np.testing.assert_allclose(results["there"], results["here"], rtol=2e-3)


def test_processes_with_simulated_gpus_are_one_process(
    pictures, encoder: str, tmp_path: Path
) -> None:
    """Stopped and continued on two cards and on one, each backend carrying only what it can.

    Each process checks its part of the images: one of either part is damaged.
    """
    root, labels, table = pictures
    for row in (1, len(table) - 1):
        (root / table.path[row]).write_bytes(b"no picture")
    weights = str(tmp_path / "weights.safetensors")
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet").state_dict(), weights)
    given = (labels, root, tmp_path, encoder, weights, free_ports(6))
    run_in_two(simulated_processes.main, *given)
    for name in ("head2", "full2", "full1"):
        one, own = tmp_path / f"one_{name}", tmp_path / name
        with simulated_gpu():  # where an encoder's vectors are of half precision
            simulated_processes.run(name[:4], labels, root, one, encoder, weights)
        losses = [pd.read_csv(folder / "metrics.csv").loss for folder in (own, one)]
        assert len(losses[0]) == 6
        np.testing.assert_allclose(*losses, atol=1e-5)
        vectors = [np.load(folder / "test_trained.npy") for folder in (own, one)]
        np.testing.assert_allclose(*vectors, atol=1e-4)
        results = [json.loads((folder / "result.json").read_text()) for folder in (own, one)]
        assert results[0]["trained"] == pytest.approx(results[1]["trained"], abs=1e-5)
        assert results[0]["set_aside"] == results[1]["set_aside"] == {"unreadable image": 2}
