"""Which layers have their weights in single-port RAM: as few as let the others' fit the block RAM."""

from dataclasses import replace

from hw.boards.budget import Budget
from hw.boards.families.base import ChipFamily
from hw.dataflow import DataflowGraph, Layer, MatrixVector
from hw.mapping.cost import estimate, shell_cost


def use_single_port_rams(graph: DataflowGraph, family: ChipFamily, budget: Budget) -> DataflowGraph:
    """The graph, with weights in single-port RAM where core and serial shell exceed the block RAMs.

    Layers move in the order of the block RAMs that each single-port RAM spares, while there are any.
    """
    before = estimate(graph, family)
    over = before.total.block_rams + shell_cost(before.interface, family, None).block_rams - budget.block_rams
    if over <= 0 or not budget.single_port_rams:
        return graph
    moved = {layer.name: _moved(layer) for layer in graph.layers if _movable(layer)}
    after = estimate(
        replace(graph, layers=tuple(moved.get(each.name, each) for each in graph.layers)), family
    )
    costs = {old.name: (old.cost, new.cost) for old, new in zip(before.layers, after.layers, strict=True)}
    spared = {name: costs[name][0].block_rams - costs[name][1].block_rams for name in moved}
    taken = {name: costs[name][1].single_port_rams for name in moved}
    room, chosen = budget.single_port_rams, set()
    for name in sorted(moved, key=lambda name: (-spared[name] / taken[name], name)):
        if over > 0 and spared[name] > 0 and taken[name] <= room:
            chosen.add(name)
            over, room = over - spared[name], room - taken[name]
    return replace(
        graph, layers=tuple(moved[each.name] if each.name in chosen else each for each in graph.layers)
    )


def _movable(layer: Layer) -> bool:
    return isinstance(layer, MatrixVector) and layer.multiply == "lut" and layer.folded > 1


def _moved(layer: Layer) -> Layer:
    assert isinstance(layer, MatrixVector)
    return replace(layer, memory="single-port")
