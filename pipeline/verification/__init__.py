"""The verification ladder: every artefact against the one before it, in integers."""

from pipeline.verification.folder import climb_board, verify_folder
from pipeline.verification.ladder import Climbed, climb, failure, hardware_stage
from pipeline.verification.own import Reference, climb_core, climb_own
from pipeline.verification.recording import record

__all__ = [
    "Climbed",
    "Reference",
    "climb",
    "climb_board",
    "climb_core",
    "climb_own",
    "failure",
    "hardware_stage",
    "record",
    "verify_folder",
]
