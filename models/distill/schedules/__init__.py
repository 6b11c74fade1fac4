"""All schedules, by their names in the build file."""

from models.distill.schedules.base import OneStep, Schedule

SCHEDULES: dict[str, type[Schedule]] = {each.kind: each for each in (OneStep,)}

__all__ = ["SCHEDULES", "OneStep", "Schedule"]
