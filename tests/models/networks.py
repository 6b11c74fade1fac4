"""Small random data sets, topologies, students and integer networks for the tests."""

from dataclasses import replace

import numpy as np
import torch
from hypothesis import strategies as st

from common import topology
from common.errors import ConfigError
from common.topology import AveragePool, Conv, Dense, Depthwise, MaxPool, Residual, Topology
from models.data import Dataset, Split
from models.students import integer
from models.students.integer import IntegerLayer, IntegerNetwork, reachable
from models.students.student import Student, pool_scale


def random_topology(rng, *, max_width=12, pictures=None):
    """Layers of all kinds that fit each other: dense ones alone, pictures or series."""
    if not (rng.random() < 0.7 if pictures is None else pictures):
        hidden = [Dense(int(rng.integers(1, max_width)), *_bits(rng)) for _ in range(int(rng.integers(0, 3)))]
        return Topology((int(rng.integers(1, max_width)),), (*hidden, _last(rng, max_width)))
    shape = (int(rng.integers(3, 9)), int(rng.choice([1, 4, 6, 7])), int(rng.integers(1, 4)))
    layers = ()
    for _ in range(int(rng.integers(1, 5))):
        layers = _grown(rng, shape, layers)
    if rng.random() < 0.4:
        layers = (*layers, AveragePool(None, None if rng.random() < 0.5 else int(rng.integers(1, 6))))
    elif rng.random() < 0.4:
        layers = (*layers, Dense(int(rng.integers(1, max_width)), *_bits(rng)))
    return Topology(shape, (*layers, _last(rng, max_width)))


def random_map(rng, shape=None):
    """Spatial layers that end in a convolution: logits for every pixel."""
    shape = shape or (int(rng.integers(3, 9)), int(rng.choice([1, 4, 6, 7])), int(rng.integers(1, 4)))
    layers = _grown(rng, shape, ())
    kernel = int(rng.choice([1, 3]))
    head = Conv(int(rng.integers(2, 6)), (kernel, 1), int(rng.integers(1, 9)), None, padding=(kernel // 2, 0))
    return Topology(shape, (*layers, head))


def random_residuals(rng):
    """Residual blocks of one to three layers, two of them strided; sides of a block may be of one shape."""
    bits = [int(each) for each in rng.integers(1, 5, 2)]
    width = int(rng.choice([2, 3, 4, 6]))
    layers = [Conv(width, (3, 3), *bits, padding=(1, 1))]
    for stride in rng.permutation([1, 2, 2] if rng.random() < 0.5 else [2, 2]).tolist():
        width = width if stride == 1 else int(rng.choice([2, 3, 4, 6]))
        side = Conv(width, (1, 1), *bits, (stride, stride))
        first = side if rng.random() < 0.3 else Conv(width, (3, 3), *bits, (stride, stride), (1, 1))
        more = [Conv(width, (3, 3), *bits, padding=(1, 1))] * int(rng.integers(0, 3))
        shortcut = side if stride > 1 or rng.random() < 0.3 else None
        layers.append(Residual((first, *more), bits[1], shortcut))
    pool = [AveragePool(None, None if rng.random() < 0.5 else 3)] if rng.random() < 0.7 else []
    side = int(rng.choice([4, 6, 8]))
    return Topology((side, side, int(rng.integers(1, 4))), (*layers, *pool, Dense(3, bits[0], None)))


def with_twins(network):
    """The network with the same weights, and thresholds where they fit, in all layers of one shape."""
    first, layers = {}, []
    for place, layer in enumerate(network.layers):
        weights = getattr(layer.operation, "weights", None)
        if weights is not None:
            sizes = (weights.shape, layer.activation_bits, network.input_max(place))
            twin = first.setdefault(sizes, layer)
            operation = replace(layer.operation, weights=twin.operation.weights)
            layer = replace(layer, operation=operation, thresholds=twin.thresholds)
        layers.append(layer)
    return replace(network, layers=tuple(layers))


def _grown(rng, shape, layers):
    """One layer more, of a kind that fits; after ten misfits none."""
    for _ in range(10):
        grown = (*layers, _spatial(rng, len(layers)))
        try:
            Topology(shape, (*grown, Dense(2, 2, None)))
        except ConfigError:
            continue
        return grown
    return layers


def _spatial(rng, place):
    kernel = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
    window = {
        "kernel": kernel,
        "stride": (int(rng.integers(1, 3)), int(rng.integers(1, 3))),
        "padding": (int(rng.integers(0, kernel[0])), int(rng.integers(0, kernel[1]))),
    }
    kind = rng.choice(["conv", "conv", "depthwise", "max", "average", "residual"])
    if kind == "depthwise":
        weight_bits, activation_bits = _bits(rng)
        return Depthwise(weight_bits=weight_bits, activation_bits=activation_bits, **window)
    if kind == "max":
        size = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
        return MaxPool(size, None if rng.random() < 0.5 else (1, 1))
    if kind == "average":
        return AveragePool((int(rng.integers(1, 3)), int(rng.integers(1, 3))), int(rng.integers(1, 6)))
    weight_bits, activation_bits = _bits(rng)
    outputs = int(rng.integers(1, 6))
    conv = Conv(outputs=outputs, weight_bits=weight_bits, activation_bits=activation_bits, **window)
    if kind == "residual":
        side = Conv(outputs, (1, 1), int(rng.integers(1, 9)), activation_bits, conv.stride)
        body = Conv(outputs, (3, 1), weight_bits, activation_bits, conv.stride, (1, 0))
        return Residual((body,), activation_bits, side if place == 0 or rng.random() < 0.7 else None)
    return conv


def _bits(rng):
    """Of weights and activations."""
    return int(rng.integers(1, 9)), int(rng.integers(1, 6))


def _last(rng, max_width):
    return Dense(int(rng.integers(2, max_width)), int(rng.integers(1, 9)), None)


def random_network(seed, chosen=None):
    """An integer network, its thresholds anywhere from the least accumulator to one past the greatest."""
    rng = np.random.default_rng(seed)
    chosen = chosen or random_topology(rng)
    layers, given = [], {topology.INPUT: (255, 1.0)}
    for place, step in enumerate(chosen.steps):
        operation = random_operation(step, rng)
        input_max, scale = given[step.sources[0]]
        low, high = reachable(operation, input_max, step.in_shape)
        greatest, scale = int(high.max()), scale * getattr(operation, "scale", 1.0)
        bits, thresholds, activation_scale = getattr(step.layer, "activation_bits", None), None, None
        if bits is not None:
            drawn = rng.integers(low[:, None], high[:, None] + 2, (len(low), 2**bits - 1))
            thresholds = np.sort(drawn, axis=1).astype(np.int32)
            activation_scale = scale = 2.0**-bits
            greatest = 2**bits - 1
        given[place] = greatest, scale
        layers.append(IntegerLayer(step.name, operation, step.sources, thresholds, bits, activation_scale))
    return IntegerNetwork(chosen.frame, tuple(layers))


def random_operation(step, rng):
    """Random weights of a step's width, or the operation without weights."""
    layer = step.layer
    match layer:
        case MaxPool(size=size, stride=stride):
            return integer.MaxPool(size, stride or size)
        case AveragePool(size=size):
            size = size or step.in_shape[:2]
            return integer.SumPool(size, pool_scale(size))
        case topology.Add():
            return integer.Add()
    limit = max(1, 2 ** (layer.weight_bits - 1) - 1)

    def weights(*shape):
        drawn = rng.integers(-limit, limit + 1, shape)
        return (np.where(drawn < 0, -1, 1) if layer.weight_bits == 1 else drawn).astype(np.int8)

    scale = float(2.0 ** rng.integers(-9, 2))
    match layer:
        case Dense(outputs=outputs):
            return integer.Dense(weights(outputs, step.inputs), layer.weight_bits, scale)
        case Conv(outputs=outputs):
            values = weights(outputs, *layer.kernel, step.in_shape[2])
            return integer.Conv(values, layer.weight_bits, scale, layer.stride, layer.padding)
        case Depthwise():
            values = weights(step.in_shape[2], *layer.kernel)
            return integer.Depthwise(values, layer.weight_bits, scale, layer.stride, layer.padding)
    raise AssertionError(layer)


def random_student(seed, chosen=None):
    """An untrained student with uneven batch-norms: gains of both signs and zero, realistic statistics."""
    rng = np.random.default_rng(seed)
    chosen = chosen or random_topology(rng)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        student = Student(chosen).eval()
        x = torch.from_numpy(random_inputs(seed, chosen.inputs, 64)).float()
        for layer in student.layers:
            norm = layer.norm
            if norm is None:
                continue
            norm.weight.copy_(torch.randn(norm.weight.shape, generator=generator) * 1.5)
            norm.weight[torch.rand(norm.weight.shape, generator=generator) < 0.15] = 0.0
            norm.bias.copy_(torch.randn(norm.bias.shape, generator=generator))
            frames = {topology.INPUT: x.view(len(x), *chosen.frame).permute(0, 3, 1, 2)}
            frames |= dict(enumerate(student.values(x)))
            accumulators = layer.accumulate(*(frames[source] for source in layer.step.sources))
            norm.running_mean.copy_(accumulators.mean(dim=(0, 2, 3)))
            norm.running_var.copy_(accumulators.var(dim=(0, 2, 3)) + 1e-3)
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
