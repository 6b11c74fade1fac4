"""Unfolded matrix-vector product: a constant matrix as a tree of shared adders, a vector a cycle."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Module, Shape, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from hw.kernels.streams import lanes_signature


def solve(weights: NDArray[np.int64], x_bits: int) -> Any:
    """da4ml's adder graphs for `weights` (outputs, inputs), one after the other.

    Sun et al., "da4ml: Distributed Arithmetic for Real-time Neural Networks on FPGAs", arXiv:2507.04535.
    """
    from da4ml.cmvm import solve as solve_cmvm

    interval = (0.0, float((1 << x_bits) - 1), 1.0)
    kernel = np.ascontiguousarray(weights.T, dtype=np.float32)
    return solve_cmvm(kernel, qintervals=[interval] * len(kernel)).solutions


@dataclass(frozen=True)
class Node:
    """A sum in the tree: `mantissa * 2**exponent == coefficients @ x`, in pipeline stage `stage`.

    `adders` counts those since the stage's registers. The mantissa is whole, the exponent may be negative.
    """

    mantissa: Value
    exponent: int
    coefficients: NDArray[np.float64]
    stage: int = 0
    adders: int = 0


class Tree:
    """Builds nodes in a module, registers between stages, each value in no more bits than it reaches."""

    def __init__(self, m: Module, advance: Value, x_max: int, adders: int) -> None:
        """`adders` follow each other in a stage; registers move when `advance` is set."""
        self.m, self.advance, self.x_max, self.adders = m, advance, x_max, adders
        self.delayed: dict[tuple[int, int], Node] = {}
        self.kept: list[Node] = []  # so that no id of `delayed` is given twice

    def shape(self, coefficients: NDArray[np.float64], exponent: int) -> Shape:
        """The narrowest type of a mantissa."""
        low = int(np.minimum(coefficients, 0).sum() * self.x_max / 2.0**exponent)
        high = int(np.maximum(coefficients, 0).sum() * self.x_max / 2.0**exponent)
        return Shape.cast(range(low, high + 1))

    def at(self, node: Node, stage: int) -> Node:
        """The node's value in a later stage, by way of registers."""
        while node.stage < stage:
            key = id(node), node.stage + 1
            if key not in self.delayed:
                register = Signal(node.mantissa.shape())
                with self.m.If(self.advance):
                    self.m.d.sync += register.eq(node.mantissa)
                self.delayed[key] = replace(node, mantissa=register, stage=node.stage + 1, adders=0)
                self.kept.append(node)
            node = self.delayed[key]
        return node

    def add(self, a: Node, b: Node, *, shift: int, subtract: bool) -> Node:
        """`a + b * 2**shift`, or `a - b * 2**shift`."""
        stage = max(a.stage, b.stage)
        if max(node.adders for node in (a, b) if node.stage == stage) == self.adders:
            stage += 1
        a, b = self.at(a, stage), self.at(b, stage)
        coefficients = a.coefficients + (-1 if subtract else 1) * 2.0**shift * b.coefficients
        if not coefficients.any():
            return Node(Const(0, 1), 0, coefficients, stage)
        exponent = min(a.exponent, b.exponent + shift)
        up_a, up_b = a.exponent - exponent, b.exponent + shift - exponent
        shape = self.shape(coefficients, exponent)
        total = _sum(a.mantissa, b.mantissa, up_a, up_b, subtract)
        value = Signal(shape)
        self.m.d.comb += value.eq(total)
        return Node(value, exponent, coefficients, stage, max(a.adders, b.adders) + 1)


def _sum(a: Value, b: Value, up_a: int, up_b: int, subtract: bool) -> Value:
    """`(a << up_a) + (b << up_b)`, signed; one of the shifts is 0. Bits that only one has need no adder."""
    if up_b:
        upper = _shifted_right(a, up_b)
        return Cat(_lowest(a, up_b), upper - b if subtract else upper + b).as_signed()
    if up_a and not subtract:
        return Cat(_lowest(b, up_a), a + _shifted_right(b, up_a)).as_signed()
    return (a << up_a) - b if subtract else a + b


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

    The multiplications by constants are shifts and adders, shared between neurons as da4ml finds them; a
    register follows every `adders` of them. With `exact` an output is the accumulator; without, `bias` is
    left to the thresholds, as `offsets`.
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
        return Shape.cast(range(min(0, int(low.min())), max(0, int(high.max())) + 1))

    @cached_property
    def graphs(self) -> Any:
        """What da4ml makes of the weights; seconds for a layer of some thousand."""
        return solve(self.weights, self.x_bits)

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]
        inputs = self.weights.shape[1]
        tree = Tree(m, advance, (1 << self.x_bits) - 1, self.adders)
        nodes = [Node(self.i.payload[lane], 0, np.eye(inputs)[lane]) for lane in range(inputs)]
        for graph in self.graphs:
            nodes = _follow(tree, graph, nodes)
        last = max(node.stage for node in nodes)
        valid: Value = self.i.valid
        for _ in range(last):
            later = Signal()
            with m.If(advance):
                m.d.sync += later.eq(valid)
            valid = later
        with m.If(advance):
            m.d.sync += self.o.valid.eq(valid)
        for lane, node in enumerate(nodes):
            value = tree.at(node, last)
            bias = int(self.bias[lane]) if self.exact else 0
            result = Signal(self.o_shape, name=f"result_{lane}")
            with m.If(advance):
                m.d.sync += result.eq(_whole(value) + bias)
            m.d.comb += self.o.payload[lane].eq(result)
        return m


def _whole(node: Node) -> Value:
    """The node's value, which is a whole number."""
    if node.exponent < 0:
        return _shifted_right(node.mantissa, -node.exponent)
    return node.mantissa << node.exponent


def _follow(tree: Tree, graph: Any, nodes: list[Node]) -> list[Node]:
    """The outputs of an adder graph over the values of `nodes`."""
    given = [
        replace(node, exponent=node.exponent + shift, coefficients=node.coefficients * 2.0**shift)
        for node, shift in zip(nodes, graph.inp_shifts, strict=True)
    ]
    made: list[Node] = []
    for op in graph.ops:
        if op.opcode == -1:
            made.append(given[op.id0])
        else:
            made.append(tree.add(made[op.id0], made[op.id1], shift=op.data, subtract=op.opcode == 1))
    zero = Node(Const(0, 1), 0, np.zeros_like(nodes[0].coefficients))
    outputs = []
    for index, shift, negative in zip(graph.out_idxs, graph.out_shifts, graph.out_negs, strict=True):
        node = made[index] if index >= 0 else zero
        scaled = replace(node, exponent=node.exponent + shift, coefficients=node.coefficients * 2.0**shift)
        outputs.append(tree.add(zero, scaled, shift=0, subtract=True) if negative else scaled)
    return outputs
