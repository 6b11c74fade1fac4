"""FSKD: least squares against numpy's own, what an aligned layer gives, and the schedule around it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from common.errors import ConfigError
from common.topology import AveragePool, Conv, Dense, Depthwise, MaxPool, Residual, Topology
from models.distill import SoftenedSoftmax
from models.distill.features import shapes_of, tapped
from models.distill.schedules import Fskd
from models.distill.schedules.alignment import align, aligned_layers, can_align, least_squares
from models.distill.training.setup import TrainingSetup
from models.students.freeze import freeze
from models.students.student import Student
from models.teachers import Cnn, Mlp
from models.teachers.ensemble import Teacher, TeacherConfig, make_transfer_set, train_ensemble
from models.training import TrainingConfig
from tests.models.networks import random_inputs, random_student, toy_dataset

TRAINING = TrainingConfig(epochs=4, batch_size=16, learning_rate=1e-2, weight_decay=1e-3, seed=3)
TOPOLOGY = Topology(
    (4, 4, 1),
    (Conv(6, (3, 3), 8, 8, padding=(1, 1)), MaxPool((2, 2)), Dense(8, 8, 8), Dense(3, 4, None)),
)


@pytest.fixture(scope="module")
def setup():
    dataset = toy_dataset()
    config = TeacherConfig((Cnn(((8,), (12,)), dense=(16,)),), TRAINING)
    members = train_ensemble(config, dataset).members
    examples = make_transfer_set(members, dataset, views=1)
    loss = SoftenedSoftmax(hard_label_weight=0.0)
    return TrainingSetup(TOPOLOGY, dataset, examples, members, loss, TRAINING)


@pytest.mark.parametrize("seed", range(4))
def test_least_squares_without_ridge_is_numpys(seed):
    rng = np.random.default_rng(seed)
    z, y = rng.normal(2, 3, (50, 6)), rng.normal(-1, 2, (50, 4))
    q, c = least_squares(z, y, 0.0)
    expected = np.linalg.lstsq(np.column_stack([z, np.ones(50)]), y, rcond=None)[0]
    np.testing.assert_allclose(q, expected[:-1].T, atol=1e-8)
    np.testing.assert_allclose(c, expected[-1], atol=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_ridge_is_a_penalty_on_the_way_from_the_prior(seed):
    """At the minimum of the documented sum of squares its gradient vanishes, by finite differences."""
    rng = np.random.default_rng(seed)
    z, y, prior = rng.normal(1, 2, (20, 5)), rng.normal(0, 1, (20, 5)), rng.normal(0, 1, (5, 5))
    weight = 0.3 * z.var(axis=0).mean() * 20

    def total(q, c):
        return ((z @ q.T + c - y) ** 2).sum() + weight * ((q - prior) ** 2).sum()

    q, c = least_squares(z, y, 0.3, prior)
    for index in np.ndindex(q.shape):
        step = np.zeros_like(q)
        step[index] = 1e-4
        assert abs(total(q + step, c) - total(q - step, c)) / 2e-4 < 1e-4
    for index in range(5):
        step = np.eye(5)[index] * 1e-4
        assert abs(total(q, c + step) - total(q, c - step)) / 2e-4 < 1e-4
    np.testing.assert_allclose(least_squares(z, y, 1e9, prior)[0], prior, atol=1e-6)


def test_few_samples_of_many_channels_stay_near_the_prior():
    """Directions that no sample shows are the prior's."""
    rng = np.random.default_rng(0)
    z = rng.normal(0, 1, (5, 40))
    q, _ = least_squares(z, z @ rng.normal(0, 1, (40, 40)), 0.01, np.eye(40))
    unseen = np.linalg.svd(z - z.mean(axis=0))[2][6:]
    np.testing.assert_allclose(q @ unseen.T, unseen.T, atol=1e-8)


class Mixed(nn.Module):
    """A teacher whose hidden layer is the student's block behind a known 1 by 1 convolution."""

    def __init__(self, student, q, c):
        super().__init__()
        self.student, self.q, self.c = student, q, c
        self.layers = nn.Sequential(nn.ReLU())

    def forward(self, x):
        layer = self.student.layers[0]
        frames = {-1: x.view(len(x), *self.student.topology.frame).permute(0, 3, 1, 2)}
        z = layer.norm(layer.accumulate(frames[-1]))
        mixed = torch.einsum("ab,nbhw->nahw", self.q, z) + self.c[:, None, None]
        self.layers(mixed + 100.0)  # far above 0, where the activation is the identity
        return x


@pytest.mark.parametrize("seed", range(3))
def test_a_teacher_that_is_a_linear_map_of_the_student_changes_nothing(seed):
    """Its block tells all that the student's does, so that the target is the student itself."""
    student = random_student(seed, TOPOLOGY)
    rng = torch.Generator().manual_seed(seed)
    q = torch.randn(6, 6, generator=rng) + 3 * torch.eye(6)
    teacher = Mixed(random_student(seed, TOPOLOGY), q, torch.randn(6, generator=rng))
    x = torch.from_numpy(random_inputs(seed, 16, 80)).float()
    (result,) = align(student, teacher, (("layer0", "layers.0"),), x, 1e-9)
    assert result.before < 1e-6 and result.layer == "layer0"


def target_of(student, teacher, pair, x, ridge):
    """The target as the docstring has it, by numpy alone: the student's block by the teacher's features."""
    place = next(at for at, step in enumerate(student.topology.steps) if step.name == pair[0])
    layer = student.layers[place]
    with torch.no_grad(), tapped(teacher) as found:
        teacher(x)
        frames = {-1: x.view(len(x), *student.topology.frame).permute(0, 3, 1, 2)}
        frames |= dict(enumerate(student.values(x)))
        z = layer.norm(layer.accumulate(*(frames[source] for source in layer.step.sources)))
        shape = layer.step.out_shape[:2]
        t = nn.functional.adaptive_avg_pool2d(found[pair[1]], shape)
    z, t = (each.permute(0, 2, 3, 1).flatten(0, 2).double().numpy() for each in (z, t))
    t0, z0 = t - t.mean(axis=0), z - z.mean(axis=0)
    weight = ridge * (t0**2).sum() / t.shape[1]
    q = np.linalg.solve(t0.T @ t0 + weight * np.eye(t.shape[1]), t0.T @ z0)
    return z, z.mean(axis=0) + t0 @ q


@pytest.mark.parametrize("seed", range(3))
def test_every_layer_comes_nearer_to_its_target(setup, seed):
    student = random_student(seed, TOPOLOGY)
    x = torch.from_numpy(setup.transfer.split.x[:100]).float()
    teacher, pairs = setup.members[0], (("layer0", "layers.4"), ("layer2", "layers.13"))
    assert {name for _, name in pairs} <= set(shapes_of(student, teacher).teacher)
    z, target = target_of(student, teacher, pairs[0], x, 0.01)
    untouched = student.layers[3].linear.weight.clone()
    results = align(student, teacher, pairs, x, 0.01)
    assert [each.layer for each in results] == ["layer0", "layer2"]
    assert results[0].before == pytest.approx(((z - target) ** 2).mean(), rel=1e-4)
    assert results[0].kept and all(each.after < each.before for each in results if each.kept)
    assert torch.equal(untouched, student.layers[3].linear.weight)
    now, _ = target_of(student, teacher, pairs[0], x, 0.01)
    assert ((now - target) ** 2).mean() == pytest.approx(results[0].after, rel=1e-3)
    # The best map of all, before weights are quantized: 8-bit weights come close to it.
    gram = np.column_stack([z, np.ones(len(z))])
    best = ((gram @ np.linalg.lstsq(gram, target, rcond=None)[0] - target) ** 2).mean()
    assert results[0].before - results[0].after > 0.8 * (results[0].before - best)
    assert freeze(student).forward(setup.dataset.test.x).shape == (80, 3)


def test_a_layer_that_would_come_out_worse_is_left_alone(setup):
    """One bit a weight cannot follow a 1 by 1 map that hardly moves anything."""
    topology = Topology((4, 4, 1), (Conv(6, (3, 3), 1, 8, padding=(1, 1)), Dense(3, 4, None)))
    student = random_student(0, topology)
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    x = torch.from_numpy(setup.transfer.split.x[:100]).float()
    (result,) = align(student, setup.members[0], (("layer0", "layers.4"),), x, 1e6)
    kept = [torch.equal(before[name], tensor) for name, tensor in student.state_dict().items()]
    assert result.kept or all(kept)
    assert result.kept == (result.after < result.before)


def test_what_can_be_aligned():
    layers = (
        Conv(4, (1, 1), 4, 4),
        Depthwise((3, 3), 4, 4, padding=(1, 1)),
        Residual((Conv(4, (1, 1), 4, 4),), 4),
        MaxPool((2, 2)),
        AveragePool(None, 4),
        Dense(5, 4, 4),
        Dense(3, 4, None),
    )
    topology = Topology((4, 4, 1), layers)
    assert aligned_layers(topology) == ("layer0", "layer5")
    assert sum(map(can_align, topology.steps)) == 2


def test_few_samples_of_each_class_of_the_teacher(setup):
    few = Fskd(samples_per_class=7).few(setup)
    said = few.logits[0].argmax(axis=-1)
    assert np.bincount(said).tolist() == [7, 7, 7]
    again, other = (
        Fskd(samples_per_class=7).few(replace(setup, training=replace(TRAINING, seed=seed)))
        for seed in (3, 4)
    )
    np.testing.assert_array_equal(few.split.x, again.split.x)
    assert (few.split.x != other.split.x).any()
    blind = replace(
        setup,
        transfer=replace(setup.transfer, split=replace(setup.transfer.split, y=few.split.y[:1].repeat(160))),
    )
    np.testing.assert_array_equal(Fskd(samples_per_class=7).few(blind).split.x, few.split.x)


def test_the_student_learns_from_few_samples(setup):
    training = replace(TRAINING, epochs=30)
    student, history = Fskd(samples_per_class=10).run(replace(setup, training=training))
    assert type(student) is Student and not student.training
    assert len(history.epochs) == 15
    assert history.validation_score > 0.8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples_per_class": 0}, "schedule fskd: samples_per_class is 0; give at least 1"),
        ({"start_share": 0.0}, "start_share is 0.0; give a number above 0"),
        ({"start_share": 1.0}, "start_share is 1.0; give"),
        ({"start_share": 2.0}, "start_share is 2.0; give"),
        ({"ridge": 0.0}, "ridge is 0.0; give"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        Fskd(**settings)


@pytest.mark.parametrize(
    ("layers", "pairs", "message"),
    [
        ((Dense(3, 4, None),), (), "student has no hidden dense layer or convolution"),
        ((Dense(4, 4, 4), Dense(3, 4, None)), (("layer9", "layers.3"),), "no hidden layer 'layer9'"),
        ((Dense(4, 4, 4), Dense(3, 4, None)), (("layer0", "layers.9"),), "no hidden layer 'layers.9'"),
        (
            (Conv(4, (1, 1), 4, 4), MaxPool((2, 2)), Dense(3, 4, None)),
            (("layer1", "layers.3"),),
            "pairs: layer1 cannot be aligned; there are layer0",
        ),
    ],
)
def test_networks_that_do_not_fit(layers, pairs, message):
    teacher = Teacher(Mlp((8,)), (4, 4, 1), 3)
    with pytest.raises(ConfigError, match=message):
        Fskd(pairs=pairs).check(Topology((4, 4, 1), layers), teacher, SoftenedSoftmax())


def test_no_teacher(setup):
    with pytest.raises(ConfigError, match="there is no teacher to align with"):
        Fskd().run(replace(setup, members=()))
