"""A tensor of the network in terms of integers, and the integer thresholds of its quantizers."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from common.errors import LoweringError
from hw.dataflow import Integers
from hw.imported.quantizers import Floats, Quantizer, check_width
from hw.imported.steps import Step

EXACT = 1 << 24
"""Below it float32, which FINN and the network compute with, holds every integer."""

SAME = 1e-6
"""How far, as a share, scales may be apart that are meant to be one: rounding of float32."""


@dataclass(frozen=True, eq=False)
class Tensor:
    """`steps` of `scale * integers + offset`, channel by channel.

    Attributes:
        name: of the integers in the integer network, (1, C, H, W) or (1, features).
        shape: of the integers: (C, H, W) or (features,).
        low, high: least and greatest of the integers, (channels,).
        scale, offset: (channels,), float64.
        steps: elementwise nodes that no integers have been made of yet.
        flat: whether the network has flattened it, channels first; its integers keep their shape until used.
        shared: whether something else may take the same integers.
    """

    name: str
    shape: tuple[int, ...]
    low: Integers
    high: Integers
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    steps: tuple[Step, ...] = ()
    flat: bool = False
    shared: bool = False

    @property
    def channels(self) -> int:  # noqa: D102
        return self.shape[0]

    def evaluate(self, integers: Integers, steps: tuple[Step, ...]) -> Floats:
        """What the network makes of integers (..., channels) in a number of steps, in float32."""
        values = (integers * self.scale + self.offset).astype(np.float32)
        for step in steps:
            values = step.apply(values)
        return values

    def affine(self) -> "Tensor":
        """The same with its steps in scale and offset; raises `LoweringError` for one that is not affine."""
        scale, offset = self.scale, self.offset
        for step in self.steps:
            if step.affine is None:
                raise LoweringError(f"{step.node}: its values are not quantized; put a quantizer behind it")
            factor, term = (np.asarray(each, np.float64) for each in step.affine)
            scale, offset = scale * factor, offset * factor + term
        return replace(self, scale=scale, offset=offset, steps=())

    def signs(self) -> Integers:
        """1 of a channel that the steps do not turn around, -1 of one that they do, (channels,)."""
        ends = self.evaluate(np.stack([self.low, self.high]), self.steps)
        if not np.isfinite(ends).all():
            raise LoweringError(
                f"{self.steps[-1].node}: its values are not finite; train and export it again"
            )
        return np.where(ends[0] > ends[1], -1, 1)


def split_at_quantizer(tensor: Tensor) -> tuple[tuple[Step, ...], Quantizer | None, tuple[Step, ...]]:
    """The steps before the last quantizer, that quantizer, and the steps behind it."""
    places = [place for place, step in enumerate(tensor.steps) if step.quantizer is not None]
    if not places:
        return (), None, tensor.steps
    last = places[-1]
    return tensor.steps[:last], tensor.steps[last].quantizer, tensor.steps[last + 1 :]


def thresholds(
    tensor: Tensor, before: tuple[Step, ...], quantizer: Quantizer, node: str
) -> tuple[Integers, int]:
    """For each channel the least integer that reaches each level, (channels, levels), and the first level.

    Levels that no integer of any channel is beyond or below are left out; the first level is that of count 0.
    Evaluates the network's own nodes at integers, so ties round as the network rounds them. All steps must
    be ascending; found by bisection, as in `models.students.freeze`.
    """
    low, high = int(tensor.low.min()), int(tensor.high.max())

    def counts(integers: Integers) -> Floats:
        return quantizer.counts(tensor.evaluate(integers, before))

    ends = counts(np.array([[low], [high]]) + np.zeros_like(tensor.low))
    first, last = int(ends[0].min()), int(ends[1].max())
    if quantizer.bipolar:
        first, last = 0, 1
    last = max(last, first + 1)
    check_width(node, replace(quantizer, levels=last - first))
    wanted = np.arange(first + 1, last + 1)
    below = np.full((len(wanted), tensor.channels), low - 1)
    reached = np.full_like(below, high + 1)
    while (reached - below > 1).any():
        middle = (below + reached) // 2
        enough = counts(middle) >= wanted[:, None]
        reached, below = np.where(enough, middle, reached), np.where(enough, below, middle)
    levels = reached.T.clip(low, high + 1)
    return (levels[:1] if (levels == levels[0]).all() else levels), first


def uniform(values: NDArray[np.float64], what: str, node: str) -> float:
    """The one number that all channels have; raises `LoweringError` where they differ."""
    if np.ptp(values) > SAME * np.abs(values).max():
        raise LoweringError(f"{node}: {what} of each channel differ; quantize its input with one scale")
    return float(values.flat[0])


def check_exact(node: str, low: Integers, high: Integers) -> None:
    """Raise `LoweringError` where sums are beyond what float32 holds."""
    most = int(max(np.abs(low).max(), np.abs(high).max()))
    if most >= EXACT:
        raise LoweringError(f"{node}: sums up to {most:,}, beyond 2^24; quantize with fewer bits")
