"""Masks over a student's weights: which of them are pruned, hence zero, and stay so while it is trained."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.students.integer import IntegerNetwork, Weighted
from models.students.student import Student, StudentLayer

Keep = NDArray[np.bool_]
"""True for each weight of a layer that stays, in the shape of the layer's weights."""


@dataclass(frozen=True, eq=False)
class Masks:
    """Which weights of each layer stay, by the layer's name; layers that it lacks are whole."""

    keep: Mapping[str, Keep]

    @cached_property
    def _tensors(self) -> dict[str, Tensor]:
        return {name: torch.from_numpy(~keep) for name, keep in self.keep.items()}

    def __repr__(self) -> str:
        """Tell one set of masks from another, for checkpoints."""
        digest = hashlib.sha256()
        for name, keep in self.keep.items():
            digest.update(f"{name}{keep.shape}".encode() + np.packbits(keep).tobytes())
        return f"Masks({digest.hexdigest()})"

    def apply(self, student: Student) -> None:
        """Set the pruned weights to zero, in place."""
        with torch.no_grad():
            for name, weight in weights_of(student).items():
                if name in self.keep:
                    weight.masked_fill_(self._tensors[name].to(weight.device), 0.0)

    @property
    def sparsity(self) -> float:
        """Share of the weights that are pruned, of the layers that have a mask: 0 to 1."""
        kept = sum(int(keep.sum()) for keep in self.keep.values())
        return 1 - kept / max(1, sum(keep.size for keep in self.keep.values()))


def weighted_layers(student: Student) -> dict[str, StudentLayer]:
    """The layers that have weights, by name, in their order."""
    layers = (layer for layer in student.layers if isinstance(layer, StudentLayer))
    return {layer.step.name: layer for layer in layers if layer.linear is not None}


def weights_of(student: Student) -> dict[str, Tensor]:
    """The weights of each layer (outputs, ...), before they are quantized, as they are in the student."""
    found = {}
    for name, layer in weighted_layers(student).items():
        linear = layer.linear
        assert isinstance(linear, nn.Linear | nn.Conv2d)
        found[name] = linear.weight
    return found


def zero_shares(network: IntegerNetwork) -> dict[str, float]:
    """Share of integer weights that are zero in each layer that has weights: 0 to 1, by name."""
    return {
        layer.name: float(np.mean(layer.operation.weights == 0))
        for layer in network.layers
        if isinstance(layer.operation, Weighted)
    }
