"""Losses on features against independent numpy computations, finite differences, and their invariances."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import norm, ortho_group

from common.errors import ConfigError
from models.distill.features import Shapes
from models.distill.losses import (
    AttentionTransfer,
    FitNetHints,
    FlowOfSolution,
    SimilarityPreserving,
    VariationalInformation,
)

from .signals import BATCH, SHAPES, adapters, check_gradients, drawn

AUTOMATIC = (("layer0", "layers.3"), ("layer1", "layers.5"), ("layer2", "layers.9"))
CROSSED = (("layer0", "layers.5"), ("layer1", "layers.2"))  # of other sizes, each way
LOSSES = (
    FitNetHints(),
    FitNetHints(CROSSED),
    AttentionTransfer(),
    AttentionTransfer(3.0, CROSSED),
    AttentionTransfer(1.0),
    FlowOfSolution(),
    FlowOfSolution(CROSSED),
    VariationalInformation(),
    VariationalInformation(0.3, CROSSED),
    SimilarityPreserving(),
    SimilarityPreserving(CROSSED),
)
seeds = pytest.mark.parametrize("seed", range(4))


def pool(x, size, how):
    """Over the pixels, n of them in m windows: window i is floor(i n / m) to ceil((i + 1) n / m)."""
    (high, wide), found = x.shape[2:], np.empty((*x.shape[:2], *size))
    for i, j in np.ndindex(*size):
        rows = slice(i * high // size[0], -(-(i + 1) * high // size[0]))
        columns = slice(j * wide // size[1], -(-(j + 1) * wide // size[1]))
        found[:, :, i, j] = how(x[:, :, rows, columns], axis=(2, 3))
    return found


def to_smaller(first, second, how=np.mean):
    size = np.minimum(first.shape[2:], second.shape[2:])
    return pool(first, size, how), pool(second, size, how)


def values(signals, pairs):
    return [
        (signals.student_features[own].numpy(), signals.teacher_features[other].numpy())
        for own, other in pairs
    ]


def convolved(x, module):
    weight = module.weight.detach().numpy()[:, :, 0, 0]
    y = np.einsum("oi,bihw->bohw", weight, x)
    return y if module.bias is None else y + module.bias.detach().numpy()[None, :, None, None]


@seeds
@pytest.mark.parametrize("pairs", [(), CROSSED], ids=["automatic", "crossed"])
def test_hints_are_half_the_mean_squared_difference(seed, pairs):
    loss, signals = FitNetHints(pairs), drawn(seed)
    made, expected = adapters(loss, seed), 0.0
    assert made.pairs == (pairs or (AUTOMATIC[1],))  # the middle
    for regressor, both in zip(made, values(signals, made.pairs), strict=True):
        own, other = to_smaller(*both)
        expected += np.mean((convolved(own, regressor.channels) - other) ** 2) / 2
    assert loss(signals, made).item() == pytest.approx(expected, rel=1e-9)


def test_hints_vanish_where_the_regressor_hits_the_hint():
    loss, signals = FitNetHints((("layer0", "layers.3"),)), drawn(3)
    made = adapters(loss)
    hit = made[0].channels(signals.student_features["layer0"]).detach()
    assert loss(replace(signals, teacher_features={"layers.3": hit}), made).item() == 0


def attention(x, power):
    return (np.abs(x) ** power).sum(axis=1, keepdims=True)


@seeds
@pytest.mark.parametrize("power", [1.0, 2.0, 3.5])
@pytest.mark.parametrize("pairs", [(), CROSSED], ids=["automatic", "crossed"])
def test_attention_is_one_minus_the_cosine_of_the_maps(seed, power, pairs):
    loss, signals = AttentionTransfer(power, pairs), drawn(seed)
    made, expected = adapters(loss), 0.0
    assert made.pairs == (pairs or AUTOMATIC[:2])  # layer2 has one pixel
    for own, other in values(signals, made.pairs):
        maps = to_smaller(attention(own, power), attention(other, power))
        q, p = (each.reshape(BATCH, -1) for each in maps)
        expected += np.mean(1 - (q * p).sum(1) / np.sqrt((q**2).sum(1) * (p**2).sum(1)))
    assert loss(signals, made).item() == pytest.approx(expected, rel=1e-9)


def test_attention_sees_neither_channels_nor_signs_nor_gains():
    loss, signals = AttentionTransfer(), drawn(5)
    gains = torch.rand(BATCH, 1, 1, 1, dtype=torch.float64) + 0.5
    other = {name: -gains * each.flip(1) for name, each in signals.student_features.items()}
    moved = loss(replace(signals, student_features=other), adapters(loss))
    torch.testing.assert_close(moved, loss(signals, adapters(loss)))
    spread = {name: each[:, [0, 0, 0, 0]] for name, each in signals.student_features.items()}
    own = {name: each[:, :1] for name, each in signals.student_features.items()}
    same = Shapes(SHAPES.student, SHAPES.student, SHAPES.classes)
    found = loss(replace(signals, student_features=own, teacher_features=spread), loss.adapters(same))
    assert found.item() == pytest.approx(0, abs=1e-15)


def test_attention_needs_pixels():
    with pytest.raises(ConfigError, match=r"'layer2' and 'layers.3' have one pixel in common"):
        AttentionTransfer(pairs=(("layer0", "layers.3"), ("layer2", "layers.3"))).adapters(SHAPES)
    dense = Shapes({"layer0": (5, 1, 1)}, {"layers.3": (8, 1, 1)}, 3)
    with pytest.raises(ConfigError, match="no layers of student and teacher have more than one pixel"):
        AttentionTransfer().adapters(dense)


@seeds
@pytest.mark.parametrize("pairs", [(), CROSSED, AUTOMATIC], ids=["automatic", "crossed", "to one pixel"])
def test_fsp_matrices_are_mean_products(seed, pairs):
    loss, signals = FlowOfSolution(pairs), drawn(seed)
    made, expected = adapters(loss, seed), 0.0
    assert made.pairs == (pairs or AUTOMATIC[:2])  # layer2 has one pixel
    layers = values(signals, made.pairs)
    for at in range(len(layers) - 1):
        own = to_smaller(layers[at][0], layers[at + 1][0], np.max)
        other = to_smaller(layers[at][1], layers[at + 1][1], np.max)
        own = [convolved(x, made[at + side]) for side, x in enumerate(own)]
        g, h = (
            sum(np.einsum("bi,bj->bij", a[:, :, s, t], b[:, :, s, t]) for s, t in np.ndindex(*a.shape[2:]))
            / (a.shape[2] * a.shape[3])
            for a, b in (own, other)
        )
        expected += np.mean((g - h) ** 2)
    assert loss(signals, made).item() == pytest.approx(expected, rel=1e-9)


def test_fsp_of_equal_channels_needs_no_adapter_and_vanishes_at_the_teacher():
    twins = Shapes(SHAPES.student, SHAPES.student, SHAPES.classes)
    loss, signals = FlowOfSolution(tuple(zip(SHAPES.student, SHAPES.student, strict=True))), drawn(4)
    made = loss.adapters(twins)
    assert not list(made.parameters())
    alike = replace(signals, teacher_features=signals.student_features)
    assert loss(alike, made).item() == 0
    # The flow forgets where in the picture it was: pixels may move, the same way in both layers.
    pairs = (("layer0", "layer0"), ("layer3", "layer3"))
    student = {"layer0": (3, 4, 4), "layer3": (2, 4, 4)}
    own = {
        "layer0": signals.student_features["layer0"],
        "layer3": signals.teacher_features["layers.2"][:, :2],
    }
    mixed = {name: each.flip(2).roll(1, dims=3) for name, each in own.items()}
    made = FlowOfSolution(pairs).adapters(Shapes(student, student, 4))
    found = FlowOfSolution(pairs)(replace(signals, student_features=own, teacher_features=mixed), made)
    assert found.item() == pytest.approx(0, abs=1e-20)


def test_fsp_takes_dense_layers_where_there_are_no_others():
    dense = Shapes({"layer0": (5, 1, 1), "layer1": (4, 1, 1)}, {"layers.3": (8, 1, 1)}, 3)
    assert FlowOfSolution().adapters(dense).pairs == (("layer0", "layers.3"), ("layer1", "layers.3"))


def test_fsp_wants_two_pairs():
    with pytest.raises(ConfigError, match="fsp: wants 2 pairs"):
        FlowOfSolution((("layer0", "layers.3"),)).adapters(SHAPES)


@seeds
@pytest.mark.parametrize("pairs", [(), CROSSED], ids=["automatic", "crossed"])
def test_variational_information_is_a_gaussians_log_likelihood(seed, pairs):
    loss, signals = VariationalInformation(2.0, pairs), drawn(seed)
    made, expected = adapters(loss, seed), 0.0
    assert made.pairs == (pairs or AUTOMATIC)
    for gaussian, both in zip(made, values(signals, made.pairs), strict=True):
        np.testing.assert_allclose(gaussian.variance.detach(), 2.0, rtol=1e-6)
        gaussian.raw.data += torch.linspace(-3, 3, len(gaussian.raw), dtype=torch.float64)[:, None, None]
        own, other = to_smaller(*both)
        variance = np.logaddexp(0, gaussian.raw.detach().numpy()) + 1e-5
        density = norm.logpdf(other, convolved(own, gaussian.channels), np.sqrt(variance))
        expected -= np.mean(density) + np.log(2 * np.pi) / 2
    assert loss(signals, made).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("variance", [1e-6, 1e-3, 1.0, 5.0, 1e3])
def test_variance_begins_as_asked(variance):
    for gaussian in adapters(VariationalInformation(variance)):
        np.testing.assert_allclose(gaussian.variance.detach(), max(variance, 2e-5), rtol=1e-3)


def test_variance_settles_at_the_mean_squared_error_of_its_channel():
    loss, signals = VariationalInformation(pairs=AUTOMATIC[:1]), drawn(2)
    made = adapters(loss)
    mean, target = made[0](signals.student_features["layer0"], signals.teacher_features["layers.3"])
    error = (mean - target).square().mean(dim=(0, 2, 3)).detach() - 1e-5
    made[0].raw.data = torch.log(torch.expm1(error))[:, None, None]
    (slope,) = torch.autograd.grad(loss(signals, made), made[0].raw)
    np.testing.assert_allclose(slope, 0, atol=1e-12)


@seeds
@pytest.mark.parametrize("pairs", [(), CROSSED], ids=["automatic", "crossed"])
def test_similarities_are_preserved(seed, pairs):
    loss, signals = SimilarityPreserving(pairs), drawn(seed)
    made, expected = adapters(loss), 0.0
    assert made.pairs == (pairs or AUTOMATIC)
    for both in values(signals, made.pairs):
        matrices = []
        for feature in both:
            flat = [row.ravel() for row in feature]
            rows = np.array([[a @ b for b in flat] for a in flat])
            matrices.append([row / np.sqrt((row**2).sum()) for row in rows])
        expected += np.sum(np.subtract(*matrices) ** 2) / BATCH**2
    assert loss(signals, made).item() == pytest.approx(expected, rel=1e-9)


def test_similarities_survive_rotations_and_gains():
    loss, signals = SimilarityPreserving(), drawn(6)
    turned = {}
    for name, each in signals.student_features.items():
        flat = each.flatten(1)
        rotation = torch.tensor(ortho_group.rvs(flat.shape[1], random_state=1))
        turned[name] = 3 * (flat @ rotation).reshape(each.shape)
    moved = loss(replace(signals, student_features=turned), adapters(loss))
    torch.testing.assert_close(moved, loss(signals, adapters(loss)))


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_gradients_by_finite_differences(loss):
    check_gradients(loss, drawn(7), adapters(loss), most=12)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_dead_features_leave_finite_gradients(loss):
    """Quantized activations are often zero, of whole samples and layers."""
    signals = drawn(8)
    dead = {name: each.clone() for name, each in signals.student_features.items()}
    dead["layer0"][:] = 0
    dead["layer1"][0] = 0
    dead["layer2"][1] = 0
    dead = {name: each.requires_grad_() for name, each in dead.items()}
    total = loss(replace(signals, student_features=dead), adapters(loss))
    found = torch.autograd.grad(total, list(dead.values()), allow_unused=True)
    assert all(torch.isfinite(each).all() and each.abs().max() < 1e3 for each in found if each is not None)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AttentionTransfer(0.5), "power is 0.5; give"),
        (lambda: AttentionTransfer(float("inf")), "power is inf; give"),
        (lambda: VariationalInformation(0.0), "variance is 0.0; give"),
        (lambda: FitNetHints((("layer9", "layers.3"),)).adapters(SHAPES), "student has no hidden layer"),
        (lambda: SimilarityPreserving((("layer0", "layer.3"),)).adapters(SHAPES), "did you mean 'layers.3'"),
        (lambda: VariationalInformation().adapters(Shapes({}, {}, 3)), "student has no hidden layers"),
    ],
)
def test_refuses(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
