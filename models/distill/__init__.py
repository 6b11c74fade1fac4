"""Knowledge distillation: losses, sources of samples, schedules, and the training of students.

Imports `common`, `models.students`, `models.teachers`, `models.tasks` and `models.training`. Inside, `recipe`
imports schedules and sources, those import `training`, which imports losses.
"""

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
