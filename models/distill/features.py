"""Hidden layers of teacher and student: their names, their shapes, and which of them belong together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches

import torch
from torch import Tensor, nn

from common.errors import ConfigError
from models.students.student import Student, StudentLayer
from models.teachers.blocks import Fire, PixelMean, ResidualBlock

FeatureShape = tuple[int, int, int]
"""Channels, height, width; dense layers have one pixel."""

Pairs = tuple[tuple[str, str], ...]
"""Names of a student's layer and a teacher's."""

TAPPED = (nn.ReLU, nn.SiLU, nn.MaxPool2d, ResidualBlock, Fire, PixelMean, StudentLayer)
"""What a teacher's features are read behind; students teach each other, too."""


@dataclass(frozen=True)
class Shapes:
    """The hidden layers of both networks, in their order, the classes, and the size of the transfer set."""

    student: Mapping[str, FeatureShape]
    teacher: Mapping[str, FeatureShape]
    classes: int
    samples: int = 0

    def pairs(self, wanted: Pairs, method: str, least: int = 1) -> Pairs:
        """Give the pairs that a method matches: those wanted, or, where none are named, those that fit.

        Students with images inside: the last layer of each size, with the teacher's last of the nearest
        size. Others: every hidden layer with the teacher's at the same share of the depth.

        Raises `ConfigError`: a name that is not there, no hidden layers, or fewer than `least` pairs.
        """
        for side, known in (("student", self.student), ("teacher", self.teacher)):
            if not known:
                raise ConfigError(f"{method}: the {side} has no hidden layers to match; take another method")
        for of_student, of_teacher in wanted:
            _known(method, "student", of_student, self.student)
            _known(method, "teacher", of_teacher, self.teacher)
        found = wanted or self._automatic()
        if len(found) < least:
            raise ConfigError(
                f"{method}: wants {least} pairs of layers, there are {len(found)}; name them in `pairs`"
            )
        return found

    def last(self, wanted: Pairs, method: str) -> tuple[str, str]:
        """Give the pair nearest to the logits, which embeds a sample; as `pairs`, but one."""
        found = self.pairs(wanted, method)
        return found[-1] if wanted else (list(self.student)[-1], list(self.teacher)[-1])

    def common_pixels(self, pair: tuple[str, str]) -> int:
        """Count the pixels that both layers of a pair have once the larger is reduced to the smaller."""
        (_, *own), (_, *other) = self.student[pair[0]], self.teacher[pair[1]]
        return min(own[0], other[0]) * min(own[1], other[1])

    def _automatic(self) -> Pairs:
        if all(pixels(shape) == 1 for shape in self.student.values()):
            teachers, count = list(self.teacher), len(self.student)
            depths = (math.ceil((index + 1) * len(teachers) / count) - 1 for index in range(count))
            return tuple(zip(self.student, (teachers[depth] for depth in depths), strict=True))
        stages = {pixels(shape): name for name, shape in self.student.items()}
        others = {pixels(shape): name for name, shape in self.teacher.items()}

        def nearest(size: int) -> str:
            return others[min(others, key=lambda each: abs(math.log(each / size)))]

        return tuple((name, nearest(size)) for size, name in stages.items())


def pixels(shape: FeatureShape) -> int:
    """Of each channel."""
    return shape[1] * shape[2]


def student_features(student: Student, values: list[Tensor]) -> dict[str, Tensor]:
    """Name what each hidden layer gives, of `Student.values`."""
    return {step.name: value for step, value in zip(student.topology.steps[:-1], values[:-1], strict=True)}


@contextmanager
def tapped(teacher: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Record a teacher's features (batch, channels, height, width), by name, of the last forward pass."""
    found: dict[str, Tensor] = {}

    def keep(name: str, value: Tensor) -> None:
        found[name] = value if value.ndim == 4 else value[:, :, None, None]

    hooks = [
        module.register_forward_hook(lambda _, __, value, name=name: keep(name, value))
        for name, module in teacher.named_modules()
        if isinstance(module, TAPPED) and name.count(".") == 1 and not _gives_logits(module)
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _gives_logits(module: nn.Module) -> bool:
    return isinstance(module, StudentLayer) and module.step.gives_logits


def shapes_of(student: Student, teacher: nn.Module | None, samples: int = 0) -> Shapes:
    """Find out the shapes of all hidden layers by one sample of zeros; modes and weights stay as they are."""
    topology = student.topology
    x = torch.zeros(1, topology.inputs)
    modes = [(network, network.training) for network in (student, teacher) if network is not None]
    with torch.no_grad():
        of_student = student_features(student.eval(), student.values(x))
        of_teacher: dict[str, Tensor] = {}
        if teacher is not None:
            with tapped(teacher.eval()) as found:
                teacher(x)
            of_teacher = dict(found)
    for network, mode in modes:
        network.train(mode)
    return Shapes(feature_shapes(of_student), feature_shapes(of_teacher), topology.outputs, samples)


def feature_shapes(features: Mapping[str, Tensor]) -> dict[str, FeatureShape]:
    """Give the shapes of features (batch, channels, height, width), by name."""
    return {name: (value.shape[1], value.shape[2], value.shape[3]) for name, value in features.items()}


def _known(method: str, side: str, name: str, known: Mapping[str, FeatureShape]) -> None:
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
        raise ConfigError(f"{method}: pairs: the {side} has no hidden layer '{name}'; {hint}")
