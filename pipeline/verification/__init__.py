"""The verification ladder: every artefact against the one before it, in integers."""

from pipeline.verification.ladder import (
    Climbed,
    climb,
    climb_board,
    failure,
    hardware_stage,
    verify_folder,
)
from pipeline.verification.recording import record

__all__ = ["Climbed", "climb", "climb_board", "failure", "hardware_stage", "record", "verify_folder"]
