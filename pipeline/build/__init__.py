"""The build: its stages, what each reads and writes, and the record of a run."""

from pipeline.build.again import REBUILT, apply_sheet, export_formats, rerun
from pipeline.build.assets import ledgers
from pipeline.build.check import check_inputs
from pipeline.build.explain import Explanation, explain
from pipeline.build.history import ItemHistory, item_history
from pipeline.build.reconcile import report_classes
from pipeline.build.record import top_disputes, write_record
from pipeline.build.settings import BuildSettings, Workspace, as_parameters
from pipeline.build.simulate import simulate_review
from pipeline.build.stage import Stage, in_words, intact, run_stage, stage_key
from pipeline.build.stages import STAGES
from pipeline.build.validated import keep_validation
from pipeline.build.wikimedia import ask_wikimedia

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
