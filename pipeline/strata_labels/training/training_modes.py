"""The two modes of training: a head on cached vectors, or a whole network on images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from strata_labels.embedding import Encoder, VectorStore, embed_images
from strata_labels.errors import InputError, Problem
from strata_labels.freed_memory import keep_freed_memory
from strata_labels.training.head import new_head
from strata_labels.training.image_loading import (
    TrainImages,
    check_directions,
    embed,
    plain_transform,
    random_transform,
)
from strata_labels.training.labelled_images import GALLERY, QUERY, TEST, TRAIN, LabelledImages
from strata_labels.training.model import RetrievalModel, build_model
from strata_labels.training.processes import Processes, Share
from strata_labels.training.recipe import Recipe
from strata_labels.training.trainer import uses_autocast

#: Splits that are not trained on.
TESTED = (TEST, QUERY, GALLERY)


class HeadTraining:
    """A head on the vectors of a frozen encoder.

    Attributes:
        features: identity of what the model is given.
        model: untrained.
        device: where it is.
        broken: images of the train split that cannot be read any more, with the reason.
    """

    def __init__(
        self,
        images: LabelledImages,
        recipe: Recipe,
        encoder: Encoder,
        store: VectorStore,
        processes: Processes,
        skip_damaged: bool,
    ) -> None:
        self.features = encoder.id
        paths = images.paths
        if processes.first:
            embed_images(store, encoder, paths)
        processes.wait()
        if not processes.first:  # read what the first wrote
            store = VectorStore(store.folder)
        vectors, damaged = embed_images(store, encoder, paths)
        self._paths = paths
        self._split = images.table.split.to_numpy()
        lost = {
            at: damaged.get(paths[at], "missing")
            for at in np.flatnonzero(~np.isfinite(vectors).all(1)).tolist()
        }
        images.without(lost, skip_damaged)  # names them, where they are an error
        train = np.flatnonzero(self._split == TRAIN)
        self.broken = {
            int(np.searchsorted(train, at)): why
            for at, why in lost.items()
            if self._split[at] == TRAIN
        }
        # A lost image is replaced by another one of its class, as in full mode.
        classes = images.table["level0"].to_numpy()
        for at in lost:
            if self._split[at] == TRAIN:
                mates = train[(classes[train] == classes[at]) & ~np.isin(train, list(lost))]
                vectors[at] = vectors[mates[0]]
        self._all = torch.from_numpy(vectors)
        self.device = processes.device
        self._train = self.vectors(TRAIN)
        self.model = new_head(self._train, images.part(TRAIN).labels[:, 0], recipe)

    def vectors(self, *splits: str) -> Tensor:
        """The encoder's vectors `[n, d]` of some splits."""
        chosen = torch.tensor([split in splits for split in self._split])
        return self._all[chosen]

    def load(self, epoch: int, first: int, shares: Sequence[Share]) -> Iterator[Tensor]:
        """Batches of vectors."""
        return (self._train[share.images] for share in shares)

    def frozen(self) -> Tensor:
        """Unit vectors of the test images, as the encoder gives them."""
        return nn.functional.normalize(self.vectors(*TESTED), dim=1)

    @torch.no_grad()
    def embedded(self, *splits: str) -> Tensor:
        """Unit vectors of the images of some splits, as the model gives them now."""
        model, vectors = self.model.eval(), self.vectors(*splits)
        parts = vectors.split(65536)
        result = torch.cat([model(part.to(self.device)).cpu() for part in parts])
        read = vectors.isfinite().all(1)  # others are of images that were left out
        paths = [at for at, split in zip(self._paths, self._split, strict=True) if split in splits]
        check_directions(result[read], [paths[at] for at in read.nonzero().flatten().tolist()])
        return result


class FullTraining:
    """A whole network, on the GPU where there is one. Attributes as `HeadTraining`."""

    def __init__(
        self,
        images: LabelledImages,
        recipe: Recipe,
        seed: int,
        workers: int,
        processes: Processes,
        skip_damaged: bool,
    ) -> None:
        self._images, self._recipe, self._seed, self._workers = images, recipe, seed, workers
        self._processes, self._skip_damaged = processes, skip_damaged
        self.features = recipe.backbone
        self.device = processes.device
        if self.device.type == "cpu":
            keep_freed_memory()
        self.model = self._fresh()
        if processes.world > 1:
            _synchronise_batch_norm(self.model, self.device)
        train = images.part(TRAIN)
        self.load = TrainImages(
            train.paths,
            train.labels[:, 0].numpy(),
            random_transform(recipe),
            seed,
            workers,
            skip_damaged,
            pin=self.device.type == "cuda",
        )
        self._plain = plain_transform(recipe)

    @property
    def broken(self) -> dict[int, str]:
        """Images of the train split that broke during the training, with the reason."""
        return self.load.broken

    def frozen(self) -> Tensor:
        """Unit vectors of the test images, as the backbone gave them before training."""
        fresh = self._fresh()
        fresh.head = nn.Identity()  # type: ignore[assignment]
        return nn.functional.normalize(self._embed(fresh, TESTED), dim=1)

    def embedded(self, *splits: str) -> Tensor:
        """Unit vectors of the images of some splits, as the model gives them now."""
        return self._embed(self.model, splits)

    def _embed(self, model: nn.Module, splits: Sequence[str]) -> Tensor:
        """Every process embeds its part, so that none waits long for another."""
        paths = self._images.part(*splits).paths
        own = self._processes.share(np.arange(len(paths))).images
        vectors = embed(
            model.to(self.device),
            [paths[at] for at in own],
            self._plain,
            self.device,
            self._workers,
            self._skip_damaged,
            autocast=uses_autocast(self._recipe, self.device),
        )
        self._processes.wait()
        return self._processes.gather(vectors, len(paths))

    def _fresh(self) -> RetrievalModel:
        with torch.random.fork_rng(devices=[]):  # it is built on the CPU
            torch.manual_seed(self._seed)
            model = build_model(self._recipe)
        if self.device.type == "cuda":
            return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
        return model


def _synchronise_batch_norm(model: RetrievalModel, device: torch.device) -> None:
    """Makes batch norm whose statistics learn see the batch of all processes.

    Raises:
        InputError: on a CPU, where that does not exist.
    """
    learns = any(
        isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training
        for module in model.train().modules()
    )
    if not learns:
        return
    if device.type == "cpu":
        what = "batch norm that learns statistics cannot be synchronised between processes on CPUs:"
        fix = "Set freeze_batch_norm=true, or train in one process."
        raise InputError(Problem("freeze_batch_norm", what, fix, value=False))
    model.backbone = nn.SyncBatchNorm.convert_sync_batchnorm(model.backbone)
