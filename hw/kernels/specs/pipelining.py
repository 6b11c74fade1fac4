"""Where the registers of a pipeline go: as few bits of them as can be."""

from collections.abc import Collection, Sequence

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

Operands = Sequence[Sequence[int]]


def stages(operands: Operands, bits: Sequence[int], outputs: Collection[int], adders: int) -> list[int]:
    """The pipeline stage of each value of a graph, such that registers between stages hold the fewest bits.

    A value is an input, without `operands`, which comes in stage 0, or an adder, of earlier values. At most
    `adders` follow each other in a stage; there are no more stages than that asks for; `outputs` are wanted
    in the last. A value of `bits` takes as many registers for each stage from its own to its last reader's.

    Leiserson and Saxe, "Retiming Synchronous Circuitry", Algorithmica 6, 1991: a linear program in which each
    constraint is a difference of two unknowns, so that its vertices are whole.
    """
    count = len(operands)
    if not count:
        return []
    depths = _depths(operands)
    last = max(0, (max(depths) - 1) // adders)
    # The unknowns are the values' stages, then the stages of their last readers: small - great <= bound.
    differences: list[tuple[int, int, int]] = []
    for value, before in enumerate(operands):
        differences.append((value, value + count, 0))
        for operand in before:
            differences += [(operand, value, 0), (value, operand + count, 0)]
        differences += [(first, value, -1) for first in _ahead(operands, value, adders)]
    small, great, bound = np.array(differences).T
    rows = np.arange(len(bound))
    matrix = coo_array(
        (np.repeat([1.0, -1.0], len(rows)), (np.tile(rows, 2), np.concatenate([small, great]))),
        shape=(len(rows), 2 * count),
    )
    least = [last if value in outputs else 0 for value in range(count)]
    most = [0 if not depth else last for depth in depths]
    found = linprog(
        np.concatenate([-np.array(bits), np.array(bits)]),
        A_ub=matrix.tocsr(),
        b_ub=bound,
        bounds=[*((0, highest) for highest in most), *((lowest, last) for lowest in least)],
        method="highs-ds",
    )
    return [round(stage) for stage in found.x[:count]]


def _depths(operands: Operands) -> list[int]:
    """How many adders lead to each value, itself among them."""
    depths: list[int] = []
    for before in operands:
        depths.append(1 + max(depths[operand] for operand in before) if before else 0)
    return depths


def _ahead(operands: Operands, value: int, steps: int) -> set[int]:
    """The adders from which a path of `steps` leads to a value."""
    found = {value}
    for _ in range(steps):
        found = {operand for each in found for operand in operands[each]}
    return {each for each in found if operands[each]}
