"""Imported networks: a QONNX classifier made one of integers, which rounds as the network rounds.

The integer network is in the dialect that FINN takes, as Retort's own students are. May import `hw.dataflow`.
"""

from hw.imported.layout import Bytes, Layout
from hw.imported.network import Integral, integral

__all__ = ["Bytes", "Integral", "Layout", "integral"]
