"""The one training loop, its settings, and what comes of a run."""

from models.history import Epoch, History
from models.training.config import Precision, TrainingConfig
from models.training.job import Batch, Hinter, Job, Loss, NetworkTerms, Progress, silent
from models.training.loop import fit

__all__ = [
    "Batch",
    "Epoch",
    "Hinter",
    "History",
    "Job",
    "Loss",
    "NetworkTerms",
    "Precision",
    "Progress",
    "TrainingConfig",
    "fit",
    "silent",
]
