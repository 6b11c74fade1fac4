"""The verification ladder: every artefact against the one before it, in integers."""

from pipeline.verification.folder import verify_folder
from pipeline.verification.ladder import Climbed, climb, failure
from pipeline.verification.tree import climb_tree

__all__ = ["Climbed", "climb", "climb_tree", "failure", "verify_folder"]
