"""The two treatments of arXiv:1805.04770 against numpy, and what each of them keeps and loses."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ConfigError
from models.distill import HardLabels, Signals, SoftenedSoftmax
from models.distill.losses.logits import ConfidenceWeighted, PermutedDarkKnowledge

from .signals import check_gradients, drawn
from .test_logits import cross_entropy, softmax


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), members=st.integers(1, 3))
def test_confidence_weighted_is_a_weighted_mean(seed, members):
    signals = drawn(seed, members, scale=2.0)
    z, v, labels = (each.numpy() for each in (signals.student, signals.teacher, signals.labels))
    weights = softmax(v).mean(axis=0).max(axis=1)
    each = [cross_entropy(z[row : row + 1], labels[row : row + 1]) for row in range(len(z))]
    assert ConfidenceWeighted()(signals).item() == pytest.approx(np.average(each, weights=weights))


def test_confidence_weighted_gradient_is_equation_10():
    signals = drawn(4)
    student = signals.student.clone().requires_grad_()
    ConfidenceWeighted()(replace(signals, student=student)).backward()
    confidence = softmax(signals.teacher[0].numpy()).max(axis=1)
    error = softmax(signals.student.numpy()) - np.eye(4)[signals.labels.numpy()]
    np.testing.assert_allclose(student.grad.numpy(), error * (confidence / confidence.sum())[:, None])


def test_an_equally_sure_teacher_weighs_nothing():
    signals = drawn(5)
    sure = replace(signals, teacher=torch.eye(4, dtype=torch.float64)[signals.labels - 1][None] * 3)
    torch.testing.assert_close(ConfidenceWeighted()(sure), HardLabels()(sure))


def target_of(loss, teacher, row, progress=0.0):
    """The target of one sample: the slope of KL(p || softmax(z)) in z, softmax(z) - p."""
    student = torch.zeros_like(teacher[0]).requires_grad_()
    signals = Signals(student, teacher, None, rows=torch.tensor([row]), progress=progress)
    loss(signals).backward()
    return softmax(np.zeros(teacher.shape[1:]))[0] - student.grad[0].numpy()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), row=st.integers(0, 10**6), classes=st.integers(2, 12))
def test_permuted_keeps_the_greatest_and_the_values(seed, row, classes):
    teacher = torch.tensor(np.random.default_rng(seed).normal(0, 2, (2, 1, classes)))
    p = softmax(teacher.numpy()).mean(axis=0)[0]
    found = target_of(PermutedDarkKnowledge(), teacher, row, progress=seed / 1001)
    np.testing.assert_allclose(np.sort(found), np.sort(p), atol=1e-12)
    assert found.argmax() == p.argmax() and found.max() == pytest.approx(p.max())


def test_every_permutation_is_as_likely():
    teacher = torch.tensor([[[4.0, 0.3, 0.2, 0.1]]], dtype=torch.float64)
    counts = {}
    for row in range(1200):
        found = target_of(PermutedDarkKnowledge(), teacher, row, progress=row % 7 / 7)
        key = tuple(np.argsort(found))
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 6 and all(150 < count < 250 for count in counts.values())


def test_permutations_change_with_the_step_unless_fixed():
    teacher = torch.tensor(np.random.default_rng(1).normal(0, 1, (1, 1, 10)))
    steps = [0.0, 1 / 3, 0.9]
    fresh = {tuple(target_of(PermutedDarkKnowledge(), teacher, 3, step)) for step in steps}
    kept = {tuple(target_of(PermutedDarkKnowledge(fixed=True), teacher, 3, step)) for step in steps}
    rows = {tuple(target_of(PermutedDarkKnowledge(fixed=True), teacher, row)) for row in range(3)}
    assert (len(fresh), len(kept), len(rows)) == (3, 1, 3)


def test_two_classes_have_nothing_to_permute():
    rng = np.random.default_rng(2)
    signals = Signals(torch.tensor(rng.normal(size=(5, 2))), torch.tensor(rng.normal(size=(3, 5, 2))), None)
    same = SoftenedSoftmax(2.5, 0.0)(signals)
    torch.testing.assert_close(PermutedDarkKnowledge(temperature=2.5)(signals), same)


def test_gradients():
    for loss in (ConfidenceWeighted(), PermutedDarkKnowledge(3.0, 0.3), PermutedDarkKnowledge(fixed=True)):
        check_gradients(loss, drawn(6, members=2))


def test_at_temperature_and_bad_settings():
    assert PermutedDarkKnowledge(fixed=True).at_temperature(3.0) == PermutedDarkKnowledge(3.0, fixed=True)
    for make in (
        lambda: PermutedDarkKnowledge(temperature=0.0),
        lambda: PermutedDarkKnowledge(hard_label_weight=1.5),
    ):
        with pytest.raises(ConfigError, match="give"):
            make()
