"""Specification of a matrix-vector product without folds: a constant matrix as a tree of shared adders."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw import dataflow
from hw.dataflow import Integers
from hw.kernels.specs.arithmetic import bias_of, reach
from hw.kernels.specs.base import LayerSpec, ValueType, narrowest
from hw.kernels.specs.pipelining import stages


def solve(weights: Integers, x_bits: int) -> Any:
    """da4ml's adder graphs for `weights` (outputs, inputs), one after the other.

    Sun et al., "da4ml: Distributed Arithmetic for Real-time Neural Networks on FPGAs", arXiv:2507.04535.
    """
    from da4ml.cmvm import solve as solve_cmvm

    interval = (0.0, float((1 << x_bits) - 1), 1.0)
    kernel = np.ascontiguousarray(weights.T, dtype=np.float32)
    return solve_cmvm(kernel, qintervals=[interval] * len(kernel)).solutions


@dataclass(frozen=True)
class Term:
    """`value * 2**exponent == coefficients @ x`, where `value` numbers an input or a sum of the tree.

    The value itself is whole, the exponent may be negative. Zero has no value.
    """

    value: int | None
    exponent: int
    coefficients: NDArray[np.float64]

    def times(self, shift: int) -> "Term":
        """The term times `2**shift`."""
        return replace(self, exponent=self.exponent + shift, coefficients=self.coefficients * 2.0**shift)


@dataclass(frozen=True)
class Sum:
    """`(a << up_a) + (b << up_b)`, or their difference, of earlier values; one of the shifts is 0."""

    a: int | None
    b: int | None
    up_a: int
    up_b: int
    subtract: bool
    type: ValueType

    @property
    def operands(self) -> list[int]:
        """The values that it reads."""
        return [value for value in (self.a, self.b) if value is not None]

    @property
    def bits(self) -> int:
        """Bits that are added; the lowest pass where only one operand has them."""
        return self.type.width - (self.up_b or (0 if self.subtract else self.up_a))


@dataclass(frozen=True)
class Size:
    """What a tree and its pipeline hold.

    Attributes:
        adders: sums, and `adder` their bits that need adding.
        behind: bits of registers right behind an adder that nothing else reads, which fill its logic cells.
        alone: bits of all other registers.
    """

    adders: int
    adder: int
    behind: int
    alone: int


class AdderTree:
    """The sums that lead from inputs to outputs, each in no more bits than it reaches."""

    def __init__(self, inputs: int, x_bits: int) -> None:
        self.inputs, self.x_bits = inputs, x_bits
        self.sums: list[Sum] = []

    @property
    def types(self) -> list[ValueType]:
        """Of every value."""
        return [ValueType(self.x_bits)] * self.inputs + [each.type for each in self.sums]

    @property
    def operands(self) -> list[list[int]]:
        """Of every value; inputs have none."""
        return [[] for _ in range(self.inputs)] + [each.operands for each in self.sums]

    def add(self, a: Term, b: Term, *, shift: int, subtract: bool) -> Term:
        """`a + b * 2**shift`, or `a - b * 2**shift`."""
        coefficients = a.coefficients + (-1 if subtract else 1) * 2.0**shift * b.coefficients
        if not coefficients.any():
            return Term(None, 0, coefficients)
        exponent = min(a.exponent, b.exponent + shift)
        up_a, up_b = a.exponent - exponent, b.exponent + shift - exponent
        top = ((1 << self.x_bits) - 1) / 2.0**exponent
        low, high = (int(clip(coefficients, 0).sum() * top) for clip in (np.minimum, np.maximum))
        self.sums.append(Sum(a.value, b.value, up_a, up_b, subtract, ValueType.holding(low, high)))
        return Term(self.inputs + len(self.sums) - 1, exponent, coefficients)

    def follow(self, graph: Any, terms: Sequence[Term]) -> list[Term]:
        """Put the sums of one of da4ml's graphs over `terms` in; its outputs."""
        given = [term.times(shift) for term, shift in zip(terms, graph.inp_shifts, strict=True)]
        made: list[Term] = []
        for op in graph.ops:
            if op.opcode == -1:
                made.append(given[op.id0])
            else:
                made.append(self.add(made[op.id0], made[op.id1], shift=op.data, subtract=op.opcode == 1))
        zero = Term(None, 0, np.zeros(self.inputs))
        outputs = []
        for index, shift, negative in zip(graph.out_idxs, graph.out_shifts, graph.out_negs, strict=True):
            scaled = (made[index] if index >= 0 else zero).times(shift)
            outputs.append(self.add(zero, scaled, shift=0, subtract=True) if negative else scaled)
        return outputs


@dataclass(frozen=True, eq=False)
class Unfolded(LayerSpec[dataflow.MatrixVector]):
    """A `dataflow.MatrixVector` without folds: a vector a cycle.

    Multiplications by constants are shifts and adders, shared between neurons as da4ml finds them; at most
    `adders` of them follow each other between registers. With `exact` an output is the accumulator, from a
    register; without, it is the sum itself, and thresholds that follow take up `offsets`, the bias.
    """

    layer: dataflow.MatrixVector
    exact: bool = True
    adders: int = 2

    @property
    def x(self) -> ValueType:  # type: ignore[override]  # noqa: D102
        return ValueType(self.layer.x_bits)

    @property
    def offsets(self) -> Integers:
        """What is left to thresholds, or added where `exact`."""
        return bias_of(self.layer)

    @cached_property
    def value(self) -> ValueType:
        """The narrowest type that holds every output."""
        bias = self.offsets if self.exact else np.zeros_like(self.offsets)
        low, high = reach(self.layer.weights, self.layer.x_bits, bias)
        return narrowest(int(low.min()), int(high.max()))

    @cached_property
    def graphs(self) -> Any:
        """What da4ml makes of the weights; seconds for a layer of some thousand."""
        return solve(self.layer.weights, self.layer.x_bits)

    def tree(self) -> tuple[AdderTree, list[Term]]:
        """The sums of `graphs`, and what leaves as the outputs."""
        tree = AdderTree(self.layer.inputs, self.layer.x_bits)
        terms = [Term(lane, 0, unit) for lane, unit in enumerate(np.eye(self.layer.inputs))]
        for graph in self.graphs:
            terms = tree.follow(graph, terms)
        return tree, terms

    def stages(self, tree: AdderTree, outputs: list[Term]) -> tuple[list[int], int]:
        """The stage of each value, and of the outputs; thresholds count as one more adder, after each."""
        bits = [each.width for each in tree.types]
        read = sorted({term.value for term in outputs if term.value is not None})
        thresholds = [] if self.exact else [[value] for value in read]
        found = stages([*tree.operands, *thresholds], [*bits, *(0 for _ in thresholds)], read, self.adders)
        return found[: len(bits)], max(found)

    @property
    def size(self) -> Size:
        """What it is made of."""
        tree, outputs = self.tree()
        found, last = self.stages(tree, outputs)
        wanted = {term.value for term in outputs}
        read = [{last} if number in wanted else set() for number in range(len(found))]
        for number, operands in enumerate(tree.operands):
            for operand in operands:
                read[operand].add(found[number])
        behind = alone = 0
        for number, (each, stages_read) in enumerate(zip(tree.types, read, strict=True)):
            registers = max(stages_read, default=found[number]) - found[number]
            packed = registers > 0 and number >= tree.inputs and found[number] not in stages_read
            behind += each.width * packed
            alone += each.width * (registers - packed)
        return Size(len(tree.sums), sum(each.bits for each in tree.sums), behind, alone)
