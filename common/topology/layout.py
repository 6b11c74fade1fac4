"""A network laid out flat: every layer with the shape and width of what it takes and gives."""

from collections.abc import Iterator
from dataclasses import dataclass

from common.errors import ConfigError
from common.topology.layers import (
    INPUT,
    MAX_ACTIVATION_BITS,
    MAX_WEIGHT_BITS,
    MIN_ACTIVATION_BITS,
    MIN_WEIGHT_BITS,
    Add,
    AveragePool,
    Conv,
    Dense,
    Depthwise,
    Layer,
    MaxPool,
    Pair,
    Residual,
    Shape,
    SimpleLayer,
)


@dataclass(frozen=True)
class Step:
    """One layer of a network laid out flat.

    Attributes:
        name: `layer3`, or `layer3.body0` inside of a residual layer.
        layer: what it is; a dense layer takes its input flat, in the order of `in_shape`.
        sources: places of the steps that it takes from, or `INPUT`.
        in_shape: height, width, channels of what it takes.
        out_shape: of what it gives; a dense layer gives (1, 1, outputs).
        in_bits: width of the unsigned values that it takes.
    """

    name: str
    layer: SimpleLayer
    sources: tuple[int, ...]
    in_shape: Shape
    out_shape: Shape
    in_bits: int

    @property
    def inputs(self) -> int:
        """Values of a frame that it takes (from each source)."""
        return self.in_shape[0] * self.in_shape[1] * self.in_shape[2]

    @property
    def gives_logits(self) -> bool:
        """Whether it is the last layer of a network."""
        return isinstance(self.layer, Dense | Conv) and self.layer.activation_bits is None

    @property
    def pixels(self) -> int:
        """Output pixels a frame."""
        return self.out_shape[0] * self.out_shape[1]

    @property
    def weights(self) -> int:
        """Number of weights."""
        inputs, outputs = self.matrix or (0, 0)
        return 0 if isinstance(self.layer, AveragePool) else inputs * outputs

    @property
    def weight_sum(self) -> int | None:
        """What a channel's positive integer weights may sum up to, and its negative ones, by the accumulator.

        Inputs are 0 to 2^in_bits - 1: each side alone then stays within its half of `accumulator_bits`, and
        with it every partial sum. None where nothing bounds it.
        """
        if not isinstance(self.layer, Dense | Conv | Depthwise) or self.layer.accumulator_bits is None:
            return None
        return ((1 << (self.layer.accumulator_bits - 1)) - 1) // ((1 << self.in_bits) - 1)

    @property
    def matrix(self) -> tuple[int, int] | None:
        """Inputs and outputs of its weights; of a depthwise layer and an average pool taps and channels."""
        match self.layer:
            case Dense(outputs=outputs):
                return self.inputs, outputs
            case Conv(outputs=outputs, kernel=(high, wide)):
                return high * wide * self.in_shape[2], outputs
            case Depthwise(kernel=(high, wide)):
                return high * wide, self.in_shape[2]
            case AveragePool(size=size):
                high, wide = size or self.in_shape[:2]
                return high * wide, self.in_shape[2]
        return None

    @property
    def products(self) -> int:
        """Multiplications a frame."""
        return self.weights * self.pixels


class Layout:
    """Goes through the layers with the shape and width of what each gives."""

    def __init__(self, frame: Shape) -> None:
        self.steps: list[Step] = []
        self.frame = frame
        self.bits: dict[int, int] = {INPUT: 8}

    def run(self, layers: tuple[Layer, ...]) -> Iterator[Step]:
        """Lay out a whole network."""
        source = INPUT
        for index, layer in enumerate(layers):
            name = f"layer{index}"
            if isinstance(layer, Residual):
                source = self._residual(name, layer, source)
            else:
                _check_place(name, layer, layers[index + 1 :])
                source = self._step(name, layer, (source,))
        yield from self.steps

    def _shape(self, source: int) -> Shape:
        return self.frame if source == INPUT else self.steps[source].out_shape

    def _step(self, name: str, layer: SimpleLayer, sources: tuple[int, ...]) -> int:
        """Append a layer; its place."""
        _check_bits(name, layer)
        shape = self._shape(sources[0])
        step = Step(name, layer, sources, shape, _out_shape(name, layer, shape), self.bits[sources[0]])
        _check_accumulator(step)
        self.steps.append(step)
        place = len(self.steps) - 1
        self.bits[place] = _out_bits(step)
        return place

    def _residual(self, name: str, layer: Residual, source: int) -> int:
        if not layer.body:
            raise ConfigError(f"{name}: a residual layer without body; give at least one layer")
        end = source
        for index, part in enumerate(layer.body):
            _check_inner(f"{name}.body{index}", part)
            end = self._step(f"{name}.body{index}", part, (end,))
        start = source
        if layer.shortcut is not None:
            start = self._step(f"{name}.shortcut", layer.shortcut, (source,))
        if source == INPUT and layer.shortcut is None:
            raise ConfigError(f"{name}: adds the raw input; give it a shortcut, or a layer before it")
        if self._shape(end) != self._shape(start):
            raise ConfigError(
                f"{name}: its body gives {self._shape(end)}, its other side {self._shape(start)};"
                " give it a shortcut that makes the same"
            )
        if {self.bits[end], self.bits[start]} != {layer.activation_bits}:
            raise ConfigError(
                f"{name}: adds {self.bits[end]}-bit and {self.bits[start]}-bit activations; both sides must"
                f" have its activation_bits, {layer.activation_bits}"
            )
        return self._step(f"{name}.add", Add(layer.activation_bits), (end, start))


def _check_place(name: str, layer: Layer, following: tuple[Layer, ...]) -> None:
    """Only the last layer, or a pool before a dense one, may give what is not an activation."""
    if following:
        _check_inner(name, layer)
    unbounded = isinstance(layer, AveragePool) and layer.activation_bits is None
    if unbounded and not isinstance(following[0], Dense):
        raise ConfigError(f"{name}: an average pool without activation bits must stand before a dense layer")


def _check_inner(name: str, layer: Layer) -> None:
    if isinstance(layer, Dense | Conv) and layer.activation_bits is None:
        raise ConfigError(f"{name}: no activation bits; only the last layer may go without")


def _out_bits(step: Step) -> int:
    """Width of the values that a step gives; of logits, which nothing takes, 0."""
    match step.layer:
        case MaxPool():
            return step.in_bits
        case AveragePool(activation_bits=None):
            summed = step.inputs // step.out_shape[2] // step.pixels * ((1 << step.in_bits) - 1)
            return summed.bit_length()
        case layer:
            return layer.activation_bits or 0


def _out_shape(name: str, layer: SimpleLayer, shape: Shape) -> Shape:
    height, width, channels = shape
    match layer:
        case Dense(outputs=outputs):
            if outputs < 1:
                raise ConfigError(f"{name}: {outputs} outputs; give at least 1")
            return (1, 1, outputs)
        case Conv(outputs=outputs):
            if outputs < 1:
                raise ConfigError(f"{name}: {outputs} outputs; give at least 1")
            return (*_slide(name, shape, layer.kernel, layer.stride, layer.padding), outputs)
        case Depthwise():
            return (*_slide(name, shape, layer.kernel, layer.stride, layer.padding), channels)
        case MaxPool(size=size, stride=stride):
            return (*_slide(name, shape, size, stride or size, (0, 0)), channels)
        case AveragePool(size=size):
            size = size or (height, width)
            return (*_slide(name, shape, size, size, (0, 0)), channels)
        case Add():
            return shape


def _slide(name: str, shape: Shape, kernel: Pair, stride: Pair, padding: Pair) -> Pair:
    """Rows and columns that a sliding kernel gives."""
    if min(*kernel, *stride) < 1 or min(padding) < 0:
        raise ConfigError(f"{name}: kernel {kernel}, stride {stride}, padding {padding}; give sizes above 0")
    if padding[0] >= kernel[0] or padding[1] >= kernel[1]:
        raise ConfigError(f"{name}: padding {padding} is not less than the kernel, {kernel}; give less")
    sizes = [side + 2 * pad - reach for side, pad, reach in zip(shape, padding, kernel, strict=False)]
    if min(sizes) < 0:
        raise ConfigError(f"{name}: kernel {kernel} is greater than what comes in, {shape[:2]}; give less")
    return (sizes[0] // stride[0] + 1, sizes[1] // stride[1] + 1)


def _check_accumulator(step: Step) -> None:
    """An accumulator holds at least one weight of 1; a binary layer, all weights of one sign."""
    most, layer = step.weight_sum, step.layer
    if most is None or step.matrix is None:
        return
    assert isinstance(layer, Dense | Conv | Depthwise)
    inputs = step.matrix[0]
    least = inputs if layer.weight_bits == 1 else 1
    if most < least:
        needed = (least * ((1 << step.in_bits) - 1)).bit_length() + 1
        why = f" of {inputs} binary weights" if layer.weight_bits == 1 else ""
        raise ConfigError(
            f"{step.name}: accumulator_bits is {layer.accumulator_bits}; sums{why} over "
            f"{step.in_bits}-bit inputs take {needed}, give at least that"
        )


def _check_bits(name: str, layer: SimpleLayer) -> None:
    if isinstance(layer, Dense | Conv | Depthwise) and not (
        MIN_WEIGHT_BITS <= layer.weight_bits <= MAX_WEIGHT_BITS
    ):
        raise ConfigError(
            f"{name}: {layer.weight_bits}-bit weights; give {MIN_WEIGHT_BITS} to {MAX_WEIGHT_BITS} bits"
        )
    if isinstance(layer, MaxPool) or layer.activation_bits is None:
        return
    if not MIN_ACTIVATION_BITS <= layer.activation_bits <= MAX_ACTIVATION_BITS:
        raise ConfigError(
            f"{name}: {layer.activation_bits}-bit activations; "
            f"give {MIN_ACTIVATION_BITS} to {MAX_ACTIVATION_BITS} bits"
        )
