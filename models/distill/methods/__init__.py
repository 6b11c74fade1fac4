"""All distillation losses, by their names in the build file."""

from models.distill.method import Distillation
from models.distill.methods.hinton import HardLabels, SoftenedSoftmax
from models.distill.methods.logit_matching import LogitMatching
from models.distill.methods.weight_cost import WeightCost

METHODS: dict[str, type[Distillation]] = {
    each.method: each for each in (HardLabels, SoftenedSoftmax, LogitMatching, WeightCost)
}

__all__ = ["METHODS", "HardLabels", "LogitMatching", "SoftenedSoftmax", "WeightCost"]
