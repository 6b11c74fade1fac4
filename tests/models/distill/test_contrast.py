"""Contrastive representation distillation against a computation pair by pair, and what its banks remember."""

import numpy as np
import pytest
import torch

from common.errors import ConfigError
from models.distill.losses import ContrastiveRepresentation

from .signals import BATCH, SHAPES, adapters, check_gradients, drawn

CLASSES, SAMPLES = "other-classes", "other-samples"


class Seeded:
    """The loss with the same negatives in every call."""

    def __init__(self, loss, seed=0):
        self.loss, self.seed = loss, seed

    def __call__(self, signals, made):
        torch.manual_seed(self.seed)
        return self.loss(signals, made)


def unit(x):
    return x / np.sqrt((x**2).sum(axis=-1, keepdims=True))


def embed(feature, projector):
    weight, bias = (each.detach().numpy() for each in (projector.linear.weight, projector.linear.bias))
    return unit(feature.numpy().mean(axis=(2, 3)) @ weight.T + bias)


def embeddings(made, signals):
    own, other = made.names
    return (
        embed(signals.student_features[own], made.student),
        embed(signals.teacher_features[other], made.teacher),
    )


def expected(loss, signals, made, seed, known=None):
    """Term and measured means, one pair of samples at a time, by the probabilities of the paper."""
    torch.manual_seed(seed)
    rows = torch.randint(SHAPES.samples, (loss.negatives,)).tolist()
    banks = [made.teacher_bank.numpy(), made.student_bank.numpy()]
    own, other = embeddings(made, signals)
    total, means = 0.0, []
    for side, (anchors, positives, bank) in enumerate(((own, other, banks[0]), (other, own, banks[1]))):
        pairs = [
            (i, row)
            for i, place in enumerate(signals.rows.tolist())
            for row in rows
            if row != place and not (loss.negatives_from == CLASSES and made.labels[row] == signals.labels[i])
        ]
        similar = [np.exp(anchors[i] @ bank[row] / loss.temperature) for i, row in pairs]
        mean = np.mean(similar) if known is None else known[side]
        noise = loss.negatives * mean
        same = np.exp((anchors * positives).sum(axis=1) / loss.temperature)
        total -= np.mean(np.log(same / (same + noise)))
        total -= loss.negatives * np.mean([np.log(noise / (e + noise)) for e in similar])
        means.append(mean)
    return total, means


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("source", [CLASSES, SAMPLES])
@pytest.mark.parametrize("pairs", [(), (("layer0", "layers.5"),)], ids=["last", "named"])
def test_contrast_is_the_papers(seed, source, pairs):
    loss = ContrastiveRepresentation(0.3, 5, negatives=40, negatives_from=source, pairs=pairs)
    made = adapters(loss, seed)
    assert made.names == (pairs[0] if pairs else ("layer2", "layers.9"))
    first, second = drawn(seed), drawn(seed + 10)
    value, means = expected(loss, first, made, seed)
    assert Seeded(loss, seed)(first, made).item() == pytest.approx(value, rel=1e-9)
    np.testing.assert_allclose(made.log_mean.exp(), means)
    # The second step keeps the first's normalizer, and meets what the first left in the banks.
    value, _ = expected(loss, second, made, seed, means)
    assert Seeded(loss, seed)(second, made).item() == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_banks_follow_with_momentum(momentum):
    loss, signals = ContrastiveRepresentation(momentum=momentum, negatives=8), drawn(2)
    made = adapters(loss)
    before = [made.student_bank.numpy().copy(), made.teacher_bank.numpy().copy()]
    assert (made.labels == -1).all()
    loss(signals, made)
    rows = signals.rows.numpy()
    others = np.setdiff1d(np.arange(SHAPES.samples), rows)
    for bank, old, new in zip(
        (made.student_bank, made.teacher_bank), before, embeddings(made, signals), strict=True
    ):
        np.testing.assert_allclose(bank[rows], unit(momentum * old[rows] + (1 - momentum) * new))
        np.testing.assert_array_equal(bank[others], old[others])
        assert not bank.requires_grad
    np.testing.assert_array_equal(made.labels[rows], signals.labels)
    assert (made.labels[others] == -1).all()


def test_nothing_is_remembered_in_evaluation():
    loss, signals = ContrastiveRepresentation(negatives=8), drawn(2)
    made = adapters(loss).eval()
    before = {name: each.clone() for name, each in made.state_dict().items()}
    assert torch.isfinite(loss(signals, made))
    for name, each in made.state_dict().items():
        torch.testing.assert_close(each, before[name], equal_nan=True)


def test_negatives_are_of_other_samples_and_classes():
    made = adapters(ContrastiveRepresentation())
    rows, labels = torch.tensor([3, 7, 9]), torch.tensor([0, 1, 0])
    made.labels[rows] = labels
    drawn_rows = torch.tensor([9, 7, 3, 20])
    of_samples = [[1, 1, 0, 1], [1, 0, 1, 1], [0, 1, 1, 1]]
    of_classes = [[0, 1, 0, 1], [1, 0, 1, 1], [0, 1, 0, 1]]
    assert made.negatives(drawn_rows, rows, None).int().tolist() == of_samples
    assert made.negatives(drawn_rows, rows, labels).int().tolist() == of_classes


def test_without_any_negative_only_positives_count():
    loss = ContrastiveRepresentation(negatives=4)
    signals, made = drawn(4), adapters(ContrastiveRepresentation(negatives=4))
    signals.labels[:] = 2
    made.labels[:] = 2
    total = loss(signals, made)
    assert torch.isfinite(total) and torch.isnan(made.log_mean).all()


def test_alike_embeddings_lose_less_than_mixed_ones():
    loss, signals = ContrastiveRepresentation(negatives=64, negatives_from=SAMPLES), drawn(5)
    made = adapters(loss)
    for linear in (made.student.linear, made.teacher.linear):
        torch.nn.init.eye_(linear.weight)
        torch.nn.init.zeros_(linear.bias)
    own = signals.student_features["layer2"]
    alike = torch.cat((own, torch.zeros(BATCH, 1, 1, 1, dtype=own.dtype)), dim=1)
    signals.teacher_features["layers.9"] = alike
    matched = Seeded(loss)(signals, made.eval())
    signals.teacher_features["layers.9"] = alike.roll(1, dims=0)
    assert matched < Seeded(loss)(signals, made) - 1


def test_needs_labels_only_for_classes():
    assert ContrastiveRepresentation().needs == {"features", "labels"}
    assert ContrastiveRepresentation(negatives_from=SAMPLES).needs == {"features"}


@pytest.mark.parametrize("source", [CLASSES, SAMPLES])
def test_gradients_by_finite_differences(source):
    loss = Seeded(ContrastiveRepresentation(0.2, 6, negatives=12, negatives_from=source))
    made, signals = adapters(loss.loss), drawn(1)
    loss(signals, made)
    check_gradients(loss, drawn(3), made.eval(), most=12)
    student = torch.autograd.grad(loss(signals, made), made.student.linear.weight)[0]
    teacher = torch.autograd.grad(loss(signals, made), made.teacher.linear.weight)[0]
    assert student.abs().max() > 0 and teacher.abs().max() > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "temperature is 0.0; give a number above 0"),
        ({"dimensions": 0}, "dimensions is 0; give"),
        ({"negatives": 0}, "negatives is 0; give"),
        ({"momentum": 1.0}, "momentum is 1.0; give"),
        ({"negatives_from": "anywhere"}, "negatives_from is 'anywhere'; give"),
        ({"pairs": (("layer0", "layers.3"), ("layer1", "layers.5"))}, "pairs has 2 items; give at most 1"),
    ],
)
def test_refuses(settings, message):
    with pytest.raises(ConfigError, match=message):
        ContrastiveRepresentation(**settings)
