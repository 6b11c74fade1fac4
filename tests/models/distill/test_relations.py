"""Losses on the relations between samples against numpy, one sample, pair or triplet at a time."""

from dataclasses import replace
from itertools import permutations
from math import exp, factorial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ConfigError
from models.distill.features import Shapes
from models.distill.losses import CorrelationCongruence, Relational, RelationshipGraph

from .signals import BATCH, SHAPES, STUDENT, TEACHER, check_gradients, drawn

seeds = st.integers(0, 10_000)
LAST = ("layer2", "layers.9")
EQUAL = (("layer1", "layers.5"), ("layer2", "layers.9"))


def flat(features, name):
    return features[name].numpy().reshape(len(features[name]), -1)


def cross_entropy(signals):
    z, y = signals.student.numpy(), signals.labels.numpy()
    return np.mean([np.log(np.exp(row).sum()) - row[label] for row, label in zip(z, y, strict=True)])


def huber(x, y):
    d = abs(x - y)
    return d * d / 2 if d <= 1 else d - 0.5


def rkd(s, t, distance, angle):
    """By the formulas of the paper, over all ordered pairs and triplets of distinct samples."""
    pairs = list(permutations(range(len(s)), 2))

    def distances(e):
        found = {(i, j): np.linalg.norm(e[i] - e[j]) for i, j in pairs}
        mean = np.mean(list(found.values()))
        return {pair: value / mean for pair, value in found.items()}

    def cosine(e, i, j, k):
        a, b = e[i] - e[j], e[k] - e[j]
        length = np.linalg.norm(a) * np.linalg.norm(b)
        return a @ b / length if length else 0.0

    ds, dt = distances(s), distances(t)
    first = np.mean([huber(ds[pair], dt[pair]) for pair in pairs])
    triplets = list(permutations(range(len(s)), 3))
    second = np.mean([huber(cosine(s, *each), cosine(t, *each)) for each in triplets])
    return distance * first + angle * second


@settings(max_examples=20)
@given(seed=seeds, distance=st.floats(0.1, 30), angle=st.floats(0.1, 60))
def test_rkd_is_the_papers(seed, distance, angle):
    signals = drawn(seed, members=2)
    s, t = flat(signals.student_features, LAST[0]), flat(signals.teacher_features, LAST[1])
    found = Relational(distance, angle, hard_label_weight=0.0)(signals).item()
    assert found == pytest.approx(rkd(s, t, distance, angle), rel=1e-9)
    loss = Relational(distance, angle, embedding="logits", hard_label_weight=0.5)
    wanted = rkd(signals.student.numpy(), signals.teacher.mean(0).numpy(), distance, angle)
    assert loss(signals).item() == pytest.approx(wanted + 0.5 * cross_entropy(signals), rel=1e-9)


def test_rkd_of_samples_that_coincide():
    """Their directions count as 0, for narrow embeddings and for wide ones."""
    for pairs in ((LAST,), (("layer0", "layers.5"),)):
        signals = drawn(2, batch=8)
        (own, other) = pairs[0]
        signals.student_features[own][3:5] = signals.student_features[own][:1]
        s, t = flat(signals.student_features, own), flat(signals.teacher_features, other)
        found = Relational(pairs=pairs, hard_label_weight=0.0)(signals).item()
        assert found == pytest.approx(rkd(s, t, 25.0, 50.0), rel=1e-9)


def test_rkd_takes_the_pair_that_is_named():
    signals = drawn(3)
    s, t = flat(signals.student_features, "layer0"), flat(signals.teacher_features, "layers.5")
    loss = Relational(pairs=(("layer0", "layers.5"),), hard_label_weight=0.0)
    assert loss(signals).item() == pytest.approx(rkd(s, t, 25.0, 50.0), rel=1e-9)


@settings(max_examples=15)
@given(seed=seeds, scale=st.floats(0.01, 100), shift=st.floats(-3, 3))
def test_rkd_ignores_scale_place_and_rotation_of_either_network(seed, scale, shift):
    signals = drawn(seed)
    loss = Relational(hard_label_weight=0.0)
    wanted = {name: term.item() for name, term in loss.terms(signals).items()}
    for side, name in (("student_features", LAST[0]), ("teacher_features", LAST[1])):
        features = getattr(signals, side)
        width = features[name].shape[1]
        turn = torch.tensor(np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0])
        moved = torch.einsum("bchw,dc->bdhw", features[name], turn) * scale + shift
        found = loss.terms(replace(signals, **{side: {**features, name: moved}}))
        for term, value in wanted.items():
            assert found[term].item() == pytest.approx(value, rel=1e-6), (side, term)


def test_rkd_is_zero_at_the_teachers_own_relations():
    signals = drawn(4)
    same = {**signals.student_features, LAST[0]: 3.0 * signals.teacher_features[LAST[1]]}
    terms = Relational(hard_label_weight=0.0).terms(replace(signals, student_features=same))
    assert terms["distance"].item() == pytest.approx(0, abs=1e-12)
    assert terms["angle"].item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("loss", [Relational(), RelationshipGraph(), CorrelationCongruence()])
def test_samples_that_a_coarse_student_does_not_tell_apart(loss):
    """Quantized students give some samples, or all, the same features; gradients stay tame."""
    signals = drawn(5)
    for rows in (2, BATCH):
        features = {name: value.clone() for name, value in signals.student_features.items()}
        for value in features.values():
            value[:rows] = 0.0
            value.requires_grad_()
        total = loss(replace(signals, student_features=features))
        gradients = torch.autograd.grad(total, list(features.values()), allow_unused=True)
        assert torch.isfinite(total)
        assert all(each.abs().max() < 1e3 for each in gradients if each is not None)


@pytest.mark.parametrize(
    "loss",
    [
        Relational(),
        Relational(pairs=(("layer0", "layers.5"),)),
        Relational(embedding="logits"),
        RelationshipGraph(1.0, 1.0, 1.0),
        RelationshipGraph(1.0, 1.0, 1.0, pairs=EQUAL),
        CorrelationCongruence(order=3),
        CorrelationCongruence(embedding="logits"),
    ],
)
def test_gradients_by_finite_differences(loss):
    check_gradients(loss, drawn(6, batch=4))


def pooled(features, names):
    return [features[name].numpy().mean(axis=(2, 3)) for name in names]


def gap(s, t):
    return np.sum((s - t) ** 2) / (2 * len(s))


def edges(v):
    found = np.array([[np.sum((a - b) ** 2) for b in v] for a in v])
    return found / found.max()


def change(first, last):
    found = np.array([np.sum((b - a) ** 2) for a, b in zip(first, last, strict=True)])
    return found / found.max()


@settings(max_examples=20)
@given(seed=seeds, weights=st.tuples(*[st.floats(0.01, 5)] * 3))
def test_relationship_graph_is_the_papers(seed, weights):
    signals = drawn(seed, members=3)
    found = RelationshipGraph(*weights, hard_label_weight=0.7).terms(signals)
    s = [edges(each) for each in pooled(signals.student_features, STUDENT)]
    t = [edges(each) for each in pooled(signals.teacher_features, ("layers.3", "layers.5", "layers.9"))]
    logits = signals.student.numpy(), signals.teacher.numpy().mean(axis=0)
    wanted = {
        "vertices": weights[0] * gap(*logits),
        "edges": weights[1] * sum(map(gap, s, t)),
        "transformation": weights[2] * (gap(s[1] - s[0], t[1] - t[0]) + gap(s[2] - s[1], t[2] - t[1])),
        "hard": 0.7 * cross_entropy(signals),
    }
    assert {name: term.item() for name, term in found.items()} == pytest.approx(wanted, rel=1e-9)


def test_vertices_move_from_layer_to_layer_where_widths_agree():
    """Layers of one width in the student, and of another one in the teacher, as in a ResNet's stage."""
    signals = drawn(7)
    rng = np.random.default_rng(7)
    more_student = {**signals.student_features, "layer3": torch.tensor(rng.normal(size=(BATCH, 7, 2, 2)))}
    more_teacher = {**signals.teacher_features, "layers.7": torch.tensor(rng.normal(size=(BATCH, 8, 3, 3)))}
    signals = replace(signals, student_features=more_student, teacher_features=more_teacher)
    pairs = (("layer2", "layers.7"), ("layer3", "layers.9"))
    found = RelationshipGraph(0.0, 0.0, 1.0, pairs, hard_label_weight=0.0)(signals).item()
    s, t = pooled(more_student, ("layer2", "layer3")), pooled(more_teacher, ("layers.7", "layers.9"))
    wanted = gap(edges(s[1]) - edges(s[0]), edges(t[1]) - edges(t[0])) + gap(change(*s), change(*t))
    assert found == pytest.approx(wanted, rel=1e-9)


def test_edges_ignore_the_scale_of_either_network():
    signals = drawn(8)
    loss = RelationshipGraph(0.0, 1.0, 1.0, hard_label_weight=0.0)
    larger = {name: 5.0 * value for name, value in signals.student_features.items()}
    assert loss(replace(signals, student_features=larger)).item() == pytest.approx(loss(signals).item())


def kernel(e, gamma, order):
    unit = e / np.linalg.norm(e, axis=1, keepdims=True)
    series = [(2 * gamma) ** p / factorial(p) * (unit @ unit.T) ** p for p in range(order + 1)]
    return exp(-2 * gamma) * sum(series)


@settings(max_examples=20)
@given(seed=seeds, gamma=st.floats(0.1, 2), order=st.integers(1, 5))
def test_correlation_congruence_is_the_papers(seed, gamma, order):
    signals = drawn(seed)
    s, t = flat(signals.student_features, LAST[0]), flat(signals.teacher_features, LAST[1])
    loss = CorrelationCongruence(3.0, gamma, order, hard_label_weight=0.0)
    wanted = 3.0 * np.mean((kernel(s, gamma, order) - kernel(t, gamma, order)) ** 2)
    assert loss(signals).item() == pytest.approx(wanted, rel=1e-9, abs=1e-15)


def test_the_series_tends_to_the_gaussian():
    signals = drawn(9)
    loss = CorrelationCongruence(1.0, 0.7, order=20, embedding="logits", hard_label_weight=0.0)

    def gaussian(e):
        unit = e / np.linalg.norm(e, axis=1, keepdims=True)
        return np.exp(-0.7 * np.sum((unit[:, None] - unit[None, :]) ** 2, axis=2))

    wanted = np.mean((gaussian(signals.student.numpy()) - gaussian(signals.teacher[0].numpy())) ** 2)
    assert loss(signals).item() == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Relational(distance_weight=-1.0),
        lambda: Relational(0.0, 0.0),
        lambda: Relational(hard_label_weight=float("nan")),
        lambda: Relational(pairs=(("layer9", "layers.9"),)).adapters(SHAPES),
        lambda: RelationshipGraph(0.0, 0.0, 0.0),
        lambda: RelationshipGraph(edge_weight=-0.1),
        lambda: RelationshipGraph(pairs=(LAST,)).adapters(SHAPES),
        lambda: CorrelationCongruence(gamma=0.0),
        lambda: CorrelationCongruence(order=0),
    ],
)
def test_refuses(make):
    with pytest.raises(ConfigError, match=r"give|did you mean|name them"):
        make()


@pytest.mark.parametrize("loss", [Relational(), RelationshipGraph(), CorrelationCongruence()])
def test_refuses_students_without_hidden_layers(loss):
    with pytest.raises(ConfigError, match="the student has no hidden layers"):
        loss.adapters(Shapes({}, TEACHER, 4))


def test_logits_need_no_hidden_layers():
    for loss in (Relational(embedding="logits"), CorrelationCongruence(embedding="logits")):
        assert loss.adapters(Shapes({}, {}, 4)) is None and loss.needs == {"teacher", "labels"}
