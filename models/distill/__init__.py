"""Knowledge distillation: the methods, the sets that students learn from, and their training."""

from models.distill.method import Distillation, Signals, WeightedSum
from models.distill.methods import METHODS, HardLabels, LogitMatching, SoftenedSoftmax

__all__ = [
    "METHODS",
    "Distillation",
    "HardLabels",
    "LogitMatching",
    "Signals",
    "SoftenedSoftmax",
    "WeightedSum",
]
