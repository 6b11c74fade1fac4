"""The shape of a student: what `models` trains and `hw` builds. Imports nothing heavy."""

from dataclasses import dataclass
from itertools import pairwise

from pipeline.errors import ConfigError

MIN_WEIGHT_BITS, MAX_WEIGHT_BITS = 2, 8
MIN_ACTIVATION_BITS, MAX_ACTIVATION_BITS = 1, 8


@dataclass(frozen=True)
class DenseLayer:
    """One fully connected layer.

    Attributes:
        outputs: number of output channels.
        weight_bits: width of a signed, narrow-range weight, 2 to 8 bits (-(2^(b-1) - 1) to 2^(b-1) - 1).
        activation_bits: width of an unsigned activation, 1 to 8 bits; None for integer logits (last layer).
    """

    outputs: int
    weight_bits: int
    activation_bits: int | None


@dataclass(frozen=True)
class Topology:
    """A multi-layer perceptron from `inputs` uint8 features to the logits of its last layer.

    Raises:
        ConfigError: a size or width out of range, or a layer in the wrong place; names the layer.
    """

    inputs: int
    layers: tuple[DenseLayer, ...]

    def __post_init__(self) -> None:
        if self.inputs < 1:
            raise ConfigError(f"topology: {self.inputs} inputs; give at least 1")
        if not self.layers:
            raise ConfigError("topology: no layers; give at least the last one, which makes the logits")
        for index, layer in enumerate(self.layers):
            _check(index, layer, last=index == len(self.layers) - 1)

    @property
    def classes(self) -> int:
        """Number of logits."""
        return self.layers[-1].outputs

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """`(inputs, outputs)` of each layer."""
        widths = (self.inputs, *(layer.outputs for layer in self.layers))
        return tuple(pairwise(widths))


def _check(index: int, layer: DenseLayer, *, last: bool) -> None:
    where = f"topology, layer {index}"
    if layer.outputs < 1:
        raise ConfigError(f"{where}: {layer.outputs} outputs; give at least 1")
    if not MIN_WEIGHT_BITS <= layer.weight_bits <= MAX_WEIGHT_BITS:
        raise ConfigError(
            f"{where}: {layer.weight_bits}-bit weights; give {MIN_WEIGHT_BITS} to {MAX_WEIGHT_BITS} bits"
        )
    if last:
        if layer.activation_bits is not None:
            raise ConfigError(f"{where}: the last layer gives integer logits; remove its activation bits")
    elif layer.activation_bits is None:
        raise ConfigError(f"{where}: no activation bits; only the last layer may go without")
    elif not MIN_ACTIVATION_BITS <= layer.activation_bits <= MAX_ACTIVATION_BITS:
        raise ConfigError(
            f"{where}: {layer.activation_bits}-bit activations; "
            f"give {MIN_ACTIVATION_BITS} to {MAX_ACTIVATION_BITS} bits"
        )
