"""What surrounds a core on a board: the serial shell and its protocol, the parallel shell, their speed.

Imports `hw.boards`, `hw.core`, `hw.kernels` and `hw.interface`.
"""
