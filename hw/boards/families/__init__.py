"""Chip families, one file each: the family's object and its boards. A family's name is spelled here alone.

They import `hw.boards.board`, `hw.boards.budget` and `hw.tools.kinds`; `hw.boards.boards` lists them.
"""
