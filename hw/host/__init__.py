"""The host's side of a board: the driver of the serial link, and PYNQ boards by SSH.

Imports `hw.shells`, `hw.tools` and `hw.interface`.
"""
