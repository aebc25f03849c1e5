"""The training loop: one for heads on cached vectors and for whole networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from strata_labels.errors import InputError, Problem
from strata_labels.label_tensors import check_labels, check_nested, send
from strata_labels.losses import Batch
from strata_labels.training.criterion import criterion, start_proxies
from strata_labels.training.memory import Memory
from strata_labels.training.optimizers import Optimizers
from strata_labels.training.processes import Processes, Share
from strata_labels.training.recipe import Recipe
from strata_labels.training.samplers import (
    EpochSampler,
    HierarchicalSampler,
    Indices,
    MPerClassSampler,
)

# Inputs of batches: (epoch, number of the first batch, this process's part of each batch) to
# tensors that the model takes, a batch after the other.
Load = Callable[[int, int, Sequence[Share]], Iterator[Tensor]]

#: What the history has of a step.
HISTORY = ("step", "epoch", "loss", "lr", "gradient_norm")


class Trainer:
    """Trains a model by a recipe; everything a checkpoint needs is in `state_dict`.

    Args:
        model: inputs to unit vectors `[b, e]`, e being `model.dim`; its parameters below
            `model.backbone`, if it has one, learn at `lr`, all others at `head_lr`, except those
            that require no gradient. The loss has the model's precision, float32 at least.
        recipe: what to do.
        labels: `[n, L]` int64 of the train split, nested, column 0 the finest; none is -1.
        load: gives the inputs of batches.
        processes: of this training; alone by default.
        seed: of the sampler and of proxies that start at random.
        device: where the loss and the model are.
        sampler: the batches; None: as the recipe says.
        compile: whether `torch.compile` makes the network faster (it takes minutes at first).

    Attributes:
        model, loss, sampler, optimizers, step: the current ones.
        known: the rows of `history` that have been read from the device. While `run` goes on, a
            GPU's are read a step later, so that it is not waited for.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        labels: Tensor,
        load: Load,
        processes: Processes | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
        sampler: EpochSampler | None = None,
        compile: bool = False,
    ) -> None:
        self.recipe, self.seed, self.device = recipe, seed, torch.device(device)
        self.processes = processes or Processes()
        self.labels, classes = _numbered(labels)
        self.sampler = sampler or _sampler(recipe, self.labels, seed)
        self.model = model.to(self.device)
        dim = int(model.dim)  # type: ignore[arg-type]
        precisions = [parameter.dtype for parameter in model.parameters()]
        precision = torch.promote_types(precisions[0], torch.float32)
        self.loss = criterion(recipe, classes, dim).to(self.device, precision)
        num_levels = self.labels.shape[1]
        self.memory = Memory(recipe.memory, dim, num_levels, self.device, precision)
        self.step = 0
        self.known: list[tuple[float, ...]] = []
        self._unread: list[_Unread] = []
        self._load, self._compile = load, compile
        learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
        below = {id(p) for p in getattr(model, "backbone", nn.Identity()).parameters()}
        self._backbone = [parameter for parameter in learning if id(parameter) in below]
        self._head = [parameter for parameter in learning if id(parameter) not in below]
        self._proxies = list(self.loss.parameters())
        self.optimizers = Optimizers(
            recipe,
            {"backbone": self._backbone, "head": self._head, "proxies": self._proxies},
        )
        self._autocast = uses_autocast(recipe, self.device)
        self._frozen: bool | None = None
        self._running: nn.Module = self.model

    def start_proxies(self, embeddings: Tensor) -> None:
        """Sets proxies to the classes' means; `embeddings [n, e]` are the untrained model's."""
        start_proxies(self.loss, embeddings.to(self.device), self.labels[:, 0].to(self.device))

    def run(
        self, after_step: Callable[[Trainer, int], bool] | None = None, steps: int | None = None
    ) -> None:
        """Trains until the recipe's epochs are done.

        Args:
            after_step: called after each step with the trainer and the batch's size; True stops.
            steps: stop after so many steps of this call.

        Raises:
            InputError: the training diverged; see `check_batches`.
        """
        self._run(after_step, None if steps is None else self.step + steps)
        self._read(0)

    @property
    def history(self) -> list[tuple[float, ...]]:
        """`HISTORY` of each step so far.

        Raises:
            InputError: the training diverged in the last one.
        """
        self._read(0)
        return self.known

    def _run(self, after_step: Callable[[Trainer, int], bool] | None, last: int | None) -> None:
        while self.sampler.epoch < self.recipe.epochs and self.step != last:
            epoch, first = self.sampler.epoch, self.sampler.done
            self.check_batches()
            plan = self.sampler.plan(epoch)[first:]
            self._freeze(epoch < self.recipe.warmup_epochs)
            inputs = self._load(epoch, first, [self.processes.share(batch) for batch in plan])
            for batch, some in zip(plan, inputs, strict=True):
                self._learn(epoch, batch, some)
                if self.sampler.advance():
                    self.optimizers.end_epoch(epoch)
                stop = after_step is not None and after_step(self, len(batch))
                if stop or self.step == last:
                    return

    def state_dict(self) -> dict[str, Any]:
        """Everything that a later training needs to continue exactly."""
        random = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state(self.device)
        return {
            "model": self.model.state_dict(),
            "loss": self.loss.state_dict(),
            "memory": self.memory.state_dict(),
            "optimizers": self.optimizers.state_dict(),
            "sampler": self.sampler.state_dict(),
            "step": self.step,
            "history": torch.tensor(self.history, dtype=torch.float64),
            "random": random,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a `state_dict` of the same model, recipe and labels.

        Raises:
            RuntimeError, KeyError, ValueError: the state is of another model, or of other batches.
        """
        self.model.load_state_dict(state["model"])
        self.loss.load_state_dict(state["loss"])
        self.memory.load_state_dict(state["memory"])
        self.optimizers.load_state_dict(state["optimizers"])
        self.sampler.load_state_dict(state["sampler"])
        done, epoch = self.sampler.done, self.sampler.epoch
        if done and done >= len(self.sampler):
            raise ValueError(
                f"{done} batches of epoch {epoch} are done; it has {len(self.sampler)}"
            )
        self.step = state["step"]
        self._unread.clear()
        self.known = [tuple(row) for row in state["history"].tolist()]
        torch.set_rng_state(state["random"]["cpu"])
        if self.device.type == "cuda" and "cuda" in state["random"]:
            torch.cuda.set_rng_state(state["random"]["cuda"], self.device)

    def check_batches(self) -> None:
        """Checks that the epoch has batches, and each of them an image for every process.

        Raises:
            InputError: it has not.
        """
        plan = self.sampler.plan(self.sampler.epoch)
        smallest = min((len(batch) for batch in plan), default=0)
        if smallest < self.processes.world:
            what = f"the smallest batch has {smallest} images for {self.processes.world} processes:"
            fix = "Take fewer processes or another size: the last batch of an epoch may be smaller."
            if not smallest:
                fix = "Take smaller batches or order=every-image."
            value = self.recipe.batch_size
            raise InputError(Problem("batch_size", what, fix, value=value))

    def check_weights(self) -> None:
        """Checks that the last step left weights of finite length: those of a step that overflows
        show in the next loss alone, and the vectors of weights that large are zeros.

        Raises:
            InputError: the training diverged.
        """
        self._read(0)
        learnt = (*self._backbone, *self._head, *self._proxies)
        if not all(bool(torch.linalg.vector_norm(each).isfinite()) for each in learnt):
            raise self._diverged(self.step)

    @staticmethod
    def _diverged(step: int) -> InputError:
        fix = "Lower lr, head_lr or proxy_lr, or set clip=1."
        return InputError(Problem("--recipe", f"training diverged in step {step}", fix))

    def _learn(self, epoch: int, batch: Indices, inputs: Tensor) -> None:
        labels = self.labels[batch]
        self._running.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._autocast):
            own = self._running(send(inputs, self.device))
        own = own.to(torch.promote_types(own.dtype, torch.float32))
        embeddings = self.processes.gather(own, len(batch))
        # Labels were checked once, and what is not finite shows in the loss: no wait for a GPU.
        loss = self.loss.batch_loss(self._batch(embeddings, labels))
        self.optimizers.zero_grad()
        loss.backward()
        self.processes.mean_gradients(self._proxies)
        norm = self._clip()
        shown = torch.stack([loss.detach(), norm.to(loss.dtype)])
        rate = self.optimizers.rates["head"]
        self._unread.append(_Unread(self.step + 1, epoch, rate, _Arriving(shown)))
        # A step that diverged must not be taken. A GPU works on while its last step is read: if
        # that one diverged, it is the last, and nothing of it is kept.
        self._read(1 if self.device.type == "cuda" else 0)
        self.optimizers.step(epoch)
        if self.recipe.memory:
            self.memory.add(embeddings, labels)
        self.step += 1

    def _batch(self, embeddings: Tensor, labels: Tensor) -> Batch:
        """What the loss is given; `labels [b, L]` are on the host."""
        there = send(labels, self.device)
        if not self.recipe.memory:
            return Batch(embeddings, there, embeddings, there, True, (labels, labels))
        references, of_references = self.memory.references(embeddings, labels)
        sent = send(of_references, self.device)
        return Batch(embeddings, there, references, sent, True, (labels, of_references))

    def _clip(self) -> Tensor:
        """The length of the network's gradient, which is clipped as the recipe says.

        Proxies learn at rates of their own and are left out.
        """
        network = [*self._backbone, *self._head]
        if self.recipe.clip:
            return nn.utils.clip_grad_norm_(network, self.recipe.clip)
        return nn.utils.get_total_norm([each.grad for each in network if each.grad is not None])

    def _read(self, left: int) -> None:
        """Adds steps to what is known, all but the last `left`."""
        while len(self._unread) > left:
            step, epoch, rate, arriving = self._unread[0]
            loss, length = arriving.read()
            if not (math.isfinite(loss) and math.isfinite(length)):
                raise self._diverged(step)
            self.known.append((step, epoch, loss, rate, length))
            del self._unread[0]

    def _freeze(self, frozen: bool) -> None:
        """Freezes or thaws the backbone, and tells DistributedDataParallel what will learn."""
        if frozen == self._frozen:
            return
        self._frozen = frozen
        for parameter in self._backbone:
            parameter.requires_grad_(not frozen)
        self._running = self.model
        if self.processes.world > 1:
            self._running = DistributedDataParallel(self.model)
        if self._compile:
            self._running = torch.compile(self._running)  # type: ignore[assignment]


class _Arriving:
    """Numbers on their way to the host."""

    def __init__(self, numbers: Tensor) -> None:
        self._numbers = numbers.to("cpu", non_blocking=numbers.is_cuda)
        self._sent = torch.cuda.Event() if numbers.is_cuda else None
        if self._sent:
            self._sent.record(torch.cuda.current_stream(numbers.device))

    def read(self) -> list[float]:
        """The numbers, once they are there."""
        if self._sent:
            self._sent.synchronize()
        return self._numbers.tolist()  # type: ignore[no-any-return]


class _Unread(NamedTuple):
    """A row of the history whose loss and gradient norm have not been read."""

    step: int
    epoch: int
    rate: float
    numbers: _Arriving


def uses_autocast(recipe: Recipe, device: torch.device) -> bool:
    """Whether the network computes in bf16 there."""
    if recipe.precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    return recipe.precision == "bf16"


def _numbered(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Labels with each level's classes numbered from 0, and the paths `[c, L]` of the finest."""
    labels = check_labels(labels).cpu()
    if not len(labels):
        raise ValueError(f"labels must not be empty, got the shape {tuple(labels.shape)}")
    columns = [column.unique(return_inverse=True)[1] for column in labels.T]
    numbered = torch.stack(columns, dim=1)
    check_nested(labels)
    first = torch.full((int(numbered[:, 0].max()) + 1,), -1)
    first[numbered[:, 0]] = torch.arange(len(numbered))
    return numbered, numbered[first]


def _sampler(recipe: Recipe, labels: Tensor, seed: int) -> EpochSampler:
    fine, coarse = labels[:, 0].numpy(), labels[:, -1].numpy()
    # With one level, each class would be its own super-class, and a batch have two classes.
    if recipe.sampler == "hierarchical" and labels.shape[1] > 1:
        return HierarchicalSampler(
            fine,
            coarse,
            recipe.batch_size,
            recipe.images_per_class,
            recipe.super_classes,
            recipe.batches_per_group,
            recipe.max_per_class,
            seed,
            recipe.order == "published",
        )
    return MPerClassSampler(
        fine,
        recipe.batch_size,
        recipe.images_per_class,
        recipe.max_per_class,
        seed,
        recipe.order == "published",
    )
