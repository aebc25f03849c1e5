"""A small world: five nodes, words in a few languages, names with and without them."""

import numpy as np
import pandas as pd
import pytest
from strata_labels.proposal import Lexicon, Signals

NODES = ["bridge", "castle / fort", "church", "lake", "tower"]


@pytest.fixture
def vocabulary() -> pd.DataFrame:
    parents = ["human-made", "human-made", "human-made", "natural", "human-made", "", ""]
    classes = ["Q12280", "Q23413|Q57821", "Q16970", "Q23397", "Q12518", "", ""]
    names = [*NODES, "human-made", "natural"]
    return pd.DataFrame({"node": names, "parent": parents, "class_qids": classes})


@pytest.fixture
def table() -> pd.DataFrame:
    rows = [
        ("bridge", "Q12280", "en", "bridge", "strong"),
        ("bridge", "Q12280", "fr", "pont", "strong"),
        ("bridge", "Q12280", "de", "-brücke", "strong"),
        ("castle / fort", "Q23413", "en", "castle", "strong"),
        ("castle / fort", "Q23413", "de", "burg-", "weak"),
        ("church", "Q16970", "en", "church", "strong"),
        ("church", "Q16970", "fr", "église", "strong"),
        ("church", "Q108325", "en", "chapel", "strong"),
        ("church", "Q16970", "ja", "教会", "strong"),
        ("lake", "Q23397", "it", "lago", "strong"),
        ("lake", "Q23397", "en", "lake", "strong"),
        ("tower", "Q12518", "en", "tower", "strong"),
        ("tower", "Q12518", "en", "bell tower", "strong"),
    ]
    return pd.DataFrame(rows, columns=["node", "qid", "language", "term", "strength"])


@pytest.fixture
def lexicon(table: pd.DataFrame) -> Lexicon:
    return Lexicon(table, NODES)


def named(*names: str, **more: np.ndarray) -> Signals:
    return Signals(list(names), [""] * len(names), **more)
