"""Perturbed samples: bytes within their bounds, and attacks that follow the known gradient of a network."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from common.errors import ConfigError
from common.topology import Conv, Dense, Topology
from models.data import Split
from models.metrics import accuracy, softened
from models.robustness import Perturbations, accuracies, ascent, fgsm, noisy, pgd
from models.students.freeze import freeze
from models.students.student import Student
from tests.models.networks import random_student, seeds, toy_dataset


def drawn(seed, inputs=20, classes=5, samples=70):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (samples, inputs), dtype=np.uint8)
    return Split(x, rng.integers(0, classes, samples))


def linear(seed, inputs=20, classes=5):
    """One layer: the gradient of its cross-entropy at the inputs is W^T (softmax - label)."""
    torch.manual_seed(seed)
    student = Student(Topology((inputs,), (Dense(classes, 6, None),)))
    with torch.no_grad():
        student.layers[0].linear.weight.mul_(0.05)  # logits that do not saturate
    return student


def trained():
    """A student of the toy data set that is right on most of it."""
    from models.distill import HardLabels
    from models.distill.training import transfer
    from models.training import TrainingConfig
    from tests.models.distilled import distill

    dataset = toy_dataset()
    examples = transfer.TransferSet(dataset.train, np.zeros((1, len(dataset.train), 3), np.float32))
    topology = Topology((4, 4, 1), (Conv(6, (3, 3), 4, 3), Dense(3, 4, None)))
    config = TrainingConfig(epochs=8, batch_size=32, learning_rate=1e-2, weight_decay=0.0, seed=0)
    return distill(topology, dataset, examples, HardLabels(), config)[0], dataset.test


@settings(max_examples=10)
@given(seed=seeds)
def test_ascent_is_the_gradients_sign(seed):
    student, split = linear(seed), drawn(seed)
    network = freeze(student)
    probabilities = softened(network.forward(split.x) * network.logit_scale)
    gradient = (probabilities - np.eye(5)[split.y]) @ network.layers[0].operation.weights
    clear = np.abs(gradient) > 1e-6
    assert clear.mean() > 0.9
    assert np.array_equal(ascent(student, split.x, split.y)[clear], np.sign(gradient)[clear])


def test_fgsm_goes_the_whole_way_in_the_gradients_direction():
    student, split = linear(1), drawn(1)
    found, sign = fgsm(student, split, 7), ascent(student, split.x, split.y)
    assert found.dtype == np.uint8
    assert np.array_equal(found, np.clip(split.x.astype(int) + 7 * sign, 0, 255))
    assert {0, 255} <= set(split.x.ravel().tolist())  # where a byte would wrap around


@settings(max_examples=8)
@given(seed=seeds)
def test_pgd_stays_in_the_ball_and_is_repeatable(seed):
    student, rng = random_student(seed), np.random.default_rng(seed)
    inputs, classes = student.topology.inputs, student.topology.outputs
    split = drawn(seed, inputs, classes, samples=12)
    eps, steps = int(rng.integers(1, 40)), int(rng.integers(1, 4))
    found = pgd(student, split, eps, steps, seed=3)
    assert found.dtype == np.uint8 and found.shape == split.x.shape
    assert np.abs(found.astype(int) - split.x).max() <= eps
    assert np.array_equal(found, pgd(student, split, eps, steps, seed=3))
    assert not student.training


def test_pgd_of_a_linear_student_of_two_classes_ends_where_fgsm_does():
    """Their gradient has one direction everywhere, and 2.5 eps of way lead from any start to the border."""
    student, split = linear(2, classes=2), drawn(2, classes=2)
    weights = freeze(student).layers[0].operation.weights
    there = weights[0] != weights[1]  # elsewhere, the sign is that of a rounding error
    assert there.sum() > 15
    assert np.array_equal(pgd(student, split, 8, 10, seed=0)[:, there], fgsm(student, split, 8)[:, there])


def test_noise_is_gaussian_rounded_and_cut_off():
    x = np.full((400, 100), 128, np.uint8)
    found = noisy(x, 10.0, seed=1)
    assert found.dtype == np.uint8 and np.array_equal(found, noisy(x, 10.0, seed=1))
    assert not np.array_equal(found, noisy(x, 10.0, seed=2))
    assert found.mean() == pytest.approx(128, abs=0.2) and found.std() == pytest.approx(10.0, rel=0.01)
    half = np.mean(noisy(np.zeros_like(x), 10.0, seed=1) == 0)
    assert half == pytest.approx(0.5 + 0.5 * 0.0399, abs=0.01)  # half, and what rounds to 0


def test_attacks_cost_accuracy_and_stronger_ones_more():
    student, test = trained()
    wanted = Perturbations((1.0, 60.0), (1, 60), (1, 60), seed=5)
    rows = accuracies({"one": student, "other": student}, test, wanted, lambda done, total: None)
    assert [(row["perturbation"], row["size"]) for row in rows] == list(wanted)
    assert all(row["one"] == row["other"] for row in rows)
    found = {(row["perturbation"], row["size"]): row["one"] for row in rows}
    clean = accuracy(freeze(student).forward(test.x), test.y)
    assert found["clean", 0] == clean > 0.9
    assert found["noise", 1.0] > 0.9 and found["noise", 60.0] < clean
    assert found["fgsm", 60] < found["fgsm", 1] and found["pgd", 60] < found["pgd", 1]
    assert found["pgd", 60] <= found["fgsm", 60] < found["noise", 60.0]


def test_sizes_follow_the_inputs_where_none_are_given():
    assert list(Perturbations().completed(255))[1:4] == [
        ("noise", 255 / 32),
        ("noise", 255 / 16),
        ("noise", 255 / 8),
    ]
    assert Perturbations().completed(255).fgsm == (8, 16, 32)
    few = Perturbations(noise=(3.0,), pgd=(2,)).completed(16)
    assert (few.noise, few.fgsm, few.pgd) == ((3.0,), (1, 2), (2,))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Perturbations(noise=(0.0,)),
        lambda: Perturbations(noise=(float("nan"),)),
        lambda: Perturbations(fgsm=(256,)),
        lambda: Perturbations(pgd=(-1,)),
        lambda: Perturbations(pgd_steps=0),
    ],
)
def test_refuses(make):
    with pytest.raises(ConfigError, match="give"):
        make()
