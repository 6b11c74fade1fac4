"""What a network is to do: a module or folder a task, each named in `TASKS`.

Imports data and losses; loads numpy and torch at their first use.
"""

from models.tasks.base import Task
from models.tasks.classification import CLASSIFICATION, Classification

TASKS: dict[str, type[Task]] = {Classification.kind: Classification}

__all__ = ["CLASSIFICATION", "TASKS", "Classification", "Task"]
