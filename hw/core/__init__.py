"""The core: the kernels of a dataflow graph joined to one module with two streams, and its Verilog."""

from hw.core.module import Core, CoreDesign, design
from hw.core.placing import Placed, place

__all__ = ["Core", "CoreDesign", "Placed", "design", "place"]
