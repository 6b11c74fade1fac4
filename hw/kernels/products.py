"""The arithmetic of a matrix-vector kernel, in three ways: words of x to sums over the SIMD lanes."""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import memory
from amaranth.lib.wiring import PureInterface

from hw.kernels.single_port import single_port_ram
from hw.kernels.specs.digits import Digit, code_bits
from hw.kernels.specs.products import OPERAND_BITS, DigitRows, DspPairs, Products, Tables
from hw.kernels.streams import balanced_sum, rom


@dataclass(frozen=True)
class Schedule:
    """Where the kernel is: the step of the frame, the one after it, and whether they move this cycle."""

    step: Signal
    following: Value
    taken: Signal
    advance: Signal


def lane_sums(
    m: Module, products: Products, x: Sequence[Value], at: Schedule, load: PureInterface | None
) -> list[Value]:
    """An unsigned sum over the lanes of `x` for each of the PE neurons; `load` is the port for weights."""
    match products:
        case DigitRows():
            return _digit_rows(m, products, x, at, load)
        case Tables():
            return _tables(m, products, x, at)
        case DspPairs():
            return _dsp_pairs(m, products, x, at)
    raise NotImplementedError(type(products).__name__)


def _row(digit: Digit, x: Value, code: Value) -> Value:
    """Digit times x as `row_bits` bits; inverted where the digit is negative."""
    width = digit.row_bits(len(x))
    one, two = Cat(x, Const(0, 1))[:width], Cat(Const(0, 1), x)[:width]
    if digit.code_bits == 3:
        chosen = (one & code[0].replicate(width)) | (two & code[1].replicate(width))
        return chosen ^ code[2].replicate(width)
    rows = {0: Const(0, width), 1: one, 2: two, -1: (~one)[:width], -2: (~two)[:width]}
    return _select(code, [rows[value] for value in digit.values])


def _select(code: Value, rows: Sequence[Value]) -> Value:
    """`rows[code]`; a code beyond the last row never occurs."""
    if len(rows) == 1:
        return rows[0]
    half = 1 << ((len(rows) - 1).bit_length() - 1)
    bit = half.bit_length() - 1
    return Mux(code[bit], _select(code, rows[half:]), _select(code, rows[:half]))


def dot(digits: tuple[Digit, ...], x: Sequence[Value], codes: Sequence[Value]) -> Value:
    """Unsigned sum over the lanes of the digit rows; add each weight's `offset` for the dot product.

    `x` holds an unsigned activation a lane, `codes` the lane's digit codes, lowest digit in the lowest bits.
    """
    sums = []
    for position, digit in enumerate(digits):
        at = sum(lower.code_bits for lower in digits[:position])
        rows = [
            _row(digit, value, code[at : at + digit.code_bits]) for value, code in zip(x, codes, strict=True)
        ]
        sums.append(balanced_sum(rows) << (2 * position))
    return balanced_sum(sums)


def _digit_rows(
    m: Module, products: DigitRows, x: Sequence[Value], at: Schedule, load: PureInterface | None
) -> list[Value]:
    width, simd = code_bits(products.digits), products.layer.simd
    address = Mux(at.taken, at.following, at.step)
    data: Value
    if load is None:
        port = rom(m, "weights", products.words(), width * products.layer.pe * simd)
        m.d.comb += port.addr.eq(address)
        data = port.data
    else:
        data = single_port_ram(m, products.ram, address, load)
    codes = [data[place * width :][:width] for place in range(products.layer.pe * simd)]
    return [
        dot(products.digits, x, codes[lane * simd : (lane + 1) * simd]) for lane in range(products.layer.pe)
    ]


def _tables(m: Module, products: Tables, x: Sequence[Value], at: Schedule) -> list[Value]:
    pe_count = products.layer.pe
    width = products.entry_bits * pe_count
    entries: list[list[list[Value]]] = []  # lane, part, PE
    for lane, value in enumerate(x):
        words = products.words(lane)
        # Asked for, or synthesis takes LUTs for what looks like a small ROM.
        table = memory.Memory(shape=width, depth=len(words), init=words, attrs={"rom_style": "block"})
        m.submodules[f"products_{lane}"] = table
        ports = [table.read_port() for _ in products.parts]
        for port, part in zip(ports, products.parts, strict=True):
            address = Cat(value[part], Const(0, products.address_bits - (part.stop - part.start)), at.step)
            m.d.comb += [port.addr.eq(address), port.en.eq(at.advance)]
        entries.append(
            [[port.data.word_select(pe, products.entry_bits) for pe in range(pe_count)] for port in ports]
        )
    return [
        balanced_sum(
            balanced_sum(lane[number][pe] for lane in entries) << part.start
            for number, part in enumerate(products.parts)
        )
        for pe in range(pe_count)
    ]


def _dsp_pairs(m: Module, pairs: DspPairs, x: Sequence[Value], at: Schedule) -> list[Value]:
    simd = pairs.layer.simd
    port = rom(m, "weights", pairs.words(), OPERAND_BITS * len(pairs.slots) * simd)
    m.d.comb += port.addr.eq(Mux(at.taken, at.following, at.step))
    sums: list[Value] = []
    for number, slot in enumerate(pairs.slots):
        products = []
        for lane, value in enumerate(x):
            operand = port.data.word_select(number * simd + lane, OPERAND_BITS).as_signed()
            product = Signal((operand * value).shape(), name=f"product_{number}_{lane}")
            with m.If(at.advance):
                m.d.sync += product.eq(operand * value)
            products.append(product)
        sums += _split(m, pairs, number, len(slot), products)
    return sums


def _split(m: Module, pairs: DspPairs, number: int, neurons: int, products: Sequence[Signal]) -> list[Value]:
    """Each neuron's sum over the lanes, from products that hold all of a slot's neurons."""
    field = pairs.field
    parts: list[list[Value]] = [[] for _ in range(neurons)]
    lift = sum(pairs.lift << (field * place) for place in range(neurons))
    for first in range(0, len(products), pairs.together):
        group = Signal(field * neurons, name=f"group_{number}_{first}")
        m.d.comb += group.eq(balanced_sum(products[first : first + pairs.together]) + lift)
        for place, part in enumerate(parts):
            part.append(group.word_select(place, field))
    return [balanced_sum(part) for part in parts]
