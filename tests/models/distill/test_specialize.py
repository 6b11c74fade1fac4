"""Multiple choice learning: losses against numpy, assignments, gradients, and its known limits."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from common.errors import ConfigError
from common.topology import Dense, Topology
from models.distill import HardLabels
from models.distill.training.ensembles import independent, specialize
from models.distill.training.multiple_choice import (
    ConfidentMultipleChoice,
    DistilledMultipleChoice,
    MultipleChoice,
)
from models.distill.training.transfer import TransferSet
from models.metrics import accuracy, combine
from models.teachers.ensemble import ensemble_logits
from models.training import TrainingConfig
from models.training.evaluation import predict
from tests.models.distilled import distill
from tests.models.networks import toy_dataset

MEMBERS, BATCH, CLASSES = 4, 7, 5
TRAINING = TrainingConfig(2, 16, 1e-2, 1e-3, 3, keep_best=False)
TOPOLOGY = Topology((4, 4, 1), (Dense(6, 3, 2), Dense(3, 4, None)))


def drawn(seed=0):
    rng = np.random.default_rng(seed)
    logits, base = rng.normal(0, 2, (2, MEMBERS, BATCH, CLASSES))
    return logits, base, rng.integers(0, CLASSES, BATCH)


def probabilities(z):
    e = np.exp(z)
    return e / e.sum(axis=-1, keepdims=True)


def expected(loss, logits, base, labels):
    """Sample by sample and member by member."""
    total = 0.0
    for sample, label in enumerate(labels):
        p = probabilities(logits[:, sample])
        task = -np.log(p[:, label])
        apart = np.zeros(MEMBERS)
        if isinstance(loss, ConfidentMultipleChoice):
            apart = np.array([np.sum(np.log(1 / CLASSES / row) / CLASSES) for row in p])
        if isinstance(loss, DistilledMultipleChoice):
            target = probabilities(base[:, sample] / loss.temperature)
            own = probabilities(logits[:, sample] / loss.temperature)
            apart = np.sum(target * np.log(target / own), axis=1)
        cost = task - loss.beta * apart if loss.assign == "loss" else task
        chosen = sorted(range(MEMBERS), key=lambda member: (cost[member], member))[: loss.overlap]
        total += sum(task[m] if m in chosen else loss.beta * apart[m] for m in range(MEMBERS))
    return total / BATCH


LOSSES = [
    MultipleChoice(),
    MultipleChoice(overlap=3),
    ConfidentMultipleChoice(overlap=2),
    ConfidentMultipleChoice(assign="loss", beta=0.3),
    DistilledMultipleChoice(),
    DistilledMultipleChoice(overlap=2, beta=3.0, temperature=4.0),
    DistilledMultipleChoice(overlap=3, beta=2.0, temperature=0.5, assign="loss"),
]


def total(loss, logits, base, labels):
    terms = loss.terms(torch.as_tensor(logits), torch.as_tensor(base), torch.as_tensor(labels))
    return terms["task"] + terms["apart"]


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_losses_and_gradients(loss):
    logits, base, labels = drawn()
    assert total(loss, logits, base, labels).item() == pytest.approx(expected(loss, logits, base, labels))
    variable = torch.tensor(logits, requires_grad=True)
    (gradient,) = torch.autograd.grad(total(loss, variable, base, labels), variable)
    step = 1e-6
    for index in np.ndindex(*logits.shape):
        up, down = logits.copy(), logits.copy()
        up[index] += step
        down[index] -= step
        slope = (expected(loss, up, base, labels) - expected(loss, down, base, labels)) / (2 * step)
        assert gradient[index].item() == pytest.approx(slope, rel=1e-4, abs=1e-7)


def test_assigned_are_the_k_least_and_of_equals_the_first():
    task = torch.tensor(
        [[3.0, 1.0, 2.0, 0.0], [1.0, 1.0, 0.0, 0.0], [2.0, 1.0, 2.0, 0.0], [0.5, 0.0, 2.0, 0.0]]
    )
    apart = torch.zeros_like(task)
    found = MultipleChoice(overlap=2).assigned(task, apart)
    wanted = [{1, 3}, {0, 3}, {0, 1}, {0, 1}]
    assert [set(np.flatnonzero(column)) for column in found.T.numpy()] == wanted
    apart[2] = 5.0
    assert torch.equal(ConfidentMultipleChoice(overlap=2, beta=1.0).assigned(task, apart), found)
    moved = ConfidentMultipleChoice(overlap=2, beta=1.0, assign="loss").assigned(task, apart)
    assert moved[2].all() and (moved.sum(dim=0) == 2).all()


def test_by_loss_is_the_least_of_all_assignments():
    """No choice of members other than the one taken has a lower loss."""
    from itertools import combinations

    logits, base, labels = (torch.as_tensor(each) for each in drawn(5))
    loss = DistilledMultipleChoice(overlap=2, beta=2.0, assign="loss")
    apart = loss.apart(logits, base)
    flat = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.repeat(MEMBERS), reduction="none")
    task = flat.view(MEMBERS, BATCH)
    every = [
        sum(task[m] if m in chosen else loss.beta * apart[m] for m in range(MEMBERS))
        for chosen in combinations(range(MEMBERS), 2)
    ]
    least = torch.stack(every).amin(dim=0).mean()
    assert total(loss, logits, base, labels).item() == pytest.approx(least.item())


def test_limits_of_the_losses():
    logits, base, labels = drawn(2)
    plain = total(MultipleChoice(overlap=2), logits, base, labels)
    for loss in (ConfidentMultipleChoice, DistilledMultipleChoice):
        assert torch.equal(total(loss(overlap=2, beta=0.0), logits, base, labels), plain)
        everybody = total(MultipleChoice(overlap=MEMBERS), logits, base, labels)
        assert torch.equal(total(loss(overlap=MEMBERS), logits, base, labels), everybody)
    as_before = DistilledMultipleChoice().terms(*(torch.as_tensor(each) for each in (base, base, labels)))
    assert as_before["apart"].item() == pytest.approx(0, abs=1e-12)
    unsure = torch.full((MEMBERS, BATCH, CLASSES), 3.0, dtype=torch.float64)
    assert ConfidentMultipleChoice().apart(unsure, unsure).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: MultipleChoice(overlap=0), "overlap is 0"),
        (lambda: ConfidentMultipleChoice(beta=-0.1), "beta is -0.1"),
        (lambda: DistilledMultipleChoice(temperature=0.0), "temperature is 0.0"),
        (lambda: DistilledMultipleChoice(assign="both"), "assign is 'both'"),
        (lambda: MultipleChoice().check_members(1), "ensemble of 1 cannot"),
        (lambda: MultipleChoice(overlap=4).check_members(3), "give 1 to 3"),
    ],
)
def test_refuses(make, why):
    with pytest.raises(ConfigError, match=why):
        make()


@pytest.fixture(scope="module")
def bases():
    return independent(TOPOLOGY, toy_dataset(), 2, TRAINING)


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first.values(), second.values(), strict=True))


def test_all_members_on_all_samples_is_independent_training(bases):
    """Bit for bit what each base model comes to alone, trained on with the same samples in the same order."""
    dataset = toy_dataset()
    loss = DistilledMultipleChoice(overlap=2, beta=0.0)
    members, history = specialize(bases, dataset, loss, TRAINING)
    transfer = TransferSet(dataset.train, np.empty((0, len(dataset.train), 3), np.float32))
    for base, member in zip(bases, members, strict=True):
        start = base.state_dict()
        alone, _ = distill(TOPOLOGY, dataset, transfer, HardLabels(), TRAINING, start=start)
        assert same(alone.state_dict(), member.state_dict()) and not same(start, member.state_dict())
    averaged = combine(ensemble_logits(members, dataset.validation.x))
    assert history.validation_score == accuracy(averaged, dataset.validation.y)


def test_base_models_have_seeds_of_their_own(bases):
    other = independent(TOPOLOGY, toy_dataset(), 1, replace(TRAINING, seed=4))
    assert same(bases[1].state_dict(), other[0].state_dict())
    assert not same(bases[0].state_dict(), bases[1].state_dict())


def test_a_heavy_beta_keeps_the_base_models(bases):
    """Members whose every sample is another's stay nearer to their bases by MCL-KD than without it."""
    dataset = toy_dataset()
    before = ensemble_logits(bases, dataset.test.x)
    moved = {}
    for name, loss in (("kept", DistilledMultipleChoice(beta=100.0)), ("free", ConfidentMultipleChoice())):
        members, _ = specialize(bases, dataset, loss, TRAINING)
        after = np.stack([predict(member, dataset.test.x) for member in members])
        moved[name] = np.abs(probabilities(after) - probabilities(before)).mean()
    assert moved["kept"] < moved["free"]


def test_a_single_base_is_refused_before_training(bases):
    with pytest.raises(ConfigError, match="at least 2 members"):
        specialize(bases[:1], toy_dataset(), MultipleChoice(), TRAINING)
