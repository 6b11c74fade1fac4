"""Students whose accumulators keep within given bits, whatever comes in (arXiv:2401.10432)."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ConfigError
from common.topology import AveragePool, Conv, Dense, Depthwise, Residual, Topology
from models.distill import SoftenedSoftmax
from models.distill.training.transfer import TransferSet
from models.students.freeze import freeze, freeze_report
from models.students.integer import Weighted
from models.students.quantizers import quantize_weight, quantize_weight_within, shrink_weight
from models.students.student import Student
from models.training import TrainingConfig
from pipeline.config.quantized import QuantizedStudent
from tests.models.distilled import distill
from tests.models.networks import random_inputs, toy_dataset

seeds = st.integers(0, 10_000)
TOPOLOGY = Topology(
    (6, 6, 2),
    (
        Conv(6, (3, 3), 4, 3, padding=(1, 1), accumulator_bits=11),
        Residual((Conv(6, (3, 3), 5, 4, padding=(1, 1), accumulator_bits=6),), 4, Conv(6, (1, 1), 4, 4)),
        Depthwise((2, 2), 3, 2, accumulator_bits=6),
        AveragePool((5, 5), None),
        Dense(12, 4, 3, accumulator_bits=9),
        Dense(5, 2, None, accumulator_bits=5),
    ),
)


def drawn(seed, shape=(7, 30), spread=1.0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * spread


def least_shrinkage(magnitudes, top, most):
    """The integers left of one sign of one channel, by trying every value at which rounding changes."""
    levels = np.arange(top + 1) + 0.5
    steps = np.sort(np.unique(np.maximum(0, (magnitudes[:, None] - levels).ravel())))
    for step in [0.0, *(steps + 1e-5)]:
        left = np.rint(np.maximum(0, magnitudes - step)).clip(0, top)
        if left.sum() <= most:
            return left
    raise AssertionError


@given(seeds, st.integers(2, 6), st.integers(1, 40), st.floats(1e-3, 1e3))
@settings(deadline=None, max_examples=30)
def test_no_more_is_taken_off_than_must_be(seed, bits, most, spread):
    weight, top = drawn(seed, spread=spread), 2 ** (bits - 1) - 1
    quantized, scale = shrink_weight(weight, bits, most)
    found, ratio = (quantized / scale).numpy(), (weight / scale).double().numpy()
    for channel, row in zip(found, ratio, strict=True):
        for sign in (1, -1):
            expected = least_shrinkage(np.maximum(0, sign * row), top, most)
            assert np.array_equal(np.maximum(0, sign * channel), expected)
            assert expected.sum() <= most


@given(seeds, st.integers(2, 8))
@settings(deadline=None, max_examples=20)
def test_a_bound_that_nothing_reaches_changes_nothing(seed, bits):
    weight = drawn(seed)
    assert torch.equal(shrink_weight(weight, bits, 30 * 127)[0], quantize_weight(weight, bits))


def test_all_that_a2q_plus_admits_is_left_alone():
    """Integers with ||q||_1 <= (2^P - 2) / (2^N - 1) whose sum is zero, for P and N of the build file."""
    accumulator_bits, input_bits = 9, 3
    step = Topology((2,), (Dense(3, 8, input_bits), Dense(4, 5, None, accumulator_bits))).steps[1]
    norm = (2**accumulator_bits - 2) // (2**input_bits - 1)
    integers = torch.tensor([[15.0, 15.0, 6.0, -15.0, -15.0, -6.0], [1.0, -1.0, 0.0, 0.0, 14.0, -14.0]])
    assert integers[0].abs().sum() == norm == 72 and step.weight_sum == 36
    weight = integers * 0.25
    assert torch.equal(shrink_weight(weight, 5, step.weight_sum)[0], weight)


def test_gradients_pass_straight_through():
    weight = drawn(3).requires_grad_()
    upstream = drawn(4)
    (found,) = torch.autograd.grad((quantize_weight_within(weight, 4, 6) * upstream).sum(), weight)
    assert torch.equal(found, upstream)


@pytest.mark.parametrize("bits", [2, 4])
def test_memory_format_is_kept(bits):
    weight = torch.randn(6, 5, 3, 3).to(memory_format=torch.channels_last)
    assert quantize_weight_within(weight, bits, 7).is_contiguous(memory_format=torch.channels_last)


def bounded(network):
    """Weighted layers of TOPOLOGY that have a bound, frozen, with their steps and greatest inputs."""
    for place, (step, layer) in enumerate(zip(TOPOLOGY.steps, network.layers, strict=True)):
        if step.weight_sum is not None:
            assert isinstance(layer.operation, Weighted)
            yield step, layer.operation, network.input_max(place)


def check_worst_case(network, seed):
    """On each channel's own worst inputs, in any order of the sum, nothing leaves the bits."""
    rng, touched = np.random.default_rng(seed), []
    for step, operation, input_max in bounded(network):
        limit = 2 ** (step.layer.accumulator_bits - 1)
        for row in operation.matrix.astype(np.int64):
            for worst in (
                (row > 0) * input_max,
                (row < 0) * input_max,
                rng.integers(0, input_max + 1, len(row)),
            ):
                products = (row * worst)[rng.permutation(len(row))]
                partial = np.cumsum(products)
                assert -limit <= partial.min() and partial.max() < limit
        side = np.maximum(operation.matrix, 0).sum(axis=1).max()
        touched.append(side == step.weight_sum)
    return touched


@given(seeds)
@settings(deadline=None, max_examples=8)
def test_frozen_students_keep_their_bound(seed):
    torch.manual_seed(seed)
    student = Student(TOPOLOGY)
    with torch.no_grad():
        for layer in student.layers:
            if layer.linear is not None:
                layer.linear.weight.add_(torch.randn(()) * 0.2)  # lopsided channels, too
    x = torch.from_numpy(random_inputs(seed, TOPOLOGY.inputs, 20)).float()
    student.train()(x)
    assert any(check_worst_case(freeze(student), seed))


def test_training_and_evaluation_quantize_to_the_same_bits():
    torch.manual_seed(0)
    student = Student(TOPOLOGY)
    for layer in student.layers:
        if layer.linear is not None:
            x = torch.randint(0, 4, (3, layer.step.in_shape[2], *layer.step.in_shape[:2])).float()
            layer.train()
            training = layer.accumulate(x)
            assert torch.equal(training, layer.eval().accumulate(x))


def test_a_bounded_student_is_distilled_and_stays_exact():
    dataset = toy_dataset()
    chosen = Topology(
        (4, 4, 1), (Dense(12, 4, 3, accumulator_bits=11), Dense(3, 4, None, accumulator_bits=6))
    )
    logits = np.eye(3, dtype=np.float32)[None, dataset.train.y] * 5
    training = TrainingConfig(epochs=12, batch_size=32, learning_rate=2e-2, weight_decay=1e-3, seed=1)
    student, history = distill(
        chosen, dataset, TransferSet(dataset.train, logits), SoftenedSoftmax(2.0), training
    )
    network = freeze(student)
    assert history.validation_score > 0.9
    assert freeze_report(student, network, dataset.test).differing_logits == 0
    for step, layer, input_max in zip(chosen.steps, network.layers, (255, 7), strict=True):
        weights = layer.operation.matrix.astype(int)
        for side in (weights.clip(min=0), -weights.clip(max=0)):
            assert side.sum(axis=1).max() * input_max < 2 ** (step.layer.accumulator_bits - 1)


def test_the_build_file_has_the_key():
    table = {"epochs": 1, "batch_size": 8, "learning_rate": 0.1, "weight_decay": 0.0}
    conv = {"kind": "conv", "kernel": 3, "outputs": 4, "weight_bits": 4, "activation_bits": 3}
    config = QuantizedStudent.model_validate(
        {
            **table,
            "layers": (
                {**conv, "accumulator_bits": 12},
                {"outputs": 3, "weight_bits": 4, "accumulator_bits": 8},
            ),
        }
    )
    topology = config.topology((6, 6, 1))
    assert [step.layer.accumulator_bits for step in topology.steps] == [12, 8]
    assert [step.weight_sum for step in topology.steps] == [2047 // 255, 127 // 7]


@pytest.mark.parametrize(
    ("layers", "needed"),
    [
        ((Dense(4, 3, None, accumulator_bits=8),), 9),
        ((Dense(4, 3, 2), Dense(4, 3, None, accumulator_bits=2)), 3),
        ((Dense(4, 1, None, accumulator_bits=12),), 13),  # 10 binary weights of 255 each
    ],
)
def test_bits_that_hold_nothing_are_refused(layers, needed):
    with pytest.raises(ConfigError, match=f"take {needed}, give at least that"):
        Topology((10,), layers)
    *others, last = layers
    Topology((10,), (*others, Dense(4, last.weight_bits, None, accumulator_bits=needed)))
