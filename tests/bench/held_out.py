"""Networks that the cost model was not fitted to: what sizing takes them for, and what they come to.

Random topologies of every kind of layer, and dense students trained on sklearn's digits, with layers that
are not folded. Sizing sees a student's topology alone; what is synthesized has the trained weights.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from common.topology import Topology
from hw.boards.boards import find
from hw.boards.families.base import ChipFamily
from hw.core import design
from hw.dataflow import DataflowGraph, MatrixVector, Threshold
from hw.mapping.cost import Cost, estimate, shell_cost, synthetic_graph
from hw.mapping.memories import with_resources
from hw.shells.chip import chip_verilog
from models.data import Dataset, Split
from models.distill import HardLabels
from models.distill.training.transfer import TransferSet
from models.students.freeze import freeze
from models.training import TrainingConfig
from tests.bench.synthesized import Bench
from tests.hw.topologies import dense_case, random_case
from tests.models.distilled import distill

SEEDS = range(30)
"""Every second one is a trained student's."""
BOARDS = {"ice40": "icebreaker", "ecp5": "orangecrab"}
"""By whose budgets products and thresholds go to block RAM."""
EPOCHS = 12


@dataclass(frozen=True)
class Checked:
    """A chip, core and serial shell, as estimated and as it came out; `interval` is the core's, in cycles."""

    name: str
    estimate: Cost
    real: Cost
    interval: int

    @property
    def error(self) -> float:
        """Of LUTs, on iCE40 of logic cells, as a share of the real ones."""
        return self.estimate.luts / self.real.luts - 1


def checked(bench: Bench, family: ChipFamily, seeds: Iterable[int] = SEEDS) -> Iterator[Checked]:
    """The chips of some seeds."""
    budget = find(BOARDS[family.name]).budget
    for seed in seeds:
        sized, built = _student(seed) if seed % 2 else _random(seed)
        multiply: Any = "auto" if seed // 2 % 2 else "lut"
        sized, built = (with_resources(graph, multiply, family, budget) for graph in (sized, built))
        found = estimate(sized, family)
        core = design(built, bench.work)
        text = chip_verilog(core.interface, b"bench", bench.work) + core.verilog
        real = bench.measured(text, family, "chip")["chip"]
        given = found.total + shell_cost(found.interface, family, None)
        yield Checked(f"{'student' if seed % 2 else 'random'} {seed}", given, real, found.interval)


def _random(seed: int) -> tuple[DataflowGraph, DataflowGraph]:
    graph = random_case(np.random.default_rng(seed))[2]
    return graph, graph


def _student(seed: int) -> tuple[DataflowGraph, DataflowGraph]:
    """The graph that sizing takes for a student's, and the trained student's own."""
    topology, folds = dense_case(np.random.default_rng(seed))
    graph = synthetic_graph(topology, folds, label=seed % 4 == 1)
    trained = freeze(_trained(topology, seed))
    weights = iter([layer.operation.weights for layer in trained.layers])  # type: ignore[union-attr]
    thresholds = iter([layer.thresholds for layer in trained.layers if layer.thresholds is not None])
    layers = []
    for layer in graph.layers:
        if isinstance(layer, MatrixVector):
            layer = replace(layer, weights=next(weights).astype(np.int64))
        elif isinstance(layer, Threshold):
            layer = replace(layer, thresholds=next(thresholds).astype(np.int64))
        layers.append(layer)
    return graph, replace(graph, layers=tuple(layers))


def _trained(topology: Topology, seed: int) -> Any:
    x, y = load_digits(return_X_y=True)
    split = Split(np.rint(x * 255 / 16).astype(np.uint8), y.astype(np.int64))
    dataset = Dataset("digits", 10, (64,), split, split, split)
    transfer = TransferSet(split, np.zeros((1, len(y), 10), np.float32))
    settings = TrainingConfig(
        epochs=EPOCHS, batch_size=64, learning_rate=5e-3, weight_decay=1e-4, seed=seed, threads=1
    )
    return distill(topology, dataset, transfer, HardLabels(), settings)[0]
