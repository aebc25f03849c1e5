"""The build: its stages, what each reads and writes, and the record of a run."""

from strata_labels.build.again import REBUILT, apply_sheet, export_formats, rerun
from strata_labels.build.assets import ledgers
from strata_labels.build.check import check_inputs
from strata_labels.build.explain import Explanation, explain
from strata_labels.build.history import ItemHistory, item_history
from strata_labels.build.reconcile import report_classes
from strata_labels.build.record import top_disputes, write_record
from strata_labels.build.settings import BuildSettings, Workspace, as_parameters
from strata_labels.build.simulate import simulate_review
from strata_labels.build.stage import Stage, in_words, intact, run_stage, stage_key
from strata_labels.build.stages import STAGES
from strata_labels.build.validated import keep_validation
from strata_labels.build.wikimedia import ask_wikimedia

__all__ = [
    "REBUILT",
    "STAGES",
    "BuildSettings",
    "Explanation",
    "ItemHistory",
    "Stage",
    "Workspace",
    "apply_sheet",
    "as_parameters",
    "ask_wikimedia",
    "check_inputs",
    "explain",
    "export_formats",
    "in_words",
    "intact",
    "item_history",
    "keep_validation",
    "ledgers",
    "report_classes",
    "rerun",
    "run_stage",
    "simulate_review",
    "stage_key",
    "top_disputes",
    "write_record",
]
