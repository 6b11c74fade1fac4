"""The losses against an independent numpy computation, finite differences, and their known limits."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ConfigError
from models.distill import HardLabels, LogitMatching, Signals, SoftenedSoftmax, WeightedSum

MEMBERS, BATCH, CLASSES = 3, 5, 4


def drawn(seed=0, members=MEMBERS):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(0, 2, (BATCH, CLASSES)),
        rng.normal(0, 2, (members, BATCH, CLASSES)),
        rng.integers(0, CLASSES, BATCH),
    )


def evaluate(loss, student, teacher, labels):
    return loss(Signals(torch.tensor(student), torch.tensor(teacher), torch.tensor(labels))).item()


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def cross_entropy(z, labels):
    return -np.mean(np.log(softmax(z))[np.arange(len(labels)), labels])


def hinton(z, v, labels, temperature, weight):
    p, q = softmax(v / temperature).mean(axis=0), softmax(z / temperature)
    soft = temperature**2 * np.mean(np.sum(p * np.log(p / q), axis=1))
    return (1 - weight) * soft + weight * cross_entropy(z, labels)


def ba_caruana(z, v, labels, weight):
    z0 = z - z.mean(axis=1, keepdims=True)
    v0 = v.mean(axis=0) - v.mean(axis=(0, 2))[:, None]
    return (1 - weight) * 0.5 * np.mean((z0 - v0) ** 2) + weight * cross_entropy(z, labels)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 1000),
    temperature=st.floats(0.5, 20),
    weight=st.floats(0, 1),
    members=st.integers(1, 4),
)
def test_softened_softmax_is_hintons(seed, temperature, weight, members):
    z, v, labels = drawn(seed, members)
    found = evaluate(SoftenedSoftmax(temperature, weight), z, v, labels)
    assert found == pytest.approx(hinton(z, v, labels, temperature, weight), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_logit_matching_is_centred_regression(weight):
    z, v, labels = drawn()
    assert evaluate(LogitMatching(weight), z, v, labels) == pytest.approx(ba_caruana(z, v, labels, weight))
    shifted = evaluate(LogitMatching(0.0), z + 7.0, v - 3.0, labels)
    assert shifted == pytest.approx(evaluate(LogitMatching(0.0), z, v, labels))


def test_hard_labels_ignore_the_teacher():
    z, v, labels = drawn()
    assert evaluate(HardLabels(), z, v, labels) == pytest.approx(cross_entropy(z, labels))
    assert evaluate(HardLabels(), z, v * 0, labels) == evaluate(HardLabels(), z, v, labels)


def test_zero_at_the_teacher_itself():
    _, v, labels = drawn(members=1)
    assert evaluate(SoftenedSoftmax(3.0, 0.0), v[0], v, labels) == pytest.approx(0, abs=1e-12)
    assert evaluate(LogitMatching(), v[0], v, labels) == 0


def test_high_temperature_is_logit_matching():
    z, v, labels = drawn()
    assert evaluate(SoftenedSoftmax(1e4, 0.0), z, v, labels) == pytest.approx(
        evaluate(LogitMatching(), z, v, labels), rel=1e-3
    )


def test_far_logits_stay_finite():
    z, v, labels = drawn()
    loss = SoftenedSoftmax(0.5, 0.5)
    student = torch.tensor(z * 1e4, requires_grad=True)
    value = loss(Signals(student, torch.tensor(v * 1e4), torch.tensor(labels)))
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(student.grad).all()


@pytest.mark.parametrize(
    "loss",
    [
        SoftenedSoftmax(3.0, 0.2),
        LogitMatching(0.1),
        HardLabels(),
        WeightedSum(((0.5, SoftenedSoftmax(2.0, 0.0)), (2.0, LogitMatching()))),
    ],
)
def test_gradients_by_finite_differences(loss):
    z, v, labels = drawn(3)
    student = torch.tensor(z, requires_grad=True)
    loss(Signals(student, torch.tensor(v), torch.tensor(labels))).backward()
    step = 1e-6
    for index in np.ndindex(z.shape):
        up, down = z.copy(), z.copy()
        up[index] += step
        down[index] -= step
        slope = (evaluate(loss, up, v, labels) - evaluate(loss, down, v, labels)) / (2 * step)
        assert student.grad[index].item() == pytest.approx(slope, rel=1e-4, abs=1e-8)


def test_weighted_sum():
    z, v, labels = drawn()
    both = WeightedSum(((0.5, SoftenedSoftmax(2.0, 0.1)), (2.0, LogitMatching())))
    expected = 0.5 * hinton(z, v, labels, 2.0, 0.1) + 2 * ba_caruana(z, v, labels, 0.0)
    assert evaluate(both, z, v, labels) == pytest.approx(expected)
    assert both.at_temperature(5.0).parts[0][1] == SoftenedSoftmax(5.0, 0.1)
    assert both.at_temperature(5.0).parts[1] == both.parts[1]


@pytest.mark.parametrize(
    "make",
    [
        lambda: SoftenedSoftmax(temperature=0.0),
        lambda: SoftenedSoftmax(temperature=-1.0),
        lambda: SoftenedSoftmax(temperature=float("nan")),
        lambda: SoftenedSoftmax(hard_label_weight=1.1),
        lambda: LogitMatching(hard_label_weight=-0.1),
        lambda: WeightedSum(()),
        lambda: WeightedSum(((0.0, HardLabels()),)),
    ],
)
def test_refuses(make):
    with pytest.raises(ConfigError, match="give"):
        make()
