"""Data impressions: similarities, draws and inputs against numpy, and that no data is looked at."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from common.errors import ConfigError
from common.topology import Dense, Topology
from models.distill.sources import DataImpressions
from models.distill.sources.data_impressions import LEAST, class_similarity, input_statistics, last_weights
from models.distill.training.setup import TrainingSetup
from models.teachers import Cnn, Mlp, ResNet, SqueezeNet
from models.teachers.ensemble import Teacher, TeacherConfig, train_ensemble
from models.training import TrainingConfig
from tests.models.networks import toy_dataset

TRAINING = TrainingConfig(epochs=4, batch_size=32, learning_rate=1e-2, weight_decay=1e-3, seed=3)
TOPOLOGY = Topology((4, 4, 1), (Dense(8, 3, 2), Dense(3, 4, None)))


@pytest.fixture(scope="module")
def members():
    config = TeacherConfig((Cnn(((8,),), dense=(12,)),), TRAINING, members=2)
    return train_ensemble(config, toy_dataset()).members


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def shop(members, seed=3):
    return SimpleNamespace(members=members, topology=TOPOLOGY, training=replace(TRAINING, seed=seed))


class Untouchable:
    """Data that nobody may look at."""

    def __getattribute__(self, name):
        raise AssertionError(f"looked at {name} of the data")


def test_no_data_is_touched(members):
    closed = TrainingSetup(TOPOLOGY, Untouchable(), Untouchable(), members, None, TRAINING)
    made = DataImpressions(count=12, steps=2).transfer(closed)
    assert made.split.x.shape == (12, 16) and made.split.x.dtype == np.uint8
    assert made.logits.shape == (2, 12, 3)


@pytest.mark.parametrize("seed", range(3))
def test_class_similarity(seed):
    torch.manual_seed(seed)
    networks = [Teacher(Mlp((7,)), (5,), 4) for _ in range(3)]
    expected = np.zeros((4, 4))
    for network in networks:
        w = network.layers[-1].weight.detach().numpy().astype(float)
        c = np.array([[a @ b / np.sqrt((a @ a) * (b @ b)) for b in w] for a in w])
        for row in c:
            row[:] = (row - row.min()) / (row.max() - row.min())
        expected += c / 3
    found = class_similarity(networks, 4)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(np.diag(found), 1)
    assert found.min() >= 0


@pytest.mark.parametrize(
    ("architecture", "values"),
    [(Cnn(((4,),)), 16), (ResNet((4, 8), 1), 8), (SqueezeNet(8, ((2,),)), 16), (Mlp((6,)), 6)],
)
def test_the_last_layer_of_every_teacher(architecture, values):
    network = Teacher(architecture, (4, 4, 3), 5)
    weights = last_weights(network, 5)
    assert weights.shape == (5, values)
    last = [each for each in network.modules() if isinstance(each, nn.Linear | nn.Conv2d)][-1]
    np.testing.assert_array_equal(weights, last.weight.detach().numpy().reshape(5, -1))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)),
            "ends with a BatchNorm1d, not with a dense layer",
        ),
        (nn.Linear(4, 7), "ends with a Linear, not with a dense layer or a convolution of 3 outputs"),
        (nn.Flatten(), "ends with no layer with weights"),
    ],
)
def test_teachers_without_class_weights(network, message):
    with pytest.raises(ConfigError, match=message):
        class_similarity([network], 3)


def test_draws_follow_the_dirichlet_distribution():
    """Its mean is c / sum(c); its variance m (1 - m) / (beta sum(c) + 1)."""
    similarity = np.array([[1.0, 0.5, 0.0], [0.2, 1.0, 0.6], [0.0, 0.3, 1.0]])
    source = DataImpressions(count=60_000, betas=(2.0, 0.25))
    drawn = source.draw(similarity, np.random.default_rng(1)).reshape(-1, 2, 3, 3)  # round, beta, class
    np.testing.assert_allclose(drawn.sum(axis=-1), 1, rtol=1e-9)
    for b, beta in enumerate(source.betas):
        for k in range(3):
            c = similarity[k] + LEAST
            mean = c / c.sum()
            np.testing.assert_allclose(drawn[:, b, k].mean(axis=0), mean, atol=0.01)
            variance = mean * (1 - mean) / (beta * c.sum() + 1)
            np.testing.assert_allclose(drawn[:, b, k].var(axis=0), variance, atol=0.01)


def test_loss_is_the_cross_entropy_of_the_mean_probability():
    torch.manual_seed(0)
    networks = [Teacher(Mlp((6,)), (4,), 3).eval().double() for _ in range(2)]
    rng = np.random.default_rng(0)
    x, target = torch.tensor(rng.uniform(0, 255, (5, 4))), rng.dirichlet(np.ones(3), 5)
    source = DataImpressions(temperature=5.0)
    probability = np.mean([softmax(each(x).detach().numpy() / 5.0) for each in networks], axis=0)
    expected = -(target * np.log(probability)).sum()
    found = source.loss(networks, x, torch.tensor(target))
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_the_teacher_says_what_it_was_drawn_to_say(members):
    source = DataImpressions(steps=100, temperature=1.0)
    rng = np.random.default_rng(0)
    wanted = rng.dirichlet([1.0, 1.0, 1.0], 60)
    noise = rng.standard_normal((60, 16))
    found = source.impressions(members, noise, wanted)

    def divergence(x):
        with torch.no_grad():
            logits = np.stack([each(torch.from_numpy(x).float()).numpy() for each in members])
        return (wanted * np.log(wanted / softmax(logits).mean(axis=0))).sum(axis=1).mean()

    start = replace(source, steps=1, learning_rate=1e-9).impressions(members, noise, wanted)
    assert divergence(found) < 0.02 < 0.2 < divergence(start)
    assert all(each.grad is None for member in members for each in member.parameters())


def test_impressions_cover_all_classes_and_depend_on_the_seed_alone(members):
    source = DataImpressions(count=60, steps=60, temperature=4.0)
    made, again, other = (source.transfer(shop(members, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(made.split.x, again.split.x)
    assert (made.split.x != other.split.x).any()
    assert np.bincount(made.split.y, minlength=3).min() >= 10


def test_noise_is_measured_by_the_first_batch_norm():
    mlp = Teacher(Mlp((6,)), (3,), 2).eval()
    mlp.layers[0].running_mean.copy_(torch.tensor([10.0, 20.0, 200.0]))
    mlp.layers[0].running_var.copy_(torch.tensor([4.0, 0.0, 900.0]))
    mean, deviation = input_statistics(mlp, 3)
    assert mean.tolist() == [10, 20, 200]
    np.testing.assert_allclose(deviation, [2, np.sqrt(mlp.layers[0].eps), 30], rtol=1e-5)
    cnn = Teacher(Cnn(((4,),)), (2, 2, 3), 2)
    cnn.layers[1].running_mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
    assert input_statistics(cnn, 12)[0].tolist() == [1, 2, 3] * 4  # height, width, channels
    mean, deviation = input_statistics(nn.Linear(4, 2), 4)
    levels = np.arange(256)
    assert mean.tolist() == [levels.mean()] * 4 and deviation[0].item() == pytest.approx(levels.std())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 0}, "data data-impressions: count is 0; give at least 1"),
        ({"steps": 0}, "steps is 0; give at least 1"),
        ({"betas": ()}, "betas has 0 items; give at least 1"),
        ({"betas": (1.0, 0.0)}, r"betas\[1\] is 0.0; give"),
        ({"temperature": 0.0}, "temperature is 0.0; give"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0; give"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        DataImpressions(**settings)


def test_too_few_impressions_or_no_teacher(members):
    with pytest.raises(ConfigError, match="count is 5; with 3 classes and 2 betas give at least 6"):
        DataImpressions(count=5).transfer(shop(members))
    with pytest.raises(ConfigError, match="there is no teacher to read them from"):
        DataImpressions().transfer(shop(()))
