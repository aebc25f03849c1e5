"""Proposals: all evidence and every known label in, a calibrated parent for everything out.

The modules say `import scipy` and write its names in full: SciPy imports a part of itself when it
is used first, and most commands use none.
"""

from strata_labels.proposal.calibration import calibration_error
from strata_labels.proposal.class_votes import ClassVotes
from strata_labels.proposal.free import propose_free
from strata_labels.proposal.ids import node_id
from strata_labels.proposal.image_issues import NodeCentres, image_similarities
from strata_labels.proposal.label_issues import (
    LabelIssues,
    is_shared,
    most_harmful_first,
    score_labels,
)
from strata_labels.proposal.labelled import Ladder, doubt_coarse, doubt_given, propose_missing
from strata_labels.proposal.lexicon import Lexicon
from strata_labels.proposal.new_nodes import (
    decided_new_nodes,
    is_new_node,
    mark_outside,
    new_node_rows,
    propose_new_nodes,
)
from strata_labels.proposal.outside import outside_all_nodes
from strata_labels.proposal.propose import Proposer
from strata_labels.proposal.rows import NUM_ALTERNATIVES, proposal_row, proposal_table
from strata_labels.proposal.score import Scorer, Scores
from strata_labels.proposal.signals import CentredVectors, Prompts, Signals
from strata_labels.proposal.vocabulary import (
    Vocabulary,
    read_vocabulary,
    vocabulary_nodes,
    with_descriptions,
)
from strata_labels.proposal.within import Candidates, propose_within

__all__ = [
    "NUM_ALTERNATIVES",
    "Candidates",
    "CentredVectors",
    "ClassVotes",
    "LabelIssues",
    "Ladder",
    "Lexicon",
    "NodeCentres",
    "Prompts",
    "Proposer",
    "Scorer",
    "Scores",
    "Signals",
    "Vocabulary",
    "calibration_error",
    "decided_new_nodes",
    "doubt_coarse",
    "doubt_given",
    "image_similarities",
    "is_new_node",
    "is_shared",
    "mark_outside",
    "most_harmful_first",
    "new_node_rows",
    "node_id",
    "outside_all_nodes",
    "proposal_row",
    "proposal_table",
    "propose_free",
    "propose_missing",
    "propose_new_nodes",
    "propose_within",
    "read_vocabulary",
    "score_labels",
    "vocabulary_nodes",
    "with_descriptions",
]
