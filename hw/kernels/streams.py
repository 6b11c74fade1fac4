"""What the components share: streams as ports, counters, balanced sums and ROMs."""

from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

from amaranth.hdl import Module, Mux, Shape, Signal, Value, ValueLike
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out, PureInterface

from hw.kernels.specs.base import Spec, Stream, ValueType

SpecT = TypeVar("SpecT", bound=Spec)


def shape(value: ValueType) -> Shape:
    """A type of values in Amaranth's terms."""
    return Shape(value.width, value.signed)


def signature(words: Stream) -> stream.Signature:
    """A stream in Amaranth's terms."""
    return stream.Signature(data.ArrayLayout(shape(words.value), words.lanes))


def _names(side: str, count: int) -> list[str]:
    return [side] if count == 1 else [f"{side}_{number}" for number in range(count)]


class Kernel(wiring.Component, Generic[SpecT]):  # type: ignore[misc]
    """A specification's component: stream `i` in and `o` out; of several `i_0`, `i_1` or `o_0`, `o_1`."""

    def __init__(self, spec: SpecT, **ports: Any) -> None:
        """`ports` are the kernel's further ones."""
        self.spec = spec
        self._inlets, self._outlets = _names("i", len(spec.inlets)), _names("o", spec.consumers)
        streams = {name: In(signature(each)) for name, each in zip(self._inlets, spec.inlets, strict=True)}
        streams |= {name: Out(signature(spec.outlet)) for name in self._outlets}
        super().__init__(streams | ports)

    @property
    def inlets(self) -> tuple[PureInterface, ...]:
        """The streams in."""
        return tuple(getattr(self, name) for name in self._inlets)

    @property
    def outlets(self) -> tuple[PureInterface, ...]:
        """The streams out."""
        return tuple(getattr(self, name) for name in self._outlets)


def wrapping_next(counter: Signal, count: int) -> Value:
    """The value after `counter` in 0..count-1, back to 0 at the end."""
    if count == 1 << len(counter):
        return (counter + 1)[: len(counter)]
    return Mux(counter == count - 1, 0, counter + 1)[: len(counter)]


def balanced_sum(terms: Iterable[ValueLike]) -> Value:
    """The sum as a balanced tree of two-operand adders, each only as wide as its result needs."""
    level = [Value.cast(term) for term in terms]
    while len(level) > 1:
        paired = [a + b for a, b in zip(level[::2], level[1::2], strict=False)]
        level = paired + level[len(paired) * 2 :]
    return level[0]


def rom(m: Module, name: str, words: Sequence[int], width: int, *, block: bool = False) -> memory.ReadPort:
    """A ROM of `width`-bit words with one clocked read port, put into the module under `name`.

    `block` asks for block RAM; otherwise synthesis takes LUTs for what is small.
    """
    mask = (1 << width) - 1
    attributes = {"rom_style": "block"} if block else {}
    store = memory.Memory(
        shape=width, depth=len(words), init=[int(word) & mask for word in words], attrs=attributes
    )
    m.submodules[name] = store
    return store.read_port()
