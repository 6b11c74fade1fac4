"""The folds of least cost that reach a rate."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TypeAlias

from hw.budget import Budget
from hw.cost import Cost, fold_places
from hw.cost.estimate import layers_cost
from hw.cost.synthetic import chain_graph
from hw.dataflow import DataflowGraph
from hw.dataflow.fold import Fold
from models.topology import AveragePool, MaxPool, Step, Topology
from pipeline.errors import CapacityError

SLACK = 2.0
"""Folds of up to so many times the products a cycle of the least one are compared."""
COMPARED = 12


def share(cost: Cost, budget: Budget) -> float:
    """What a cost takes of a budget: the sum of its shares of LUTs, flip-flops, block RAMs and DSPs."""
    return _share(cost, _room(budget))


Room: TypeAlias = tuple[int, int, int, int]


def _room(budget: Budget) -> Room:
    return budget.luts, budget.flip_flops, budget.block_rams, budget.dsps


def _share(cost: Cost, room: Room) -> float:
    used = (cost.luts, cost.flip_flops, cost.block_rams, cost.dsps)
    return sum(each / max(available, 1) for each, available in zip(used, room, strict=True))


def target_of(frames_per_second: float, clock_hz: int) -> int:
    """Cycles that a frame may take."""
    return max(1, int(clock_hz // frames_per_second))


def fold(network: Topology, target_cycles: int, family: str, budget: Budget) -> tuple[Fold, ...]:
    """For every step of `fold_places` the fold of least cost of those that take no more than `target_cycles`.

    Raises `CapacityError` where a layer takes longer however it is folded; says which, and by what.
    """
    room = _room(budget)
    return tuple(_fold(chain, target_cycles, family, room) for chain in _chains(network.steps))


def _chains(steps: Sequence[Step]) -> Iterator[tuple[Step, ...]]:
    """Each step with a fold, and the max pools right behind it, whose words are as wide."""
    for place in fold_places(steps):
        chain = [steps[place]]
        for at in range(place + 1, len(steps)):
            if steps[at].sources != (at - 1,) or not isinstance(steps[at].layer, MaxPool):
                break
            chain.append(steps[at])
        yield tuple(chain)


def folds_of(step: Step) -> list[Fold]:
    """All folds of a layer, from the narrowest to the widest."""
    outputs = step.out_shape[2]
    inputs = step.weights // outputs if step.weights else _taps(step)
    pairs = (Fold(pe, simd) for pe in _divisors(outputs) for simd in _divisors(inputs))
    return sorted(pairs, key=lambda each: (each.pe * each.simd, each.pe))


def _taps(step: Step) -> int:
    """Pixels that an average pool sums; of the sum of a picture only one comes at a time."""
    assert isinstance(step.layer, AveragePool)
    size = step.layer.size or step.in_shape[:2]
    return 1 if size == step.in_shape[:2] else size[0] * size[1]


def _divisors(number: int) -> list[int]:
    return [each for each in range(1, number + 1) if number % each == 0]


@lru_cache(maxsize=8192)
def _graph(chain: tuple[Step, ...], candidate: Fold) -> DataflowGraph:
    return chain_graph(chain, candidate)


@lru_cache(maxsize=8192)
def _cost(chain: tuple[Step, ...], candidate: Fold, family: str) -> Cost:
    return layers_cost(_graph(chain, candidate), family)


@lru_cache(maxsize=16384)
def _fold(chain: tuple[Step, ...], target: int, family: str, room: Room) -> Fold:
    step = chain[0]
    folds = folds_of(step)
    products = max(step.products, step.inputs)
    fast = [each for each in folds if products <= target * each.pe * each.simd]
    found: list[Fold] = []
    for candidate in fast:
        if found and (candidate.pe * candidate.simd > SLACK * found[0].pe * found[0].simd):
            break
        if len(found) < COMPARED and _graph(chain, candidate).interval_bound <= target:
            found.append(candidate)
    if not found:
        raise CapacityError(_too_slow(chain, folds[-1], target))
    return min(found, key=lambda each: (_share(_cost(chain, each, family), room), each.pe))


def _too_slow(chain: tuple[Step, ...], widest: Fold, target: int) -> str:
    graph = _graph(chain, widest)
    slowest = max(graph.layers, key=lambda layer: layer.cycles)
    what = {"Window": "its window", "WidthConverter": "its input stream"}.get(type(slowest).__name__, "it")
    return (
        f"{chain[0].name}: {what} takes {slowest.cycles} cycles a frame however it is folded, the target is"
        f" {target}; ask for fewer frames a second, or make the frame smaller before it"
    )
