"""AMD's way to a bitstream: FINN's builder drives Vivado and Vitis HLS on whichever machine has them.

`plan` says what to build, `machines` build it, `products` checks what they leave. May import `hw.boards`,
`hw.implementation` and `hw.tools`.
"""
