"""Dataflow kernels: `specs` says as plain data what each is, the other modules build it in Amaranth.

May import `hw.dataflow`, `hw.boards` and `hw.interface`; `specs` and `selection` import no Amaranth.
"""
