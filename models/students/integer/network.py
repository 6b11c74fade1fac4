"""The frozen student in integers: what all artefacts are made from, and their numpy reference."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from common.errors import ContractError
from common.topology import INPUT, Shape
from models.students.integer.operations import (
    Add,
    Conv,
    Dense,
    Frames,
    Operation,
    SumPool,
    Weighted,
    check_accumulator,
    check_weights,
    reachable,
)

CHUNK_BYTES = 2**26


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """An operation, then for each channel the number of thresholds that its result has reached.

    Attributes:
        name: for messages and reports.
        operation: what it computes of its sources.
        sources: indices of the layers that it takes from, or `INPUT`.
        thresholds: int32 (channels, 2**activation_bits - 1), ascending along each row; None where the
            operation's result is passed on as it is.
        activation_bits: width of an activation; None without thresholds.
        activation_scale: what an activation of 1 stands for, a power of two; None without thresholds.

    Raises:
        ContractError: a weight or threshold outside its type or order, or a scale that is no power of two.
    """

    name: str
    operation: Operation
    sources: tuple[int, ...]
    thresholds: NDArray[np.int32] | None = None
    activation_bits: int | None = None
    activation_scale: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.operation, Weighted):
            check_weights(self.name, self.operation)
            check_power_of_two(f"{self.name}, weight scale", self.operation.weight_scale)
        if isinstance(self.operation, SumPool):
            check_power_of_two(f"{self.name}, scale", self.operation.scale)
        wanted = 2 if isinstance(self.operation, Add) else 1
        if len(self.sources) != wanted:
            raise ContractError(f"{self.name}: takes from {len(self.sources)} layers; give {wanted}")
        given = [self.thresholds is None, self.activation_bits is None, self.activation_scale is None]
        if any(given) and not all(given):
            raise ContractError(
                f"{self.name}: thresholds, activation bits and scale go together; give all or none"
            )
        if self.thresholds is not None and self.activation_bits and self.activation_scale is not None:
            check_power_of_two(f"{self.name}, activation scale", self.activation_scale)
            _check_thresholds(self.name, self.thresholds, 2**self.activation_bits - 1)


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """Layers from uint8 frames of `shape` and scale 1 to the integer logits of the last.

    That is dense, or a convolution, which gives a map: logits for every pixel.

    Raises `ContractError`: layers that do not fit each other, or an accumulator that can reach 2^24; names
    the layer.
    """

    shape: Shape
    layers: tuple[IntegerLayer, ...]
    name: str = "student"

    input_bits = 8

    def __post_init__(self) -> None:
        if not self.layers:
            raise ContractError(f"{self.name}: a network without layers; give at least one")
        for index, layer in enumerate(self.layers):
            if not all(INPUT <= source < index for source in layer.sources):
                raise ContractError(
                    f"{self.name}, {layer.name}: takes from {layer.sources}; give layers that come before it"
                )
        for index, layer in enumerate(self.layers):
            where = f"{self.name}, {layer.name}"
            self._check_fit(where, index, layer)
            check_accumulator(where, *reachable(layer.operation, self.input_max(index), self.in_shape(index)))
        last = self.layers[-1]
        if last.thresholds is not None or not isinstance(last.operation, Dense | Conv):
            raise ContractError(
                f"{self.name}, {last.name}: the last layer must be dense or a convolution, without thresholds"
            )

    def _check_fit(self, where: str, index: int, layer: IntegerLayer) -> None:
        """Shapes, scales, and whether what comes in is unsigned."""
        shapes = {self.out_shape(source) for source in layer.sources}
        scales = {self.scale(source) for source in layer.sources}
        if len(shapes) > 1 or len(scales) > 1:
            raise ContractError(f"{where}: adds shapes {shapes}, scales {scales}; both sides must be alike")
        for source in layer.sources:
            if source != INPUT and self.maximum(source) is None:
                before = self.layers[source].name
                raise ContractError(f"{where}: {before} gives signed values, without thresholds; add them")
        if layer.thresholds is not None and len(layer.thresholds) != self.out_shape(index)[2]:
            raise ContractError(
                f"{where}: thresholds for {len(layer.thresholds)} channels of {self.out_shape(index)[2]}"
            )

    @property
    def inputs(self) -> int:
        """Number of values of a sample."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def classes(self) -> int:
        """Number of logits, of each pixel where the last layer is a convolution."""
        return self.out_shape(len(self.layers) - 1)[2]

    @property
    def outputs(self) -> int:
        """Number of logits of a sample, of all its pixels."""
        return int(np.prod(self.out_shape(len(self.layers) - 1)))

    @cached_property
    def _shapes(self) -> dict[int, Shape]:
        shapes = {INPUT: self.shape}
        for index, layer in enumerate(self.layers):
            try:
                shapes[index] = layer.operation.out_shape(shapes[layer.sources[0]])
            except ContractError as cause:
                raise ContractError(f"{self.name}, {layer.name}: {cause}") from cause
        return shapes

    def out_shape(self, index: int) -> Shape:
        """Height, width and channels of what a layer, or `INPUT`, gives."""
        return self._shapes[index]

    def in_shape(self, index: int) -> Shape:
        """Of what a layer takes (from each source)."""
        return self.out_shape(self.layers[index].sources[0])

    def maximum(self, index: int) -> int | None:
        """Greatest value that a layer, or `INPUT`, gives; None where it gives signed values."""
        if index == INPUT:
            return (1 << self.input_bits) - 1
        layer = self.layers[index]
        if layer.activation_bits is not None:
            return int((1 << layer.activation_bits) - 1)
        if isinstance(layer.operation, Weighted):
            return None
        return int(reachable(layer.operation, self.input_max(index), self.in_shape(index))[1][0])

    def input_max(self, index: int) -> int:
        """Greatest value that a layer takes."""
        return max(self.maximum(source) or 0 for source in self.layers[index].sources)

    def accumulator_scale(self, index: int) -> float:
        """What a 1 stands for in the result of a layer's operation, before its thresholds."""
        layer = self.layers[index]
        scale = self.scale(layer.sources[0])
        match layer.operation:
            case Weighted(weight_scale=factor) | SumPool(scale=factor):
                return scale * factor
        return scale

    def scale(self, index: int) -> float:
        """What a 1 stands for in what a layer, or `INPUT`, gives."""
        if index == INPUT:
            return 1.0
        return self.layers[index].activation_scale or self.accumulator_scale(index)

    @property
    def logit_scale(self) -> float:
        """What a logit of 1 stands for."""
        return self.scale(len(self.layers) - 1)

    def intermediates(self, x: NDArray[np.uint8]) -> tuple[NDArray[np.int32], ...]:
        """Evaluate `x` uint8 (n, inputs): what each layer gives, int32 (n, values), logits last."""
        widest = max(int(np.prod(shape)) for shape in self._shapes.values()) * 64
        rows = max(1, CHUNK_BYTES // widest)
        parts = [self._evaluate(x[start : start + rows]) for start in range(0, max(1, len(x)), rows)]
        return tuple(np.concatenate(layer) for layer in zip(*parts, strict=True))

    def forward(self, x: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Evaluate `x` uint8 (n, inputs): the logits int32 (n, outputs), of a map pixel by pixel."""
        return self.intermediates(x)[-1]

    def _evaluate(self, x: NDArray[np.uint8]) -> list[NDArray[np.int32]]:
        frames: dict[int, Frames] = {INPUT: x.reshape(len(x), *self.shape).astype(np.int32)}
        for index, layer in enumerate(self.layers):
            result = layer.operation.execute(*(frames[source] for source in layer.sources))
            if layer.thresholds is not None:
                result = apply_thresholds(result, layer.thresholds)
            frames[index] = result
        indices = range(len(self.layers))
        return [frames[index].reshape(len(x), int(np.prod(self.out_shape(index)))) for index in indices]


def apply_thresholds(accumulators: NDArray[np.int32], thresholds: NDArray[np.int32]) -> NDArray[np.int32]:
    """Count how many of its channel's thresholds (channels, k) each accumulator (..., channels) reaches."""
    activations = np.empty_like(accumulators)
    for channel, row in enumerate(thresholds):
        activations[..., channel] = np.searchsorted(row, accumulators[..., channel], side="right")
    return activations


def check_power_of_two(where: str, scale: float) -> None:
    """Check a scale. Raises `ContractError`: with `where` in front, gives the scale."""
    if not (math.isfinite(scale) and scale > 0 and math.frexp(scale)[0] == 0.5):
        raise ContractError(f"{where}: {scale} is no power of two; quantize with power-of-two scales")


def _check_thresholds(name: str, thresholds: NDArray[np.int32], count: int) -> None:
    if thresholds.dtype != np.int32 or thresholds.ndim != 2 or thresholds.shape[1] != count:
        raise ContractError(
            f"{name}: thresholds are {thresholds.dtype} {thresholds.shape}; give int32 (channels, {count})"
        )
    if (np.diff(thresholds, axis=1) < 0).any():
        raise ContractError(f"{name}: thresholds are not ascending; sort each channel's row")
