"""Data impressions: samples read out of the teacher alone, without any data (arXiv:1905.08114)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import MinLen

from common.errors import ConfigError
from common.settings import Count, Positive
from models.distill.losses.logits import ensemble_target
from models.distill.method import Temperature
from models.distill.sources.base import Source, labelled_by
from models.lazy import np, torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from models.distill.training.setup import TrainingSetup
    from models.distill.training.transfer import TransferSet

BATCH = 256
"""Impressions that are optimized together."""

LEAST = 1e-3
"""Added to a similarity of 0, since a Dirichlet distribution's parameters are above 0."""


@dataclass(frozen=True)
class DataImpressions(Source):
    """Inputs for which the teacher says what it was drawn to say; nothing is read but the teacher.

    What the teacher says of samples of class k is modelled as Dirichlet(beta * c_k). Row c_k of the class
    similarity matrix is the cosine of the last layer's weights, w_k . w_j / (|w_k| |w_j|), scaled to 0..1
    over j. For each drawn vector y an input x, from noise, is moved by Adam to minimize the cross-entropy of
    y with softmax(teacher(x) / temperature). All classes and all betas get the same number of impressions.

    Here the teacher is an ensemble: the similarity is the mean of its members', its softened probability
    too. Inputs are bytes: after every step they are cut off at 0 and 255, in the end rounded. And since bytes
    of different data sets are of different size, x is measured by what the teacher's first batch-norm keeps
    of its inputs: noise and steps are multiples of that standard deviation.

    Attributes:
        count: impressions; the paper's results grow with it up to the size of the training set.
        betas: scales of the Dirichlet parameters; less is more certain.
        temperature: 20 in the paper.
        steps: of Adam.
        learning_rate: of Adam, in standard deviations of the input.
    """

    source: ClassVar[str] = "data-impressions"
    paper: ClassVar[str] = "Nayak et al. 2019, arXiv:1905.08114"
    labelled: ClassVar[bool] = False

    count: Count = 1000
    betas: Annotated[tuple[Positive, ...], MinLen(1)] = (1.0, 0.1)
    temperature: Temperature = 20.0
    steps: Count = 50
    learning_rate: Positive = 0.1

    def transfer(self, setup: TrainingSetup) -> TransferSet:
        """Draw what the teacher shall say, and find the inputs for which it does.

        Raises `ConfigError`: no teacher, or one whose last layer does not have one row of weights a class;
        fewer impressions than classes times betas.
        """
        from models.training.evaluation import deterministic

        classes, seed = setup.topology.outputs, setup.training.seed
        if self.count < classes * len(self.betas):
            raise ConfigError(
                f"data {self.source}: count is {self.count}; with {classes} classes and {len(self.betas)} "
                f"betas give at least {classes * len(self.betas)}"
            )
        similarity = class_similarity(setup.members, classes)
        with deterministic(setup.training.threads):
            rng = np.random.default_rng(seed)
            wanted = self.draw(similarity, rng)
            noise = rng.standard_normal((self.count, setup.topology.inputs))
            parts = [
                self.impressions(setup.members, noise[at : at + BATCH], wanted[at : at + BATCH])
                for at in range(0, self.count, BATCH)
            ]
        return labelled_by(setup, np.concatenate(parts))

    def draw(self, similarity: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw softmax vectors (count, classes), the classes in turn, the betas in turn after each round."""
        classes = len(similarity)
        indices = np.arange(self.count)
        betas = np.array(self.betas)[indices // classes % len(self.betas)]
        parameters = betas[:, None] * (similarity[indices % classes] + LEAST)
        return np.stack([rng.dirichlet(row) for row in parameters])

    def impressions(
        self, members: Sequence[nn.Module], noise: NDArray[np.float64], wanted: NDArray[np.float64]
    ) -> NDArray[np.uint8]:
        """Move normal `noise` (n, features) until the teacher says `wanted` (n, classes): uint8 inputs."""
        mean, deviation = input_statistics(members[0], noise.shape[1])
        z = torch.from_numpy(noise).float().requires_grad_(True)
        target = torch.from_numpy(wanted).float()
        adam = torch.optim.Adam([z], lr=self.learning_rate)
        for _ in range(self.steps):
            (z.grad,) = torch.autograd.grad(self.loss(members, mean + deviation * z, target), z)
            adam.step()
            with torch.no_grad():
                z.copy_(((mean + deviation * z).clamp(0, 255) - mean) / deviation)
        x = (mean + deviation * z.detach()).round().clamp(0, 255)
        found: NDArray[np.uint8] = x.to(torch.uint8).numpy()
        return found

    def loss(self, members: Sequence[nn.Module], x: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of the target (n, classes) with what the teacher says of x, summed over samples."""
        logits = torch.stack([member.eval()(x) for member in members])
        return -(target * ensemble_target(logits, self.temperature)).sum()


def class_similarity(members: Sequence[nn.Module], classes: int) -> NDArray[np.float64]:
    """Normalized similarity (classes, classes) of the classes by the members' last layers, 0 to 1 a row.

    Raises `ConfigError`: no members, or a last layer that has not one row of weights a class.
    """
    if not members:
        raise ConfigError("data data-impressions: there is no teacher to read them from; train one")
    found = []
    for member in members:
        weights = last_weights(member, classes)
        rows = weights / np.maximum(np.linalg.norm(weights, axis=1, keepdims=True), 1e-12)
        cosine = rows @ rows.T
        low, high = cosine.min(axis=1, keepdims=True), cosine.max(axis=1, keepdims=True)
        found.append((cosine - low) / np.maximum(high - low, 1e-12))
    similarity: NDArray[np.float64] = np.mean(found, axis=0)
    return similarity


def last_weights(member: nn.Module, classes: int) -> NDArray[np.float64]:
    """The weights of a network's last layer, (classes, values); of a convolution all taps of an output.

    Raises:
        ConfigError: the last layer with weights is neither dense nor a convolution, or has no row a class.
    """
    last = next(reversed(_weighted(member)), None)
    if not isinstance(last, torch.nn.Linear | torch.nn.Conv2d) or len(last.weight) != classes:
        what = "no layer with weights" if last is None else f"a {type(last).__name__}"
        raise ConfigError(
            f"data data-impressions: the teacher ends with {what}, not with a dense layer or a convolution "
            f"of {classes} outputs; take another teacher or source"
        )
    rows: NDArray[np.float64] = last.weight.detach().cpu().double().flatten(1).numpy()
    return rows


def input_statistics(member: nn.Module, inputs: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each value of a flat sample (inputs,), as the first batch-norm has them.

    Those of even noise over all bytes where a network begins with another layer.
    """
    first = next(iter(_weighted(member)), None)
    if isinstance(first, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
        mean, variance = first.running_mean, first.running_var
        if mean is not None and variance is not None:
            # Channels come last in a flat sample.
            repeats = inputs // len(mean)
            return mean.repeat(repeats), (variance + first.eps).sqrt().repeat(repeats)
    return torch.full((inputs,), 127.5), torch.full((inputs,), math.sqrt((256**2 - 1) / 12))


def _weighted(member: nn.Module) -> list[nn.Module]:
    """The layers that have weights of their own, in the order in which they were made."""
    return [module for module in member.modules() if list(module.parameters(recurse=False))]
