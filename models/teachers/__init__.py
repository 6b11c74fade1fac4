"""Teachers: float networks of several kinds, in ensembles."""

from models.teachers.ensemble import (
    Ensemble,
    TeacherConfig,
    ensemble_logits,
    load_ensemble,
    make_transfer_set,
    save_ensemble,
    train_ensemble,
)
from models.teachers.networks import (
    ARCHITECTURES,
    Architecture,
    Cnn,
    FullyConvolutional,
    Mlp,
    ResNet,
    SqueezeNet,
    SwishCnn,
    Teacher,
)

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Cnn",
    "Ensemble",
    "FullyConvolutional",
    "Mlp",
    "ResNet",
    "SqueezeNet",
    "SwishCnn",
    "Teacher",
    "TeacherConfig",
    "ensemble_logits",
    "load_ensemble",
    "make_transfer_set",
    "save_ensemble",
    "train_ensemble",
]
