"""Runs one training, from labelled images to files: vectors, model, metrics, result."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from strata_labels.embedding import VectorStore, load_encoder
from strata_labels.errors import InputError, Problem, RetryError
from strata_labels.files import only_one, whole, write_json, write_table, write_text
from strata_labels.messages import say
from strata_labels.progress import track
from strata_labels.retrieval import RECALL_KS, Report, evaluate_embeddings
from strata_labels.training import checkpoint
from strata_labels.training.criterion import check_levels
from strata_labels.training.image_loading import default_workers, unreadable
from strata_labels.training.labelled_images import GALLERY, TRAIN, LabelledImages
from strata_labels.training.processes import Processes, process_group
from strata_labels.training.recipe import Mode, Recipe
from strata_labels.training.samplers import HierarchicalSampler
from strata_labels.training.saved_model import MODEL, save_model
from strata_labels.training.trainer import HISTORY, Trainer
from strata_labels.training.training_modes import TESTED, FullTraining, HeadTraining

CHECKPOINT, RESULT, METRICS = "checkpoint.pt", "result.json", "metrics.csv"
# Images that could not be read when the training was begun, with the reason.
LEFT_OUT = "left_out.json"
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
    workers: int | None = None,
    relevance_counts_query: bool = False,
    compile: bool = False,
) -> dict[str, Any]:
    """Trains and evaluates; continues from the checkpoint of a stopped training of the same kind.

    Writes into `out`: `model.safetensors` (see `load_model`), `metrics.csv` (every step),
    TensorBoard events, `test_frozen.npy` and `test_trained.npy` (float32 `[n, d]`, unit vectors
    before and after training), `test_items.parquet` (`path, level0 ..., split`, in their order),
    `result.json`, and `left_out.json` if images were left out.

    Args:
        images: what to train and test on.
        recipe: how.
        mode: `head`: a head on the encoder's vectors; `full`: the recipe's whole network.
        out: folder, made if absent.
        encoder: of head mode.
        vectors: of head mode, the folder its vectors are kept in, `out/vectors` if None; trainings
            may share one.
        seed: of every random choice, 0 to 2^63 - 1.
        skip_damaged: leave out images that cannot be read, also those that break later.
        workers: processes that decode images in full mode; None: as many as there are cores for
            each process of the training, 16 at most.
        relevance_counts_query: count the query among its positives when relevances are computed,
            as published numbers do.
        compile: whether `torch.compile` makes the network faster.

    Returns:
        `frozen` and `trained`, the metrics by name, of the test split against itself or of the
        queries against the gallery; `num_queries`, `num_without_positives`, `seed`, `steps`,
        `set_aside`. Empty in all processes but the first.

    Raises:
        InputError: unreadable images, too little left to train on, a checkpoint of another
            training, a training that diverged; `compile` where nothing can be compiled.
        RetryError: stopped by a signal or a full disk; the checkpoint stays. Another training is
            running in `out`.
    """
    if not 0 <= seed < 1 << 63:
        fix = "Take a number from 0 to 2^63 - 1."
        raise InputError(Problem("--seed", "not a seed:", fix, value=seed))
    with process_group() as processes, ExitStack() as held:
        if processes.first:
            held.enter_context(only_one(out / ".strata.lock", "training"))
        if compile:
            _check_compiler(processes.device)
        check_levels(recipe, len(images.levels))
        torch.manual_seed(seed)
        workers = default_workers() if workers is None else workers
        resumed = (out / CHECKPOINT).exists()
        digest, paths = images.digest, images.table.path
        reasons = _unreadable(images, out, resumed, processes)
        images = images.without(reasons, skip_damaged or resumed)
        work: HeadTraining | FullTraining
        if mode == "head":
            store = VectorStore(vectors or out / "vectors")
            work = HeadTraining(
                images, recipe, load_encoder(encoder), store, processes, skip_damaged
            )
        else:
            work = FullTraining(images, recipe, seed, workers, processes, skip_damaged)
        about = {
            "recipe": recipe.as_dict(),
            "mode": mode,
            "seed": seed,
            "data": digest,
            "features": work.features,
        }
        trainer = Trainer(
            work.model,
            recipe,
            images.part(TRAIN).labels,
            work.load,
            processes,
            seed,
            work.device,
            compile=compile,
        )
        trainer.check_batches()  # before all images are embedded
        if processes.first and (note := _no_super_classes(trainer) or _few_shown(trainer)):
            say(note)
        if resumed:
            checkpoint.load(out / CHECKPOINT, trainer, about)
        elif recipe.proxies == "means":
            trainer.start_proxies(work.embedded(TRAIN))
        if processes.first and not resumed:
            (out / LEFT_OUT).unlink(missing_ok=True)  # of an earlier training in this folder
            if reasons:
                write_json(out / LEFT_OUT, {paths.iloc[at]: why for at, why in reasons.items()})
        # Without a checkpoint the file is of an earlier training in this folder.
        number = len(images.part(*TESTED).table)
        if processes.any(processes.first and not (resumed and _has_rows(out / FROZEN, number))):
            frozen = work.frozen()
            if processes.first:
                _save(out / FROZEN, frozen)
        if mode == "head" and not resumed:
            # Loading an encoder draws random numbers, and is left out where its vectors are kept.
            torch.manual_seed(seed)
        _run(trainer, out, about)
        trained = work.embedded(*TESTED)
        broken = processes.merged(work.broken)
        if not processes.first:
            return {}
        _save(out / TRAINED, trained)
        save_model(out / MODEL, trainer.model, {**about, "encoder": encoder})
        return _finish(images, len(broken), trainer, out, about, relevance_counts_query)


def _check_compiler(device: torch.device) -> None:
    """Compiles a line, so that a missing compiler is found before anything is written."""
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(2, device=device))
    except Exception as error:  # compiler, headers or Triton: each has an error of its own
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        fix = "Install a C++ compiler (such as g++), or leave the option out."
        what = f"nothing can be compiled here ({reason})"
        raise InputError(Problem("--compile", what, fix)) from error


def _no_super_classes(trainer: Trainer) -> str:
    """What to say where labels of one level take the recipe's sampler away."""
    if trainer.recipe.sampler != "hierarchical" or trainer.labels.shape[1] > 1:
        return ""
    return (
        "Labels of one level have no super-classes: the sampler is m-per-class, and super_classes "
        "and batches_per_group are without effect."
    )


def _few_shown(trainer: Trainer) -> str:
    """What to say where the hierarchical sampler's settings keep most images out of an epoch."""
    recipe, sampler, number = trainer.recipe, trainer.sampler, len(trainer.labels)
    if not isinstance(sampler, HierarchicalSampler) or recipe.order == "published":
        return ""
    plan = sampler.plan(sampler.epoch)
    shown = len(np.unique(np.concatenate(plan)))
    if recipe.max_per_class or 2 * shown >= number:
        return ""
    supers = len(trainer.labels[:, -1].unique())
    classes = len(trainer.labels[:, 0].unique())
    drawn = sum(map(len, plan))
    size = drawn / len(plan)
    if 2 * size < recipe.images_per_class * min(sampler.groups, classes):
        fix = f"super_classes={min(math.ceil(sampler.groups * supers / classes), supers)}"
        if recipe.batches_per_group:  # of so many there may be more sets than an epoch can take
            fix += " and batches_per_group=0"
        return (
            f"Batches have about {size:.0f} images (batch_size is {recipe.batch_size}), and an "
            f"epoch shows {shown:,} of {number:,}: super-classes have few classes. "
            f"Set {fix}, or sampler=m-per-class."
        )
    if recipe.batches_per_group and drawn < number:
        return (
            f"Batches in an epoch: {len(plan):,} (batches_per_group is "
            f"{recipe.batches_per_group}). They show {shown:,} of {number:,} images. "
            "Set batches_per_group=0 for as many as there are images."
        )
    return ""


def _unreadable(
    images: LabelledImages, out: Path, resumed: bool, processes: Processes
) -> dict[int, str]:
    """The images that could not be read when the training was begun, by position."""
    if not resumed:
        paths, own = images.paths, processes.share(np.arange(len(images.table))).images
        found = unreadable([paths[at] for at in own])
        every = processes.merged({int(own[at]): why for at, why in found.items()})
        return dict(sorted(every.items()))
    file = out / LEFT_OUT
    if not file.exists():
        return {}
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        known.items()
    except (ValueError, AttributeError) as error:
        fix = f"Restore it, or give another --out, or remove {CHECKPOINT} to start again."
        raise InputError(Problem(file, f"damaged ({error})", fix)) from error
    return {at: known[path] for at, path in enumerate(images.table.path) if path in known}


def _run(trainer: Trainer, out: Path, about: dict[str, Any]) -> None:
    """The training, with progress, metrics and checkpoints; SIGTERM stops it after a step."""
    from torch.utils.tensorboard import SummaryWriter

    first, recipe = trainer.processes.first, trainer.recipe
    saved = trainer.step
    began = time.monotonic()
    seen, shown = 0, len(trainer.known)

    def keep() -> None:
        nonlocal saved
        if saved != trainer.step:
            trainer.check_weights()
        if first and saved != trainer.step:
            _write_metrics(out / METRICS, trainer)
            checkpoint.save(out / CHECKPOINT, trainer, about)
        saved = trainer.step

    def show() -> None:
        nonlocal shown
        if board is None:
            return
        for step, _, *values in trainer.known[shown:]:
            for name, value in zip(HISTORY[2:], values, strict=True):
                board.add_scalar(f"train/{name}", value, step)
        shown = len(trainer.known)

    def after_step(trainer: Trainer, images: int) -> bool:
        nonlocal seen
        tracker.advance(images)
        seen += images
        show()
        if board is not None:
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
            show()
            keep()
            # A signal may have reached one process alone.
            ended_early = trainer.processes.any(stopped.is_set())
    finally:
        if board is not None:
            board.close()
    if ended_early:
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
    images: LabelledImages,
    broken: int,
    trainer: Trainer,
    out: Path,
    about: dict[str, Any],
    relevance_counts_query: bool,
) -> dict[str, Any]:
    """Writes what a finished training leaves; returns its numbers.

    `broken` images of the train split could not be read any more; of the test split those with
    vectors of NaN.
    """
    test = images.part(*TESTED)
    vectors = {name: np.load(out / file) for name, file in _VECTORS.items()}
    lost = ~np.isfinite(np.concatenate([*vectors.values()], axis=1)).all(1)
    if lost.any():
        test = LabelledImages(test.table[~lost], test.root, test.source)
        for name, file in _VECTORS.items():
            vectors[name] = vectors[name][~lost]
            _save(out / file, torch.from_numpy(vectors[name]))
    aside = dict(images.set_aside)
    if later := broken + int(lost.sum()):
        aside["unreadable image"] = aside.get("unreadable image", 0) + later
    ks = trainer.recipe.report_recall_at
    reports = {
        name: _evaluate(test, values, ks, relevance_counts_query, trainer.device)
        for name, values in vectors.items()
    }
    numbers = {
        name: {key: None if math.isnan(value) else value for key, value in report.means.items()}
        for name, report in reports.items()
    }
    result = {
        **numbers,
        "num_queries": reports["trained"].num_queries,
        "num_without_positives": reports["trained"].num_without_positives,
        "images": {str(k): int(v) for k, v in images.table.split.value_counts().items()},
        "set_aside": aside,
        "steps": trainer.step,
        **about,
    }
    items = test.table[["path", *images.levels, "split"]].reset_index(drop=True)
    write_table(out / ITEMS, items)
    _write_metrics(out / METRICS, trainer)
    write_json(out / RESULT, result)
    return result


def _evaluate(
    test: LabelledImages,
    vectors: np.ndarray,
    ks: Sequence[int],
    relevance_counts_query: bool,
    device: torch.device,
) -> Report:
    """Metrics of the test split against itself, or of the queries against the gallery."""
    embeddings, labels = torch.from_numpy(vectors), test.labels
    with track(len(embeddings), "ranking") as tracker:
        query = torch.tensor([split != GALLERY for split in test.table.split])
        pairs: tuple[Tensor, ...] = (embeddings, labels)
        ranked = len(embeddings) - 1
        if not bool(query.all()):
            ranked = int((~query).sum())
            pairs = (embeddings[query], labels[query], embeddings[~query], labels[~query])
        return evaluate_embeddings(
            *pairs,
            relevance_counts_query=relevance_counts_query,
            recall_ks=[k for k in ks if k <= ranked] or RECALL_KS,
            device=device,
            progress=tracker.advance,
        )


def _has_rows(path: Path, number: int) -> bool:
    """Whether vectors of so many images were saved there, undamaged."""
    try:
        return len(np.load(path, mmap_mode="r")) == number
    except (OSError, ValueError, EOFError, TypeError):
        return False


def _save(path: Path, vectors: Tensor) -> None:
    with whole(path) as beside, beside.open("wb") as file:
        np.save(file, vectors.float().numpy())


def _write_metrics(path: Path, trainer: Trainer) -> None:
    rows = (
        f"{int(step)},{int(epoch)},{','.join(f'{value:.6g}' for value in values)}"
        for step, epoch, *values in trainer.history
    )
    write_text(path, "\n".join([",".join(HISTORY), *rows]) + "\n")
