"""From a core to a bitstream with open tools: synthesis, place and route, packing, a drawing of the result.

Imports `hw.boards`, `hw.shells`, `hw.tools`, `hw.interface`.
"""
