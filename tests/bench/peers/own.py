"""Retort's kernels for the network, joined as `hw.core` joins them."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from amaranth.hdl import Module, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.core.verilog import to_verilog
from hw.dataflow import Multiply
from hw.finn.lowering import Fold
from hw.kernels.matrix_vector import MatrixVector
from hw.kernels.streams import lanes_signature
from hw.kernels.threshold import Threshold
from hw.kernels.unfolded import Unfolded
from hw.kernels.width import WidthConverter
from tests.bench.peers.network import ACTIVATION_BITS, INPUT_BITS, Layers, execute, frames, inputs
from tests.hw.kernels.streaming import stream_through

TOP = "core"


class Chain(wiring.Component):
    def __init__(self, kernels: list[wiring.Component]) -> None:
        self.kernels = kernels
        first, last = (kernel.payload.shape() for kernel in (kernels[0].i, kernels[-1].o))
        super().__init__(
            {
                "i": In(lanes_signature(first.elem_shape, first.length)),
                "o": Out(lanes_signature(last.elem_shape, last.length)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for number, kernel in enumerate(self.kernels):
            m.submodules[f"kernel_{number}"] = kernel
        for before, after in pairwise(self.kernels):
            wiring.connect(m, before.o, after.i)
        wiring.connect(m, wiring.flipped(self.i), self.kernels[0].i)
        wiring.connect(m, self.kernels[-1].o, wiring.flipped(self.o))
        return m


@dataclass(frozen=True)
class Own:
    """The Verilog of a chain, and its cycles a frame, counted while it gave the network's logits."""

    verilog: str
    interval: int


def folded(layers: Layers, folds: tuple[Fold, ...], multiply: Multiply) -> list[wiring.Component]:
    """Each layer PE by SIMD, its products in LUTs or in tables, a vector's room before each."""
    kernels: list[wiring.Component] = []
    bits, lanes = INPUT_BITS, folds[0].simd
    for layer, fold in zip(layers, folds, strict=True):
        if lanes != fold.simd:
            kernels.append(WidthConverter(unsigned(bits), lanes, fold.simd))
        synapse_folds = layer.weights.shape[1] // fold.simd
        held = layer.bias is not None and synapse_folds >= ACTIVATION_BITS
        kernel = MatrixVector(
            layer.weights,
            x_bits=bits,
            pe=fold.pe,
            simd=fold.simd,
            buffered=synapse_folds,
            exact=layer.bias is None,
            replay=fold.pe < len(layer.weights),
            multiply=multiply,
            held=held,
        )
        kernels.append(kernel)
        lanes = fold.pe
        if layer.bias is not None:
            thresholds = layer.thresholds - kernel.offsets[:, None]
            kernels.append(
                Threshold(
                    thresholds,
                    x_shape=kernel.o_shape,
                    pe=fold.pe,
                    sequential=held,
                    held=held,
                    block=multiply == "table",
                )
            )
            bits = ACTIVATION_BITS
    return kernels


def unfolded(layers: Layers, adders: int) -> list[wiring.Component]:
    """Each layer a tree of adders, a frame a cycle."""
    kernels: list[wiring.Component] = []
    bits = INPUT_BITS
    for layer in layers:
        kernel = Unfolded(layer.weights, x_bits=bits, exact=layer.bias is None, adders=adders)
        kernels.append(kernel)
        if layer.bias is not None:
            kernels.append(
                Threshold(layer.thresholds, x_shape=kernel.o_shape, pe=len(layer.weights), sequential=False)
            )
            bits = ACTIVATION_BITS
    return kernels


def build(layers: Layers, kernels: list[wiring.Component], work: Path) -> Own:
    """Run frames through the chain, compare with the network, count; then its Verilog."""
    chain = Chain(kernels)
    sample = frames(6, inputs(layers))
    expected = execute(layers, sample)
    lanes = chain.i.payload.shape().length
    words = expected.shape[1] // chain.o.payload.shape().length
    run = stream_through(chain, sample.reshape(-1, lanes), len(sample) * words)
    np.testing.assert_array_equal(run.words.reshape(expected.shape), expected)
    return Own(to_verilog(chain, TOP, None, work), run.interval(words))
