"""Retort's kernels for the network, joined as `hw.core` joins them."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.core.module import kernel_of
from hw.core.verilog import to_verilog
from hw.dataflow import MatrixVector, Multiply, Threshold
from hw.dataflow.fold import Fold
from hw.kernels import specs
from hw.kernels.movement import WidthConverter
from hw.kernels.specs.base import ValueType
from hw.kernels.streams import Kernel, signature
from tests.bench.peers.network import ACTIVATION_BITS, INPUT_BITS, Layers, execute, frames, inputs
from tests.hw.kernels.streaming import stream_through

TOP = "core"


class Chain(wiring.Component):
    def __init__(self, kernels: list[Kernel[Any]]) -> None:
        self.kernels = kernels
        (first, *_), last = kernels[0].spec.inlets, kernels[-1].spec.outlet
        super().__init__({"i": In(signature(first)), "o": Out(signature(last))})

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


def folded(layers: Layers, folds: tuple[Fold, ...], multiply: Multiply) -> list[Kernel[Any]]:
    """Each layer PE by SIMD, its products in LUTs or in tables, a vector's room before each."""
    kernels: list[Kernel[Any]] = []
    bits, lanes = INPUT_BITS, folds[0].simd
    for layer, fold in zip(layers, folds, strict=True):
        if lanes != fold.simd:
            kernels.append(WidthConverter(specs.WidthConverter(ValueType(bits), lanes, fold.simd)))
        matrix = MatrixVector("matrix", layer.weights, bits, fold.pe, fold.simd, multiply=multiply)
        last, folds = layer.bias is None, matrix.synapse_folds
        held = not last and folds >= ACTIVATION_BITS
        spec = specs.MatrixVector(matrix, last, matrix.neuron_folds > 1, held, buffered=folds)
        kernels.append(kernel_of(spec))
        lanes = fold.pe
        if not last:
            thresholds = layer.thresholds - spec.offsets[:, None]
            activation = Threshold("threshold", thresholds, fold.pe, block=multiply == "table")
            kernels.append(kernel_of(specs.Threshold(activation, spec.value, held, held)))
            bits = ACTIVATION_BITS
    return kernels


def unfolded(layers: Layers, adders: int) -> list[Kernel[Any]]:
    """Each layer a tree of adders, a frame a cycle."""
    kernels: list[Kernel[Any]] = []
    bits = INPUT_BITS
    for layer in layers:
        matrix = MatrixVector("matrix", layer.weights, bits, *layer.weights.shape)
        spec = specs.Unfolded(matrix, layer.bias is None, adders)
        kernels.append(kernel_of(spec))
        if layer.bias is not None:
            activation = Threshold("threshold", layer.thresholds, matrix.outputs)
            kernels.append(kernel_of(specs.Threshold(activation, spec.value)))
            bits = ACTIVATION_BITS
    return kernels


def build(layers: Layers, kernels: list[Kernel[Any]], work: Path) -> Own:
    """Run frames through the chain, compare with the network, count; then its Verilog."""
    chain = Chain(kernels)
    sample = frames(6, inputs(layers))
    expected = execute(layers, sample)
    lanes = chain.i.payload.shape().length
    words = expected.shape[1] // chain.o.payload.shape().length
    run = stream_through(chain, sample.reshape(-1, lanes), len(sample) * words)
    np.testing.assert_array_equal(run.words.reshape(expected.shape), expected)
    return Own(to_verilog(chain, TOP, None, work), run.interval(words))
