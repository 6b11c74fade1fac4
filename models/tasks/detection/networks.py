"""The two detectors: a float teacher, and the student's topology. Both give a `Grid`'s cells row by row."""

from dataclasses import dataclass

from torch import Tensor, nn

from common.errors import ConfigError
from common.topology import Conv, Layer, MaxPool, Topology
from models.tasks.detection.grid import Grid
from models.teachers.blocks import Spatial, Stack

POOL = 2
"""Pixels each way that a max pool between stages takes together."""


@dataclass(frozen=True)
class DetectorConfig:
    """Both networks: 3 by 3 convolutions in stages, a max pool after each but the last, which has two.

    Attributes:
        widths: the student's channels in every stage.
        teacher_widths: the teacher's, which has two convolutions in every stage.
        weight_bits, activation_bits: of the student.
        head_weight_bits: of its last layer, which gives what the cells say.

    Raises:
        ConfigError: no stages, other numbers of them, or channels out of range.
    """

    widths: tuple[int, ...] = (8, 16, 24)
    teacher_widths: tuple[int, ...] = (16, 32, 64)
    weight_bits: int = 4
    activation_bits: int = 4
    head_weight_bits: int = 8

    def __post_init__(self) -> None:
        if not self.widths or len(self.widths) != len(self.teacher_widths):
            raise ConfigError(
                f"detection: {len(self.widths)} stages of the student, {len(self.teacher_widths)} of the"
                " teacher; give as many widths of each, at least one"
            )
        if min(*self.widths, *self.teacher_widths) < 1:
            raise ConfigError(f"detection: widths {self.widths}, {self.teacher_widths}; give at least 1")

    @property
    def stride(self) -> int:
        """Pixels of a scene to a cell, each way."""
        return int(POOL ** (len(self.widths) - 1))

    def topology(self, shape: tuple[int, int, int], grid: Grid) -> Topology:
        """The student over scenes of `shape`; all its layers but the last are the backbone.

        Raises:
            ConfigError: bits out of range.
        """
        layers: list[Layer] = []
        for width in self.widths[:-1]:
            layers += [self._convolution(width), MaxPool((POOL, POOL))]
        layers += [self._convolution(self.widths[-1])] * 2
        layers.append(Conv(grid.channels, (1, 1), self.head_weight_bits, None))
        return Topology(shape, tuple(layers))

    def _convolution(self, width: int) -> Conv:
        return Conv(width, (3, 3), self.weight_bits, self.activation_bits, padding=(1, 1))


class TeacherDetector(nn.Module):
    """The float network: scenes (batch, values), 0 to 255, to outputs (batch, cells^2 * channels)."""

    def __init__(self, config: DetectorConfig, shape: tuple[int, int, int], grid: Grid) -> None:
        super().__init__()
        stack = Stack("detector", Spatial.of("detector", shape))
        for stage, width in enumerate(config.teacher_widths):
            if stage:
                stack.pool("teacher_widths")
            stack.convolution(width)
            stack.convolution(width)
        self.hint_shape = (stack.shape.channels, stack.shape.height, stack.shape.width)
        self.backbone = stack.sequential()
        self.head = nn.Conv2d(stack.shape.channels, grid.channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Give the outputs alone."""
        return self.both(x)[0]

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give outputs and the backbone's features (batch, *hint_shape)."""
        features = self.backbone(x)
        return self.head(features).permute(0, 2, 3, 1).flatten(1), features
