"""The settings of one build: its options, tree and metadata, with defaults filled in."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field

from strata_labels.hierarchy import Hierarchy, known_trees, load_hierarchy
from strata_labels.knowledge import COMMONS_API, WIKIDATA_API, Apis, check_contact
from strata_labels.settings import BuildOptions, checked
from strata_labels.sources import SOURCES, Source, known_levels

#: Name of the only level where there is no column of labels.
NO_LABELS = "label"

# Names of levels found among the vectors, by their number, the finest first.
_FOUND_LEVELS = {
    1: ["cluster"],
    2: ["fine_cluster", "coarse_cluster"],
    3: ["fine_cluster", "coarse_cluster", "top_cluster"],
}


class BuildSettings(BuildOptions):
    """Everything that a build depends on; paths are absolute."""

    tree: str = Field(description="A shipped tree, or a folder with hierarchy.toml.")
    metadata: Path = Field(description="Folder or table with the data set's metadata.")
    decisions: Path
    encoder: str
    encoder_given: bool = Field(
        default=False, description="The encoder was asked for; else it is the tree's own."
    )
    images_per_landmark: int = Field(default=8, ge=1)
    levels: str | None = Field(
        default=None, description="Variant of the tree's levels; else its first."
    )
    asked: bool = Field(
        default=False,
        description="An earlier build of the workspace asked Wikimedia for all it needs.",
    )

    @cached_property
    def hierarchy(self) -> Hierarchy:
        """The tree's definition; levels that are found among the vectors are named as such."""
        found = load_hierarchy(self.tree, self.levels)
        levels = self.given_levels
        if self.clusters:
            number = max(1, len(levels) - 1)
            names = _FOUND_LEVELS.get(number, [f"cluster_{n}" for n in range(1, number + 1)])
            levels = (levels[0], *names)
        return found.model_copy(update={"levels": levels})

    @cached_property
    def given_levels(self) -> tuple[str, ...]:
        """Names of the tree's levels; where it does not say, those of the labels."""
        found = load_hierarchy(self.tree, self.levels)
        return found.levels or ("item", *(self.labelled_levels or [NO_LABELS]))

    @cached_property
    def labelled_levels(self) -> tuple[str, ...]:
        """Levels for which the metadata has labels; if for none, those of `--known-labels`."""
        given = SOURCES[load_hierarchy(self.tree, self.levels).source].levels(self.metadata)
        return given or (known_levels(self.known_labels) if self.known_labels else ())

    @property
    def source(self) -> Source:
        """What reads the metadata."""
        return SOURCES[self.hierarchy.source]

    @property
    def image_root(self) -> Path | None:
        """Where image files lie, if images are looked at."""
        if self.images:
            return self.images
        if self.hierarchy.found or self.embeds_given_names or self.image_encoder:
            return self.source.image_root(self.metadata)
        return None

    @property
    def needs_encoder(self) -> bool:
        """Whether names or picture files are encoded."""
        pictures = self.image_root is not None and self.vectors is None
        return pictures or not self.hierarchy.published or self.embeds_given_names

    @property
    def embeds_given_names(self) -> bool:
        """Whether an encoder was asked for in a tree that the labels make."""
        return self.hierarchy.published and self.encoder not in ("", self.hierarchy.encoder)

    @property
    def encoder_of_images(self) -> str:
        """The encoder that compares images with images."""
        return self.image_encoder or self.encoder

    @property
    def vocabulary_file(self) -> Path:
        """The vocabulary in force: the user's own, else the tree's."""
        return self.vocabulary or self.hierarchy.vocabulary

    @property
    def class_files(self) -> tuple[Path, ...]:
        """Files that say which class belongs to which node."""
        tree = self.hierarchy
        return self.vocabulary_file, tree.vocabulary, tree.classes, tree.outside


def settings_of(
    tree: str, workspace: Path, metadata: Path, options: BuildOptions, levels: str | None = None
) -> BuildSettings:
    """The settings of a build in the folder `workspace`, from what a person gave.

    Raises:
        InputError: no such tree or levels; a contact or an API's address that cannot be one.
    """
    Apis(options.commons_api or COMMONS_API, options.wikidata_api or WIKIDATA_API)
    hierarchy = load_hierarchy(tree, levels)
    given: dict[str, Any] = options.model_dump(exclude_none=True)
    given = {"decisions": workspace / "decisions.csv", **given, "metadata": metadata}
    given |= {key: value.resolve() for key, value in given.items() if isinstance(value, Path)}
    if options.contact is not None:
        given["contact"] = check_contact(options.contact)
    defaults = {
        "encoder": hierarchy.encoder,
        "encoder_given": options.encoder is not None,
        "images_per_landmark": hierarchy.images_per_landmark,
        "tree": tree if tree in known_trees() else str(Path(tree).resolve()),
        "levels": levels,
    }
    return checked(BuildSettings, defaults | given, "the settings")
