"""The verification ladder: every artefact against the one before it, in integers."""

from pipeline.verification.ladder import Climbed, climb, failure, verify_folder

__all__ = ["Climbed", "climb", "failure", "verify_folder"]
