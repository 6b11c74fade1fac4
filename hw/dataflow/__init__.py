"""The dataflow form: frozen hardware layers with integer parameters, types and folding, and how they join.

Read off FINN's hardware graph by `hw/finn/reader.py`; what every backend builds from. `execute` in numpy says
what the layers mean. A frame is `(n, elements)`, in the order of the stream: pixel by pixel in rows, all
channels of a pixel together (NHWC).
"""

from hw.dataflow.arithmetic import Depthwise, MatrixVector, Threshold
from hw.dataflow.connect import connect
from hw.dataflow.graph import INPUT, DataflowGraph, Layer
from hw.dataflow.plumbing import Add, ArgMax, Fifo, Fork, WidthConverter
from hw.dataflow.spatial import GlobalSum, MaxPool, Reduce, Window
from hw.dataflow.tree import Tree, TreeTable
from hw.dataflow.types import Integers, Multiply

__all__ = [
    "INPUT",
    "Add",
    "ArgMax",
    "DataflowGraph",
    "Depthwise",
    "Fifo",
    "Fork",
    "GlobalSum",
    "Integers",
    "Layer",
    "MatrixVector",
    "MaxPool",
    "Multiply",
    "Reduce",
    "Threshold",
    "Tree",
    "TreeTable",
    "WidthConverter",
    "Window",
    "connect",
]
