"""Biased weight decay against numpy and finite differences."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from common.errors import ConfigError
from models.distill.losses import WeightCost

from .signals import drawn

FORMS = {
    "quadratic": lambda u: u**2 / (1 + u**2),
    "hyperbolic": lambda u: u / (1 + u),
    "exponential": lambda u: 1 - np.exp(-u),
}


@pytest.mark.parametrize("cost", FORMS)
@pytest.mark.parametrize("over", ["weights", "units"])
def test_cost_is_the_mean_over_all_layers(cost, over):
    signals = drawn(4)
    sizes = [np.abs(each.numpy()).reshape(len(each), -1) / 0.7 for each in signals.weights.values()]
    if over == "units":
        sizes = [size.sum(axis=1) for size in sizes]
    expected = np.mean(FORMS[cost](np.concatenate([size.ravel() for size in sizes])))
    assert WeightCost(cost, 0.7, over)(signals).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("cost", FORMS)
@pytest.mark.parametrize("over", ["weights", "units"])
def test_gradients_by_finite_differences(cost, over):
    signals, loss, step = drawn(5), WeightCost(cost, 0.5, over), 1e-6
    variable = signals.weights["layer1"].clone().requires_grad_()
    loss(replace(signals, weights={**signals.weights, "layer1": variable})).backward()
    for index in np.ndindex(*variable.shape):
        sides = []
        for sign in (1, -1):
            moved = signals.weights["layer1"].clone()
            moved[index] += sign * step
            sides.append(loss(replace(signals, weights={**signals.weights, "layer1": moved})).item())
        slope = (sides[0] - sides[1]) / (2 * step)
        assert variable.grad[index].item() == pytest.approx(slope, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("cost", FORMS)
def test_large_weights_are_left_alone(cost):
    """Unlike plain decay, whose slope grows with the weight; and no cost is above 1."""
    w = torch.tensor([[0.1, 3.0, 300.0]], dtype=torch.float64, requires_grad=True)
    value = WeightCost(cost, 0.1)(replace(drawn(), weights={"layer0": w}))
    value.backward()
    slopes = w.grad[0].tolist()
    assert slopes[0] > 10 * slopes[1] > 100 * slopes[2] >= 0 and value.item() <= 1


def test_costs_shrink_small_weights_while_a_student_is_trained():
    from common.topology import Dense, Topology
    from models.distill import HardLabels, WeightedSum
    from models.distill.training.transfer import TransferSet
    from models.students.masks import weights_of
    from models.training import TrainingConfig
    from tests.models.distilled import distill
    from tests.models.networks import toy_dataset

    dataset = toy_dataset()
    examples = TransferSet(dataset.train, np.zeros((1, len(dataset.train), 3), np.float32))
    topology = Topology((4, 4, 1), (Dense(12, 4, 3), Dense(3, 4, None)))
    config = TrainingConfig(epochs=6, batch_size=32, learning_rate=1e-2, weight_decay=0.0, seed=1)
    small = {}
    for strength in (1e-9, 5.0):
        loss = WeightedSum(((1.0, HardLabels()), (strength, WeightCost(scale=0.1))))
        student, _ = distill(topology, dataset, examples, loss, config)
        w = torch.cat([each.flatten() for each in weights_of(student).values()])
        small[strength] = (w.abs() < 0.02).float().mean().item()
    assert small[5.0] > 2 * small[1e-9]


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_refuses(scale):
    with pytest.raises(ConfigError, match=r"weight-cost: scale is .*; give"):
        WeightCost(scale=scale)
