"""Verilator models of cores, netlists, bitstreams and boards, and how they are driven.

Imports `hw.boards`, `hw.core`, `hw.implementation`, `hw.shells`, `hw.tools` and `hw.interface`.
"""
