"""How a network is laid on a chip: folds, memories, costs.

May import `hw.kernels.specs`, `hw.kernels.selection`, `hw.dataflow`, `hw.boards` and `hw.shells.port`.
"""
