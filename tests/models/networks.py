"""Small random data sets, students and integer networks for the tests."""

import numpy as np
import torch
from hypothesis import strategies as st

from models.data import Dataset, Split
from models.integer import IntegerLayer, IntegerNetwork, accumulator_range
from models.student import Student
from models.topology import DenseLayer, Topology


def random_topology(rng, *, max_width=12):
    hidden = [
        DenseLayer(int(rng.integers(1, max_width)), int(rng.integers(2, 9)), int(rng.integers(1, 9)))
        for _ in range(rng.integers(0, 3))
    ]
    last = DenseLayer(int(rng.integers(2, max_width)), int(rng.integers(2, 9)), None)
    return Topology(int(rng.integers(1, max_width)), (*hidden, last))


def random_network(seed):
    """An integer network, its thresholds anywhere from the least accumulator to one past the greatest."""
    rng = np.random.default_rng(seed)
    topology = random_topology(rng)
    layers, input_max = [], 255
    for index, ((inputs, outputs), layer) in enumerate(zip(topology.shapes, topology.layers, strict=True)):
        limit = 2 ** (layer.weight_bits - 1) - 1
        weights = rng.integers(-limit, limit + 1, (outputs, inputs)).astype(np.int8)
        bits, thresholds, scale = layer.activation_bits, None, None
        if bits is not None:
            low, high = accumulator_range(weights, input_max)
            drawn = rng.integers(low[:, None], high[:, None] + 2, (outputs, 2**bits - 1))
            thresholds, scale = np.sort(drawn, axis=1).astype(np.int32), float(2.0 ** rng.integers(-6, 3))
            input_max = 2**bits - 1
        weight_scale = float(2.0 ** rng.integers(-9, 2))
        layers.append(
            IntegerLayer(f"layer{index}", weights, layer.weight_bits, weight_scale, thresholds, bits, scale)
        )
    return IntegerNetwork(tuple(layers))


def random_student(seed, topology=None):
    """An untrained student with uneven batch-norms: gains of both signs and zero, realistic statistics."""
    rng = np.random.default_rng(seed)
    topology = topology or random_topology(rng)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        student = Student(topology).eval()
        x = torch.from_numpy(random_inputs(seed, topology.inputs, 64)).float()
        for layer in student.layers:
            accumulators = layer.linear(x)
            if layer.norm is not None:
                norm = layer.norm
                norm.weight.copy_(torch.randn(norm.weight.shape, generator=generator) * 1.5)
                norm.weight[torch.rand(norm.weight.shape, generator=generator) < 0.15] = 0.0
                norm.bias.copy_(torch.randn(norm.bias.shape, generator=generator))
                norm.running_mean.copy_(accumulators.mean(dim=0))
                norm.running_var.copy_(accumulators.var(dim=0) + 1e-3)
            x = layer.activate(accumulators)
    return student


def random_inputs(seed, inputs, samples=50):
    """Random uint8 samples, with all-zero and all-255 ones among them."""
    x = np.random.default_rng(seed + 1).integers(0, 256, (samples, inputs), dtype=np.uint8)
    x[0], x[1] = 0, 255
    return x


def toy_dataset(seed=0, samples=160, classes=3, shape=(4, 4, 1)):
    """Noisy class prototypes: learned to high accuracy in a few epochs."""
    rng = np.random.default_rng(seed)
    prototypes = rng.integers(0, 200, (classes, int(np.prod(shape))))

    def split(count):
        y = np.arange(count, dtype=np.int64) % classes
        noise = rng.integers(0, 56, (count, prototypes.shape[1]))
        return Split((prototypes[y] + noise).astype(np.uint8), y)

    return Dataset("toy", classes, shape, split(samples), split(samples // 2), split(samples // 2))


seeds = st.integers(0, 10_000)
