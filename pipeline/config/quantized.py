"""`[student]` of kind "quantized": the layers of the narrow network, and how it is trained.

Tables of layers are made from the layers of `common.topology`. Every number may be left to sizing: a list
gives the choices, a key left out means the usual ones.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, get_args, get_origin, get_type_hints

from annotated_types import Ge, Le
from pydantic import BeforeValidator, Field, create_model
from pydantic_core import PydanticCustomError

from common import topology
from common.errors import ConfigError
from common.topology import Topology
from models.augmentation import Augmentation
from pipeline.config.section import (
    MAX_COUNT,
    MAX_ITEMS,
    BatchSize,
    Count,
    Decay,
    LearningRate,
    Section,
    Seed,
    Share,
)
from pipeline.config.student import StudentConfig
from pipeline.config.table import Kinds, Settings, limited

USUAL_OUTPUTS = (8, 12, 16, 24, 32, 48, 64)
USUAL_BITS = (2, 3, 4)
"""What sizing chooses from where the build file says nothing."""

OPEN: dict[str, Any] = {"outputs": USUAL_OUTPUTS, "weight_bits": USUAL_BITS, "activation_bits": None}
"""Keys that may be left to sizing, with what is there where a layer does not say."""

Pick: TypeAlias = Callable[[str, tuple[int, ...]], int]
"""From a key such as `layers[2].outputs` and its choices to the one taken."""


class LayerTable(Section):
    """A layer, its numbers open: tuples of choices. Sizing may leave out `optional` ones."""

    layer: ClassVar[Any]
    """The class in `common.topology`, whose fields are the keys."""
    kind: str
    optional: bool = False

    def choices(self, name: str) -> tuple[int, ...]:
        """The values of a key to choose from; none where the layer has none."""
        return getattr(self, name, None) or ()

    def made(self, key: str, pick: Pick, last: bool = False) -> Any:
        """The layer, each of its numbers picked by its key below `key`; the last has no activation."""

        def value(name: str) -> Any:
            given = getattr(self, name)
            if name in OPEN:
                # A dense layer or a pool without activation gives its sums.
                usual = USUAL_BITS if self.kind in ("conv", "depthwise", "residual") and not last else None
                numbers = given or usual
                return numbers and pick(f"{key}.{name}", numbers)
            if isinstance(given, LayerTable):
                return given.made(f"{key}.{name}", pick)
            if isinstance(given, tuple) and isinstance(given[0], LayerTable):
                return tuple(each.made(f"{key}.{name}[{at}]", pick) for at, each in enumerate(given))
            return (given[0], given[-1]) if isinstance(given, tuple) else given

        # Sizing goes through the choices in this order.
        names = sorted((each.name for each in fields(self.layer)), key=lambda name: name == "activation_bits")
        return self.layer(**{name: value(name) for name in names})


def _numbers(low: int, high: int, most: int, what: str) -> Any:
    """A number in a range, or up to `most` of them, as a tuple; one message, where a union gives several."""

    def check(value: Any) -> tuple[int, ...] | None:
        values = value if isinstance(value, tuple) else (value,)
        if 0 < len(values) <= most and all(type(each) is int and low <= each <= high for each in values):
            return values
        limits = f"{low} to {high}" if high < MAX_COUNT else f"at least {low}"
        many = f", not {len(values)} numbers" if len(values) > most else ""
        raise PydanticCustomError("numbers", f"input should be a number, {limits}, or {what}{many}")

    return Annotated[tuple[int, ...], BeforeValidator(check)]


def _key(name: str, hint: Any) -> Any:
    """The type of a layer's key, of its field's."""
    if isinstance(hint, UnionType) or type(None) in get_args(hint):
        return _key(name, next(each for each in get_args(hint) if each is not type(None))) | None
    inner, *limits = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if name == "body":
        return Annotated[tuple[_SIMPLE, ...], *limits, Field(max_length=MAX_ITEMS)]
    if inner is topology.Conv:
        return _SHORTCUT
    low: Any = next((each.ge for each in limits if isinstance(each, Ge)), 0)
    if inner == topology.Pair:
        return _numbers(low, MAX_COUNT, 2, "two: for rows and columns")
    high: Any = next((each.le for each in limits if isinstance(each, Le)), MAX_COUNT)
    return _numbers(low, high, MAX_ITEMS, "a list to choose from") if name in OPEN else limited(hint)


def _table(kind: str, layer: Any) -> type[LayerTable]:
    hints = get_type_hints(layer, include_extras=True)
    keys: dict[str, Any] = {"kind": (Literal[kind], kind)}
    for each in fields(layer):
        hint, default = _key(each.name, hints[each.name]), each.default
        optional = type(None) in get_args(hints[each.name])
        if each.name in OPEN:
            hint, default = hint | None if not optional else hint, OPEN[each.name]
        elif default is MISSING:
            default = None if optional else ...
        keys[each.name] = (hint, default)
    made: Any = create_model
    table: type[LayerTable] = made(layer.__name__, __base__=LayerTable, __doc__=layer.__doc__, **keys)
    table.layer = layer
    return table


LAYERS: dict[str, type[LayerTable]] = {}
_SIMPLE = Annotated[LayerTable, Kinds(lambda: {name: LAYERS[name] for name in ("conv", "depthwise")})]
_SHORTCUT = Annotated[LayerTable, Kinds(lambda: {"conv": LAYERS["conv"]})]
LAYERS |= {
    name: _table(name, layer)
    for name, layer in {
        "dense": topology.Dense,
        "conv": topology.Conv,
        "depthwise": topology.Depthwise,
        "max-pool": topology.MaxPool,
        "average-pool": topology.AveragePool,
        "residual": topology.Residual,
    }.items()
}
Layer = Annotated[LayerTable, Kinds(lambda: LAYERS, default="dense")]


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
        if last.kind not in ("dense", "conv"):
            yield f"{key}.kind", "the last layer gives the logits; make it dense or a convolution"
        elif last.choices("activation_bits"):
            yield f"{key}.activation_bits", "the last layer gives logits; remove the key"
        if len(last.choices("outputs")) > 1:
            yield f"{key}.outputs", "the task says how many outputs there are; give one number"
        if last.optional:
            yield f"{key}.optional", "the last layer gives the logits; remove the key"
        for index, layer in enumerate(hidden):
            if layer.kind == "dense" and not layer.choices("activation_bits"):
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
            layer.made(f"layers[{index}]", note, last=layer is self.layers[-1])
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
                layers[index] = layer.made(key, pick, last=layer is self.layers[-1])
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
