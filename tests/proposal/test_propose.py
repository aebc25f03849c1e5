import numpy as np
import pandas as pd
from strata_labels.evidence import Evidence, Reason
from strata_labels.proposal import Proposer, Scorer, node_id

from tests.proposal.conftest import NODES, named


def _items(*names: str) -> pd.DataFrame:
    ids = [f"gldv2/train/{n}" for n in range(len(names))]
    return pd.DataFrame({"item_id": ids, "name": names})


def _proposals(lexicon, vocabulary, *names, classes=None, known=None):
    scorer = Scorer(named(*names), NODES, lexicon)
    proposer = Proposer(_items(*names), scorer, vocabulary, classes)
    table = proposer.propose(scorer.fit(known))
    return table.set_index("subject")


def test_every_item_class_and_cluster_has_one_row_up_to_the_top(lexicon, vocabulary):
    table = _proposals(lexicon, vocabulary, "Old Chapel", "Tower Bridge", "Xyzzy")
    parents = table["parent"]
    assert parents["gldv2/train/0"] == "1/Q108325"  # the chapel keeps its own class
    assert parents["1/Q108325"] == "2/church"
    assert parents["2/church"] == "3/human-made"
    assert parents["2/lake"] == "3/natural"
    assert parents["gldv2/train/1"] == "1/Q12280"
    assert table["row_id"].is_unique
    assert table.loc["gldv2/train/2", "status"] == "no_evidence"
    assert pd.isna(parents["gldv2/train/2"])


def test_an_item_whose_class_is_outside_gets_no_label(lexicon, vocabulary):
    classes = pd.DataFrame(
        {
            "status": ["outside", "reached"],
            "node": ["", "lake"],
            "class_qid": ["Q3624078", "Q23397"],
            "class_label": ["sovereign state", "lake"],
            "qid": ["Q1", "Q2"],
            "class_qids": [["Q3624078"], ["Q23397"]],
        }
    )
    table = _proposals(lexicon, vocabulary, "Tower", "Baikal", classes=classes)
    assert table.loc["gldv2/train/0", "status"] == "no_place"
    assert table.loc["gldv2/train/0", "reasons"] == (Reason("no_place"),)
    assert pd.isna(table.loc["gldv2/train/0", "parent"])


def test_evidence_is_data_and_its_hash_ignores_what_was_learnt(lexicon, vocabulary):
    names = ("Pont Neuf", "Lake Como", "Tower of London")
    before = _proposals(lexicon, vocabulary, *names)
    known = np.array([-1, NODES.index("lake"), NODES.index("castle / fort")])
    after = _proposals(lexicon, vocabulary, *names, known=known)
    word = Evidence("name_word", "2/bridge", text="pont", language="fr")
    assert word in before.loc["gldv2/train/0", "evidence"]
    assert before["evidence_hash"]["gldv2/train/0"] == after["evidence_hash"]["gldv2/train/0"]
    assert after.loc["gldv2/train/2", "status"] == "known"
    assert after.loc["gldv2/train/2", "parent"] == node_id(1, "Q23413")


def test_what_speaks_against_a_row_lowers_its_score(lexicon, vocabulary):
    items = _items("Pont Neuf", "Lago di Como").assign(title="the same", split=["train", "index"])
    scorer = Scorer(named(*items["name"]), NODES, lexicon)
    table = Proposer(items, scorer, vocabulary).propose(scorer.fit()).set_index("subject")
    for item in items["item_id"]:
        row = table.loc[item]
        assert Reason("splits_differ") in row.reasons
        assert row.score < row.confidence
    apart = Proposer(items.assign(title=["a", "b"]), scorer, vocabulary).propose(scorer.fit())
    assert (apart["score"] == apart["confidence"]).all()


def test_an_open_row_has_alternatives_with_evidence(lexicon, vocabulary):
    table = _proposals(lexicon, vocabulary, "Lake Chapel", "Xyzzy")
    others = table.loc["gldv2/train/0", "alternatives"]
    assert 0 < len(others) <= 3 and {other.node for other in others} & {"2/lake", "2/church"}
    spoken = {piece.kind for other in others for piece in other.evidence}
    assert "name_word" in spoken
    assert table.loc["gldv2/train/1", "alternatives"] == ()
