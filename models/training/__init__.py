"""The one training loop, its settings, and what comes of a run."""

from models.history import Epoch, History
from models.training.config import Precision, TrainingConfig
from models.training.job import Batch, Job, Loss, NetworkTerms, Progress, TeacherSignal, silent
from models.training.loop import fit

__all__ = [
    "Batch",
    "Epoch",
    "History",
    "Job",
    "Loss",
    "NetworkTerms",
    "Precision",
    "Progress",
    "TeacherSignal",
    "TrainingConfig",
    "fit",
    "silent",
]
