"""Losses for hierarchical retrieval, one signature for all. Needs only torch.

`loss(embeddings, labels, reference_embeddings=None, reference_labels=None)`: embeddings `[b, d]`
are used as they are (dot products), labels `[b, L]` are integers, column 0 the finest level.

    >>> import torch
    >>> embeddings = torch.nn.functional.normalize(torch.eye(4), dim=1).requires_grad_()
    >>> loss = SupHAPLoss()(embeddings, torch.tensor([[0, 0], [0, 0], [1, 0], [2, 1]]))
    >>> loss.backward()
"""

from strata_labels.losses.batch import Batch
from strata_labels.losses.pairs import CalibrationLoss, TripletLoss
from strata_labels.losses.proxies import ClusterLoss, CSLLoss
from strata_labels.losses.ranks import (
    SmoothAPLoss,
    SupAPLoss,
    SupHAPLoss,
    SupNDCGLoss,
    SupRecallLoss,
)
from strata_labels.losses.weighted import Sum

__all__ = [
    "Batch",
    "CSLLoss",
    "CalibrationLoss",
    "ClusterLoss",
    "SmoothAPLoss",
    "Sum",
    "SupAPLoss",
    "SupHAPLoss",
    "SupNDCGLoss",
    "SupRecallLoss",
    "TripletLoss",
]
