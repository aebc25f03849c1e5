"""Hierarchical retrieval metrics: exact, streaming, any number of levels. Needs only torch.

>>> import torch
>>> embeddings = torch.nn.functional.normalize(torch.eye(12) + 0.1, dim=1)
>>> labels = torch.tensor([[i // 2, i // 6] for i in range(12)])
>>> report = evaluate_embeddings(embeddings, labels)
>>> report.num_queries, report.num_without_positives, sorted(report.means)[:3]
(12, 0, ['ap_at_10_level0', 'ap_at_10_level1', 'ap_level0'])
"""

from strata_labels.label_tensors import (
    agreement,
    check_embeddings,
    check_labels,
    check_nested,
)
from strata_labels.retrieval.evaluator import RECALL_KS, Report, evaluate_embeddings
from strata_labels.retrieval.expansion import expand
from strata_labels.retrieval.metrics import (
    asi,
    average_precision,
    hap,
    hit_rate_at_k,
    macro_average,
    map_at_r,
    ndcg,
    precision_at_k,
    recall_at_k,
)
from strata_labels.retrieval.ranked_levels import rank_levels
from strata_labels.retrieval.relevance import Map, Pop, Relevance
from strata_labels.retrieval.resampling import Comparison, bootstrap_interval, paired_test
from strata_labels.retrieval.similarity import Similarity

__all__ = [
    "RECALL_KS",
    "Comparison",
    "Map",
    "Pop",
    "Relevance",
    "Report",
    "Similarity",
    "agreement",
    "asi",
    "average_precision",
    "bootstrap_interval",
    "check_embeddings",
    "check_labels",
    "check_nested",
    "evaluate_embeddings",
    "expand",
    "hap",
    "hit_rate_at_k",
    "macro_average",
    "map_at_r",
    "ndcg",
    "paired_test",
    "precision_at_k",
    "rank_levels",
    "recall_at_k",
]
