import numpy as np
import pytest
import torch
from hypothesis import given, settings

from common.errors import ContractError
from common.topology import Dense, Topology
from models.data import Split
from models.students.freeze import freeze, freeze_report, student_integers
from models.students.frozen import FrozenStudent
from models.students.integer import accumulator_range
from models.students.student import Student
from tests.models.networks import random_inputs, random_student, seeds

SMALL = Topology((5,), (Dense(6, 3, 3), Dense(4, 4, None)))


@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_frozen_network_is_the_trained_student(seed):
    student = random_student(seed)
    network = freeze(student)
    x = random_inputs(seed, network.inputs, 200)
    expected = student_integers(student, network, x)
    for found, wanted in zip(network.intermediates(x), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    floats = FrozenStudent(network)(torch.from_numpy(x).float()).numpy()
    np.testing.assert_array_equal(floats, student(torch.from_numpy(x).float()).detach().numpy())
    np.testing.assert_array_equal(floats, network.forward(x) * np.float32(network.logit_scale))


@pytest.mark.parametrize("seed", range(6))
def test_every_reachable_accumulator(seed):
    student = random_student(seed, SMALL)
    layer, frozen = student.layers[0], freeze(student).layers[0]
    scale, weights = frozen.operation.weight_scale, frozen.operation.weights
    trained = layer.linear.quant_weight().int().numpy()
    low, high = accumulator_range(trained, 255)
    for channel in range(len(weights)):
        flipped = not np.array_equal(weights[channel], trained[channel])
        sign = -1 if flipped else 1
        np.testing.assert_array_equal(weights[channel], sign * trained[channel])
        reached = np.arange(low[channel], high[channel] + 1)
        values = torch.zeros(len(reached), len(weights), 1, 1)
        values[:, channel, 0, 0] = torch.from_numpy(reached * scale)
        expected = layer.activate(values)[:, channel, 0, 0].detach().numpy() / frozen.activation_scale
        counted = (sign * reached[:, None] >= frozen.thresholds[channel]).sum(axis=1)
        np.testing.assert_array_equal(counted, expected)
        new_low, new_high = accumulator_range(weights, 255)
        assert (new_low[channel] <= frozen.thresholds[channel]).all()
        assert (frozen.thresholds[channel] <= new_high[channel] + 1).all()


def with_gains(gain, bias):
    student = random_student(2, SMALL)
    with torch.no_grad():
        student.layers[0].norm.weight.fill_(gain)
        student.layers[0].norm.bias.fill_(bias)
    return student


def test_negative_gain_negates_the_weights():
    rising, falling = freeze(with_gains(1.0, 0.0)).layers[0], freeze(with_gains(-1.0, 0.0)).layers[0]
    np.testing.assert_array_equal(rising.operation.weights, -falling.operation.weights)
    x = random_inputs(0, 5)
    student = with_gains(-1.0, 0.0)
    report = freeze_report(student, freeze(student), Split(x, np.zeros(len(x), np.int64)))
    assert (report.samples, report.differing_activations, report.differing_logits) == (len(x), 0, 0)
    assert report.score_before == report.score_after


@pytest.mark.parametrize(("bias", "value"), [(-1.0, 0), (1.0, 2), (100.0, 7)])
def test_zero_gain_is_a_constant(bias, value):
    network = freeze(with_gains(0.0, bias))
    frozen = network.layers[0]
    low, high = accumulator_range(frozen.operation.weights, 255)
    np.testing.assert_array_equal(frozen.thresholds[:, :value], np.tile(low[:, None], value))
    np.testing.assert_array_equal(frozen.thresholds[:, value:], np.tile(high[:, None] + 1, 7 - value))
    assert (network.intermediates(random_inputs(0, 5))[0] == value).all()


def test_large_ranges_are_walked_in_chunks(monkeypatch):
    student = random_student(3, SMALL)
    whole = freeze(student).layers[0].thresholds
    monkeypatch.setattr("models.students.freeze.CHUNK_VALUES", 100)
    np.testing.assert_array_equal(freeze(student).layers[0].thresholds, whole)


class Wave(torch.nn.Module):
    def forward(self, x):
        return torch.sin(x) + 1


def test_a_channel_that_rises_and_falls_is_refused(monkeypatch):
    student = random_student(2, SMALL)
    student.layers[0].norm = Wave()
    for size in (100, 2**20):  # the turn may fall between two chunks
        monkeypatch.setattr("models.students.freeze.CHUNK_VALUES", size)
        with pytest.raises(ContractError, match="layer0, channel 0: the activation both rises and falls"):
            freeze(student)


def test_accumulator_limit():
    student = Student(Topology((600,), (Dense(2, 8, None),)))
    with torch.no_grad():
        student.layers[0].linear.weight.fill_(1.0)
    with pytest.raises(ContractError, match="layer0: the accumulator can reach"):
        freeze(student)


def test_report_counts_what_changed():
    student = random_student(2, SMALL)
    network = freeze(student)
    x = random_inputs(1, 5)
    labels = network.forward(x).argmax(axis=1)
    with torch.no_grad():
        student.layers[0].norm.bias.add_(0.6)
    report = freeze_report(student, network, Split(x, labels))
    assert report.differing_activations > 0 and report.score_after == 1.0 > report.score_before
