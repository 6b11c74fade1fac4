"""How a matrix-vector kernel multiplies: what stands between its input words and the sums of a cycle."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import memory
from amaranth.lib.wiring import PureInterface
from numpy.typing import NDArray

from hw.kernels import dot
from hw.kernels.single_port import RamShape, single_port_ram
from hw.kernels.streams import balanced_sum, pack, rom

PART_BITS = 4
"""Bits of x that a table is asked by at a time: entries a weight are two to this power."""


@dataclass(frozen=True)
class Schedule:
    """Where the kernel is: the step of the frame, the one after it, and whether they move this cycle."""

    step: Signal
    following: Value
    taken: Signal
    advance: Signal


@dataclass(frozen=True)
class Fold:
    """A weight matrix (outputs, inputs) folded to PE neurons by SIMD inputs, for unsigned x of `x_bits`."""

    weights: NDArray[np.int64]
    x_bits: int
    pe: int
    simd: int

    @property
    def synapse_folds(self) -> int:
        """SF: words of input a frame."""
        return int(self.weights.shape[1]) // self.simd

    @property
    def neuron_folds(self) -> int:
        """NF: words of output a frame."""
        return int(self.weights.shape[0]) // self.pe

    def steps(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """A value a weight as (steps, PE, SIMD), in the order of use: neuron folds, then synapse folds."""
        folded = values.reshape(self.neuron_folds, self.pe, self.synapse_folds, self.simd)
        return folded.transpose(0, 2, 1, 3).reshape(-1, self.pe, self.simd)


class Products(ABC):
    """Sums over the SIMD lanes of weight times x, each lane's constant left out.

    `offsets` (outputs) bring a neuron's sums over the frame to its dot product. `latency` counts the cycles
    from a word's taking to its sums, before any register of the kernel.
    """

    latency: int
    offsets: NDArray[np.int64]

    @abstractmethod
    def sums(self, m: Module, x: Sequence[Value], at: Schedule) -> list[Value]:
        """An unsigned sum for each of the PE neurons."""


class DigitRows(Products):
    """Rows of radix-4 digits out of LUTs, as `hw/kernels/dot.py` has them; the digits in ROM.

    With `load`, a port of `ram.load`, they are in single-port RAM, and `contents` has to be loaded.
    """

    latency = 0

    def __init__(self, fold: Fold) -> None:
        self.fold = fold
        self.digits = dot.recode(fold.weights)
        self.offsets = dot.offset(self.digits, fold.x_bits).sum(axis=1)
        self.load: PureInterface | None = None

    @property
    def ram(self) -> RamShape:
        """The shape of a RAM for the words."""
        fold = self.fold
        width = dot.code_bits(self.digits) * fold.pe * fold.simd
        return RamShape(fold.synapse_folds * fold.neuron_folds, width)

    @property
    def contents(self) -> NDArray[np.uint16]:
        """What has to be loaded, (columns, depth)."""
        return self.ram.contents(self.words())

    def words(self) -> list[int]:
        """ROM words: the codes of PE by SIMD weights a step."""
        width = dot.code_bits(self.digits)
        codes = self.fold.steps(dot.code_words(self.digits))
        return [pack(step.reshape(-1).tolist(), width) for step in codes]

    def sums(self, m: Module, x: Sequence[Value], at: Schedule) -> list[Value]:  # noqa: D102
        width, simd = dot.code_bits(self.digits), self.fold.simd
        address = Mux(at.taken, at.following, at.step)
        data: Value
        if self.load is None:
            port = rom(m, "weights", self.words(), width * self.fold.pe * simd)
            m.d.comb += port.addr.eq(address)
            data = port.data
        else:
            data = single_port_ram(m, self.ram, address, self.load)
        codes = [data[place * width :][:width] for place in range(self.fold.pe * simd)]
        return [
            dot.dot(self.digits, x, codes[lane * simd : (lane + 1) * simd]) for lane in range(self.fold.pe)
        ]


class Tables(Products):
    """Products looked up in block RAM: the address is the step and at most four bits of x.

    A block RAM that would hold weights alone is mostly empty; with 16 products for each weight it does the
    multiplication as well (distributed arithmetic, Croisier et al. 1973, with the weights in turns). Entries
    are made unsigned by a constant a weight. The parts of a lane's x share a table through its two ports.
    """

    latency = 1

    def __init__(self, fold: Fold) -> None:
        self.fold = fold
        self.parts = [
            slice(low, min(low + PART_BITS, fold.x_bits)) for low in range(0, fold.x_bits, PART_BITS)
        ]
        self.address_bits = min(PART_BITS, fold.x_bits)
        top = (1 << self.address_bits) - 1
        self.lift = -np.minimum(fold.weights, 0) * top
        self.entry_bits = max(1, int(np.abs(fold.weights).max(initial=0) * top).bit_length())
        scale = sum(1 << part.start for part in self.parts)
        self.offsets = -self.lift.sum(axis=1) * scale

    def words(self, lane: int) -> list[int]:
        """A lane's table: for each step the PE products of every value of a part."""
        weights = self.fold.steps(self.fold.weights)[:, :, lane]
        lift = self.fold.steps(self.lift)[:, :, lane]
        values = np.arange(1 << self.address_bits)
        entries = weights[:, None, :] * values[:, None] + lift[:, None, :]  # (steps, values, PE)
        return [pack(row, self.entry_bits) for row in entries.reshape(-1, self.fold.pe).tolist()]

    def sums(self, m: Module, x: Sequence[Value], at: Schedule) -> list[Value]:  # noqa: D102
        width = self.entry_bits * self.fold.pe
        entries: list[list[list[Value]]] = []  # lane, part, PE
        for lane, value in enumerate(x):
            words = self.words(lane)
            # Asked for, or synthesis takes LUTs for what looks like a small ROM.
            table = memory.Memory(shape=width, depth=len(words), init=words, attrs={"rom_style": "block"})
            m.submodules[f"products_{lane}"] = table
            ports = [table.read_port() for _ in self.parts]
            for port, part in zip(ports, self.parts, strict=True):
                address = Cat(value[part], Const(0, self.address_bits - (part.stop - part.start)), at.step)
                m.d.comb += [port.addr.eq(address), port.en.eq(at.advance)]
            entries.append(
                [[port.data.word_select(pe, self.entry_bits) for pe in range(self.fold.pe)] for port in ports]
            )
        return [
            balanced_sum(
                balanced_sum(lane[number][pe] for lane in entries) << part.start
                for number, part in enumerate(self.parts)
            )
            for pe in range(self.fold.pe)
        ]
