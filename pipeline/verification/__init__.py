"""The verification ladder: every artefact against the one before it, in integers."""

from pipeline.verification.ladder import Climbed, climb, failure, hardware_stage, verify_folder

__all__ = ["Climbed", "climb", "failure", "hardware_stage", "verify_folder"]
