"""FINN as compiler: lowering, reading its graph, its RTL, and Vivado. Imports `hw.imported`."""
