"""Detectors in training: what they learn, from whom, and what they refuse."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from common.errors import ConfigError
from common.topology import Conv
from models.students.freeze import freeze
from models.tasks.detection.boxes import mean_average_precision
from models.tasks.detection.grid import Grid
from models.tasks.detection.losses import LABELS, DetectionLoss
from models.tasks.detection.networks import DetectorConfig, TeacherDetector
from models.tasks.detection.scenes import SceneConfig, make_scenes
from models.tasks.detection.training import School, StudentTrainee, asked
from models.training import TrainingConfig

from .test_scenes import SHAPE, digits

SCENES = SceneConfig(side=16, smallest=8, largest=8, most=1, noise=0)
NETWORKS = DetectorConfig(widths=(6, 8), teacher_widths=(8, 12))
TRAINING = TrainingConfig(epochs=3, batch_size=8, learning_rate=1e-2, weight_decay=0.0, seed=0)


@pytest.fixture(scope="module")
def school():
    train, validation = (make_scenes(digits(), SHAPE, 10, SCENES, count, count) for count in (48, 16))
    return School(Grid.of(SCENES, NETWORKS.stride, 10), train, validation)


@pytest.fixture(scope="module")
def teacher(school):
    return TeacherDetector(NETWORKS, school.train.shape, school.grid).eval()


@pytest.fixture(scope="module")
def topology(school):
    return NETWORKS.topology(school.train.shape, school.grid)


def weights(network):
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def test_the_student_is_fully_convolutional(school, topology):
    names = [step.name for step in topology.steps]
    assert names == ["layer0", "layer1", "layer2", "layer3", "layer4"]
    last = topology.steps[-1]
    assert isinstance(last.layer, Conv) and last.gives_logits and last.out_shape == (8, 8, 15)
    assert last.layer.weight_bits == 8 and topology.steps[0].layer.weight_bits == 4


def test_what_validation_scores_is_the_mean_average_precision(school):
    trained, history = school.teach(NETWORKS, TRAINING)
    outputs = asked(trained, school.validation.x, False)[0]
    score = mean_average_precision(school.grid.detections(outputs), school.validation)
    assert history.validation_score == score == max(each.validation_score for each in history.epochs)
    assert history.epochs[-1].loss < 0.7 * history.epochs[0].loss


def test_a_student_learns_the_same_twice_and_other_things_by_each_loss(school, topology, teacher):
    off = {"hard_label_weight": 1.0, "bounded_weight": 0.0, "hint_weight": 0.0}
    changes = {
        "labels": {},
        "teacher": {"hard_label_weight": 0.5},
        "bounded": {"bounded_weight": 1.0, "margin": 100.0},
        "hint": {"hint_weight": 1.0, "hint_layer": "layer3"},
    }
    once = replace(TRAINING, epochs=1)
    students = {}
    for name, change in changes.items():
        loss = DetectionLoss(**(off | change))
        student, history = school.distil(topology, loss, once, teacher)
        students[name] = weights(student)
        assert set(history.epochs[0].terms) == {"labels", "boxes", name}
    again = weights(school.distil(topology, LABELS, once)[0])
    for name, found in students.items():
        same = all(np.array_equal(found[key], again[key]) for key in again)
        assert same == (name == "labels")


def test_students_of_a_seed_begin_alike(topology, teacher):
    torch.manual_seed(3)
    plain = StudentTrainee(topology, None, None)
    torch.manual_seed(3)
    hinted = StudentTrainee(topology, "layer3", teacher.hint_shape)
    assert hinted.adapter is not None and plain.adapter is None
    for first, second in zip(plain.student.parameters(), hinted.student.parameters(), strict=True):
        assert torch.equal(first, second)


def test_the_frozen_student_gives_what_the_student_does(school, topology, teacher):
    student, _ = school.distil(topology, DetectionLoss(hint_layer="layer3"), TRAINING, teacher)
    network = freeze(student)
    x = school.validation.x
    with torch.no_grad():
        outputs = student(torch.from_numpy(x).float()).numpy()
    np.testing.assert_array_equal(network.forward(x) * np.float32(network.logit_scale), outputs)
    assert network.outputs == school.grid.cells**2 * school.grid.channels


def test_teacher_is_asked_in_batches(school, teacher):
    outputs, features = asked(teacher, school.train.x[:5], True)
    with torch.no_grad():
        both = teacher.both(torch.from_numpy(school.train.x[:5]).float())
    np.testing.assert_allclose(outputs, both[0].numpy(), rtol=1e-5, atol=1e-5)
    assert features is not None and features.shape == (5, *teacher.hint_shape) == (5, 12, 8, 8)
    assert asked(teacher, school.train.x[:5], False)[1] is None


def test_refuses_before_training(school, topology, teacher):
    with pytest.raises(ConfigError, match=r"no hidden layer 'layer9' for the hint; known are layer0, layer1"):
        school.distil(topology, DetectionLoss(hint_layer="layer9"), TRAINING, teacher)
    with pytest.raises(ConfigError, match=r"no hidden layer 'layer4'"):  # the head
        school.distil(topology, DetectionLoss(hint_layer="layer4"), TRAINING, teacher)
    with pytest.raises(ConfigError, match="looks at a teacher and there is none"):
        school.distil(topology, DetectionLoss(hint_layer="layer3"), TRAINING)
    for bad in ({"widths": ()}, {"widths": (8,)}, {"widths": (8, 0)}):
        with pytest.raises(ConfigError, match="detection: "):
            replace(NETWORKS, **bad)
    with pytest.raises(ConfigError, match="9-bit weights"):
        replace(NETWORKS, weight_bits=9).topology(school.train.shape, school.grid)
