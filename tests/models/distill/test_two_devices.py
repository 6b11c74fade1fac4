"""Losses that look at some layers only, or bring much with them, on two devices."""

from dataclasses import replace

import pytest
import torch

from models.distill import SoftenedSoftmax, WeightedSum
from models.distill.losses import ContrastiveRepresentation, FitNetHints
from models.distill.recipe import Recipe
from models.distill.schedules import SCHEDULES
from models.distill.training.setup import TrainingSetup
from models.metrics import accuracy
from models.students.student import Student
from models.teachers import Cnn
from models.teachers.ensemble import TeacherConfig, make_transfer_set, train_ensemble
from models.training import TrainingConfig
from models.training.evaluation import predict
from tests.models.networks import toy_dataset

from .test_every_method import TOPOLOGY

TRAINING = TrainingConfig(epochs=2, batch_size=32, learning_rate=1e-2, weight_decay=1e-3, seed=3)


@pytest.fixture(scope="module")
def school():
    """A data set, and its teacher's members."""
    dataset = toy_dataset()
    teacher = TeacherConfig((Cnn(((8,),), dense=(16,)),), TRAINING)
    return dataset, train_ensemble(teacher, dataset).members


def on_two_devices(school, loss, folder):
    dataset, members = school
    examples = make_transfer_set(members, dataset, views=1)
    several = replace(TRAINING, devices=2)
    return TrainingSetup(TOPOLOGY, dataset, examples, members, loss, several, checkpoints=folder)


@pytest.mark.slow
def test_more_weights_than_a_pipe_holds(school, tmp_path):
    """The banks of a contrast are trained, and handed on, with the student."""
    loss = WeightedSum(((1.0, SoftenedSoftmax()), (1.0, ContrastiveRepresentation(dimensions=256))))
    student, history = Recipe(loss).train(on_two_devices(school, loss, tmp_path))
    validation = school[0].validation
    assert len(history.epochs) == 2
    assert history.validation_score == accuracy(predict(student, validation.x), validation.y)


@pytest.mark.slow
def test_hints_first(school, tmp_path):
    """In the first stage no gradient comes to the layers behind the hints; adapters are trained, too."""
    dataset = school[0]
    loss = WeightedSum(((1.0, SoftenedSoftmax()), (1.0, FitNetHints())))
    schedule = SCHEDULES["fitnets"](hint_epochs=1)
    student, history = Recipe(loss, schedule=schedule).train(on_two_devices(school, loss, tmp_path))
    assert len(history.epochs) == 2 and {"hints"} < {path.stem for path in tmp_path.iterdir()}
    validation = dataset.validation
    assert history.validation_score == accuracy(predict(student, validation.x), validation.y)
    with torch.random.fork_rng():
        torch.manual_seed(TRAINING.seed)
        drawn = Student(TOPOLOGY)
    for trained, before in zip(student.parameters(), drawn.parameters(), strict=True):
        assert torch.isfinite(trained).all() and not torch.equal(trained, before)
