"""The folds of least cost that reach a rate."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import Literal, TypeAlias

from common.errors import CapacityError
from common.topology import AveragePool, MaxPool, Step, Topology
from hw.boards.budget import Budget
from hw.boards.families.base import ChipFamily
from hw.dataflow import DataflowGraph, Multiply
from hw.dataflow.fold import Fold
from hw.interface import CoreInterface
from hw.mapping.cost import Cost, estimate, folded_steps, synthetic_graph
from hw.mapping.cost.estimate import layers_cost
from hw.mapping.cost.synthetic import chain_graph
from hw.mapping.memories import in_block_rams, with_products

NARROW, SLACK = 64, 4
"""Products a cycle up to which all folds are compared, and up to how many times those of the narrowest."""

Room: TypeAlias = tuple[int, int, int, int]
Outside: TypeAlias = Callable[[CoreInterface], Cost]
"""What stands around a core with certain streams, such as a shell."""


def share(cost: Cost, budget: Budget) -> float:
    """What a cost takes of a budget: the sum of its shares of LUTs, flip-flops, block RAMs and DSPs.

    Where logic cells hold both LUTs and flip-flops, they count once.
    """
    return _share(cost, _room(budget))


def _room(budget: Budget) -> Room:
    return budget.luts, 0 if budget.shared_cells else budget.flip_flops, budget.block_rams, budget.dsps


def _share(cost: Cost, room: Room) -> float:
    used = (cost.luts, cost.flip_flops, cost.block_rams, cost.dsps)
    return sum(each / available for each, available in zip(used, room, strict=True) if available)


def target_of(frames_per_second: float, clock_hz: int) -> int:
    """Cycles that a frame may take; 0 where frames come faster than cycles."""
    return int(clock_hz // frames_per_second)


@dataclass(frozen=True)
class Candidate:
    """Folds for every step of `folded_steps`.

    Attributes:
        interval: cycles a frame of the slowest layer.
        share: what the layers take of the budget, without what joins them: the least that the network takes,
            products in LUTs.
        chains: the steps of each fold.
    """

    folds: tuple[Fold, ...]
    interval: int
    share: float
    chains: tuple[tuple[Step, ...], ...]

    def least_luts(self, multiply: Multiply | Literal["auto"], family: ChipFamily) -> float:
        """The fewest LUTs that the network may take, some of its layers in block RAM."""
        pairs = zip(self.chains, self.folds, strict=True)
        return sum(_least_luts(chain, each, multiply, family) for chain, each in pairs)


def fold(
    network: Topology,
    target_cycles: int,
    family: ChipFamily,
    budget: Budget,
    outside: Outside = lambda _: Cost(),
) -> tuple[Fold, ...]:
    """For every step of `folded_steps` a fold, such that a frame takes no more than `target_cycles`.

    They are the cheapest of `candidates`, all that joins the layers counted, with what stands `outside`. So
    a faster target is never cheaper.
    Raises `CapacityError` where a layer takes longer however it is folded; says which, and by what.
    """
    best, least = None, inf
    for candidate in candidates(network, target_cycles, family, budget):
        if candidate.share >= least:
            break
        graph = synthetic_graph(network, candidate.folds)
        found = estimate(graph, family)
        cost = share(found.total + outside(found.interface), budget)
        if best is None or (cost < least and graph.interval_bound <= target_cycles):
            best, least = candidate, cost if graph.interval_bound <= target_cycles else inf
    assert best is not None
    return best.folds


def candidates(
    network: Topology, target_cycles: int, family: ChipFamily, budget: Budget
) -> Iterator[Candidate]:
    """Folds of least cost layer by layer: for `target_cycles`, then for every faster target that changes any.

    Shares never fall from one to the next.
    Raises `CapacityError` where a layer takes longer than `target_cycles` however it is folded.
    """
    room, target = _room(budget), target_cycles
    chains = tuple(_chains(network.steps))
    found = [_fold(chain, target, family, room) for chain in chains]
    while True:
        intervals = [_graph(chain, each).interval_bound for chain, each in zip(chains, found, strict=True)]
        shares = (_share(_cost(chain, each, family), room) for chain, each in zip(chains, found, strict=True))
        yield Candidate(tuple(found), max(intervals), sum(shares), chains)
        target = max(intervals) - 1
        try:
            found = [
                each if interval <= target else _fold(chain, target, family, room)
                for chain, each, interval in zip(chains, found, intervals, strict=True)
            ]
        except CapacityError:
            return


def _chains(steps: Sequence[Step]) -> Iterator[tuple[Step, ...]]:
    """Each step with a fold, and the max pools right behind it, whose words are as wide."""
    for place in folded_steps(steps):
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
    """Pixels that an average pool sums; of the sum of an image only one comes at a time."""
    assert isinstance(step.layer, AveragePool)
    size = step.layer.size or step.in_shape[:2]
    return 1 if size == step.in_shape[:2] else size[0] * size[1]


def _divisors(number: int) -> list[int]:
    return [each for each in range(1, number + 1) if number % each == 0]


@lru_cache(maxsize=1 << 15)
def _graph(chain: tuple[Step, ...], candidate: Fold) -> DataflowGraph:
    return chain_graph(chain, candidate)


@lru_cache(maxsize=1 << 15)
def _cost(chain: tuple[Step, ...], candidate: Fold, family: ChipFamily) -> Cost:
    return layers_cost(_graph(chain, candidate), family)


@lru_cache(maxsize=1 << 15)
def _least_luts(
    chain: tuple[Step, ...], candidate: Fold, multiply: Multiply | Literal["auto"], family: ChipFamily
) -> float:
    graph = _graph(chain, candidate)
    if multiply != "auto":
        return layers_cost(with_products(graph, multiply), family).luts
    return min(_cost(chain, candidate, family).luts, layers_cost(in_block_rams(graph), family).luts)


@lru_cache(maxsize=1 << 15)
def _fold(chain: tuple[Step, ...], target: int, family: ChipFamily, room: Room) -> Fold:
    """The cheapest of those that are fast enough; of equals that of fewer outputs, then inputs, at once.

    Cost grows with the products a cycle, once there are many: much wider ones are not looked at. But without
    any fold a layer becomes a tree of shared adders, which may take less.
    """
    step = chain[0]
    folds = folds_of(step)
    products = max(step.products, step.inputs)
    found: list[Fold] = []
    for candidate in folds:
        width = candidate.pe * candidate.simd
        if found and candidate != folds[-1] and width > max(NARROW, SLACK * found[0].pe * found[0].simd):
            continue
        if products <= target * width and _graph(chain, candidate).interval_bound <= target:
            found.append(candidate)
    if not found:
        raise CapacityError(_too_slow(chain, folds[-1], target))
    return min(found, key=lambda each: (_share(_cost(chain, each, family), room), each.pe, each.simd))


def _too_slow(chain: tuple[Step, ...], widest: Fold, target: int) -> str:
    graph = _graph(chain, widest)
    slowest = max(graph.layers, key=lambda layer: layer.cycles)
    what = {"Window": "its window", "WidthConverter": "its input stream"}.get(type(slowest).__name__, "it")
    return (
        f"{chain[0].name}: {what} takes {slowest.cycles} cycles a frame however it is folded, the target is"
        f" {target}; ask for fewer frames a second, or make the frame smaller before it"
    )
