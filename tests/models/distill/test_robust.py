"""The robust loss against numpy on networks whose gradients are known, and on a quantized student."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ConfigError
from common.topology import Conv, Dense, MaxPool, Topology
from models.distill.losses import AttentionGraph, Robust
from models.students.student import Student
from models.teachers import Mlp
from models.teachers.ensemble import TeacherConfig, make_transfer_set, train_ensemble
from models.training import TrainingConfig, silent
from tests.models.distilled import distill
from tests.models.networks import toy_dataset

from .signals import BATCH, CLASSES, FEATURES, drawn

seeds = st.integers(0, 10_000)


def network(seed):
    """A cubic network of the samples, s = W (x / 255) + (V (x / 255))^3: its gradient depends on x."""
    rng = np.random.default_rng(seed)
    w, v = rng.normal(size=(2, FEATURES, CLASSES))
    tensors = torch.tensor(w), torch.tensor(v)

    def ask(x):
        return (x / 255) @ tensors[0] + ((x / 255) @ tensors[1]) ** 3

    def value(x):
        return (x / 255) @ w + ((x / 255) @ v) ** 3

    def gradient(x, cls):
        """Of one logit of one sample, per full scale."""
        return w[:, cls] + 3 * ((x / 255) @ v[:, cls]) ** 2 * v[:, cls]

    return ask, value, gradient


def expected(signals, x, value, gradient, rivals, noisy):
    """Score and gradient, sample by sample and class by class."""
    t = signals.teacher.numpy().mean(axis=0)
    asked, answers = value(x), [signals.student.numpy()]
    if noisy:
        answers.append(value(x))
    score, steep = [], []
    for row, k in enumerate(t.argmax(axis=1)):
        others = [j for j in range(CLASSES) if j != k]
        for s in answers:
            score += [max(0, (t[row, k] - t[row, j]) - (s[row, k] - s[row, j])) for j in others]
        lengths = {j: np.sum((gradient(x[row], k) - gradient(x[row], j)) ** 2) for j in others}
        nearest = min(others, key=lambda j, row=row, k=k: asked[row, k] - asked[row, j])
        steep.append(lengths[nearest] if rivals == "nearest" else np.mean(list(lengths.values())))
    return np.mean(score), np.mean(steep)


def cross_entropy(z, y):
    return np.mean([np.log(np.exp(row).sum()) - row[label] for row, label in zip(z, y, strict=True)])


@settings(max_examples=20)
@given(seed=seeds, weights=st.tuples(*[st.floats(0.01, 5)] * 2), rivals=st.sampled_from(["nearest", "all"]))
def test_terms_are_the_formulas(seed, weights, rivals):
    ask, value, gradient = network(seed)
    signals = replace(drawn(seed, members=2), ask_student=ask)
    x = signals.x.numpy()
    found = Robust(*weights, noise=0.0, rivals=rivals, hard_label_weight=0.3).terms(signals)
    score, steep = expected(signals, x, value, gradient, rivals, noisy=False)
    assert found["score"].item() == pytest.approx(weights[0] * score, rel=1e-9)
    assert found["gradient"].item() == pytest.approx(weights[1] * steep, rel=1e-9)
    hard = cross_entropy(signals.student.numpy(), signals.labels.numpy())
    assert found["hard"].item() == pytest.approx(0.3 * hard, rel=1e-9)


@settings(max_examples=10)
@given(seed=seeds, noise=st.floats(1, 60))
def test_noisy_samples_are_bytes_and_count_as_much_as_clean_ones(seed, noise):
    ask, value, gradient = network(seed)
    seen = []

    def recorded(x):
        seen.append(x)
        return ask(x)

    signals = replace(drawn(seed), ask_student=recorded)
    torch.manual_seed(seed)
    found = Robust(1.0, 1.0, noise, hard_label_weight=1.0).terms(signals)
    torch.manual_seed(seed)
    drawn_noise = torch.randn(BATCH, FEATURES, dtype=torch.float64).numpy()
    x = np.clip(np.rint(signals.x.numpy() + noise * drawn_noise), 0, 255)
    (given_x,) = seen
    assert np.array_equal(given_x.detach().numpy(), x)
    score, steep = expected(signals, x, value, gradient, "nearest", noisy=True)
    assert found["score"].item() == pytest.approx(score, rel=1e-9)
    assert found["gradient"].item() == pytest.approx(steep, rel=1e-9)
    labels = signals.labels.numpy()
    hard = (cross_entropy(signals.student.numpy(), labels) + cross_entropy(value(x), labels)) / 2
    assert found["hard"].item() == pytest.approx(hard, rel=1e-9)


def test_a_student_as_sure_as_the_teacher_has_no_score_to_gain():
    signals = drawn(1)
    loss = Robust(gradient_weight=0.0, noise=0.0, hard_label_weight=0.0)
    assert loss(replace(signals, student=signals.teacher[0])).item() == 0
    assert loss(replace(signals, student=2 * signals.teacher[0] + 5)).item() == 0
    assert loss(replace(signals, student=0.9 * signals.teacher[0])).item() > 0


def test_weights_get_the_gradient_of_the_gradient():
    """By finite differences of a network's weights, through the double backpropagation."""
    signals = drawn(2)
    weights = torch.tensor(
        np.random.default_rng(2).normal(size=(FEATURES, CLASSES)) / 255, requires_grad=True
    )
    loss = Robust(0.0, 1.0, noise=0.0, rivals="all", hard_label_weight=0.0)

    def total(w):
        return loss(replace(signals, ask_student=lambda x: ((x @ w) ** 2) / 10))

    (found,) = torch.autograd.grad(total(weights), weights)
    for index in [(0, 0), (3, 1), (7, 2), (11, 3)]:
        sides = []
        for sign in (1, -1):
            moved = weights.detach().clone()
            moved[index] += sign * 1e-7
            sides.append(total(moved).item())
        assert found[index].item() == pytest.approx((sides[0] - sides[1]) / 2e-7, rel=1e-4)


def test_gradients_reach_every_weight_of_a_quantized_student():
    topology = Topology(
        (4, 4, 1), (Conv(4, (3, 3), 4, 4, padding=(1, 1)), MaxPool((2, 2)), Dense(6, 3, 3), Dense(3, 4, None))
    )
    torch.manual_seed(0)
    student = Student(topology).train()
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.integers(0, 256, (32, 16)).astype(np.float32))
    signals = replace(
        drawn(3, batch=32),
        student=student(x),
        teacher=torch.tensor(rng.normal(size=(1, 32, 3)).astype(np.float32)),
        x=x,
        ask_student=student,
    )
    loss = Robust(0.0, 1.0, hard_label_weight=0.0)
    total = loss(signals)
    assert total.item() > 0
    weights = [parameter for name, parameter in student.named_parameters() if name.endswith("linear.weight")]
    assert len(weights) == 3
    assert all(gradient.any() for gradient in torch.autograd.grad(total, weights))


@pytest.mark.parametrize("loss", [Robust(noise=8.0), AttentionGraph()])
def test_what_is_drawn_at_random_survives_a_kill(loss, tmp_path):
    """Noise and dropped heads are drawn anew in every step, the same in a run that was killed."""
    dataset = toy_dataset()
    topology = Topology((4, 4, 1), (Conv(4, (3, 3), 4, 3), Dense(6, 3, 2), Dense(3, 4, None)))
    training = TrainingConfig(3, 32, 1e-2, 1e-3, seed=1, checkpoint_every=1)
    config = TeacherConfig((Mlp((8, 8)),), training, members=1)
    members = train_ensemble(config, dataset).members
    examples = make_transfer_set(members, dataset, views=1)

    def run(checkpoint, progress):
        return distill(topology, dataset, examples, loss, training, checkpoint, progress, members=members)[0]

    def kill(label, done, total):
        if done == 2:
            raise KeyboardInterrupt

    whole = run(None, silent)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "student.safetensors", kill)
    resumed = run(tmp_path / "student.safetensors", silent)
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


def test_needs():
    assert Robust().needs == {"teacher", "networks", "labels"}
    assert Robust(hard_label_weight=0.0).needs == {"teacher", "networks"}


@pytest.mark.parametrize(
    "make",
    [
        lambda: Robust(score_weight=-1.0),
        lambda: Robust(gradient_weight=float("inf")),
        lambda: Robust(noise=-1.0),
        lambda: Robust(0.0, 0.0),
        lambda: Robust(hard_label_weight=-0.5),
    ],
)
def test_refuses(make):
    with pytest.raises(ConfigError, match="give"):
        make()
