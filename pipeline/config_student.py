"""`[student]`: the layers of the narrow network, and how it is trained.

Every number of a layer may be left to sizing: a list gives the choices, a key left out means the usual ones.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from models import topology
from models.topology import (
    MAX_ACTIVATION_BITS,
    MAX_WEIGHT_BITS,
    MIN_ACTIVATION_BITS,
    MIN_WEIGHT_BITS,
    Pair,
    Topology,
)
from pipeline.config_section import AugmentConfig, Count, NonNegative, Rate, Section, Share
from pipeline.errors import ConfigError


def _numbers(low: int, high: int | None, most: int | None, what: str) -> Any:
    """A number in a range, or up to `most` of them, as a tuple; one message, where a union gives several."""

    def check(value: Any) -> tuple[int, ...]:
        values = value if isinstance(value, tuple) else (value,)
        good = all(type(each) is int and low <= each <= (high or each) for each in values)
        if not good or not values or len(values) > (most or len(values)):
            limits = f"{low} to {high}" if high else f"at least {low}"
            raise PydanticCustomError("numbers", f"input should be a number, {limits}, or {what}")
        return values

    return BeforeValidator(check)


def _sides(low: int) -> Any:
    return _numbers(low, None, 2, "two: for rows and columns")


Outputs = Annotated[tuple[int, ...], _numbers(1, None, None, "a list to choose from")]
WeightBits = Annotated[
    tuple[int, ...], _numbers(MIN_WEIGHT_BITS, MAX_WEIGHT_BITS, None, "a list to choose from")
]
ActivationBits = Annotated[
    tuple[int, ...], _numbers(MIN_ACTIVATION_BITS, MAX_ACTIVATION_BITS, None, "a list to choose from")
]
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
    accumulator_bits: Count | None = None


class _Convolution(_Layer):
    kernel: Sides
    stride: Sides = (1,)
    padding: Padding = (0,)
    weight_bits: WeightBits = USUAL_BITS
    activation_bits: ActivationBits = USUAL_BITS
    accumulator_bits: Count | None = None

    def _fixed(self) -> dict[str, Any]:
        """What sizing leaves alone."""
        window = {"kernel": self.kernel, "stride": self.stride, "padding": self.padding}
        return {
            **{key: _pair(sides) for key, sides in window.items()},
            "accumulator_bits": self.accumulator_bits,
        }


class Conv(_Convolution):
    """A convolution; `kernel`, `stride` and `padding` are one number, or one for rows and one for columns."""

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
    return str(value.get("kind", "dense") if isinstance(value, Mapping) else value.kind)


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


class StudentConfig(Section):
    """The narrow network, and how it is trained.

    With `augment` every batch is new, and the teacher is evaluated on it in every step.
    """

    layers: Annotated[tuple[Layer, ...], Field(min_length=1)]
    epochs: Count
    batch_size: Count
    learning_rate: Rate
    weight_decay: NonNegative
    warmup: Share = 0.0
    augment: AugmentConfig | None = None

    @property
    def choices(self) -> dict[str, tuple[int, ...]]:
        """What is left to sizing: keys with more than one choice."""
        found: dict[str, tuple[int, ...]] = {}

        def note(key: str, values: tuple[int, ...]) -> int:
            if len(values) > 1:
                found[key] = values
            return values[0]

        for index, layer in enumerate(self.layers):
            _build(f"layers[{index}]", layer, note)
            if layer.optional:
                found[f"layers[{index}].present"] = (0, 1)
        return found

    def topology(self, input_shape: tuple[int, ...], chosen: Mapping[str, int] | None = None) -> Topology:
        """The network over frames of `input_shape`, with `chosen` for every key of `choices`.

        Raises:
            ConfigError: a choice is left open, or the layers do not fit each other; names key or layer.
        """
        taken = dict(chosen or {})

        def pick(key: str, values: tuple[int, ...]) -> int:
            if len(values) == 1:
                return values[0]
            if key not in taken:
                raise ConfigError(f"student.{key}: {list(values)} is left open; give one, or a [size] table")
            return taken[key]

        layers = []
        for index, layer in enumerate(self.layers):
            key = f"layers[{index}]"
            if not layer.optional or pick(f"{key}.present", (0, 1)):
                layers.append(_build(key, layer, pick))
        return Topology(input_shape, tuple(layers))


def _build(key: str, layer: Any, pick: Pick) -> topology.Layer:
    """One layer, each of its numbers picked."""

    def number(name: str) -> int:
        return pick(f"{key}.{name}", getattr(layer, name))

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
                activation_bits=number("activation_bits"),
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


def student_problem(config: StudentConfig) -> str | None:
    """What is wrong with the layers as such, if anything."""
    *hidden, last = config.layers
    key = f"student.layers[{len(hidden)}]"
    if not isinstance(last, Dense):
        return f"{key}.kind: the last layer gives the logits; make it dense"
    if last.activation_bits is not None:
        return f"{key}.activation_bits: the last layer gives logits; remove the key"
    if last.optional:
        return f"{key}.optional: the last layer gives the logits; remove the key"
    for index, layer in enumerate(hidden):
        if isinstance(layer, Dense) and layer.activation_bits is None:
            return f"student.layers[{index}].activation_bits: missing; only the last layer may go without"
    return None
