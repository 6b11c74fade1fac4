"""What a dataflow graph will take of a chip, in closed form, layer by layer, before anything is trained.

`estimate` goes by the kernels that the core would have. Block RAMs follow from Yosys's own rule; LUTs and
flip-flops are sums of a kernel's features, such as bits of its adders, times coefficients that were fitted to
what Yosys makes of such kernels (`python -m tests.bench.cost_model --fit`).
"""

from hw.mapping.cost.estimate import Estimate, LayerCost, estimate, shell_cost
from hw.mapping.cost.part import Cost
from hw.mapping.cost.synthetic import folded_steps, synthetic_graph

__all__ = ["Cost", "Estimate", "LayerCost", "estimate", "folded_steps", "shell_cost", "synthetic_graph"]
