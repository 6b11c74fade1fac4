"""Knowledge distillation: the methods, the set that they learn from, and the training of students."""

from models.distill.losses import (
    METHODS,
    Distillation,
    HardLabels,
    LogitMatching,
    SoftenedSoftmax,
    WeightedSum,
)

__all__ = ["METHODS", "Distillation", "HardLabels", "LogitMatching", "SoftenedSoftmax", "WeightedSum"]
