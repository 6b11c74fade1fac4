"""Verilator models of cores, netlists, bitstreams and boards. Imports `hw.boards` and `hw.shells`."""
