"""All schedules, by their names in the build file."""

from models.distill.schedules.base import OneStep, Schedule
from models.distill.schedules.features_first import FitNets, FspStages

SCHEDULES: dict[str, type[Schedule]] = {each.kind: each for each in (OneStep, FitNets, FspStages)}

__all__ = ["SCHEDULES", "FitNets", "FspStages", "OneStep", "Schedule"]
