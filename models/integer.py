"""The frozen student in integers: what all artefacts are made from, and their numpy reference."""

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.tensorfile import Tensors, read_tensors, write_tensors
from pipeline.errors import CheckpointError, ContractError

KIND = "integer network"
EXACT_LIMIT = 2**24
"""Float32 holds every integer below this; see the numeric contract in the design."""
CHUNK = 1024


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """A dense layer: accumulator = weights @ activations; activation = number of thresholds it has reached.

    Attributes:
        name: for messages and reports.
        weights: int8 (outputs, inputs), within the narrow range of `weight_bits`.
        weight_bits: width of a weight.
        weight_scale: what a weight of 1 stands for, a power of two.
        thresholds: int32 (outputs, 2**activation_bits - 1), ascending along each row; None for the last
            layer.
        activation_bits: width of an activation; None for the last layer.
        activation_scale: what an activation of 1 stands for, a power of two; None for the last layer.

    Raises:
        ContractError: a weight or threshold outside its type or order, or a scale that is no power of two.
    """

    name: str
    weights: NDArray[np.int8]
    weight_bits: int
    weight_scale: float
    thresholds: NDArray[np.int32] | None
    activation_bits: int | None
    activation_scale: float | None

    def __post_init__(self) -> None:
        _check_weights(self)
        check_power_of_two(f"{self.name}, weight scale", self.weight_scale)
        if (
            self.thresholds is not None
            and self.activation_bits is not None
            and self.activation_scale is not None
        ):
            check_power_of_two(f"{self.name}, activation scale", self.activation_scale)
            _check_thresholds(self.name, self.thresholds, (self.outputs, 2**self.activation_bits - 1))
        elif not (self.thresholds is None and self.activation_bits is None and self.activation_scale is None):
            raise ContractError(
                f"{self.name}: thresholds, activation bits and scale go together; give all or none"
            )

    @property
    def inputs(self) -> int:
        """Number of input channels."""
        return int(self.weights.shape[1])

    @property
    def outputs(self) -> int:
        """Number of output channels."""
        return int(self.weights.shape[0])

    def reachable(self, input_max: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give the least and the greatest accumulator (outputs,) over inputs of 0 to `input_max`."""
        return accumulator_range(self.weights, input_max)


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """Dense layers in a row, from unsigned inputs of `input_bits` bits and scale 1 to integer logits.

    Raises:
        ContractError: layers that do not fit each other, or an accumulator that can reach 2^24; names the
            layer.
    """

    layers: tuple[IntegerLayer, ...]
    input_bits: int = 8
    name: str = "student"

    def __post_init__(self) -> None:
        if not self.layers:
            raise ContractError(f"{self.name}: a network without layers; give at least one")
        for previous, layer in itertools.pairwise(self.layers):
            if previous.thresholds is None or previous.outputs != layer.inputs:
                raise ContractError(
                    f"{self.name}, {layer.name}: takes {layer.inputs} activations, but {previous.name} "
                    f"gives {previous.outputs}{'' if previous.activation_bits else ' without thresholds'}; "
                    "match the layers"
                )
        if self.layers[-1].thresholds is not None:
            raise ContractError(
                f"{self.name}, {self.layers[-1].name}: the last layer has thresholds; remove them"
            )
        for layer, input_max in zip(self.layers, self.input_maxima, strict=True):
            check_accumulator(f"{self.name}, {layer.name}", layer.weights, input_max)

    @property
    def inputs(self) -> int:
        """Number of features of a sample."""
        return self.layers[0].inputs

    @property
    def classes(self) -> int:
        """Number of logits."""
        return self.layers[-1].outputs

    @property
    def input_maxima(self) -> tuple[int, ...]:
        """Greatest input of each layer."""
        bits = (self.input_bits, *(layer.activation_bits or 0 for layer in self.layers[:-1]))
        return tuple(2**width - 1 for width in bits)

    @property
    def accumulator_scales(self) -> tuple[float, ...]:
        """What an accumulator of 1 stands for, in each layer."""
        scales = (1.0, *(layer.activation_scale or 0.0 for layer in self.layers[:-1]))
        return tuple(scale * layer.weight_scale for scale, layer in zip(scales, self.layers, strict=True))

    @property
    def logit_scale(self) -> float:
        """What a logit of 1 stands for."""
        return self.accumulator_scales[-1]

    def intermediates(self, x: NDArray[np.uint8]) -> tuple[NDArray[np.int32], ...]:
        """Evaluate `x` uint8 (n, inputs): int32 activations (n, outputs) of each layer, logits last."""
        parts = [self._evaluate(x[start : start + CHUNK]) for start in range(0, max(1, len(x)), CHUNK)]
        return tuple(np.concatenate(layer) for layer in zip(*parts, strict=True))

    def forward(self, x: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Evaluate `x` uint8 (n, inputs): the logits int32 (n, classes)."""
        return self.intermediates(x)[-1]

    def _evaluate(self, x: NDArray[np.uint8]) -> list[NDArray[np.int32]]:
        values: list[NDArray[np.int32]] = []
        current = x.astype(np.int32)
        for layer in self.layers:
            current = current @ layer.weights.T.astype(np.int32)
            if layer.thresholds is not None:
                current = apply_thresholds(current, layer.thresholds)
            values.append(current)
        return values


def apply_thresholds(accumulators: NDArray[np.int32], thresholds: NDArray[np.int32]) -> NDArray[np.int32]:
    """Count how many of its channel's thresholds (outputs, k) each accumulator (n, outputs) reaches."""
    activations = np.empty_like(accumulators)
    for channel, row in enumerate(thresholds):
        activations[:, channel] = np.searchsorted(row, accumulators[:, channel], side="right")
    return activations


def accumulator_range(weights: NDArray[Any], input_max: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give least and greatest accumulator (outputs,) of `weights` (outputs, inputs) on 0..`input_max`."""
    wide = weights.astype(np.int64)
    return np.minimum(wide, 0).sum(axis=1) * input_max, np.maximum(wide, 0).sum(axis=1) * input_max


def check_accumulator(where: str, weights: NDArray[Any], input_max: int) -> None:
    """Check that no partial sum can leave the integers that float32 holds exactly.

    Raises:
        ContractError: with `where` in front, gives the figure.
    """
    low, high = accumulator_range(weights, input_max)
    peak = int(max(-low.min(), high.max()))
    if peak >= EXACT_LIMIT:
        raise ContractError(
            f"{where}: the accumulator can reach {peak}, float32 is exact below {EXACT_LIMIT}; "
            "use fewer bits or fewer inputs"
        )


def check_power_of_two(where: str, scale: float) -> None:
    """Check a scale.

    Raises:
        ContractError: with `where` in front, gives the scale.
    """
    if not (math.isfinite(scale) and scale > 0 and math.frexp(scale)[0] == 0.5):
        raise ContractError(f"{where}: {scale} is no power of two; quantize with power-of-two scales")


def save(network: IntegerNetwork, path: Path) -> None:
    """Write the network to one safetensors file; equal networks give equal bytes."""
    tensors: Tensors = {}
    layers = []
    for index, layer in enumerate(network.layers):
        tensors[f"{index}.weights"] = layer.weights
        if layer.thresholds is not None:
            tensors[f"{index}.thresholds"] = layer.thresholds
        keys = ("name", "weight_bits", "weight_scale", "activation_bits", "activation_scale")
        layers.append({key: getattr(layer, key) for key in keys})
    write_tensors(
        path, KIND, {"name": network.name, "input_bits": network.input_bits, "layers": layers}, tensors
    )


def load(path: Path) -> IntegerNetwork:
    """Read a network that `save` wrote.

    Raises:
        CheckpointError: the file is missing, corrupt, or its parts do not fit each other.
    """
    header, tensors = read_tensors(path, KIND, CheckpointError)
    try:
        layers = [
            IntegerLayer(
                weights=tensors[f"{index}.weights"],
                thresholds=tensors.get(f"{index}.thresholds"),
                **description,
            )
            for index, description in enumerate(header["layers"])
        ]
        return IntegerNetwork(tuple(layers), int(header["input_bits"]), str(header["name"]))
    except (KeyError, TypeError, ValueError, ContractError) as cause:
        raise CheckpointError(f"{path}: is no integer network ({cause}); freeze the student again") from cause


def _check_weights(layer: IntegerLayer) -> None:
    limit = 2 ** (layer.weight_bits - 1) - 1
    if layer.weights.dtype != np.int8 or layer.weights.ndim != 2 or not layer.weights.size:
        raise ContractError(
            f"{layer.name}: weights are {layer.weights.dtype} {layer.weights.shape}; "
            "give int8 (outputs, inputs)"
        )
    if np.abs(layer.weights.astype(np.int16)).max() > limit:
        raise ContractError(f"{layer.name}: a weight is outside -{limit} to {limit}; give more weight bits")


def _check_thresholds(name: str, thresholds: NDArray[np.int32], shape: tuple[int, int]) -> None:
    if thresholds.dtype != np.int32 or thresholds.shape != shape:
        raise ContractError(
            f"{name}: thresholds are {thresholds.dtype} {thresholds.shape}; give int32 {shape}"
        )
    if (np.diff(thresholds, axis=1) < 0).any():
        raise ContractError(f"{name}: thresholds are not ascending; sort each channel's row")
