"""A recipe: the settings of one training, with their limits and defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from strata_labels.settings import List

Mode = Literal["full", "head"]
LossName = Literal[
    "suphap",
    "supap",
    "smoothap",
    "supndcg",
    "suprecall",
    "calibration",
    "cluster",
    "csl",
    "triplet",
]


def _of_single_precision(value: float) -> float:
    # The inverses of temperatures too.
    if value and not 1e-38 < abs(value) < 3e38:
        raise ValueError("too large or too small for single precision")
    return value


Number = Annotated[float, AfterValidator(_of_single_precision)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
AtLeast1 = Annotated[int, Field(ge=1)]
AtLeast2 = Annotated[int, Field(ge=2)]


class Recipe(BaseModel):
    """Settings of one training. A recipe file holds some of them; these are the others' values.

    Attributes:
        title: what it is, for people.
        data_set: the data set whose published settings it has; empty for a plain recipe.
        follows: the repository and file of the published code that it follows.
        otherwise: settings that differ from the published ones on purpose, and why.
        losses, weights: terms of the loss and their weights.
        level: column of the labels that one-level losses learn.
        tau, rho, delta, start, offset: of SupRank (`SmoothAP` takes tau alone).
        h_rank: beta, gamma and leak of SupHAP's H-rank; empty: the step function.
        recall_at, recall_temperature: of SupRecall.
        positive_margin, negative_margin: of the calibration loss.
        triplet_margin, triplet_mining: of the triplet loss (see `TripletLoss`).
        cluster_temperature: of the cluster loss.
        csl_margins, csl_scale: of CSL, a margin per level, the finest first; none: 0.25 to 0.45
            evenly.
        proxies: where proxies start: at random or at the classes' mean vectors.
        sampler: `m-per-class` or `hierarchical`, which needs two levels: with one it is the former.
        batch_size: images in a batch, over all processes.
        order: `every-image`: each image of each class is seen in an epoch of `m-per-class`, and
            classes take turns in `hierarchical`; `published`: as in SupRank, which leaves out
            images and small classes. To compare a run with the papers.
        images_per_class: m of both samplers.
        max_per_class: images of a class seen in an epoch, at most; 0: all.
        super_classes: super-classes (of the coarsest level) in a batch of `hierarchical`.
        batches_per_group: batches for each set of super-classes in an epoch of `hierarchical`; 0:
            as many as full batches would need to show as many images as there are.
        epochs: number of epochs.
        warmup_epochs: first epochs, in which the backbone does not learn.
        optimizer: `adam`, `adamw` or `sgd`.
        lr, head_lr, proxy_lr: of the backbone, of the layers above it, of proxies.
        lr_end, proxy_lr_end: where a cosine ends, of the network and of proxies; -1: proxies end
            where the network does.
        weight_decay, proxy_weight_decay: of the network, and of proxies.
        schedule: `cosine`, `steps` or `constant`. It advances once per epoch, and stands still in
            the warm-up.
        milestones, step_factor: of `steps`: the epochs from which rates are multiplied by it.
        clip: largest norm of the gradient; 0: not clipped.
        memory: embeddings kept as further references (cross-batch memory); 0: none.
        precision: `auto` (bf16 autocast on a GPU that has it), `bf16` or `float32`.
        backbone: a timm model, open_clip's `MODEL/TAG`, `local-dir:FOLDER` or `registry`. As of an
            encoder, `timm:NAME` and `timm:NAME@FILE` are the model NAME, with `pretrained` FILE.
        pretrained: `yes` for the backbone's published weights, `no`, or a file of weights.
        pooling: `avg`, `max`, `avgmax` or `gem` (of a timm model; its exponent learns). A
            transformer of timm pools by itself with `avg`, as an encoder does.
        layer_norm: whether a layer norm without scale and shift comes before the linear layer.
        dim: length of the embeddings; 0: as that of the layer's input.
        identity: the linear layer starts as the identity (as the first principal directions of
            the train vectors, if `dim` is less), on centred vectors. For heads on cached vectors.
        whitening: the linear layer starts as the whitening of what varies within the finest
            classes of the train vectors, in place of the identity: above 0 to below 1, the weight
            of the within-class covariance against the identity; 0: as the identity.
        freeze_batch_norm: batch norm keeps its pretrained statistics; its scale and shift learn,
            or, if `all`, keep their values too.
        interpolation: of every resize.
        resize, crop: pixels: test images' shorter side, and the crop's side.
        squash: test images become squares of `resize` pixels, whatever their shape.
        train_resize: shorter side of train images before the random resized crop; 0: as they are.
        min_scale, max_scale, min_ratio, max_ratio: of the random resized crop; `max_scale` 0:
            resize and random crop.
        report_recall_at: k of the hit rates that are reported besides 1, 5 and 10.
        checkpoint_every: steps between checkpoints.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    title: str = ""
    data_set: str = ""
    follows: str = ""
    otherwise: dict[str, str] = {}
    losses: List[LossName] = Field(default=(), validate_default=True, min_length=1)
    weights: List[NotNegative] = Field(default=(), validate_default=True)
    level: Count = 0
    tau: Positive = 0.01
    rho: NotNegative = 100.0
    delta: NotNegative = 0.05
    start: NotNegative = 0.5
    offset: NotNegative = 1.44
    h_rank: List[NotNegative] = ()
    recall_at: List[AtLeast1] = Field(default=(1, 2, 4, 8, 16), min_length=1)
    recall_temperature: Positive = 1.0
    positive_margin: Number = 0.9
    negative_margin: Number = 0.6
    triplet_margin: Number = 0.1
    triplet_mining: Literal["hard", "semi-hard", "published"] = "hard"
    cluster_temperature: Positive = 0.05
    csl_margins: List[Number] = ()
    csl_scale: Positive = 32.0
    proxies: Literal["random", "means"] = "random"
    sampler: Literal["m-per-class", "hierarchical"] = "m-per-class"
    order: Literal["every-image", "published"] = "every-image"
    images_per_class: AtLeast2 = 4
    batch_size: AtLeast2 = Field(default=256, validate_default=True)
    max_per_class: Count = 0
    super_classes: AtLeast1 = 2
    batches_per_group: Count = 0
    epochs: Count = 100
    warmup_epochs: Count = 5
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: NotNegative = 5e-5
    head_lr: NotNegative = 1e-4
    proxy_lr: NotNegative = 10.0
    lr_end: NotNegative = 0.0
    proxy_lr_end: Number = -1.0
    weight_decay: NotNegative = 1e-4
    proxy_weight_decay: NotNegative = 0.0
    schedule: Literal["cosine", "steps", "constant"] = "cosine"
    milestones: List[AtLeast1] = (30, 70)
    step_factor: Positive = 0.3
    clip: NotNegative = 0.0
    memory: Count = 0
    precision: Literal["auto", "bf16", "float32"] = "auto"
    backbone: str = "resnet50.tv_in1k"
    pretrained: str = "yes"
    pooling: Literal["avg", "max", "avgmax", "gem"] = "avg"
    layer_norm: bool = True
    dim: Count = 512
    identity: bool = False
    whitening: Annotated[float, Field(ge=0, lt=1)] = 0.0
    freeze_batch_norm: bool | Literal["all"] = True
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    resize: AtLeast1 = 256
    crop: AtLeast1 = Field(default=224, validate_default=True)
    squash: bool = False
    train_resize: Count = 0
    min_scale: NotNegative = 0.16
    max_scale: NotNegative = Field(default=1.0, validate_default=True)
    min_ratio: Positive = 0.75
    max_ratio: Positive = Field(default=1.33, validate_default=True)
    report_recall_at: List[AtLeast1] = ()
    checkpoint_every: AtLeast1 = 500

    # A validator sees only the fields before its own that are right.
    @field_validator("weights")
    @classmethod
    def _as_many_as_losses(cls, weights: Any, info: ValidationInfo) -> Any:
        losses = info.data.get("losses")
        if losses is not None and len(losses) != len(weights):
            raise ValueError(f"as many weights as losses are needed ({len(losses)})")
        if weights and not any(weights):
            raise ValueError("a weight above 0 is needed")
        return weights

    @field_validator("h_rank")
    @classmethod
    def _none_or_three(cls, h_rank: Any) -> Any:
        if len(h_rank) not in (0, 3):
            raise ValueError("give beta, gamma and leak, or nothing")
        return h_rank

    @field_validator("proxy_lr_end")
    @classmethod
    def _rate_or_none(cls, end: float) -> float:
        if end < 0 and end != -1:
            raise ValueError("a rate is needed, or -1")
        return end

    @field_validator("crop")
    @classmethod
    def _within_the_picture(cls, crop: int, info: ValidationInfo) -> int:
        resize = info.data.get("resize", crop)
        if crop > resize:
            raise ValueError(f"no more than resize ({resize}) can be cropped; or enlarge that")
        return crop

    @field_validator("max_scale", "max_ratio")
    @classmethod
    def _not_below_the_least(cls, most: float, info: ValidationInfo) -> float:
        name = str(info.field_name).replace("max", "min")
        least = info.data.get(name, most)
        # With a largest scale of 0, there is no resized crop.
        if most < least and info.data.get("max_scale", most):
            raise ValueError(f"no less than {name} ({least}) is possible")
        return most

    @field_validator("whitening")
    @classmethod
    def _of_a_start(cls, whitening: float, info: ValidationInfo) -> float:
        if whitening and not info.data.get("identity", True):
            raise ValueError("only for heads on cached vectors with identity=true")
        return whitening

    @field_validator("batch_size")
    @classmethod
    def _two_classes(cls, batch_size: int, info: ValidationInfo) -> int:
        least = 2 * info.data.get("images_per_class", 1)
        if batch_size < least:
            raise ValueError(f"two classes at least are needed ({least} images)")
        return batch_size

    def as_dict(self) -> dict[str, Any]:
        """Plain values: lists for tuples."""
        return self.model_dump(mode="json")
