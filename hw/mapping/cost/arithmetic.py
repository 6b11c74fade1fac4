"""The features of kernels that multiply and compare."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np

from hw.kernels import dot
from hw.kernels.depthwise import Depthwise
from hw.kernels.dsp import OPERAND_BITS, DspPairs
from hw.kernels.matrix_vector import MatrixVector
from hw.kernels.products import Tables
from hw.kernels.streams import counter_width
from hw.kernels.threshold import Threshold
from hw.kernels.unfolded import Unfolded
from hw.mapping.cost.memory import Store
from hw.mapping.cost.part import Part, buffer, tree

SOLVED = 32
"""Rows, and columns, of a matrix without folds of which the adders are found for an estimate."""


@dataclass(frozen=True)
class Products:
    """What multiplies: its features, its memories, and bits of a lane's sum."""

    features: Mapping[str, float]
    width: int
    stores: tuple[tuple[Store, int], ...] = ()
    dsps: int = 0


def _products(digits: Sequence[dot.Digit], x_bits: int, terms: int, lanes: int, words: int) -> Products:
    """What the digit rows of `terms` products take in each of `lanes`, and the adders of their sum.

    A digit's code of few different `words` is a constant in some places, and so is then its row.
    """
    rows = {f"rows-{bits}": 0.0 for bits in (1, 2, 3)}
    sums, adders, bits = [], 0, 0
    for digit in digits:
        width = digit.row_bits(x_bits)
        if len(digit.values) > 1:
            rows[f"rows-{digit.code_bits}"] += lanes * terms * width * (1 - 2.0 ** (1 - words))
        each = tree([width] * terms)
        sums.append(each.width)
        adders, bits = adders + each.adders, bits + each.bits
    total = tree(sums, [2 * position for position in range(len(sums))])
    features = {"adder": lanes * (bits + total.bits), "adders": lanes * (adders + total.adders)}
    return Products(rows | features, total.width)


def matrix_vector(kernel: MatrixVector) -> Iterator[Part]:
    """Products, accumulators, weights, and the replay buffer where it has one."""
    match kernel.products:
        case Tables() as products:
            kind, found = "matrix-vector-table", _tables(products)
        case DspPairs() as products:
            kind, found = "matrix-vector-dsp", _dsp_pairs(products)
        case _:
            kind, found = "matrix-vector", _digit_rows(kernel)
    grown = kernel.pe * kernel.o_shape.width
    steps = kernel.synapse_folds * kernel.neuron_folds
    features = {
        **found.features,
        "accumulator": grown,
        "start": grown * kernel.exact,
        "held": grown * kernel.held,
        "sum": kernel.pe * found.width,
        "counter": counter_width(steps) + counter_width(kernel.synapse_folds),
        "one": 1,
    }
    starts = ((Store(kernel.neuron_folds, grown), 1),) if kernel.exact else ()
    yield Part(kind, features, (*found.stores, *starts), found.dsps)
    if kernel.replay:
        width = kernel.x_shape.width * kernel.simd
        yield buffer(width, kernel.depth, kernel.synapse_folds, kernel.neuron_folds)


def _digit_rows(kernel: MatrixVector) -> Products:
    digits: tuple[dot.Digit, ...] = kernel.products.digits  # type: ignore[attr-defined]
    steps = kernel.synapse_folds * kernel.neuron_folds
    found = _products(digits, kernel.x_shape.width, kernel.simd, kernel.pe, steps)
    width = dot.code_bits(digits) * kernel.pe * kernel.simd
    store = Store(steps, width, single_port=kernel.loaded is not None)
    return Products(found.features, found.width, ((store, 1),))


def _tables(products: Tables) -> Products:
    fold = products.fold
    lanes = tree([products.entry_bits] * fold.simd)
    parts = len(products.parts)
    total = tree([lanes.width] * parts, [part.start for part in products.parts])
    depth = fold.synapse_folds * fold.neuron_folds << products.address_bits
    store = Store(depth, products.entry_bits * fold.pe, block=True, ports=parts)
    features = {
        "adder": fold.pe * (lanes.bits * parts + total.bits),
        "adders": fold.pe * (lanes.adders * parts + total.adders),
    }
    return Products(features, total.width, ((store, fold.simd),))


def _dsp_pairs(products: DspPairs) -> Products:
    """Slices, operands from ROM, and the sums of what the slices give."""
    fold = products.fold
    slices, groups = len(products.slots) * fold.simd, -(-fold.simd // products.together)
    total = tree([products.field if products.paired else (2 * products.lift).bit_length()] * groups)
    # Products are added as they leave the slices, then a constant that makes them positive.
    within = slices * (OPERAND_BITS + fold.x_bits)
    features = {"adder": fold.pe * total.bits + within, "adders": fold.pe * total.adders + slices}
    store = Store(fold.synapse_folds * fold.neuron_folds, OPERAND_BITS * slices)
    return Products(features, total.width, ((store, 1),), slices)


def unfolded(kernel: Unfolded) -> Iterator[Part]:
    """The adders that da4ml finds, and their registers; of a great matrix those of a part, scaled."""
    outputs, inputs = kernel.weights.shape
    rows = min(outputs, SOLVED)
    columns = min(inputs, SOLVED * SOLVED // rows)
    part = np.ascontiguousarray(kernel.weights[:rows, :columns])
    found = _tree(part.tobytes(), part.shape, kernel.x_bits, kernel.exact, kernel.adders)
    scale = kernel.weights.size / part.size
    features = {name: scale * value for name, value in found.items()}
    yield Part("unfolded", features | {"registered": outputs * kernel.o_shape.width * kernel.exact, "one": 1})


@lru_cache(maxsize=1024)
def _tree(
    weights: bytes, shape: tuple[int, int], x_bits: int, exact: bool, adders: int
) -> Mapping[str, float]:
    """The features of a tree of sums, by `Unfolded.size`."""
    matrix = np.frombuffer(weights, np.int64).reshape(shape)
    kernel = Unfolded(matrix, x_bits=x_bits, exact=exact, adders=adders)
    kernel._MustUse__used = True  # Amaranth warns of components that are never elaborated
    size = kernel.size
    return {name: float(value) for name, value in asdict(size).items()}


def depthwise(kernel: Depthwise) -> Iterator[Part]:
    """Products, accumulators, weights unless they are the same in every cycle."""
    x_bits = kernel.i.payload[0].shape().width
    words = kernel._weight_words()
    constant = len(set(words)) == 1
    steps = 1 if constant else len(words)
    found = _products(kernel.digits, x_bits, kernel.simd, kernel.pe, steps)
    grown = kernel.pe * kernel.o_shape.width
    features = {
        **found.features,
        "accumulator": grown,
        "start": grown * kernel.exact,
        "sum": kernel.pe * found.width,
        "counter": counter_width(kernel.tap_folds) + (0 if constant else counter_width(steps)),
        "one": 1,
    }
    stores = [(Store(steps, dot.code_bits(kernel.digits) * kernel.pe * kernel.simd), 1)]
    if kernel.exact and len(np.unique(kernel.offsets)) > 1:
        stores.append((Store(kernel.groups, grown), 1))
    yield Part("depthwise", features, tuple(stores))


def threshold(kernel: Threshold) -> Iterator[Part]:
    """Comparators and thresholds, in one of five forms."""
    compared = max(kernel.x_shape.width, kernel.t_shape.width)
    counter = counter_width(kernel.folds)
    if kernel.folds == 1 and kernel.step is not None:
        features = {"data": kernel.pe * compared, "counts": kernel.pe * kernel.bits, "one": 1}
        yield Part("threshold-shift", features)
    elif kernel.sequential:
        features = {
            "compared": kernel.pe * compared,
            "node": kernel.pe * kernel.bits,
            "counter": counter,
            "one": 1,
        }
        store = _levels(kernel, kernel.folds << kernel.bits)
        kind = "threshold-in-place" if kernel.held else "threshold-in-turns"
        yield Part(kind, features, ((store, kernel.pe),))
    else:
        yield _stages(kernel, compared, counter)


def _stages(kernel: Threshold, compared: int, counter: int) -> Part:
    """A comparator and a ROM a level; of one word a frame constants of which the path so far selects one."""
    bits, pe = kernel.bits, kernel.pe
    features = {
        "value": pe * bits * kernel.x_shape.width,
        "path": pe * bits * (bits + 1) // 2,
        "counter": counter * bits,
        "one": 1,
    }
    if kernel.folds == 1:
        selected = sum(min(1 << level, 8) for level in range(1, bits))
        return Part("threshold-constant", features | {"selected": pe * selected * kernel.t_shape.width})
    levels = [(_levels(kernel, kernel.folds << level), pe) for level in range(bits)]
    return Part("threshold-in-stages", features | {"compared": pe * bits * compared}, tuple(levels))


def _levels(kernel: Threshold, depth: int) -> Store:
    """Some levels of the search tree, for a lane's channels."""
    same = bool((kernel.thresholds == kernel.thresholds[0]).all()) and kernel.step is not None
    return Store(depth, kernel.t_shape.width, block=kernel.block, regular=same)
