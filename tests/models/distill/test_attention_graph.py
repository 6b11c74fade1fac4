"""The losses of attention graphs against numpy, and what their terms train."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ConfigError
from models.distill.features import Shapes
from models.distill.losses import AttentionGraph
from models.distill.losses.adapters import compress

from .signals import BATCH, SHAPES, TEACHER, adapters, check_gradients, drawn

seeds = st.integers(0, 10_000)
LAST = ("layer2", "layers.9")


def positive(seed, **more):
    """Signals whose features are those behind a ReLU, with a gap between singular values."""
    signals = drawn(seed, **more)
    student = {name: value.abs() for name, value in signals.student_features.items()}
    teacher = {name: value.abs() for name, value in signals.teacher_features.items()}
    return replace(signals, student_features=student, teacher_features=teacher)


def singular(features):
    """The first right-singular vectors, by numpy's decomposition, of positive sum."""
    found = []
    for sample in features.numpy():
        vector = np.linalg.svd(sample.reshape(len(sample), -1).T)[2][0]
        found.append(vector * np.sign(vector.sum()))
    return np.array(found)


@settings(max_examples=20)
@given(seed=seeds)
def test_compression_is_the_first_singular_vector(seed):
    for value in positive(seed).teacher_features.values():
        np.testing.assert_allclose(compress(value).numpy(), singular(value), atol=2e-3)
    one = drawn(seed).teacher_features["layers.9"]
    assert torch.allclose(compress(one), one[:, :, 0, 0] / one[:, :, 0, 0].norm(dim=1, keepdim=True))
    assert not compress(torch.zeros(2, 3, 4, 4)).any()


def log_softmax(x):
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def embed(x, linear, norm):
    y = x @ linear.weight.detach().numpy().T + linear.bias.detach().numpy()
    normal = (y - y.mean(axis=0)) / np.sqrt(y.var(axis=0) + norm.eps)
    return normal * norm.weight.detach().numpy() + norm.bias.detach().numpy()


def scores(attention, before, behind):
    send = embed(behind, attention.sender, attention.sender_norm)
    receive = embed(before, attention.receiver, attention.receiver_norm)
    split = [each.reshape(len(each), attention.heads, -1).transpose(1, 0, 2) for each in (send, receive)]
    return np.einsum("hid,hjd->hij", *split) / np.sqrt(split[0].shape[2])


def prepared(loss, seed=0):
    """Adapters whose batch-norms are unlike those at first."""
    made = adapters(loss, seed)
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for module in made.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                module.weight.copy_(torch.tensor(rng.uniform(0.5, 2, module.num_features)))
                module.bias.copy_(torch.tensor(rng.normal(size=module.num_features)))
    return made


def vectors(signals, made):
    teacher = [compress(signals.teacher_features[name]).numpy() for _, name in made.pairs]
    student = [compress(signals.student_features[name]).numpy() for name, _ in made.pairs]
    for place, fit in enumerate(made.fits):
        if isinstance(fit, torch.nn.Linear):
            mapped = student[place] @ fit.weight.detach().numpy().T
            student[place] = mapped / np.linalg.norm(mapped, axis=1, keepdims=True)
    return student, teacher


@pytest.mark.parametrize("seed", range(4))
def test_attention_graph_is_the_papers(seed):
    signals, heads = positive(seed), 3
    loss = AttentionGraph(2.5, heads, hard_label_weight=0.0)
    made = prepared(loss, seed)
    student, teacher = vectors(signals, made)
    torch.manual_seed(11)
    found = loss.terms(signals, made)
    torch.manual_seed(11)
    attention = graph = 0.0
    for place, (head, estimator) in enumerate(zip(made.attention, made.estimators, strict=True)):
        before, behind = teacher[place], teacher[place + 1]
        learned = np.exp(log_softmax(scores(head, before, behind)))
        noise = torch.randn(heads, BATCH, 1, dtype=torch.float64).numpy()
        kept = learned * (noise > noise.mean(axis=0))
        hidden = np.maximum(embed(before, estimator.embed[0], estimator.embed[1]), 0)
        mixed = np.concatenate([each @ hidden for each in kept], axis=1)
        join = estimator.join.weight.detach().numpy(), estimator.join.bias.detach().numpy()
        estimated = mixed @ join[0].T + join[1]
        attention += np.mean(1 - np.sum(estimated * behind, axis=1) / np.linalg.norm(estimated, axis=1))
        own, target = (
            log_softmax(np.tanh(scores(head, side[place], side[place + 1]))) for side in (student, teacher)
        )
        graph += np.mean(np.sum(np.exp(own) * (own - target), axis=-1))
    assert found["attention"].item() == pytest.approx(attention, rel=1e-9)
    assert found["graph"].item() == pytest.approx(2.5 * graph, rel=1e-9)
    assert found["graph"].item() > 0


def test_the_graph_does_not_weigh_before_the_heads_have_learned():
    loss, signals = AttentionGraph(attention_first=0.4), positive(1)
    made = adapters(loss)
    for progress, weighs in ((0.0, False), (0.39, False), (0.4, True), (0.9, True)):
        found = loss.terms(replace(signals, progress=progress), made)
        assert bool(found["graph"].item()) == weighs and found["attention"].item() > 0


def test_heads_learn_of_the_teacher_alone_and_fits_of_the_student():
    loss, signals = AttentionGraph(hard_label_weight=0.0), positive(2)
    made = prepared(loss)
    features = {name: value.clone().requires_grad_() for name, value in signals.student_features.items()}
    found = loss.terms(replace(signals, student_features=features), made)

    def reached(term):
        targets = {**dict(made.named_parameters()), **features}
        gradients = torch.autograd.grad(term, list(targets.values()), retain_graph=True, allow_unused=True)
        return {name for name, each in zip(targets, gradients, strict=True) if each is not None}

    names = {name for name, _ in made.named_parameters()}
    fits = {name for name in names if name.startswith("fits")}
    assert reached(found["attention"]) == names - fits
    assert reached(found["graph"]) == fits | set(features)


def test_students_of_the_teachers_widths_need_no_fit_and_have_no_divergence():
    loss = AttentionGraph(hard_label_weight=0.0)
    made = loss.adapters(Shapes(TEACHER, TEACHER, 4)).double()
    assert all(isinstance(fit, torch.nn.Identity) for fit in made.fits)
    signals = positive(3)
    twin = replace(signals, student_features=signals.teacher_features)
    assert loss.terms(twin, made)["graph"].item() == pytest.approx(0, abs=1e-12)


def test_the_students_vectors_can_learn_the_graph():
    """Wide heads do not saturate: a few dozen steps bring the divergence down."""
    shapes = Shapes({"layer0": (24, 1, 1), "layer1": (16, 1, 1)}, {"a": (256, 1, 1), "b": (128, 1, 1)}, 4)
    rng = np.random.default_rng(0)

    def features(shapes):
        return {name: torch.tensor(rng.normal(size=(16, *shape))).abs() for name, shape in shapes.items()}

    own = {name: value.requires_grad_() for name, value in features(shapes.student).items()}
    signals = replace(drawn(0), student_features=own, teacher_features=features(shapes.teacher))
    torch.manual_seed(0)
    loss = AttentionGraph(1.0, hard_label_weight=0.0)
    made = loss.adapters(shapes).double()
    optimizer = torch.optim.Adam([*own.values(), *made.fits.parameters()], lr=0.05)
    found = []
    for _ in range(60):
        optimizer.zero_grad()
        graph = loss.terms(signals, made)["graph"]
        graph.backward()
        optimizer.step()
        found.append(graph.item())
    assert found[-1] < 0.2 * found[0]


def test_samples_that_give_the_student_nothing_pass_no_gradient():
    loss, signals = AttentionGraph(hard_label_weight=0.0), positive(5)
    features = {name: value.clone() for name, value in signals.student_features.items()}
    for value in features.values():
        value[:2] = 0.0
        value.requires_grad_()
    total = loss(replace(signals, student_features=features), prepared(loss))
    gradients = torch.autograd.grad(total, list(features.values()))
    assert all(not each[:2].any() and 0 < each.abs().max() < 1e3 for each in gradients)


def test_attention_graph_gradients_by_finite_differences():
    loss, signals = AttentionGraph(heads=2), positive(4, batch=4)

    class Fixed:
        """The same heads are dropped in every evaluation."""

        def __init__(self, made):
            self.made = made

        def __getattr__(self, name):
            torch.manual_seed(0)
            return getattr(self.made, name)

    check_gradients(loss, signals, Fixed(prepared(loss)), most=12)


@pytest.mark.parametrize(
    "make",
    [
        lambda: AttentionGraph(heads=0),
        lambda: AttentionGraph(graph_weight=0.0),
        lambda: AttentionGraph(attention_first=1.0),
        lambda: AttentionGraph(attention_first=-0.1),
        lambda: AttentionGraph(pairs=(LAST,)).adapters(SHAPES),
        lambda: AttentionGraph().adapters(Shapes({}, TEACHER, 4)),
    ],
)
def test_refuses(make):
    with pytest.raises(ConfigError, match=r"give|name them|no hidden layers"):
        make()
