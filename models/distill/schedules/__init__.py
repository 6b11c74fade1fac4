"""All schedules, by their names in the build file.

Each schedule imports its training code when it runs. Imports `models.distill.losses` and `training`.
"""

from models.distill.schedules.base import OneStep, Schedule
from models.distill.schedules.features_first import FitNets, FspStages
from models.distill.schedules.fskd import Fskd
from models.distill.schedules.pruning import Prune, PruneChannels
from models.distill.schedules.qkd import QuantizationAware
from models.distill.schedules.self_distillation import (
    BornAgain,
    DefectiveTeacher,
    ReversedTeacher,
    SelfTraining,
)
from models.distill.schedules.specialist import Specialist

SCHEDULES: dict[str, type[Schedule]] = {
    each.kind: each
    for each in (
        OneStep,
        FitNets,
        FspStages,
        Fskd,
        BornAgain,
        SelfTraining,
        DefectiveTeacher,
        ReversedTeacher,
        QuantizationAware,
        Prune,
        PruneChannels,
        Specialist,
    )
}

__all__ = ["SCHEDULES", "OneStep", "Schedule"]
