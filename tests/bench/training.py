"""How fast students are distilled: steps a second, beside a plain Brevitas loop and a float network.

`python -m tests.bench.training` prints a table over growing networks. The plain loop is what one writes with
Brevitas's layers: the same student and loss, and the teachers evaluated in every step. The float network, the
student without quantizers on cached logits, is the bound. `cached` is the plain loop on cached logits. All
take batches of 128 with AdamW on one thread; CPU time counts, so that other load counts little.
Samples are random: their values do not matter.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from brevitas.nn import QuantConv2d, QuantLinear, QuantReLU
from brevitas.quant import Int8WeightPerTensorFixedPoint, Uint8ActPerTensorFixedPoint
from torch import Tensor, nn

from common.topology import Conv, Dense, MaxPool, Topology
from models.data import Dataset, Split
from models.distill import SoftenedSoftmax
from models.distill.training.transfer import TransferSet
from models.students.student import activation_range
from models.teachers import Architecture, Cnn, Mlp
from models.teachers.ensemble import Teacher
from models.training import TrainingConfig
from models.training.evaluation import deterministic
from tests.models.distilled import distill

BATCH, CLASSES, RATE, DECAY = 128, 10, 3e-3, 1e-2
LOSS = SoftenedSoftmax()


@dataclass(frozen=True)
class Case:
    """A student, and the ensemble that it learns from."""

    name: str
    topology: Topology
    teachers: tuple[Architecture, ...]
    steps: int

    def dataset(self) -> Dataset:
        """Random samples for `steps` steps an epoch."""
        rng = np.random.default_rng(0)
        count = self.steps * BATCH
        x = rng.integers(0, 256, (count, prod(self.topology.input_shape)), dtype=np.uint8)
        split = Split(x, rng.integers(0, CLASSES, count))
        few = Split(split.x[:CLASSES], split.y[:CLASSES])
        return Dataset("random", CLASSES, self.topology.input_shape, split, few, few)

    def ensemble(self) -> list[nn.Module]:
        """The teachers, untrained."""
        shape = self.topology.input_shape
        return [Teacher(each, shape, CLASSES).eval() for each in self.teachers]


def digits(*hidden: int) -> Case:
    layers = (*(Dense(units, 4, 4) for units in hidden), Dense(CLASSES, 4, None))
    name = "digits MLP " + "-".join(map(str, hidden))
    return Case(name, Topology((8, 8, 1), layers), (Mlp((256, 128)),) * 3, 80)


def fashion(*channels: int) -> Case:
    layers: list[Conv | MaxPool] = []
    for outputs in channels:
        layers += [Conv(outputs, (3, 3), 4, 4, padding=(1, 1)), MaxPool((2, 2))]
    topology = Topology((28, 28, 1), (*layers, Dense(CLASSES, 4, None)))
    name = "Fashion CNN " + "-".join(map(str, channels))
    return Case(name, topology, (Cnn(((32,), (64, 64), (128,))),) * 2, 5)


CASES = (
    *(digits(*hidden) for hidden in ((64, 32), (256, 128), (1024, 512))),
    *(fashion(*channels) for channels in ((8, 16, 16), (16, 32, 32), (32, 64, 64))),
)


class Pictures(nn.Module):
    """From (batch, features) to (batch, channels, height, width)."""

    def __init__(self, topology: Topology) -> None:
        super().__init__()
        self.frame = topology.frame

    def forward(self, x: Tensor) -> Tensor:
        return x.view(-1, *self.frame).permute(0, 3, 1, 2)


def network(topology: Topology, quantized: bool) -> nn.Sequential:
    """The student of plain layers: Brevitas's, or float ones."""
    weights = {"weight_quant": Int8WeightPerTensorFixedPoint} if quantized else {}
    parts: list[nn.Module] = [Pictures(topology)]
    flat = False
    for step in topology.steps:
        layer = step.layer
        bits = {"weight_bit_width": layer.weight_bits} if quantized and hasattr(layer, "weight_bits") else {}
        if isinstance(layer, MaxPool):
            parts.append(nn.MaxPool2d(layer.size))
            continue
        if isinstance(layer, Conv):
            make = QuantConv2d if quantized else nn.Conv2d
            sizes = (step.in_shape[2], layer.outputs, layer.kernel, layer.stride, layer.padding)
            parts += [make(*sizes, bias=False, **weights, **bits), nn.BatchNorm2d(layer.outputs)]
        elif isinstance(layer, Dense):
            parts += [] if flat else [nn.Flatten()]
            flat = True
            make = QuantLinear if quantized else nn.Linear
            parts.append(make(step.inputs, layer.outputs, bias=False, **weights, **bits))
            parts += [] if layer.activation_bits is None else [nn.BatchNorm1d(layer.outputs)]
        if layer.activation_bits is not None:
            parts.append(activation(layer.activation_bits) if quantized else nn.ReLU())
    return nn.Sequential(*parts)


def activation(bits: int) -> nn.Module:
    return QuantReLU(
        act_quant=Uint8ActPerTensorFixedPoint,
        bit_width=bits,
        scaling_impl_type="const",
        scaling_init=activation_range(bits),
    )


def ours(case: Case, dataset: Dataset) -> float:
    """CPU seconds a step of `distill`, in the better of two epochs."""
    logits = np.random.default_rng(1).normal(size=(len(case.teachers), len(dataset.train), CLASSES))
    stamps: list[float] = []
    distill(
        case.topology,
        dataset,
        TransferSet(dataset.train, logits.astype(np.float32)),
        LOSS,
        TrainingConfig(2, BATCH, RATE, DECAY, seed=0),
        progress=lambda *_: stamps.append(time.process_time()),
    )
    return float(min(np.diff(stamps))) / case.steps


def loop(case: Case, dataset: Dataset, student: nn.Module, teachers: list[nn.Module]) -> float:
    """CPU seconds a step of a loop without anything clever; no teachers: their logits are given."""
    inputs, labels = torch.from_numpy(dataset.train.x).float(), torch.from_numpy(dataset.train.y)
    cached = torch.randn(len(case.teachers), len(labels), CLASSES)
    optimizer = torch.optim.AdamW(student.parameters(), RATE, weight_decay=DECAY, fused=True)
    student.train()
    order = torch.randperm(len(labels))
    began = time.process_time()
    for rows in order.split(BATCH):
        x, y = inputs[rows], labels[rows]
        with torch.no_grad():
            hints = torch.stack([each(x) for each in teachers]) if teachers else cached[:, rows]
        loss = LOSS(student(x), hints, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (time.process_time() - began) / case.steps


def measure(case: Case, rounds: int) -> dict[str, float]:
    """Steps a second of each way, the best of some rounds, in which each has its turn."""
    dataset, teachers = case.dataset(), case.ensemble()
    quantized, plain = network(case.topology, True), network(case.topology, False)
    plain = plain.to(memory_format=torch.channels_last)
    ways: dict[str, Callable[[], float]] = {
        "ours": lambda: ours(case, dataset),
        "plain": lambda: loop(case, dataset, quantized, teachers),
        "cached": lambda: loop(case, dataset, quantized, []),
        "float": lambda: loop(case, dataset, plain, []),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            seconds[name].append(run())
    return {name: 1 / min(each) for name, each in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="to take the best of")
    rounds = parser.parse_args().rounds
    print(f"{'student':24}{'weights':>9}  {'ours':>8}{'plain':>8}{'cached':>8}{'float':>8}  steps/s")
    with deterministic(1):
        for case in CASES:
            rates = measure(case, rounds)
            weights = sum(step.weights for step in case.topology.steps)
            figures = "".join(f"{rate:8.1f}" for rate in rates.values())
            print(
                f"{case.name:24}{weights:9,}  {figures}  ours {rates['ours'] / rates['plain']:.1f} x plain,"
                f" {rates['ours'] / rates['cached']:.1f} x plain on cached logits,"
                f" {rates['ours'] / rates['float']:.2f} x float",
                flush=True,
            )


if __name__ == "__main__":
    main()
