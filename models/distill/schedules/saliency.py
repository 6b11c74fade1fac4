"""What it would cost to remove a weight: from its size, or from second derivatives on samples.

Each layer's weights are seen as (groups, outputs, taps): a depthwise layer has a group a channel, of one
output; the others have one group. `patches` gives what such weights are multiplied by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from numpy.typing import NDArray
from torch import Tensor, nn

from common.topology import Conv, Depthwise, Step
from models.students.masks import weighted_layers, weights_of
from models.students.student import Student

BATCH = 32
"""Samples at a time: patches of convolutions are many times as large as their images."""

Matrices = dict[str, Tensor]


def patches(step: Step, x: Tensor) -> Tensor:
    """Cut what a layer takes into what its weights are multiplied by: (samples, groups, pixels, taps).

    `x` (samples, inputs) of a dense layer, (samples, channels, height, width) of the others.
    """
    layer = step.layer
    if not isinstance(layer, Conv | Depthwise):
        return x[:, None, None]
    cut = F.unfold(x, layer.kernel, padding=layer.padding, stride=layer.stride)  # (samples, taps, pixels)
    groups = x.shape[1] if isinstance(layer, Depthwise) else 1
    return cut.reshape(len(x), groups, -1, cut.shape[2]).transpose(2, 3)


def magnitude(student: Student) -> Matrices:
    """Each weight's size over the standard deviation of its layer, as Han 2015 (arXiv:1506.02626) sets its
    thresholds: one quality parameter serves all layers.
    """
    found = {}
    for name, weight in weights_of(student).items():
        w = weight.detach().double()
        found[name] = w.abs() / w.std(correction=0).clamp(min=1e-30)
    return found


def input_moments(student: Student, x: NDArray[np.uint8]) -> Matrices:
    """Second moments of what each layer takes, (groups, taps, taps): a sum over pixels, mean over samples.

    The Hessian, for every output, of half the squared change of the layer's accumulators (layer-wise optimal
    brain surgeon, arXiv:1705.07565).
    """
    found: Matrices = {}
    with torch.no_grad(), _recorded(student) as (taken, _):
        for rows in _batches(x):
            student(rows)
            for name, layer in weighted_layers(student).items():
                cut = patches(layer.step, taken[name]).double()
                moment = torch.einsum("ngpt,ngpu->gtu", cut, cut) / len(x)
                found[name] = found[name] + moment if name in found else moment
    return found


def curvature(student: Student, x: NDArray[np.uint8]) -> Matrices:
    """Diagonal of the Gauss-Newton matrix of the cross-entropy, mean over samples, shaped like the weights.

    h = E_x sum_c p_c (d log p_c / d w)^2, exact over the classes: the Hessian of the cross-entropy in the
    logits is sum_c p_c (e_c - p)(e_c - p)^T whatever the target is. The weights are the quantized ones, the
    rounding of activations is passed by as in training.
    """
    shapes = {name: weight.shape for name, weight in weights_of(student).items()}
    found = {name: torch.zeros(shape, dtype=torch.float64) for name, shape in shapes.items()}
    with _recorded(student) as (taken, given):
        for rows in _batches(x):
            logits = student(rows)
            p = logits.detach().softmax(dim=1)
            for c in range(logits.shape[1]):
                direction = p[:, c : c + 1].sqrt() * (F.one_hot(torch.tensor(c), logits.shape[1]) - p)
                slopes = torch.autograd.grad(logits, list(given.values()), direction, retain_graph=True)
                for (name, layer), slope in zip(weighted_layers(student).items(), slopes, strict=True):
                    cut = patches(layer.step, taken[name]).double()
                    # (samples, outputs, pixels), then (samples, groups, outputs, pixels)
                    outer = slope.double().flatten(2) if slope.ndim > 2 else slope.double()[:, :, None]
                    outer = outer.reshape(len(rows), cut.shape[1], -1, outer.shape[2])
                    gradient = torch.einsum("ngop,ngpt->ngot", outer, cut)
                    found[name] += gradient.square().sum(dim=0).reshape(shapes[name]) / len(x)
    return found


def brain_damage(student: Student, x: NDArray[np.uint8]) -> Matrices:
    """Saliency h w^2 / 2 of each weight (optimal brain damage, LeCun, Denker, Solla, NIPS 1989)."""
    sizes = weights_of(student)
    return {name: h * sizes[name].detach().double().square() / 2 for name, h in curvature(student, x).items()}


@contextmanager
def _recorded(student: Student) -> Iterator[tuple[Mapping[str, Tensor], Mapping[str, Tensor]]]:
    """What each layer with weights takes, and its accumulators, in every forward pass inside."""
    taken: dict[str, Tensor] = {}
    given: dict[str, Tensor] = {}

    def keep(name: str, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        taken[name], given[name] = inputs[0].detach(), output

    hooks = []
    for name, layer in weighted_layers(student.eval()).items():
        assert isinstance(layer.linear, nn.Module)
        hook = lambda _, inputs, output, name=name: keep(name, inputs, output)  # noqa: E731 (binds the name)
        hooks.append(layer.linear.register_forward_hook(hook))
    try:
        yield taken, given
    finally:
        for each in hooks:
            each.remove()


def _batches(x: NDArray[np.uint8]) -> Iterator[Tensor]:
    for start in range(0, len(x), BATCH):
        yield torch.from_numpy(x[start : start + BATCH]).float()
