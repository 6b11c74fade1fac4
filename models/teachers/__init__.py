"""Teachers: a module a kind, each named in `TEACHERS`, and the built-in networks.

Imports tasks, data, losses and training; loads numpy and torch at their first use.
"""

from models.teachers.base import TeacherKind, TeacherResult, TeacherSetup
from models.teachers.networks import (
    ARCHITECTURES,
    Architecture,
    Cnn,
    FullyConvolutional,
    Mlp,
    ResNet,
    SqueezeNet,
    SwishCnn,
)
from models.teachers.specialists import Specialists
from models.teachers.trained import Trained

TEACHERS: dict[str, type[TeacherKind]] = {each.kind: each for each in (Trained, Specialists)}

__all__ = [
    "ARCHITECTURES",
    "TEACHERS",
    "Architecture",
    "Cnn",
    "FullyConvolutional",
    "Mlp",
    "ResNet",
    "SqueezeNet",
    "SwishCnn",
    "TeacherKind",
    "TeacherResult",
    "TeacherSetup",
    "Trained",
]
