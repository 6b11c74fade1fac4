"""How a network is laid on a chip: folds, memories, costs. Imports `hw.kernels` and `hw.boards`."""
