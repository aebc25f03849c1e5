"""Runs one training, from labelled images to files: vectors, model, metrics, result."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from strata_labels.embedding import VectorStore, load_encoder
from strata_labels.errors import RetryError
from strata_labels.files import only_one, whole, write_json, write_table, write_text
from strata_labels.progress import track
from strata_labels.retrieval import Report, evaluate_embeddings
from strata_labels.training import checkpoint
from strata_labels.training.image_loading import unreadable
from strata_labels.training.labelled_images import GALLERY, TRAIN, LabelledImages
from strata_labels.training.processes import process_group
from strata_labels.training.recipe import Mode, Recipe
from strata_labels.training.saved_model import save_model
from strata_labels.training.trainer import HISTORY, Trainer
from strata_labels.training.training_modes import TESTED, FullTraining, HeadTraining

CHECKPOINT, MODEL, RESULT, METRICS = "checkpoint.pt", "model.pt", "result.json", "metrics.csv"
FROZEN, TRAINED, ITEMS = "test_frozen.npy", "test_trained.npy", "test_items.parquet"
_VECTORS = {"frozen": FROZEN, "trained": TRAINED}


def train(
    images: LabelledImages,
    recipe: Recipe,
    mode: Mode,
    out: Path,
    encoder: str = "registry",
    vectors: Path | None = None,
    seed: int = 0,
    skip_damaged: bool = False,
    workers: int = 2,
) -> dict[str, Any]:
    """Trains and evaluates; continues from the checkpoint of a stopped training of the same kind.

    Writes into `out`: `model.pt`, `metrics.csv` (every step), TensorBoard events,
    `test_frozen.npy` and `test_trained.npy` (float32 `[n, d]`, unit vectors before and after
    training), `test_items.parquet` (`path, level0 ..., split`, in their order) and `result.json`.

    Args:
        images: what to train and test on.
        recipe: how.
        mode: `head`: a head on the encoder's vectors; `full`: the recipe's whole network.
        out: folder, made if absent.
        encoder: of head mode.
        vectors: of head mode, the folder its vectors are kept in, `out/vectors` if None; trainings
            may share one.
        seed: of every random choice.
        skip_damaged: leave out images that cannot be read.
        workers: processes that decode images in full mode.

    Returns:
        `frozen` and `trained`, the metrics by name, of the test split against itself or of the
        queries against the gallery; `num_queries`, `num_without_positives`, `seed`, `steps`,
        `set_aside`. Empty in all processes but the first.

    Raises:
        InputError: unreadable images, too little left to train on, a checkpoint of another
            training, a training that diverged.
        RetryError: stopped by a signal or a full disk; the checkpoint stays. Another training is
            running in `out`.
    """
    with process_group() as processes, ExitStack() as held:
        if processes.first:
            held.enter_context(only_one(out / ".strata.lock", "training"))
        torch.manual_seed(seed)
        resumed = (out / CHECKPOINT).exists()
        if not resumed:  # else they were checked when it was begun
            images = images.without(unreadable(images.paths), skip_damaged)
        work: HeadTraining | FullTraining
        if mode == "head":
            store = VectorStore(vectors or out / "vectors")
            work = HeadTraining(images, recipe, load_encoder(encoder), store, processes)
        else:
            work = FullTraining(images, recipe, seed, workers)
        about = {
            "recipe": recipe.as_dict(),
            "mode": mode,
            "seed": seed,
            "data": images.digest,
            "features": work.features,
        }
        trainer = Trainer(
            work.model, recipe, images.part(TRAIN).labels, work.load, processes, seed, work.device
        )
        if resumed:
            checkpoint.load(out / CHECKPOINT, trainer, about)
        elif recipe.proxies == "means":
            trainer.start_proxies(work.embedded(TRAIN))
        # Without a checkpoint the file is of an earlier training in this folder.
        if processes.first and not (resumed and (out / FROZEN).exists()):
            _save(out / FROZEN, work.frozen())
        if mode == "head" and not resumed:
            # Loading an encoder draws random numbers, and is left out where its vectors are kept.
            torch.manual_seed(seed)
        _run(trainer, out, about)
        if not processes.first:
            return {}
        _save(out / TRAINED, work.embedded(*TESTED))
        return _finish(images, trainer, out, about)


def _run(trainer: Trainer, out: Path, about: dict[str, Any]) -> None:
    """The training, with progress, metrics and checkpoints; SIGTERM stops it after a step."""
    from torch.utils.tensorboard import SummaryWriter

    first, recipe = trainer.processes.first, trainer.recipe
    saved = trainer.step
    began = time.monotonic()
    seen = 0

    def keep() -> None:
        nonlocal saved
        if first and saved != trainer.step:
            _write_metrics(out / METRICS, trainer)
            checkpoint.save(out / CHECKPOINT, trainer, about)
        saved = trainer.step

    def after_step(trainer: Trainer, images: int) -> bool:
        nonlocal seen
        tracker.advance(images)
        seen += images
        if board is not None:
            for name, value in zip(HISTORY[2:], trainer.history[-1][2:], strict=True):
                board.add_scalar(f"train/{name}", value, trainer.step)
            rate = seen / (time.monotonic() - began)
            board.add_scalar("train/images_per_second", rate, trainer.step)
        stop = trainer.processes.any(stopped.is_set())
        if stop or trainer.step - saved >= recipe.checkpoint_every:
            keep()
        return stop

    board = SummaryWriter(out / "tensorboard", purge_step=saved + 1) if first else None
    try:
        with _stop_signals() as stopped, track(_left(trainer) if first else 0, "images") as tracker:
            trainer.run(after_step)
            keep()
    finally:
        if board is not None:
            board.close()
    if stopped.is_set():
        raise RetryError(
            f"Stopped after step {trainer.step}, which is in {out / CHECKPOINT}. "
            "Run the same command to continue."
        )


def _left(trainer: Trainer) -> int:
    """About how many images are still to come: epochs may differ by a batch."""
    sampler = trainer.sampler
    epoch = [len(batch) for batch in sampler.plan(sampler.epoch)]
    return max(0, sum(epoch) * (trainer.recipe.epochs - sampler.epoch) - sum(epoch[: sampler.done]))


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM sets, so that the step in flight is finished and kept."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGTERM, before)


def _finish(
    images: LabelledImages, trainer: Trainer, out: Path, about: dict[str, Any]
) -> dict[str, Any]:
    """Writes what a finished training leaves; returns its numbers."""
    test = images.part(*TESTED)
    reports = {name: _evaluate(test, np.load(out / file)) for name, file in _VECTORS.items()}
    numbers = {
        name: {key: None if math.isnan(value) else value for key, value in report.means.items()}
        for name, report in reports.items()
    }
    result = {
        **numbers,
        "num_queries": reports["trained"].num_queries,
        "num_without_positives": reports["trained"].num_without_positives,
        "images": {str(k): int(v) for k, v in images.table.split.value_counts().items()},
        "set_aside": images.set_aside,
        "steps": trainer.step,
        **about,
    }
    items = test.table[["path", *images.levels, "split"]].reset_index(drop=True)
    write_table(out / ITEMS, items)
    save_model(out / MODEL, trainer.model, about)
    _write_metrics(out / METRICS, trainer)
    write_json(out / RESULT, result)
    return result


def _evaluate(test: LabelledImages, vectors: np.ndarray) -> Report:
    """Metrics of the test split against itself, or of the queries against the gallery."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    embeddings, labels = torch.from_numpy(vectors), test.labels
    with track(len(embeddings), "ranking") as tracker:
        query = torch.tensor([split != GALLERY for split in test.table.split])
        if bool(query.all()):
            return evaluate_embeddings(embeddings, labels, device=device, progress=tracker.advance)
        return evaluate_embeddings(
            embeddings[query],
            labels[query],
            embeddings[~query],
            labels[~query],
            device=device,
            progress=tracker.advance,
        )


def _save(path: Path, vectors: Tensor) -> None:
    with whole(path) as beside, beside.open("wb") as file:
        np.save(file, vectors.float().numpy())


def _write_metrics(path: Path, trainer: Trainer) -> None:
    rows = (
        f"{int(step)},{int(epoch)},{','.join(f'{value:.6g}' for value in values)}"
        for step, epoch, *values in trainer.history
    )
    write_text(path, "\n".join([",".join(HISTORY), *rows]) + "\n")
