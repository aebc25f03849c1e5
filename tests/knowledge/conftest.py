"""Local Commons and Wikidata APIs with every kind of page, and an empty response store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mediawiki import World, item
from strata_labels.knowledge import ResponseStore


@pytest.fixture
def small_world() -> World:
    """One page for each status; classes with a loop, ranks, unknown values."""
    world = World()
    soft = "{{Category redirect|1=Category:Old Mill (Nice)|reason=renamed}}"
    world.pages = {
        "Category:Old Mill (Nice)": {"item": "Q1"},
        "Category:Mill hard": {"redirect": "Category:Old Mill (Nice)"},
        "Category:Mill soft": {"text": soft},
        "Category:Mill soft twice": {"text": "{{seecat|Mill soft}}"},
        "Category:Mill nowhere": {"text": "{{Category redirect|Gone mill}}"},
        "Category:Mill unreadable": {"text": "{{Category redirect}}"},
        "Category:Loop A": {"redirect": "Category:Loop B"},
        "Category:Loop B": {"redirect": "Category:Loop A"},
        "Category:Soft A": {"text": "{{Category redirect|Soft B}}"},
        "Category:Soft B": {"text": "{{Category redirect|:Category:Soft A}}"},
        "Category:No item": {},
        "Category:Canal": {"item": "Q2"},
        "Category:Two topics": {"item": "Q3"},
        "Category:Only a category": {"item": "Q4"},
        "Category:Item deleted": {"item": "Q404"},
        "Category:Item merged": {"item": "Q11"},
        "Category:Item refused": {"item": "Q666"},
        "Category:Église": {"item": "Q5"},
        "Category:Not an item": {"item": "P31"},
    }
    world.entities = {
        "Q1": item("Q1", "mill", P31=[("Q20", "preferred"), "Q21", ("Q23", "deprecated")]),
        "Q2": item("Q2", "Category:Canal", P31=["Q4167836"], P301=["Q6"]),
        "Q3": item("Q3", P31=["Q4167836"], P301=["Q6", "Q1"]),
        "Q4": item("Q4", P31=["Q4167836"]),
        "Q5": item("Q5", "church", P31=[None, "Q22"], P17=["Q30"]),
        "Q6": item("Q6", "canal", P31=["Q21"]),
        "Q11": "Q5",
        "Q666": "refused",
        "Q20": item("Q20", "watermill", P279=["Q21"]),
        "Q21": item("Q21", "structure", P279=["Q24"]),
        "Q22": item("Q22", "church building", P279=["Q21", "Q25"]),
        "Q24": item("Q24", "thing", P279=["Q20"]),
        "Q25": "Q24",
        "Q30": item("Q30", "France"),
        "Q4167836": item("Q4167836", "Wikimedia category"),
    }
    return world


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ResponseStore]:
    with ResponseStore(tmp_path / "store.sqlite") as opened:
        yield opened
