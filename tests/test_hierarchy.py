"""`hierarchy.toml`: all its fields are read, and all its problems listed at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from strata_labels.errors import InputError, Problem
from strata_labels.hierarchy import known_trees, load_hierarchy, shipped

SORTING = """
tree = "mine"
title = "Mine"
source = "table"
levels = ["thing", "kind", "group"]
[assets]
vocabulary = "v.csv"
classes = "c.csv"
outside = "o.csv"
lexicon = "l.csv"
[embedding]
encoder = "registry"
class_templates = ["A {}"]
name_templates = ["{}"]
images_per_landmark = 4
[acceptance]
target = 0.9
[card]
compared_level = 2
[[card.sources]]
name = "Mine"
licence = "CC0"
origin = "https://example.org"
[export]
formats = ["newick"]
"""


def problems(folder: Path, text: str) -> list[Problem]:
    (folder / "hierarchy.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_hierarchy(str(folder))
    return caught.value.problems


@pytest.mark.parametrize("tree", known_trees())
def test_the_shipped_trees_are_right(tree: str) -> None:
    found = load_hierarchy(tree)
    assert found.tree == tree and found.file == shipped() / tree / "hierarchy.toml"
    for variant in found.variants:
        assert load_hierarchy(tree, variant).formats


def test_every_key_arrives(tmp_path: Path) -> None:
    for name in "vcol":
        (tmp_path / f"{name}.csv").touch()
    (tmp_path / "hierarchy.toml").write_text(SORTING, encoding="utf-8")
    found = load_hierarchy(str(tmp_path))
    assert found.levels == ("thing", "kind", "group") and not found.published
    assert (found.vocabulary, found.lexicon) == (tmp_path / "v.csv", tmp_path / "l.csv")
    assert (found.target, found.images_per_landmark, found.compared_level) == (0.9, 4, 2)
    assert found.sources[0].origin == "https://example.org"
    assert (found.licence, found.formats, found.class_templates) == (
        "",
        ("newick",),
        ("A {}",),
    )


def test_every_problem_of_a_definition_is_listed(tmp_path: Path) -> None:
    text = (
        'tree = 1\ntitle = "x"\nsource = "table"\ncolour = "red"\n[published]\nblank = "-"\n'
        '[variants.deep]\nlevels = ["item", "kind"]\nfound = "other"\nlevel = 3\n'
    )
    found = {problem.column: problem for problem in problems(tmp_path, text)}
    assert set(found) == {
        "tree",
        "colour",
        "variants.deep.level",
        "variants.deep.found",
        "embedding.encoder",
        "embedding.class_templates",
        "embedding.name_templates",
        "embedding.images_per_landmark",
        "export.formats",
    }
    assert str(found["tree"]).endswith(
        "column 'tree': input should be a valid string: 1. Correct the value."
    )
    assert "Known: acceptance, assets, card, embedding" in found["colour"].fix
    assert found["variants.deep.level"].fix == "Known: formats, found, levels."


@pytest.mark.parametrize(
    ("old", "new", "column"),
    [
        ("target = 0.9", "target = 1.5", "acceptance.target"),
        ("target = 0.9", "", ""),
        ('lexicon = "l.csv"', "", "assets.lexicon"),
        ('lexicon = "l.csv"', 'lexikon = "l.csv"', "assets.lexikon"),
        ("images_per_landmark = 4", 'images_per_landmark = "4"', "embedding.images_per_landmark"),
        ('formats = ["newick"]', 'formats = "newick"', "export.formats"),
        ('licence = "CC0"', "", "card.sources.0.licence"),
        ("[acceptance]\ntarget = 0.9", "[variants]\ndeep = 3", "variants.deep"),
        ('levels = ["thing", "kind", "group"]', "", "levels"),
        ('outside = "o.csv"', 'outside = "none.csv"', "assets.outside"),
    ],
)
def test_one_wrong_key_is_named(tmp_path: Path, old: str, new: str, column: str) -> None:
    for name in "vcol":
        (tmp_path / f"{name}.csv").touch()
    text = SORTING.replace(old, new)
    if not column:
        (tmp_path / "hierarchy.toml").write_text(text, encoding="utf-8")
        assert load_hierarchy(str(tmp_path)).target == 0.95
        return
    assert column in {problem.column for problem in problems(tmp_path, text)}


def test_a_file_that_is_no_toml_and_levels_that_are_not_there(tmp_path: Path) -> None:
    assert "not TOML" in problems(tmp_path, "tree = \n")[0].what
    with pytest.raises(InputError, match="no such tree"):
        load_hierarchy("atlantis")
    with pytest.raises(InputError, match="It has full, base"):
        load_hierarchy("inat-h", "deep")
    with pytest.raises(InputError, match="one choice"):
        load_hierarchy("gldv2-h", "deep")
