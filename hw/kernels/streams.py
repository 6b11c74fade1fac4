"""What the kernels share: the shape of a lane-packed stream, counters, balanced sums and ROMs."""

from collections.abc import Iterable, Sequence

import numpy as np
from amaranth.hdl import Module, Mux, Shape, Signal, Value, ValueLike
from amaranth.lib import data, memory, stream
from amaranth.utils import ceil_log2
from numpy.typing import NDArray


def lanes_signature(shape: Shape, lanes: int) -> stream.Signature:
    """A stream whose word packs `lanes` elements of `shape`, element 0 in the lowest bits."""
    return stream.Signature(data.ArrayLayout(shape, lanes))


def narrowest(low: int, high: int) -> Shape:
    """The narrowest type that holds 0 and all from `low` to `high`: unsigned where none is negative."""
    return Shape.cast(range(min(0, low), max(1, high) + 1))


def wrapping_next(counter: Signal, count: int) -> Value:
    """The value after `counter` in 0..count-1, back to 0 at the end."""
    if count == 1 << len(counter):
        return (counter + 1)[: len(counter)]
    return Mux(counter == count - 1, 0, counter + 1)[: len(counter)]


def counter_width(count: int) -> int:
    """Bits to count 0..count-1, at least one."""
    return max(1, int(ceil_log2(count)))


def balanced_sum(terms: Iterable[ValueLike]) -> Value:
    """The sum as a balanced tree of two-operand adders, each only as wide as its result needs."""
    level = [Value.cast(term) for term in terms]
    while len(level) > 1:
        paired = [a + b for a, b in zip(level[::2], level[1::2], strict=False)]
        level = paired + level[len(paired) * 2 :]
    return level[0]


def rom(
    m: Module, name: str, words: Sequence[int] | NDArray[np.int64], width: int, *, block: bool = False
) -> memory.ReadPort:
    """A ROM of `width`-bit words with one clocked read port, put into the module under `name`.

    With `block` it is asked for in block RAM; otherwise synthesis takes LUTs for what is small.
    """
    mask = (1 << width) - 1
    attributes = {"rom_style": "block"} if block else {}
    store = memory.Memory(
        shape=width, depth=len(words), init=[int(word) & mask for word in words], attrs=attributes
    )
    m.submodules[name] = store
    return store.read_port()


def pack(values: Sequence[int], width: int) -> int:
    """Integers (two's complement) of `width` bits side by side, the first in the lowest bits."""
    mask = (1 << width) - 1
    return sum((int(value) & mask) << (width * lane) for lane, value in enumerate(values))
