"""All schedules, by their names in the build file."""

from models.distill.schedules.base import OneStep, Schedule
from models.distill.schedules.pruning import Prune, PruneChannels

SCHEDULES: dict[str, type[Schedule]] = {each.kind: each for each in (OneStep, Prune, PruneChannels)}

__all__ = ["SCHEDULES", "OneStep", "Prune", "PruneChannels", "Schedule"]
