"""Unfolded matrix-vector product: a constant matrix as a tree of shared adders, a vector a cycle."""

from amaranth.hdl import Cat, Const, Module, Signal, Value

from hw.kernels import specs
from hw.kernels.specs.unfolded import AdderTree, Sum
from hw.kernels.streams import Kernel, shape


def _added(each: Sum, a: Value, b: Value) -> Value:
    """Signed. Bits that only one of the operands has need no adder."""
    if each.up_b:
        upper = _shifted_right(a, each.up_b)
        total = upper - b if each.subtract else upper + b
        return Cat(_lowest(a, each.up_b), total).as_signed()
    if each.up_a and not each.subtract:
        return Cat(_lowest(b, each.up_a), a + _shifted_right(b, each.up_a)).as_signed()
    return (a << each.up_a) - b if each.subtract else a + b


class Pipeline:
    """The values of a tree in a module, in every stage where they are read, registers between stages."""

    def __init__(
        self, m: Module, advance: Value, inputs: list[Value], tree: AdderTree, stages: list[int]
    ) -> None:
        """Registers move when `advance` is set; `stages` has the stage of every value."""
        self.m, self.advance, self.stages = m, advance, stages
        self.values = {(number, 0): value for number, value in enumerate(inputs)}
        for number, each in enumerate(tree.sums, start=tree.inputs):
            value = Signal(shape(each.type))
            stage = stages[number]
            m.d.comb += value.eq(_added(each, self.at(each.a, stage), self.at(each.b, stage)))
            self.values[number, stage] = value

    def at(self, number: int | None, stage: int) -> Value:
        """A value in a stage that is not before its own."""
        if number is None:
            return Const(0, 1)
        for later in range(self.stages[number] + 1, stage + 1):
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


class Unfolded(Kernel[specs.Unfolded]):
    """`weights @ x + bias` for vectors of unsigned values: a vector in, all outputs out, every cycle."""

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]
        spec, value_shape = self.spec, shape(self.spec.value)
        tree, outputs = spec.tree()
        stages, last = spec.stages(tree, outputs)
        # A module of its own: as lanes of one word, sums that others read would look like a loop to tools.
        m.submodules.sums = sums = Module()
        inputs = [self.i.payload[lane] for lane in range(tree.inputs)]
        pipeline = Pipeline(sums, advance, inputs, tree, stages)
        valid: Value = self.i.valid
        for _ in range(last):
            valid = _registered(m, advance, valid)
        m.d.comb += self.o.valid.eq(_registered(m, advance, valid) if spec.exact else valid)
        for lane, term in enumerate(outputs):
            result = Signal(value_shape, name=f"result_{lane}")
            value = _scaled(pipeline.at(term.value, last), term.exponent)
            bias = int(spec.offsets[lane]) if spec.exact else 0
            sums.d.comb += result.eq(value + bias)
            m.d.comb += self.o.payload[lane].eq(_registered(m, advance, result) if spec.exact else result)
        return m


def _registered(m: Module, advance: Value, value: Value) -> Value:
    register = Signal(value.shape())
    with m.If(advance):
        m.d.sync += register.eq(value)
    return register


def _scaled(value: Value, exponent: int) -> Value:
    """`value * 2**exponent`, which is a whole number."""
    return _shifted_right(value, -exponent) if exponent < 0 else value << exponent
