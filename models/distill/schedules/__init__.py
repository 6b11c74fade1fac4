"""All schedules, by their names in the build file."""

from models.distill.schedules.base import OneStep, Schedule
from models.distill.schedules.fskd import Fskd

SCHEDULES: dict[str, type[Schedule]] = {each.kind: each for each in (OneStep, Fskd)}

__all__ = ["SCHEDULES", "Fskd", "OneStep", "Schedule"]
