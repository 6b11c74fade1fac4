"""A part of a kernel as costs see it, and the parts that several kernels have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from hw.kernels import specs
from hw.kernels.specs.base import counter_width
from hw.mapping.cost.memory import Store


@dataclass(frozen=True)
class Cost:
    """What something takes, in units of `hw.boards.budget.Budget`: LUTs as place and route counts them, on
    iCE40 logic cells, with those that hold a flip-flop alone.
    """

    luts: float = 0.0
    flip_flops: float = 0.0
    block_rams: int = 0
    single_port_rams: int = 0
    dsps: int = 0
    ultra_rams: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


@dataclass(frozen=True)
class Part:
    """A part of a kernel.

    Attributes:
        kind: of the table of coefficients.
        features: what its LUTs and flip-flops grow with.
        stores: its memories, and how many of each.
        dsps: DSP slices.
    """

    kind: str
    features: Mapping[str, float]
    stores: tuple[tuple[Store, int], ...] = ()
    dsps: int = 0


@dataclass(frozen=True)
class Tree:
    """What a balanced tree of two-operand adders takes."""

    width: int
    adders: int
    bits: int


def tree(widths: Sequence[int], shifts: Sequence[int] | None = None) -> Tree:
    """The adders of a sum of unsigned terms of `widths`, each `shifts` bits up."""
    level = [(width, shift) for width, shift in zip(widths, shifts or [0] * len(widths), strict=True)]
    adders = bits = 0
    while len(level) > 1:
        joined = []
        for (width, shift), (other, up) in zip(level[::2], level[1::2], strict=False):
            top = max(width + shift, other + up) + 1
            adders, bits = adders + 1, bits + top - max(shift, up)
            joined.append((top - min(shift, up), min(shift, up)))
        level = joined + level[len(joined) * 2 :]
    return Tree(level[0][0] + level[0][1], adders, bits)


def buffer(spec: specs.Buffer) -> Part:
    """A replay buffer; a FIFO, where a frame is a word that comes once."""
    address = counter_width(spec.words)
    features = {
        "address": address,
        "counter": counter_width(spec.frame) + counter_width(spec.repeats),
        "replay": address * (spec.repeats > 1),
        "width": spec.stream.bits,
        "one": 1,
    }
    return Part("buffer", features, ((Store(spec.words, spec.stream.bits, writable=True), 1),))
