"""What FINN's own layers take of an AMD chip, in closed form.

Block RAMs of dense layers are by FINN's own formula (`bram_estimation` in `finn.custom_op.fpgadataflow`,
after FINN-R, arXiv 1809.04570), and tested against it; those of other layers are of the same kind, and not
tested. DSPs are as FINN's RTL instantiates them (`mvu.sv`), tested against Yosys's count of it: FINN's own
estimate of four products a slice holds for 4 bits by 4 alone. FINN takes UltraRAM only where asked to. FINN's
formulas leave out most LUTs, for layers in RTL, and all flip-flops: these are the bits that a layer's
structure has to hold, times two factors, from one network of which `synth_xilinx` counted FINN's RTL
(64-32-32-10 in docs/benchmarks.md: 4,371 LUTs, 8,766 flip-flops). Expect no more of them than their order.
"""

from dataclasses import replace
from math import ceil

from hw import dataflow
from hw.dataflow import Layer
from hw.mapping.cost.part import Cost, tree

SHAPES = ((16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18))
"""A RAMB18 with a port each way, UG573 table 1-10: words, bits; 512 of 36 too."""
LUT_RAM = 64
"""Words that a LUT holds."""
MULTIPLIER = 25
"""Bits of a DSP48E1's input on which weights lie side by side (UG479); a DSP48E2 has two more (UG579)."""
CONTROL = 30
"""LUTs, and flip-flops, of a layer's counters and handshakes."""
LUTS, FLIP_FLOPS = 1.94, 2.59
"""For each bit of a structure, of all layers but windows."""
WINDOW = 300
"""LUTs of a window's control, as FINN has it."""


def finn_cost(layer: Layer, i_bits: int, o_bits: int) -> Cost:
    """The cost of a layer with words of `i_bits` in (of two streams both) and `o_bits` out."""
    if isinstance(layer, dataflow.Window):
        return _window(layer, i_bits, o_bits)
    bits = _structure(layer, i_bits, o_bits)
    return replace(bits, luts=LUTS * bits.luts, flip_flops=FLIP_FLOPS * bits.flip_flops)


def _structure(layer: Layer, i_bits: int, o_bits: int) -> Cost:
    """Bits of logic and of registers in place of LUTs and flip-flops."""
    match layer:
        case dataflow.MatrixVector():
            return _matrix_vector(layer, i_bits, o_bits)
        case dataflow.Depthwise():
            return _depthwise(layer, i_bits, o_bits)
        case dataflow.Threshold():
            return _threshold(layer, i_bits, o_bits)
        case dataflow.WidthConverter():
            return Cost(_converter(i_bits, o_bits), CONTROL + i_bits + o_bits)
        case dataflow.Fifo():
            return Cost(CONTROL + o_bits * ceil(layer.depth / LUT_RAM), CONTROL + o_bits)
        case _:  # FINN has them in HLS: a word's arithmetic, and its registers
            return Cost(CONTROL + i_bits + o_bits, CONTROL + i_bits + o_bits)


def _matrix_vector(layer: dataflow.MatrixVector, i_bits: int, o_bits: int) -> Cost:
    """Products in DSP slices, weights from a memory of their own, the input vector kept for all outputs."""
    width = layer.pe * layer.simd * _bits(layer)
    sums = layer.pe * tree([_bits(layer) + layer.x_bits] * layer.simd).bits
    replay = i_bits * ceil(layer.synapse_folds / LUT_RAM) if layer.neuron_folds > 1 else 0
    return Cost(
        luts=CONTROL + sums + o_bits + replay,
        flip_flops=CONTROL + sums + 2 * width + i_bits + o_bits,
        block_rams=blocks(width, layer.folded),
        dsps=ceil(layer.pe / _lanes(layer)) * layer.simd,
    )


def _lanes(layer: dataflow.MatrixVector) -> int:
    """Products in a DSP slice: `NUM_LANES` in `mvu.sv`, for weights of a symmetric range."""
    weight, activation = max(2, _bits(layer)), max(2, layer.x_bits)
    return 1 + (MULTIPLIER - weight) // (weight + activation - 1)


def _depthwise(layer: dataflow.Depthwise, i_bits: int, o_bits: int) -> Cost:
    """FINN's VVAU in HLS, for RTL of it is for Versal: products in DSP slices, shallow weights in LUTs."""
    width, depth = (
        layer.pe * layer.simd * _bits(layer),
        layer.channels * layer.taps // (layer.pe * layer.simd),
    )
    sums = layer.pe * tree([_bits(layer) + layer.x_bits] * layer.simd).bits
    kept = width * ceil(depth / LUT_RAM) if depth <= 2 * LUT_RAM else 0
    return Cost(
        luts=CONTROL + sums + o_bits + kept,
        flip_flops=CONTROL + sums + 2 * width + i_bits + o_bits,
        block_rams=0 if kept else blocks(width, depth),
        dsps=layer.pe * layer.simd,
    )


def _threshold(layer: dataflow.Threshold, i_bits: int, o_bits: int) -> Cost:
    """A comparator and a memory for each bit of the result and each lane: a binary search, in stages."""
    width = i_bits // layer.pe
    stages = layer.pe * layer.bits
    folds = layer.channels // layer.pe
    words = [folds << level for level in range(layer.bits)]
    held = layer.pe * sum(width * ceil(depth / LUT_RAM) for depth in words)
    return Cost(CONTROL + held + stages * width, CONTROL + 3 * stages * width)


def _window(layer: dataflow.Window, i_bits: int, o_bits: int) -> Cost:
    """The rows that a window reaches over, in one memory, as FINN's default style has them."""
    groups = layer.shape[2] // layer.lanes
    reach = (layer.kernel[0] - 1) * layer.shape[1] + layer.kernel[1]
    depth = (reach + layer.stride[0] * layer.shape[1]) * groups
    return Cost(WINDOW, WINDOW + i_bits + o_bits, blocks(i_bits, depth))


def _converter(i_bits: int, o_bits: int) -> int:
    """Shift registers, from the narrower word to the wider."""
    return CONTROL + max(i_bits, o_bits)


def blocks(width: int, depth: int) -> int:
    """Block RAMs of 36 kbit, of two halves each."""
    return ceil(memory_halves(width, depth) / 2)


def memory_halves(width: int, depth: int) -> int:
    """Block RAMs of 18 kbit of a memory, as FINN's matrix-vector layer reckons them."""
    for words, bits in SHAPES:
        if width <= bits:
            return ceil(depth / words)
    words, bits = (1024, 18) if depth > 512 else (512, 36)
    return ceil(depth / words) * ceil(width / bits)


def _bits(layer: dataflow.MatrixVector | dataflow.Depthwise) -> int:
    """Bits of a weight."""
    low, high = int(layer.weights.min()), int(layer.weights.max())
    return 1 + max(high, -low - 1, 0).bit_length() if low < 0 else max(1, high.bit_length())
