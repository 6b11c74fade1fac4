"""`[student]` of kind "quantized": the layers of the narrow network, and how it is trained.

Every number of a layer may be left to sizing: a list gives the choices, a key left out means the usual ones.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from common import topology
from common.errors import ConfigError
from common.topology import (
    MAX_ACTIVATION_BITS,
    MAX_WEIGHT_BITS,
    MIN_ACTIVATION_BITS,
    MIN_WEIGHT_BITS,
    Pair,
    Topology,
)
from models.augmentation import Augmentation
from pipeline.config.section import (
    MAX_COUNT,
    MAX_ITEMS,
    MAX_WIDTH,
    BatchSize,
    Count,
    Decay,
    LearningRate,
    Section,
    Seed,
    Share,
)
from pipeline.config.student import StudentConfig
from pipeline.config.table import Settings


def _numbers(low: int, high: int, most: int, what: str) -> Any:
    """A number in a range, or up to `most` of them, as a tuple; one message, where a union gives several."""

    def check(value: Any) -> tuple[int, ...]:
        values = value if isinstance(value, tuple) else (value,)
        if 0 < len(values) <= most and all(type(each) is int and low <= each <= high for each in values):
            return values
        limits = f"{low} to {high}" if high < MAX_COUNT else f"at least {low}"
        many = f", not {len(values)} numbers" if len(values) > most else ""
        raise PydanticCustomError("numbers", f"input should be a number, {limits}, or {what}{many}")

    return BeforeValidator(check)


def _sides(low: int) -> Any:
    return _numbers(low, MAX_COUNT, 2, "two: for rows and columns")


CHOICES = "a list to choose from"

Outputs = Annotated[tuple[int, ...], _numbers(1, MAX_WIDTH, MAX_ITEMS, CHOICES)]
WeightBits = Annotated[tuple[int, ...], _numbers(MIN_WEIGHT_BITS, MAX_WEIGHT_BITS, MAX_ITEMS, CHOICES)]
ActivationBits = Annotated[
    tuple[int, ...], _numbers(MIN_ACTIVATION_BITS, MAX_ACTIVATION_BITS, MAX_ITEMS, CHOICES)
]
AccumulatorBits = Annotated[int, Field(ge=1, le=64)]
Sides = Annotated[tuple[int, ...], _sides(1)]
Padding = Annotated[tuple[int, ...], _sides(0)]

USUAL_OUTPUTS = (8, 12, 16, 24, 32, 48, 64)
USUAL_BITS = (2, 3, 4)
"""What sizing chooses from where the build file says nothing."""


def _pair(sides: tuple[int, ...]) -> Pair:
    """One number stands for both sides."""
    return (sides[0], sides[-1])


class _Layer(Section):
    """`optional` layers may be left out by sizing."""

    optional: bool = False


class Dense(_Layer):
    """A fully connected layer; the last has no `activation_bits`, for it gives the integer logits."""

    kind: Literal["dense"] = "dense"
    outputs: Outputs = USUAL_OUTPUTS
    weight_bits: WeightBits = USUAL_BITS
    activation_bits: ActivationBits | None = None
    accumulator_bits: AccumulatorBits | None = None


class _Convolution(_Layer):
    kernel: Sides
    stride: Sides = (1,)
    padding: Padding = (0,)
    weight_bits: WeightBits = USUAL_BITS
    activation_bits: ActivationBits | None = None
    accumulator_bits: AccumulatorBits | None = None

    def _fixed(self) -> dict[str, Any]:
        """What sizing leaves alone."""
        window = {"kernel": self.kernel, "stride": self.stride, "padding": self.padding}
        return {
            **{key: _pair(sides) for key, sides in window.items()},
            "accumulator_bits": self.accumulator_bits,
        }


class Conv(_Convolution):
    """A convolution; `kernel`, `stride` and `padding` are one number, or one for rows and one for columns.

    As the last layer it has no `activation_bits`, for it gives a map of integer logits.
    """

    kind: Literal["conv"]
    outputs: Outputs = USUAL_OUTPUTS


class Depthwise(_Convolution):
    """A convolution of each channel by itself."""

    kind: Literal["depthwise"]


class MaxPool(_Layer):
    """Max pooling; without `stride` the windows do not overlap."""

    kind: Literal["max-pool"]
    size: Sides
    stride: Sides | None = None


class AveragePool(_Layer):
    """Average pooling, without `size` over all pixels.

    `activation_bits` may be left out right before a dense layer.
    """

    kind: Literal["average-pool"]
    size: Sides | None = None
    activation_bits: ActivationBits | None = None


class Residual(_Layer):
    """`body` plus what came in, or `shortcut` of it."""

    kind: Literal["residual"]
    body: Annotated[tuple[Annotated[Conv | Depthwise, Field(discriminator="kind")], ...], Field(min_length=1)]
    activation_bits: ActivationBits = USUAL_BITS
    shortcut: Conv | None = None


def _kind(value: Any) -> str:
    """A layer that does not say what it is, is dense."""
    found = value.get("kind", "dense") if isinstance(value, Mapping) else getattr(value, "kind", "dense")
    return str(found)


Layer: TypeAlias = Annotated[
    Annotated[Dense, Tag("dense")]
    | Annotated[Conv, Tag("conv")]
    | Annotated[Depthwise, Tag("depthwise")]
    | Annotated[MaxPool, Tag("max-pool")]
    | Annotated[AveragePool, Tag("average-pool")]
    | Annotated[Residual, Tag("residual")],
    Discriminator(_kind),
]

Pick: TypeAlias = Callable[[str, tuple[int, ...]], int]
"""From a key such as `layers[2].outputs` and its choices to the one taken."""


class QuantizedStudent(StudentConfig):
    """The narrow network, and how it is trained.

    With `augment` every batch is new, and the teacher is evaluated on it in every step. `seed` draws the
    initial weights and the order of samples; it is the build's where left out.
    """

    tables: ClassVar[frozenset[str]] = frozenset({"teacher", "distill", "size", "training"})
    rungs: ClassVar[frozenset[str]] = frozenset({"maximum_drop"})
    kind: Literal["quantized"] = "quantized"
    layers: Annotated[tuple[Layer, ...], Field(min_length=1, max_length=MAX_ITEMS)]
    epochs: Count = 20
    batch_size: BatchSize = 128
    learning_rate: LearningRate = 3e-3
    weight_decay: Decay = 1e-4
    warmup: Share = 0.0
    augment: Annotated[Augmentation, Settings(Augmentation)] | None = None
    seed: Seed | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with the layers as such."""
        *hidden, last = self.layers
        key = f"layers[{len(hidden)}]"
        if not isinstance(last, Dense | Conv):
            yield f"{key}.kind", "the last layer gives the logits; make it dense or a convolution"
        elif last.activation_bits is not None:
            yield f"{key}.activation_bits", "the last layer gives logits; remove the key"
        if last.optional:
            yield f"{key}.optional", "the last layer gives the logits; remove the key"
        for index, layer in enumerate(hidden):
            if isinstance(layer, Dense) and layer.activation_bits is None:
                yield f"layers[{index}].activation_bits", "missing; only the last layer may go without"

    @property
    def choices(self) -> dict[str, tuple[int, ...]]:
        """What is left to sizing: keys with more than one choice."""
        found: dict[str, tuple[int, ...]] = {}

        def note(key: str, values: tuple[int, ...]) -> int:
            if len(values) > 1:
                found[key] = values
            return values[0]

        for index, layer in enumerate(self.layers):
            _build(f"layers[{index}]", layer, note, last=layer is self.layers[-1])
            if layer.optional:
                found[f"layers[{index}].present"] = (0, 1)
        return found

    def topology(self, input_shape: tuple[int, ...], chosen: Mapping[str, int] | None = None) -> Topology:
        """The network over frames of `input_shape`, with `chosen` for every key of `choices`."""
        taken = dict(chosen or {})

        def pick(key: str, values: tuple[int, ...]) -> int:
            if len(values) == 1:
                return values[0]
            if key not in taken:
                raise ConfigError(f"student.{key}: {list(values)} is left open; give one, or a [size] table")
            return taken[key]

        layers = {}
        for index, layer in enumerate(self.layers):
            key = f"layers[{index}]"
            if not layer.optional or pick(f"{key}.present", (0, 1)):
                layers[index] = _build(key, layer, pick, last=layer is self.layers[-1])
        try:
            return Topology(input_shape, tuple(layers.values()))
        except ConfigError as error:
            raise ConfigError(_in_file(str(error), tuple(layers))) from error


def _in_file(problem: str, places: Sequence[int]) -> str:
    """A problem of `layer2.body0` as one of `student.layers[3].body[0]`; layers may have been left out."""

    def key(found: re.Match[str]) -> str:
        inner = f".{found[2]}" if found[2] else ""
        return f"student.layers[{places[int(found[1])]}]{inner}" + (f"[{found[3]}]" if found[3] else "")

    return re.sub(r"^layer(\d+)(?:\.([a-z]+)(\d*))?", key, problem)


def _build(key: str, layer: Any, pick: Pick, last: bool = False) -> topology.Layer:
    """One layer, each of its numbers picked; the last has no activation."""

    def number(name: str) -> int:
        return pick(f"{key}.{name}", getattr(layer, name) or USUAL_BITS)

    match layer:
        case Dense():
            activation = None if layer.activation_bits is None else number("activation_bits")
            return topology.Dense(
                number("outputs"), number("weight_bits"), activation, layer.accumulator_bits
            )
        case Conv():
            return topology.Conv(
                outputs=number("outputs"),
                weight_bits=number("weight_bits"),
                activation_bits=None if last else number("activation_bits"),
                **layer._fixed(),
            )
        case Depthwise():
            return topology.Depthwise(
                weight_bits=number("weight_bits"),
                activation_bits=number("activation_bits"),
                **layer._fixed(),
            )
        case MaxPool():
            return topology.MaxPool(_pair(layer.size), None if layer.stride is None else _pair(layer.stride))
        case AveragePool():
            activation = None if layer.activation_bits is None else number("activation_bits")
            return topology.AveragePool(None if layer.size is None else _pair(layer.size), activation)
        case Residual():
            body = tuple(_build(f"{key}.body[{at}]", part, pick) for at, part in enumerate(layer.body))
            shortcut = None if layer.shortcut is None else _build(f"{key}.shortcut", layer.shortcut, pick)
            return topology.Residual(body, number("activation_bits"), shortcut)  # type: ignore[arg-type]
    raise AssertionError(layer)
