"""The verification ladder: every artefact against the one before it, in integers."""

from pipeline.verification.folder import climb_board, verify_folder
from pipeline.verification.ladder import Climbed, climb, failure, hardware_stage
from pipeline.verification.recording import record
from pipeline.verification.tree import climb_tree

__all__ = [
    "Climbed",
    "climb",
    "climb_board",
    "climb_tree",
    "failure",
    "hardware_stage",
    "record",
    "verify_folder",
]
