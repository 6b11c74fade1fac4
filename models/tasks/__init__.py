"""What a network is to do: a module or folder a task, each named in `TASKS`.

Imports data and losses; loads numpy and torch at their first use.
"""

from models.tasks.base import Task
from models.tasks.classification import CLASSIFICATION, Classification
from models.tasks.detection import Detection

TASKS: dict[str, type[Task]] = {each.kind: each for each in (Classification, Detection)}

__all__ = ["CLASSIFICATION", "TASKS", "Classification", "Task"]
