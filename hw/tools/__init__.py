"""Outside programs: which there are, how they run and how they end.

Imports `hw.boards` only, for the tools of each chip family.
"""
