"""Proposals: all evidence and every known label in, a calibrated parent for everything out."""

from pipeline.proposal.calibration import calibration_error
from pipeline.proposal.clusters import find_nodes
from pipeline.proposal.disputes import disputes
from pipeline.proposal.evidence import Evidence, Prompts
from pipeline.proposal.free import propose_free
from pipeline.proposal.ids import evidence_hash, node_id, slug
from pipeline.proposal.lexicon import Lexicon
from pipeline.proposal.propose import propose
from pipeline.proposal.score import Scorer, Scores
from pipeline.proposal.vocabulary import Vocabulary, read_vocabulary, vocabulary_nodes
from pipeline.proposal.within import Candidates, Kinds, find_kinds, propose_within

__all__ = [
    "Candidates",
    "Evidence",
    "Kinds",
    "Lexicon",
    "Prompts",
    "Scorer",
    "Scores",
    "Vocabulary",
    "calibration_error",
    "disputes",
    "evidence_hash",
    "find_kinds",
    "find_nodes",
    "node_id",
    "propose",
    "propose_free",
    "propose_within",
    "read_vocabulary",
    "slug",
    "vocabulary_nodes",
]
