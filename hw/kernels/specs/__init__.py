"""Kernel specifications: frozen data with shapes, folds, widths, memories; components and costs read them.

May import `hw.dataflow` and `hw.boards`, and no Amaranth.
"""

from hw.kernels.specs.arithmetic import Depthwise, MatrixVector, Threshold
from hw.kernels.specs.base import Spec, Stream, ValueType
from hw.kernels.specs.movement import (
    Add,
    ArgMax,
    Buffer,
    Fork,
    GlobalSum,
    MaxPool,
    Reduce,
    Tree,
    WidthConverter,
    Window,
)
from hw.kernels.specs.unfolded import Unfolded

__all__ = [
    "Add",
    "ArgMax",
    "Buffer",
    "Depthwise",
    "Fork",
    "GlobalSum",
    "MatrixVector",
    "MaxPool",
    "Reduce",
    "Spec",
    "Stream",
    "Threshold",
    "Tree",
    "Unfolded",
    "ValueType",
    "WidthConverter",
    "Window",
]
