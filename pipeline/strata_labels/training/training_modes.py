"""The two modes of training: a head on cached vectors, or a whole network on images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from strata_labels.embedding import Encoder, VectorStore, embed_images
from strata_labels.training.head import new_head
from strata_labels.training.image_loading import (
    TrainImages,
    embed,
    plain_transform,
    random_transform,
)
from strata_labels.training.labelled_images import GALLERY, QUERY, TEST, TRAIN, LabelledImages
from strata_labels.training.model import RetrievalModel, build_model
from strata_labels.training.processes import Processes, Share
from strata_labels.training.recipe import Recipe

#: Splits that are not trained on.
TESTED = (TEST, QUERY, GALLERY)


class HeadTraining:
    """A head on the vectors of a frozen encoder.

    Attributes:
        features: identity of what the model is given.
        model: untrained.
        device: where it is.
    """

    def __init__(
        self,
        images: LabelledImages,
        recipe: Recipe,
        encoder: Encoder,
        store: VectorStore,
        processes: Processes,
    ) -> None:
        self.features = encoder.id
        if processes.first:
            embed_images(store, encoder, images.paths)
        processes.wait()
        if not processes.first:  # read what the first wrote
            store = VectorStore(store.folder)
        vectors, _ = embed_images(store, encoder, images.paths)
        self._all = torch.from_numpy(vectors)
        self._split = images.table.split.to_numpy()
        self.device = torch.device("cpu")
        self._train = self.vectors(TRAIN)
        self.model = new_head(self._train, recipe)

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

    @torch.inference_mode()
    def embedded(self, *splits: str) -> Tensor:
        """Unit vectors of the images of some splits, as the model gives them now."""
        return self.model.eval()(self.vectors(*splits))  # type: ignore[no-any-return]


class FullTraining:
    """A whole network, on the GPU where there is one. Attributes as `HeadTraining`."""

    def __init__(self, images: LabelledImages, recipe: Recipe, seed: int, workers: int) -> None:
        self._images, self._recipe, self._seed, self._workers = images, recipe, seed, workers
        self.features = recipe.backbone
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = self._fresh()
        self.load = TrainImages(
            images.part(TRAIN).paths,
            random_transform(recipe, self.model.mean, self.model.std),
            seed,
            workers,
            pin=self.device.type == "cuda",
        )
        self._plain = plain_transform(recipe, self.model.mean, self.model.std)

    def frozen(self) -> Tensor:
        """Unit vectors of the test images, as the backbone gave them before training."""
        fresh = self._fresh()
        features = nn.Sequential(fresh.backbone, fresh.pooling)
        return nn.functional.normalize(self._embed(features, TESTED), dim=1)

    def embedded(self, *splits: str) -> Tensor:
        """Unit vectors of the images of some splits, as the model gives them now."""
        return self._embed(self.model, splits)

    def _embed(self, model: nn.Module, splits: Sequence[str]) -> Tensor:
        paths = self._images.part(*splits).paths
        return embed(model.to(self.device), paths, self._plain, self.device, self._workers)

    def _fresh(self) -> RetrievalModel:
        with torch.random.fork_rng():
            torch.manual_seed(self._seed)
            return build_model(self._recipe)
