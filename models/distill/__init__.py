"""Knowledge distillation: the methods, the sets that students learn from, and their training."""

from models.distill.losses import METHODS, HardLabels, LogitMatching, SoftenedSoftmax
from models.distill.method import Distillation, Signals, WeightedSum

__all__ = [
    "METHODS",
    "Distillation",
    "HardLabels",
    "LogitMatching",
    "Signals",
    "SoftenedSoftmax",
    "WeightedSum",
]
