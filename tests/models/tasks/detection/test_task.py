"""Detection as a task: its data set, targets, score, and training by the ordinary loop."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from common.errors import ConfigError
from common.topology import Conv, Dense, MaxPool, Topology
from models import data
from models.data import Dataset
from models.distill.losses.detection import DetectionLoss
from models.distill.training.student_training import StudentInTraining
from models.distill.training.transfer import TransferSet
from models.students.freeze import freeze
from models.tasks import TASKS
from models.tasks.detection import Detection
from models.teachers import FullyConvolutional
from models.teachers.ensemble import TeacherConfig, ensemble_logits, train_ensemble
from models.training import TrainingConfig
from models.training.evaluation import predict
from tests.models.distilled import distill

from .test_scenes import SHAPE, digits

TASK = Detection(side=16, smallest=8, largest=8, most=1, noise=0, stride=2, scenes=48, test_scenes=20)
TRAINING = TrainingConfig(epochs=3, batch_size=8, learning_rate=1e-2, weight_decay=0.0, seed=0)
BACKBONE = (
    Conv(6, (3, 3), 4, 4, padding=(1, 1)),
    MaxPool((2, 2)),
    Conv(8, (3, 3), 4, 4, padding=(1, 1)),
)
TOPOLOGY = Topology((16, 16, 1), (*BACKBONE, Conv(15, (1, 1), 8, None)))
NETWORK = FullyConvolutional(((8, 8), (12, 12)))


@pytest.fixture(scope="module")
def dataset():
    split = digits()
    return TASK.prepare(Dataset("digits", 10, SHAPE, split, split, split), 3)


@pytest.fixture(scope="module")
def teacher(dataset):
    return train_ensemble(TeacherConfig((NETWORK,), TRAINING), dataset, task=TASK)


@pytest.fixture(scope="module")
def transfer(dataset, teacher):
    return TransferSet(dataset.train, ensemble_logits(teacher.members, dataset.train.x))


def student_of(dataset, transfer, teacher, loss, epochs=1):
    training = replace(TRAINING, epochs=epochs)
    return distill(TOPOLOGY, dataset, transfer, loss, training, members=teacher.members, task=TASK)


def test_the_data_set_is_one_like_any_other(dataset, tmp_path):
    assert TASKS["detection"] is Detection
    assert [len(split) for split in dataset.splits] == [48, 4, 20]
    assert dataset.input_shape == TASK.input_shape(SHAPE) == (16, 16, 1)
    assert dataset.train.y.shape == (48, 1, 5) and TASK.train_samples(1000) == 48
    assert (dataset.train.x[:20] != dataset.test.x).any()
    data.save(dataset, tmp_path / "data")
    loaded = data.load(tmp_path / "data")
    for before, after in zip(dataset.splits, loaded.splits, strict=True):
        np.testing.assert_array_equal(before.y, after.y)
        np.testing.assert_array_equal(before.x, after.x)


def perfect(split):
    targets = TASK.targets(split)
    logits = 50.0 * np.eye(11)[targets[..., 0].astype(int)]
    return np.concatenate([logits, targets[..., 1:]], axis=2).reshape(len(split), -1)


def test_scores(dataset):
    split, outputs = dataset.test, perfect(dataset.test)
    assert TASK.score(outputs, split) == 1 and not TASK.wrong(outputs, split).any()
    assert 0 <= TASK.chance(split) < 0.3
    other = outputs.copy()
    other[0] = 0.0  # one scene without objects
    assert TASK.score(other, split) < 1
    assert TASK.wrong(other, split).tolist() == [True] + [False] * 19
    assert TASK.differing(outputs, other).tolist() == [True] + [False] * 19
    assert TASK.compare(other, outputs) == {
        "agreement": 0.95,
        "cell_agreement": pytest.approx(1 - 1 / (20 * 64)),
    }
    assert TASK.describe(outputs, split) == {"objects": 20}


def test_an_ensemble_is_the_mean_of_probabilities_and_of_boxes(dataset):
    outputs = perfect(dataset.test)
    cells = TASK.combine(np.stack([outputs, outputs])).reshape(20, 64, 15)
    np.testing.assert_allclose(cells[..., 11:], outputs.reshape(20, 64, 15)[..., 11:])
    mixed = TASK.combine(np.stack([np.zeros((1, 64 * 15)), np.ones((1, 64 * 15))])).reshape(64, 15)
    np.testing.assert_allclose(mixed[:, :11], np.log(1 / 11))
    np.testing.assert_allclose(mixed[:, 11:], 0.5)


def test_a_teacher_learns_by_the_ordinary_loop(dataset, teacher):
    (history,), (member,) = teacher.histories, teacher.members
    assert history.epochs[-1].loss < 0.7 * history.epochs[0].loss
    assert set(history.epochs[0].terms) == {"labels", "boxes"}
    score = TASK.score(predict(member, dataset.validation.x), dataset.validation)
    assert history.validation_score == score == max(each.validation_score for each in history.epochs)


def test_a_student_learns_other_things_by_each_term(dataset, teacher, transfer):
    off = {"hard_label_weight": 1.0, "bounded_weight": 0.0, "hint_weight": 0.0}
    changes = {
        "labels": {},
        "teacher": {"hard_label_weight": 0.5},
        "bounded": {"bounded_weight": 1.0, "margin": 100.0},
        "hint": {"hint_weight": 1.0},
    }
    found = {}
    for name, change in changes.items():
        student, history = student_of(dataset, transfer, teacher, DetectionLoss(**(off | change)))
        assert set(history.epochs[0].terms) == {"labels", "boxes", name}
        found[name] = student.state_dict()
    again = student_of(dataset, transfer, teacher, TASK.labels_only())[0].state_dict()
    for name, weights in found.items():
        same = all(torch.equal(weights[key], again[key]) for key in again)
        assert same == (name == "labels"), name


def test_students_of_a_seed_begin_alike(teacher):
    torch.manual_seed(3)
    plain = StudentInTraining(TOPOLOGY, TASK.labels_only())
    torch.manual_seed(3)
    hinted = StudentInTraining(TOPOLOGY, DetectionLoss(), teacher.members[0])
    assert hinted.adapters is not None and plain.adapters is None
    for first, second in zip(plain.student.parameters(), hinted.student.parameters(), strict=True):
        assert torch.equal(first, second)


def test_the_frozen_student_gives_what_the_student_does(dataset, teacher, transfer):
    student, _ = student_of(dataset, transfer, teacher, DetectionLoss())
    network, x = freeze(student), dataset.test.x
    np.testing.assert_array_equal(network.forward(x) * np.float32(network.logit_scale), predict(student, x))
    assert network.outputs == TASK.outputs(dataset.input_shape, 10) == 8 * 8 * 15


def test_what_does_not_fit_is_refused(dataset, teacher, transfer):
    TASK.check(TOPOLOGY, 10)
    with pytest.raises(ConfigError, match=r"student.layers\[3\].outputs: the student gives 960 values, but"):
        TASK.check(TOPOLOGY, 9)
    with pytest.raises(ConfigError, match="detection of 10 classes wants 960"):
        distill(
            Topology((16, 16, 1), (Dense(10, 4, None),)), dataset, transfer, TASK.labels_only(), TRAINING,
            task=TASK,
        )  # fmt: skip
    with pytest.raises(ConfigError, match="label_smoothing"):
        TASK.labels_only(0.1)
    with pytest.raises(ConfigError, match="composes scenes of images"):
        TASK.input_shape((30,))
    for bad in ({"scenes": 0}, {"test_scenes": 0}, {"stride": 3}, {"side": 15}):
        with pytest.raises(ConfigError, match="task: "):
            replace(TASK, **bad)


def test_maps_are_told_cell_by_cell():
    network = FullyConvolutional(((4,), (4,))).layers((8, 8, 1), 4 * 4 * 3)
    assert network(torch.zeros(2, 64)).shape == (2, 48)
    with pytest.raises(ConfigError, match="a map of 4 by 4, which 10 outputs do not share evenly"):
        FullyConvolutional(((4,), (4,))).layers((8, 8, 1), 10)


def test_decoding_is_enough_to_decode_by(dataset):
    told = TASK.decoding(dataset)
    assert told["grid"] == {"side": 16, "stride": 2, "anchor": 8.0, "cells": 8, "values": 15}
    assert told["task"] == "detection" and told["classes"] == 10
