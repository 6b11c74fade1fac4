"""Block-wise alignment of a student with its teacher by least squares (FSKD, arXiv:1812.01839).

A 1 by 1 convolution Q behind a block is estimated in closed form on a few unlabelled samples, so that the
block gives what the teacher's gives, and is absorbed into the block's own weights, W' = Q W (the paper's
theorem 1), which costs the student nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from common.topology import INPUT, Conv, Dense, Step, Topology
from models.distill.features import Pairs, tapped
from models.students.student import Student, StudentLayer

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Alignment:
    """What aligning a layer came to: mean squared distance from its target before and after.

    `after` is measured with quantized weights. Where it is not less than `before`, the layer stays as it was.
    """

    layer: str
    before: float
    after: float

    @property
    def kept(self) -> bool:
        """Whether the layer has the new weights."""
        return self.after < self.before


def can_align(step: Step) -> bool:
    """Whether a 1 by 1 convolution can be absorbed: a dense layer or convolution with activations.

    Depthwise layers mix no channels. Both sides of a residual layer are rounded before they meet.
    """
    hidden = isinstance(step.layer, Dense | Conv) and step.layer.activation_bits is not None
    return hidden and "." not in step.name


def aligned_layers(topology: Topology) -> tuple[str, ...]:
    """The names of the layers that can be aligned."""
    return tuple(step.name for step in topology.steps if can_align(step))


def align(student: Student, teacher: nn.Module, pairs: Pairs, x: Tensor, ridge: float) -> list[Alignment]:
    """Align the student's layers with the teacher's, the first first; the student is changed, both evaluate.

    Args:
        student: quantized, trained or not.
        teacher: gives the features, behind their activation.
        pairs: names of layers that can be aligned, and of the teacher's.
        x: samples, float (n, features), 0 to 255.
        ridge: see `least_squares`.
    """
    student.eval()
    indices = {step.name: index for index, step in enumerate(student.topology.steps)}
    results = []
    with torch.no_grad(), tapped(teacher.eval()) as found:
        teacher(x)
        for name, of_teacher in sorted(pairs, key=lambda pair: indices[pair[0]]):
            layer = student.layers[indices[name]]
            assert isinstance(layer, StudentLayer)
            sources = _sources(student, x, layer)
            results.append(_align_layer(layer, sources, _features(found, of_teacher, layer.step), ridge))
    return results


def least_squares(z: Matrix, y: Matrix, ridge: float, prior: Matrix | None = None) -> tuple[Matrix, Matrix]:
    """The affine map that brings z (n, a) nearest to y (n, b): Q (b, a) and c (b,), y ~ z Q^T + c.

    Minimizes |z Q^T + c - y|^2 + r |Q - prior|^2 with r the mean variance of z times n times `ridge`, so that
    directions in which few samples say little stay as in `prior` (b, a), 0 where it is None.
    """
    z_mean, y_mean = z.mean(axis=0), y.mean(axis=0)
    centred, target = z - z_mean, y - y_mean
    gram = centred.T @ centred
    weight = ridge * np.trace(gram) / len(gram) + np.finfo(np.float64).tiny
    if prior is None:
        prior = np.zeros((y.shape[1], z.shape[1]))
    system = gram + weight * np.eye(len(gram))
    q: Matrix = np.linalg.lstsq(system, centred.T @ target + weight * prior.T, rcond=None)[0].T
    return q, y_mean - q @ z_mean


def _align_layer(layer: StudentLayer, sources: Sequence[Tensor], features: Matrix, ridge: float) -> Alignment:
    norm = layer.norm
    assert norm is not None
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    z = _rows(norm(layer.accumulate(*sources)))
    # What the teacher's channels can say of each of the student's: a student that was no teacher once has
    # other channels, and others in number.
    q, c = least_squares(features, z, ridge)
    target = features @ q.T + c
    q, _ = least_squares(z, target, ridge, np.eye(z.shape[1]))
    _absorb(layer, q)
    _refit(norm, _rows(layer.accumulate(*sources)), target)
    error = _distance(_rows(norm(layer.accumulate(*sources))), target)
    result = Alignment(layer.step.name, _distance(z, target), error)
    if not result.kept:
        layer.load_state_dict(before)
    return result


def _absorb(layer: StudentLayer, q: Matrix) -> None:
    """Put q behind the batch-norm into the weights: each row of W' = q diag(gain) W to the same range.

    The rows' scales are the batch-norm's to find. W is quantized: what the accumulators were computed with.
    """
    linear: Any = layer.linear
    norm = layer.norm
    assert norm is not None and norm.running_var is not None
    gain = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).double().numpy()
    quantized: Tensor = linear.quant_weight().value
    rows = quantized.double().flatten(1).numpy()
    merged = (q * gain) @ rows
    largest = np.abs(merged).max(axis=1, keepdims=True)
    merged = merged / np.where(largest > 0, largest, 1.0) * max(np.abs(rows).max(), 1e-3)
    linear.weight.copy_(torch.from_numpy(merged).view(quantized.shape))


def _refit(norm: nn.BatchNorm2d, accumulators: Matrix, target: Matrix) -> None:
    """Give each channel the statistics of its accumulators, and the gain and shift nearest to its target."""
    assert norm.running_mean is not None and norm.running_var is not None
    mean, variance = accumulators.mean(axis=0), accumulators.var(axis=0)
    covariance = ((accumulators - mean) * (target - target.mean(axis=0))).mean(axis=0)
    slope = np.divide(covariance, variance, out=np.zeros_like(variance), where=variance > 0)
    norm.running_mean.copy_(torch.from_numpy(mean))
    norm.running_var.copy_(torch.from_numpy(variance))
    norm.weight.copy_(torch.from_numpy(slope * np.sqrt(variance + norm.eps)))
    norm.bias.copy_(torch.from_numpy(target.mean(axis=0)))


def _sources(student: Student, x: Tensor, layer: StudentLayer) -> list[Tensor]:
    """What the layers before give on x, as they are now."""
    frames = {INPUT: x.view(len(x), *student.topology.frame).permute(0, 3, 1, 2)}
    frames |= dict(enumerate(student.values(x)))
    return [frames[source] for source in layer.step.sources]


def _features(found: Mapping[str, Tensor], name: str, step: Step) -> Matrix:
    """The teacher's features, averaged to the student's pixels: (samples * pixels, channels)."""
    return _rows(nn.functional.adaptive_avg_pool2d(found[name], step.out_shape[:2]))


def _rows(frames: Tensor) -> Matrix:
    """(batch, channels, height, width) as (batch * height * width, channels)."""
    rows: Matrix = frames.permute(0, 2, 3, 1).flatten(0, 2).double().numpy()
    return rows


def _distance(z: Matrix, target: Matrix) -> float:
    return float(((z - target) ** 2).mean())
