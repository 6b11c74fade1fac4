"""Where a graph's weights, products and thresholds go: LUTs, block RAM or single-port RAM."""

from collections.abc import Callable
from dataclasses import replace
from math import floor
from typing import Literal

from hw.boards.budget import Budget
from hw.boards.families.base import ChipFamily
from hw.dataflow import DataflowGraph, Layer, MatrixVector, Multiply, Threshold
from hw.mapping.cost import Cost, estimate, shell_cost

SHARE = 0.75
"""Of the block RAMs, what tables and thresholds may take; the shell needs some, too."""
WORTH = 24
"""LUTs that a block RAM has to save."""


def with_resources(
    graph: DataflowGraph, multiply: Multiply | Literal["auto"], family: ChipFamily, budget: Budget
) -> DataflowGraph:
    """The graph, multiplying as asked; `auto` is `use_block_rams`.

    Weights that do not fit the block RAMs go to single-port RAM first, where the chip has it.
    """
    if multiply in ("auto", "lut"):
        graph = use_single_port_rams(with_products(graph, "lut"), family, budget)
    return use_block_rams(graph, family, budget) if multiply == "auto" else with_products(graph, multiply)


def with_products(graph: DataflowGraph, multiply: Multiply) -> DataflowGraph:
    """The graph, all its matrix-vector layers multiplying in one way."""
    return _mapped(
        graph, lambda layer: replace(layer, multiply=multiply) if isinstance(layer, MatrixVector) else layer
    )


def in_block_rams(graph: DataflowGraph) -> DataflowGraph:
    """The graph with block RAM for LUTs wherever there may be."""
    return _mapped(graph, _in_block_ram)


def use_block_rams(graph: DataflowGraph, family: ChipFamily, budget: Budget) -> DataflowGraph:
    """The graph with block RAMs for LUTs, where a chip of `family` has them to spare.

    Matrix-vector layers look their products up (`specs.products.Tables`) and thresholds move to block RAM, in
    the order of the LUTs that each block RAM saves, while the core's block RAMs stay within their share.
    """
    moved = in_block_rams(graph)
    before, after = _costs(graph, family), _costs(moved, family)
    room = floor(budget.block_rams * SHARE) - sum(cost.block_rams for cost in before.values())
    changed = [old.name for old, new in zip(graph.layers, moved.layers, strict=True) if old is not new]
    chosen = set()
    for name in sorted(changed, key=lambda name: (-_saved(before[name], after[name]), name)):
        blocks = after[name].block_rams - before[name].block_rams
        if _saved(before[name], after[name]) >= WORTH and blocks <= room:
            chosen.add(name)
            room -= blocks
    return _mapped(graph, lambda layer: _in_block_ram(layer) if layer.name in chosen else layer)


def use_single_port_rams(graph: DataflowGraph, family: ChipFamily, budget: Budget) -> DataflowGraph:
    """The graph, with weights in single-port RAM where core and serial shell exceed the block RAMs.

    Layers move in the order of the block RAMs that each single-port RAM spares, while there are any.
    """
    found = estimate(graph, family)
    over = found.total.block_rams + shell_cost(found.interface, family, None).block_rams - budget.block_rams
    if over <= 0 or not budget.single_port_rams:
        return graph
    before = {layer.name: layer.cost for layer in found.layers}
    after = _costs(_mapped(graph, _in_single_port_ram), family)
    movable = [layer.name for layer in graph.layers if _in_single_port_ram(layer) is not layer]
    spared = {name: before[name].block_rams - after[name].block_rams for name in movable}
    taken = {name: after[name].single_port_rams for name in movable}
    room, chosen = budget.single_port_rams, set()
    for name in sorted(movable, key=lambda name: (-spared[name] / taken[name], name)):
        if over > 0 and spared[name] > 0 and taken[name] <= room:
            chosen.add(name)
            over, room = over - spared[name], room - taken[name]
    return _mapped(graph, lambda layer: _in_single_port_ram(layer) if layer.name in chosen else layer)


def _mapped(graph: DataflowGraph, change: Callable[[Layer], Layer]) -> DataflowGraph:
    return replace(graph, layers=tuple(map(change, graph.layers)))


def _in_block_ram(layer: Layer) -> Layer:
    match layer:
        case MatrixVector(memory="rom"):
            return replace(layer, multiply="table")
        case Threshold():
            return replace(layer, block=True)
    return layer


def _in_single_port_ram(layer: Layer) -> Layer:
    if isinstance(layer, MatrixVector) and layer.multiply == "lut" and layer.folded > 1:
        return replace(layer, memory="single-port")
    return layer


def _costs(graph: DataflowGraph, family: ChipFamily) -> dict[str, Cost]:
    return {layer.name: layer.cost for layer in estimate(graph, family).layers}


def _saved(before: Cost, after: Cost) -> float:
    """LUTs saved by each block RAM more."""
    return (before.luts - after.luts) / max(1, after.block_rams - before.block_rams)
