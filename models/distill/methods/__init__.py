"""All distillation losses, by their names in the build file."""

from models.distill.method import Distillation
from models.distill.methods.born_again import ConfidenceWeighted, PermutedDarkKnowledge
from models.distill.methods.hinton import HardLabels, SoftenedSoftmax
from models.distill.methods.logit_matching import LogitMatching

METHODS: dict[str, type[Distillation]] = {
    each.method: each
    for each in (HardLabels, SoftenedSoftmax, LogitMatching, ConfidenceWeighted, PermutedDarkKnowledge)
}

__all__ = [
    "METHODS",
    "ConfidenceWeighted",
    "HardLabels",
    "LogitMatching",
    "PermutedDarkKnowledge",
    "SoftenedSoftmax",
]
