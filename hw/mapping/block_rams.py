"""What is made of block RAM that is free: tables of products, and thresholds."""

from dataclasses import replace
from math import floor
from typing import Literal

from hw.boards.budget import Budget
from hw.boards.families.base import ChipFamily
from hw.dataflow import DataflowGraph, Layer, MatrixVector, Multiply, Threshold
from hw.mapping.cost import Cost, estimate
from hw.mapping.single_port_rams import use_single_port_rams

SHARE = 0.75
"""Of the block RAMs, what a core may take for such; the shell needs some, too."""
WORTH = 24
"""LUTs that a block RAM has to save."""


def with_products(graph: DataflowGraph, multiply: Multiply) -> DataflowGraph:
    """The graph, all its matrix-vector layers multiplying in one way."""
    layers = (
        replace(layer, multiply=multiply) if isinstance(layer, MatrixVector) else layer
        for layer in graph.layers
    )
    return replace(graph, layers=tuple(layers))


def with_resources(
    graph: DataflowGraph, multiply: Multiply | Literal["auto"], family: ChipFamily, budget: Budget
) -> DataflowGraph:
    """The graph, multiplying as asked; `auto` is `use_block_rams`.

    Weights that do not fit the block RAMs go to single-port RAM first, where the chip has it.
    """
    if multiply in ("auto", "lut"):
        graph = use_single_port_rams(with_products(graph, "lut"), family, budget)
    if multiply == "auto":
        return use_block_rams(graph, family, budget)
    return with_products(graph, multiply)


def use_block_rams(graph: DataflowGraph, family: ChipFamily, budget: Budget) -> DataflowGraph:
    """The graph with block RAMs for LUTs, where a chip of `family` has them to spare.

    Matrix-vector layers look their products up (`hw.kernels.products.Tables`), thresholds move to block RAM,
    in the order of the LUTs that each block RAM saves, while the core's stay within their share.
    """
    spared = in_block_rams(graph).layers
    before, after = _costs(graph, family), _costs(replace(graph, layers=spared), family)
    room = floor(budget.block_rams * SHARE) - sum(cost.block_rams for cost in before.values())
    changed = [old.name for old, new in zip(graph.layers, spared, strict=True) if old is not new]
    chosen = set()
    for name in sorted(changed, key=lambda name: (-_saved(before[name], after[name]), name)):
        blocks = after[name].block_rams - before[name].block_rams
        if _saved(before[name], after[name]) >= WORTH and blocks <= room:
            chosen.add(name)
            room -= blocks
    layers = (new if new.name in chosen else old for old, new in zip(graph.layers, spared, strict=True))
    return replace(graph, layers=tuple(layers))


def in_block_rams(graph: DataflowGraph) -> DataflowGraph:
    """The graph with block RAM for LUTs wherever there may be."""
    return replace(graph, layers=tuple(map(_in_block_ram, graph.layers)))


def _in_block_ram(layer: Layer) -> Layer:
    match layer:
        case MatrixVector(memory="rom"):
            return replace(layer, multiply="table")
        case Threshold():
            return replace(layer, block=True)
    return layer


def _costs(graph: DataflowGraph, family: ChipFamily) -> dict[str, Cost]:
    return {layer.name: layer.cost for layer in estimate(graph, family).layers}


def _saved(before: Cost, after: Cost) -> float:
    """LUTs saved by each block RAM more."""
    return (before.luts - after.luts) / max(1, after.block_rams - before.block_rams)
