"""Kernel specifications: frozen data with shapes, folds, widths, memories; components and costs read them.

May import `hw.dataflow` and `hw.boards`, and no Amaranth.
"""
