"""The build: its stages, what each reads and writes, and the one runner."""

from strata_labels.build.apply import apply_sheet, is_behind, write_review_sheet
from strata_labels.build.archive_plan import ArchivePlan, plan_archives
from strata_labels.build.archive_unit import ArchiveContent, Unit, read_unit, usable_cores
from strata_labels.build.assets import ledgers, picture_finder
from strata_labels.build.corrections import correct_published
from strata_labels.build.explain import ClassFacts, Explanation, explain
from strata_labels.build.history import item_history
from strata_labels.build.image_archives import (
    ReadUnits,
    embed_archives,
    fetch_images,
    read_here,
)
from strata_labels.build.reconcile import report_classes
from strata_labels.build.runner import build_tree, plan_build, rebuild, run_stages
from strata_labels.build.settings import BuildSettings, settings_of
from strata_labels.build.simulate import simulate_review
from strata_labels.build.split import (
    SplitRequest,
    WorkspaceSplit,
    current_split,
    make_split,
    remove_split,
)
from strata_labels.build.stage import Counts, Stage, counts_text
from strata_labels.build.stages import EMBED, PROPOSE, STAGES, write_formats
from strata_labels.build.training_results import add_training_results
from strata_labels.build.wikimedia import resolve_categories
from strata_labels.build.workspace import Workspace

__all__ = [
    "EMBED",
    "PROPOSE",
    "STAGES",
    "ArchiveContent",
    "ArchivePlan",
    "BuildSettings",
    "ClassFacts",
    "Counts",
    "Explanation",
    "ReadUnits",
    "SplitRequest",
    "Stage",
    "Unit",
    "Workspace",
    "WorkspaceSplit",
    "add_training_results",
    "apply_sheet",
    "build_tree",
    "correct_published",
    "counts_text",
    "current_split",
    "embed_archives",
    "explain",
    "fetch_images",
    "is_behind",
    "item_history",
    "ledgers",
    "make_split",
    "picture_finder",
    "plan_archives",
    "plan_build",
    "read_here",
    "read_unit",
    "rebuild",
    "remove_split",
    "report_classes",
    "resolve_categories",
    "run_stages",
    "settings_of",
    "simulate_review",
    "usable_cores",
    "write_formats",
    "write_review_sheet",
]
