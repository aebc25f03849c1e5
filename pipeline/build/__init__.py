"""The build: its stages, what each reads and writes, and the record of a run."""

from pipeline.build.again import apply_sheet, export_formats, rerun
from pipeline.build.check import check_inputs
from pipeline.build.history import ItemHistory, item_history
from pipeline.build.record import top_disputes, write_record
from pipeline.build.settings import BuildSettings, Workspace, as_parameters
from pipeline.build.stage import Stage, in_words, intact, run_stage, stage_key
from pipeline.build.stages import STAGES

__all__ = [
    "STAGES",
    "BuildSettings",
    "ItemHistory",
    "Stage",
    "Workspace",
    "apply_sheet",
    "as_parameters",
    "check_inputs",
    "export_formats",
    "in_words",
    "intact",
    "item_history",
    "rerun",
    "run_stage",
    "stage_key",
    "top_disputes",
    "write_record",
]
