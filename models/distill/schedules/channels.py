"""Channels of a student: which layers share them, wider students, and students with some channels left."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from common.topology import INPUT, Conv, Dense, Depthwise, Layer, Residual, Step, Topology
from models.students.student import Student, StudentLayer

FIXED = -1
"""The group of the input's channels."""

Kept = Mapping[int, Tensor]
"""Places of the channels that stay, ascending, by group."""


@dataclass(frozen=True)
class Channels:
    """The groups of a topology: channels that can only be removed from all layers of a group together.

    Pooling and depthwise layers hand on the channels that they take, the two sides of a residual layer share
    theirs. Neither the input's channels nor the logits can be removed.
    """

    topology: Topology

    @cached_property
    def given(self) -> dict[int, int]:
        """The group of what each step gives, by its index; of the input, `FIXED`."""
        parent = {INPUT: FIXED}

        def root(group: int) -> int:
            while joined.get(group, group) != group:
                group = joined[group]
            return group

        joined: dict[int, int] = {}
        for index, step in enumerate(self.topology.steps):
            if isinstance(step.layer, Dense | Conv):
                parent[index] = index
                continue
            first, *others = (root(parent[source]) for source in step.sources)
            for other in others:
                joined[max(first, other)] = min(first, other)
            parent[index] = first
        return {index: root(group) for index, group in parent.items()}

    @cached_property
    def free(self) -> dict[int, int]:
        """Groups whose channels can be removed, with their widths."""
        steps = self.topology.steps
        fixed = {FIXED, self.given[len(steps) - 1]}
        return {
            group: steps[index].out_shape[2]
            for index, group in self.given.items()
            if index != INPUT and group not in fixed
        }

    def producers(self, group: int) -> list[Step]:
        """Layers with weights that give the group's channels, depthwise ones among them."""
        kinds = Dense | Conv | Depthwise
        steps = self.topology.steps
        return [
            s for index, s in enumerate(steps) if self.given[index] == group and isinstance(s.layer, kinds)
        ]

    def consumers(self, group: int) -> list[Step]:
        """Layers that mix the group's channels."""
        steps = self.topology.steps
        return [s for s in steps if isinstance(s.layer, Dense | Conv) and self.given[s.sources[0]] == group]

    def widened(self, factor: float) -> Topology:
        """The topology with `factor` times the channels, rounded up, in every group that is free."""
        named = {step.name: self.given[index] for index, step in enumerate(self.topology.steps)}

        def wider(name: str, layer: Layer) -> Layer:
            match layer:
                case Residual(body=body, shortcut=shortcut):
                    parts = tuple(wider(f"{name}.body{at}", part) for at, part in enumerate(body))
                    other = wider(f"{name}.shortcut", shortcut) if shortcut else None
                    return replace(layer, body=parts, shortcut=other)  # type: ignore[arg-type]
                case Dense(outputs=outputs) | Conv(outputs=outputs) if named[name] in self.free:
                    return replace(layer, outputs=math.ceil(factor * outputs))
            return layer

        layers = (wider(f"layer{at}", layer) for at, layer in enumerate(self.topology.layers))
        return replace(self.topology, layers=tuple(layers))

    def narrowed(self, wide: Student, kept: Kept) -> dict[str, Tensor]:
        """The weights and batch-norms of this topology's student: those of `wide` in the channels `kept`."""
        state = Student(self.topology).state_dict()
        for index, layer in enumerate(wide.layers):
            assert isinstance(layer, StudentLayer)
            outputs = kept.get(self.given[index])
            source = kept.get(self.given[layer.step.sources[0]])
            for name, value in layer.state_dict().items():
                if name == "linear.weight":
                    value = _columns(layer.step, value, source)
                if outputs is not None and value.ndim and name.startswith(("linear.weight", "norm.")):
                    value = value[outputs]
                state[f"layers.{index}.{name}"] = value.clone()
        return state


def taps_of(step: Step) -> Tensor:
    """Places of each input channel's taps in a row of a dense layer or convolution: (channels, size)."""
    height, width, channels = step.in_shape
    if isinstance(step.layer, Dense):
        return torch.arange(step.inputs).reshape(height * width, channels).T
    assert isinstance(step.layer, Conv)
    return torch.arange(channels * math.prod(step.layer.kernel)).reshape(channels, -1)


def _columns(step: Step, weight: Tensor, source: Tensor | None) -> Tensor:
    """The weights of the channels `source` of what a layer takes."""
    if source is None or isinstance(step.layer, Depthwise):
        return weight
    if isinstance(step.layer, Dense):
        return weight[:, taps_of(step)[source].T.flatten()]
    return weight[:, source]
