"""A whole student: its layers over frames of a shape."""

from dataclasses import dataclass

from common.errors import ConfigError
from common.topology.layers import Conv, Dense, Layer, Shape
from common.topology.layout import Layout, Step


@dataclass(frozen=True)
class Topology:
    """A network from uint8 values of `input_shape` to the logits of its last layer: dense, or a convolution.

    A convolution gives logits for every pixel; in a row they are in the order height, width, channels.

    Raises `ConfigError`: a size or width out of range, or a layer in the wrong place; names the layer.
    """

    input_shape: tuple[int, ...]
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if not self.input_shape or any(size < 1 for size in self.input_shape):
            raise ConfigError(f"topology: inputs of shape {self.input_shape}; give at least 1 a side")
        if not self.layers:
            raise ConfigError("topology: no layers; give at least the last one, which makes the logits")
        last = self.layers[-1]
        if not isinstance(last, Dense | Conv) or last.activation_bits is not None:
            raise ConfigError(
                f"topology, layer {len(self.layers) - 1}: the last layer gives integer logits; make it dense,"
                " without activation bits"
            )
        self.steps  # noqa: B018 (laying out checks every layer)

    @property
    def inputs(self) -> int:
        """Values of a sample."""
        height, width, channels = self.frame
        return height * width * channels

    @property
    def frame(self) -> Shape:
        """The input as height, width, channels; (1, 1, inputs) where it has not three sizes."""
        if len(self.input_shape) == 3:
            return (self.input_shape[0], self.input_shape[1], self.input_shape[2])
        inputs = 1
        for size in self.input_shape:
            inputs *= size
        return (1, 1, inputs)

    @property
    def outputs(self) -> int:
        """Number of logits, of all pixels together where the last layer is a convolution."""
        height, width, channels = self.steps[-1].out_shape
        return height * width * channels

    @property
    def steps(self) -> tuple[Step, ...]:
        """The layers laid out flat, each after those that it takes from."""
        return tuple(Layout(self.frame).run(self.layers))

    @property
    def products(self) -> int:
        """Multiplications a frame."""
        return sum(step.products for step in self.steps)
