"""Unfolded matrix-vector product: a constant matrix as a tree of shared adders, a vector a cycle."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Module, Shape, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from hw.kernels.pipelining import stages
from hw.kernels.streams import lanes_signature, narrowest


def solve(weights: NDArray[np.int64], x_bits: int) -> Any:
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


@dataclass(frozen=True)
class Sum:
    """`(a << up_a) + (b << up_b)`, or their difference, of earlier values; one of the shifts is 0."""

    a: int | None
    b: int | None
    up_a: int
    up_b: int
    subtract: bool
    shape: Shape

    @property
    def operands(self) -> list[int]:
        """The values that it reads."""
        return [value for value in (self.a, self.b) if value is not None]

    @property
    def bits(self) -> int:
        """Bits that are added; the lowest pass where only one operand has them."""
        return int(self.shape.width) - (self.up_b or (0 if self.subtract else self.up_a))

    def of(self, a: Value, b: Value) -> Value:
        """Signed. Bits that only one of the operands has need no adder."""
        if self.up_b:
            upper = _shifted_right(a, self.up_b)
            total = upper - b if self.subtract else upper + b
            return Cat(_lowest(a, self.up_b), total).as_signed()
        if self.up_a and not self.subtract:
            return Cat(_lowest(b, self.up_a), a + _shifted_right(b, self.up_a)).as_signed()
        return (a << self.up_a) - b if self.subtract else a + b


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


class Tree:
    """The sums that lead from inputs to outputs, each in no more bits than it reaches."""

    def __init__(self, inputs: int, x_bits: int) -> None:
        self.inputs, self.x_bits = inputs, x_bits
        self.sums: list[Sum] = []

    @property
    def shapes(self) -> list[Shape]:
        """Of every value."""
        return [unsigned(self.x_bits)] * self.inputs + [each.shape for each in self.sums]

    @property
    def operands(self) -> list[list[int]]:
        """Of every value; inputs have none."""
        return [[] for _ in range(self.inputs)] + [each.operands for each in self.sums]

    def _shape(self, coefficients: NDArray[np.float64], exponent: int) -> Shape:
        """The narrowest type of a value."""
        top = ((1 << self.x_bits) - 1) / 2.0**exponent
        low = int(np.minimum(coefficients, 0).sum() * top)
        high = int(np.maximum(coefficients, 0).sum() * top)
        return Shape.cast(range(low, high + 1))

    def add(self, a: Term, b: Term, *, shift: int, subtract: bool) -> Term:
        """`a + b * 2**shift`, or `a - b * 2**shift`."""
        coefficients = a.coefficients + (-1 if subtract else 1) * 2.0**shift * b.coefficients
        if not coefficients.any():
            return Term(None, 0, coefficients)
        exponent = min(a.exponent, b.exponent + shift)
        up_a, up_b = a.exponent - exponent, b.exponent + shift - exponent
        shape = self._shape(coefficients, exponent)
        self.sums.append(Sum(a.value, b.value, up_a, up_b, subtract, shape))
        return Term(self.inputs + len(self.sums) - 1, exponent, coefficients)


class Pipeline:
    """The values of a tree in a module, in every stage where they are read, registers between stages."""

    def __init__(self, m: Module, advance: Value, given: list[Value]) -> None:
        """Registers move when `advance` is set; `given` are the inputs."""
        self.m, self.advance = m, advance
        self.values = {(number, 0): value for number, value in enumerate(given)}

    def place(self, tree: Tree, placed: list[int]) -> None:
        """Every sum, in its stage."""
        for number, each in enumerate(tree.sums, start=tree.inputs):
            value = Signal(each.shape)
            a, b = self.at(each.a, placed[number], placed), self.at(each.b, placed[number], placed)
            self.m.d.comb += value.eq(each.of(a, b))
            self.values[number, placed[number]] = value

    def at(self, number: int | None, stage: int, placed: list[int]) -> Value:
        """A value in a stage that is not before its own."""
        if number is None:
            return Const(0, 1)
        for later in range(placed[number] + 1, stage + 1):
            if (number, later) not in self.values:
                before = self.values[number, later - 1]
                self.values[number, later] = _registered(self.m, self.advance, before)
        return self.values[number, stage]


def _shifted_right(value: Value, count: int) -> Value:
    signed = value.shape().signed
    if count >= len(value):
        return value[-1:].as_signed() if signed else Const(0, 1)
    return value[count:].as_signed() if signed else value[count:]


def _lowest(value: Value, count: int) -> Value:
    sign = value[-1] if value.shape().signed else Const(0, 1)
    return Cat(value, sign.replicate(max(0, count - len(value))))[:count]


class Unfolded(wiring.Component):  # type: ignore[misc]
    """`weights @ x + bias` for vectors of unsigned values: a word in, a word of all outputs out, every cycle.

    The multiplications by constants are shifts and adders, shared between neurons as da4ml finds them; at
    most `adders` of them follow each other between registers. With `exact` an output is the accumulator, from
    a register; without, it is the sum itself, and `bias` is left to thresholds that follow, as `offsets`.
    """

    def __init__(
        self,
        weights: NDArray[np.int64],
        *,
        x_bits: int,
        bias: NDArray[np.int64] | None = None,
        exact: bool = True,
        adders: int = 2,
    ) -> None:
        """`weights` and `bias` as (outputs, inputs) and (outputs,)."""
        self.weights, self.x_bits, self.exact, self.adders = weights.astype(np.int64), x_bits, exact, adders
        self.bias = np.zeros(len(weights), np.int64) if bias is None else bias.astype(np.int64)
        self.offsets = self.bias
        self.x_shape = unsigned(x_bits)
        self.o_shape = self._output_shape()
        outputs, inputs = weights.shape
        super().__init__(
            {
                "i": In(lanes_signature(self.x_shape, inputs)),
                "o": Out(lanes_signature(self.o_shape, outputs)),
            }
        )

    def _output_shape(self) -> Shape:
        top, bias = (1 << self.x_bits) - 1, self.bias if self.exact else 0
        low = np.minimum(self.weights, 0).sum(axis=1) * top + bias
        high = np.maximum(self.weights, 0).sum(axis=1) * top + bias
        return narrowest(int(low.min()), int(high.max()))

    @cached_property
    def graphs(self) -> Any:
        """What da4ml makes of the weights; seconds for a layer of some thousand."""
        return solve(self.weights, self.x_bits)

    def _tree(self) -> tuple[Tree, list[Term]]:
        """The sums of `graphs`, and what leaves as the outputs."""
        inputs = self.weights.shape[1]
        tree = Tree(inputs, self.x_bits)
        terms = [Term(lane, 0, unit) for lane, unit in enumerate(np.eye(inputs))]
        for graph in self.graphs:
            terms = _follow(tree, graph, terms)
        return tree, terms

    def _stages(self, tree: Tree, outputs: list[Term]) -> tuple[list[int], int]:
        """The stage of each value, and of the outputs; thresholds count as one more adder, after each."""
        operands, bits = tree.operands, [shape.width for shape in tree.shapes]
        read = sorted({term.value for term in outputs if term.value is not None})
        thresholds = [] if self.exact else [[value] for value in read]
        placed = stages([*operands, *thresholds], [*bits, *(0 for _ in thresholds)], read, self.adders)
        return placed[: len(bits)], max(placed)

    @property
    def size(self) -> Size:
        """What it is made of."""
        tree, outputs = self._tree()
        placed, last = self._stages(tree, outputs)
        read = [
            {last} if number in {term.value for term in outputs} else set() for number in range(len(placed))
        ]
        for number, operands in enumerate(tree.operands):
            for operand in operands:
                read[operand].add(placed[number])
        behind = alone = 0
        for number, (shape, stages_read) in enumerate(zip(tree.shapes, read, strict=True)):
            registers = max(stages_read, default=placed[number]) - placed[number]
            packed = registers > 0 and number >= tree.inputs and placed[number] not in stages_read
            behind += shape.width * packed
            alone += shape.width * (registers - packed)
        return Size(len(tree.sums), sum(each.bits for each in tree.sums), behind, alone)

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]
        tree, outputs = self._tree()
        placed, last = self._stages(tree, outputs)
        # A module of its own: as lanes of one word, sums that others read would look like a loop to tools.
        m.submodules.sums = sums = Module()
        pipeline = Pipeline(sums, advance, [self.i.payload[lane] for lane in range(tree.inputs)])
        pipeline.place(tree, placed)
        valid: Value = self.i.valid
        for _ in range(last):
            valid = _registered(m, advance, valid)
        m.d.comb += self.o.valid.eq(_registered(m, advance, valid) if self.exact else valid)
        for lane, term in enumerate(outputs):
            result = Signal(self.o_shape, name=f"result_{lane}")
            value = _scaled(pipeline.at(term.value, last, placed), term.exponent)
            bias = int(self.bias[lane]) if self.exact else 0
            sums.d.comb += result.eq(value + bias)
            m.d.comb += self.o.payload[lane].eq(_registered(m, advance, result) if self.exact else result)
        return m


def _registered(m: Module, advance: Value, value: Value) -> Value:
    register = Signal(value.shape())
    with m.If(advance):
        m.d.sync += register.eq(value)
    return register


def _scaled(value: Value, exponent: int) -> Value:
    """`value * 2**exponent`, which is a whole number."""
    return _shifted_right(value, -exponent) if exponent < 0 else value << exponent


def _follow(tree: Tree, graph: Any, terms: list[Term]) -> list[Term]:
    """The outputs of an adder graph over `terms`."""
    given = [_times(term, shift) for term, shift in zip(terms, graph.inp_shifts, strict=True)]
    made: list[Term] = []
    for op in graph.ops:
        if op.opcode == -1:
            made.append(given[op.id0])
        else:
            made.append(tree.add(made[op.id0], made[op.id1], shift=op.data, subtract=op.opcode == 1))
    zero = Term(None, 0, np.zeros(tree.inputs))
    outputs = []
    for index, shift, negative in zip(graph.out_idxs, graph.out_shifts, graph.out_negs, strict=True):
        scaled = _times(made[index] if index >= 0 else zero, shift)
        outputs.append(tree.add(zero, scaled, shift=0, subtract=True) if negative else scaled)
    return outputs


def _times(term: Term, shift: int) -> Term:
    """`term * 2**shift`."""
    return replace(term, exponent=term.exponent + shift, coefficients=term.coefficients * 2.0**shift)
