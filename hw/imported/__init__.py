"""Imported networks: a QONNX classifier made one of integers, which rounds as the network rounds.

The integer network is in the dialect that FINN takes, as Retort's own students are. May import `hw.dataflow`
and `hw.interface`.
"""

from hw.imported.layout import ByteValues, Layout
from hw.imported.network import Integral, integral, logits_of

__all__ = ["ByteValues", "Integral", "Layout", "integral", "logits_of"]
