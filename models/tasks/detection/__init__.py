"""Object detection: scenes of a data set's images, a grid of cells, boxes, and mean average precision.

Imports data and losses; loads numpy and torch at their first use.
"""

from models.tasks.detection.task import Detection

__all__ = ["Detection"]
