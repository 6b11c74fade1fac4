"""The methods on logits against numpy, finite differences, each other, and what they must not see."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ConfigError
from models.distill import METHODS, LogitMatching, Signals, SoftenedSoftmax, WeightedSum
from models.distill.losses.logit_relations import DecoupledKd, Dist, MultiLevelLogits
from models.distill.losses.logits import LogitStandardization, Sqakd
from models.distill.losses.teacher_free import LabelSmoothing, VirtualTeacher
from pipeline.config import file as config
from tests.conftest import TINY

from .signals import check_gradients, drawn

seeds, temperatures, shares = st.integers(0, 1000), st.floats(0.5, 20), st.floats(0, 1)


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def kl(p, q):
    return np.sum(p * np.log(p / q), axis=-1)


def cross_entropy(z, labels):
    return -np.mean(np.log(softmax(z))[np.arange(len(labels)), labels])


def z_scores(v):
    return (v - v.mean(axis=-1, keepdims=True)) / v.std(axis=-1, keepdims=True)


def arrays(signals):
    return signals.student.numpy(), signals.teacher.numpy(), signals.labels.numpy()


@settings(max_examples=25)
@given(seeds, temperatures, shares, st.integers(1, 4), st.sampled_from(["arithmetic", "geometric"]))
def test_weighted_ensembles(seed, temperature, share, members, mean):
    signals = drawn(seed, members)
    z, v, labels = arrays(signals)
    weights = np.random.default_rng(seed).uniform(0, 3, members)
    weights[0] += 0.1
    probabilities = softmax(v / temperature)
    if mean == "arithmetic":
        target = np.average(probabilities, axis=0, weights=weights)
    else:
        target = np.prod(probabilities ** (weights / weights.sum())[:, None, None], axis=0)
        target /= target.sum(axis=-1, keepdims=True)
    soft = temperature**2 * kl(target, softmax(z / temperature)).mean()
    loss = SoftenedSoftmax(temperature, share, mean, tuple(weights))
    expected = (1 - share) * soft + share * cross_entropy(z, labels)
    assert loss(signals).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_equal_weights_are_no_weights_and_zero_drops_a_member():
    signals = drawn(3, members=3)
    for mean in ("arithmetic", "geometric"):
        plain = SoftenedSoftmax(mean=mean)(signals)
        torch.testing.assert_close(SoftenedSoftmax(mean=mean, member_weights=(2, 2, 2))(signals), plain)
        without = replace(signals, teacher=signals.teacher[[0, 2]])
        dropped = SoftenedSoftmax(mean=mean, member_weights=(1.0, 0.0, 1.0))(signals)
        torch.testing.assert_close(dropped, SoftenedSoftmax(mean=mean)(without))
    one = drawn(3, members=1)
    torch.testing.assert_close(SoftenedSoftmax(mean="geometric")(one), SoftenedSoftmax()(one))


@settings(max_examples=25)
@given(seeds, temperatures, shares, st.floats(0, 3), st.floats(0.1, 9), st.integers(1, 3))
def test_decoupled(seed, temperature, share, alpha, beta, members):
    signals = drawn(seed, members)
    z, v, labels = arrays(signals)
    p, q = softmax(v / temperature).mean(axis=0), softmax(z / temperature)
    target_class = other_classes = 0.0
    for row, label in enumerate(labels):
        binary = [np.array([each[row, label], 1 - each[row, label]]) for each in (p, q)]
        target_class += kl(*binary) / len(z)
        others = [np.delete(each[row], label) for each in (p, q)]
        other_classes += kl(*(each / each.sum() for each in others)) / len(z)
    decoupled = temperature**2 * (alpha * target_class + beta * other_classes)
    expected = (1 - share) * decoupled + share * cross_entropy(z, labels)
    loss = DecoupledKd(temperature, alpha, beta, share, warmup=0.0)
    assert loss(signals).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_decoupled_is_distillation_where_beta_is_the_others_probability(seed):
    signals = drawn(seed, members=2, batch=1)
    _, v, labels = arrays(signals)
    other = 1 - softmax(v / 3).mean(axis=0)[0, labels[0]]
    coupled = DecoupledKd(3.0, alpha=1.0, beta=float(other), hard_label_weight=0.0, warmup=0.0)
    torch.testing.assert_close(coupled(signals), SoftenedSoftmax(3.0, 0.0)(signals))


def test_decoupled_rises_in_its_warmup():
    loss, signals = DecoupledKd(warmup=0.4, hard_label_weight=0.0), drawn(1)
    found = [loss(replace(signals, progress=progress)) for progress in (0.0, 0.1, 0.4, 1.0)]
    expected = loss(replace(signals, progress=1.0)) * torch.tensor([0.0, 0.25, 1.0, 1.0])
    torch.testing.assert_close(torch.stack(found), expected.to(found[0].dtype))


@settings(max_examples=25)
@given(seeds, temperatures, shares, st.floats(0, 3), st.floats(0.1, 3), st.integers(1, 3))
def test_dist(seed, temperature, share, beta, gamma, members):
    signals = drawn(seed, members)
    z, v, labels = arrays(signals)
    p, q = softmax(v / temperature).mean(axis=0), softmax(z / temperature)
    rows = np.mean([1 - np.corrcoef(p[i], q[i])[0, 1] for i in range(len(p))])
    columns = np.mean([1 - np.corrcoef(p[:, j], q[:, j])[0, 1] for j in range(p.shape[1])])
    expected = (1 - share) * (beta * rows + gamma * columns) + share * cross_entropy(z, labels)
    loss = Dist(temperature, beta, gamma, share)
    assert loss(signals).item() == pytest.approx(expected, rel=1e-7, abs=1e-9)


def test_dist_does_not_see_positive_affine_maps():
    """Rows a p + b of unit sum are mixtures with the uniform distribution."""
    signals, loss = drawn(2), Dist(1.0, hard_label_weight=0.0)
    p = torch.softmax(signals.teacher[0], dim=-1)
    share = torch.linspace(0.2, 0.9, len(p), dtype=p.dtype)[:, None]
    for mixed, columns_match in ((0.6 * p + 0.4 / 4, True), (share * p + (1 - share) / 4, False)):
        terms = loss.terms(replace(signals, student=mixed.log()))
        assert terms["inter_class"].item() == pytest.approx(0, abs=1e-12)
        assert (terms["intra_class"].item() < 1e-12) is columns_match
    turned = loss.terms(replace(signals, student=(1 - p).log()))
    assert turned["inter_class"].item() == pytest.approx(2 * loss.beta)


@settings(max_examples=25)
@given(seeds, temperatures, shares, st.integers(1, 3))
def test_logit_standardization(seed, temperature, share, members):
    signals = drawn(seed, members)
    z, v, labels = arrays(signals)
    p, q = softmax(z_scores(v) / temperature).mean(axis=0), softmax(z_scores(z) / temperature)
    expected = (1 - share) * temperature**2 * kl(p, q).mean() + share * cross_entropy(z, labels)
    assert LogitStandardization(temperature, share)(signals).item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "loss",
    [
        LogitStandardization(hard_label_weight=0.0),
        DecoupledKd(standardize=True, hard_label_weight=0.0),
        MultiLevelLogits(standardize=True, hard_label_weight=0.0),
    ],
    ids=lambda loss: loss.method,
)
def test_standardized_logits_have_no_shift_and_no_scale(loss):
    signals, rng = drawn(4, members=2), np.random.default_rng(4)
    shift, scale = (torch.tensor(rng.uniform(0.5, 3, (len(signals.student), 1))) for _ in range(2))
    moved = replace(signals, student=signals.student * scale - shift, teacher=signals.teacher * scale + shift)
    torch.testing.assert_close(loss(moved), loss(signals))
    assert loss(replace(signals, student=-signals.student)).item() != pytest.approx(loss(signals).item())
    plain = replace(loss, standardize=False) if hasattr(loss, "standardize") else SoftenedSoftmax(2.0, 0.0)
    assert plain(moved).item() != pytest.approx(plain(signals).item())


@settings(max_examples=25)
@given(seeds, st.lists(temperatures, min_size=1, max_size=3), shares, st.integers(1, 3))
def test_multi_level(seed, chosen, share, members):
    signals = drawn(seed, members)
    z, v, labels = arrays(signals)
    (batch, classes), found = z.shape, []
    for temperature in chosen:
        p, q = softmax(v / temperature).mean(axis=0), softmax(z / temperature)
        instance = temperature**2 * kl(p, q).mean()
        samples = np.linalg.norm(p @ p.T - q @ q.T) ** 2 / batch
        likeness = np.linalg.norm(p.T @ p - q.T @ q) ** 2 / classes
        found.append(instance + 2 * samples + 3 * likeness)
    expected = (1 - share) * np.mean(found) + share * cross_entropy(z, labels)
    loss = MultiLevelLogits(tuple(chosen), 1.0, 2.0, 3.0, share)
    assert loss(signals).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_multi_level_with_one_level_and_temperature_is_softened_softmax():
    signals = drawn(5, members=2)
    loss = MultiLevelLogits((3.0,), 1.0, 0.0, 0.0, 0.2)
    torch.testing.assert_close(loss(signals), SoftenedSoftmax(3.0, 0.2)(signals))


def test_sqakd_is_softened_softmax_without_labels():
    signals = drawn(6, members=3)
    torch.testing.assert_close(Sqakd(5.0)(signals), SoftenedSoftmax(5.0, 0.0)(signals))
    assert Sqakd().needs == {"teacher"}


@settings(max_examples=25)
@given(seeds, temperatures, shares, st.floats(0.05, 0.99))
def test_a_virtual_teacher_teaches_as_a_real_one(seed, temperature, share, correct):
    signals = drawn(seed)
    z, _, labels = arrays(signals)
    p = np.full(z.shape, (1 - correct) / (z.shape[1] - 1))
    p[np.arange(len(z)), labels] = correct
    real = replace(signals, teacher=torch.tensor(np.log(p))[None])
    expected = SoftenedSoftmax(temperature, share)(real).item()
    found = VirtualTeacher(temperature, correct, share)(signals).item()
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-11)


@pytest.mark.parametrize("share", [0.0, 0.7])
def test_a_virtual_teacher_at_temperature_one_smooths_labels(share):
    """With the cross-entropy beside it, too; up to the teacher's entropy, which no student changes."""
    correct, classes = 0.85, 4
    smoothing = (1 - share) * (1 - correct) * classes / (classes - 1)
    entropy = -(correct * np.log(correct) + (1 - correct) * np.log((1 - correct) / (classes - 1)))
    for seed in range(3):
        signals = drawn(seed)
        taught = VirtualTeacher(1.0, correct, share)(signals).item() + (1 - share) * entropy
        assert LabelSmoothing(smoothing)(signals).item() == pytest.approx(taught)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_label_smoothing(smoothing):
    signals = drawn(7)
    z, _, labels = arrays(signals)
    expected = (1 - smoothing) * cross_entropy(z, labels) - smoothing * np.log(softmax(z)).mean()
    assert LabelSmoothing(smoothing)(signals).item() == pytest.approx(expected)


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
def test_high_temperature_is_logit_matching(mean):
    """Section 2.1 of arXiv:1503.02531, for ensembles by either mean: the target is the mean of the logits."""
    signals = drawn(8, members=3)
    limit = LogitMatching()(signals).item()
    differences = [
        abs(SoftenedSoftmax(temperature, 0.0, mean)(signals).item() / limit - 1)
        for temperature in (10.0, 100.0, 1000.0)
    ]
    assert differences[0] > 5 * differences[1] > 25 * differences[2] and differences[2] < 5e-3
    sqakd, levels = Sqakd(1e4), MultiLevelLogits((1e4,), 1.0, 0.0, 0.0, 0.0)
    assert sqakd(signals).item() == pytest.approx(limit, rel=1e-3)
    assert levels(signals).item() == pytest.approx(limit, rel=1e-3)


SMOOTH = [
    SoftenedSoftmax(3.0, 0.2, "geometric", (1.0, 3.0)),
    SoftenedSoftmax(3.0, 0.2, "arithmetic", (1.0, 3.0)),
    LabelSmoothing(0.2),
    VirtualTeacher(),
    DecoupledKd(),
    DecoupledKd(standardize=True),
    Dist(),
    LogitStandardization(),
    MultiLevelLogits(),
    Sqakd(),
]


@pytest.mark.parametrize("loss", SMOOTH, ids=lambda loss: loss.method)
def test_gradients(loss):
    check_gradients(loss, replace(drawn(9, members=2), student_features={}))


@pytest.mark.parametrize("loss", SMOOTH, ids=lambda loss: loss.method)
def test_shifted_logits_are_the_same_logits(loss):
    signals = drawn(10, members=2)
    moved = replace(signals, student=signals.student + 7.0, teacher=signals.teacher - 3.0)
    torch.testing.assert_close(loss(moved), loss(signals))


@pytest.mark.parametrize(
    "loss", [SoftenedSoftmax(), DecoupledKd(), *SMOOTH[6:]], ids=lambda loss: loss.method
)
def test_least_at_the_teacher_itself(loss):
    soft = loss if isinstance(loss, Sqakd) else replace(loss, hard_label_weight=0.0)
    signals = drawn(11)
    assert soft(replace(signals, student=signals.teacher[0])).item() == pytest.approx(0, abs=1e-9)
    assert soft(signals).item() > 1e-3


@pytest.mark.parametrize("loss", SMOOTH, ids=lambda loss: loss.method)
@pytest.mark.parametrize("value", ["equal", "far"])
def test_extreme_logits_in_float32_have_finite_gradients(loss, value):
    """A student may give one logit to all classes, as quantized ones do at first, or be very sure."""
    signals = drawn(12, members=2)
    factor = 0.0 if value == "equal" else 1e3
    student = (signals.student * factor).float().requires_grad_()
    sure = replace(signals, student=student, teacher=(signals.teacher * 1e3).float())
    total = loss(sure)
    total.backward()
    assert torch.isfinite(total) and student.grad.abs().max() < 1e4


def test_other_temperatures():
    for name, method in METHODS.items():
        loss = method()
        if hasattr(loss, "temperature") and name in [each.method for each in SMOOTH]:
            assert loss.at_temperature(9.0) == replace(loss, temperature=9.0)
    assert MultiLevelLogits().at_temperature(9.0).temperatures == (9.0,)
    assert LabelSmoothing().at_temperature(9.0) == LabelSmoothing()


@pytest.mark.parametrize(
    "make",
    [
        lambda: SoftenedSoftmax(mean="harmonic"),
        lambda: SoftenedSoftmax(member_weights=(1.0, -1.0)),
        lambda: SoftenedSoftmax(member_weights=(0.0, 0.0)),
        lambda: SoftenedSoftmax(member_weights=(float("inf"),)),
        lambda: LabelSmoothing(1.5),
        lambda: VirtualTeacher(temperature=0.0),
        lambda: VirtualTeacher(correct=1.0),
        lambda: VirtualTeacher(correct=0.0),
        lambda: VirtualTeacher(hard_label_weight=2.0),
        lambda: DecoupledKd(temperature=-1.0),
        lambda: DecoupledKd(alpha=-1.0),
        lambda: DecoupledKd(alpha=0.0, beta=0.0),
        lambda: DecoupledKd(warmup=1.5),
        lambda: Dist(temperature=0.0),
        lambda: Dist(beta=0.0, gamma=0.0),
        lambda: Dist(gamma=-1.0),
        lambda: LogitStandardization(temperature=0.0),
        lambda: LogitStandardization(hard_label_weight=-0.1),
        lambda: MultiLevelLogits(temperatures=()),
        lambda: MultiLevelLogits(temperatures=(2.0, 0.0)),
        lambda: MultiLevelLogits(instance_weight=0.0, batch_weight=0.0, class_weight=0.0),
        lambda: MultiLevelLogits(class_weight=-1.0),
        lambda: Sqakd(temperature=0.0),
    ],
)
def test_refuses(make):
    with pytest.raises(ConfigError, match="give"):
        make()


def test_a_weight_for_each_member():
    weighted = SoftenedSoftmax(member_weights=(1.0, 2.0))
    WeightedSum(((1.0, weighted),)).check_members(2)
    with pytest.raises(ConfigError, match="2 member_weights for a teacher of 3 members; give"):
        WeightedSum(((1.0, Sqakd()), (1.0, weighted))).check_members(3)
    signals = drawn(0, members=3)
    with pytest.raises(ConfigError, match="member_weights"):
        weighted(Signals(signals.student, signals.teacher, signals.labels))


def test_the_build_file_is_checked_for_a_weight_each(tmp_path):
    file = tmp_path / "build.toml"

    def load(weights):
        text = TINY.format(name="tiny").replace(
            "temperature = 3.0,", f"temperature = 3.0, member_weights = {weights},"
        )
        file.write_text(text)
        return config.load(file)

    assert load("[1, 2.5]").distill.recipe().loss.parts[0][1].member_weights == (1.0, 2.5)
    with pytest.raises(ConfigError, match="3 member_weights for a teacher of 2 members"):
        load("[1, 2, 3]")
