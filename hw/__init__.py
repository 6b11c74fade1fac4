"""What is built: lowering, kernels, cores, shells, bitstreams, and their simulation. Never trains."""
