"""The core: the kernels of a dataflow graph joined to one module with two streams, and its Verilog.

May import `hw.kernels`, `hw.dataflow`, `hw.tools` and `hw.interface`.
"""

from hw.core.module import Core, CoreDesign, design

__all__ = ["Core", "CoreDesign", "design"]
