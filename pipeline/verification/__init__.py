"""The verification ladder: every artefact against the one before it, in integers."""

<<<<<<< HEAD
from pipeline.verification.ladder import Climbed, climb, failure, hardware_stage, verify_folder

__all__ = ["Climbed", "climb", "failure", "hardware_stage", "verify_folder"]
=======
from pipeline.verification.ladder import Climbed, climb, climb_board, failure, verify_folder
from pipeline.verification.recording import record

__all__ = ["Climbed", "climb", "climb_board", "failure", "record", "verify_folder"]
>>>>>>> vivado
