"""The features of kernels that multiply and compare."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np

from hw.dataflow import MatrixVector
from hw.kernels import specs
from hw.kernels.specs.base import counter_width
from hw.kernels.specs.digits import Digit
from hw.kernels.specs.products import OPERAND_BITS, DigitRows, DspPairs, Tables
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


def _products(digits: Sequence[Digit], x_bits: int, terms: int, lanes: int, words: int) -> Products:
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


def matrix_vector(spec: specs.MatrixVector) -> Iterator[Part]:
    """Products, accumulators, weights, and the replay buffer where it has one."""
    match spec.products:
        case Tables() as products:
            kind, found = "matrix-vector-table", _tables(products)
        case DspPairs() as products:
            kind, found = "matrix-vector-dsp", _dsp_pairs(products)
        case DigitRows() as products:
            kind, found = "matrix-vector", _digit_rows(products, spec.loaded is not None)
    layer, grown = spec.layer, spec.outlet.bits
    features = {
        **found.features,
        "accumulator": grown,
        "start": grown * spec.exact,
        "held": grown * spec.held,
        "sum": layer.pe * found.width,
        "counter": counter_width(layer.folded) + counter_width(layer.synapse_folds),
        "one": 1,
    }
    starts = ((Store(layer.neuron_folds, grown), 1),) if spec.exact else ()
    yield Part(kind, features, (*found.stores, *starts), found.dsps)
    if spec.buffer is not None:
        yield buffer(spec.buffer)


def _digit_rows(products: DigitRows, single_port: bool) -> Products:
    layer, ram = products.layer, products.ram
    found = _products(products.digits, layer.x_bits, layer.simd, layer.pe, ram.depth)
    return Products(found.features, found.width, ((Store(ram.depth, ram.width, single_port=single_port), 1),))


def _tables(products: Tables) -> Products:
    layer = products.layer
    lanes = tree([products.entry_bits] * layer.simd)
    parts = len(products.parts)
    total = tree([lanes.width] * parts, [part.start for part in products.parts])
    depth = layer.folded << products.address_bits
    store = Store(depth, products.entry_bits * layer.pe, block=True, ports=parts)
    features = {
        "adder": layer.pe * (lanes.bits * parts + total.bits),
        "adders": layer.pe * (lanes.adders * parts + total.adders),
    }
    return Products(features, total.width, ((store, layer.simd),))


def _dsp_pairs(products: DspPairs) -> Products:
    """Slices, operands from ROM, and the sums of what the slices give."""
    layer = products.layer
    slices, groups = len(products.slots) * layer.simd, -(-layer.simd // products.together)
    total = tree([products.field] * groups)
    # Products are added as they leave the slices, then a constant that makes them positive.
    within = slices * (OPERAND_BITS + layer.x_bits)
    features = {"adder": layer.pe * total.bits + within, "adders": layer.pe * total.adders + slices}
    store = Store(layer.folded, OPERAND_BITS * slices)
    return Products(features, total.width, ((store, 1),), slices)


def unfolded(spec: specs.Unfolded) -> Iterator[Part]:
    """The adders that da4ml finds, and their registers; of a great matrix those of a part, scaled."""
    layer = spec.layer
    rows = min(layer.outputs, SOLVED)
    columns = min(layer.inputs, SOLVED * SOLVED // rows)
    part = np.ascontiguousarray(layer.weights[:rows, :columns])
    found = _tree(part.tobytes(), part.shape, layer.x_bits, spec.exact, spec.adders)
    scale = layer.weights.size / part.size
    features = {name: scale * value for name, value in found.items()}
    yield Part("unfolded", features | {"registered": spec.outlet.bits * spec.exact, "one": 1})


@lru_cache(maxsize=1024)
def _tree(
    weights: bytes, shape: tuple[int, int], x_bits: int, exact: bool, adders: int
) -> Mapping[str, float]:
    """The features of a tree of sums, by `specs.Unfolded.size`."""
    matrix = np.frombuffer(weights, np.int64).reshape(shape)
    layer = MatrixVector("part", matrix, x_bits, *shape)
    return {name: float(value) for name, value in asdict(specs.Unfolded(layer, exact, adders).size).items()}


def depthwise(spec: specs.Depthwise) -> Iterator[Part]:
    """Products, accumulators, weights unless they are the same in every cycle."""
    layer, grown = spec.layer, spec.outlet.bits
    constant = len(set(spec.words)) == 1
    steps = 1 if constant else len(spec.words)
    found = _products(spec.digits, layer.x_bits, layer.simd, layer.pe, steps)
    features = {
        **found.features,
        "accumulator": grown,
        "start": grown * spec.exact,
        "sum": layer.pe * found.width,
        "counter": counter_width(spec.tap_folds) + (0 if constant else counter_width(steps)),
        "one": 1,
    }
    stores = [(Store(steps, spec.code_bits * layer.i_lanes), 1)]
    if spec.exact and len(np.unique(spec.offsets)) > 1:
        stores.append((Store(spec.groups, grown), 1))
    yield Part("depthwise", features, tuple(stores))


def threshold(spec: specs.Threshold) -> Iterator[Part]:
    """Comparators and thresholds, in one of five forms."""
    pe, bits = spec.layer.pe, spec.layer.bits
    compared, counter = max(spec.x.width, spec.threshold.width), counter_width(spec.folds)
    if spec.shifts:
        yield Part("threshold-shift", {"data": pe * compared, "counts": pe * bits, "one": 1})
    elif spec.sequential:
        features = {"compared": pe * compared, "node": pe * bits, "counter": counter, "one": 1}
        kind = "threshold-in-place" if spec.held else "threshold-in-turns"
        yield Part(kind, features, ((_levels(spec, spec.folds << bits), pe),))
    else:
        yield _stages(spec, compared, counter)


def _stages(spec: specs.Threshold, compared: int, counter: int) -> Part:
    """A comparator and a ROM a level; of one word a frame constants of which the path so far selects one."""
    bits, pe = spec.layer.bits, spec.layer.pe
    features = {
        "value": pe * bits * spec.x.width,
        "path": pe * bits * (bits + 1) // 2,
        "counter": counter * bits,
        "one": 1,
    }
    if spec.folds == 1:
        selected = sum(min(1 << level, 8) for level in range(1, bits))
        return Part("threshold-constant", features | {"selected": pe * selected * spec.threshold.width})
    levels = [(_levels(spec, spec.folds << level), pe) for level in range(bits)]
    return Part("threshold-in-stages", features | {"compared": pe * bits * compared}, tuple(levels))


def _levels(spec: specs.Threshold, depth: int) -> Store:
    """Some levels of the search tree, for a lane's channels."""
    thresholds = spec.layer.thresholds
    same = bool((thresholds == thresholds[0]).all()) and spec.step is not None
    return Store(depth, spec.threshold.width, block=spec.layer.block, regular=same)
