"""Networks exported by the pinned Brevitas: golden in onnxruntime against torch, by value."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from brevitas import nn as qnn
from brevitas.export import export_qonnx
from brevitas.quant import (
    Int8ActPerTensorFixedPoint,
    Int8WeightPerTensorFixedPoint,
    Uint8ActPerTensorFixedPoint,
)
from torch import nn

from hw.dataflow.golden import golden_from_graph
from hw.finn.lowering import Folding, lower
from hw.finn.reader import read
from hw.imported import ByteValues, integral
from hw.imported.file import load
from tests.hw.imported.checking import random_frames

FRAMES = 1000
SIXTEENTHS = ByteValues(1 / 16)


def dense(*, fixed: bool) -> nn.Module:
    """Three hidden layers."""
    weight = {"weight_quant": Int8WeightPerTensorFixedPoint} if fixed else {}
    unsigned = {"act_quant": Uint8ActPerTensorFixedPoint} if fixed else {}
    signed = {"act_quant": Int8ActPerTensorFixedPoint} if fixed else {}
    return nn.Sequential(
        qnn.QuantIdentity(bit_width=4, **signed),
        qnn.QuantLinear(12, 16, weight_bit_width=3, **weight),
        nn.BatchNorm1d(16),
        qnn.QuantReLU(bit_width=1, **unsigned),
        qnn.QuantLinear(16, 16, weight_bit_width=3, **weight),
        qnn.QuantIdentity(bit_width=3, **signed),
        qnn.QuantLinear(16, 16, bias=False, weight_bit_width=3, **weight),
        nn.BatchNorm1d(16),
        qnn.QuantReLU(bit_width=2, **unsigned),
        qnn.QuantLinear(16, 4, weight_bit_width=4, **weight),
    )


class Convolutional(nn.Module):
    """Three hidden layers: padding, a norm between convolution and pool, groups, a global average."""

    def __init__(self, *, fixed: bool) -> None:
        super().__init__()
        weight = {"weight_quant": Int8WeightPerTensorFixedPoint} if fixed else {}
        unsigned = {"act_quant": Uint8ActPerTensorFixedPoint} if fixed else {}
        signed = {"act_quant": Int8ActPerTensorFixedPoint} if fixed else {}
        self.layers = nn.Sequential(
            qnn.QuantIdentity(bit_width=4, **signed),
            qnn.QuantConv2d(2, 8, 3, padding=1, weight_bit_width=3, **weight),
            nn.BatchNorm2d(8),
            nn.MaxPool2d(2, ceil_mode=True),
            qnn.QuantReLU(bit_width=3, **unsigned),
            qnn.QuantConv2d(8, 8, 3, groups=2, bias=False, weight_bit_width=3, **weight),
            nn.BatchNorm2d(8),
            qnn.QuantReLU(bit_width=2, **unsigned),
            qnn.QuantConv2d(8, 8, 3, groups=8, bias=False, padding=1, weight_bit_width=3, **weight),
            qnn.QuantReLU(bit_width=3, **unsigned),
            nn.AdaptiveAvgPool2d(1),
        )
        self.last = qnn.QuantLinear(8, 4, weight_bit_width=3, **weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.layers(x).flatten(1))


def settled(make: Callable[..., nn.Module], shape: tuple[int, ...], *, exact: bool) -> nn.Module:
    """Untrained but calibrated; where `exact`, norms and biases are such that float32 holds every value."""
    torch.manual_seed(1)
    network = make(fixed=exact)
    frames = torch.randint(0, 256, (64, *shape)) / 16
    network.train()
    for _ in range(30):  # norms settle slowly
        network(frames)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.weight.data = torch.empty_like(module.weight).uniform_(-1.5, 1.5)
            if exact:
                step = 2.0 ** module.running_var.sqrt().log2().round()
                module.running_var = step**2 - module.eps
                module.weight.data = module.weight.sign()
                module.running_mean = (module.running_mean * 4 / step).round() * step / 4
                module.bias.data = torch.randint(-2, 3, module.bias.shape) / 4
            module.eval()
        if isinstance(module, qnn.QuantLinear | qnn.QuantConv2d) and module.bias is not None and exact:
            module.bias.data = torch.zeros_like(module.bias)
    for _ in range(3):  # quantizers see what the norms give now
        network(frames)
    return network.eval()


def logits_of(path: Path, given: ByteValues, frames: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Golden's integers for frames, and what they stand for."""
    made = integral(load(path), given)
    log = path.with_suffix(".log")
    graph = read(lower(path, folding=Folding(target_cycles=2000), label=False, log=log, values=given))
    session = onnxruntime.InferenceSession(golden_from_graph(graph).SerializeToString())
    (logits,) = session.run(["logits"], {"x": made.layout.to_core(frames)})
    return logits, made.meaning.scale, made.meaning.offset


NETWORKS = [(dense, (12,)), (Convolutional, (2, 11, 11))]


def compared(
    tmp_path: Path, make: Callable[..., nn.Module], shape: tuple[int, ...], *, exact: bool
) -> tuple[np.ndarray, np.ndarray, float]:
    """Golden's logits for frames, torch's, and a step of golden's."""
    network = settled(make, shape, exact=exact)
    path, frames = tmp_path / "x.onnx", random_frames(shape, FRAMES)
    floats = torch.from_numpy(SIXTEENTHS.floats(frames))
    export_qonnx(network, floats[:1], export_path=str(path))
    with torch.no_grad():
        wanted = network(floats).numpy()
    logits, scale, offset = logits_of(path, SIXTEENTHS, frames)
    assert len(np.unique(logits, axis=0)) > 20
    return scale * logits + offset, wanted, scale


@pytest.mark.parametrize(("make", "shape"), NETWORKS, ids=["dense", "convolutional"])
def test_with_scales_that_are_powers_of_two_every_logit_is_torch_s(
    tmp_path: Path, make: Callable[..., nn.Module], shape: tuple[int, ...]
) -> None:
    found, wanted, _ = compared(tmp_path, make, shape, exact=True)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(("make", "shape"), NETWORKS, ids=["dense", "convolutional"])
def test_with_free_scales_logits_are_within_a_step(
    tmp_path: Path, make: Callable[..., nn.Module], shape: tuple[int, ...]
) -> None:
    found, wanted, step = compared(tmp_path, make, shape, exact=False)
    apart = np.abs(found - wanted).max(axis=1) > step
    assert apart.mean() <= 0.002
